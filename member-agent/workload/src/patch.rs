//! What is written to a pod that is updated in place.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Unit};
use muster_crds::keys::condition::INPLACE_UPDATE_READY;
use muster_crds::keys::reason::START_INPLACE_UPDATE;
use muster_crds::keys::workload as keys;
use serde_json::{Map, Value, json};

use crate::change::InPlaceChange;
use crate::deadline::Consequence;
use crate::inplace::{InPlaceState, closing_message, later, record};
use crate::plan::Action;
use crate::planner::Planner;
use crate::pod::{Gate, Pod};
use crate::reason::Code;
use crate::revision::Revision;
use crate::spec::Order;

/// A container that gets another image.
struct NewImage<'a> {
    list: &'static str,
    name: &'a str,
    image: &'a str,
}

impl Planner<'_> {
    /// Takes a pod out of traffic.
    pub(crate) fn close_gate(&mut self, pod: &Pod, target: &Revision) {
        // The API keeps whole seconds: rounded up, the grace is never cut short.
        let since = self.now.round(Unit::Second).unwrap_or(self.now);
        let since = if since < self.now { later(since, SignedDuration::from_secs(1)) } else { since };
        let condition = json!({
            "type": INPLACE_UPDATE_READY,
            "status": "False",
            "reason": START_INPLACE_UPDATE,
            "message": closing_message(&pod.resource_version),
            "lastTransitionTime": since,
        });
        let body = json!({
            "metadata": {"uid": pod.uid, "resourceVersion": pod.resource_version},
            "status": {"conditions": [condition]},
        });
        let message =
            format!("pod {} leaves traffic before it is updated to revision {}", pod.name, target.name);
        self.step(Action::PatchPodStatus { name: pod.name.clone(), body }, Code::CloseGate, message);
    }

    /// Lets a pod into traffic.
    pub(crate) fn open_gate(&mut self, pod: &Pod, why: &str) {
        if self.touches(pod) {
            return;
        }
        let mut condition = json!({
            "type": INPLACE_UPDATE_READY,
            "status": "True",
            "lastTransitionTime": self.now.round(Unit::Second).unwrap_or(self.now),
        });
        let mut metadata = json!({"uid": pod.uid});
        if pod.gate != Gate::Unset {
            condition["reason"] = Value::Null;
            condition["message"] = Value::Null;
            // What was seen of the containers must still be so.
            metadata["resourceVersion"] = json!(pod.resource_version);
        }
        let body = json!({"metadata": metadata, "status": {"conditions": [condition]}});
        let message = format!("pod {} {why} and may serve", pod.name);
        self.step(Action::PatchPodStatus { name: pod.name.clone(), body }, Code::OpenGate, message);
    }

    /// Writes images, labels, annotations and tolerations; `under_way` is an update whose containers are not proven yet.
    pub(crate) fn patch_images(
        &mut self,
        pod: &Pod,
        target: &Revision,
        change: &InPlaceChange,
        under_way: Option<&InPlaceState>,
    ) {
        if self.touches(pod) {
            return;
        }
        let (images, restarted, next) = self.in_order(pod, target, change, under_way);
        let closed = matches!(pod.gate, Gate::Closed { .. });
        let mut labels = to_json(&change.labels);
        labels.insert(keys::REVISION.into(), json!(target.name));
        let mut annotations = to_json(&change.annotations);
        let resized = closed && !change.resizes.is_empty();
        // One that is down has its time to come good from now on, whatever changed.
        if !restarted.is_empty() || under_way.is_some() || resized || !pod.is_ready() {
            let generation = if restarted.is_empty() {
                under_way.and_then(|state| state.generation)
            } else {
                pod.generation.map(|generation| generation + 1)
            };
            let closing = match &pod.gate {
                Gate::Closed { closing, .. } => closing.clone(),
                _ => None,
            };
            let last_container_statuses = record(pod, restarted.iter(), under_way);
            let helpers = &self.spec.options.helpers;
            let changed: Vec<&String> = last_container_statuses.keys().chain(&next).collect();
            let only_helpers = !changed.is_empty() && changed.into_iter().all(|name| helpers.contains(name));
            let state = InPlaceState {
                revision: target.name.to_string(),
                update_timestamp: self.now,
                in_traffic: only_helpers && !closed,
                last_container_statuses,
                generation,
                closing,
                next_containers: next,
            };
            annotations.insert(keys::INPLACE_STATE.into(), state_text(&state));
        }
        if pod.grace_note.is_some() {
            annotations.insert(keys::INPLACE_GRACE.into(), Value::Null);
        }
        let mut body = json!({"metadata": {
            "uid": pod.uid,
            "resourceVersion": pod.resource_version,
            "labels": labels,
        }});
        if !annotations.is_empty() {
            body["metadata"]["annotations"] = Value::Object(annotations);
        }
        for list in ["containers", "initContainers"] {
            let of_list = images.iter().filter(|image| image.list == list);
            let of_list: Vec<Value> =
                of_list.map(|image| json!({"name": image.name, "image": image.image})).collect();
            if !of_list.is_empty() {
                body["spec"][list] = Value::Array(of_list);
            }
        }
        if let Some(tolerations) = tolerations(pod, change) {
            body["spec"]["tolerations"] = tolerations;
        }
        let back = self.history.current.is_some_and(|current| current.name == target.name)
            && matches!(self.deadlines.consequence, Consequence::GoBack | Consequence::AllGoBack);
        let code = if back { Code::RollBack } else { Code::UpdateInPlace };
        let message = format!("pod {} is updated in place to revision {}", pod.name, target.name);
        self.step(Action::PatchPod { name: pod.name.clone(), body }, code, message);
    }

    /// Says on the pod that its helpers run.
    pub(crate) fn end_help(&mut self, pod: &Pod, state: &InPlaceState) {
        if self.touches(pod) {
            return;
        }
        let state = InPlaceState { in_traffic: false, ..state.clone() };
        let body = json!({"metadata": {
            "uid": pod.uid,
            "resourceVersion": pod.resource_version,
            "annotations": {keys::INPLACE_STATE: state_text(&state)},
        }});
        let message = format!("helpers of pod {} run their new images", pod.name);
        self.step(Action::PatchPod { name: pod.name.clone(), body }, Code::EndHelp, message);
    }

    /// The images to write now, the containers that restart for them, and those that follow later.
    fn in_order<'b>(
        &self,
        pod: &Pod,
        target: &'b Revision,
        change: &'b InPlaceChange,
        under_way: Option<&InPlaceState>,
    ) -> (Vec<NewImage<'b>>, Vec<String>, Vec<String>) {
        let late: BTreeSet<&str> = under_way
            .map(|state| state.next_containers.iter().map(String::as_str).collect())
            .unwrap_or_default();
        // An admission webhook may have written the image already; then nothing restarts.
        let restarts = |new: &NewImage<'_>| {
            let container = pod.containers.iter().find(|container| container.name == new.name);
            container.is_none_or(|container| container.image != new.image)
        };
        let ordered = self.spec.options.order != Order::None;
        let (mut images, mut restarted, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for (list, changed) in [("initContainers", &change.sidecar_images), ("containers", &change.images)] {
            for container in target.template["spec"][list].as_array().into_iter().flatten() {
                let Some(name) = container["name"].as_str() else { continue };
                let written = container["image"].as_str().filter(|_| late.contains(name));
                let Some(image) = changed.get(name).map(String::as_str).or(written) else { continue };
                let new = NewImage { list, name, image };
                if !restarts(&new) {
                    images.push(new);
                } else if ordered && !restarted.is_empty() {
                    next.push(name.to_owned());
                } else {
                    restarted.push(name.to_owned());
                    images.push(new);
                }
            }
        }
        (images, restarted, next)
    }
}

