//! The kubelets of a simulated cluster, all nodes in one: reports what each [`Machine`] says.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use muster_runtime::queue::{Next, WorkQueue};
use muster_runtime::watch::{Cache, Change, Key, Watch};
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;
use serde_json::json;

use super::Timing;
use super::address::AddressPool;
use super::machine::Machine;
use super::node::{node_address, node_name};

/// The field manager of simulated kubelets.
const MANAGER: &str = "kubelet";

/// How many pods are reported on at once.
const WORKERS: usize = 32;

#[derive(Clone)]
struct Kubelet {
    client: Client,
    clock: Clock,
    timing: Arc<Timing>,
    pods: Cache<Pod>,
    hosts: Arc<HashMap<String, Ipv4Addr>>,
    state: Arc<Mutex<State>>,
}

/// What the nodes know of their pods, by uid.
struct State {
    machines: HashMap<String, Machine>,
    addresses: AddressPool,
    /// When the container processes of a terminating pod have ended.
    ending: HashMap<String, Timestamp>,
}

/// Which cluster a kubelet simulation belongs to.
#[derive(Clone, Debug)]
pub struct Nodes {
    /// The cluster's name, part of its nodes' names.
    pub cluster: String,
    /// The cluster's place among all, which decides its pods' addresses.
    pub index: usize,
    /// How many nodes it has.
    pub count: usize,
}

/// Starts the kubelets of the cluster behind `client`.
pub fn start(client: &Client, clock: &Clock, timing: Timing, nodes: &Nodes, tasks: &Tasks) {
    let queue: WorkQueue<Key> = WorkQueue::new();
    let state = Arc::new(Mutex::new(State {
        machines: HashMap::new(),
        addresses: AddressPool::new(nodes.index),
        ending: HashMap::new(),
    }));
    let hosts: HashMap<_, _> =
        (0..nodes.count).map(|index| (node_name(&nodes.cluster, index), node_address(index))).collect();
    let (feed, gone) = (queue.clone(), Arc::clone(&state));
    let pods = Watch::new("kubelet-pods", Api::<Pod>::all(client.clone()))
        .subscribe(move |change| match change {
            Change::Applied { new, .. } => {
                gone.lock().remember(new);
                feed.add(Key::of(new.as_ref()));
            }
            Change::Deleted(pod) => gone.lock().forget(&pod.uid().unwrap_or_default()),
            Change::Synced => {}
        })
        .start(tasks);
    let kubelet = Kubelet {
        client: client.clone(),
        clock: clock.clone(),
        timing: Arc::new(timing),
        pods,
        hosts: Arc::new(hosts),
        state,
    };
    queue.run(tasks, "kubelet", WORKERS, move |key| {
        let kubelet = kubelet.clone();
        async move { kubelet.sync(&key).await }
    });
}

// === impl State ===

impl State {
    /// Keeps the address of a pod that was there before this simulation.
    fn remember(&mut self, pod: &Pod) {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
        if let (Some(uid), Some(Ok(address))) = (pod.uid(), address.map(str::parse)) {
            self.addresses.adopt(&uid, address);
        }
    }

    fn forget(&mut self, uid: &str) {
        self.machines.remove(uid);
        self.ending.remove(uid);
        self.addresses.release(uid);
    }
}

// === impl Kubelet ===

