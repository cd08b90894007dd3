//! What the hub counts.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::model::Model;

/// Labels of [`Metrics::reports`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReportLabels {
    /// The member.
    pub(crate) cluster: String,
    /// accepted or rejected.
    pub(crate) result: &'static str,
}

/// Labels of [`Metrics::writes`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct WriteLabels {
    /// What was written: status, finalizer, clusterstatus...
    pub(crate) kind: &'static str,
    /// ok, conflict, gone or failed.
    pub(crate) result: &'static str,
}

/// Labels of gauges by member.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterLabels {
    cluster: String,
}

/// Labels of gauges by member and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ViewLabels {
    cluster: String,
    kind: String,
    intent: &'static str,
}

/// Labels of gauges by kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

/// The hub's metrics; clones count the same.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Mutex<Registry>>,
    pub(crate) reports: Family<ReportLabels, Counter>,
    pub(crate) writes: Family<WriteLabels, Counter>,
    epoch: Gauge,
    ready: Family<ClusterLabels, Gauge>,
    entries: Family<ViewLabels, Gauge>,
    objects: Family<KindLabels, Gauge>,
}

impl Metrics {
    /// Nothing counted yet.
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Arc::new(Mutex::new(Registry::default())),
            reports: Family::default(),
            writes: Family::default(),
            epoch: Gauge::default(),
            ready: Family::default(),
            entries: Family::default(),
            objects: Family::default(),
        };
        let mut registry = metrics.registry.lock();
        registry.register("muster_hub_reports", "Reports of members", metrics.reports.clone());
        registry.register("muster_hub_writes", "Writes to the hub API", metrics.writes.clone());
        registry.register(
            "muster_hub_leader_epoch",
            "Epoch of the term; 0 while not leading",
            metrics.epoch.clone(),
        );
        registry.register("muster_hub_cluster_ready", "1 for a member with contact", metrics.ready.clone());
        registry.register("muster_hub_view_entries", "Entries of member views", metrics.entries.clone());
        registry.register("muster_hub_federated_objects", "Federated objects", metrics.objects.clone());
        drop(registry);
        metrics
    }

    /// Says which term this is; 0 for none.
    pub(crate) fn set_epoch(&self, epoch: u64) {
        self.epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
    }

    /// Brings the gauges up to date.
    pub(crate) fn observe(&self, model: &Model) {
        self.ready.clear();
        self.entries.clear();
        for (name, member) in model.members() {
            let cluster = name.to_string();
            let ready = i64::from(member.contact == muster_planner::Contact::Ready);
            self.ready.get_or_create(&ClusterLabels { cluster: cluster.clone() }).set(ready);
            for (kind, held) in member.view.kinds() {
                for entry in held.entries() {
                    let labels = ViewLabels {
                        cluster: cluster.clone(),
                        kind: kind.to_string(),
                        intent: entry.intent.word(),
                    };
                    self.entries.get_or_create(&labels).inc();
                }
            }
        }
        for (kind, count) in model.object_counts() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.objects.get_or_create(&KindLabels { kind: kind.to_string() }).set(count);
        }
    }

    /// All metrics in the OpenMetrics text format.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry.lock())?;
        Ok(text)
    }
}
