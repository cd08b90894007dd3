//! From a snapshot to a plan: what to write now, what to wait for, and what to say about it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use muster_crds::names::{ObjectName, RevisionName, Uid};
use muster_crds::tkex::GameStatefulSetStatus;
use serde_json::Value;

use crate::canary;
use crate::deadline::{self, Deadlines};
use crate::family::Family;
use crate::hooks::Hooks;
use crate::identity::Mold;
use crate::planner::Planner;
use crate::pod::Pod;
use crate::prove::Proofs;
use crate::reason::Reason;
use crate::revision::{History, Recorded};
use crate::snapshot::{Refusal, SetId, Snapshot};
use crate::spec::{Scope, Spec};
use crate::{claims, scale, siblings, status};

/// Most steps of one plan. What does not fit is planned again when these are done, so that a set of many thousand pods
/// neither fills the memory with bodies nor acts long on one look.
pub const MAX_STEPS: usize = 500;

/// What to do for one set.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to write. The steps of one plan touch different objects and may run in any order or at once.
    pub steps: Vec<Step>,
    /// Why what is not in its final state is not being changed now.
    pub waits: Vec<Wait>,
    /// The status of the set as of the snapshot, conditions included.
    pub status: GameStatefulSetStatus,
    /// When time alone may change the plan.
    pub recheck_after: Option<Duration>,
    /// How many pods of the set may be unavailable in an update.
    pub budget: usize,
    /// How many are.
    pub unavailable: usize,
}

/// One write and what it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The write.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// One write. Bodies are complete; patches carry uid and, where it matters, resourceVersion as preconditions.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create a ControllerRevision.
    CreateRevision {
        /// Its name.
        name: RevisionName,
        /// The object.
        body: Value,
    },
    /// Merge patch of a ControllerRevision.
    PatchRevision {
        /// Its name.
        name: RevisionName,
        /// The patch.
        body: Value,
    },
    /// Delete a ControllerRevision.
    DeleteRevision {
        /// Its name.
        name: RevisionName,
        /// Precondition.
        uid: Uid,
    },
    /// Create missing claims of a pod that exists.
    CreateClaims {
        /// Names and objects.
        claims: Vec<(String, Value)>,
    },
    /// Create a pod.
    CreatePod {
        /// Its name.
        name: ObjectName,
        /// Names and objects of its missing claims, created before it.
        claims: Vec<(String, Value)>,
        /// The object.
        body: Value,
    },
    /// Strategic merge patch of a pod.
    PatchPod {
        /// Its name.
        name: ObjectName,
        /// The patch.
        body: Value,
    },
    /// Strategic merge patch of a pod's status.
    PatchPodStatus {
        /// Its name.
        name: ObjectName,
        /// The patch.
        body: Value,
    },
    /// Strategic merge patch of a pod's sub-resource `resize`.
    ResizePod {
        /// Its name.
        name: ObjectName,
        /// The patch.
        body: Value,
    },
    /// Delete a pod.
    DeletePod {
        /// Its name.
        name: ObjectName,
        /// Precondition.
        uid: Uid,
    },
    /// Delete a pod that is still as it was seen: whether it may go depends on that.
    ReplacePod {
        /// Its name.
        name: ObjectName,
        /// Precondition.
        uid: Uid,
        /// Precondition.
        version: String,
    },
    /// Delete a pod without waiting for its node.
    ForceDeletePod {
        /// Its name.
        name: ObjectName,
        /// Precondition.
        uid: Uid,
    },
    /// Merge patch of a claim.
    PatchClaim {
        /// Its name.
        name: ObjectName,
        /// The patch.
        body: Value,
    },
    /// Create a HookRun.
    CreateHookRun {
        /// Its name.
        name: ObjectName,
        /// The object.
        body: Value,
    },
    /// Merge patch of a HookRun.
    PatchHookRun {
        /// Its name.
        name: ObjectName,
        /// The patch.
        body: Value,
    },
    /// Delete a HookRun.
    DeleteHookRun {
        /// Its name.
        name: ObjectName,
        /// Precondition.
        uid: Uid,
    },
    /// Merge patch of the set's metadata.
    PatchSet {
        /// Its name.
        name: ObjectName,
        /// The patch.
        body: Value,
    },
}

impl Action {
    /// The pod that is written, if it is one.
    pub fn pod(&self) -> Option<&ObjectName> {
        match self {
            Self::CreatePod { name, .. }
            | Self::PatchPod { name, .. }
            | Self::PatchPodStatus { name, .. }
            | Self::ResizePod { name, .. }
            | Self::DeletePod { name, .. }
            | Self::ReplacePod { name, .. }
            | Self::ForceDeletePod { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Verb and object, as in `create pod game-3`.
    pub fn title(&self) -> String {
        match self {
            Self::CreateRevision { name, .. } => format!("create revision {name}"),
            Self::PatchRevision { name, .. } => format!("patch revision {name}"),
            Self::DeleteRevision { name, .. } => format!("delete revision {name}"),
            Self::CreateClaims { claims } => {
                let names: Vec<&str> = claims.iter().map(|(name, _)| name.as_str()).collect();
                format!("create claims {}", names.join(", "))
            }
            Self::CreatePod { name, .. } => format!("create pod {name}"),
            Self::PatchPod { name, .. } => format!("patch pod {name}"),
            Self::PatchPodStatus { name, .. } => format!("patch status of pod {name}"),
            Self::ResizePod { name, .. } => format!("resize pod {name}"),
            Self::DeletePod { name, .. } | Self::ReplacePod { name, .. } => format!("delete pod {name}"),
            Self::ForceDeletePod { name, .. } => format!("force delete pod {name}"),
            Self::PatchClaim { name, .. } => format!("patch claim {name}"),
            Self::CreateHookRun { name, .. } => format!("create hook run {name}"),
            Self::PatchHookRun { name, .. } => format!("patch hook run {name}"),
            Self::DeleteHookRun { name, .. } => format!("delete hook run {name}"),
            Self::PatchSet { name, .. } => format!("patch set {name}"),
        }
    }
}

/// Something that is not changed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The pod; none when it is about the whole set.
    pub pod: Option<ObjectName>,
    /// Why.
    pub reason: Reason,
    /// When to look again, if nothing else happens before.
    pub until: Option<Timestamp>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.action.title(), self.reason)
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pod {
            Some(pod) => write!(f, "{pod}: {}", self.reason),
            None => write!(f, "set: {}", self.reason),
        }
    }
}

