//! Reads how a running pod is updated, and what follows when that takes too long.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use muster_crds::tkex::{
    GameStatefulSetSpec, InPlacePolicy, PodDeadlinePolicy, ResizeDeferredPolicy, UpdateStrategy,
};
use serde_json::Value;

use super::read::Reader;
use super::{Problem, Scope};

/// Seconds that the update of a pod may take, where nothing else is said.
const POD_DEADLINE: i64 = 600;

/// Seconds that an update may take without progress, where nothing else is said.
const PROGRESS_DEADLINE: i64 = 600;

/// Nodes that pull at once, where nothing else is said.
const PULLS: i64 = 10;

/// How a running pod is updated.
#[derive(Clone, Debug)]
pub struct Options {
    /// In which order the containers of a pod change.
    pub order: Order,
    /// Containers whose restart costs no player anything.
    pub helpers: BTreeSet<String>,
    /// How many nodes pull new images at once; none if nothing is pulled beforehand.
    pub pre_pull: Option<usize>,
    /// Whether a pod is replaced whose node has no room for its new size.
    pub replaces_deferred: bool,
    /// How long the update of a pod may take.
    pub pod_deadline: SignedDuration,
    /// What follows when it takes longer.
    pub on_pod_deadline: OnDeadline,
    /// How long an update may go without getting a pod further.
    pub progress_deadline: SignedDuration,
}

/// In which order the containers of a pod change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// At once.
    None,
    /// One after the other, each ready before the next.
    Ready,
    /// One after the other, each running before the next.
    Updated,
}

/// What follows when the update of a pod takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeadline {
    /// No further update begins while the pod has not come good.
    Pause,
    /// The pod goes back, and no further update begins.
    RollbackPod,
    /// All pods go back.
    RollbackSet,
}

impl Reader {
    /// How a running pod is updated.
    pub(super) fn options(
        &mut self,
        spec: &GameStatefulSetSpec,
        strategy: &UpdateStrategy,
        template: &Value,
    ) -> Options {
        let in_place = strategy.in_place_update_strategy.clone().unwrap_or_default();
        let pre_pull = in_place.pre_pull.clone().unwrap_or_default();
        Options {
            order: self.order(in_place.policy.as_ref()),
            helpers: self.helpers(&in_place.helper_containers, template),
            pre_pull: self.pulls(pre_pull.parallelism).filter(|_| pre_pull.enabled != Some(false)),
            replaces_deferred: self.replaces_deferred(in_place.on_resize_deferred.as_ref()),
            pod_deadline: self.deadline(
                "spec.updateStrategy.podDeadlineSeconds",
                strategy.pod_deadline_seconds,
                POD_DEADLINE,
            ),
            on_pod_deadline: self.on_pod_deadline(strategy.on_pod_deadline.as_ref()),
            progress_deadline: self.deadline(
                "spec.progressDeadlineSeconds",
                spec.progress_deadline_seconds,
                PROGRESS_DEADLINE,
            ),
        }
    }

    fn order(&mut self, policy: Option<&InPlacePolicy>) -> Order {
        match policy {
            None | Some(InPlacePolicy::DisOrdered) => Order::None,
            Some(InPlacePolicy::OrderedReady) => Order::Ready,
            Some(InPlacePolicy::OrderedUpdated) => Order::Updated,
            Some(InPlacePolicy::Unknown(word)) => {
                let message = format!("{word:?} is none of DisOrdered, OrderedReady and OrderedUpdated");
                self.problem(Scope::Updates, "spec.updateStrategy.inPlaceUpdateStrategy.policy", message);
                Order::None
            }
        }
    }

    fn helpers(&mut self, names: &[String], template: &Value) -> BTreeSet<String> {
        let known = |name: &str| {
            let lists = ["containers", "initContainers"].into_iter();
            lists
                .flat_map(|list| template["spec"][list].as_array().into_iter().flatten())
                .any(|container| container["name"] == name)
        };
        for name in names.iter().filter(|name| !known(name)) {
            self.problems.push(Problem {
                field: "spec.updateStrategy.inPlaceUpdateStrategy.helperContainers".into(),
                message: format!("{name:?} is no container of spec.template"),
                scope: Scope::Nothing,
            });
        }
        names.iter().cloned().collect()
    }

    fn pulls(&mut self, parallelism: Option<i64>) -> Option<usize> {
        let parallelism = parallelism.unwrap_or(PULLS);
        if parallelism < 1 {
            let message = format!("{parallelism} is not a number of nodes; {PULLS} pull at once");
            let field = "spec.updateStrategy.inPlaceUpdateStrategy.prePull.parallelism";
            self.problem(Scope::Nothing, field, message);
            return usize::try_from(PULLS).ok();
        }
        Some(usize::try_from(parallelism).unwrap_or(usize::MAX))
    }

    fn replaces_deferred(&mut self, policy: Option<&ResizeDeferredPolicy>) -> bool {
        match policy {
            None | Some(ResizeDeferredPolicy::Wait) => false,
            Some(ResizeDeferredPolicy::Recreate) => true,
            Some(ResizeDeferredPolicy::Unknown(word)) => {
                let message = format!("{word:?} is neither Wait nor Recreate");
                let field = "spec.updateStrategy.inPlaceUpdateStrategy.onResizeDeferred";
                self.problem(Scope::Updates, field, message);
                false
            }
        }
    }

    fn deadline(&mut self, field: &str, seconds: Option<i64>, default: i64) -> SignedDuration {
        let seconds = seconds.unwrap_or(default);
        if !(1..=i64::from(i32::MAX)).contains(&seconds) {
            let message =
                format!("{seconds} is no time in which anything can be done; it is taken as {default}");
            self.problem(Scope::Nothing, field, message);
            return SignedDuration::from_secs(default);
        }
        SignedDuration::from_secs(seconds)
    }

    fn on_pod_deadline(&mut self, policy: Option<&PodDeadlinePolicy>) -> OnDeadline {
        match policy {
            None | Some(PodDeadlinePolicy::Pause) => OnDeadline::Pause,
            Some(PodDeadlinePolicy::RollbackPod) => OnDeadline::RollbackPod,
            Some(PodDeadlinePolicy::RollbackSet) => OnDeadline::RollbackSet,
            Some(PodDeadlinePolicy::Unknown(word)) => {
                let message = format!("{word:?} is none of Pause, RollbackPod and RollbackSet");
                self.problem(Scope::Updates, "spec.updateStrategy.onPodDeadline", message);
                OnDeadline::Pause
            }
        }
    }
}
