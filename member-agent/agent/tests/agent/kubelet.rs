//! All kubelets of a cluster, in one task: what the controller sees of a pod's life, a step at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use muster_runtime::watch::{Change, Key, Watch};
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// How long a kubelet takes for a step.
const TICK: Duration = Duration::from_millis(100);

/// The node whose kubelet does nothing.
const LOST: &str = "lost";

pub(crate) fn start(client: Client, clock: Clock, tasks: &Tasks) {
    let changed: Arc<Mutex<BTreeSet<Key>>> = Arc::default();
    let seen = Arc::clone(&changed);
    let pods = Watch::new("kubelet", Api::<Pod>::all(client.clone())).subscribe(move |change| {
        if let Change::Applied { new, .. } = change {
            seen.lock().insert(Key::of(new.as_ref()));
        }
    });
    let pods = pods.start(tasks);
    tasks.spawn("kubelet", async move {
        let mut next_id = 0;
        loop {
            tokio::time::sleep(TICK).await;
            let keys = std::mem::take(&mut *changed.lock());
            for pod in keys.iter().filter_map(|key| pods.get(key)) {
                tend(&client, &clock, &pod, &mut next_id).await;
            }
        }
    });
}

async fn tend(client: &Client, clock: &Clock, pod: &Pod, next_id: &mut u64) {
    if pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(LOST) {
        return;
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
    if pod.metadata.deletion_timestamp.is_some() {
        let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
        let at_once =
            DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default().grace_period(0) };
        // Somebody may have been faster.
        drop(api.delete(&pod.name_any(), &at_once).await);
        return;
    }
    let images =
        pod.spec.as_ref().unwrap().containers.iter().filter_map(|container| container.image.as_ref());
    if images.clone().any(|image| image.starts_with("nobody:")) {
        return; // Its test plays this kubelet.
    }
    let status = serde_json::to_value(pod).unwrap()["status"].clone();
    if status["phase"] == "Failed" {
        return;
    }
    let next = next_status(pod, &status, clock, next_id);
    if next != status {
        let body = json!({"metadata": {"resourceVersion": pod.resource_version()}, "status": next});
        // A conflict means that the controller wrote meanwhile, and that the pod will be seen again.
        drop(api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(body)).await);
    }
}

fn next_status(pod: &Pod, status: &Value, clock: &Clock, next_id: &mut u64) -> Value {
    let mut next = status.clone();
    if next["observedGeneration"] != json!(pod.metadata.generation) {
        next["observedGeneration"] = json!(pod.metadata.generation);
        return next;
    }
    let now = clock.now().to_string();
    let spec = pod.spec.as_ref().unwrap();
    let mut containers = Vec::new();
    for container in &spec.containers {
        let image = container.image.clone().unwrap_or_default();
        let statuses = status["containerStatuses"].as_array().into_iter().flatten();
        let old = statuses.clone().find(|status| status["name"] == container.name);
        containers.push(match old {
            Some(old) if old["image"] == image => {
                let mut same = old.clone();
                same["ready"] = json!(!image.contains("broken"));
                same
            }
            old => {
                *next_id += 1;
                json!({
                    "name": container.name,
                    "image": image,
                    "imageID": format!("sha256:{image}"),
                    "containerID": format!("containerd://{next_id}"),
                    "ready": false,
                    "started": true,
                    "restartCount": old.map_or(0, |old| old["restartCount"].as_i64().unwrap() + 1),
                    "state": {"running": {"startedAt": now}},
                })
            }
        });
    }
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let is_true = |type_: &str| {
        conditions.iter().any(|condition| condition["type"] == type_ && condition["status"] == "True")
    };
    let gates = spec.readiness_gates.iter().flatten().all(|gate| is_true(&gate.condition_type));
    let ready = gates && containers.iter().all(|container| container["ready"] == true);
    next["phase"] = json!("Running");
    next["podIP"] = json!("10.1.0.1");
    next["hostIP"] = json!("10.0.0.1");
    next["containerStatuses"] = json!(containers);
    if ready != is_true("Ready") {
        let status = if ready { "True" } else { "False" };
        let condition = json!({"type": "Ready", "status": status, "lastTransitionTime": now});
        let mut conditions: Vec<Value> =
            conditions.into_iter().filter(|condition| condition["type"] != "Ready").collect();
        conditions.push(condition);
        next["conditions"] = json!(conditions);
    }
    next
}
