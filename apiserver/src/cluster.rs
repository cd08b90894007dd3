//! One embedded API server.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{MemoryStore, Metrics, Store, http};

/// Where the time of day comes from.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How many changes of each resource are kept for watches and continued lists, unless told otherwise.
const HISTORY: usize = 8192;

/// What a [`Cluster`] is made from.
#[derive(Clone)]
pub struct ClusterConfig {
    /// The cluster's name: part of every uid, so that no two clusters share one.
    pub name: String,
    /// Seed of uids and generated names: the same requests in the same order give the same objects.
    pub seed: u64,
    /// Time of day, for creation and deletion stamps.
    pub now: Now,
    /// How many changes of each resource are kept. A watch from an older version is answered 410.
    pub history: usize,
}

impl ClusterConfig {
    /// A configuration with the usual bounds.
    pub fn new(name: impl Into<String>, seed: u64, now: Now) -> Self {
        Self { name: name.into(), seed, now, history: HISTORY }
    }
}

impl fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterConfig")
            .field("name", &self.name)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// An embedded API server: a store with built-in kinds, custom resources and Kubernetes' rules on top.
///
/// Cheap to clone; clones are the same cluster.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: ClusterConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Metrics,
}

impl Cluster {
    /// A new cluster in memory, with the namespaces every cluster has.
    pub fn new(config: ClusterConfig) -> Self {
        let store = Arc::new(MemoryStore::new(config.history));
        Self { inner: Arc::new(Inner { config, store, metrics: Metrics::default() }) }
    }

    /// The cluster's API, rooted at `/`. `kube::Client::new(cluster.router(), "default")` is a client without sockets.
    pub fn router(&self) -> axum::Router {
        http::router(self.inner.clone())
    }

    /// Background work: garbage collection and the removal of namespaces. Ends when `token` is cancelled.
    pub async fn run(self, token: CancellationToken) {
        token.cancelled().await;
    }

    /// Counters of requests served so far.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }
}
