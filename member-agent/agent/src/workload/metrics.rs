//! What the controller counts: the metrics of the bk-bcs operator under their names, and ours.
//!
//! Series are per set where the operator's were. Those of a set that is gone are removed, so that their number is
//! bounded by the sets there are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use muster_crds::GameStatefulSet;
use muster_crds::keys::workload as keys;
use muster_runtime::watch::Key;
use muster_workload::{Action, Code, Plan, Step};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::execute::{Outcome, WriteError};

/// Buckets of the operator's histograms.
const BUCKETS: [f64; 11] = [0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];

/// Buckets of the time a plan takes.
const PLAN_BUCKETS: [f64; 8] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0];

type Labels = Vec<(&'static str, String)>;
type FloatGauge = Gauge<f64, AtomicU64>;

/// The controller's metrics. Clones count into the same ones.
#[derive(Clone)]
pub struct WorkloadMetrics {
    reconcile: Timed,
    create: Timed,
    update: Timed,
    delete: Timed,
    hook_create: Timed,
    /// By name: numbers of a set.
    numbers: Vec<(&'static str, &'static str, Family<Labels, Gauge>)>,
    version: Family<Labels, Gauge>,
    steps: Family<Labels, Counter>,
    status_writes: Family<Labels, Counter>,
    plan: Histogram,
    first_plan: FloatGauge,
    started: Instant,
}

/// A histogram, and the most and the least that went into it.
#[derive(Clone)]
struct Timed {
    histogram: Family<Labels, Histogram, fn() -> Histogram>,
    max: Family<Labels, FloatGauge>,
    min: Family<Labels, FloatGauge, fn() -> FloatGauge>,
    /// Which series there are of each set.
    series: Arc<Mutex<HashMap<Key, HashSet<Labels>>>>,
}

// === impl WorkloadMetrics ===

impl Default for WorkloadMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl WorkloadMetrics {
    /// Metrics at zero that nobody reads.
    pub fn new() -> Self {
        let number = |name, help| (name, help, Family::default());
        let version = Family::<Labels, Gauge>::default();
        version.get_or_create(&build()).set(1);
        Self {
            reconcile: Timed::new(),
            create: Timed::new(),
            update: Timed::new(),
            delete: Timed::new(),
            hook_create: Timed::new(),
            numbers: vec![
                number("bkbcs_gamestatefulset_replicas", "Pods that are to live"),
                number("bkbcs_gamestatefulset_ready_replicas", "Of those, ready ones"),
                number("bkbcs_gamestatefulset_current_replicas", "Of those, ones at currentRevision"),
                number("bkbcs_gamestatefulset_updated_replicas", "Of those, ones at updateRevision"),
                number(
                    "bkbcs_gamestatefulset_updated_ready_replicas",
                    "Of those, ready ones at updateRevision",
                ),
                number(
                    "muster_workload_max_unavailable",
                    "Pods of the set that may be unavailable in an update",
                ),
                number(
                    "muster_workload_unavailable_replicas",
                    "Ordinals of the set without an available pod",
                ),
                number("muster_workload_blocked", "What of the set does not move, as in status.blockedBy"),
            ],
            version,
            steps: Family::default(),
            status_writes: Family::default(),
            plan: Histogram::new(PLAN_BUCKETS),
            first_plan: FloatGauge::default(),
            started: Instant::now(),
        }
    }

    /// The same, to be read with everything else in a registry.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::new();
        let timed = [
            (
                "bkbcs_gamestatefulset_reconcile_duration_seconds",
                "Time of one pass over a set",
                &metrics.reconcile,
            ),
            ("bkbcs_gamestatefulset_pod_create_duration_seconds", "Time to create a pod", &metrics.create),
            ("bkbcs_gamestatefulset_pod_update_duration_seconds", "Time to patch a pod", &metrics.update),
            ("bkbcs_gamestatefulset_pod_delete_duration_seconds", "Time to delete a pod", &metrics.delete),
            (
                "bkbcs_gameworkload_hookrun_create_duration_seconds",
                "Time to create a HookRun",
                &metrics.hook_create,
            ),
        ];
        for (name, help, timed) in timed {
            registry.register(name, help, timed.histogram.clone());
            registry.register(format!("{name}_max"), format!("{help}, the most"), timed.max.clone());
            registry.register(format!("{name}_min"), format!("{help}, the least"), timed.min.clone());
        }
        for (name, help, family) in &metrics.numbers {
            registry.register(*name, *help, family.clone());
        }
        registry.register(
            "bkbcs_gamestatefulset_operator_version",
            "What runs, in labels",
            metrics.version.clone(),
        );
        registry.register(
            "muster_workload_steps",
            "Steps of plans that were carried out",
            metrics.steps.clone(),
        );
        registry.register(
            "muster_workload_status_writes",
            "Writes of the status of sets",
            metrics.status_writes.clone(),
        );
        registry.register(
            "muster_workload_plan_duration_seconds",
            "Time to plan a set",
            metrics.plan.clone(),
        );
        registry.register(
            "muster_workload_first_plan_seconds",
            "Time from the start until the first set was planned",
            metrics.first_plan.clone(),
        );
        metrics
    }

    /// A set was worked on.
    pub(super) fn reconciled(&self, key: &Key, ok: bool, took: Duration) {
        self.reconcile.observe(key, vec![("status", status(ok))], took);
    }

    /// A set was planned.
    pub(super) fn planned(&self, key: &Key, plan: &Plan, took: Duration) {
        if self.first_plan.get() == 0.0 {
            self.first_plan.set(self.started.elapsed().as_secs_f64());
        }
        self.plan.observe(took.as_secs_f64());
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let status = &plan.status;
        let numbers = [
            status.replicas,
            status.ready_replicas,
            status.current_replicas,
            status.updated_replicas,
            status.updated_ready_replicas,
            count(plan.budget),
            count(plan.unavailable),
            count(status.blocked_by.len()) + status.blocked_by_omitted.unwrap_or_default(),
        ];
        let labels = labels(key);
        for ((_, _, family), number) in self.numbers.iter().zip(numbers) {
            family.get_or_create(&labels).set(number);
        }
    }

    /// A step was carried out, or not.
    pub(super) fn wrote(&self, key: &Key, set: &GameStatefulSet, outcome: &Outcome<'_>) {
        let (step, took) = (outcome.step, outcome.took);
        let result = match &outcome.result {
            Ok(()) => "done",
            Err(WriteError::Outdated(_)) => "outdated",
            Err(error) if error.refusal().is_some() => "refused",
            Err(_) => "failed",
        };
        let ours = vec![("action", kind(&step.action).to_owned()), ("result", result.to_owned())];
        self.steps.get_or_create(&ours).inc();
        let ok = outcome.result.is_ok();
        match &step.action {
            Action::CreatePod { .. } => self.create.observe(key, vec![("status", status(ok))], took),
            Action::PatchPod { .. } | Action::PatchPodStatus { .. } | Action::ResizePod { .. } => {
                let asked = set.spec.pre_inplace_update_strategy.as_ref();
                let asked = asked.is_some_and(|strategy| strategy.hook.is_some());
                self.update.observe(key, of_operator(step, ok, asked), took);
            }
            Action::DeletePod { .. } | Action::ReplacePod { .. } | Action::ForceDeletePod { .. } => {
                let asked = set.spec.pre_delete_update_strategy.as_ref();
                let asked = asked.is_some_and(|strategy| strategy.hook.is_some());
                self.delete.observe(key, of_operator(step, ok, asked), took);
            }
            Action::CreateHookRun { body, .. } => {
                let action = body["metadata"]["labels"][keys::HOOKRUN_TYPE].as_str().unwrap_or_default();
                let labels = vec![
                    ("status", status(ok)),
                    ("action", action.to_owned()),
                    ("objectKind", "GameStatefulSet".to_owned()),
                ];
                self.hook_create.observe(key, labels, took);
            }
            _ => {}
        }
    }

    /// The status of a set was written, or not.
    pub(super) fn wrote_status(&self, ok: bool) {
        self.status_writes.get_or_create(&vec![("status", status(ok))]).inc();
    }

    /// A set is gone, and with it its series.
    pub(super) fn forget(&self, key: &Key) {
        for timed in [&self.reconcile, &self.create, &self.update, &self.delete, &self.hook_create] {
            timed.forget(key);
        }
        let labels = labels(key);
        for (_, _, family) in &self.numbers {
            family.remove(&labels);
        }
    }
}

