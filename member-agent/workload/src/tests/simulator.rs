//! A world of one set: objects as JSON, writes with preconditions, and kubelets that do one thing when told.

mod hooks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::cluster::{merge_json, read_claim};
use super::kubelets::Nodes;
use crate::{Action, Code, Node, Plan, Pod, Refusal, Revision, Snapshot, Step, plan};

/// A set, its pods and what carries them.
#[derive(Clone)]
pub(super) struct World {
    pub(super) set: Value,
    pub(super) pods: BTreeMap<String, Value>,
    pub(super) revisions: BTreeMap<String, Value>,
    pub(super) claims: BTreeMap<String, Value>,
    pub(super) hooks: hooks::Hooks,
    pub(super) now: Timestamp,
    /// Writes so far, as verb, object and reason.
    pub(super) writes: Vec<String>,
    /// What pods run on.
    pub(super) machines: Nodes,
    /// Nodes as the API has them; where there are none, it knows of no node.
    pub(super) nodes: BTreeMap<String, Node>,
    /// Other sets of the namespace.
    pub(super) siblings: Vec<Value>,
    /// Writes to be refused, by the beginning of their titles, and how often.
    pub(super) refused: BTreeMap<String, usize>,
    /// What was refused since the last plan.
    pub(super) refusals: Vec<Refusal>,
    seen: BTreeMap<String, Arc<Pod>>,
    pub(super) versions: u64,
}

