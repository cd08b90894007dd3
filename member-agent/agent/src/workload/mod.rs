//! The GameStatefulSet controller: observes a member through shared watches, asks `muster_workload` what to do, and
//! does it.
//!
//! Works on a member alone, with or without a hub. Each set is worked on by one worker at a time. What is written
//! returns into what is known before the next plan is made, so that no plan is made on less than what was done.

mod events;
mod execute;
mod hooks;
mod metrics;
mod observe;
mod original;
mod world;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use muster_crds::GameStatefulSet;
use muster_crds::keys::{condition, manager};
use muster_crds::tkex::GameStatefulSetStatus;
use muster_runtime::initialized::Initialized;
use muster_runtime::queue::{BACKOFF_MIN, Next, WorkQueue};
use muster_runtime::watch::Key;
use muster_runtime::{Clock, Tasks};
use muster_workload::{Hooks, Plan, Refusal, blocked, plan};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use events::Events;
use execute::{Executor, WriteError};
use observe::Watches;
use world::World;

pub use events::{GATHER, QUEUE};
pub use execute::{PARALLEL_WRITES, WRITE_DEADLINE};
pub use metrics::WorkloadMetrics;
pub use observe::GATHER_PODS;
pub use original::{LOCK_NAME, LOCK_NAMESPACE, LOOK_RUNNING, LOOK_WAITING, run_alone};

/// How many sets are worked on at once, unless told otherwise.
pub const WORKERS: usize = 8;

/// How many plans of one set are carried out before other sets get their turn.
pub const ROUNDS: usize = 16;

/// Least time between two writes of one set's status.
pub const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// The same where only the reasons differ: in a rollout the waits move with every pod, and are worth less than a write
/// each time. What has not moved for so long is told at once.
pub const REASONS_INTERVAL: Duration = Duration::from_secs(2);

/// What the controller needs.
#[derive(Clone)]
pub struct WorkloadConfig {
    /// The member.
    pub client: Client,
    /// Wall time.
    pub clock: Clock,
    /// How many sets are worked on at once.
    pub workers: usize,
    /// Which of its watches do not see the member.
    pub initialized: Initialized,
    /// What it counts.
    pub metrics: WorkloadMetrics,
    /// Whether hooks are asked, which something else then has to measure.
    pub hooks: Hooks,
}

impl WorkloadConfig {
    /// The usual settings.
    pub fn new(client: Client, clock: Clock) -> Self {
        Self {
            client,
            clock,
            workers: WORKERS,
            initialized: Initialized::new(),
            metrics: WorkloadMetrics::new(),
            hooks: Hooks::NotEnforced,
        }
    }
}

/// A running controller. It ends with the tasks it was started on: no request outlives them.
#[derive(Clone)]
pub struct WorkloadController {
    watches: Arc<Watches>,
}

impl WorkloadController {
    /// Starts the controller on `tasks`. It returns at once; nothing is written before each watch has seen a complete
    /// list.
    pub fn start(config: WorkloadConfig, tasks: &Tasks) -> Self {
        let world = World::default();
        world.update(|state| state.hooks.enforced = config.hooks);
        let queue = WorkQueue::new();
        let WorkloadConfig { client, clock, initialized, .. } = &config;
        let watches = Arc::new(Watches::start(client, clock, &world, &queue, initialized, tasks));
        let worker = Arc::new(Worker {
            events: Events::start(config.client.clone(), config.clock.clone(), tasks),
            executor: Executor { client: config.client, clock: config.clock, world },
            metrics: config.metrics,
            written: Mutex::new(HashMap::new()),
        });
        let (ready, group) = (Arc::clone(&watches), tasks.clone());
        tasks.spawn("workload-start", async move {
            ready.synced().await;
            queue.run(&group, "workload", config.workers, move |key: Key| {
                let worker = Arc::clone(&worker);
                async move { worker.reconcile(&key).await }
            });
        });
        Self { watches }
    }

    /// Waits until the controller knows the member.
    pub async fn synced(&self) {
        self.watches.synced().await;
    }

    /// Whether the controller knows the member.
    pub fn is_synced(&self) -> bool {
        self.watches.is_synced()
    }
}

/// What became of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Acted {
    Done,
    /// Something changed meanwhile.
    Outdated,
    /// Something failed.
    Failed,
}

/// Works on one set at a time.
struct Worker {
    executor: Executor,
    events: Events,
    metrics: WorkloadMetrics,
    /// When the status of each set was last written.
    written: Mutex<HashMap<Key, Instant>>,
}

impl Worker {
    /// Works on a set once, and measures it.
    async fn reconcile(&self, key: &Key) -> Next {
        let began = Instant::now();
        let next = self.work(key).await;
        if self.executor.world.look(|state| state.sets.get(key).is_some()) {
            self.metrics.reconciled(key, next != Next::Retry, began.elapsed());
        }
        next
    }