// === impl Timed ===

impl Timed {
    fn new() -> Self {
        Self {
            histogram: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            max: Family::default(),
            min: Family::new_with_constructor(|| {
                let least = FloatGauge::default();
                least.set(f64::INFINITY);
                least
            }),
            series: Arc::default(),
        }
    }

    fn observe(&self, key: &Key, more: Labels, took: Duration) {
        let mut labels = labels(key);
        labels.extend(more);
        let seconds = took.as_secs_f64();
        self.histogram.get_or_create(&labels).observe(seconds);
        // One worker at a time works on a set, so that nobody else is between these two.
        let most = self.max.get_or_create(&labels).get();
        self.max.get_or_create(&labels).set(most.max(seconds));
        let least = self.min.get_or_create(&labels).get();
        self.min.get_or_create(&labels).set(least.min(seconds));
        self.series.lock().entry(key.clone()).or_default().insert(labels);
    }

    fn forget(&self, key: &Key) {
        for labels in self.series.lock().remove(key).unwrap_or_default() {
            self.histogram.remove(&labels);
            self.max.remove(&labels);
            self.min.remove(&labels);
        }
    }
}

fn labels(key: &Key) -> Labels {
    vec![("namespace", key.namespace.clone()), ("name", key.name.clone())]
}

fn status(ok: bool) -> String {
    if ok { "success" } else { "failure" }.to_owned()
}

