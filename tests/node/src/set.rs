//! The GameStatefulSet of the checks.

use muster_crds::GameStatefulSet;
use serde_json::{Value, json};

/// Its name, and that of its namespace.
pub(crate) const SET: &str = "arena";
/// The namespace.
pub(crate) const NAMESPACE: &str = "muster-node";
/// How many game servers there are.
pub(crate) const REPLICAS: i64 = 3;
/// How long a pod is out of traffic before its images change, in seconds.
pub(crate) const GRACE: i64 = 3;
/// The container of the game server.
pub(crate) const SERVER: &str = "server";
/// The container beside it.
pub(crate) const SIDECAR: &str = "sidecar";

/// The image of a container in a version.
pub(crate) fn image(container: &str, version: &str) -> String {
    let repository = if container == SIDECAR { "gameserver-sidecar" } else { "gameserver" };
    format!("muster.test/{repository}:{version}")
}

/// Three game servers with a sidecar: updated in place, one at a time.
pub(crate) fn manifest() -> Value {
    let volume = |name: &str, path: &str| json!({"name": name, "mountPath": path});
    let container = |name: &str, port: u16, mounts: Value| {
        json!({
            "name": name,
            "image": image(name, "v1"),
            "imagePullPolicy": "IfNotPresent",
            "env": [{"name": "GAMESERVER_SHARED", "value": "/shared/record"}],
            "volumeMounts": mounts,
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": port}, "periodSeconds": 1},
        })
    };
    let mut server = container(SERVER, 8080, json!([volume("shared", "/shared"), volume("state", "/state")]));
    if let Some(env) = server["env"].as_array_mut() {
        env.push(json!({"name": "GAMESERVER_STATE", "value": "/state/state.json"}));
    }
    json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "GameStatefulSet",
        "metadata": {"name": SET, "namespace": NAMESPACE},
        "spec": {
            "replicas": REPLICAS,
            "serviceName": SET,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": SET}},
            "updateStrategy": {
                "type": "InplaceUpdate",
                "rollingUpdate": {"maxUnavailable": 1},
                "inPlaceUpdateStrategy": {"gracePeriodSeconds": GRACE},
            },
            "template": {
                "metadata": {"labels": {"app": SET}},
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "securityContext": {"fsGroup": 65532},
                    "containers": [server, container(SIDECAR, 8081, json!([volume("shared", "/shared")]))],
                    "volumes": [
                        {"name": "shared", "emptyDir": {"medium": "Memory"}},
                        {"name": "state", "emptyDir": {}},
                    ],
                },
            },
        },
    })
}

/// A merge patch that gives one container another image; nothing for a set without that container.
pub(crate) fn image_patch(set: &GameStatefulSet, container: &str, image: &str) -> Option<Value> {
    let set = serde_json::to_value(set).ok()?;
    let mut containers = set["spec"]["template"]["spec"]["containers"].clone();
    let changed = containers.as_array_mut()?.iter_mut().find(|one| one["name"] == container)?;
    changed["image"] = json!(image);
    Some(json!({"spec": {"template": {"spec": {"containers": containers}}}}))
}

/// Whether everything asked for has happened; otherwise what is missing.
pub(crate) fn settled(set: &GameStatefulSet) -> std::result::Result<(), String> {
    let status = set.status.clone().unwrap_or_default();
    let done = status.observed_generation == set.metadata.generation
        && [status.replicas, status.ready_replicas, status.updated_replicas, status.updated_ready_replicas]
            == [REPLICAS; 4];
    if done { Ok(()) } else { Err(format!("{status:?}")) }
}
