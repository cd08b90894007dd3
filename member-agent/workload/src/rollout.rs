//! Updates: what is under way in single pods, and which pods are next.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp, Unit};
use muster_crds::keys::condition::INPLACE_UPDATE_READY;
use muster_crds::keys::reason::START_INPLACE_UPDATE;
use muster_crds::keys::workload as keys;

use crate::change::{Change, InPlaceChange};
use crate::hooks::Standing;
use crate::inplace::{InPlaceState, Progress, Stage, closing_message, later, progress, record};
use crate::plan::Action;
use crate::planner::Planner;
use crate::pod::{Gate, Pod};
use crate::reason::{Code, Reason};
use crate::revision::Revision;
use crate::spec::{Scope, Strategy};
use serde_json::{Map, Value, json};

impl<'a> Planner<'a> {
    /// Goes on with the updates in place that are under way, and opens the gates of new pods.
    pub(crate) fn refresh(&mut self) {
        let family = self.family;
        for slot in &family.slots {
            let Some(pod) = slot.pod.filter(|pod| !pod.deleting) else { continue };
            let wanted = self.wanted(slot.ordinal, pod);
            self.refresh_pod(pod, wanted);
        }
        for pod in family.surge.iter().filter_map(|slot| slot.pod).filter(|pod| !pod.deleting) {
            self.refresh_pod(pod, None);
        }
        // A pod that is too many is left as it is, but not kept from becoming ready: an ordered scale-down may wait
        // for that.
        for (_, pod) in &family.condemned {
            if !pod.deleting && !matches!(pod.stage(), Stage::Closed { .. }) {
                self.refresh_pod(pod, None);
            }
        }
    }

    fn refresh_pod(&mut self, pod: &'a Pod, wanted: Option<&'a Revision>) {
        match pod.stage() {
            Stage::Idle if pod.gate == Gate::Unset => self.open_gate(pod, "is new"),
            Stage::Idle => {}
            Stage::Closed { since } => self.go_on_closed(pod, since, wanted),
            Stage::Patched(state) => self.go_on_patched(pod, state, wanted),
        }
    }

    fn go_on_closed(&mut self, pod: &'a Pod, since: Option<Timestamp>, wanted: Option<&'a Revision>) {
        let (target, change) = match wanted {
            // The bk-bcs operator writes the label first. What it had announced is done now.
            _ if pod.grace_note.is_some() => {
                let announced = pod.revision.as_ref().and_then(|name| self.history.get(name.as_str()));
                let Some(target) = wanted.filter(|_| self.in_place()).or(announced) else { return };
                (target, missing_images(pod, target))
            }
            // The revision it goes to is being stored.
            None if self.history.update.is_none() => return,
            None => return self.open_gate(pod, "stays as it is"),
            Some(_) if !self.in_place() => return,
            Some(target) => match self.change(pod, target).as_deref() {
                Ok(Change::InPlace(change)) => (target, change.clone()),
                Ok(Change::None) => (target, InPlaceChange::default()),
                // It serves as it is; the next pass says why it stays.
                Ok(Change::Recreate { .. }) | Err(_) => {
                    return self.open_gate(pod, "cannot be updated in place");
                }
            },
        };
        // A verdict counts for one revision. Where the wanted one changed meanwhile, it is asked again.
        if pod.grace_note.is_none() && !self.may_update(pod, target, &change) {
            if self.is_held(pod) {
                self.open_gate(pod, "may not be updated");
            }
            return;
        }
        let due = later(since.unwrap_or(self.now), self.spec.grace);
        if change.restarts() && self.now < due {
            let message = format!("out of traffic until {due}, then its images change");
            self.wait_for(Some(pod), Reason::new(Code::GracePeriod, message), Some(due));
            return;
        }
        self.patch_images(pod, target, &change, None);
    }

    fn go_on_patched(&mut self, pod: &'a Pod, state: &InPlaceState, wanted: Option<&'a Revision>) {
        if let Some(target) = wanted.filter(|_| self.in_place() && !self.hooks.is_spent(pod)) {
            // The pod is out of traffic and restarting anyway: it goes straight to the newest revision.
            match self.change(pod, target).as_deref() {
                Ok(Change::InPlace(change)) => return self.patch_images(pod, target, change, Some(state)),
                Ok(Change::None) => {
                    return self.patch_images(pod, target, &InPlaceChange::default(), Some(state));
                }
                Ok(Change::Recreate { .. }) | Err(_) => {}
            }
        }
        if wanted.is_some() && !self.in_place() {
            return; // The next pass replaces it.
        }
        match progress(pod, state, self.now) {
            Progress::Done if !self.after_update(pod) => {}
            Progress::Done if pod.gate != Gate::None => self.open_gate(pod, "runs its new images"),
            Progress::Done => {}
            Progress::Until(until, reason) => self.wait_for(Some(pod), reason, Some(until)),
            Progress::Waiting(reason) => self.wait_for(Some(pod), reason, None),
        }
    }

