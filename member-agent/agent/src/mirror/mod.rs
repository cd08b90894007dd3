//! The mirror: makes the member hold what its view shows, and says how that went.
//!
//! One serial worker per object: it reads what is wanted and what is there, [`decide`]s on one step,
//! executes it, and looks again, until there is no step left. Then it says how the object stands.

pub mod decide;
pub mod desired;
pub mod desired_set;
mod execute;
pub mod fields;
mod kind;
mod latest;
pub mod live;
pub mod ownership;
pub mod record;
mod report;
pub mod waves;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::DynamicObject;
use muster_runtime::queue::{Next, WorkQueue};
use muster_runtime::watch::Key;
use muster_runtime::{Clock, Tasks};
use parking_lot::RwLock;
use tokio::sync::Notify;

use self::decide::{Action, Decision, Link, NamespaceState, Observed, Say, Want, attempt, decide};
use self::desired::Intent;
use self::execute::{Outcome, Writer};
use self::kind::KindMirror;
use self::live::Live;
use self::ownership::Identity;
use self::record::Record;
use self::report::Statement;
use crate::kind::Kind;
use crate::link::reporter::Reporter;
use crate::metrics::Metrics;
use crate::wire::{KindState, Word};

/// Most steps taken for one object before it is queued again, so that no object holds a worker.
const MAX_STEPS: usize = 8;

/// When to look again at an object that waits for one of another kind.
const BLOCKED_RECHECK: Duration = Duration::from_secs(2);

/// How long a member may take to list a kind before that is reported.
const UNREADABLE_AFTER: Duration = Duration::from_secs(10);

/// When to look again at an object of a kind that the member does not list. Its first list comes
/// with a look at everything, so this only keeps the report true.
const UNREADABLE_RECHECK: Duration = Duration::from_mins(1);

/// One object of one kind: what a worker works on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its kind.
    pub kind: Arc<Kind>,
    /// Its name.
    pub key: Key,
}

/// The mirror of one member. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Mirror(Arc<Inner>);

struct Inner {
    writer: Writer,
    clock: Clock,
    queue: WorkQueue<Target>,
    reporter: Reporter,
    metrics: Metrics,
    /// Told when a list of the view was taken.
    view_listed: Notify,
    cluster: String,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// Whether the hub answers heartbeats.
    hub_answers: bool,
    kinds: BTreeMap<Kind, KindMirror>,
}

/// What one look at a target found.
struct Look {
    me: Identity,
    intent: Option<Intent>,
    absent: bool,
    live: Option<Arc<DynamicObject>>,
    view_version: Option<u64>,
    record: Record,
    link: Link,
    blocked_by: Option<String>,
}