impl World {
    /// A set of `replicas` pods of one container with image `game:1`.
    pub(super) fn new(replicas: i64, policy: &str, strategy: &Value) -> Self {
        let set = json!({
            "apiVersion": "tkex.tencent.com/v1alpha1",
            "kind": "GameStatefulSet",
            "metadata": {"name": "game", "namespace": "fleet", "uid": "set-uid", "generation": 1},
            "spec": {
                "replicas": replicas,
                "serviceName": "game",
                "podManagementPolicy": policy,
                "selector": {"matchLabels": {"app": "game"}},
                "template": {
                    "metadata": {"labels": {"app": "game"}},
                    "spec": {"containers": [{"name": "center", "image": "game:1"}]},
                },
                "updateStrategy": strategy,
            },
        });
        Self {
            set,
            pods: BTreeMap::new(),
            revisions: BTreeMap::new(),
            claims: BTreeMap::new(),
            hooks: hooks::Hooks::default(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            writes: Vec::new(),
            machines: Nodes::default(),
            nodes: BTreeMap::new(),
            siblings: Vec::new(),
            refused: BTreeMap::new(),
            refusals: Vec::new(),
            seen: BTreeMap::new(),
            versions: 0,
        }
    }

    /// Changes the set's spec.
    pub(super) fn edit(&mut self, edit: impl FnOnce(&mut Value)) {
        edit(&mut self.set["spec"]);
        self.set["metadata"]["generation"] = json!(self.set["metadata"]["generation"].as_i64().unwrap() + 1);
    }

    pub(super) fn set_image(&mut self, image: &str) {
        self.edit(|spec| spec["template"]["spec"]["containers"][0]["image"] = json!(image));
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// What the planner sees.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        let mut pods = Vec::new();
        for (name, value) in &self.pods {
            let typed = serde_json::from_value(value.clone()).unwrap();
            let pod = Arc::new(Pod::read(&typed, self.now, self.seen.get(name).map(AsRef::as_ref)).unwrap());
            self.seen.insert(name.clone(), Arc::clone(&pod));
            pods.push(pod);
        }
        let revision =
            |value: &Value| Revision::read(&serde_json::from_value(value.clone()).unwrap()).unwrap();
        let set = Arc::new(serde_json::from_value(self.set.clone()).unwrap());
        Snapshot {
            revisions: self.revisions.values().map(revision).map(Arc::new).collect(),
            pods,
            hooks: self.hooks.enforcement(),
            hook_runs: self.hooks.snapshot(),
            hook_templates: self.hooks.templates(),
            namespace_deleted: self.hooks.namespace_deleted,
            claims: self
                .claims
                .iter()
                .map(|(name, claim)| (name.clone(), Arc::new(read_claim(claim))))
                .collect(),
            nodes: self.nodes.clone(),
            siblings: self.siblings.iter().map(|set| serde_json::from_value(set.clone()).unwrap()).collect(),
            refusals: std::mem::take(&mut self.refusals),
            ..Snapshot::of(set)
        }
    }

    /// The plan for what there is.
    pub(super) fn plan(&mut self) -> Plan {
        let snapshot = self.snapshot();
        plan(&snapshot, self.now).unwrap()
    }

    /// Keeps the plan's status.
    pub(super) fn record(&mut self, plan: &Plan) {
        self.set["status"] = serde_json::to_value(&plan.status).unwrap();
    }

    /// Plans and writes until nothing is to be written; answers the last plan.
    pub(super) fn settle(&mut self) -> Plan {
        for _ in 0..1000 {
            let plan = self.plan();
            for step in &plan.steps {
                self.apply(step);
            }
            let before = self.set["status"].clone();
            self.record(&plan);
            if plan.steps.is_empty() && self.set["status"] == before {
                return plan;
            }
        }
        panic!("never settles: {:?}", self.writes.iter().rev().take(20).collect::<Vec<_>>());
    }

    /// Plans, writes and lets kubelets and time go on until nothing is left to do; answers the last plan.
    pub(super) fn converge(&mut self) -> Plan {
        for _ in 0..1000 {
            let mut plan = self.settle();
            let before = self.versions;
            self.kubelets();
            if self.versions == before {
                match plan.recheck_after {
                    None => return plan,
                    Some(after) => self.now += SignedDuration::try_from(after).unwrap(),
                }
                plan = self.plan();
                if plan.steps.is_empty() && plan.recheck_after.is_none() {
                    self.record(&plan);
                    return plan;
                }
            }
        }
        panic!("never converges: {:?}", self.writes.iter().rev().take(20).collect::<Vec<_>>());
    }

    /// Carries a step out; false when a precondition failed.
    pub(super) fn apply(&mut self, step: &Step) -> bool {
        let done = self.try_apply(step).is_some();
        if done {
            self.writes.push(format!("{} {}", step.action.title(), step.reason.code));
            // What a write returns is seen at once.
            self.snapshot();
        }
        done
    }

    fn try_apply(&mut self, step: &Step) -> Option<()> {
        self.is_accepted(step).then_some(())?;
        match &step.action {
            Action::CreateRevision { name, body } => {
                let body = self.born(body);
                insert_new(&mut self.revisions, name.as_str(), body)
            }
            Action::PatchRevision { name, body } => {
                let version = self.next_version();
                patch(self.revisions.get_mut(name.as_str())?, body, &version)
            }
            Action::DeleteRevision { name, uid } => {
                let held = self.revisions.get(name.as_str())?;
                (held["metadata"]["uid"] == uid.as_str()).then_some(())?;
                self.revisions.remove(name.as_str()).map(drop)
            }
            Action::CreateClaims { claims } => {
                self.create_claims(claims);
                Some(())
            }
            Action::CreatePod { name, claims, body } => {
                self.create_claims(claims);
                let mut body = self.born(body);
                body["metadata"]["generation"] = json!(1);
                body["status"] = json!({"phase": "Pending"});
                self.schedule(&mut body);
                insert_new(&mut self.pods, name.as_str(), body)
            }
            Action::PatchPod { name, body }
            | Action::PatchPodStatus { name, body }
            | Action::ResizePod { name, body } => {
                let version = self.next_version();
                patch(self.pods.get_mut(name.as_str())?, body, &version)
            }
            Action::ForceDeletePod { name, uid } => {
                let held = self.pods.get(name.as_str())?;
                (held["metadata"]["uid"] == uid.as_str()).then_some(())?;
                self.seen.remove(name.as_str());
                self.pods.remove(name.as_str()).map(drop)
            }
            Action::PatchClaim { name, body } => {
                let version = self.next_version();
                let claim = self.claims.get_mut(name.as_str())?;
                is_same(claim, body).then_some(())?;
                merge_json(claim, body);
                claim["metadata"]["resourceVersion"] = json!(version);
                Some(())
            }
            Action::CreateHookRun { name, body } => {
                let body = self.born(body);
                insert_new(&mut self.hooks.runs, name.as_str(), body)
            }
            Action::PatchHookRun { name, body } => {
                let version = self.next_version();
                patch(self.hooks.runs.get_mut(name.as_str())?, body, &version)
            }
            Action::DeleteHookRun { name, uid } => {
                let held = self.hooks.runs.get(name.as_str())?;
                (held["metadata"]["uid"] == uid.as_str()).then_some(())?;
                self.hooks.runs.remove(name.as_str()).map(drop)
            }
            Action::PatchSet { body, .. } => {
                let version = self.next_version();
                patch(&mut self.set, body, &version)
            }
            Action::ReplacePod { name, uid, version } => {
                let held = self.pods.get(name.as_str())?;
                (held["metadata"]["resourceVersion"] == version.as_str()).then_some(())?;
                self.begin_deletion(name.as_str(), uid.as_str())
            }
            Action::DeletePod { name, uid } => self.begin_deletion(name.as_str(), uid.as_str()),
        }
    }

    fn begin_deletion(&mut self, name: &str, uid: &str) -> Option<()> {
        let version = self.next_version();
        let now = self.now;
        let pod = self.pods.get_mut(name)?;
        (pod["metadata"]["uid"] == uid).then_some(())?;
        pod["metadata"]["deletionTimestamp"] = json!(now);
        pod["metadata"]["resourceVersion"] = json!(version);
        Some(())
    }

    fn create_claims(&mut self, claims: &[(String, Value)]) {
        for (name, body) in claims {
            // One that exists serves.
            if !self.claims.contains_key(name) {
                let body = self.born(body);
                self.claims.insert(name.clone(), body);
            }
        }
    }

    fn born(&mut self, body: &Value) -> Value {
        let mut body = body.clone();
        let version = self.next_version();
        body["metadata"]["uid"] = json!(format!("uid-{version}"));
        body["metadata"]["resourceVersion"] = json!(version);
        body["metadata"]["creationTimestamp"] = json!(self.now);
        body
    }

    pub(super) fn next_version(&mut self) -> String {
        self.versions += 1;
        self.versions.to_string()
    }

    /// The controller starts afresh and remembers nothing.
    pub(super) fn restart(&mut self) {
        self.seen.clear();
    }

    // === kubelets ===

    /// Every kubelet does all it can.
    pub(super) fn kubelets(&mut self) {
        let names: Vec<String> = self.pods.keys().cloned().collect();
        for name in names {
            while self.kubelet(&name) {}
        }
        self.collect_claims();
    }

    /// The kubelet of one pod does the next thing; false when nothing is to be done.
    pub(super) fn kubelet(&mut self, name: &str) -> bool {
        let Some(mut pod) = self.pods.get(name).cloned() else { return false };
        let before = pod.clone();
        if self.is_cut_off(&pod) {
            return false;
        }
        if pod["metadata"]["deletionTimestamp"].is_string() {
            self.next_version();
            self.pods.remove(name);
            self.seen.remove(name);
            return true;
        }
        if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) || self.lacks_claims(&pod)
        {
            return false;
        }
        self.machines.schedule(&mut pod);
        if !self.machines.observe || pod["status"]["observedGeneration"] == pod["metadata"]["generation"] {
            self.run_containers(&mut pod);
        } else {
            pod["status"]["observedGeneration"] = pod["metadata"]["generation"].clone();
        }
        set_ready(&mut pod, self.now);
        if pod == before {
            return false;
        }
        pod["metadata"]["resourceVersion"] = json!(self.next_version());
        self.pods.insert(name.to_owned(), pod);
        true
    }

