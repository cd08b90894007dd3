//! The passes over a set's pods, in the order in which they bind: finish what is under way, fill the ordinals, take
//! away what is too many, then update.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::Timestamp;
use muster_crds::names::{ObjectName, RevisionName};
use serde_json::json;

use crate::change::{Change, classify};
use crate::deadline::{Consequence, Deadlines};
use crate::family::{Family, Slot};
use crate::identity::{Mold, required_labels};
use crate::inplace::{Stage, waiting_reason};
use crate::plan::{Action, MAX_STEPS, Step, Wait};
use crate::pod::{ContainerState, Phase, Pod};
use crate::prove::Proofs;
use crate::reason::{Code, Reason};
use crate::resize::Sizes;
use crate::revision::{History, Revision};
use crate::snapshot::{Claim, SetId};
use crate::spec::{NO_HOT_PATCH, Scope, Spec, Strategy};

/// A plan in the making.
pub(crate) struct Planner<'a> {
    pub(crate) id: &'a SetId,
    pub(crate) spec: &'a Spec,
    pub(crate) family: &'a Family<'a>,
    pub(crate) history: &'a History<'a>,
    pub(crate) now: Timestamp,
    /// Ordinals below it keep the revision that pods come from.
    pub(crate) partition: u32,
    /// Pods whose update takes too long.
    pub(crate) deadlines: Deadlines,
    /// What is known of images on nodes.
    pub(crate) proofs: Proofs<'a>,
    /// Sizes of the containers of revisions that were looked at.
    pub(crate) sizes: BTreeMap<RevisionName, Sizes>,
    mold: &'a Mold<'a>,
    claims: &'a BTreeMap<String, Claim>,
    steps: Vec<Step>,
    waits: Vec<Wait>,
    /// Pods that this plan writes: one write per pod and plan.
    touched: BTreeSet<ObjectName>,
    /// Changes between revisions that were looked at.
    changes: BTreeMap<(RevisionName, RevisionName), Rc<Change>>,
    /// Steps that did not fit.
    left_over: usize,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(
        id: &'a SetId,
        spec: &'a Spec,
        family: &'a Family<'a>,
        history: &'a History<'a>,
        mold: &'a Mold<'a>,
        claims: &'a BTreeMap<String, Claim>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            spec,
            family,
            history,
            now,
            partition: spec.partition,
            deadlines: Deadlines::default(),
            proofs: Proofs::default(),
            sizes: BTreeMap::new(),
            mold,
            claims,
            steps: Vec::new(),
            waits: Vec::new(),
            touched: BTreeSet::new(),
            changes: BTreeMap::new(),
            left_over: 0,
        }
    }

    /// All passes.
    pub(crate) fn run(&mut self) {
        for problem in &self.spec.problems {
            if problem.scope > Scope::Nothing {
                self.wait(None, Code::InvalidSpec, problem.to_string());
            }
        }
        if let Some(field) = &self.history.refused {
            let message = match self.spec.strategy {
                Some(Strategy::HotPatch) => format!("{field}: {NO_HOT_PATCH}; pods stay as they are"),
                None => format!("{field}: no update of this type can be made"),
                Some(_) => format!("{field} cannot be changed by this update strategy"),
            };
            self.wait(None, Code::UpdateRefused, message);
        }
        if let Some(reason) = self.deadlines.reason() {
            self.wait_for(None, reason, None);
        }
        self.steps.extend(self.history.steps.iter().cloned());
        for step in &self.family.steps {
            self.push(step.clone());
        }
        self.refresh();
        let Some(update) = self.history.update else { return };
        if self.spec.holds(Scope::Everything) {
            return;
        }
        if self.fill(update) && self.scale_down() {
            self.update(update);
        }
    }

    /// Steps and waits, complete.
    pub(crate) fn finish(mut self) -> (Vec<Step>, Vec<Wait>) {
        for wait in &mut self.waits {
            let due = wait.pod.as_ref().and_then(|pod| self.deadlines.due.get(pod)).copied();
            wait.until = wait.until.into_iter().chain(due).min();
        }
        if self.left_over > 0 {
            let reason = Reason::new(Code::MoreToDo, format!("{} more steps follow these", self.left_over));
            self.waits.push(Wait { pod: None, reason, until: Some(self.now) });
        }
        (self.steps, self.waits)
    }

    pub(crate) fn wait(&mut self, pod: Option<&Pod>, code: Code, message: impl Into<String>) {
        self.wait_for(pod, Reason::new(code, message), None);
    }

    pub(crate) fn wait_for(&mut self, pod: Option<&Pod>, reason: Reason, until: Option<Timestamp>) {
        self.waits.push(Wait { pod: pod.map(|pod| pod.name.clone()), reason, until });
    }

    pub(crate) fn step(&mut self, action: Action, code: Code, message: impl Into<String>) {
        self.push(Step { action, reason: Reason::new(code, message) });
    }

    fn push(&mut self, step: Step) {
        let pod = match &step.action {
            Action::CreatePod { name, .. }
            | Action::PatchPod { name, .. }
            | Action::PatchPodStatus { name, .. }
            | Action::ResizePod { name, .. }
            | Action::DeletePod { name, .. }
            | Action::ForceDeletePod { name, .. } => Some(name),
            _ => None,
        };
        if self.steps.len() >= MAX_STEPS {
            self.left_over += 1;
            return;
        }
        self.touched.extend(pod.cloned());
        self.steps.push(step);
    }

    /// Whether this plan writes the pod already.
    pub(crate) fn touches(&self, pod: &Pod) -> bool {
        self.touched.contains(&pod.name)
    }

    /// The change from the pod's revision to this one; an error when its revision is not stored.
    pub(crate) fn change(&mut self, pod: &Pod, to: &Revision) -> Result<Rc<Change>, Reason> {
        let carried = pod.revision.as_ref();
        let Some(from) = carried.and_then(|name| self.history.get(name.as_str())) else {
            let label = carried.map_or("none", RevisionName::as_str);
            let message = format!("its revision ({label}) is not stored, so what would change is not known");
            return Err(Reason::new(Code::RevisionMissing, message));
        };
        let key = (from.name.clone(), to.name.clone());
        let change = self.changes.entry(key).or_insert_with(|| Rc::new(classify(&from.meaning, &to.meaning)));
        Ok(Rc::clone(change))
    }

    /// The revision that an existing pod is to be moved to; none if it stays as it is.
    pub(crate) fn wanted(&self, ordinal: u32, pod: &Pod) -> Option<&'a Revision> {
        let updates = matches!(self.spec.strategy, Some(Strategy::RollingUpdate | Strategy::InPlace));
        if !updates || self.spec.holds(Scope::Updates) {
            return None;
        }
        let at_update = self.history.update.is_some_and(|update| pod.is_at(&update.name));
        let kept = ordinal < self.partition
            || match self.deadlines.consequence {
                Consequence::None => false,
                Consequence::Hold => !at_update,
                Consequence::GoBack => !at_update || self.deadlines.failed_in(pod),
                Consequence::AllGoBack => true,
            };
        let wanted = if kept { self.history.current } else { self.history.update };
        wanted.filter(|revision| !pod.is_at(&revision.name))
    }

    /// The revision of a new pod.
    fn new_revision(&self, ordinal: u32, update: &'a Revision) -> &'a Revision {
        let current = self.history.current.unwrap_or(update);
        if self.spec.strategy == Some(Strategy::OnDelete) || current.name == update.name {
            return update;
        }
        let fails = matches!(self.deadlines.consequence, Consequence::GoBack | Consequence::AllGoBack);
        if ordinal < self.partition || fails {
            return current;
        }
        // While updates stand still, a pod below those that were updated comes back as it was. Otherwise it comes back
        // updated, also where an order is kept: going back first would cost its players a second restart.
        let held = self.deadlines.consequence == Consequence::Hold;
        if self.spec.paused || self.spec.holds(Scope::Updates) || held {
            let slots = self.family.slots.iter().filter_map(|slot| slot.pod);
            let not_updated = slots.filter(|pod| !pod.deleting && pod.is_at(&current.name)).count();
            if (ordinal as usize) < not_updated {
                return current;
            }
        }
        update
    }

    /// Fills the ordinals; answers whether the next pass may run.
    fn fill(&mut self, update: &'a Revision) -> bool {
        let family = self.family;
        for slot in &family.slots {
            let Some(pod) = slot.pod else {
                self.create(slot, update);
                if self.spec.ordered {
                    return false;
                }
                continue;
            };
            if pod.phase == Phase::Ended && !pod.deleting {
                let action = Action::DeletePod { name: pod.name.clone(), uid: pod.uid.clone() };
                let message = format!("pod {} has ended and is replaced", pod.name);
                self.step(action, Code::ReplaceEnded, message);
            } else if pod.deleting {
                self.wait(
                    Some(pod),
                    Code::PodTerminating,
                    "is on its way out; its ordinal is filled when it is gone",
                );
            } else {
                self.keep(slot.ordinal, pod);
            }
            let settled = self.wanted(slot.ordinal, pod).is_none();
            let blocks = pod.deleting || pod.phase == Phase::Ended || settled && !pod.is_available();
            if self.spec.ordered && blocks {
                let message = format!("pods after {} wait until it is ready", pod.name);
                self.wait(None, Code::OrderedReady, message);
                return false;
            }
        }
        true
    }

    fn create(&mut self, slot: &Slot<'a>, update: &'a Revision) {
        if let Some(stranger) = slot.stranger {
            if !self.touches(stranger) {
                let owner = stranger.controller.as_ref();
                let owner =
                    owner.map_or_else(|| "nobody".into(), |owner| format!("{} {}", owner.kind, owner.name));
                let message = format!("a pod of this name exists and belongs to {owner}");
                self.wait(Some(stranger), Code::NameTaken, message);
            }
            return;
        }
        let revision = self.new_revision(slot.ordinal, update);
        let name = crate::identity::pod_name(self.id.name.as_str(), slot.ordinal);
        let Ok(name) = ObjectName::new(name) else { return };
        let Some(claims) = self.missing_claims(slot.ordinal, None) else { return };
        // Bodies are only made for steps that fit.
        if self.steps.len() >= MAX_STEPS {
            self.left_over += 1;
            return;
        }
        let body = self.mold.pod(slot.ordinal, revision);
        let message = format!("ordinal {} has no pod; it gets revision {}", slot.ordinal, revision.name);
        self.step(Action::CreatePod { name, claims, body }, Code::CreatePod, message);
    }

    /// Bodies of the ordinal's claims that do not exist; none while one of them is being deleted.
    fn missing_claims(
        &mut self,
        ordinal: u32,
        pod: Option<&Pod>,
    ) -> Option<Vec<(String, serde_json::Value)>> {
        let claims = self.mold.claims(ordinal);
        let going = claims.iter().find(|(name, _)| self.claims.get(name).is_some_and(|claim| claim.deleting));
        if let Some((name, _)) = going {
            let message = format!("claim {name} of ordinal {ordinal} is being deleted");
            self.wait(pod, Code::ClaimTerminating, message);
            return None;
        }
        Some(claims.into_iter().filter(|(name, _)| !self.claims.contains_key(name)).collect())
    }

    /// Looks after a pod that stays.
    fn keep(&mut self, ordinal: u32, pod: &'a Pod) {
        if pod.phase == Phase::Pending
            && let Some(claims) = self.missing_claims(ordinal, Some(pod))
            && !claims.is_empty()
        {
            let message = format!("pod {} waits for claims that do not exist", pod.name);
            self.step(Action::CreateClaims { claims }, Code::CreateClaim, message);
        }
        if !pod.identified && !self.touches(pod) {
            let labels: BTreeMap<_, _> = required_labels(pod.name.as_str(), ordinal).into_iter().collect();
            let body = json!({"metadata": {"uid": pod.uid, "labels": labels}});
            let message = format!("pod {} lost the labels that say which one it is", pod.name);
            self.step(Action::PatchPod { name: pod.name.clone(), body }, Code::RepairIdentity, message);
        }
        if !pod.is_ready() && pod.stage() == Stage::Idle {
            self.wait_for(Some(pod), not_ready(pod), None);
        }
    }

    /// Takes away pods that are too many; answers whether the next pass may run.
    fn scale_down(&mut self) -> bool {
        let family = self.family;
        let slots = family.slots.iter().filter_map(|slot| slot.pod);
        let ascending = slots.chain(family.condemned.iter().rev().map(|(_, pod)| *pod));
        let first_unhealthy = ascending.clone().find(|pod| !pod.is_available()).map(|pod| &pod.name);
        for (_, pod) in &family.condemned {
            if pod.deleting {
                self.wait(Some(pod), Code::PodTerminating, "is too many and on its way out");
            } else if self.spec.ordered
                && !pod.is_ready()
                && pod.stage() == Stage::Idle
                && pod.phase != Phase::Ended
                && first_unhealthy != Some(&pod.name)
            {
                // As StatefulSet does: while several are down, nothing is taken away that may come back.
                let message = "is too many and not ready, and so is an earlier pod; that one comes first";
                self.wait(Some(pod), Code::OrderedReady, message);
            } else if self.may_delete(pod, Code::ScaleDown) {
                let action = Action::DeletePod { name: pod.name.clone(), uid: pod.uid.clone() };
                let message = format!("the set has {} pods; {} is too many", family.slots.len(), pod.name);
                self.step(action, Code::ScaleDown, message);
            }
            if self.spec.ordered {
                return false;
            }
        }
        true
    }
}

/// Why a pod that is not being updated is not ready.
pub(crate) fn not_ready(pod: &Pod) -> Reason {
    if let Some(message) = &pod.unschedulable {
        return Reason::new(Code::Unschedulable, format!("no node takes it: {message}"));
    }
    for container in &pod.containers {
        let Some(status) = &container.status else { continue };
        if let ContainerState::Waiting { reason, message } = &status.state
            && !matches!(reason.as_str(), "" | "ContainerCreating" | "PodInitializing")
        {
            return waiting_reason(&container.name, reason, message);
        }
    }
    let phase = match pod.phase {
        Phase::Pending => "starts",
        Phase::Running => "runs and is not ready",
        Phase::Ended => "has ended",
        Phase::Unknown => "is on a node that does not answer",
    };
    Reason::new(Code::PodNotReady, phase)
}
