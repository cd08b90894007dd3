//! The kubelets of a simulated cluster, all nodes in one: reports what each [`Machine`] says.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, PodStatus};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use muster_runtime::queue::{Next, WorkQueue};
use muster_runtime::watch::{Cache, Change, Key, Watch};
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;
use serde_json::json;

use super::address::AddressPool;
use super::machine::{Machine, PASSING, Report};
use super::node::{allocatable, is_silent, node_address, node_name};
use super::resize::{Amounts, Room};
use super::{Host, Timing, until};

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
    nodes: Cache<Node>,
    hosts: Arc<HashMap<String, Ipv4Addr>>,
    state: Arc<Mutex<State>>,
}

/// What the nodes know of their pods, by uid.
struct State {
    machines: HashMap<String, Machine>,
    addresses: AddressPool,
    /// What is on each node, by its name.
    hosts: HashMap<String, Host>,
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
        hosts: HashMap::new(),
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
    let nodes = watch_nodes(client, &queue, &pods, tasks);
    let kubelet = Kubelet {
        client: client.clone(),
        clock: clock.clone(),
        timing: Arc::new(timing),
        pods,
        nodes,
        hosts: Arc::new(hosts),
        state,
    };
    queue.run(tasks, "kubelet", WORKERS, move |key| {
        let kubelet = kubelet.clone();
        async move { kubelet.sync(&key).await }
    });
}

/// Watches the nodes: one that speaks again, or has other amounts, looks at its pods again.
fn watch_nodes(client: &Client, queue: &WorkQueue<Key>, pods: &Cache<Pod>, tasks: &Tasks) -> Cache<Node> {
    let (queue, pods) = (queue.clone(), pods.clone());
    let said = |node: &Node| (is_silent(node), allocatable(node));
    Watch::new("kubelet-nodes", Api::<Node>::all(client.clone()))
        .subscribe(move |change| {
            let Change::Applied { old: Some(old), new } = change else { return };
            if said(old) == said(new) {
                return;
            }
            for pod in pods.list().iter().filter(|pod| node_of(pod) == Some(&new.name_any())) {
                queue.add(Key::of(pod.as_ref()));
            }
        })
        .start(tasks)
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref())
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

    /// What the pods of a node hold of it, but for one.
    fn held_by_others(&self, node: &str, uid: &str) -> Amounts {
        let others = self.machines.iter().filter(|(other, machine)| *other != uid && machine.node() == node);
        others.map(|(_, machine)| machine.held()).fold(Amounts::default(), Amounts::and)
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
        self.nodes.synced().await;
        let node = self.nodes.get(&Key::new("", node_of(&pod).unwrap_or_default()));
        // Nobody hears of the pods of a node that is silent, nor do they hear of anybody.
        if node.as_deref().is_some_and(is_silent) {
            return Next::Done;
        }
        let now = self.clock.now();
        if pod.metadata.deletion_timestamp.is_some() {
            return self.end(&pod, &uid, now).await;
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            return Next::Done;
        }
        let Some(report) = self.observe(&pod, &uid, host, node.as_deref(), now) else {
            tracing::warn!(pod = %key, "no address left in the cluster's range");
            return Next::After(Duration::from_secs(10));
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

    /// What a pod's machine says; `None` when there is no address for the pod.
    fn observe(
        &self,
        pod: &Pod,
        uid: &str,
        host: Ipv4Addr,
        node: Option<&Node>,
        now: Timestamp,
    ) -> Option<Report> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let address = state.addresses.assign(uid)?;
        let name = node_of(pod).unwrap_or_default();
        let resizes = state.machines.get(uid).is_some_and(|machine| machine.resizes(pod));
        let others = if resizes { state.held_by_others(name, uid) } else { Amounts::default() };
        let room = Room { allocatable: node.map(allocatable).unwrap_or_default(), others };
        let machine = state
            .machines
            .entry(uid.to_owned())
            .or_insert_with(|| Machine::new(pod, address, host, &self.timing, now));
        let host = state.hosts.entry(name.to_owned()).or_default();
        Some(machine.observe(pod, host, room, &self.timing, now))
    }

    fn host(&self, pod: &Pod) -> Option<Ipv4Addr> {
        self.hosts.get(node_of(pod)?).copied()
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
        let patch =
            json!({"metadata": {"uid": pod.metadata.uid}, "status": patched(status, pod.status.as_ref())});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        api.patch_status(&pod.name_any(), &params, &Patch::Strategic(patch)).await?;
        Ok(())
    }
}

/// `status` as a patch: a condition that holds takes the reason away that it had while it did not, and one that is there
/// only while it holds goes.
fn patched(status: &PodStatus, current: Option<&PodStatus>) -> serde_json::Value {
    let mut patch = json!(status);
    let conditions = patch.get_mut("conditions").and_then(serde_json::Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(serde_json::Value::as_object_mut) {
        for field in ["reason", "message"] {
            condition.entry(field).or_insert(serde_json::Value::Null);
        }
    }
    let over = current.into_iter().flat_map(|current| passed(current, status));
    let over = over.map(|kind| json!({"$patch": "delete", "type": kind}));
    if let Some(conditions) = patch.get_mut("conditions").and_then(serde_json::Value::as_array_mut) {
        conditions.extend(over);
    }
    patch
}

/// Conditions that `current` still has and `report` has no more.
fn passed(current: &PodStatus, report: &PodStatus) -> Vec<&'static str> {
    let has = |status: &PodStatus, kind: &str| {
        status.conditions.iter().flatten().any(|condition| condition.type_ == kind)
    };
    PASSING.into_iter().filter(|kind| has(current, kind) && !has(report, kind)).collect()
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
        || current.reason != report.reason
        || !passed(current, report).is_empty()
        || !report.conditions.iter().flatten().all(said)
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
        let report = PodStatus { conditions: Some(conditions), ..PodStatus::default() };
        let current =
            PodStatus { conditions: Some(vec![condition(PASSING[0], None)]), ..PodStatus::default() };
        let patch = patched(&report, Some(&current));
        assert!(patch["conditions"][0]["reason"].is_null());
        assert!(patch["conditions"][0].as_object().unwrap().contains_key("reason"));
        assert_eq!(patch["conditions"][1]["reason"], "x");
        assert_eq!(patch["conditions"][2], json!({"$patch": "delete", "type": PASSING[0]}));
        assert!(differs(Some(&current), &report));
    }
}
