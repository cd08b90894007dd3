//! Updates that take too long: in one pod, and altogether.
//!
//! The clock of a pod starts at the time written on it: when its images were changed, when it was created, or when it
//! ceased to be ready, whichever came last. So a restart of the controller starts no clock again. What follows from a
//! failure is recorded in `status.failedUpdate` before it is done; it ends when the template changes, or, where the
//! update was only held back, when the pod comes good.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_crds::conditions::{Condition, set_condition, stamp};
use muster_crds::keys::condition;
use muster_crds::names::ObjectName;
use muster_crds::tkex::{FailedUpdate, GameStatefulSetStatus};

use crate::family::Family;
use crate::fill::not_ready;
use crate::inplace::{Progress, Stage, later, progress};
use crate::plan::Wait;
use crate::pod::{Gate, Pod};
use crate::reason::{Code, Reason};
use crate::revision::History;
use crate::spec::{OnDeadline, Spec, Strategy};

/// What pods whose update takes too long mean for the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    /// When the pods that are on their way have to be there.
    pub(crate) due: BTreeMap<ObjectName, Timestamp>,
    /// Pods that are not, and why.
    overdue: BTreeMap<ObjectName, Reason>,
    /// What failed, if an update did.
    pub(crate) failed: Option<FailedUpdate>,
    /// What becomes of the other pods.
    pub(crate) consequence: Consequence,
}

/// What becomes of the other pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// Nothing: no update failed.
    #[default]
    None,
    /// None of them is updated.
    Hold,
    /// None of them is updated, and those in which the update failed go back.
    GoBack,
    /// All of them go back.
    AllGoBack,
}

impl Deadlines {
    /// Looks at the pods at the revision they go to.
    pub(crate) fn of(
        spec: &Spec,
        family: &Family<'_>,
        history: &History<'_>,
        recorded: Option<&FailedUpdate>,
        now: Timestamp,
    ) -> Self {
        let mut deadlines = Self::default();
        let (Some(update), Some(current)) = (history.update, history.current) else { return deadlines };
        let updates = matches!(spec.strategy, Some(Strategy::RollingUpdate | Strategy::InPlace));
        if !updates || update.name == current.name {
            return deadlines;
        }
        let recorded = recorded.filter(|failed| update.name == *failed.revision.as_str());
        for pod in family.slots.iter().filter_map(|slot| slot.pod) {
            if pod.deleting || !pod.is_at(&update.name) {
                continue;
            }
            let Some(Unfinished { began, since, reason }) = unfinished(pod, now) else { continue };
            let due = later(since, spec.options.pod_deadline);
            // One that came down so much later is down for another reason than its update.
            if since > later(began, spec.options.pod_deadline) {
                continue;
            }
            if now < due {
                deadlines.due.insert(pod.name.clone(), due);
            } else {
                deadlines.overdue.insert(pod.name.clone(), reason);
            }
        }
        let found = deadlines.overdue.iter().next_back().map(|(pod, reason)| FailedUpdate {
            revision: update.name.to_string(),
            pod: pod.to_string(),
            code: reason.code.to_string(),
            message: reason.message.clone(),
            since: Some(stamp(now)),
        });
        let back = spec.options.on_pod_deadline;
        deadlines.consequence = match (recorded, &found, back) {
            (Some(_), _, OnDeadline::RollbackPod) => Consequence::GoBack,
            (Some(_), _, OnDeadline::RollbackSet) => Consequence::AllGoBack,
            // What is to be done is written down first.
            (_, Some(_), _) => Consequence::Hold,
            (_, None, _) => Consequence::None,
        };
        let lasts = recorded.filter(|_| back != OnDeadline::Pause);
        let same = recorded.filter(|failed| found.as_ref().is_some_and(|found| found.pod == failed.pod));
        deadlines.failed = lasts.or(same).cloned().or(found);
        deadlines
    }

    /// Whether the update failed in this pod.
    pub(crate) fn failed_in(&self, pod: &Pod) -> bool {
        self.overdue.contains_key(&pod.name)
    }

