//! One embedded API server.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    Catalog, Key, ListQuery, MemoryStore, Metrics, Resource, Store, http, http::query::WriteOptions,
    lifecycle::Lifecycle, registry, write::Target,
};

/// Where the time of day comes from.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How many changes of each resource are kept for watches and continued lists, unless told otherwise.
const HISTORY: usize = 8192;

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Under which name the server itself writes.
const MANAGER: &str = "muster-apiserver";

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
    /// Counts what must not be given out twice: uids, generated names, addresses.
    pub(crate) unique: AtomicU64,
    pub(crate) lifecycle: Lifecycle,
    /// Held by who is let in by a count, until it counts itself: an eviction, or a pod under a quota.
    pub(crate) turns: Mutex<()>,
    definitions: Mutex<Definitions>,
}

/// What each CustomResourceDefinition serves, by its name, and the version of it that was read.
type Definitions = BTreeMap<Arc<str>, (u64, Vec<Arc<Resource>>)>;

impl Cluster {
    /// A new cluster in memory, with the namespaces every cluster has.
    pub fn new(config: ClusterConfig) -> Self {
        let store = Arc::new(MemoryStore::new(config.history));
        Self::with_store(config, store)
    }

    /// A cluster over a store that may hold objects already.
    pub fn with_store(config: ClusterConfig, store: Arc<dyn Store>) -> Self {
        for resource in registry::resources() {
            store.open(&resource.stored_as);
        }
        let inner = Arc::new(Inner {
            config,
            store,
            metrics: Metrics::default(),
            unique: AtomicU64::new(0),
            lifecycle: Lifecycle::default(),
            turns: Mutex::default(),
            definitions: Mutex::default(),
        });
        inner.refresh_definitions();
        inner.lifecycle.learn(&*inner.store);
        inner.create_namespaces();
        Self { inner }
    }

    /// The cluster's API, rooted at `/`. `kube::Client::new(cluster.router(), "default")` is a client without sockets.
    pub fn router(&self) -> axum::Router {
        http::router(self.inner.clone())
    }

    /// Background work: garbage collection, the end of namespaces and definitions, the expiry of events. Ends when
    /// `token` is cancelled.
    pub async fn run(self, token: CancellationToken) {
        self.inner.tend(token).await;
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

impl Inner {
    /// Serves what the stored definitions say: opens and closes resources, and publishes the catalog.
    pub(crate) fn refresh_definitions(&self) {
        let mut known = self.definitions.lock();
        let catalog = Catalog::new(registry::resources());
        let Some(definitions) = catalog.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        else {
            return;
        };
        let stored = self.store.list(&definitions.stored_as, &ListQuery::latest(None));
        let stored = stored.map(|snapshot| snapshot.objects).unwrap_or_default();
        let mut current = BTreeMap::new();
        for object in stored {
            let served = match known.get(&object.key.name) {
                Some((version, served)) if *version == object.version => served.clone(),
                _ => serde_json::from_slice(&object.body.bytes())
                    .map(|value| served(&value))
                    .unwrap_or_default(),
            };
            current.insert(object.key.name.clone(), (object.version, served));
        }
        let resources = |definitions: &Definitions| -> Vec<Arc<Resource>> {
            definitions.values().flat_map(|(_, served)| served).cloned().collect()
        };
        let now_served = resources(&current);
        for resource in resources(&known) {
            if !now_served.iter().any(|other| other.stored_as == resource.stored_as) {
                self.store.close(&resource.stored_as);
            }
        }
        for resource in &now_served {
            self.store.open(&resource.stored_as);
        }
        self.store.publish(Arc::new(Catalog::new(registry::resources().into_iter().chain(now_served))));
        *known = current;
    }

    /// The names that other definitions of a definition's group have.
    pub(crate) fn taken_names(&self, definition: &Value) -> registry::TakenNames {
        let (own, group) = (&definition["metadata"]["name"], &definition["spec"]["group"]);
        let mut taken = registry::TakenNames::default();
        let catalog = self.store.catalog();
        let Some(definitions) = catalog.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        else {
            return taken;
        };
        let stored = self.store.list(&definitions.stored_as, &ListQuery::latest(None));
        for object in stored.map(|snapshot| snapshot.objects).unwrap_or_default() {
            let Ok(other) = serde_json::from_slice::<Value>(&object.body.bytes()) else { continue };
            if other["metadata"]["name"] == *own || other["spec"]["group"] != *group {
                continue;
            }
            let names = &other["status"]["acceptedNames"];
            let name = |field: &str| names[field].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
            let short = names["shortNames"].as_array().into_iter().flatten();
            taken.resources.extend(["plural", "singular"].into_iter().filter_map(name));
            taken.resources.extend(short.filter_map(Value::as_str).map(str::to_owned));
            taken.kinds.extend(["kind", "listKind"].into_iter().filter_map(name));
        }
        taken
    }

    fn create_namespaces(&self) {
        let catalog = self.store.catalog();
        let Some(resource) = catalog.find("", "v1", "namespaces") else { return };
        let options = WriteOptions { manager: MANAGER.to_owned(), ..WriteOptions::default() };
        for name in NAMESPACES {
            let key = Key::cluster(name);
            let exists = self.store.get(&resource.stored_as, &key).is_ok_and(|found| found.is_some());
            let target = Target { resource, key, subresource: None, options: &options };
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            if !exists && let Err(status) = self.insert(&target, namespace, false) {
                tracing::error!(namespace = name, %status, "cannot create a namespace");
            }
        }
    }
}

/// What a definition serves: nothing until its names are accepted.
fn served(definition: &Value) -> Vec<Arc<Resource>> {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    let established = conditions
        .into_iter()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    if !established {
        return Vec::new();
    }
    match Resource::from_crd(definition) {
        Ok(resources) => resources.into_iter().map(Arc::new).collect(),
        Err(error) => {
            tracing::warn!(%error, "a stored definition cannot be served");
            Vec::new()
        }
    }
}