impl Mirror {
    /// The mirror of `cluster`, which writes through `member`, with nothing to mirror yet.
    pub fn new(cluster: &str, member: Client, clock: Clock, reporter: Reporter, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            writer: Writer::new(member),
            clock,
            queue: WorkQueue::new(),
            reporter,
            metrics,
            view_listed: Notify::new(),
            cluster: cluster.to_owned(),
            state: RwLock::new(State::default()),
        }))
    }

    /// Starts the workers.
    pub fn start(&self, tasks: &Tasks, workers: usize) {
        let mirror = self.clone();
        self.0.queue.run(tasks, "mirror-worker", workers, move |target| {
            let mirror = mirror.clone();
            async move { mirror.work(&target).await }
        });
    }

    /// Follows exactly these kinds for this hub. A kind that is no longer named is left as it is.
    pub async fn set_kinds(&self, kinds: &[KindState], me: &Identity, hub: &Client, tasks: &Tasks) {
        let mut ended = Vec::new();
        {
            let mut state = self.0.state.write();
            let mut kept = BTreeMap::new();
            for (kind, mirror) in std::mem::take(&mut state.kinds) {
                if mirror.me == *me && kinds.iter().any(|state| state.kind == kind) {
                    kept.insert(kind, mirror);
                } else {
                    ended.push((kind, mirror));
                }
            }
            state.kinds = kept;
        }
        for (kind, mirror) in ended {
            mirror.stop().await;
            self.0.reporter.forget(&kind);
            tracing::info!(%kind, "kind is no longer mirrored; its objects stay");
        }
        for KindState { kind, .. } in kinds {
            if !self.0.state.read().kinds.contains_key(kind) {
                tracing::info!(%kind, "mirroring");
                KindMirror::start(self, kind.clone(), me.clone(), hub.clone(), tasks);
            }
        }
    }

    /// Compares what is held of each kind with what the hub announced.
    pub fn announced(&self, kinds: &[KindState]) {
        for announced in kinds {
            let mut state = self.0.state.write();
            let Some(mirror) = state.kinds.get_mut(&announced.kind) else { continue };
            if mirror.desired.verify(announced) {
                tracing::info!(kind = %announced.kind, count = announced.count, "view is complete");
                let targets = mirror.targets();
                drop(state);
                self.add(targets);
            }
        }
    }

    /// Whether some kind has not been compared with a matching announcement yet.
    pub fn has_unverified(&self) -> bool {
        self.0.state.read().kinds.values().any(|mirror| !mirror.desired.is_verified())
    }

    /// Says whether the hub answers. While it does not, only what is missing is created again.
    pub fn set_hub_answers(&self, answers: bool) {
        let mut state = self.0.state.write();
        if std::mem::replace(&mut state.hub_answers, answers) == answers {
            return;
        }
        let targets: Vec<Target> = state.kinds.values().flat_map(KindMirror::targets).collect();
        drop(state);
        self.0.metrics.link_up.set(i64::from(answers));
        self.add(targets);
    }

    /// Looks at every object again: the hub forgot what it was told.
    pub fn look_at_everything(&self) {
        let targets: Vec<Target> = self.0.state.read().kinds.values().flat_map(KindMirror::targets).collect();
        self.add(targets);
    }

    fn add(&self, targets: impl IntoIterator<Item = Target>) {
        for target in targets {
            self.0.queue.add(target);
        }
    }

    async fn work(&self, target: &Target) -> Next {
        if self.look(target).is_none() {
            return self.unreadable(target);
        }
        let mut next = Next::After(Duration::ZERO);
        for _ in 0..MAX_STEPS {
            if let Some(end) = self.step(target).await {
                next = end;
                break;
            }
        }
        self.looked_at(target);
        next
    }

    /// The member's objects of this kind are not known (yet).
    fn unreadable(&self, target: &Target) -> Next {
        let (pause, version) = {
            let state = self.0.state.read();
            let Some(mirror) = state.kinds.get(&*target.kind) else { return Next::Done };
            if !matches!(mirror.desired.want(&target.key), Want::Intent(Intent::Apply(_))) {
                return Next::Done;
            }
            (UNREADABLE_AFTER.saturating_sub(mirror.since.elapsed()), mirror.desired.version_of(&target.key))
        };
        if !pause.is_zero() {
            return Next::After(pause);
        }
        let message = format!("the member has not listed {} yet; is the kind installed there?", target.kind);
        let report = report::unread(target, message, version, self.0.clock.now());
        self.0.reporter.say(report);
        Next::After(UNREADABLE_RECHECK)
    }

    /// Takes one step; none means: look again at once.
    async fn step(&self, target: &Target) -> Option<Next> {
        let Some(look) = self.look(target) else { return Some(Next::Done) };
        let want = look.want();
        let wanted = match want {
            Want::Intent(Intent::Apply(apply)) => Some(apply),
            _ => None,
        };
        let namespace = match (wanted, &look.live) {
            (Some(_), None) => match self.0.writer.namespace_state(&target.key).await {
                Ok(state) => state,
                Err(error) => {
                    let message = format!("cannot read namespace {}: {error}", target.key.namespace);
                    self.say(target, &look, Say::Object { word: Word::RetrievalFailed, message });
                    return Some(Next::Retry);
                }
            },
            _ => NamespaceState::Irrelevant,
        };
        let live = look
            .live
            .as_ref()
            .map(|object| Live::read(object, wanted.map(Arc::as_ref), &target.kind, &look.me));
        let observed = Observed {
            want,
            live: live.as_ref(),
            link: look.link,
            namespace,
            blocked_by: look.blocked_by.clone(),
            holds_others: waves::holds_others(&target.kind),
        };
        let now = self.0.clock.now();
        let decision = decide(&observed, &look.record, now);
        self.remember(target, |record| {
            if live.as_ref().is_some_and(|live| live.lost.is_empty()) {
                record.calm();
            }
            if let Some(contention) = &decision.contention {
                if record.contention(&contention.hash).is_none() {
                    self.0.metrics.contentions.inc();
                    tracing::warn!(kind = %target.kind, key = %target.key, field = contention.field,
                        "contention: nothing more is written");
                }
                record.stopped(contention.clone());
            }
        });
        if decision.action == Action::None {
            let Decision { say, recheck, .. } = decision;
            self.say(target, &look, say);
            let pause = recheck.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
            return Some(match pause.or(look.blocked_by.as_ref().map(|_| BLOCKED_RECHECK)) {
                Some(pause) => Next::After(pause),
                None => Next::Done,
            });
        }
        self.execute(target, &look, &decision.action).await
    }

    async fn execute(&self, target: &Target, look: &Look, action: &Action) -> Option<Next> {
        let want = look.want();
        let result = self.0.writer.execute(action, target, want, &look.me).await;
        self.0.metrics.wrote(&target.kind, action, result.is_ok());
        let now = self.0.clock.now();
        match result {
            Ok(outcome) => {
                tracing::info!(kind = %target.kind, key = %target.key, action = ?action.short(), "done");
                self.remember(target, |record| {
                    record.succeeded();
                    match (action, &outcome) {
                        (Action::Apply { cause: decide::Cause::Reverted(fields), .. }, _) => {
                            record.reverted(fields, now);
                        }
                        (Action::Delete { uid, .. }, _) => record.deleted(uid),
                        _ => {}
                    }
                    if let (
                        Action::Create | Action::Apply { .. },
                        Outcome::Object(object),
                        Want::Intent(Intent::Apply(apply)),
                    ) = (action, &outcome, want)
                    {
                        let live = Live::read(object, Some(apply), &target.kind, &look.me);
                        record.settled(&live.uid, &apply.hash, live.lost);
                    }
                });
                if let Outcome::Object(object) = outcome {
                    self.with_kind(target, |mirror| mirror.latest.wrote(target.key.clone(), object));
                }
                None
            }
            Err(error) if error.is_stale() => {
                tracing::debug!(kind = %target.kind, key = %target.key, %error, "acted on an old state");
                Some(Next::Retry)
            }
            Err(error) => {
                let word = error.word(action);
                let message = error.to_string();
                tracing::warn!(kind = %target.kind, key = %target.key, action = ?action.short(), %error, "refused");
                let pause = attempt(action, want).and_then(|attempt| {
                    self.remember(target, |record| record.failed(attempt, word, message.clone(), now))
                });
                self.say(target, look, Say::Object { word, message });
                Some(pause.map_or(Next::Retry, Next::After))
            }
        }
    }

    /// What is known about a target now; none when there is nothing to work from.
    fn look(&self, target: &Target) -> Option<Look> {
        let state = self.0.state.read();
        let mirror = state.kinds.get(&*target.kind)?;
        if !mirror.is_ready() {
            return None;
        }
        let want = mirror.desired.want(&target.key);
        let link = mirror.link(state.hub_answers);
        let live = mirror.live(&target.key);
        let blocked_by = state.blocked_by(target, want, live.is_some());
        Some(Look {
            me: mirror.me.clone(),
            intent: match want {
                Want::Intent(intent) => Some(intent.clone()),
                Want::Absent | Want::Unknown => None,
            },
            absent: want == Want::Absent,
            live,
            view_version: mirror.desired.version_of(&target.key),
            record: mirror.records.get(&target.key).cloned().unwrap_or_default(),
            link,
            blocked_by,
        })
    }

    fn say(&self, target: &Target, look: &Look, say: Say) {
        match report::of(target, look.live.as_deref(), &look.me, say, look.view_version, self.0.clock.now()) {
            None => {}
            Some(Statement::Report(report)) => self.0.reporter.say(report),
            Some(Statement::IfSaidBefore(report)) => self.0.reporter.say_if_said_before(report),
        }
    }

    /// Waits until the view of some kind was listed.
    pub async fn view_listed(&self) {
        self.0.view_listed.notified().await;
    }

    fn remember<T>(&self, target: &Target, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        self.with_kind(target, |mirror| change(mirror.records.entry(target.key.clone()).or_default()))
    }

    fn with_kind<T>(&self, target: &Target, act: impl FnOnce(&mut KindMirror) -> T) -> Option<T> {
        self.0.state.write().kinds.get_mut(&*target.kind).map(act)
    }

    /// A target was worked on: what is only remembered goes, and the inventory may be complete.
    fn looked_at(&self, target: &Target) {
        let complete = self.with_kind(target, |mirror| {
            mirror.prune_record(&target.key);
            mirror.counted(&target.key)
        });
        if complete == Some(true) {
            self.0.reporter.inventory(&target.kind);
        }
    }
}

impl Look {
    fn want(&self) -> Want<'_> {
        match &self.intent {
            Some(intent) => Want::Intent(intent),
            None if self.absent => Want::Absent,
            None => Want::Unknown,
        }
    }
}

impl State {
    /// The object of another wave that comes before this step.
    fn blocked_by(&self, target: &Target, want: Want<'_>, is_there: bool) -> Option<String> {
        let wave = waves::wave_of(&target.kind);
        let others = |before: bool| {
            self.kinds.iter().filter(move |(kind, _)| {
                let other = waves::wave_of(kind);
                if before { other < wave } else { other > wave }
            })
        };
        let (kind, key) = match (want, is_there) {
            (Want::Intent(Intent::Apply(_)), false) => others(true)
                .find_map(|(kind, mirror)| mirror.first_missing(&target.key).map(|key| (kind, key)))?,
            (Want::Intent(Intent::Remove(_)) | Want::Absent, true) => others(false)
                .find_map(|(kind, mirror)| mirror.first_leaving(&target.key).map(|key| (kind, key)))?,
            _ => return None,
        };
        Some(format!("{kind} {key}"))
    }
}
