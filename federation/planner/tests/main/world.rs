//! A small world to plan in, and a way to show a plan as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use muster_crds::{ClusterName, FederatedGameStatefulSet, ReplicaSchedulingPreference};
use muster_planner::{
    Capacity, Contact, FederatedObject, Fleet, Intent, Inventory, Member, Observed, Plan, Preference,
    Settings, input, plan,
};
use serde_json::{Value, json};

/// When the hub first saw every object here.
pub(crate) const START: Timestamp = Timestamp::constant(1_600_000_000, 0);

pub(crate) fn name(name: &str) -> ClusterName {
    ClusterName::new(name).unwrap()
}

/// A FederatedGameStatefulSet `games/lobby` with this spec.
pub(crate) fn manifest(spec: &Value) -> Value {
    json!({
        "apiVersion": "types.kubefed.io/v1beta1",
        "kind": "FederatedGameStatefulSet",
        "metadata": {"name": "lobby", "namespace": "games", "uid": "7c9e6679", "generation": 3},
        "spec": spec,
    })
}

/// A template with these replicas.
pub(crate) fn template(replicas: u32) -> Value {
    json!({
        "metadata": {"labels": {"app": "lobby"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "lobby"}},
            "template": {
                "metadata": {"labels": {"app": "lobby"}},
                "spec": {"containers": [{"name": "lobby", "image": "lobby:v1"}]},
            },
        },
    })
}

/// A spec placed in these clusters, with 200 replicas.
pub(crate) fn placed(clusters: &[&str]) -> Value {
    let clusters: Vec<Value> = clusters.iter().map(|name| json!({"name": name})).collect();
    json!({"template": template(200), "placement": {"clusters": clusters}})
}

pub(crate) fn object(manifest: Value) -> FederatedObject {
    let typed: FederatedGameStatefulSet = serde_json::from_value(manifest).unwrap();
    input::federated(&typed).unwrap()
}

pub(crate) fn preference(spec: &Value) -> Preference {
    let mut spec = spec.clone();
    if spec.get("targetKind").is_none() {
        spec["targetKind"] = json!("FederatedGameStatefulSet");
    }
    let typed: ReplicaSchedulingPreference = serde_json::from_value(json!({
        "apiVersion": "scheduling.kubefed.io/v1alpha1",
        "kind": "ReplicaSchedulingPreference",
        "metadata": {"name": "lobby", "namespace": "games"},
        "spec": spec,
    }))
    .unwrap();
    input::preference(&typed).unwrap()
}

/// A preference that divides by these weights.
pub(crate) fn weights(weights: &[(&str, i64)]) -> Value {
    let clusters: BTreeMap<&str, Value> =
        weights.iter().map(|(name, weight)| (*name, json!({"weight": weight}))).collect();
    json!({"clusters": clusters})
}

/// Everything one plan is made from, changed step by step as a hub would see it change.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) manifest: Value,
    pub(crate) preference: Option<Preference>,
    pub(crate) observed: Observed,
    pub(crate) now: Timestamp,
}

impl World {
    /// Clusters that are ready and have reported that they hold nothing; an object placed in all of them.
    pub(crate) fn new(clusters: &[&str]) -> Self {
        let mut world = Self {
            fleet: Fleet::default(),
            manifest: manifest(&placed(clusters)),
            preference: None,
            observed: Observed { first_seen: START, ..Observed::default() },
            now: START + SignedDuration::from_secs(60),
        };
        for cluster in clusters {
            world.fleet.clusters.insert(name(cluster), Member::new(Contact::Ready));
            world.observed.inventory.insert(name(cluster), Inventory::Nothing);
        }
        world
    }

    pub(crate) fn prefer(mut self, spec: &Value) -> Self {
        self.preference = Some(preference(spec));
        self
    }

    /// Recorded seats.
    pub(crate) fn seats(mut self, seats: &[(&str, u32)]) -> Self {
        self.observed.seats = Some(seats.iter().map(|(cluster, seats)| (name(cluster), *seats)).collect());
        self
    }

    pub(crate) fn spec(&mut self) -> &mut Value {
        &mut self.manifest["spec"]
    }

    pub(crate) fn replicas(&mut self, replicas: i64) {
        self.spec()["template"]["spec"]["replicas"] = json!(replicas);
    }

    pub(crate) fn annotate(&mut self, key: &str, value: &str) {
        self.manifest["metadata"]["annotations"][key] = json!(value);
    }

    pub(crate) fn member(&mut self, cluster: &str) -> &mut Member {
        self.fleet.clusters.get_mut(cluster).unwrap()
    }

    pub(crate) fn capacity(&mut self, cluster: &str, replicas: u32, unacknowledged: u32, unscheduled: u32) {
        let capacity = Capacity { replicas, unacknowledged, unscheduled };
        self.observed.capacity.insert(name(cluster), capacity);
    }

    pub(crate) fn object(&self) -> FederatedObject {
        object(self.manifest.clone())
    }

    pub(crate) fn plan(&self) -> Plan {
        let object = self.object();
        let settings = Settings::default();
        plan(&self.fleet, &object, self.preference.as_ref(), &self.observed, &settings, self.now)
    }

    /// Plans, and records the plan as the hub does.
    pub(crate) fn step(&mut self) -> Plan {
        let plan = self.plan();
        self.observed.seats = Some(plan.seats.clone());
        self.observed.basis = plan.basis;
        plan
    }
}

/// Replicas of the placed clusters.
pub(crate) fn replicas(plan: &Plan) -> Vec<(&str, u32)> {
    let placed = plan.clusters.iter().filter(|(_, cluster)| cluster.placed);
    placed.map(|(name, cluster)| (name.as_str(), cluster.replicas)).collect()
}

/// Intents of all clusters.
pub(crate) fn intents(plan: &Plan) -> Vec<(&str, &'static str)> {
    plan.clusters.iter().map(|(name, cluster)| (name.as_str(), cluster.intent.as_str())).collect()
}

/// The recorded seats.
pub(crate) fn recorded(plan: &Plan) -> Vec<(&str, u32)> {
    plan.seats.iter().map(|(name, seats)| (name.as_str(), *seats)).collect()
}

/// Reason and message of a condition; fails when the plan does not carry it.
pub(crate) fn condition<'a>(plan: &'a Plan, type_: &str) -> (bool, &'a str, &'a str) {
    let found =
        plan.condition(type_).unwrap_or_else(|| panic!("no condition {type_}: {:?}", plan.conditions));
    (found.status, found.reason, &found.message)
}

/// A plan as text, for golden files.
pub(crate) fn show(plan: &Plan) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "total {}, shortage {}, seats {:?}", plan.total, plan.shortage, recorded(plan));
    for condition in &plan.conditions {
        let status = if condition.status { "True" } else { "False" };
        let _ = writeln!(text, "{}={status} {}: {}", condition.type_, condition.reason, condition.message);
    }
    if let Some(wait) = &plan.wait {
        let _ = writeln!(text, "waits until {}: {}", wait.until, wait.reason);
    }
    for (name, cluster) in &plan.clusters {
        let _ = writeln!(text, "{name}: {} {}", cluster.intent.as_str(), cluster.replicas);
        if let Intent::Apply(patch) = &cluster.intent {
            for operation in patch.iter() {
                let _ = writeln!(text, "  {operation}");
            }
        }
        for reason in &cluster.reasons {
            let _ = writeln!(text, "  - {reason}");
        }
    }
    text
}