    fn run_containers(&mut self, pod: &mut Value) {
        let (nodes, now) = (self.machines.clone(), self.now);
        nodes.run(pod, now, || self.next_version());
        pod["status"]["podIP"] = json!("10.1.0.1");
        pod["status"]["hostIP"] = json!("10.0.0.1");
    }

    /// The pod's containers end for good.
    pub(super) fn fail(&mut self, name: &str) {
        let version = self.next_version();
        let now = self.now;
        if let Some(pod) = self.pods.get_mut(name) {
            pod["status"]["phase"] = json!("Failed");
            pod["metadata"]["resourceVersion"] = json!(version);
            set_ready(pod, now);
        }
    }

    /// Somebody deletes the pod.
    pub(super) fn delete(&mut self, name: &str) {
        let version = self.next_version();
        if let Some(pod) = self.pods.get_mut(name) {
            pod["metadata"]["deletionTimestamp"] = json!(self.now);
            pod["metadata"]["resourceVersion"] = json!(version);
        }
    }

    /// The kubelet forgets that the container ever ran, as after a crash: a new one runs the same image.
    pub(super) fn crash(&mut self, name: &str) {
        let id = self.next_version();
        let version = self.next_version();
        let now = self.now;
        let Some(status) = self.pods.get_mut(name) else { return };
        if let Some(container) = status.pointer_mut("/status/containerStatuses/0") {
            container["containerID"] = json!(format!("containerd://{id}"));
            container["ready"] = json!(false);
            container["state"] = json!({"running": {"startedAt": now}});
            status["metadata"]["resourceVersion"] = json!(version);
            set_ready(status, now);
        }
    }

    // === questions ===

    pub(super) fn images(&self) -> Vec<&str> {
        self.in_order().filter_map(|pod| pod.pointer("/spec/containers/0/image")?.as_str()).collect()
    }

