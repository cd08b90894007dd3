//! Small manifests; a scenario merges in what it is about.

use serde_json::{Map, Value, json};

/// The namespace of every scenario's objects.
pub(crate) const NAMESPACE: &str = "games";

/// `base` with `patch` merged over it, as RFC 7396 says.
pub(crate) fn merged(mut base: Value, patch: &Value) -> Value {
    json_patch::merge(&mut base, patch);
    base
}

/// A registered cluster, labelled with its name.
pub(crate) fn cluster(name: &str) -> Value {
    json!({
        "apiVersion": "core.kubefed.io/v1beta1",
        "kind": "KubeFedCluster",
        "metadata": {
            "name": name,
            "namespace": "kube-federation-system",
            "labels": {"name": name},
        },
        "spec": {},
    })
}

/// A federated set of `replicas` pods in the named clusters: Parallel, updated in place with one second of grace.
pub(crate) fn game(name: &str, replicas: i64, clusters: &[&str]) -> Value {
    let clusters: Vec<Value> = clusters.iter().map(|cluster| json!({"name": cluster})).collect();
    json!({
        "apiVersion": "types.kubefed.io/v1beta1",
        "kind": "FederatedGameStatefulSet",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "template": {"metadata": {"labels": {"app": name}}, "spec": set_spec(name, replicas)},
            "placement": {"clusters": clusters},
        },
    })
}

/// A set of `replicas` pods as it stands in a member: Parallel, updated in place with one second of grace.
pub(crate) fn set(name: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "GameStatefulSet",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
        "spec": set_spec(name, replicas),
    })
}

/// How the replicas of the federated set `name` are divided: weights by cluster.
pub(crate) fn preference(name: &str, weights: &[(&str, i64)]) -> Value {
    let clusters: Map<String, Value> =
        weights.iter().map(|(cluster, weight)| ((*cluster).to_owned(), json!({"weight": weight}))).collect();
    json!({
        "apiVersion": "scheduling.kubefed.io/v1alpha1",
        "kind": "ReplicaSchedulingPreference",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"targetKind": "FederatedGameStatefulSet", "clusters": clusters},
    })
}

/// An image of the game server.
pub(crate) fn image(tag: &str) -> String {
    format!("registry.example.com/games/server:{tag}")
}

/// The change that gives a federated set the image with this tag.
pub(crate) fn with_image(tag: &str) -> Value {
    json!({"spec": {"template": set_image(tag)}})
}

/// The change that gives a set the image with this tag.
pub(crate) fn set_image(tag: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": containers(tag)}}}})
}

/// Overrides of one cluster: pairs of path and value.
pub(crate) fn overrides(cluster: &str, items: &[(&str, Value)]) -> Value {
    let items: Vec<Value> = items.iter().map(|(path, value)| json!({"path": path, "value": value})).collect();
    json!({"clusterName": cluster, "clusterOverrides": items})
}

/// The path of the game server's image in a set.
pub(crate) const IMAGE_PATH: &str = "/spec/template/spec/containers/0/image";

fn set_spec(name: &str, replicas: i64) -> Value {
    json!({
        "replicas": replicas,
        "serviceName": name,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": containers("v1")},
        },
        "updateStrategy": {
            "type": "InplaceUpdate",
            "inPlaceUpdateStrategy": {"gracePeriodSeconds": 1},
        },
    })
}

/// The game server and a sidecar that never changes.
fn containers(tag: &str) -> Value {
    json!([
        {"name": "server", "image": image(tag)},
        {"name": "sidecar", "image": "registry.example.com/games/sidecar:v7"},
    ])
}
