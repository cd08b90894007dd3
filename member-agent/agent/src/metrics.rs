//! What the agent counts.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::kind::Kind;
use crate::mirror::decide::Action;

/// The agent's counters. Cloning gives another handle to the same ones.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    writes: Family<WriteLabels, Counter>,
    reports: Family<ResultLabels, Counter>,
    pub(crate) contentions: Counter,
    pub(crate) link_up: Gauge,
    pub(crate) reports_waiting: Gauge,
    pub(crate) hub_epoch: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: String,
    action: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counters at zero, in a registry of their own.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let writes = Family::default();
        let reports = Family::default();
        let contentions = Counter::default();
        let link_up = Gauge::default();
        let reports_waiting = Gauge::default();
        let hub_epoch = Gauge::default();
        registry.register("muster_agent_writes", "Writes of the mirror to the member", writes.clone());
        registry.register("muster_agent_reports", "Reports sent to the hub", reports.clone());
        registry.register(
            "muster_agent_contentions",
            "Objects that were stopped because somebody kept changing a field back",
            contentions.clone(),
        );
        registry.register("muster_agent_link_up", "Whether the hub answers", link_up.clone());
        registry.register(
            "muster_agent_reports_waiting",
            "Reports that wait to be sent",
            reports_waiting.clone(),
        );
        registry.register("muster_agent_hub_epoch", "Epoch of the hub that is followed", hub_epoch.clone());
        Self {
            registry: Arc::new(Mutex::new(registry)),
            writes,
            reports,
            contentions,
            link_up,
            reports_waiting,
            hub_epoch,
        }
    }

    /// The registry, for parts that count something of their own.
    pub fn registry(&self) -> Arc<Mutex<Registry>> {
        Arc::clone(&self.registry)
    }

    /// Everything, in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.registry.lock()) {
            tracing::warn!(%error, "cannot write metrics");
        }
        text
    }

    pub(crate) fn wrote(&self, kind: &Kind, action: &Action, ok: bool) {
        let labels = WriteLabels {
            kind: kind.to_string(),
            action: action.short(),
            result: if ok { "ok" } else { "refused" },
        };
        self.writes.get_or_create(&labels).inc();
    }

    pub(crate) fn reported(&self, accepted: u64, rejected: u64) {
        for (result, count) in [("accepted", accepted), ("rejected", rejected)] {
            self.reports.get_or_create(&ResultLabels { result }).inc_by(count);
        }
    }
}
