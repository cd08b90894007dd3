//! Hook points: what has to be asked before a pod is touched, and after.
//!
//! A question is asked by making a HookRun, and answered by its phase. Its name is a hash of pod uid, hook point,
//! revision and attempt, so that a crash between any two writes asks once, and no answer is ever taken for another pod
//! of the same name or for another revision. Everything that is remembered of a question is on its run:
//!
//! | what | where |
//! |---|---|
//! | who is asked, and what for | labels of pod uid, hook point and revision |
//! | how often it was asked before | label `muster.dev/attempt` |
//! | that `retry: true` was acted on | label `muster.dev/retry`: what `retry` last said |
//! | that the answer is not wanted any more | label `muster.dev/taken-back` |
//!
//! | file | idea |
//! |---|---|
//! | `ask` | the body of a run: its name, labels and arguments |
//! | `update` | questions of updates, and the budget they share |
//! | `tidy` | runs that nobody needs, and deletions that cannot be taken back |
//! | `drain` | deletion of the set |

mod ask;
mod drain;
mod tidy;
mod update;

pub(crate) use update::Room;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use muster_crds::conditions::remove_condition;
use muster_crds::keys::{condition, workload as keys};
use muster_crds::names::{ObjectName, RevisionName};
use muster_crds::tkex::{GameStatefulSetSpec, GameStatefulSetStatus, HookCondition, HookStrategy};
use serde_json::Value;

use crate::change::InPlaceChange;
use crate::planner::Planner;
use crate::pod::{Phase, Pod};
use crate::reason::Code;
use crate::revision::Revision;
use crate::snapshot::{HookRun, Hooks as Enforcement, Node, Snapshot};

/// Most pods that are asked at once before they are deleted for other reasons than an update, unless the hook point
/// says `maxConcurrentHooks`.
pub(crate) const MAX_DELETION_HOOKS: usize = 100;

/// Most pods in each of the lists of hooks in a status.
pub(crate) const MAX_HOOK_CONDITIONS: usize = 100;

/// A moment at which something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    /// Before a pod is deleted.
    PreDelete,
    /// Before a pod is updated in place.
    PreInPlace,
    /// After a pod was updated in place.
    PostInPlace,
}

impl Point {
    const ALL: [Self; 3] = [Self::PreDelete, Self::PreInPlace, Self::PostInPlace];

    /// As the label of a run says it.
    fn label(self) -> &'static str {
        match self {
            Self::PreDelete => keys::HOOK_PRE_DELETE,
            Self::PreInPlace => keys::HOOK_PRE_INPLACE,
            Self::PostInPlace => keys::HOOK_POST_INPLACE,
        }
    }

    /// The field of the spec.
    fn field(self) -> &'static str {
        match self {
            Self::PreDelete => "preDeleteUpdateStrategy",
            Self::PreInPlace => "preInplaceUpdateStrategy",
            Self::PostInPlace => "postInplaceUpdateStrategy",
        }
    }

    fn strategy(self, spec: &GameStatefulSetSpec) -> Option<&HookStrategy> {
        match self {
            Self::PreDelete => spec.pre_delete_update_strategy.as_ref(),
            Self::PreInPlace => spec.pre_inplace_update_strategy.as_ref(),
            Self::PostInPlace => spec.post_inplace_update_strategy.as_ref(),
        }
    }

    fn of(run: &HookRun) -> Option<Self> {
        let label = run.label(keys::HOOKRUN_TYPE)?;
        Self::ALL.into_iter().find(|point| point.label() == label)
    }
}

/// How a question stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is to be asked.
    Free,
    /// It is to be asked, for this time.
    Unasked(u32),
    /// It was asked, and is not answered.
    Open(String),
    /// The answer is yes.
    Yes,
    /// The answer is no, or it could not be asked to the end.
    No(String),
}

/// Pod uid, hook point and revision.
type Question<'a> = (&'a str, Point, &'a str);

