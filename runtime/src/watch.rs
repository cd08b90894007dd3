//! One watch per kind, a cache of what it showed, and several subscribers.
//!
//! kube's shared reflector does not tell subscribers of deletions, so the fan-out is our own: the
//! stable `watcher` feeds a [`Cache`], and each change is handed to every subscriber after the cache
//! has taken it. A restarted watch shows up as the changes it missed, deletions included.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::Tasks;
use crate::error::{self, Said};
use crate::initialized::Initialized;

pub use kube::runtime::watcher::Config;

/// Namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// What happened to one object.
#[derive(Debug)]
pub enum Change<K> {
    /// It was created or changed, or was seen again after a restart of the watch with another
    /// resource version.
    Applied {
        /// What the cache held before.
        old: Option<Arc<K>>,
        /// What it holds now.
        new: Arc<K>,
    },
    /// It is gone. This is its last known state.
    Deleted(Arc<K>),
    /// The cache now holds a complete list. Sent after the first list and after each restart.
    Synced,
}

/// Called with each change, in order. It must not block: add to a queue and return.
pub type Subscriber<K> = Box<dyn FnMut(&Change<K>) + Send>;

/// The objects of one kind, as last seen.
pub struct Cache<K> {
    objects: Arc<RwLock<BTreeMap<Key, Arc<K>>>>,
    synced: watch::Receiver<bool>,
}

/// Everything needed to start a watch.
pub struct Watch<K> {
    name: &'static str,
    api: Api<K>,
    config: Config,
    trim: fn(&mut K),
    keep: Option<fn(&K) -> K>,
    subscribers: Vec<Subscriber<K>>,
    readiness: Option<Initialized>,
}

/// The writing half of a [`Cache`].
struct Writer<K> {
    objects: Arc<RwLock<BTreeMap<Key, Arc<K>>>>,
    synced: watch::Sender<bool>,
    subscribers: Vec<Subscriber<K>>,
    keep: Option<fn(&K) -> K>,
    /// Keys seen so far in a list that is not complete yet.
    listed: Option<HashSet<Key>>,
}

// === impl Key ===

impl Key {
    /// The key of `object`. An object without a name, which no API server sends, has an empty one.
    pub fn of<K: Resource>(object: &K) -> Self {
        let meta = object.meta();
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }

    /// A key from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

// === impl Watch ===

impl<K> Watch<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// A watch of everything `api` reaches. `name` stands in logs.
    pub fn new(name: &'static str, api: Api<K>) -> Self {
        Self {
            name,
            api,
            config: Config::default(),
            trim: |_| {},
            keep: None,
            subscribers: Vec::new(),
            readiness: None,
        }
    }

    /// Selectors, page size and timeouts.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Drops what nobody reads (managed fields, say) before an object is kept.
    pub fn trim(mut self, trim: fn(&mut K)) -> Self {
        self.trim = trim;
        self
    }

    /// Keeps only this of each object, metadata included: subscribers see all of it once, and keep what they need. What is
    /// handed to them as gone or as the state before is what was kept.
    pub fn keep(mut self, keep: fn(&K) -> K) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Adds a subscriber. It is called after the cache has taken the change.
    pub fn subscribe(mut self, subscriber: impl FnMut(&Change<K>) + Send + 'static) -> Self {
        self.subscribers.push(Box::new(subscriber));
        self
    }

    /// The watch is a part of `set` while it does not see the API: until its first list, and while it is interrupted.
    pub fn readiness(mut self, set: &Initialized) -> Self {
        self.readiness = Some(set.clone());
        self
    }

    /// Starts watching, until `tasks` is stopped. Errors are retried with backoff and logged, each cause once.
    pub fn start(self, tasks: &Tasks) -> Cache<K> {
        let Self { name, api, config, trim, keep, subscribers, readiness } = self;
        let mut unready = readiness.as_ref().map(|set| set.handle(name));
        let objects = Arc::new(RwLock::new(BTreeMap::new()));
        let (synced, receiver) = watch::channel(false);
        let mut writer = Writer { objects: Arc::clone(&objects), synced, subscribers, keep, listed: None };
        tasks.spawn(name, async move {
            let stream = watcher::watcher(api, config).default_backoff();
            let mut stream = std::pin::pin!(stream);
            let mut said = Said::new();
            while let Some(event) = stream.next().await {
                match event {
                    Ok(event) => {
                        // A watch that lists has not seen everything yet.
                        if !matches!(event, Event::Init | Event::InitApply(_)) {
                            unready = None;
                            if said.is_over() {
                                tracing::info!(watch = name, "watching again");
                            }
                        }
                        writer.handle(event.modify(trim));
                    }
                    Err(error) => {
                        let error = error::watch(&error);
                        if unready.is_none() {
                            unready = readiness.as_ref().map(|set| set.handle(name));
                        }
                        if let Some(unready) = &unready {
                            unready.because(&error);
                        }
                        if said.is_news(&error) {
                            tracing::warn!(watch = name, error, "watch interrupted");
                        }
                    }
                }
            }
        });
        Cache { objects, synced: receiver }
    }
}

// === impl Cache ===

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self { objects: Arc::clone(&self.objects), synced: self.synced.clone() }
    }
}

