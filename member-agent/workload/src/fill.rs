//! The passes over ordinals: those of the set get their pods, pods of others are taken away.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use muster_crds::names::ObjectName;
use serde_json::json;

use crate::family::Slot;
use crate::identity::{identity_labels, pod_name};
use crate::inplace::{Stage, later, waiting_reason};
use crate::plan::Action;
use crate::planner::Planner;
use crate::pod::{ContainerState, Force, Phase, Pod};
use crate::reason::{Code, Reason};
use crate::revision::Revision;

/// When to look again for a status that was to be written.
const STATUS_RECHECK: SignedDuration = SignedDuration::from_secs(1);

impl<'a> Planner<'a> {
    /// Fills the ordinals; answers whether the next pass may run.
    pub(crate) fn fill(&mut self, update: &'a Revision) -> bool {
        let family = self.family;
        let filling = family.filling.map(|filled| filled as usize);
        let mut held_back = 0_usize;
        let ascending = family.slots.iter().enumerate();
        #[cfg(mutate_order)] // A planted mistake.
        let ascending = ascending.rev();
        for (rank, slot) in ascending {
            let Some(pod) = slot.pod else {
                if filling.is_some_and(|filled| rank >= filled) {
                    held_back += 1;
                    continue;
                }
                self.create(slot, update, Code::CreatePod);
                if self.spec.ordered {
                    return false;
                }
                continue;
            };
            self.tend(slot.ordinal, pod);
            let settled = self.wanted(slot.ordinal, pod).is_none();
            let blocks = pod.deleting || pod.phase == Phase::Ended || settled && !self.is_available(pod);
            if self.spec.ordered && blocks {
                let message = format!("pods after {} wait until it is ready", pod.name);
                self.wait(None, Code::OrderedReady, message);
                return false;
            }
        }
        if let Some(filled) = filling.filter(|_| held_back > 0) {
            let message = format!(
                "{held_back} more pods are created when the first {filled} of this new set are available"
            );
            self.wait(None, Code::CreateBatch, message);
        }
        for slot in &family.surge {
            match slot.pod {
                Some(pod) => self.tend(slot.ordinal, pod),
                None => self.create(slot, update, Code::Surge),
            }
        }
        true
    }

    fn create(&mut self, slot: &Slot<'a>, update: &'a Revision, code: Code) {
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
        let Ok(name) = ObjectName::new(pod_name(self.id.name.as_str(), slot.ordinal)) else { return };
        if !self.claims_allow(slot.ordinal) || self.is_full() {
            return;
        }
        let claims = self.missing_claims(slot.ordinal);
        let body = self.mold.pod(slot.ordinal, revision);
        let message = format!("ordinal {} has no pod; it gets revision {}", slot.ordinal, revision.name);
        self.step(Action::CreatePod { name, claims, body }, code, message);
    }

    /// Looks after a pod of the set.
    fn tend(&mut self, ordinal: u32, pod: &'a Pod) {
        // Before anything that could end the pod: its claims are not to go with it.
        let claims_right = self.retain_claims(ordinal, pod, false);
        if pod.deleting {
            self.await_end(pod, "is on its way out; its ordinal is filled when it is gone");
        } else if pod.phase == Phase::Ended {
            if claims_right {
                let action = Action::DeletePod { name: pod.name.clone(), uid: pod.uid.clone() };
                let message = format!("pod {} has ended and is replaced", pod.name);
                self.step(action, Code::ReplaceEnded, message);
            }
        } else {
            self.keep(ordinal, pod);
        }
    }

    /// Looks after a pod that stays.
    fn keep(&mut self, ordinal: u32, pod: &'a Pod) {
        if pod.phase == Phase::Pending {
            self.repair_claims(ordinal, pod);
        }
        self.check_storage(ordinal, pod);
        if !pod.identified && !self.touches(pod) {
            let labels: BTreeMap<_, _> = identity_labels(pod.name.as_str(), ordinal).into_iter().collect();
            let body = json!({"metadata": {"uid": pod.uid, "labels": labels}});
            let message = format!("pod {} lost the labels that say which one it is", pod.name);
            self.step(Action::PatchPod { name: pod.name.clone(), body }, Code::RepairIdentity, message);
        }
        if pod.stage() != Stage::Idle {
            return;
        }
        if !pod.is_ready() {
            let reason = match self.lost_node(pod).filter(|lost| lost.is_certain) {
                Some(lost) => Reason::new(Code::NodeLost, lost.message),
                None => not_ready(pod),
            };
            self.wait_for(Some(pod), reason, None);
        } else if let Some(from) = self.spec.available_from(pod).filter(|from| *from > self.now) {
            let message = format!("is ready; counts as available from {from} on, after minReadySeconds");
            self.wait_for(Some(pod), Reason::new(Code::NotYetAvailable, message), Some(from));
        }
    }