/// What is known of the hooks of a set.
pub(crate) struct Hooks<'a> {
    meta: &'a ObjectMeta,
    spec: &'a GameStatefulSetSpec,
    enforced: bool,
    templates: &'a BTreeMap<String, Arc<Value>>,
    nodes: &'a BTreeMap<String, Node>,
    /// Runs that this planner made for pods, the last attempt of each question.
    latest: BTreeMap<Question<'a>, &'a HookRun>,
    /// Runs of the same questions before.
    earlier: Vec<&'a HookRun>,
    /// Pods and revisions of deletions that the game was told of and that cannot be taken back, whatever the attempt.
    told: BTreeSet<(&'a str, &'a str)>,
    namespace_deleted: Option<Timestamp>,
    /// Questions that this plan looked at.
    used: BTreeSet<ObjectName>,
    /// How many pods are being asked, those of this plan included.
    open: BTreeMap<Point, usize>,
    /// How many serving pods this plan deletes because they were told so.
    finishing: usize,
    /// Pods that this plan asks.
    asked: BTreeSet<ObjectName>,
    /// Pods whose hooks are passed over, and why.
    passed_over: BTreeMap<ObjectName, String>,
}

impl<'a> Hooks<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot) -> Self {
        let mut hooks = Self {
            meta: &snapshot.set.metadata,
            spec: &snapshot.set.spec,
            enforced: snapshot.hooks == Enforcement::Enforced,
            templates: &snapshot.hook_templates,
            nodes: &snapshot.nodes,
            latest: BTreeMap::new(),
            earlier: Vec::new(),
            told: BTreeSet::new(),
            namespace_deleted: snapshot.namespace_deleted,
            used: BTreeSet::new(),
            open: BTreeMap::new(),
            finishing: 0,
            asked: BTreeSet::new(),
            passed_over: BTreeMap::new(),
        };
        if hooks.enforced {
            hooks.sort(snapshot.hook_runs.iter().map(AsRef::as_ref));
            let pods: BTreeSet<&str> = snapshot.pods.iter().map(|pod| pod.uid.as_str()).collect();
            for ((pod, point, _), run) in &hooks.latest {
                if pods.contains(pod) && !run.is_complete() && !run.terminating && !run.deleting {
                    *hooks.open.entry(*point).or_default() += 1;
                }
            }
        }
        hooks
    }

    fn sort(&mut self, runs: impl Iterator<Item = &'a HookRun>) {
        for run in runs {
            let pod = run.label(keys::HOOKRUN_POD);
            let (Some(point), Some(pod)) = (Point::of(run), pod) else { continue };
            let question = (pod, point, run.label(keys::HOOKRUN_REVISION).unwrap_or_default());
            if point == Point::PreDelete && is_committed(run) {
                self.told.insert((question.0, question.2));
            }
            let held = self.latest.get(&question).copied();
            match held {
                Some(held) if attempt(held) >= attempt(run) => self.earlier.push(run),
                _ => self.earlier.extend(self.latest.insert(question, run)),
            }
        }
    }

    /// The hook point, if something is asked there.
    fn strategy(&self, point: Point) -> Option<&'a HookStrategy> {
        let strategy = point.strategy(self.spec).filter(|_| self.enforced)?;
        strategy.hook.as_ref().map(|_| strategy)
    }

    /// Whether the hook point could not be read.
    fn is_unreadable(&self, point: Point) -> bool {
        self.spec.malformed.iter().any(|malformed| malformed.field == point.field() || malformed.field == ".")
    }

    /// Why the hooks of a pod, or of the whole set, are passed over.
    fn break_glass<'s>(&'s self, pod: Option<&'s Pod>) -> Option<&'s str> {
        let of_set = || self.meta.annotations.as_ref()?.get(keys::BREAK_GLASS).map(String::as_str);
        let reason = pod.and_then(|pod| pod.break_glass.as_deref()).or_else(of_set)?;
        Some(if reason.is_empty() { "no reason given" } else { reason })
    }

    /// Whether a pod is deleted without being asked because it does not run yet, which may have changed since it was
    /// seen.
    pub(crate) fn passes_over(&self, pod: &Pod) -> bool {
        self.strategy(Point::PreDelete).is_some() && matches!(pod.phase, Phase::Pending | Phase::Unknown)
    }

    /// Whether the pod's node is not heard of. One that is not known was not looked at.
    fn is_cut_off(&self, pod: &Pod) -> bool {
        let node = pod.node.as_ref().and_then(|name| self.nodes.get(name));
        node.is_some_and(|node| node.ready.is_none())
    }

    /// The deletion that the game was told of and that cannot be taken back.
    pub(crate) fn committed(&self, pod: &Pod) -> Option<&'a HookRun> {
        self.strategy(Point::PreDelete)?;
        let uid = pod.uid.as_str();
        let of_pod = self.latest.range((uid, Point::PreDelete, "")..(uid, Point::PreInPlace, ""));
        let told = of_pod.filter(|((uid, _, revision), _)| self.told.contains(&(uid, revision)));
        // Of several, one that was not ended answers.
        told.map(|(_, run)| *run).filter(|run| !run.denied()).min_by_key(|run| run.taken_back())
    }

    /// Whether the answer that allowed the pod's last update is still there: it must not allow another one.
    pub(crate) fn is_spent(&self, pod: &Pod) -> bool {
        self.latest.contains_key(&(pod.uid.as_str(), Point::PreInPlace, own_revision(pod)))
    }

    /// How a question stands.
    pub(crate) fn standing(&self, pod: &Pod, point: Point, revision: &str) -> Standing {
        let Some(strategy) = self.strategy(point) else { return Standing::Free };
        if self.break_glass(Some(pod)).is_some() || pod.phase != Phase::Running {
            return Standing::Free;
        }
        if self.is_cut_off(pod) {
            // A lost pod may be replaced. One that is updated may still hold its players when its node is back.
            return match point {
                Point::PreDelete => Standing::Free,
                _ => Standing::Open("its node does not answer, and neither can the pod".to_owned()),
            };
        }
        if point == Point::PreInPlace && self.is_spent(pod) {
            return Standing::Open("the HookRun of its last update is being deleted".to_owned());
        }
        let Some(run) = self.run(pod, point, revision) else { return Standing::Unasked(0) };
        if run.deleting {
            return Standing::Open(format!("HookRun {} is being deleted", run.name));
        }
        if run.taken_back() {
            return Standing::Unasked(attempt(run).saturating_add(1));
        }
        if run.denied() || run.terminating {
            let asks_again = strategy.retry == Some(true) && run.label(keys::HOOKRUN_RETRY) != Some("true");
            if asks_again {
                return Standing::Unasked(attempt(run).saturating_add(1));
            }
            let word = if run.denied() { run.phase.as_str() } else { "told to end before it answered" };
            let detail = if run.message.is_empty() { String::new() } else { format!(": {}", run.message) };
            return Standing::No(format!("HookRun {} is {word}{detail}", run.name));
        }
        if run.succeeded() {
            Standing::Yes
        } else {
            Standing::Open(format!("HookRun {} was not answered yet", run.name))
        }
    }

    /// The run that answers a question.
    fn run(&self, pod: &Pod, point: Point, revision: &str) -> Option<&'a HookRun> {
        let committed = (point == Point::PreDelete).then(|| self.committed(pod)).flatten();
        committed.or_else(|| self.latest.get(&(pod.uid.as_str(), point, revision)).copied())
    }

    /// Why the hooks of a pod that this plan touches were passed over.
    pub(crate) fn passed_over(&self, pod: &ObjectName) -> Option<&str> {
        self.passed_over.get(pod).map(String::as_str)
    }

    /// Puts what is known of hooks into a status.
    pub(crate) fn write<'p>(&self, status: &mut GameStatefulSetStatus, pods: impl Iterator<Item = &'p Pod>) {
        if !self.enforced {
            return;
        }
        remove_condition(&mut status.conditions, condition::HOOKS_NOT_ENFORCED);
        let names: BTreeMap<&str, &ObjectName> = pods.map(|pod| (pod.uid.as_str(), &pod.name)).collect();
        let list = |wanted: Point| {
            let runs = self.latest.iter().filter(|((_, point, _), _)| *point == wanted);
            let waiting = runs.filter(|(_, run)| !run.succeeded() && !run.taken_back() && !run.deleting);
            let mut conditions: Vec<HookCondition> = waiting
                .filter_map(|((uid, ..), run)| {
                    let phase = if run.phase.is_empty() { "Pending" } else { &run.phase };
                    Some(HookCondition {
                        pod_name: names.get(uid)?.to_string(),
                        start_time: run.created.map(Time),
                        phase: phase.to_owned(),
                    })
                })
                .collect();
            conditions
                .sort_by(|a, b| a.start_time.cmp(&b.start_time).then_with(|| a.pod_name.cmp(&b.pod_name)));
            conditions.truncate(MAX_HOOK_CONDITIONS);
            conditions
        };
        status.pre_delete_hook_condition = list(Point::PreDelete);
        status.pre_inplace_hook_condition = list(Point::PreInPlace);
        status.post_inplace_hook_condition = list(Point::PostInPlace);
    }
}