    /// What keeps pods from their update, if one failed.
    pub(crate) fn reason(&self) -> Option<Reason> {
        let failed = self.failed.as_ref()?;
        let what = match self.consequence {
            Consequence::None => return None,
            Consequence::Hold => "no further update begins",
            Consequence::GoBack => {
                "the pod goes back, and no further update begins until the template changes"
            }
            Consequence::AllGoBack => "all pods go back, and stay there until the template changes",
        };
        let FailedUpdate { revision, pod, code, message, .. } = failed;
        let message = format!("revision {revision} failed in pod {pod} ({code}: {message}); {what}");
        Some(Reason::new(Code::PodDeadline, message))
    }
}

/// A pod at the revision it goes to that does not serve.
struct Unfinished {
    /// When it came to that revision.
    began: Timestamp,
    /// Since when it does not serve, or since it came to that revision.
    since: Timestamp,
    reason: Reason,
}

fn unfinished(pod: &Pod, now: Timestamp) -> Option<Unfinished> {
    match pod.stage() {
        Stage::Closed { .. } => None,
        Stage::Patched(state) | Stage::Helped(state) => {
            let began = state.update_timestamp;
            // Without a gate nothing else tells an update that never came good from a crash long after.
            let since =
                if pod.gate == Gate::None { began.max(pod.not_ready_since.unwrap_or(began)) } else { began };
            match progress(pod, state, now) {
                Progress::Done => None,
                Progress::Until(_, reason) | Progress::Waiting(reason) => {
                    Some(Unfinished { began, since, reason })
                }
            }
        }
        Stage::Idle if pod.is_ready() => None,
        Stage::Idle => {
            // One that was down before it came to this revision has its time from then on.
            let state = pod
                .state
                .as_deref()
                .filter(|state| pod.revision.as_ref().is_some_and(|name| *name == state.revision.as_str()));
            let changed = state.map(|state| state.update_timestamp);
            let began = pod.created.into_iter().chain(changed).max()?;
            let since = began.max(pod.not_ready_since.unwrap_or(began));
            Some(Unfinished { began, since, reason: not_ready(pod) })
        }
    }
}

/// Watches whether the update gets on, and says so in the condition Progressing when it does not. Answers when to look
/// again.
pub(crate) fn watch_progress(
    spec: &Spec,
    before: Option<&GameStatefulSetStatus>,
    status: &mut GameStatefulSetStatus,
    waits: &[Wait],
    now: Timestamp,
) -> Option<Timestamp> {
    let progressing = status.conditions.iter().find(|condition| condition.type_ == condition::PROGRESSING);
    let told_to_wait =
        |wait: &Wait| matches!(wait.reason.code, Code::CanaryPause | Code::CanaryPaused | Code::PodDeadline);
    let moves = progressing.is_some_and(|condition| condition.status == "True")
        && status.update_revision != status.current_revision
        && !waits.iter().any(told_to_wait);
    if !moves {
        status.last_progress_time = None;
        return None;
    }
    let default = GameStatefulSetStatus::default();
    let before = before.unwrap_or(&default);
    let measures = |status: &GameStatefulSetStatus| {
        (
            status.update_revision.clone(),
            status.current_step_index,
            status.updated_replicas,
            status.updated_ready_replicas,
        )
    };
    let last = before.last_progress_time.as_ref().filter(|_| measures(before) == measures(status));
    let since = last.map_or(now, |time| time.0);
    status.last_progress_time = Some(stamp(since));
    let due = later(since, spec.options.progress_deadline);
    if now < due {
        return Some(due);
    }
    let message = progressing.and_then(|condition| condition.message.clone()).unwrap_or_default();
    let seconds = spec.options.progress_deadline.as_secs();
    let message = format!("no pod got further for {seconds} s; {message}");
    let stuck = Condition::new(condition::PROGRESSING, false, "ProgressDeadlineExceeded", message);
    // Its times go on from what was said before, not from what would have been said without a deadline.
    let of = |condition: &&mut Condition| condition.type_ == condition::PROGRESSING;
    let said = before.conditions.iter().find(|condition| condition.type_ == condition::PROGRESSING);
    if let (Some(condition), Some(said)) = (status.conditions.iter_mut().find(of), said) {
        *condition = said.clone();
    }
    set_condition(&mut status.conditions, stuck.observed(status.observed_generation), now);
    None
}
