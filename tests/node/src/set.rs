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
/// A container that serves no player: the pod stays in traffic while it restarts.
pub(crate) const HELPER: &str = "shipper";

/// The image of a container in a version.
pub(crate) fn image(container: &str, version: &str) -> String {
    let repository = if [SIDECAR, HELPER].contains(&container) { "gameserver-sidecar" } else { "gameserver" };
    format!("muster.test/{repository}:{version}")
}

/// Three game servers with a sidecar: updated in place, one at a time.
pub(crate) fn manifest() -> Value {
    let volume = |name: &str, path: &str| json!({"name": name, "mountPath": path});
    // Requests below limits, so that both can be changed without another class of service.
    let resources =
        json!({"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}});
    let container = |name: &str, port: u16, mounts: Value| {
        json!({
            "name": name,
            "resources": resources,
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
    // It takes connections too, as a proxy beside a game server does.
    let mut sidecar = container(SIDECAR, 8081, json!([volume("shared", "/shared")]));
    sidecar["args"] = json!(["server", "--http", "0.0.0.0:8081", "--tcp", "0.0.0.0:7001"]);
    // Without a probe: a kubelet calls a container ready that has started, and a pod with it.
    let helper = json!({
        "name": HELPER,
        "image": image(HELPER, "v1"),
        "imagePullPolicy": "IfNotPresent",
        "args": ["sidecar", "--http", "0.0.0.0:8082"],
    });
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
                "inPlaceUpdateStrategy": {"gracePeriodSeconds": GRACE, "helperContainers": [HELPER]},
            },
            "template": {
                "metadata": {"labels": {"app": SET}},
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "securityContext": {"fsGroup": 65532},
                    "containers": [server, sidecar, helper],
                    "volumes": [
                        {"name": "shared", "emptyDir": {"medium": "Memory"}},
                        {"name": "state", "emptyDir": {}},
                    ],
                },
            },
        },
    })
}

/// A merge patch that changes one field of a container, native sidecars too; nothing for a set without that container.
pub(crate) fn container_patch(
    set: &GameStatefulSet,
    container: &str,
    field: &str,
    value: &Value,
) -> Option<Value> {
    let set = serde_json::to_value(set).ok()?;
    for list in ["containers", "initContainers"] {
        let mut containers = set["spec"]["template"]["spec"][list].clone();
        let mut all = containers.as_array_mut().into_iter().flatten();
        if let Some(changed) = all.find(|one| one["name"] == container) {
            changed[field] = value.clone();
            return Some(json!({"spec": {"template": {"spec": {list: containers}}}}));
        }
    }
    None
}

/// A set of one game server with a native sidecar, updated in place.
pub(crate) fn native(name: &str) -> Value {
    let container = |name: &str, command: [&str; 5]| {
        json!({
            "name": name,
            "image": image(name, "v1"),
            "imagePullPolicy": "IfNotPresent",
            "args": command,
        })
    };
    let mut sidecar = container(SIDECAR, ["server", "--http", "0.0.0.0:8081", "--tcp", "0.0.0.0:7001"]);
    sidecar["restartPolicy"] = json!("Always");
    let server = container(SERVER, ["server", "--http", "0.0.0.0:8080", "--tcp", "0.0.0.0:7000"]);
    one(
        name,
        &json!({"type": "InplaceUpdate"}),
        &json!({"terminationGracePeriodSeconds": 5, "initContainers": [sidecar], "containers": [server]}),
    )
}

/// A set of one game server that wants a port of this node.
pub(crate) fn on_host_port(name: &str, node: &str, port: u16) -> Value {
    one(name, &json!({"type": "RollingUpdate"}), &host_port_pod(node, port))
}

/// A pod that wants a port of this node. No scheduler is asked, so that it is the kubelet that finds it taken.
pub(crate) fn host_port_pod(node: &str, port: u16) -> Value {
    json!({
        "nodeName": node,
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": SERVER,
            "image": image(SERVER, "v1"),
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 7000, "hostPort": port}],
        }],
    })
}

fn one(name: &str, strategy: &Value, pod: &Value) -> Value {
    json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "GameStatefulSet",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": {"app": name}},
            "updateStrategy": strategy,
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    })
}

/// Whether everything asked for has happened; otherwise what is missing.
pub(crate) fn settled(set: &GameStatefulSet) -> std::result::Result<(), String> {
    let replicas = set.spec.replicas.unwrap_or(1);
    let status = set.status.clone().unwrap_or_default();
    let done = status.observed_generation == set.metadata.generation
        && [status.replicas, status.ready_replicas, status.updated_replicas, status.updated_ready_replicas]
            == [replicas; 4];
    if done { Ok(()) } else { Err(format!("{status:?}")) }
}
