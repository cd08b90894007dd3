//! Deletion of the set. While it has a pre-delete hook it carries a finalizer, so that its pods go through the hook
//! before the set, and with it whatever is left, is taken away.

use jiff::SignedDuration;
use muster_crds::keys::finalizer::DRAIN;
use serde_json::json;

use super::Point;
use crate::inplace::later;
use crate::plan::Action;
use crate::planner::Planner;
use crate::pod::Phase;
use crate::reason::{Code, Reason};

/// How long a set may drain once its namespace is being deleted too.
pub(crate) const NAMESPACE_DEADLINE: SignedDuration = SignedDuration::from_mins(5);

/// The finalizer of a deletion that is to leave the pods.
const ORPHAN: &str = "orphan";

impl Planner<'_> {
    /// Puts the finalizer on a set with a pre-delete hook, and takes it off where there is none.
    pub(crate) fn keep_finalizer(&mut self) {
        if self.hooks.is_unreadable(Point::PreDelete) {
            return;
        }
        let hook = self.hooks.strategy(Point::PreDelete).and_then(|strategy| strategy.hook.as_ref());
        match (hook, self.is_drained_first()) {
            (Some(hook), false) => {
                let mut finalizers = self.finalizers();
                finalizers.push(DRAIN.to_owned());
                let message =
                    format!("its pods go through HookTemplate {} when it is deleted", hook.template_name);
                self.put_finalizers(&finalizers, message);
            }
            (None, true) => self.release("it has no hook to ask before it is deleted"),
            _ => {}
        }
    }

    /// What is to be done for a set that is being deleted.
    pub(crate) fn drain(&mut self) {
        if !self.is_drained_first() {
            return self.wait(None, Code::SetTerminating, "the set is being deleted; its pods go with it");
        }
        if self.hooks.is_unreadable(Point::PreDelete) {
            let message =
                "spec.preDeleteUpdateStrategy cannot be read, so that pods cannot be asked before they go";
            return self.wait(None, Code::InvalidSpec, message);
        }
        if self.finalizers().iter().any(|finalizer| finalizer == ORPHAN) {
            return self.release("its pods are to stay");
        }
        if self.hooks.strategy(Point::PreDelete).is_none() {
            return self.release("there is no hook to ask");
        }
        if let Some(reason) = self.hooks.break_glass(None) {
            return self.release(&format!("its hook is passed over: {reason}"));
        }
        let left = self.family.members().count();
        if left == 0 {
            return self.release("its pods are gone");
        }
        let end = self.deadline();
        if let Some(end) = end.filter(|end| *end <= self.now) {
            return self.release(&format!("{left} pods are left, and its namespace was to be gone by {end}"));
        }
        let pods = if left == 1 { "pod is" } else { "pods are" };
        let reason = Reason::new(Code::SetTerminating, format!("the set goes when {left} {pods} gone"));
        self.wait_for(None, reason, end);
        self.drain_pods();
        self.tidy_hooks();
    }

    /// Pods go as in a scale-down to none.
    fn drain_pods(&mut self) {
        let mut pods: Vec<_> = self.family.members().collect();
        pods.sort_by_key(|pod| std::cmp::Reverse(pod.own_ordinal()));
        for pod in pods {
            if pod.deleting {
                self.await_end(pod, "is on its way out with its set");
            } else if !self.touches(pod) && (pod.phase == Phase::Ended || self.may_delete(pod, Code::Drain)) {
                self.delete(
                    pod,
                    Code::Drain,
                    format!("the set is being deleted; pod {} goes first", pod.name),
                );
            }
            if self.spec.ordered {
                break;
            }
        }
    }

    /// By when a set whose namespace is being deleted has to be gone.
    fn deadline(&self) -> Option<jiff::Timestamp> {
        let set = self.hooks.meta.deletion_timestamp.as_ref()?.0;
        self.hooks.namespace_deleted.map(|namespace| later(namespace.max(set), NAMESPACE_DEADLINE))
    }

    fn is_drained_first(&self) -> bool {
        self.finalizers().iter().any(|finalizer| finalizer == DRAIN)
    }

    fn finalizers(&self) -> Vec<String> {
        self.hooks.meta.finalizers.clone().unwrap_or_default()
    }

    fn release(&mut self, why: &str) {
        let mut finalizers = self.finalizers();
        finalizers.retain(|finalizer| finalizer != DRAIN);
        self.put_finalizers(&finalizers, format!("the set may go: {why}"));
    }

    fn put_finalizers(&mut self, finalizers: &[String], message: String) {
        let body = json!({"metadata": {
            "uid": self.id.uid,
            "resourceVersion": self.hooks.meta.resource_version,
            "finalizers": finalizers,
        }});
        self.step(Action::PatchSet { name: self.id.name.clone(), body }, Code::DrainFinalizer, message);
    }
}