    /// Plans, acts and plans again until there is nothing to do.
    async fn work(&self, key: &Key) -> Next {
        for _ in 0..ROUNDS {
            let Some((set, plan)) = self.plan(key) else { return Next::Done };
            let later = match self.write_status(key, &set, &plan).await {
                Ok(later) => later,
                Err(error) => {
                    tracing::warn!(set = %key, %error, "status not written");
                    return Next::Retry;
                }
            };
            if plan.steps.is_empty() {
                let recheck = plan.recheck_after.into_iter().chain(later).min();
                return recheck.map_or(Next::Done, Next::After);
            }
            match self.act(key, &set, &plan).await {
                Acted::Done => {}
                // The watch is about to say what changed.
                Acted::Outdated => return Next::After(BACKOFF_MIN),
                Acted::Failed => {
                    // The status tells of it.
                    if let Some((set, plan)) = self.plan(key) {
                        let _ = self.write_status(key, &set, &plan).await;
                    }
                    return Next::Retry;
                }
            }
        }
        Next::After(Duration::ZERO)
    }

    /// The plan for a set as it is known now; none when the set is gone.
    fn plan(&self, key: &Key) -> Option<(Arc<GameStatefulSet>, Plan)> {
        let world = &self.executor.world;
        let Some(snapshot) = world.snapshot(key) else {
            self.written.lock().remove(key);
            self.metrics.forget(key);
            return None;
        };
        let began = Instant::now();
        match plan(&snapshot, self.executor.clock.now()) {
            Ok(plan) => {
                self.metrics.planned(key, &plan, began.elapsed());
                Some((snapshot.set, plan))
            }
            Err(error) => {
                tracing::warn!(set = %key, %error, "no plan");
                None
            }
        }
    }

    /// Carries a plan out.
    async fn act(&self, key: &Key, set: &GameStatefulSet, plan: &Plan) -> Acted {
        let mut refusals = Vec::new();
        let mut acted = Acted::Done;
        for outcome in self.executor.carry_out(set, key, &plan.steps).await {
            let (step, title) = (outcome.step, outcome.step.action.title());
            self.metrics.wrote(key, set, &outcome);
            match outcome.result {
                Ok(()) => {
                    tracing::info!(set = %key, step = title, reason = %step.reason, "done");
                    self.events.tell(set, step, None);
                }
                Err(WriteError::Outdated(message)) => {
                    tracing::debug!(set = %key, step = title, message, "outdated");
                    acted = acted.max(Acted::Outdated);
                }
                Err(error) => {
                    tracing::warn!(set = %key, step = title, %error, "not done");
                    acted = Acted::Failed;
                    if let Some((claim, message)) = error.refusal() {
                        self.events.tell(set, step, Some(&message));
                        let (pod, claim) = (step.action.pod().cloned(), claim.map(str::to_owned));
                        refusals.push(Refusal { write: title, pod, claim, message });
                    }
                }
            }
        }
        self.executor.world.refused(key, refusals);
        acted
    }

    /// Writes a status that differs from the one on record; answers how long that has to wait, if it has to.
    async fn write_status(
        &self,
        key: &Key,
        set: &GameStatefulSet,
        plan: &Plan,
    ) -> Result<Option<Duration>, WriteError> {
        let status = &plan.status;
        if set.status.as_ref() == Some(status) {
            return Ok(None);
        }
        let before = set.status.clone().unwrap_or_default();
        let same = without_reasons(before.clone()) == without_reasons(status.clone());
        let interval = if same { REASONS_INTERVAL } else { STATUS_INTERVAL };
        let last = self.written.lock().get(key).copied();
        let due = last.map(|last| (last + interval).saturating_duration_since(Instant::now()));
        if let Some(wait) = due.filter(|wait| !wait.is_zero()) {
            return Ok(Some(wait));
        }
        let began = Instant::now();
        let body = json!({
            "apiVersion": GameStatefulSet::api_version(&()),
            "kind": GameStatefulSet::kind(&()),
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": set.metadata.uid},
            "status": status,
        });
        let written = self.executor.apply_status(key, &body).await;
        self.metrics.wrote_status(written.is_ok());
        if let Err(error) = written {
            // The next attempt is not put off by this one, but by the pauses after failures.
            self.written.lock().remove(key);
            return Err(error);
        }
        self.written.lock().insert(key.clone(), began);
        for wait in blocked::news(&before.blocked_by, &status.blocked_by, &plan.waits) {
            tracing::warn!(set = %key, pod = wait.pod.as_ref().map(muster_crds::ObjectName::as_str), reason = %wait.reason, "blocked");
            self.events.warn(set, wait);
        }
        Ok(None)
    }
}

/// A status without what only says why.
fn without_reasons(mut status: GameStatefulSetStatus) -> GameStatefulSetStatus {
    status.blocked_by.clear();
    status.blocked_by_omitted = None;
    for condition in &mut status.conditions {
        condition.message = None;
        if condition.type_ == condition::PROGRESSING {
            condition.reason = None;
        }
    }
    status
}

impl Executor {
    /// Applies a status; a set that is gone has none.
    async fn apply_status(&self, key: &Key, body: &serde_json::Value) -> Result<(), WriteError> {
        let api: Api<GameStatefulSet> = Api::namespaced(self.client.clone(), &key.namespace);
        let parameters = PatchParams::apply(manager::WORKLOAD).force();
        let patch = Patch::Apply(body);
        let write = api.patch_status(&key.name, &parameters, &patch);
        match tokio::time::timeout(WRITE_DEADLINE, write).await {
            Err(_) => Err(WriteError::Deadline),
            Ok(Ok(set)) => {
                self.world.update(|state| state.sets.wrote(key, set));
                Ok(())
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(()),
            Ok(Err(error)) => Err(execute::sort(error)),
        }
    }
}