/// All tolerations of a pod together with the new ones, since a patch replaces the list.
fn tolerations(pod: &Pod, change: &InPlaceChange) -> Option<Value> {
    let mut all: Vec<Value> = pod.tolerations.iter().map(|toleration| json!(toleration)).collect();
    let added: Vec<&Value> = change.tolerations.iter().filter(|added| !all.contains(added)).collect();
    if added.is_empty() {
        return None;
    }
    let added: Vec<Value> = added.into_iter().cloned().collect();
    all.extend(added);
    Some(Value::Array(all))
}

fn state_text(state: &InPlaceState) -> Value {
    // A struct of texts and numbers always serializes.
    json!(serde_json::to_string(state).unwrap_or_default())
}

fn to_json(values: &BTreeMap<String, Option<String>>) -> Map<String, Value> {
    values.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
}

/// The images of a revision that a pod does not have.
pub(crate) fn missing_images(pod: &Pod, revision: &Revision) -> InPlaceChange {
    let mut change = InPlaceChange::default();
    for (list, images) in [("containers", &mut change.images), ("initContainers", &mut change.sidecar_images)]
    {
        for container in revision.template["spec"][list].as_array().into_iter().flatten() {
            let (Some(name), Some(image)) = (container["name"].as_str(), container["image"].as_str()) else {
                continue;
            };
            let differs = pod.containers.iter().any(|have| have.name == name && have.image != image);
            if differs {
                images.insert(name.to_owned(), image.to_owned());
            }
        }
    }
    change
}
