//! The kubeconfig of a sandbox: a context for the hub, for each member, and for each member's view.

use serde_json::{Value, json};

/// The context of the hub's API.
pub const HUB: &str = "hub";

/// What the context of a member's view begins with.
pub const VIEW_PREFIX: &str = "view-";

/// Whether a member may have this name; the others are taken by contexts of the sandbox's own.
pub fn allowed(member: &str) -> bool {
    member != HUB && !member.starts_with(VIEW_PREFIX)
}

/// A kubeconfig for the sandbox that listens on `base`, such as `http://127.0.0.1:6443`.
pub fn kubeconfig<'a>(base: &str, members: impl IntoIterator<Item = &'a str>) -> Value {
    let mut contexts = vec![(HUB.to_owned(), format!("{base}/clusters/{HUB}"))];
    for member in members {
        contexts.push((member.to_owned(), format!("{base}/clusters/{member}")));
        contexts.push((format!("{VIEW_PREFIX}{member}"), format!("{base}/views/{member}")));
    }
    let clusters: Vec<_> =
        contexts.iter().map(|(name, server)| json!({"name": name, "cluster": {"server": server}})).collect();
    let named: Vec<_> = contexts
        .iter()
        .map(|(name, _)| json!({"name": name, "context": {"cluster": name, "user": "sandbox"}}))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": HUB,
        "clusters": clusters,
        "contexts": named,
        "users": [{"name": "sandbox", "user": {}}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_has_a_context_for_its_api_and_one_for_its_view() {
        let config = kubeconfig("http://127.0.0.1:1", ["shanghai"]);
        assert_eq!(config["current-context"], "hub");
        let servers: Vec<_> = (0..3).map(|index| &config["clusters"][index]["cluster"]["server"]).collect();
        assert_eq!(
            servers,
            [
                "http://127.0.0.1:1/clusters/hub",
                "http://127.0.0.1:1/clusters/shanghai",
                "http://127.0.0.1:1/views/shanghai"
            ]
        );
        assert!(!allowed("hub") && !allowed("view-a") && allowed("viewer"));
    }
}
