//! The scheduler of a simulated cluster: binds pods that have no node.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use muster_runtime::queue::{Next, WorkQueue};
use muster_runtime::watch::{Cache, Change, Key, Watch};
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;
use serde_json::json;

use super::fit::{NoFit, Placement};

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
    claims: Cache<PersistentVolumeClaim>,
    placement: Arc<Mutex<Placement>>,
    /// Pods that wait for a claim, by the claim.
    waiting: Waiting,
}

type Waiting = Arc<Mutex<HashMap<Key, BTreeSet<Key>>>>;

/// Starts the scheduler of the cluster behind `client`.
pub fn start(client: &Client, clock: &Clock, tasks: &Tasks) {
    let queue: WorkQueue<Key> = WorkQueue::new();
    let placement = Arc::new(Mutex::new(Placement::default()));
    let pods = watch_pods(client, &queue, &placement, tasks);
    watch_nodes(client, &queue, &pods, &placement, tasks);
    let waiting = Waiting::default();
    let claims = watch_claims(client, &queue, &waiting, tasks);
    let scheduler =
        Scheduler { client: client.clone(), clock: clock.clone(), pods, claims, placement, waiting };
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

/// Watches claims: pods that waited for one are tried again when it changes.
fn watch_claims(
    client: &Client,
    queue: &WorkQueue<Key>,
    waiting: &Waiting,
    tasks: &Tasks,
) -> Cache<PersistentVolumeClaim> {
    let (queue, waiting) = (queue.clone(), Arc::clone(waiting));
    Watch::new("scheduler-claims", Api::<PersistentVolumeClaim>::all(client.clone()))
        .subscribe(move |change| {
            if let Change::Applied { new, .. } = change {
                for pod in waiting.lock().remove(&Key::of(new.as_ref())).unwrap_or_default() {
                    queue.add(pod);
                }
            }
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
        self.claims.synced().await;
        let Some(pod) = self.pods.get(key) else { return Next::Done };
        if !ours(&pod) {
            return Next::Done;
        }
        let chosen = {
            let mut placement = self.placement.lock();
            let chosen = match self.without_storage(&pod, key) {
                Some(reason) => Err(NoFit(format!("0/{} nodes are available: {reason}.", placement.nodes()))),
                None => placement.choose(&pod),
            };
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

    /// Why a pod cannot go anywhere for want of its storage.
    fn without_storage(&self, pod: &Pod, key: &Key) -> Option<String> {
        for name in claims_of(pod) {
            let claim_key = Key::new(key.namespace.clone(), name);
            // Noted before the claim is looked at, so that no change of it is missed.
            self.waiting.lock().entry(claim_key.clone()).or_default().insert(key.clone());
            let Some(claim) = self.claims.get(&claim_key) else {
                return Some(format!("persistentvolumeclaim {name:?} not found"));
            };
            if claim.metadata.deletion_timestamp.is_some() {
                return Some(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            if claim.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound") {
                return Some("pod has unbound immediate PersistentVolumeClaims".to_owned());
            }
            // Others that wait for it hear of it by themselves.
            let mut waiting = self.waiting.lock();
            if let Some(pods) = waiting.get_mut(&claim_key) {
                pods.remove(key);
                if pods.is_empty() {
                    waiting.remove(&claim_key);
                }
            }
        }
        None
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

/// The names of the claims that a pod uses.
fn claims_of(pod: &Pod) -> impl Iterator<Item = &str> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.as_str()))
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
