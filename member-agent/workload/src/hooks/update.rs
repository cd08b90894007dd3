//! Questions of updates. A pod that is being asked, or said yes and was not touched yet, has its place in the budget; one
//! that said no serves its players and has none.

use super::{Point, Standing};
use crate::planner::Planner;
use crate::pod::Pod;
use crate::reason::Code;
use crate::spec::Strategy;

/// What the budget of an update leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// How many more serving pods may be made unavailable.
    pub(crate) to_touch: usize,
    /// How many more serving pods may be asked.
    pub(crate) to_ask: usize,
}

impl<'a> Planner<'a> {
    /// What is asked before the update of a pod: at which hook point, and for which revision.
    pub(super) fn update_question(&self, pod: &Pod) -> Option<(Point, &'a str)> {
        let ordinal = pod.own_ordinal()?;
        let slots = &self.family.slots;
        let slot = slots.binary_search_by_key(&ordinal, |slot| slot.ordinal).ok()?;
        slots[slot].pod.filter(|held| held.uid == pod.uid)?;
        let point = match self.spec.strategy? {
            Strategy::InPlace => Point::PreInPlace,
            Strategy::RollingUpdate => Point::PreDelete,
            Strategy::OnDelete | Strategy::HotPatch => return None,
        };
        self.wanted(ordinal, pod).map(|revision| (point, revision.name.as_str()))
    }

    /// How the question before a pod's update stands.
    pub(crate) fn update_standing(&self, pod: &Pod) -> Standing {
        let question = self.update_question(pod);
        question.map_or(Standing::Free, |(point, revision)| self.hooks.standing(pod, point, revision))
    }

    /// What the budget leaves while so many pods of the set are unavailable.
    pub(crate) fn room(&self, unavailable: usize) -> Room {
        let to_touch = self.spec.budget.saturating_sub(unavailable + self.hooks.finishing);
        Room { to_touch, to_ask: to_touch.saturating_sub(self.engaged()) }
    }

    /// How many serving pods are being asked, or said yes and were not touched yet.
    fn engaged(&self) -> usize {
        if self.hooks.latest.is_empty() && self.hooks.asked.is_empty() {
            return 0;
        }
        let pods = self.family.slots.iter().filter_map(|slot| slot.pod).filter(|pod| self.is_available(pod));
        let engaged = pods.filter(|pod| {
            self.hooks.asked.contains(&pod.name)
                || self.hooks.committed(pod).is_some()
                || matches!(self.update_standing(pod), Standing::Open(_) | Standing::Yes)
        });
        engaged.count()
    }

    /// Whether this plan asks the pod.
    pub(crate) fn asks(&self, pod: &Pod) -> bool {
        self.hooks.asked.contains(&pod.name)
    }

    /// Whether the update of a pod waits for somebody, because it said no; says so.
    pub(crate) fn is_held(&mut self, pod: &Pod) -> bool {
        let Some((point, revision)) = self.update_question(pod) else { return false };
        let held = matches!(self.hooks.standing(pod, point, revision), Standing::No(_));
        if held {
            self.ask(pod, point, revision, &[]);
        }
        held
    }

    /// Finishes the deletions that games were told of, although no scale-down and no update asks for them any more.
    pub(crate) fn finish_deletions(&mut self) {
        if self.hooks.latest.is_empty() {
            return;
        }
        let family = self.family;
        let slots = &family.slots;
        let all = slots.iter().chain(&family.surge);
        let unavailable = all.filter(|slot| !slot.pod.is_some_and(|pod| self.is_available(pod))).count();
        let mut room = self.room(unavailable).to_touch;
        for slot in slots.iter().rev() {
            let Some(pod) = slot.pod.filter(|pod| !pod.deleting && !self.touches(pod)) else { continue };
            let Some(run) = self.hooks.committed(pod) else { continue };
            if matches!(self.update_question(pod), Some((Point::PreDelete, _))) && !self.spec.paused {
                continue; // The update asks for it.
            }
            let revision = run.label(muster_crds::keys::workload::HOOKRUN_REVISION).unwrap_or_default();
            if !self.ask(pod, Point::PreDelete, revision, &[]) {
                continue;
            }
            if pod.is_available() {
                if room == 0 {
                    let message = "was told of its deletion, and goes when fewer pods are unavailable";
                    self.wait(Some(pod), Code::BudgetUsed, message);
                    continue;
                }
                room -= 1;
                self.hooks.finishing += 1;
            }
            let message = format!("pod {} was told that it goes, and is replaced", pod.name);
            self.delete(pod, Code::FinishDeletion, message);
        }
    }
}
