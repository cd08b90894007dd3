//! Which pods on nodes use which claims, so that a claim is kept as long as one does.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use crate::{Key, registry::text};

/// Claims by the pods that use them, and the other way round.
#[derive(Default)]
pub(super) struct Mounts {
    by_pod: HashMap<Arc<str>, Vec<Key>>,
    users: HashMap<Key, HashSet<Arc<str>>>,
}

impl Mounts {
    /// Takes note of the claims that a pod uses.
    pub(super) fn insert(&mut self, uid: &Arc<str>, claims: Vec<Key>) {
        if claims.is_empty() || self.by_pod.contains_key(uid) {
            return;
        }
        for claim in &claims {
            self.users.entry(claim.clone()).or_default().insert(uid.clone());
        }
        self.by_pod.insert(uid.clone(), claims);
    }

    /// Forgets a pod; answers with the claims that nobody uses any more.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<Key> {
        let mut free = Vec::new();
        for claim in self.by_pod.remove(uid).unwrap_or_default() {
            let Some(users) = self.users.get_mut(&claim) else { continue };
            users.remove(uid);
            if users.is_empty() {
                self.users.remove(&claim);
                free.push(claim);
            }
        }
        free
    }

    /// Whether a pod uses a claim.
    pub(super) fn is_used(&self, claim: &Key) -> bool {
        self.users.contains_key(claim)
    }
}

/// The claims that a pod uses. One that is on no node yet uses none: it will not be started while its claim goes away.
pub(super) fn claims_of(pod: &Value) -> Vec<Key> {
    if text(pod, "/spec/nodeName").is_empty() {
        return Vec::new();
    }
    let namespace = text(pod, "/metadata/namespace");
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let names = volumes.filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str());
    names.map(|name| Key::namespaced(namespace, name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_used_until_the_last_pod_on_a_node_is_gone() {
        let pod = |node: &str| {
            json!({"metadata": {"namespace": "n"}, "spec": {"nodeName": node,
                "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]}})
        };
        let claim = Key::namespaced("n", "c");
        let mut mounts = Mounts::default();
        mounts.insert(&"waiting".into(), claims_of(&pod("")));
        assert!(!mounts.is_used(&claim));
        mounts.insert(&"a".into(), claims_of(&pod("x")));
        mounts.insert(&"a".into(), claims_of(&pod("x")));
        mounts.insert(&"b".into(), claims_of(&pod("y")));
        assert_eq!(mounts.remove("a"), []);
        assert!(mounts.is_used(&claim));
        assert_eq!(mounts.remove("b").as_slice(), std::slice::from_ref(&claim));
        assert!(!mounts.is_used(&claim));
    }
}
