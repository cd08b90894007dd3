//! The scheduler of a simulated cluster: binds pods that have no node.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use muster_runtime::queue::{Next, WorkQueue};
use muster_runtime::watch::{Cache, Change, Key, Watch};
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;
use serde_json::json;

use super::fit::Placement;

/// The name that pods ask for when they name no scheduler.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// How many bindings are sent at once.
const WORKERS: usize = 16;

/// When a pod that fits nowhere is tried again, if no pod or node went before.
const UNSCHEDULABLE_PAUSE: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Scheduler {
    client: Client,
    clock: Clock,
    pods: Cache<Pod>,
    placement: Arc<Mutex<Placement>>,
}

/// Starts the scheduler of the cluster behind `client`.
pub fn start(client: &Client, clock: &Clock, tasks: &Tasks) {
    let queue: WorkQueue<Key> = WorkQueue::new();
    let placement = Arc::new(Mutex::new(Placement::default()));
    let pods = watch_pods(client, &queue, &placement, tasks);
    watch_nodes(client, &queue, &pods, &placement, tasks);
    let scheduler = Scheduler { client: client.clone(), clock: clock.clone(), pods, placement };
    queue.run(tasks, "schedule", WORKERS, move |key| {
        let scheduler = scheduler.clone();
        async move { scheduler.schedule(&key).await }
    });
}

fn watch_pods(
    client: &Client,
    queue: &WorkQueue<Key>,
    placement: &Arc<Mutex<Placement>>,
    tasks: &Tasks,
) -> Cache<Pod> {
    let (queue, placement) = (queue.clone(), Arc::clone(placement));
    // Pods that found no room; they are tried again when some may have become free.
    let mut homeless: std::collections::BTreeSet<Key> = std::collections::BTreeSet::new();
    Watch::new("scheduler-pods", Api::<Pod>::all(client.clone()))
        .subscribe(move |change| match change {
            Change::Applied { new, .. } => {
                let key = Key::of(new.as_ref());
                if let Some(node) = node_of(new) {
                    homeless.remove(&key);
                    placement.lock().place(new, node);
                } else if ours(new) {
                    homeless.insert(key.clone());
                    queue.add(key);
                }
            }
            Change::Deleted(pod) => {
                homeless.remove(&Key::of(pod.as_ref()));
                placement.lock().remove(&pod.uid().unwrap_or_default());
                if node_of(pod).is_some() {
                    for key in &homeless {
                        queue.add(key.clone());
                    }
                }
            }
            Change::Synced => {}
        })
        .start(tasks)
}

fn watch_nodes(
    client: &Client,
    queue: &WorkQueue<Key>,
    pods: &Cache<Pod>,
    placement: &Arc<Mutex<Placement>>,
    tasks: &Tasks,
) {
    let (queue, pods, placement) = (queue.clone(), pods.clone(), Arc::clone(placement));
    let retry = move |pods: &Cache<Pod>| {
        let waiting = pods.list();
        for pod in waiting.iter().filter(|pod| ours(pod)) {
            queue.add(Key::of(pod.as_ref()));
        }
    };
    Watch::new("scheduler-nodes", Api::<Node>::all(client.clone()))
        .subscribe(move |change| match change {
            Change::Applied { new, .. } => {
                placement.lock().set_node(new.as_ref().clone());
                retry(&pods);
            }
            Change::Deleted(node) => placement.lock().remove_node(&node.name_any()),
            Change::Synced => {}
        })
        .start(tasks);
}

// === impl Scheduler ===

impl Scheduler {
    async fn schedule(&self, key: &Key) -> Next {
        self.pods.synced().await;
        let Some(pod) = self.pods.get(key) else { return Next::Done };
        if !ours(&pod) {
            return Next::Done;
        }
        let chosen = {
            let mut placement = self.placement.lock();
            let chosen = placement.choose(&pod);
            if let Ok(node) = &chosen {
                placement.place(&pod, node);
            }
            chosen
        };
        match chosen {
            Ok(node) => match self.bind(&pod, &node).await {
                Ok(()) => Next::Done,
                Err(error) => {
                    self.placement.lock().remove(&pod.uid().unwrap_or_default());
                    // Deleted meanwhile, or bound by someone else: the watch will say so.
                    if matches!(&error, kube::Error::Api(status) if status.is_not_found()) {
                        return Next::Done;
                    }
                    tracing::debug!(pod = %key, %error, "cannot bind");
                    Next::Retry
                }
            },
            Err(reason) => {
                if let Err(error) = self.say_unschedulable(&pod, &reason.0).await {
                    tracing::debug!(pod = %key, %error, "cannot record that the pod fits nowhere");
                }
                Next::After(UNSCHEDULABLE_PAUSE)
            }
        }
    }

    async fn bind(&self, pod: &Pod, node: &str) -> Result<(), kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let name = pod.name_any();
        let binding = Binding {
            metadata: ObjectMeta { name: Some(name.clone()), uid: pod.uid(), ..ObjectMeta::default() },
            target: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        let _: serde_json::Value = api
            .create_subresource(
                "binding",
                &name,
                &PostParams { field_manager: Some(DEFAULT_SCHEDULER.to_owned()), ..PostParams::default() },
                &binding,
            )
            .await?;
        Ok(())
    }

    async fn say_unschedulable(&self, pod: &Pod, message: &str) -> Result<(), kube::Error> {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let mut said = conditions.filter(|condition| condition.type_ == "PodScheduled");
        if said.any(|condition| condition.message.as_deref() == Some(message)) {
            return Ok(());
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let patch = json!({
            "metadata": {"uid": pod.metadata.uid},
            "status": {"conditions": [{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
                "lastTransitionTime": Time(self.clock.now()),
            }]},
        });
        let params =
            PatchParams { field_manager: Some(DEFAULT_SCHEDULER.to_owned()), ..PatchParams::default() };
        api.patch_status(&pod.name_any(), &params, &Patch::Strategic(patch)).await?;
        Ok(())
    }
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|node| !node.is_empty())
}

/// Whether this scheduler is to place the pod now.
fn ours(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    node_of(pod).is_none()
        && pod.metadata.deletion_timestamp.is_none()
        && spec.scheduler_name.as_deref().is_none_or(|name| name == DEFAULT_SCHEDULER)
        && spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty)
}
