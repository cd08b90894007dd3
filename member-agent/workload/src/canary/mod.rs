//! Canary: an update that goes by steps.
//!
//! A template that is new begins at step 0 and goes on by one as each step is done; what is reached stands in the
//! status and nowhere else. Three kinds of change skip every step: the first template of a set, a return to the
//! revision that was last rolled out completely, and steps that are changed when nothing is left to roll out.
//!
//! Pods that carry the new revision keep it whatever the steps say: changed steps begin anew, but take nobody back.
//!
//! The controller never writes `spec.updateStrategy.paused`. A pause of ours ends by its time, by the annotation
//! `muster.dev/resume` with the step's index, or by an update of the spec after which `paused` says false and did not
//! before. What it said is kept in the pause condition, since a generation also changes with replicas.

mod hook;
pub(crate) mod steps;

use jiff::{SignedDuration, Timestamp, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use muster_crds::keys::reason::{PAUSED_BY_CANARY_STEP, PAUSED_BY_HOOK_STEP};
use muster_crds::keys::workload as keys;
use muster_crds::tkex::{CanaryStatus, CanaryStep, GameStatefulSetStatus, PauseCondition};
use serde_json::{Value, json};

use crate::family::Family;
use crate::plan::{Action, Step as PlanStep, Wait};
use crate::reason::{Code, Reason};
use crate::revision::{History, Recorded, Revision};
use crate::snapshot::{SetId, Snapshot};
use crate::spec::{Scope, Spec, Strategy};
use hook::{Hooks, Verdict};
pub use steps::Step;

/// After so long, what a plan says is in the status.
const ON_RECORD: SignedDuration = SignedDuration::from_millis(200);

/// Where the canary of a set stands.
#[derive(Debug)]
pub(crate) struct Canary {
    /// Ordinals below it keep the revision that pods come from.
    pub(crate) partition: u32,
    /// What to write.
    pub(crate) steps: Vec<PlanStep>,
    /// Why it is not further.
    pub(crate) waits: Vec<Wait>,
    /// When to look again, though nothing is waited for.
    pub(crate) recheck: Option<Timestamp>,
    record: Record,
}

/// What the status says of a canary.
#[derive(Clone, Debug, Default, PartialEq)]
struct Record {
    pauses: Vec<PauseCondition>,
    index: Option<i64>,
    hash: Option<String>,
    canary: Option<CanaryStatus>,
}

impl Canary {
    /// Puts what is to be remembered into a status.
    pub(crate) fn write(&self, status: &mut GameStatefulSetStatus) {
        let Record { pauses, index, hash, canary } = self.record.clone();
        status.pause_conditions = pauses;
        status.current_step_index = index;
        status.current_step_hash = hash;
        status.canary = canary;
    }

    fn still(partition: u32, record: Record) -> Self {
        Self { partition, steps: Vec::new(), waits: Vec::new(), recheck: None, record }
    }
}

/// Goes as many steps on as are done.
pub(crate) fn advance(
    id: &SetId,
    snapshot: &Snapshot,
    spec: &Spec,
    recorded: &Recorded,
    family: &Family<'_>,
    history: &History<'_>,
    now: Timestamp,
) -> Canary {
    let before = Record::of(snapshot.set.status.as_ref());
    let written = written(snapshot);
    let steps = match &spec.canary {
        Some(steps) if steps.is_empty() => return without_steps(spec, before, history),
        Some(steps) => steps,
        // What the steps are to be cannot be told: pods stay as they are, and those that come back do so as they were.
        None => return Canary::still(reached(spec, family, history), before),
    };
    let index = before.index(steps.len());
    let Some(update) = history.update.filter(|_| !spec.holds(Scope::Updates) && !snapshot.is_deleting())
    else {
        let partition = partition_at(steps, index.unwrap_or(steps.len())).min(reached(spec, family, history));
        return Canary::still(partition, before);
    };
    let hash = steps::hash(written);
    let known = before.canary.clone().unwrap_or_default();
    // Sets from before there were steps know the revision that their pods come from.
    let complete = known.revision.clone().or_else(|| recorded.current.clone());
    let complete = complete.unwrap_or_else(|| update.name.to_string());
    let retemplated = recorded.update.as_deref().is_some_and(|recorded| update.name != *recorded);
    let changed = before.hash.as_deref().is_some_and(|before| is_other(before, &hash));
    let (index, resumed) = match index {
        Some(index) if !retemplated && !changed => (index, true),
        _ if update.name == *complete => (steps.len(), false),
        _ => (0, false),
    };
    let mut run = Run {
        id,
        snapshot,
        spec,
        family,
        update,
        steps,
        now,
        hooks: Hooks {
            id,
            update,
            hash: &hash,
            enforced: snapshot.hooks == crate::snapshot::Hooks::Enforced,
            runs: &snapshot.hook_runs,
            templates: &snapshot.hook_templates,
        },
        index,
        // A pause belongs to the step it began in.
        pauses: if resumed { before.pauses.clone() } else { Vec::new() },
        hook_run: if resumed { known.current_step_hook_run.clone() } else { None },
        recorded: index,
        waits: Vec::new(),
        writes: Vec::new(),
    };
    run.go();
    let mut complete = complete;
    if run.index == steps.len() && history.current.is_some_and(|current| current.name == update.name) {
        complete = update.name.to_string();
    }
    let record = Record {
        pauses: run.pauses.clone(),
        index: i64::try_from(run.index).ok(),
        hash: Some(hash.clone()),
        canary: Some(CanaryStatus {
            revision: Some(complete),
            current_step_hook_run: run.hook_run.clone(),
            pause_start_time: None,
        }),
    };
    let partition = partition_at(steps, run.index).min(reached(spec, family, history));
    // What follows from a step that is done is only written when that is on record.
    let recheck = (record.index != before.index && run.resume_annotation().is_some())
        .then(|| crate::inplace::later(now, ON_RECORD));
    Canary { partition, steps: run.writes, waits: run.waits, recheck, record }
}

/// The steps as they are written.
fn written(snapshot: &Snapshot) -> &[CanaryStep] {
    let strategy = snapshot.set.spec.update_strategy.as_ref();
    strategy.and_then(|strategy| strategy.canary.as_ref()).map_or(&[], |canary| &canary.steps)
}

/// An update without steps. The revision that was rolled out last is kept up to date where it is known, so that steps
/// that come later tell a return to it from something new.
fn without_steps(spec: &Spec, before: Record, history: &History<'_>) -> Canary {
    let mut canary = before.canary;
    if let Some(canary) = &mut canary
        && let (Some(current), Some(update)) = (history.current, history.update)
        && current.name == update.name
    {
        canary.revision = Some(update.name.to_string());
        canary.current_step_hook_run = None;
    }
    Canary::still(spec.partition, Record { canary, ..Record::default() })
}

/// Whether the steps are others than those of this hash. A hash that is not of our making says nothing.
fn is_other(before: &str, hash: &str) -> bool {
    before.starts_with(steps::HASH_PREFIX) && before != hash
}

/// The partition of the last step up to this one that has one. Before the first, nothing may be updated; after the
/// last step, everything.
fn partition_at(steps: &[Step], index: usize) -> u32 {
    if index >= steps.len() {
        return 0;
    }
    let partitions = steps[..=index].iter().rev().find_map(|step| match step {
        Step::Partition(partition) => Some(*partition),
        Step::Pause(_) | Step::Hook(_) => None,
    });
    partitions.unwrap_or(u32::MAX)
}

/// The lowest place with the new revision: steps take none of those back.
fn reached(spec: &Spec, family: &Family<'_>, history: &History<'_>) -> u32 {
    let Some(update) = history.update else { return u32::MAX };
    let updated = family.slots.iter().filter(|slot| slot.pod.is_some_and(|pod| pod.is_at(&update.name)));
    updated.map(|slot| spec.offset(slot.ordinal)).min().unwrap_or(u32::MAX)
}

impl Record {
    fn of(status: Option<&GameStatefulSetStatus>) -> Self {
        let Some(status) = status else { return Self::default() };
        Self {
            pauses: status.pause_conditions.clone(),
            index: status.current_step_index,
            hash: status.current_step_hash.clone(),
            canary: status.canary.clone(),
        }
    }

    fn index(&self, steps: usize) -> Option<usize> {
        let index = usize::try_from(self.index?).unwrap_or_default();
        Some(index.min(steps))
    }
}

/// One walk along the steps.
struct Run<'a> {
    id: &'a SetId,
    snapshot: &'a Snapshot,
    spec: &'a Spec,
    family: &'a Family<'a>,
    update: &'a Revision,
    steps: &'a [Step],
    now: Timestamp,
    hooks: Hooks<'a>,
    index: usize,
    pauses: Vec<PauseCondition>,
    hook_run: Option<String>,
    /// The index on record.
    recorded: usize,
    waits: Vec<Wait>,
    writes: Vec<PlanStep>,
}