/// Whether the game was told of a deletion, did not say no, and cannot be told otherwise.
fn is_committed(run: &HookRun) -> bool {
    run.measured && !run.denied() && run.label(keys::CANCELLABLE) != Some("true")
}

/// How often the same was asked before.
fn attempt(run: &HookRun) -> u32 {
    run.label(keys::HOOKRUN_ATTEMPT).and_then(|attempt| attempt.parse().ok()).unwrap_or_default()
}

/// The revision that the deletion of a pod is asked for where no update asks for it.
fn own_revision(pod: &Pod) -> &str {
    pod.revision.as_ref().map_or("none", RevisionName::as_str)
}

impl Planner<'_> {
    /// Whether a pod may be deleted now, for this cause; says why where it may not.
    pub(crate) fn may_delete(&mut self, pod: &Pod, cause: Code) -> bool {
        let target = match cause {
            Code::Recreate => self.update_question(pod).map(|(_, revision)| revision.to_owned()),
            _ => None,
        };
        let revision = target.unwrap_or_else(|| own_revision(pod).to_owned());
        self.ask(pod, Point::PreDelete, &revision, &[])
    }

    /// Whether a pod may be updated in place now; says why where it may not.
    pub(crate) fn may_update(&mut self, pod: &Pod, target: &Revision, change: &InPlaceChange) -> bool {
        let images = change.images.keys().chain(change.sidecar_images.keys());
        let modified: Vec<String> = images.cloned().collect();
        self.ask(pod, Point::PreInPlace, target.name.as_str(), &modified)
    }

    /// Whether a pod whose new containers run may serve again; says why where it may not.
    pub(crate) fn after_update(&mut self, pod: &Pod) -> bool {
        self.ask(pod, Point::PostInPlace, own_revision(pod), &[])
    }

    /// Whether the answer to a question is yes, or nothing is to be asked; asks where that is due, and says what is
    /// waited for.
    fn ask(&mut self, pod: &Pod, point: Point, revision: &str, modified: &[String]) -> bool {
        let run = self.hooks.run(pod, point, revision);
        // A deletion that cannot be taken back stays the question that it was, whatever it is wanted for now.
        let revision = run.and_then(|run| run.label(keys::HOOKRUN_REVISION)).unwrap_or(revision);
        self.hooks.used.extend(run.map(|run| run.name.clone()));
        match self.hooks.standing(pod, point, revision) {
            Standing::Free => {
                let reason = self.hooks.break_glass(Some(pod)).map(str::to_owned);
                if let Some(reason) = reason.filter(|_| self.hooks.strategy(point).is_some()) {
                    self.hooks.passed_over.insert(pod.name.clone(), reason);
                }
                true
            }
            Standing::Yes => true,
            Standing::Open(message) => {
                self.wait(Some(pod), Code::HookPending, message);
                false
            }
            Standing::No(message) => {
                self.wait(Some(pod), Code::HookDenied, denial(point, &message));
                false
            }
            Standing::Unasked(attempt) => {
                self.make_run(pod, point, revision, attempt, modified);
                false
            }
        }
    }
}

/// What is said of an answer that is no.
fn denial(point: Point, message: &str) -> String {
    format!("{message}; a new revision or spec.{}.retry asks again", point.field())
}