    fn in_place(&self) -> bool {
        self.spec.strategy == Some(Strategy::InPlace)
    }

    /// Begins updates: from the highest ordinal down, as many as the budget allows. A pod that is unavailable already
    /// costs nothing: nobody loses anything when it is touched.
    pub(crate) fn update(&mut self, update: &'a Revision) {
        let due = self.due(update);
        self.kept_back(update);
        if due.is_empty() || self.stands_still(due.len()) {
            return;
        }
        // As with the bk-bcs operator, pods above replicas are up before those they stand in for go down.
        let slots = self.family.slots.iter().chain(&self.family.surge);
        let unavailable = slots.filter(|slot| !slot.pod.is_some_and(|pod| self.is_available(pod))).count();
        let mut room = self.room(unavailable);
        // Those that are down and not due: they are on their way to where they should be.
        let mut in_flight = unavailable - due.iter().filter(|(_, pod)| !self.is_available(pod)).count();
        let full = Reason::new(
            Code::BudgetUsed,
            format!("is next when fewer than {} pods are unavailable; {unavailable} are", self.spec.budget),
        );
        for (ordinal, pod) in due.into_iter().rev() {
            let Some(target) = self.wanted(ordinal, pod).filter(|_| !self.touches(pod)) else { continue };
            let way = match self.way(pod, target) {
                Ok(way) => way,
                Err(reason) => {
                    self.wait_for(Some(pod), reason, None);
                    continue;
                }
            };
            if self.is_held(pod) {
                if self.spec.ordered {
                    let message = format!("pods before {} wait until it was updated", pod.name);
                    self.wait(None, Code::OrderedReady, message);
                    break;
                }
                continue;
            }
            let in_place = way.as_deref().map(Change::in_place);
            if let Some(change) = in_place.as_ref().filter(|change| !change.restarts()) {
                if self.may_update(pod, target, change) {
                    self.patch_images(pod, target, change, None);
                }
                continue;
            }
            let free = !pod.is_available();
            let standing = self.update_standing(pod);
            let blocked = match standing {
                _ if free => self.spec.ordered && in_flight >= self.spec.budget,
                Standing::Open(_) => false,
                Standing::Yes => room.to_touch == 0,
                Standing::Free | Standing::Unasked(_) | Standing::No(_) => room.to_ask == 0,
            };
            if blocked {
                self.wait_for(Some(pod), full.clone(), None);
                continue;
            }
            let allowed = match &in_place {
                Some(change) => self.may_update(pod, target, change),
                None => self.may_delete(pod, Code::Recreate),
            };
            let asks = self.asks(pod);
            if allowed || asks || matches!(standing, Standing::Open(_)) {
                in_flight += 1;
            }
            if !free && (asks || standing == Standing::Free) {
                room.to_ask = room.to_ask.saturating_sub(1);
            }
            if !allowed {
                continue;
            }
            if !free {
                room.to_touch = room.to_touch.saturating_sub(1);
            }
            if let Some(change) = in_place {
                self.begin_in_place(pod, target, change);
            } else {
                // One that became ready meanwhile does not cost nothing.
                let version = pod.resource_version.clone();
                let action = Action::ReplacePod { name: pod.name.clone(), uid: pod.uid.clone(), version };
                let message = format!("pod {} comes back with revision {}", pod.name, target.name);
                self.step(action, Code::Recreate, message);
            }
        }
    }

    /// Ordinals and pods whose update may begin, ascending.
    fn due(&self, update: &Revision) -> Vec<(u32, &'a Pod)> {
        let outdated = |ordinal: u32, pod: &Pod| match self.spec.strategy {
            Some(Strategy::OnDelete | Strategy::HotPatch) => !pod.is_at(&update.name),
            _ => self.wanted(ordinal, pod).is_some(),
        };
        let slots = self.family.slots.iter();
        let pods = slots.filter_map(|slot| Some((slot.ordinal, slot.pod.filter(|pod| !pod.deleting)?)));
        pods.filter(|(ordinal, pod)| outdated(*ordinal, pod))
            .filter(|(_, pod)| pod.stage() == Stage::Idle || !self.in_place())
            .collect()
    }