impl Run<'_> {
    fn go(&mut self) {
        while let Some(step) = self.steps.get(self.index) {
            if !self.is_done(step) {
                break;
            }
            self.index += 1;
            self.pauses.clear();
            self.hook_run = None;
        }
        self.writes.extend(self.hooks.tidy(self.index));
        let resume = self.resume_annotation().and_then(|resume| resume.parse::<usize>().ok());
        if self.writes.is_empty() && resume.is_some_and(|resume| resume < self.recorded) {
            // It has done what it was for.
            self.take_resume_off("is behind");
        }
    }

    fn is_done(&mut self, step: &Step) -> bool {
        if let Some(pause) = self.pauses.first().cloned() {
            return self.pause_is_over(step, &pause);
        }
        if self.spec.paused {
            let message = format!("{} stands still while spec.updateStrategy.paused is set", self.title());
            self.wait(Code::Paused, message, None);
            return false;
        }
        match step {
            Step::Partition(_) => self.has_arrived(),
            Step::Pause(_) => {
                if self.has_arrived() {
                    self.begin_pause(PAUSED_BY_CANARY_STEP, step);
                }
                false
            }
            Step::Hook(hook) => match self.hooks.verdict(self.index, hook) {
                Verdict::Succeeded(_) => true,
                Verdict::Ask(name, ask) => {
                    self.hook_run = Some(name.to_string());
                    self.writes.push(*ask);
                    self.wait(
                        Code::CanaryHook,
                        format!("{}: HookRun {name} is being made", self.title()),
                        None,
                    );
                    false
                }
                Verdict::Cannot(reason) => {
                    self.waits.push(Wait { pod: None, reason, until: None });
                    false
                }
                Verdict::Running(name, message) => {
                    self.hook_run = Some(name.to_string());
                    self.wait(Code::CanaryHook, format!("{}: {message}", self.title()), None);
                    false
                }
                // Going on unasked could harm players, and waiting would never end: somebody decides.
                Verdict::NotAsked => {
                    self.begin_pause(PAUSED_BY_HOOK_STEP, step);
                    false
                }
                Verdict::Failed(name, _) => {
                    self.hook_run = Some(name.to_string());
                    self.begin_pause(PAUSED_BY_HOOK_STEP, step);
                    false
                }
            },
        }
    }

    /// Whether every pod that the steps so far let go has arrived.
    fn has_arrived(&mut self) -> bool {
        let partition = partition_at(self.steps, self.index);
        let arrived =
            |pod: &crate::pod::Pod| pod.is_at(&self.update.name) && self.spec.is_available(pod, self.now);
        let slots = &self.family.slots;
        let wanted = slots.iter().filter(|slot| self.spec.offset(slot.ordinal) >= partition).count();
        // Who deletes pods by hand may begin anywhere.
        let anywhere = self.spec.strategy == Some(Strategy::OnDelete);
        let counted = slots.iter().filter(|slot| anywhere || self.spec.offset(slot.ordinal) >= partition);
        let there = counted.filter(|slot| slot.pod.is_some_and(arrived)).count();
        if there >= wanted {
            return true;
        }
        let message =
            format!("{}: {there} of {wanted} pods serve with revision {}", self.title(), self.update.name);
        self.wait(Code::CanaryProgress, message, None);
        false
    }

    /// Begins a pause. A resume from before it is taken off first: it was meant for another one.
    fn begin_pause(&mut self, reason: &str, step: &Step) {
        if self.resume_annotation().is_some() {
            let message = format!("{}: begins when an earlier {} is taken off", self.title(), keys::RESUME);
            self.wait(Code::CanaryPaused, message, None);
            // The one that ended the step before stays until that is on record.
            if self.index == self.recorded {
                self.take_resume_off("was there before the pause");
            }
            return;
        }
        // The API keeps whole seconds: rounded up, a pause is never cut short.
        let start = self.now.round(Unit::Second).unwrap_or(self.now);
        let start =
            if start < self.now { crate::inplace::later(start, SignedDuration::from_secs(1)) } else { start };
        let pause = PauseCondition {
            reason: reason.to_owned(),
            start_time: Some(Time(start)),
            spec_paused: self.spec_paused(),
        };
        self.pauses = vec![pause.clone()];
        self.tell_pause(step, &pause);
    }

    fn pause_is_over(&mut self, step: &Step, pause: &PauseCondition) -> bool {
        let spec_paused = self.spec_paused();
        let unpaused = match pause.spec_paused {
            Some(true) => spec_paused != Some(true),
            Some(false) => false,
            None => spec_paused == Some(false),
        };
        if self.spec.paused {
            self.pauses = vec![PauseCondition { spec_paused, ..pause.clone() }];
            let message =
                format!("{} is paused, and so is the set by spec.updateStrategy.paused", self.title());
            self.wait(Code::Paused, message, None);
            return false;
        }
        let asked = self.resume_annotation().is_some_and(|resume| resume == self.index.to_string());
        if unpaused || asked {
            return true;
        }
        self.pauses = vec![PauseCondition { spec_paused, ..pause.clone() }];
        match step {
            Step::Pause(Some(_)) if self.ends(step, pause).is_some_and(|end| end <= self.now) => true,
            // The run was deleted: it is asked again.
            Step::Hook(hook)
                if matches!(
                    self.hooks.verdict(self.index, hook),
                    Verdict::Ask(..) | Verdict::Running(..)
                ) =>
            {
                self.pauses.clear();
                self.is_done(step)
            }
            // Somebody made the hook's answer a yes.
            Step::Hook(hook) if matches!(self.hooks.verdict(self.index, hook), Verdict::Succeeded(_)) => true,
            // A step that was changed into a partition under a hash of the bk-bcs operator.
            Step::Partition(_) => {
                self.pauses.clear();
                self.is_done(step)
            }
            _ => {
                self.tell_pause(step, pause);
                false
            }
        }
    }

    fn ends(&self, step: &Step, pause: &PauseCondition) -> Option<Timestamp> {
        let Step::Pause(Some(duration)) = step else { return None };
        let start = pause.start_time.as_ref().map_or(self.now, |start| start.0);
        Some(crate::inplace::later(start, *duration))
    }

    fn tell_pause(&mut self, step: &Step, pause: &PauseCondition) {
        if let Some(end) = self.ends(step, pause) {
            let message = format!("{} lasts until {end}", self.title());
            return self.wait(Code::CanaryPause, message, Some(end));
        }
        let cause = match step {
            Step::Hook(hook) => match self.hooks.verdict(self.index, hook) {
                Verdict::Failed(_, message) => format!(" after its hook did not succeed ({message})"),
                Verdict::NotAsked => " because nothing here asks its hook".to_owned(),
                _ => String::new(),
            },
            _ => String::new(),
        };
        let stale = match self.resume_annotation() {
            Some(other) => format!("; {} says {other:?}, which is another step", keys::RESUME),
            None => String::new(),
        };
        let message = format!(
            "{} is paused{cause}; muster rollout resume gamestatefulset/{} goes on, or the annotation {}: \"{}\"{stale}",
            self.title(),
            self.id.name,
            keys::RESUME,
            self.index,
        );
        self.wait(Code::CanaryPaused, message, None);
    }

    fn title(&self) -> String {
        let step = self.steps.get(self.index).map(ToString::to_string).unwrap_or_default();
        format!("canary step {} of {} ({step})", self.index, self.steps.len())
    }

    fn spec_paused(&self) -> Option<bool> {
        self.snapshot.set.spec.update_strategy.as_ref().and_then(|strategy| strategy.paused)
    }

    fn resume_annotation(&self) -> Option<&str> {
        let annotations = self.snapshot.set.metadata.annotations.as_ref();
        annotations.and_then(|annotations| annotations.get(keys::RESUME)).map(String::as_str)
    }

    fn take_resume_off(&mut self, why: &str) {
        let body = json!({"metadata": {
            "uid": self.id.uid,
            "resourceVersion": self.snapshot.set.metadata.resource_version,
            "annotations": {keys::RESUME: Value::Null},
        }});
        self.writes.push(PlanStep {
            action: Action::PatchSet { name: self.id.name.clone(), body },
            reason: Reason::new(Code::EndResume, format!("the annotation {} {why}", keys::RESUME)),
        });
    }

    fn wait(&mut self, code: Code, message: String, until: Option<Timestamp>) {
        self.waits.push(Wait { pod: None, reason: Reason::new(code, message), until });
    }
}