    pub(super) fn uids(&self) -> BTreeMap<String, String> {
        let uid = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap().to_owned();
        self.pods.iter().map(|(name, pod)| (name.clone(), uid(pod))).collect()
    }

    pub(super) fn ordinals(&self) -> Vec<u32> {
        let ordinals: BTreeSet<u32> =
            self.pods.keys().filter_map(|name| crate::identity::ordinal("game", name)).collect();
        ordinals.into_iter().collect()
    }

    fn in_order(&self) -> impl Iterator<Item = &Value> {
        self.ordinals().into_iter().filter_map(|ordinal| self.pods.get(&format!("game-{ordinal}")))
    }

    /// Writes since a mark.
    pub(super) fn writes_since(&self, mark: usize) -> Vec<&str> {
        self.writes[mark..].iter().map(String::as_str).collect()
    }

    /// How many of the set's wanted ordinals have no pod that serves.
    pub(super) fn unavailable(&mut self, ordinals: &[u32]) -> usize {
        let snapshot = self.snapshot();
        let serving = |ordinal: &u32| {
            let name = format!("game-{ordinal}");
            snapshot.pods.iter().any(|pod| {
                pod.name == name.as_str() && pod.is_ready() && pod.stage() == crate::inplace::Stage::Idle
            })
        };
        ordinals.iter().filter(|ordinal| !serving(ordinal)).count()
    }

    /// The codes of the waits.
    pub(super) fn codes(plan: &Plan) -> BTreeSet<Code> {
        plan.waits.iter().map(|wait| wait.reason.code).collect()
    }
}

fn insert_new(into: &mut BTreeMap<String, Value>, name: &str, body: Value) -> Option<()> {
    (!into.contains_key(name)).then(|| into.insert(name.to_owned(), body)).map(drop)
}

/// Ready is what the containers and the gates say.
fn set_ready(pod: &mut Value, now: Timestamp) {
    let containers = pod["status"]["containerStatuses"].as_array();
    let running = pod["status"]["phase"] == "Running";
    let containers = running
        && containers.is_some_and(|containers| containers.iter().all(|container| container["ready"] == true));
    let sidecars = pod["status"]["initContainerStatuses"].as_array();
    let sidecars = sidecars.is_none_or(|sidecars| sidecars.iter().all(|sidecar| sidecar["ready"] == true));
    let containers = containers && sidecars;
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let open = |gate: &Value| {
        let condition = conditions.iter().find(|condition| condition["type"] == gate["conditionType"]);
        condition.is_some_and(|condition| condition["status"] == "True")
    };
    let gates = pod["spec"]["readinessGates"].as_array().is_none_or(|gates| gates.iter().all(open));
    let ready = if containers && gates { "True" } else { "False" };
    let old = conditions.iter().find(|condition| condition["type"] == "Ready");
    if old.is_some_and(|old| old["status"] == ready) {
        return;
    }
    let condition = json!({"type": "Ready", "status": ready, "lastTransitionTime": now});
    merge(&mut pod["status"], &json!({"conditions": [condition]}));
}

/// Whether the object is the one, and as it was, that a patch is for.
fn is_same(object: &Value, patch: &Value) -> bool {
    ["uid", "resourceVersion"].iter().all(|field| {
        let wanted = &patch["metadata"][field];
        wanted.is_null() || *wanted == object["metadata"][field]
    })
}

/// A strategic merge patch with uid and resourceVersion as preconditions.
fn patch(object: &mut Value, body: &Value, version: &str) -> Option<()> {
    is_same(object, body).then_some(())?;
    let spec = object["spec"].clone();
    merge(object, body);
    object["metadata"]["resourceVersion"] = json!(version);
    if object["spec"] != spec {
        let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
        object["metadata"]["generation"] = json!(generation + 1);
    }
    Some(())
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let into = into.as_object_mut().unwrap();
    for (name, member) in members {
        let key = match name.as_str() {
            "containers" | "initContainers" => Some("name"),
            "conditions" => Some("type"),
            "ownerReferences" => Some("uid"),
            _ => None,
        };
        match (member, key) {
            (Value::Null, _) => {
                into.remove(name);
            }
            (Value::Array(elements), Some(key)) => {
                let list = into.entry(name.clone()).or_insert_with(|| json!([])).as_array_mut().unwrap();
                for element in elements {
                    if element["$patch"] == "delete" {
                        list.retain(|old| old[key] != element[key]);
                    } else if let Some(old) = list.iter_mut().find(|old| old[key] == element[key]) {
                        merge(old, element);
                    } else {
                        list.push(element.clone());
                    }
                }
            }
            _ => merge(into.entry(name.clone()).or_insert(Value::Null), member),
        }
    }
}