/// The labels that the operator gives to a write of a pod.
fn of_operator(step: &Step, ok: bool, asked: bool) -> Labels {
    let deletes = matches!(step.action, Action::DeletePod { .. } | Action::ReplacePod { .. });
    let action = match (&step.action, step.reason.code) {
        (_, Code::ReplaceEnded) => "recreatingFailedPod",
        (Action::ForceDeletePod { .. }, _) => "forceDeletePod",
        (_, Code::Recreate | Code::RollBack) if deletes => "rollingUpdate",
        _ if deletes => "deletePod",
        (_, Code::UpdateInPlace | Code::RollBack | Code::Resize) => "inplaceUpdate",
        _ => "updateGameStatefulSetPod",
    };
    vec![("status", status(ok)), ("action", action.to_owned()), ("grace", asked.to_string())]
}

/// What an action does, without a name.
fn kind(action: &Action) -> &'static str {
    match action {
        Action::CreateRevision { .. } => "create revision",
        Action::PatchRevision { .. } => "patch revision",
        Action::DeleteRevision { .. } => "delete revision",
        Action::CreateClaims { .. } => "create claims",
        Action::CreatePod { .. } => "create pod",
        Action::PatchPod { .. } => "patch pod",
        Action::PatchPodStatus { .. } => "patch pod status",
        Action::ResizePod { .. } => "resize pod",
        Action::DeletePod { .. } | Action::ReplacePod { .. } => "delete pod",
        Action::ForceDeletePod { .. } => "force delete pod",
        Action::PatchClaim { .. } => "patch claim",
        Action::CreateHookRun { .. } => "create hook run",
        Action::PatchHookRun { .. } => "patch hook run",
        Action::DeleteHookRun { .. } => "delete hook run",
        Action::PatchSet { .. } => "patch set",
    }
}

/// What runs. Commit and date are those the build was told of.
fn build() -> Labels {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let told = |told: Option<&str>| told.unwrap_or("unknown").to_owned();
    vec![
        ("name", "muster-agent".to_owned()),
        ("image_version", version.clone()),
        ("crd_version", "v1alpha1".to_owned()),
        ("git_version", version),
        ("git_commit", told(option_env!("MUSTER_GIT_COMMIT"))),
        ("build_date", told(option_env!("MUSTER_BUILD_DATE"))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn series_of_a_set_that_is_gone_are_removed_and_others_stay() {
        let mut registry = Registry::default();
        let metrics = WorkloadMetrics::registered(&mut registry);
        let (gone, stays) = (Key::new("fleet", "gone"), Key::new("fleet", "stays"));
        for key in [&gone, &stays] {
            metrics.reconciled(key, true, Duration::from_millis(20));
            metrics.reconciled(key, false, Duration::from_millis(5));
            metrics.create.observe(key, vec![("status", status(true))], Duration::from_millis(7));
        }
        assert!(text(&registry).contains("name=\"gone\""));
        metrics.forget(&gone);
        let text = text(&registry);
        assert!(!text.contains("name=\"gone\""), "{text}");
        assert!(
            text.contains(
                "bkbcs_gamestatefulset_pod_create_duration_seconds_sum{namespace=\"fleet\",name=\"stays\",status=\"success\"} 0.007"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_most_and_the_least_stand_beside_each_histogram() {
        let mut registry = Registry::default();
        let metrics = WorkloadMetrics::registered(&mut registry);
        let key = Key::new("fleet", "game");
        for millis in [20, 5, 70] {
            metrics.reconciled(&key, true, Duration::from_millis(millis));
        }
        let text = text(&registry);
        for (end, value) in [("max", "0.07"), ("min", "0.005")] {
            let line = format!(
                "bkbcs_gamestatefulset_reconcile_duration_seconds_{end}{{namespace=\"fleet\",name=\"game\",status=\"success\"}} {value}"
            );
            assert!(text.contains(&line), "{text}");
        }
        assert!(text.contains("bkbcs_gamestatefulset_operator_version{name=\"muster-agent\""), "{text}");
    }
}
