//! The passes over a set's pods, in the order in which they bind: finish what is under way, fill the ordinals, take
//! away what is too many, then update.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;
use muster_crds::names::{ObjectName, RevisionName};

use crate::canary::Canary;
use crate::change::{Change, classify};
use crate::deadline::{Consequence, Deadlines};
use crate::family::Family;
use crate::hooks::Hooks;
use crate::identity::Mold;
use crate::plan::{Action, MAX_STEPS, Step, Wait};
use crate::pod::Pod;
use crate::prove::Proofs;
use crate::reason::{Code, Reason};
use crate::resize::Sizes;
use crate::revision::{History, Revision};
use crate::snapshot::{Claim, Node, SetId, Snapshot};
use crate::spec::{NO_HOT_PATCH, Scope, Spec, Strategy};

/// A plan in the making.
pub(crate) struct Planner<'a> {
    pub(crate) id: &'a SetId,
    pub(crate) spec: &'a Spec,
    pub(crate) family: &'a Family<'a>,
    pub(crate) history: &'a History<'a>,
    pub(crate) now: Timestamp,
    /// So many of the first ordinals keep the revision that pods come from.
    pub(crate) partition: u32,
    pub(crate) hooks: Hooks<'a>,
    /// Pods whose update takes too long.
    pub(crate) deadlines: Deadlines,
    /// What is known of images on nodes.
    pub(crate) proofs: Proofs<'a>,
    /// Sizes of the containers of revisions that were looked at.
    pub(crate) sizes: BTreeMap<RevisionName, Sizes>,
    /// Whether the stored revisions differ in size, once that was asked.
    pub(crate) sizes_differ: Option<bool>,
    pub(crate) mold: &'a Mold<'a>,
    pub(crate) claims: &'a BTreeMap<String, Arc<Claim>>,
    pub(crate) nodes: &'a BTreeMap<String, Node>,
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
        snapshot: &'a Snapshot,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            spec,
            family,
            history,
            now,
            partition: spec.partition,
            hooks: Hooks::of(snapshot),
            deadlines: Deadlines::default(),
            proofs: Proofs::default(),
            sizes: BTreeMap::new(),
            sizes_differ: None,
            mold,
            claims: &snapshot.claims,
            nodes: &snapshot.nodes,
            steps: Vec::new(),
            waits: Vec::new(),
            touched: BTreeSet::new(),
            changes: BTreeMap::new(),
            left_over: 0,
        }
    }

    /// Updates go as far as the canary has come.
    pub(crate) fn follow(&mut self, canary: &Canary) {
        self.partition = canary.partition;
        self.waits.extend(canary.waits.iter().cloned());
        for step in &canary.steps {
            self.push(step.clone());
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
        self.keep_finalizer();
        for step in &self.family.steps {
            self.push(step.clone());
        }
        self.refresh();
        let Some(update) = self.history.update else { return };
        if self.spec.holds(Scope::Everything) {
            return;
        }
        let filled = self.fill(update);
        self.finish_deletions();
        if filled && self.scale_down() {
            self.update(update);
        }
        self.tidy_hooks();
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

    /// Waits for something that keeps a pod from being created.
    pub(crate) fn wait_for_ordinal(&mut self, pod: &str, reason: Reason) {
        self.waits.push(Wait { pod: ObjectName::new(pod).ok(), reason, until: None });
    }

    pub(crate) fn step(&mut self, action: Action, code: Code, message: impl Into<String>) {
        self.push(Step { action, reason: Reason::new(code, message) });
    }

    /// Deletes a pod. One whose hook is passed over because nothing in it runs has to be so still.
    pub(crate) fn delete(&mut self, pod: &Pod, code: Code, message: String) {
        let (name, uid) = (pod.name.clone(), pod.uid.clone());
        let action = if self.hooks.passes_over(pod) {
            Action::ReplacePod { name, uid, version: pod.resource_version.clone() }
        } else {
            Action::DeletePod { name, uid }
        };
        self.step(action, code, message);
    }

    fn push(&mut self, mut step: Step) {
        if self.steps.len() >= MAX_STEPS {
            self.left_over += 1;
            return;
        }
        if let Some(reason) = step.action.pod().and_then(|pod| self.hooks.passed_over(pod)) {
            step.reason.message = format!("{}; its hook is passed over: {reason}", step.reason.message);
        }
        self.touched.extend(step.action.pod().cloned());
        self.steps.push(step);
    }

    /// Whether no further step fits, which is noted. Bodies are only made for steps that fit.
    pub(crate) fn is_full(&mut self) -> bool {
        let full = self.steps.len() >= MAX_STEPS;
        self.left_over += usize::from(full);
        full
    }

    /// Keeps this plan from writing a pod.
    pub(crate) fn touch(&mut self, pod: &Pod) {
        self.touched.insert(pod.name.clone());
    }

    /// Whether a pod serves and has been ready for minReadySeconds.
    pub(crate) fn is_available(&self, pod: &Pod) -> bool {
        self.spec.is_available(pod, self.now)
    }

    /// Whether the partition keeps an ordinal of the set from updates.
    pub(crate) fn is_below_partition(&self, ordinal: u32) -> bool {
        self.spec.offset(ordinal) < self.partition
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
        let kept = self.is_below_partition(ordinal)
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
    pub(crate) fn new_revision(&self, ordinal: u32, update: &'a Revision) -> &'a Revision {
        let current = self.history.current.unwrap_or(update);
        if self.spec.strategy == Some(Strategy::OnDelete) || current.name == update.name {
            return update;
        }
        let fails = matches!(self.deadlines.consequence, Consequence::GoBack | Consequence::AllGoBack);
        if self.is_below_partition(ordinal) || fails {
            return current;
        }
        // While updates stand still, a pod below those that were updated comes back as it was. Otherwise it comes back
        // updated, also where an order is kept: going back first would cost its players a second restart.
        let held = self.deadlines.consequence == Consequence::Hold;
        if self.spec.paused || self.spec.holds(Scope::Updates) || held {
            let slots = self.family.slots.iter().filter_map(|slot| slot.pod);
            let not_updated = slots.filter(|pod| !pod.deleting && pod.is_at(&current.name)).count();
            if self.family.rank(ordinal) < not_updated {
                return current;
            }
        }
        update
    }
}
