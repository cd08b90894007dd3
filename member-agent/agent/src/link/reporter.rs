//! Sends reports: in bulk, one request in flight, never faster than the interval, until taken.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use muster_crds::keys::group;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::outbox::{Batch, Outbox};
use crate::kind::Kind;
use crate::metrics::Metrics;
use crate::wire::{Report, ReportAnswer, ReportList, VERSION};

/// Most reports in one request. At 16 KiB of status each this bounds a request to about 1.7 MB.
pub const MAX_BATCH: usize = 100;

/// How long the hub may take for one request, its body included.
const SEND_DEADLINE: Duration = Duration::from_secs(15);

/// The longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Collects reports and sends them. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Reporter(Arc<Inner>);

struct Inner {
    outbox: Mutex<Outbox>,
    session: Mutex<Session>,
    news: Notify,
    metrics: Metrics,
}

/// Which beginning of reporting this is.
struct Session {
    started: Timestamp,
    count: u64,
}

/// Why reports could not be sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("no answer within {} s", SEND_DEADLINE.as_secs())]
    NoAnswer,
    #[error("cannot write reports as JSON: {0}")]
    Encode(#[source] serde_json::Error),
    #[error("cannot make the request: {0}")]
    Request(#[source] http::Error),
    #[error(transparent)]
    Client(Box<kube::Error>),
}

impl Reporter {
    /// A reporter with nothing to say, that begins now.
    pub fn new(metrics: Metrics, now: Timestamp) -> Self {
        Self(Arc::new(Inner {
            outbox: Mutex::new(Outbox::default()),
            session: Mutex::new(Session { started: now, count: 0 }),
            news: Notify::new(),
            metrics,
        }))
    }

    /// Says how an object stands.
    pub fn say(&self, report: Report) {
        self.change(|outbox| outbox.say(report));
    }

    /// Says it only if the last word was that the object is there.
    pub fn say_if_said_before(&self, report: Report) {
        self.change(|outbox| {
            if outbox.said_present(&report.key) {
                outbox.say(report);
            }
        });
    }

    /// Says that everything the member holds of a kind has been said.
    pub fn inventory(&self, kind: &Kind) {
        self.change(|outbox| outbox.inventory(kind));
    }

    /// Says everything again, in a new session.
    pub fn repeat(&self) {
        self.0.session.lock().count += 1;
        self.change(Outbox::repeat);
    }

    /// Forgets a kind.
    pub fn forget(&self, kind: &Kind) {
        self.change(|outbox| outbox.forget(kind));
    }

    /// Sends through `hub` for ever.
    pub async fn run(&self, hub: Client, interval: Duration) {
        let mut pause = interval;
        loop {
            let news = self.0.news.notified();
            let batch = self.0.outbox.lock().take(MAX_BATCH);
            let Some(batch) = batch else {
                news.await;
                continue;
            };
            let session = self.0.session.lock().name();
            match send(&hub, &batch, session).await {
                Ok(answer) => {
                    pause = interval;
                    self.0.metrics.reported(answer.accepted, answer.rejected.len() as u64);
                    for rejected in &answer.rejected {
                        tracing::warn!(
                            plural = rejected.key.plural,
                            namespace = rejected.key.namespace,
                            name = rejected.key.name,
                            reason = rejected.reason,
                            "the hub rejected a report"
                        );
                    }
                    self.change(|outbox| outbox.delivered(&batch));
                }
                Err(error) => {
                    tracing::debug!(%error, "reports wait");
                    self.0.outbox.lock().put_back(batch);
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                    continue;
                }
            }
            tokio::time::sleep(interval).await;
        }
    }

    fn change(&self, act: impl FnOnce(&mut Outbox)) {
        let waiting = {
            let mut outbox = self.0.outbox.lock();
            act(&mut outbox);
            outbox.waiting()
        };
        self.0.metrics.reports_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        if waiting > 0 {
            self.0.news.notify_one();
        }
    }
}

impl Session {
    fn name(&self) -> String {
        format!("{}-{}", self.started.as_nanosecond(), self.count)
    }
}

async fn send(hub: &Client, batch: &Batch, session: String) -> Result<ReportAnswer, SendError> {
    let list = ReportList::new(batch.items.clone(), batch.inventory.as_ref(), session);
    let body = serde_json::to_vec(&list).map_err(SendError::Encode)?;
    let request = http::Request::post(format!("/apis/{}/{VERSION}/reports", group::VIEW))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(SendError::Request)?;
    match tokio::time::timeout(SEND_DEADLINE, hub.request::<ReportAnswer>(request)).await {
        Err(_) => Err(SendError::NoAnswer),
        Ok(answer) => answer.map_err(|error| SendError::Client(Box::new(error))),
    }
}
