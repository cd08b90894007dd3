//! What a cluster does about its nodes, as Kubernetes' node lifecycle controller does it: a node whose kubelet is silent
//! becomes unknown and tainted, its pods are deleted when their tolerations end and stay until somebody hears of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use muster_runtime::queue::{Next, WorkQueue};
use muster_runtime::watch::{Cache, Change, Key, Watch};
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::node::is_silent;
use super::{fit, later, stamp, until};

/// The field manager of the controllers of a cluster.
const MANAGER: &str = "kube-controller-manager";
/// How long nothing may be heard of a node before it is unknown, or of a node that was removed before its pods go.
pub const GRACE: Duration = Duration::from_secs(40);
/// The taint of a node that cannot be reached.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// The taint by which a person says that nothing runs on a node any more.
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

#[derive(Clone)]
struct Controller {
    client: Client,
    clock: Clock,
    pods: Cache<Pod>,
    nodes: Cache<Node>,
    /// Since when a node is silent or gone.
    since: Arc<Mutex<HashMap<String, Timestamp>>>,
}

/// Starts the controller of the cluster behind `client`.
pub fn start(client: &Client, clock: &Clock, tasks: &Tasks) {
    let queue: WorkQueue<String> = WorkQueue::new();
    let feed = queue.clone();
    let nodes = Watch::new("lifecycle-nodes", Api::<Node>::all(client.clone()))
        .subscribe(move |change| match change {
            Change::Applied { new: node, .. } | Change::Deleted(node) => feed.add(node.name_any()),
            Change::Synced => {}
        })
        .start(tasks);
    let feed = queue.clone();
    let pods = Watch::new("lifecycle-pods", Api::<Pod>::all(client.clone()))
        .subscribe(move |change| {
            let Change::Applied { old, new } = change else { return };
            let deleted = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
            let moved =
                old.as_ref().is_none_or(|old| node_of(old) != node_of(new) || deleted(old) != deleted(new));
            if let Some(node) = node_of(new).filter(|_| moved) {
                feed.add(node.to_owned());
            }
        })
        .start(tasks);
    let controller =
        Controller { client: client.clone(), clock: clock.clone(), pods, nodes, since: Arc::default() };
    queue.run(tasks, "node-lifecycle", 1, move |node| {
        let controller = controller.clone();
        async move { controller.tend(&node).await }
    });
}

/// What is to be done about a node.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Its conditions and taints are to be these.
    Write(Value),
    /// Nothing now.
    Settled,
}

// === impl Controller ===

impl Controller {
    async fn tend(&self, name: &str) -> Next {
        self.nodes.synced().await;
        self.pods.synced().await;
        let now = self.clock.now();
        let node = self.nodes.get(&Key::new("", name));
        let quiet = node.as_deref().is_none_or(is_silent);
        let since = {
            let mut known = self.since.lock();
            if quiet {
                Some(*known.entry(name.to_owned()).or_insert(now))
            } else {
                known.remove(name).and(None)
            }
        };
        if let Some(due) = since.map(|since| later(since, GRACE)).filter(|due| *due > now) {
            return Next::After(until(now, due));
        }
        match self.attend(name, node.as_deref(), now).await {
            Ok(next) => next.map_or(Next::Done, |at| Next::After(until(now, at))),
            Err(error) => {
                tracing::debug!(node = name, %error, "cannot tend a node");
                Next::Retry
            }
        }
    }

