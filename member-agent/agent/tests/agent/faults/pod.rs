//! A pod and a set as the referee looks at them.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_crds::IntOrPercent;
use muster_crds::int_or_percent::Rounding;
use serde_json::Value;
use tokio::time::Instant;

use super::script::HOOK_POINTS;
use super::store::Writer;

/// A pod as it is stored.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Pod {
    pub(super) uid: String,
    pub(super) owner: String,
    pub(super) revision: String,
    /// What of its template can be told from a pod.
    pub(super) look: String,
    pub(super) available: bool,
    /// Since when its gate is closed, and who closed it.
    pub(super) closed: Option<(Instant, Writer)>,
    /// Whether it has a gate.
    pub(super) gated: bool,
    pub(super) deleting: bool,
    pub(super) ended: bool,
    /// Whether there is something in it that could be asked.
    pub(super) running: bool,
    /// Whether it has ever been available.
    pub(super) served: bool,
    /// The life of the controller that was told of its creation.
    pub(super) known_to: Option<u32>,
}

/// What a set asked for at some time.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) generation: i64,
    pub(super) ordinals: BTreeSet<u32>,
    pub(super) ordered: bool,
    pub(super) strategy: String,
    pub(super) budget: usize,
    pub(super) partition: u32,
    pub(super) paused: bool,
    pub(super) grace: Duration,
    pub(super) look: String,
    /// Whether something is asked before a pod is deleted, and before it is updated in place.
    pub(super) asks: [bool; 2],
    /// When the next one took its place.
    pub(super) until: Option<Instant>,
}

impl Pod {
    /// Reads a pod; `before` is what was stored under its name.
    pub(super) fn read(pod: &Value, before: Option<&Self>, by: Writer) -> Self {
        let meta = &pod["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let uid = text(&meta["uid"]);
        let before = before.filter(|before| before.uid == uid);
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let is = |type_: &str, status: &str| {
            conditions.clone().any(|condition| condition["type"] == type_ && condition["status"] == status)
        };
        let containers = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        let runs = containers.map(|container| &container["image"]).collect::<Vec<_>>();
        let asked = pod["spec"]["containers"].as_array().into_iter().flatten();
        let asked = asked.map(|container| &container["image"]).collect::<Vec<_>>();
        let deleting = meta["deletionTimestamp"].is_string();
        let ended = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
        let closed = is("InPlaceUpdateReady", "False");
        let available = is("Ready", "True") && !closed && !deleting && !ended && runs == asked;
        Self {
            owner: text(&meta["ownerReferences"][0]["uid"]),
            revision: text(&meta["labels"]["controller-revision-hash"]),
            look: look(pod),
            available,
            closed: closed
                .then(|| before.and_then(|before| before.closed).unwrap_or_else(|| (Instant::now(), by))),
            gated: pod["spec"]["readinessGates"].as_array().is_some_and(|gates| !gates.is_empty()),
            deleting,
            ended,
            running: pod["status"]["phase"] == "Running",
            served: available || before.is_some_and(|before| before.served),
            known_to: before.and_then(|before| before.known_to),
            uid,
        }
    }
}

impl Spec {
    /// Reads a set, as its users understand it.
    pub(super) fn read(set: &Value) -> Self {
        let spec = &set["spec"];
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        let reserved = spec["reserveOrders"].as_array().cloned().unwrap_or_default();
        let free = (0..u32::MAX).filter(|ordinal| !reserved.contains(&(*ordinal).into()));
        let update = &spec["updateStrategy"];
        let most = serde_json::from_value(update["rollingUpdate"]["maxUnavailable"].clone());
        let most = most.unwrap_or(IntOrPercent::Int(1));
        let number = |value: &Value| u32::try_from(value.as_i64().unwrap_or_default()).unwrap();
        Self {
            generation: set["metadata"]["generation"].as_i64().unwrap(),
            ordinals: free.take(usize::try_from(replicas).unwrap()).collect(),
            ordered: spec["podManagementPolicy"] != "Parallel",
            strategy: update["type"].as_str().unwrap_or("RollingUpdate").to_owned(),
            budget: usize::try_from(most.resolve(replicas.max(1), Rounding::Up).unwrap()).unwrap(),
            partition: number(&update["rollingUpdate"]["partition"]),
            paused: update["paused"] == true,
            grace: Duration::from_secs(number(&update["inPlaceUpdateStrategy"]["gracePeriodSeconds"]).into()),
            look: look(&spec["template"]),
            asks: HOOK_POINTS.map(|point| spec[point]["hook"].is_object()),
            until: None,
        }
    }

    /// Whether updates go from themselves.
    pub(super) fn updates(&self) -> bool {
        !self.paused && self.strategy != "OnDelete"
    }
}

/// What of a template can be told from its pods: image, one variable and one label.
fn look(template: &Value) -> String {
    let container = &template["spec"]["containers"][0];
    let tier = &template["metadata"]["labels"]["tier"];
    format!("{} {} {tier}", container["image"], container["env"][0]["value"])
}
