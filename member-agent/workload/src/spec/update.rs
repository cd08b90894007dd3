//! Reads how a running pod is updated, and what follows when that takes too long.

use std::collections::BTreeSet;

use super::Scope;
use super::read::Reader;
use jiff::SignedDuration;
use muster_crds::tkex::{
    GameStatefulSetSpec, InPlacePolicy, PodDeadlinePolicy, ResizeDeferredPolicy, UpdateStrategy,
};

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
    /// How a running pod is updated. Words without a meaning and negative numbers are named elsewhere and count as left
    /// out.
    pub(super) fn options(&mut self, spec: &GameStatefulSetSpec, strategy: &UpdateStrategy) -> Options {
        let in_place = strategy.in_place_update_strategy.clone().unwrap_or_default();
        let pre_pull = in_place.pre_pull.clone().unwrap_or_default();
        let pulls = self.positive(
            "spec.updateStrategy.inPlaceUpdateStrategy.prePull.parallelism",
            pre_pull.parallelism,
            PULLS,
        );
        let pod_deadline = self.positive(
            "spec.updateStrategy.podDeadlineSeconds",
            strategy.pod_deadline_seconds,
            POD_DEADLINE,
        );
        let progress_deadline =
            self.positive("spec.progressDeadlineSeconds", spec.progress_deadline_seconds, PROGRESS_DEADLINE);
        if let Some(ResizeDeferredPolicy::Unknown(word)) = &in_place.on_resize_deferred {
            let field = "spec.updateStrategy.inPlaceUpdateStrategy.onResizeDeferred";
            self.problem(Scope::Nothing, field, format!("{word:?} is neither Wait nor Recreate"));
        }
        Options {
            order: match in_place.policy {
                Some(InPlacePolicy::OrderedReady) => Order::Ready,
                Some(InPlacePolicy::OrderedUpdated) => Order::Updated,
                None | Some(InPlacePolicy::DisOrdered | InPlacePolicy::Unknown(_)) => Order::None,
            },
            helpers: in_place.helper_containers.into_iter().collect(),
            pre_pull: usize::try_from(pulls).ok().filter(|_| pre_pull.enabled != Some(false)),
            replaces_deferred: in_place.on_resize_deferred == Some(ResizeDeferredPolicy::Recreate),
            pod_deadline: SignedDuration::from_secs(pod_deadline),
            on_pod_deadline: match strategy.on_pod_deadline {
                Some(PodDeadlinePolicy::RollbackPod) => OnDeadline::RollbackPod,
                Some(PodDeadlinePolicy::RollbackSet) => OnDeadline::RollbackSet,
                None | Some(PodDeadlinePolicy::Pause | PodDeadlinePolicy::Unknown(_)) => OnDeadline::Pause,
            },
            progress_deadline: SignedDuration::from_secs(progress_deadline),
        }
    }

    fn positive(&mut self, field: &str, number: Option<i64>, default: i64) -> i64 {
        match number {
            Some(0) => {
                let message = format!("is 0, with which nothing could be done; {default} is used");
                self.problem(Scope::Nothing, field, message);
                default
            }
            Some(number) if (1..=i64::from(i32::MAX)).contains(&number) => number,
            _ => default,
        }
    }
}