    /// Writes what is known of a node, and sends pods away. Answers with when the next one is to go.
    async fn attend(
        &self,
        name: &str,
        node: Option<&Node>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, kube::Error> {
        if node.is_some_and(|node| at_rest(node, now)) {
            return Ok(None);
        }
        let pods = self.pods.list();
        let pods: Vec<_> = pods.iter().filter(|pod| node_of(pod) == Some(name)).collect();
        let Some(node) = node else {
            for pod in pods {
                self.delete(pod, Some(0)).await?;
            }
            self.since.lock().remove(name);
            return Ok(None);
        };
        if let Verdict::Write(patch) = verdict(node, is_silent(node), now) {
            let api: Api<Node> = Api::all(self.client.clone());
            api.patch_status(name, &params(), &Patch::Strategic(json!({"status": patch["status"]}))).await?;
            let spec = json!({"spec": patch["spec"]});
            api.patch(name, &params(), &Patch::Merge(spec)).await?;
            // The watch brings the node again, with its taints.
            if is_silent(node) {
                for pod in pods {
                    self.mark_unready(pod, now).await?;
                }
            }
            return Ok(None);
        }
        let mut next: Option<Timestamp> = None;
        for pod in pods {
            match leaves(pod, node, now) {
                Leaves::Never => {}
                Leaves::At(at) if at > now => next = Some(next.map_or(at, |next| next.min(at))),
                Leaves::At(_) => self.delete(pod, None).await?,
                Leaves::ForGood => self.delete(pod, Some(0)).await?,
            }
        }
        Ok(next)
    }

    async fn delete(&self, pod: &Pod, grace: Option<u32>) -> Result<(), kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let preconditions = Some(Preconditions { uid: pod.uid(), resource_version: None });
        let params = DeleteParams { grace_period_seconds: grace, preconditions, ..DeleteParams::default() };
        done(api.delete(&pod.name_any(), &params).await.map(|_| ()))
    }

    /// A pod that nobody hears of serves nobody.
    async fn mark_unready(&self, pod: &Pod, now: Timestamp) -> Result<(), kube::Error> {
        let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        if !conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True") {
            return Ok(());
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let ready = json!({"type": "Ready", "status": "False", "lastTransitionTime": stamp(now)});
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [ready]}});
        done(api.patch_status(&pod.name_any(), &params(), &Patch::Strategic(patch)).await.map(|_| ()))
    }
}

/// Whether there is nothing to do about a node and its pods, as nearly always.
fn at_rest(node: &Node, now: Timestamp) -> bool {
    verdict(node, is_silent(node), now) == Verdict::Settled
        && taints(node).iter().all(|taint| taint.effect != "NoExecute" && taint.key != OUT_OF_SERVICE)
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

/// What is gone, or was replaced, needs nothing.
fn done(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        other => other,
    }
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|node| !node.is_empty())
}

fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

/// What is to be written of a node that is silent or speaks.
fn verdict(node: &Node, silent: bool, now: Timestamp) -> Verdict {
    let tainted = taints(node).iter().any(|taint| taint.key == UNREACHABLE);
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let conditions: Vec<_> = conditions.collect();
    let unknown =
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "Unknown");
    if silent == tainted && silent == unknown {
        return Verdict::Settled;
    }
    let mut wanted: Vec<Value> =
        taints(node).iter().filter(|taint| taint.key != UNREACHABLE).map(|taint| json!(taint)).collect();
    if silent {
        wanted.extend(
            ["NoSchedule", "NoExecute"]
                .map(|effect| json!({"key": UNREACHABLE, "effect": effect, "timeAdded": stamp(now)})),
        );
    }
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|condition| {
            let ready = condition.type_ == "Ready";
            let (status, reason, message) = match silent {
                true => ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status."),
                false if ready => ("True", "KubeletReady", "kubelet is posting ready status"),
                false => ("False", at_ease(&condition.type_), ""),
            };
            json!({"type": condition.type_, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": stamp(now)})
        })
        .collect();
    Verdict::Write(json!({"status": {"conditions": conditions}, "spec": {"taints": wanted}}))
}

/// The reason of a condition that is well not to have.
fn at_ease(condition: &str) -> &'static str {
    match condition {
        "MemoryPressure" => "KubeletHasSufficientMemory",
        "DiskPressure" => "KubeletHasNoDiskPressure",
        _ => "KubeletHasSufficientPID",
    }
}