impl<K> Cache<K> {
    /// The object under `key`, as last seen.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.objects.read().get(key).cloned()
    }

    /// Every object, in the order of keys.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.objects.read().values().cloned().collect()
    }

    /// The objects of one namespace, in the order of names.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        let objects = self.objects.read();
        let from = Key::new(namespace, "");
        objects
            .range(from..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.read().is_empty()
    }

    /// Whether a complete list was seen.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until a complete list was seen. Returns at once afterwards, also when the watch has
    /// ended.
    pub async fn synced(&self) {
        let mut synced = self.synced.clone();
        // An error means that the watch was stopped, and with it whoever waits here.
        let _ = synced.wait_for(|synced| *synced).await;
    }
}

// === impl Writer ===

impl<K: Resource> Writer<K> {
    fn handle(&mut self, event: Event<K>) {
        match event {
            Event::Init => self.listed = Some(HashSet::new()),
            Event::InitApply(object) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(Key::of(&object));
                }
                self.applied(object);
            }
            Event::InitDone => self.list_complete(),
            Event::Apply(object) => self.applied(object),
            Event::Delete(object) => self.deleted(&Key::of(&object), Some(object)),
        }
    }

    fn applied(&mut self, object: K) {
        let new = Arc::new(object);
        let kept = self.keep.map_or_else(|| Arc::clone(&new), |keep| Arc::new(keep(&new)));
        let old = self.objects.write().insert(Key::of(new.as_ref()), kept);
        let version = |object: &Arc<K>| object.meta().resource_version.clone();
        if old.as_ref().is_some_and(|old| version(old).is_some() && version(old) == version(&new)) {
            return;
        }
        self.tell(&Change::Applied { old, new });
    }

    fn deleted(&mut self, key: &Key, last: Option<K>) {
        let held = self.objects.write().remove(key);
        if let Some(object) = last.map(Arc::new).or(held) {
            self.tell(&Change::Deleted(object));
        }
    }

    /// What the cache holds and a complete list does not was deleted while nobody watched.
    fn list_complete(&mut self) {
        if let Some(listed) = self.listed.take() {
            let missing: Vec<Key> =
                self.objects.read().keys().filter(|key| !listed.contains(key)).cloned().collect();
            for key in missing {
                self.deleted(&key, None);
            }
        }
        self.synced.send_replace(true);
        self.tell(&Change::Synced);
    }

    fn tell(&mut self, change: &Change<K>) {
        for subscriber in &mut self.subscribers {
            subscriber(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use parking_lot::Mutex;

    use super::*;

    fn config_map(name: &str, version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some("games".to_owned());
        object.metadata.name = Some(name.to_owned());
        object.metadata.resource_version = Some(version.to_owned());
        object
    }

    fn writer() -> (Writer<ConfigMap>, Cache<ConfigMap>, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        let subscriber: Subscriber<ConfigMap> = Box::new(move |change| {
            log.lock().push(match change {
                Change::Applied { old: None, new } => format!("+{}", Key::of(new.as_ref())),
                Change::Applied { old: Some(_), new } => format!("~{}", Key::of(new.as_ref())),
                Change::Deleted(object) => format!("-{}", Key::of(object.as_ref())),
                Change::Synced => "synced".to_owned(),
            });
        });
        let objects = Arc::new(RwLock::new(BTreeMap::new()));
        let (synced, receiver) = watch::channel(false);
        let writer = Writer {
            objects: Arc::clone(&objects),
            synced,
            subscribers: vec![subscriber],
            keep: None,
            listed: None,
        };
        (writer, Cache { objects, synced: receiver }, told)
    }

    #[test]
    fn a_restarted_watch_tells_what_was_deleted_meanwhile_and_nothing_that_stayed_the_same() {
        let (mut writer, cache, told) = writer();
        for event in [
            Event::Init,
            Event::InitApply(config_map("a", "1")),
            Event::InitApply(config_map("b", "2")),
            Event::InitDone,
            Event::Apply(config_map("a", "3")),
        ] {
            writer.handle(event);
        }
        assert!(cache.is_synced());
        told.lock().clear();

        for event in [
            Event::Init,
            Event::InitApply(config_map("a", "3")),
            Event::InitApply(config_map("c", "5")),
            Event::InitDone,
        ] {
            writer.handle(event);
        }
        assert_eq!(*told.lock(), ["+games/c", "-games/b", "synced"]);
        assert_eq!(cache.list_in("games").len(), 2);
        assert!(cache.list_in("game").is_empty());
    }

    #[test]
    fn what_is_not_kept_is_seen_by_subscribers_all_the_same() {
        let (mut writer, cache, _) = writer();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        writer.subscribers = vec![Box::new(move |change| {
            if let Change::Applied { new, .. } = change {
                log.lock().push(new.data.is_some());
            }
        })];
        writer.keep = Some(|object| ConfigMap { metadata: object.metadata.clone(), ..ConfigMap::default() });
        let full = ConfigMap { data: Some(BTreeMap::new()), ..config_map("a", "1") };
        writer.handle(Event::Apply(full.clone()));
        // The same version again is no change, although less of it is kept.
        writer.handle(Event::Apply(full));
        assert_eq!(*seen.lock(), [true]);
        assert!(cache.get(&Key::new("games", "a")).unwrap().data.is_none());
    }
}
