//! The model, shared: one lock, one way to change it, and what follows from a change.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use muster_apiserver::Catalog;
use muster_crds::names::ClusterName;
use muster_runtime::Clock;
use muster_runtime::queue::WorkQueue;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use tokio::sync::Notify;

use crate::metrics::Metrics;
use crate::model::{Changes, Event, Heartbeat, Model, ReportAnswer, ReportList, WriteKey};
use crate::serve::catalog;

/// The model of one term, with its queue of writes.
pub(crate) struct Engine {
    model: RwLock<Model>,
    catalog: Arc<Catalog>,
    clock: Clock,
    queue: WorkQueue<WriteKey>,
    metrics: Metrics,
    /// Told when the next tick may have come nearer.
    rearmed: Notify,
    /// Why watches are interrupted, by the name of the watch.
    troubles: Mutex<BTreeMap<&'static str, String>>,
}

impl Engine {
    /// Shares a model.
    pub(crate) fn new(model: Model, clock: Clock, metrics: Metrics) -> Self {
        Self {
            catalog: Arc::new(catalog(model.targets())),
            model: RwLock::new(model),
            clock,
            queue: WorkQueue::new(),
            metrics,
            rearmed: Notify::new(),
            troubles: Mutex::default(),
        }
    }

    /// Looks at the model.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.model.read())
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What views serve.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    /// The queue of writes.
    pub(crate) fn queue(&self) -> &WorkQueue<WriteKey> {
        &self.queue
    }

    /// Where this hub counts.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Says why a watch is interrupted, or that it is not any more. Returns whether that is news.
    pub(crate) fn trouble(&self, watch: &'static str, why: Option<&str>) -> bool {
        let mut troubles = self.troubles.lock();
        let before = match why {
            Some(why) => troubles.insert(watch, why.to_owned()),
            None => troubles.remove(watch),
        };
        before.as_deref() != why
    }

    /// Why watches are interrupted, a sentence for each.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.troubles.lock().iter().map(|(watch, why)| format!("watch of {watch}: {why}")).collect()
    }

    /// Gives an event to the model.
    pub(crate) fn apply(&self, event: Event) {
        let now = self.now();
        let changes = self.model.write().apply(event, now);
        self.follow(changes);
    }

    /// Gives reports to the model. `None` when there is no such member.
    pub(crate) fn report(&self, cluster: &ClusterName, list: &ReportList) -> Option<ReportAnswer> {
        let now = self.now();
        let (answer, changes) = self.model.write().report(cluster, list, now)?;
        self.follow(changes);
        Some(answer)
    }

    /// Gives a heartbeat to the model; returns the Lease. `None` when there is no such member.
    pub(crate) fn heartbeat(&self, cluster: &ClusterName, beat: &Heartbeat) -> Option<Value> {
        let now = self.now();
        let (lease, changes) = self.model.write().heartbeat(cluster, beat, now)?;
        self.follow(changes);
        Some(lease)
    }

    /// Waits until the next tick is due.
    pub(crate) async fn tick(&self) {
        loop {
            let rearmed = self.rearmed.notified();
            let Some(at) = self.read(Model::next_tick) else {
                rearmed.await;
                continue;
            };
            let left = at.duration_since(self.now());
            let Ok(left) = std::time::Duration::try_from(left) else { return };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = rearmed => {}
                // The clock may be coarser than the timer: never wake before the time that was asked for.
                () = tokio::time::sleep(left + std::time::Duration::from_millis(1)) => {}
            }
        }
    }

    fn follow(&self, changes: Changes) {
        for decision in changes.decisions {
            tracing::info!(about = %decision.about, details = %decision.details, "{}", decision.what);
        }
        for key in changes.dirty {
            self.queue.add(key);
        }
        self.rearmed.notify_one();
    }
}