/// The plan as text, one line per step and wait, without bodies.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "do {step}"))?;
        self.waits.iter().try_for_each(|wait| writeln!(f, "wait {wait}"))
    }
}

/// Why no plan can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The set was not read from an API server.
    #[error("the set's metadata is incomplete")]
    Metadata(#[from] muster_crds::names::NameError),
}

/// Plans what to do for a set.
pub fn plan(snapshot: &Snapshot, now: Timestamp) -> Result<Plan, PlanError> {
    let set = &snapshot.set;
    let id = SetId::of(set)?;
    let mut spec = Spec::read(set);
    let recorded = recorded(set.status.as_ref());
    let deleting = set.metadata.deletion_timestamp.is_some();

    spec.problems.extend(siblings::overlap(snapshot, &spec));
    let mut family = Family::sort(&id, &spec, snapshot);
    spec.problems.append(&mut family.problems);
    let members: Vec<&Pod> = family.members().collect();
    let revisions = snapshot.revisions.iter().map(AsRef::as_ref);
    let held = deleting || spec.holds(Scope::Everything);
    let mut history = if held {
        History::on_record(&id, &recorded, revisions, &members)
    } else {
        History::of(&id, &spec, &recorded, revisions, &members)
    };

    if !spec.holds(Scope::Scaling) {
        history.complete(&family);
    }
    if !held {
        history.trim(&spec, &members);
    }

    let selector = set.spec.selector.as_ref();
    let selected = selector.and_then(|selector| selector.match_labels.clone()).unwrap_or_default();
    let mold = Mold {
        set: &id,
        service: set.spec.service_name.as_deref(),
        claims: &set.spec.volume_claim_templates,
        selected: &selected,
        readiness_gate: spec.readiness_gate,
        claim_owners: claims::owners_of_new(&id, spec.retention),
    };
    let canary = canary::advance(&id, snapshot, &spec, &recorded, &family, &history, now);
    if !deleting {
        let hooks = Hooks::of(snapshot);
        let told = |pod: &Pod| hooks.committed(pod).is_some();
        scale::surge(&mut family, &spec, &history, canary.partition, &told, now);
        family.filling = scale::filling(&family, &spec, set.status.as_ref(), now);
    }
    let mut planner = Planner::new(&id, &spec, &family, &history, &mold, snapshot, now);
    let failed = set.status.as_ref().and_then(|status| status.failed_update.as_ref());
    planner.deadlines = Deadlines::of(&spec, &family, &history, failed, now);
    planner.proofs = Proofs::of(&id, snapshot, now);
    if deleting {
        planner.retain_all_claims();
        planner.drain();
    } else {
        planner.follow(&canary);
        planner.run();
    }
    let failed = planner.deadlines.failed.take();
    let (steps, mut waits) = planner.finish();
    waits.extend(refused(&snapshot.refusals, &steps));
    let mut status = status::status(set, &spec, &family, &history, &steps, &waits, now);
    status.failed_update = failed;
    canary.write(&mut status);
    Hooks::of(snapshot).write(&mut status, family.members());
    let stuck_at = deadline::watch_progress(&spec, set.status.as_ref(), &mut status, &waits, now);
    let times = waits.iter().filter_map(|wait| wait.until).chain(canary.recheck).chain(stuck_at);
    let recheck_after = times.min().map(|until| {
        let wait = until.duration_since(now);
        Duration::try_from(wait).unwrap_or_default()
    });
    let unavailable = family.slots.iter().filter(|slot| !slot.pod.is_some_and(Pod::is_available)).count();
    Ok(Plan { steps, waits, status, recheck_after, budget: spec.budget, unavailable })
}

/// The refusals that are still met: of writes that are still to be made.
fn refused(refusals: &[Refusal], steps: &[Step]) -> Vec<Wait> {
    if refusals.is_empty() {
        return Vec::new();
    }
    let titles: BTreeSet<String> = steps.iter().map(|step| step.action.title()).collect();
    let met = refusals.iter().filter(|refusal| titles.contains(&refusal.write));
    met.map(|refusal| Wait { pod: refusal.pod.clone(), reason: refusal.reason(), until: None }).collect()
}

fn recorded(status: Option<&GameStatefulSetStatus>) -> Recorded {
    let Some(status) = status else { return Recorded::default() };
    Recorded {
        current: status.current_revision.clone(),
        update: status.update_revision.clone(),
        collisions: status.collision_count.unwrap_or_default().max(0),
    }
}