impl Kubelet {
    async fn sync(&self, key: &Key) -> Next {
        let Some(pod) = self.pods.get(key) else { return Next::Done };
        let (Some(uid), Some(host)) = (pod.uid(), self.host(&pod)) else { return Next::Done };
        let now = self.clock.now();
        if pod.metadata.deletion_timestamp.is_some() {
            return self.end(&pod, &uid, now).await;
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            return Next::Done;
        }
        let report = {
            let mut state = self.state.lock();
            let Some(address) = state.addresses.assign(&uid) else {
                tracing::warn!(pod = %key, "no address left in the cluster's range");
                return Next::After(Duration::from_secs(10));
            };
            let machine = state
                .machines
                .entry(uid.clone())
                .or_insert_with(|| Machine::new(&pod, address, host, &self.timing, now));
            machine.observe(&pod, &self.timing, now)
        };
        if differs(pod.status.as_ref(), &report.status)
            && let Err(error) = self.report(&pod, &report.status).await
        {
            if matches!(&error, kube::Error::Api(status) if status.is_not_found() || status.is_conflict()) {
                return Next::Done;
            }
            tracing::debug!(pod = %key, %error, "cannot report");
            return Next::Retry;
        }
        report.next.map_or(Next::Done, |at| Next::After(until(now, at)))
    }

    fn host(&self, pod: &Pod) -> Option<Ipv4Addr> {
        let node = pod.spec.as_ref()?.node_name.as_ref()?;
        self.hosts.get(node).copied()
    }

    /// Waits until the simulated processes have ended, then releases the pod.
    async fn end(&self, pod: &Pod, uid: &str, now: Timestamp) -> Next {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or_default();
        let pause = self
            .timing
            .draw(&self.timing.stop, &["stop", uid])
            .min(Duration::from_secs(u64::try_from(grace).unwrap_or_default()));
        let ends = {
            let pause = jiff::SignedDuration::try_from(pause).unwrap_or_default();
            let at = now.saturating_add(pause).unwrap_or(now);
            *self.state.lock().ending.entry(uid.to_owned()).or_insert(at)
        };
        if ends > now {
            return Next::After(until(now, ends));
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match api.delete(&pod.name_any(), &params).await {
            Ok(_) => Next::Done,
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Next::Done,
            Err(error) => {
                tracing::debug!(pod = %pod.name_any(), %error, "cannot release the pod");
                Next::Retry
            }
        }
    }

    async fn report(&self, pod: &Pod, status: &PodStatus) -> Result<(), kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        // As a kubelet does it: lists are merged by their keys, so conditions of others stay, and the
        // uid keeps the report from reaching a pod that took the name.
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": patched(status)});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        api.patch_status(&pod.name_any(), &params, &Patch::Strategic(patch)).await?;
        Ok(())
    }
}

/// `status` as a patch: a condition that holds takes the reason away that it had while it did not.
fn patched(status: &PodStatus) -> serde_json::Value {
    let mut patch = json!(status);
    let conditions = patch.get_mut("conditions").and_then(serde_json::Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(serde_json::Value::as_object_mut) {
        for field in ["reason", "message"] {
            condition.entry(field).or_insert(serde_json::Value::Null);
        }
    }
    patch
}

/// Whether `report` says anything that `current` does not say yet.
fn differs(current: Option<&PodStatus>, report: &PodStatus) -> bool {
    let Some(current) = current else { return true };
    let said = |wanted: &PodCondition| {
        let mut conditions = current.conditions.iter().flatten();
        conditions.any(|condition| condition == wanted)
    };
    current.phase != report.phase
        || current.container_statuses != report.container_statuses
        || current.init_container_statuses != report.init_container_statuses
        || current.pod_ip != report.pod_ip
        || current.host_ip != report.host_ip
        || current.observed_generation != report.observed_generation
        || !report.conditions.iter().flatten().all(said)
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_holds_loses_the_reason_it_had() {
        let condition = |type_: &str, reason: Option<&str>| PodCondition {
            type_: type_.to_owned(),
            status: "True".to_owned(),
            reason: reason.map(str::to_owned),
            ..PodCondition::default()
        };
        let conditions = vec![condition("Ready", None), condition("Initialized", Some("x"))];
        let patch = patched(&PodStatus { conditions: Some(conditions), ..PodStatus::default() });
        assert!(patch["conditions"][0]["reason"].is_null());
        assert!(patch["conditions"][0].as_object().unwrap().contains_key("reason"));
        assert_eq!(patch["conditions"][1]["reason"], "x");
    }
}