/// When a pod leaves its node.
#[derive(Debug, PartialEq, Eq)]
enum Leaves {
    Never,
    At(Timestamp),
    /// Nothing waits for its processes.
    ForGood,
}

/// When a pod leaves a node for the node's taints: at once, or when what it tolerates ends.
fn leaves(pod: &Pod, node: &Node, now: Timestamp) -> Leaves {
    let deleting = pod.metadata.deletion_timestamp.is_some();
    if deleting {
        let given_up = taints(node).iter().any(|taint| taint.key == OUT_OF_SERVICE);
        return if given_up && is_silent(node) { Leaves::ForGood } else { Leaves::Never };
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Leaves::Never;
    }
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let mut earliest: Option<Timestamp> = None;
    for taint in taints(node).iter().filter(|taint| taint.effect == "NoExecute") {
        let since = taint.time_added.as_ref().map_or(now, |time| time.0);
        let tolerated: Vec<_> =
            tolerations.iter().filter(|toleration| fit::tolerates(toleration, taint)).collect();
        let at = if tolerated.is_empty() {
            since
        } else {
            let Some(seconds) = tolerated.iter().filter_map(|toleration| toleration.toleration_seconds).min()
            else {
                continue;
            };
            since.saturating_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(Timestamp::MAX)
        };
        earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
    }
    earliest.map_or(Leaves::Never, Leaves::At)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn node(silent: &str, taints: &Value) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "n", "annotations": {"sandbox.muster.dev/silent": silent}},
            "spec": {"taints": taints},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]},
        }))
        .unwrap()
    }

    fn pod(tolerations: &Value, deleting: bool) -> Pod {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "tolerations": tolerations, "containers": []}});
        if deleting {
            pod["metadata"]["deletionTimestamp"] = "2023-01-01T00:00:00Z".into();
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_silent_node_is_unknown_and_tainted_until_it_speaks() {
        let other = json!([{"key": "gpu", "effect": "NoSchedule"}]);
        let silent = node("true", &other);
        let Verdict::Write(patch) = verdict(&silent, true, now()) else { panic!("nothing to write") };
        assert_eq!(patch["spec"]["taints"].as_array().unwrap().len(), 3);
        assert_eq!(patch["status"]["conditions"][0]["status"], "Unknown");
        let mut lost = node("false", &patch["spec"]["taints"]);
        lost.status = serde_json::from_value(patch["status"].clone()).unwrap();
        assert_eq!(verdict(&lost, true, now()), Verdict::Settled);
        let Verdict::Write(back) = verdict(&lost, false, now()) else { panic!("nothing to write") };
        assert_eq!(back["spec"]["taints"], other);
        assert_eq!(back["status"]["conditions"][0]["status"], "True");
        assert_eq!(verdict(&node("false", &other), false, now()), Verdict::Settled);
    }

    #[test]
    fn pods_leave_when_what_they_tolerate_ends() {
        let taint = json!([{"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": stamp(now())}]);
        let lost = node("true", &taint);
        let tolerates = |seconds: Value| json!([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
        assert_eq!(leaves(&pod(&json!([]), false), &lost, now()), Leaves::At(now()));
        let five = Leaves::At(later(now(), Duration::from_mins(5)));
        assert_eq!(leaves(&pod(&tolerates(300.into()), false), &lost, now()), five);
        assert_eq!(leaves(&pod(&tolerates(Value::Null), false), &lost, now()), Leaves::Never);
        assert_eq!(leaves(&pod(&json!([]), true), &lost, now()), Leaves::Never);
        let given_up =
            node("true", &json!([{"key": OUT_OF_SERVICE, "effect": "NoExecute", "value": "nodeshutdown"}]));
        assert_eq!(leaves(&pod(&json!([]), true), &given_up, now()), Leaves::ForGood);
    }
}