    /// Waits for a pod that is on its way out. One on a node that is lost may still run: its ordinal stays empty until
    /// the node is heard of again, or somebody said beforehand that this is not to be waited for.
    pub(crate) fn await_end(&mut self, pod: &Pod, message: &str) {
        let Some(lost) = self.lost_node(pod) else {
            return self.wait(Some(pod), Code::PodTerminating, message);
        };
        if pod.force == Force::Done {
            self.wait(Some(pod), Code::PodTerminating, "is held by its finalizers alone");
        } else if lost.is_certain && pod.force == Force::Allowed && !self.touches(pod) {
            let action = Action::ForceDeletePod { name: pod.name.clone(), uid: pod.uid.clone() };
            let message = format!("{}; pod {} is removed as its annotation asks", lost.message, pod.name);
            self.step(action, Code::ForceDelete, message);
        } else {
            let message =
                format!("{}; the pod may still run there, so its ordinal stays empty", lost.message);
            self.wait(Some(pod), Code::NodeLost, message);
        }
    }

    /// Whether nothing is heard of the pod's node.
    fn lost_node(&self, pod: &Pod) -> Option<LostNode> {
        let name = pod.node.as_deref()?;
        match self.nodes.get(name) {
            Some(node) if node.ready.is_some() => None,
            Some(_) => {
                Some(LostNode { is_certain: true, message: format!("node {name} does not answer any more") })
            }
            // It may also be too new to be known.
            None => Some(LostNode { is_certain: false, message: format!("node {name} is not there") }),
        }
    }

    /// Takes away pods that are too many; answers whether the next pass may run.
    pub(crate) fn scale_down(&mut self) -> bool {
        let family = self.family;
        if !family.ordinals.recorded {
            let chosen: Vec<String> =
                family.ordinals.removed.ordinals.iter().take(10).map(ToString::to_string).collect();
            let message = format!(
                "ordinals {} go before later ones; nothing goes before that is recorded",
                chosen.join(", ")
            );
            let until = Some(later(self.now, STATUS_RECHECK));
            self.wait_for(None, Reason::new(Code::OrdinalsChosen, message), until);
            return !self.spec.ordered;
        }
        if family.condemned.is_empty() {
            return true;
        }
        // One that has an update before it is not waited for: the update comes after this, and may be what makes it ready.
        let settled = |slot: &&Slot<'a>| slot.pod.is_some_and(|pod| self.wanted(slot.ordinal, pod).is_none());
        let slots = family.slots.iter().filter(settled).filter_map(|slot| slot.pod);
        let all = slots.chain(family.condemned.iter().rev().map(|(_, pod)| *pod));
        let unhealthy = all.filter(|pod| !self.is_available(pod)).min_by_key(|pod| pod.own_ordinal());
        let unhealthy = unhealthy.map(|pod| pod.name.clone());
        let mut claims_right: Vec<bool> = Vec::with_capacity(family.condemned.len());
        for (ordinal, pod) in &family.condemned {
            claims_right.push(self.retain_claims(*ordinal, pod, true));
        }
        for ((_, pod), claims_right) in family.condemned.iter().zip(claims_right) {
            let available =
                pod.is_ready() && self.spec.available_from(pod).is_none_or(|from| from <= self.now);
            if pod.deleting {
                self.await_end(pod, "is too many and on its way out");
            } else if self.spec.ordered
                && !available
                && pod.stage() == Stage::Idle
                && pod.phase != Phase::Ended
                && let Some(unhealthy) = unhealthy.as_ref().filter(|unhealthy| **unhealthy != pod.name)
            {
                // As StatefulSet does: while several are down, nothing is taken away that may come back.
                let message =
                    format!("is too many and not available, and neither is {unhealthy}, which comes first");
                let until = self.spec.available_from(pod).filter(|from| *from > self.now);
                self.wait_for(Some(pod), Reason::new(Code::OrderedReady, message), until);
            } else if claims_right && self.may_delete(pod, Code::ScaleDown) {
                let message = format!("the set has {} pods; {} is too many", family.slots.len(), pod.name);
                self.delete(pod, Code::ScaleDown, message);
            }
            if self.spec.ordered {
                return false;
            }
        }
        true
    }

    /// Sees to the owners of all claims, and to nothing else.
    pub(crate) fn retain_all_claims(&mut self) {
        let family = self.family;
        for slot in family.slots.iter().chain(&family.surge) {
            if let Some(pod) = slot.pod {
                self.retain_claims(slot.ordinal, pod, false);
            }
        }
        for (ordinal, pod) in &family.condemned {
            self.retain_claims(*ordinal, pod, true);
        }
    }
}

/// A node of which nothing is heard.
struct LostNode {
    /// Whether it is known and its kubelet was given up.
    is_certain: bool,
    message: String,
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