    /// Says how many pods the partition keeps from an update.
    fn kept_back(&mut self, update: &Revision) {
        let updates = matches!(self.spec.strategy, Some(Strategy::RollingUpdate | Strategy::InPlace));
        if !updates || self.spec.holds(Scope::Updates) {
            return;
        }
        let partition = self.partition;
        let below = self.family.slots.iter().filter(|slot| self.is_below_partition(slot.ordinal));
        let kept = below.filter_map(|slot| slot.pod).filter(|pod| !pod.deleting && !pod.is_at(&update.name));
        let count = kept.count();
        if count > 0 {
            let pods = if count == 1 { "pod stays" } else { "pods stay" };
            self.wait(None, Code::Partition, format!("{count} outdated {pods} below partition {partition}"));
        }
    }

    /// Whether no update begins although so many pods are due; says why.
    fn stands_still(&mut self, due: usize) -> bool {
        let (code, message) = match self.spec.strategy {
            Some(Strategy::OnDelete) => (Code::OnDelete, "are updated when somebody deletes them"),
            Some(Strategy::HotPatch) => {
                (Code::UpdateRefused, "stay as they are, for HotPatchUpdate is refused")
            }
            _ if self.spec.paused => (Code::Paused, "stay while spec.updateStrategy.paused is set"),
            _ => return false,
        };
        self.wait(None, code, format!("{due} outdated pods {message}"));
        true
    }

    /// How a pod gets to a revision: the change to make in place, or none to replace it. An error when it cannot.
    fn way(&mut self, pod: &Pod, target: &Revision) -> Result<Option<Rc<Change>>, Reason> {
        if !self.in_place() {
            return Ok(None);
        }
        let change = self.change(pod, target)?;
        if let Change::Recreate { field } = change.as_ref() {
            let message =
                format!("revision {} differs in {field}, which a running pod cannot change", target.name);
            return Err(Reason::new(Code::CannotUpdateInPlace, message));
        }
        Ok(Some(change))
    }

    fn begin_in_place(&mut self, pod: &'a Pod, target: &Revision, change: &InPlaceChange) {
        if pod.gate == Gate::None {
            return self.patch_images(pod, target, change, None);
        }
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

    fn open_gate(&mut self, pod: &Pod, why: &str) {
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

    /// Writes images, labels and annotations; `under_way` is an update whose containers are not proven yet.
    fn patch_images(
        &mut self,
        pod: &Pod,
        target: &Revision,
        change: &InPlaceChange,
        under_way: Option<&InPlaceState>,
    ) {
        if self.touches(pod) {
            return;
        }
        let actual = |name: &String| {
            pod.containers.iter().find(|container| container.name == *name).map(|container| &container.image)
        };
        // An admission webhook may have written the image already; then nothing restarts.
        let all = change.images.iter().chain(&change.sidecar_images);
        let restarted: Vec<&String> =
            all.filter(|(name, image)| actual(name) != Some(image)).map(|(name, _)| name).collect();

        let mut labels = to_json(&change.labels);
        labels.insert(keys::REVISION.into(), json!(target.name));
        let mut annotations = to_json(&change.annotations);
        if !restarted.is_empty() || under_way.is_some() {
            let generation = if restarted.is_empty() {
                under_way.and_then(|state| state.generation)
            } else {
                pod.generation.map(|generation| generation + 1)
            };
            let closing = match &pod.gate {
                Gate::Closed { closing, .. } => closing.clone(),
                _ => None,
            };
            let state = InPlaceState {
                revision: target.name.to_string(),
                update_timestamp: self.now,
                last_container_statuses: record(pod, restarted.into_iter(), under_way),
                generation,
                closing,
            };
            // A struct of texts and numbers always serializes.
            let state = serde_json::to_string(&state).unwrap_or_default();
            annotations.insert(keys::INPLACE_STATE.into(), json!(state));
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
        for (list, images) in [("containers", &change.images), ("initContainers", &change.sidecar_images)] {
            if !images.is_empty() {
                let images: Vec<Value> =
                    images.iter().map(|(name, image)| json!({"name": name, "image": image})).collect();
                body["spec"][list] = Value::Array(images);
            }
        }
        let message = format!("pod {} is updated in place to revision {}", pod.name, target.name);
        self.step(Action::PatchPod { name: pod.name.clone(), body }, Code::UpdateInPlace, message);
    }
}

fn to_json(values: &BTreeMap<String, Option<String>>) -> Map<String, Value> {
    values.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
}

/// The images of a revision that a pod does not have.
fn missing_images(pod: &Pod, revision: &Revision) -> InPlaceChange {
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
