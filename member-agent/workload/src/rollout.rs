//! Updates: what is under way in single pods, and which pods are next.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::Timestamp;
use muster_crds::names::RevisionName;

use crate::change::{Change, InPlaceChange};
use crate::hooks::{Room, Standing};
use crate::inplace::{InPlaceState, Progress, Stage, later, progress, progress_to};
use crate::patch::missing_images;
use crate::plan::Action;
use crate::planner::Planner;
use crate::pod::{Gate, Pod};
use crate::reason::{Code, Reason};
use crate::resize::Sizing;
use crate::revision::Revision;
use crate::spec::{Order, Scope, Strategy};

/// How many pods may be disturbed, and which are.
struct Budget {
    /// How many more pods that serve may be disturbed, and asked.
    room: Room,
    /// Pods that are down or being disturbed.
    in_flight: usize,
    /// A pod that is the first of its revision was chosen.
    first: bool,
    /// What pods say that wait for the first pod of a revision, by revision; none where they need not.
    alone: BTreeMap<RevisionName, Option<String>>,
    /// Where an order is kept: a pod waits, and so do those after it.
    held: bool,
    /// What a pod says that finds nothing left.
    full: Reason,
}

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
            Stage::Helped(state) => self.go_on_helped(pod, state, wanted),
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
            None => return self.let_back(pod, "stays as it is"),
            Some(_) if !self.in_place() => return,
            Some(target) => match self.change(pod, target).as_deref() {
                Ok(Change::InPlace(change)) => (target, change.clone()),
                Ok(Change::None) => (target, InPlaceChange::default()),
                // It serves as it is; the next pass says why it stays.
                Ok(Change::Recreate { .. }) | Err(_) => {
                    return self.let_back(pod, "cannot be updated in place");
                }
            },
        };
        // The template may have changed since the gate was closed.
        if !self.proven(pod, target, &change) {
            // One that carries its new revision's label already would pass for updated if it were let back.
            if pod.grace_note.is_none() {
                self.let_back(pod, "waits for another image than the one it left traffic for");
            }
            return;
        }
        // A verdict counts for one revision. Where the wanted one changed meanwhile, it is asked again.
        if pod.grace_note.is_none() && !self.may_update(pod, target, &change) {
            if self.is_held(pod) {
                self.let_back(pod, "may not be updated");
            }
            return;
        }
        let due = later(since.unwrap_or(self.now), self.spec.grace);
        if change.disrupts(&self.spec.options.helpers) && self.now < due {
            let message = format!("out of traffic until {due}, then its images change");
            self.wait_for(Some(pod), Reason::new(Code::GracePeriod, message), Some(due));
            return;
        }
        match self.resize(pod, target, &change) {
            Sizing::Done => self.patch_images(pod, target, &change, helped(pod)),
            // Where the node may still find room, the container may restart at any time.
            Sizing::Going | Sizing::Stuck(Code::ResizeDeferred) => {}
            Sizing::Stuck(_) => self.open_gate(pod, "cannot get its new size"),
        }
    }

    /// Ends an update before its images changed.
    fn let_back(&mut self, pod: &Pod, why: &str) {
        if self.keep_size(pod) {
            self.open_gate(pod, why);
        }
    }

    fn go_on_patched(&mut self, pod: &'a Pod, state: &'a InPlaceState, wanted: Option<&'a Revision>) {
        if let Some(target) = wanted.filter(|_| self.in_place() && !self.spec.paused)
            && !self.hooks.is_spent(pod)
            && self.redirect(pod, state, target)
        {
            return;
        }
        if wanted.is_some() && !self.in_place() {
            return; // The next pass replaces it.
        }
        if !state.next_containers.is_empty() {
            return self.next_container(pod, state);
        }
        match progress(pod, state, self.now) {
            Progress::Done if !self.after_update(pod) => {}
            Progress::Done if pod.gate != Gate::None => self.open_gate(pod, "runs its new images"),
            Progress::Done => {}
            Progress::Until(until, reason) => self.wait_for(Some(pod), reason, Some(until)),
            Progress::Waiting(reason) => self.wait_for(Some(pod), reason, None),
        }
    }

    /// Sends a pod that is out of traffic and restarting anyway straight to the newest revision; answers whether that is
    /// being done.
    fn redirect(&mut self, pod: &'a Pod, state: &'a InPlaceState, target: &'a Revision) -> bool {
        let Ok(change) = self.change(pod, target) else { return false };
        if matches!(*change, Change::Recreate { .. }) {
            return false;
        }
        let change = change.in_place();
        if !self.proven(pod, target, change) {
            return false; // It may serve as it is until then.
        }
        if self.resize(pod, target, change) == Sizing::Done {
            self.patch_images(pod, target, change, Some(state));
        }
        true
    }

    /// Changes the next container of a pod whose containers have an order.
    fn next_container(&mut self, pod: &'a Pod, state: &'a InPlaceState) {
        let ready = self.spec.options.order != Order::Updated;
        // Those that follow may be left from an earlier update that did not come good.
        let mut changed = state.clone();
        changed.last_container_statuses.retain(|name, _| !state.next_containers.contains(name));
        match progress_to(pod, &changed, self.now, ready) {
            Progress::Done => {
                if let Some(target) = self.history.get(&state.revision) {
                    self.patch_images(pod, target, &InPlaceChange::default(), Some(state));
                } else {
                    let message =
                        format!("revision {} of its update under way is not stored", state.revision);
                    self.wait(Some(pod), Code::RevisionMissing, message);
                }
            }
            Progress::Until(until, reason) => {
                self.wait_for(Some(pod), in_order(&reason, state), Some(until));
            }
            Progress::Waiting(reason) => self.wait_for(Some(pod), in_order(&reason, state), None),
        }
    }

    fn go_on_helped(&mut self, pod: &'a Pod, state: &'a InPlaceState, wanted: Option<&'a Revision>) {
        if wanted.is_some() && self.in_place() && !self.spec.paused {
            return; // The next pass takes it further.
        }
        if !state.next_containers.is_empty() {
            return self.next_container(pod, state);
        }
        match progress(pod, state, self.now) {
            Progress::Done if !self.after_update(pod) => {}
            Progress::Done => self.end_help(pod, state),
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
        if !due.is_empty() && !self.stands_still(due.len()) {
            self.begin(due);
        }
        if self.in_place() && !self.spec.paused && !self.spec.holds(Scope::Updates) {
            self.keep_sizes();
        }
        self.remove_pullers();
    }

    fn begin(&mut self, due: Vec<(u32, &'a Pod)>) {
        // As with the bk-bcs operator, pods above replicas are up before those they stand in for go down.
        let slots = self.family.slots.iter().chain(&self.family.surge);
        let unavailable = slots.filter(|slot| !slot.pod.is_some_and(|pod| self.is_at_rest(pod))).count();
        let mut budget = Budget {
            room: self.room(unavailable),
            // Those that are down and not due: they are on their way to where they should be.
            in_flight: unavailable - due.iter().filter(|(_, pod)| !self.is_at_rest(pod)).count(),
            first: false,
            alone: BTreeMap::new(),
            held: false,
            full: Reason::new(
                Code::BudgetUsed,
                format!(
                    "is next when fewer than {} pods are unavailable; {unavailable} are",
                    self.spec.budget
                ),
            ),
        };
        for (ordinal, pod) in due.into_iter().rev() {
            let Some(target) = self.wanted(ordinal, pod).filter(|_| !self.touches(pod)) else { continue };
            match self.way(pod, target) {
                Err(reason) => self.wait_for(Some(pod), reason, None),
                Ok(None) => self.begin_replacement(pod, target, &mut budget),
                Ok(Some(change)) if !change.in_place().restarts() => {
                    self.update_quietly(pod, target, change.in_place());
                }
                Ok(Some(change)) => self.begin_in_place(pod, target, change.in_place(), &mut budget),
            }
        }
    }

    fn begin_replacement(&mut self, pod: &'a Pod, target: &Revision, budget: &mut Budget) {
        if self.waits_in_order(pod, budget) {
            return;
        }
        // One that serves and does not count as available yet has players all the same.
        let (free, standing) = (!pod.is_available(), self.update_standing(pod));
        if self.is_blocked(free, &standing, budget) {
            return self.wait_for(Some(pod), budget.full.clone(), None);
        }
        let allowed = self.may_delete(pod, Code::Recreate);
        self.count(pod, free, &standing, allowed, budget);
        if !allowed {
            return;
        }
        // One that became ready meanwhile does not cost nothing.
        let version = pod.resource_version.clone();
        let action = Action::ReplacePod { name: pod.name.clone(), uid: pod.uid.clone(), version };
        let message = format!("pod {} comes back with revision {}", pod.name, target.name);
        self.step(action, Code::Recreate, message);
    }

    /// Takes to a pod what restarts nothing: it goes on serving, which costs no budget.
    fn update_quietly(&mut self, pod: &'a Pod, target: &Revision, change: &InPlaceChange) {
        if !self.may_update(pod, target, change) {
            return;
        }
        if self.resize(pod, target, change) == Sizing::Done {
            self.patch_images(pod, target, change, helped(pod));
        }
    }

    fn begin_in_place(
        &mut self,
        pod: &'a Pod,
        target: &Revision,
        change: &InPlaceChange,
        budget: &mut Budget,
    ) {
        // Pulling ahead costs nobody anything.
        if !self.proven(pod, target, change) {
            budget.held = self.spec.ordered;
            return;
        }
        if self.waits_in_order(pod, budget) {
            return;
        }
        if self.size_refused(pod, target, change) {
            self.resize(pod, target, change); // Says why it stays.
            return;
        }
        let free = !pod.is_available() || pod.stage() != Stage::Idle;
        let standing = self.update_standing(pod);
        if self.is_blocked(free, &standing, budget) {
            return self.wait_for(Some(pod), budget.full.clone(), None);
        }
        let waits = !free && !matches!(standing, Standing::Open(_));
        if waits && let Some(message) = self.goes_alone(target, budget) {
            return self.wait(Some(pod), Code::FirstPod, message);
        }
        let allowed = self.may_update(pod, target, change);
        self.count(pod, free, &standing, allowed, budget);
        if !allowed {
            return;
        }
        // A size that needs no restart changes while the pod serves, and fails early.
        let resizes_first = !change.resizes.values().any(|resize| resize.restarts);
        if resizes_first && self.resize(pod, target, change) != Sizing::Done {
            return;
        }
        if pod.gate == Gate::None || !change.disrupts(&self.spec.options.helpers) {
            self.patch_images(pod, target, change, helped(pod));
        } else {
            self.close_gate(pod, target);
        }
    }

    /// Whether a pod serves, long enough to count, and nothing about it is being changed.
    fn is_at_rest(&self, pod: &Pod) -> bool {
        self.is_available(pod) && pod.stage() == Stage::Idle
    }

    /// Whether a pod waits for one of a higher ordinal, or said no; says so.
    fn waits_in_order(&mut self, pod: &Pod, budget: &mut Budget) -> bool {
        if budget.held {
            let message = "a pod of a higher ordinal is updated first";
            self.wait(Some(pod), Code::OrderedReady, message);
            return true;
        }
        let held = self.is_held(pod);
        budget.held = held && self.spec.ordered;
        held
    }

    /// Whether the budget has no room for what is next for a pod: to be touched, or to be asked.
    fn is_blocked(&self, free: bool, standing: &Standing, budget: &Budget) -> bool {
        match standing {
            _ if free => self.spec.ordered && budget.in_flight >= self.spec.budget,
            Standing::Open(_) => false,
            Standing::Yes => budget.room.to_touch == 0,
            Standing::Free | Standing::Unasked(_) | Standing::No(_) => budget.room.to_ask == 0,
        }
    }

    /// Takes the place of a pod out of the budget.
    fn count(&self, pod: &Pod, free: bool, standing: &Standing, allowed: bool, budget: &mut Budget) {
        let asks = self.asks(pod);
        if allowed || asks || matches!(standing, Standing::Open(_)) {
            budget.in_flight += 1;
            budget.first = true;
        }
        let room = &mut budget.room;
        if !free && (asks || *standing == Standing::Free) {
            room.to_ask = room.to_ask.saturating_sub(1);
        }
        if !free && allowed {
            room.to_touch = room.to_touch.saturating_sub(1);
        }
    }

    /// What a pod says that waits until the first pod of its revision runs; none if it need not.
    fn goes_alone(&self, target: &Revision, budget: &mut Budget) -> Option<String> {
        if !budget.alone.contains_key(&target.name) {
            budget.alone.insert(target.name.clone(), self.first_of(target));
        }
        match budget.alone.get(&target.name)? {
            Some(message) if !message.is_empty() => Some(message.clone()),
            Some(_) if budget.first => {
                Some(format!("waits until the first pod of revision {} runs", target.name))
            }
            _ => None,
        }
    }

    /// What pods say that wait for the first pod of a revision: none when one runs, nothing when none has begun.
    fn first_of(&self, target: &Revision) -> Option<String> {
        let slots = || self.family.slots.iter().filter_map(|slot| Some((slot.ordinal, slot.pod?)));
        if slots().any(|(_, pod)| pod.is_at(&target.name) && self.is_at_rest(pod)) {
            return None;
        }
        let begun = slots().find(|(ordinal, pod)| {
            !pod.deleting
                && match pod.stage() {
                    Stage::Idle => false,
                    Stage::Closed { .. } => {
                        self.wanted(*ordinal, pod).is_some_and(|to| to.name == target.name)
                    }
                    Stage::Patched(_) | Stage::Helped(_) => pod.is_at(&target.name),
                }
        });
        Some(begun.map_or_else(String::new, |(_, pod)| {
            format!("waits until pod {}, the first of revision {}, runs", pod.name, target.name)
        }))
    }

    /// Gives pods that stay the size of their revision, where an update was taken back after it had changed.
    fn keep_sizes(&mut self) {
        if !self.sizes_differ() {
            return;
        }
        let family = self.family;
        for slot in &family.slots {
            let Some(pod) = slot.pod.filter(|pod| !pod.deleting && pod.stage() == Stage::Idle) else {
                continue;
            };
            if self.wanted(slot.ordinal, pod).is_none() && !self.touches(pod) {
                self.keep_size(pod);
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
            .filter(|(_, pod)| matches!(pod.stage(), Stage::Idle | Stage::Helped(_)) || !self.in_place())
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
        if self.spec.options.replaces_deferred && self.size_refused(pod, target, change.in_place()) {
            return Ok(None);
        }
        Ok(Some(change))
    }
}

/// The change of helpers under way in a pod that is changed again.
fn helped(pod: &Pod) -> Option<&InPlaceState> {
    let state = pod.state.as_deref()?;
    let current = pod.revision.as_ref().is_some_and(|name| *name == state.revision.as_str());
    (state.in_traffic && current).then_some(state)
}

/// The reason of the container at work, for a pod of which others follow.
fn in_order(reason: &Reason, state: &InPlaceState) -> Reason {
    let next = state.next_containers.join(", ");
    match reason.code {
        Code::ContainerNotReady | Code::ContainerNotRestarted | Code::KubeletBehind | Code::Settling => {
            Reason::new(Code::ContainerOrder, format!("{}; then {next}", reason.message))
        }
        _ => reason.clone(),
    }
}
