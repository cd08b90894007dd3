//! Objects of one resource, their recent changes, and those who wait for more.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use futures::future::BoxFuture;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{
    Batch, Cursor, Event, EventKind, GroupResource, Key, ListAt, ListQuery, Object, Snapshot, SourceError,
};

/// Objects of one resource with a bounded history of changes.
///
/// Any [`Source`](crate::Source) can be built from collections; the owner chooses the versions, which must grow with
/// every change. Watchers read the shared history through a place of their own, so a change costs the same however
/// many there are, and a watcher that falls behind the history is cut. Cheap to clone; clones are the same collection.
#[derive(Clone)]
pub struct Collection {
    resource: GroupResource,
    state: Arc<RwLock<State>>,
}

struct State {
    objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Event>,
    /// Number of the first event in `history`, counted from the collection's beginning.
    first: u64,
    /// How many events are kept at most.
    capacity: usize,
    /// Every change up to here is included.
    version: u64,
    /// Changes after this version are still in `history`.
    oldest: u64,
    closed: bool,
    wake: watch::Sender<()>,
}

impl Collection {
    /// An empty collection at `version`, which keeps the last `history` changes.
    pub fn new(resource: GroupResource, version: u64, history: usize) -> Self {
        let state = State {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            first: 0,
            capacity: history.max(1),
            version,
            oldest: version,
            closed: false,
            wake: watch::Sender::new(()),
        };
        Self { resource, state: Arc::new(RwLock::new(state)) }
    }

    /// Which resource.
    pub fn resource(&self) -> &GroupResource {
        &self.resource
    }

    /// The version up to which every change is included.
    pub fn version(&self) -> u64 {
        self.state.read().version
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.state.read().objects.get(key).cloned()
    }

    /// Creates or replaces an object. Its version must be higher than the collection's.
    pub fn put(&self, object: Arc<Object>) {
        let mut state = self.state.write();
        let previous = state.objects.insert(object.key.clone(), object.clone());
        state.record(Event { kind: EventKind::Put, object, previous });
    }

    /// Removes an object; `last` is its last state, stamped with the version of the removal. Nothing happens when there
    /// is no such object.
    pub fn remove(&self, last: Arc<Object>) {
        let mut state = self.state.write();
        if let Some(previous) = state.objects.remove(&last.key) {
            state.record(Event { kind: EventKind::Delete, object: last, previous: Some(previous) });
        }
    }

    /// Raises the version without a change, so that lists and bookmarks move on. Wakes nobody.
    pub fn advance(&self, version: u64) {
        let mut state = self.state.write();
        state.version = state.version.max(version);
    }

    /// Ends all watches, and refuses new ones.
    pub fn close(&self) {
        let mut state = self.state.write();
        state.closed = true;
        state.wake.send_replace(());
    }

    /// Objects at one version. See [`Source::list`](crate::Source::list).
    pub fn list(&self, query: &ListQuery<'_>) -> Result<Snapshot, SourceError> {
        let state = self.state.read();
        if state.closed {
            return Err(SourceError::Closed(self.resource.clone()));
        }
        match query.at {
            ListAt::Latest => {
                Ok(Snapshot { version: state.version, objects: state.range(query).cloned().collect() })
            }
            ListAt::Exactly(version) => {
                state.check(version)?;
                Ok(Snapshot { version, objects: state.rewind(query, version) })
            }
        }
    }

    /// Changes after a version. See [`Source::watch`](crate::Source::watch).
    pub fn watch(&self, namespace: Option<&str>, after: u64) -> Result<Box<dyn Cursor>, SourceError> {
        let state = self.state.read();
        if state.closed {
            return Err(SourceError::Closed(self.resource.clone()));
        }
        state.check(after)?;
        let skipped = state.history.partition_point(|event| event.object.version <= after);
        Ok(Box::new(Place {
            resource: self.resource.clone(),
            next: state.first + skipped as u64,
            seen: after,
            namespace: namespace.map(Arc::from),
            wake: state.wake.subscribe(),
            state: self.state.clone(),
        }))
    }
}

impl State {
    fn record(&mut self, event: Event) {
        self.version = self.version.max(event.object.version);
        if self.history.len() == self.capacity
            && let Some(dropped) = self.history.pop_front()
        {
            self.oldest = dropped.object.version;
            self.first += 1;
        }
        self.history.push_back(event);
        self.wake.send_replace(());
    }

    /// Whether history still reaches back to `version`, and `version` is not of the future.
    fn check(&self, version: u64) -> Result<(), SourceError> {
        if version < self.oldest || version > self.version {
            return Err(SourceError::Gone { asked: version, oldest: self.oldest });
        }
        Ok(())
    }

    fn range<'a>(&'a self, query: &ListQuery<'a>) -> impl Iterator<Item = &'a Arc<Object>> {
        let namespace = query.namespace;
        let start = match (query.after, namespace) {
            (Some(after), _) => Bound::Excluded(after.clone()),
            (None, Some(namespace)) => Bound::Included(Key::namespaced(namespace, "")),
            (None, None) => Bound::Unbounded,
        };
        self.objects
            .range((start, Bound::Unbounded))
            .map(|(_, object)| object)
            .take_while(move |object| namespace.is_none() || object.key.namespace.as_deref() == namespace)
    }

    /// The objects as they were at `version`: what is there now, with younger changes taken back.
    fn rewind(&self, query: &ListQuery<'_>, version: u64) -> Vec<Arc<Object>> {
        let mut objects: BTreeMap<&Key, &Arc<Object>> = self.range(query).map(|o| (&o.key, o)).collect();
        for event in self.history.iter().rev().take_while(|event| event.object.version > version) {
            let key = &event.object.key;
            let outside = query.namespace.is_some() && key.namespace.as_deref() != query.namespace;
            if outside || query.after.is_some_and(|after| key <= after) {
                continue;
            }
            match &event.previous {
                Some(previous) => objects.insert(key, previous),
                None => objects.remove(key),
            };
        }
        objects.into_values().cloned().collect()
    }
}

/// A watcher's place in the shared history.
struct Place {
    resource: GroupResource,
    state: Arc<RwLock<State>>,
    /// Number of the next event to read.
    next: u64,
    seen: u64,
    namespace: Option<Arc<str>>,
    wake: watch::Receiver<()>,
}

impl Cursor for Place {
    fn take(&mut self, limit: usize) -> Result<Batch, SourceError> {
        self.wake.mark_unchanged();
        let state = self.state.read();
        if state.closed {
            return Err(SourceError::Closed(self.resource.clone()));
        }
        if self.next < state.first {
            return Err(SourceError::Gone { asked: self.seen, oldest: state.oldest });
        }
        let mut events = Vec::new();
        let skip = (self.next - state.first) as usize;
        for event in state.history.range(skip..) {
            if events.len() == limit {
                return Ok(Batch { events, version: self.seen });
            }
            self.next += 1;
            self.seen = event.object.version;
            if self.namespace.is_none() || self.namespace == event.object.key.namespace {
                events.push(event.clone());
            }
        }
        self.seen = state.version;
        Ok(Batch { events, version: self.seen })
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // The sender lives in the state that this cursor holds, so the channel cannot end.
            let _ = self.wake.changed().await;
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Body, Labels};

    fn object(namespace: &str, name: &str, version: u64) -> Arc<Object> {
        Arc::new(Object {
            key: Key::namespaced(namespace, name),
            version,
            uid: name.into(),
            labels: Labels::default(),
            fields: Labels::default(),
            owners: Arc::new([]),
            deleting: false,
            body: Body::Raw(Bytes::from_static(b"{}")),
        })
    }

    fn collection(history: usize) -> Collection {
        Collection::new(GroupResource::new("", "pods"), 1, history)
    }

    fn names(snapshot: &Snapshot) -> Vec<String> {
        snapshot.objects.iter().map(|object| format!("{}@{}", object.key, object.version)).collect()
    }

    #[test]
    fn a_list_of_one_namespace_is_a_range_in_key_order() {
        let pods = collection(10);
        for (at, (namespace, name)) in
            [("b", "x"), ("a", "y"), ("b", "a"), ("c", "z")].into_iter().enumerate()
        {
            pods.put(object(namespace, name, at as u64 + 2));
        }
        let listed = pods.list(&ListQuery::latest(Some("b"))).expect("listed");
        assert_eq!(names(&listed), ["b/a@4", "b/x@2"]);
        assert_eq!(listed.version, 5);
    }

    #[test]
    fn a_list_at_an_older_version_takes_younger_changes_back() {
        let pods = collection(10);
        pods.put(object("a", "x", 2));
        pods.put(object("a", "y", 3));
        pods.put(object("a", "x", 4));
        pods.remove(object("a", "y", 5));
        pods.put(object("a", "z", 6));
        let at = |version| {
            let query = ListQuery { namespace: None, after: None, at: ListAt::Exactly(version) };
            names(&pods.list(&query).expect("within history"))
        };
        assert_eq!(at(3), ["a/x@2", "a/y@3"]);
        assert_eq!(at(4), ["a/x@4", "a/y@3"]);
        assert_eq!(at(6), ["a/x@4", "a/z@6"]);
    }

    #[test]
    fn a_version_outside_the_history_is_gone() {
        let pods = collection(2);
        for version in 2..=5 {
            pods.put(object("a", "x", version));
        }
        assert!(pods.watch(None, 3).is_ok());
        assert_eq!(pods.watch(None, 2).err(), Some(SourceError::Gone { asked: 2, oldest: 3 }));
        assert_eq!(pods.watch(None, 6).err(), Some(SourceError::Gone { asked: 6, oldest: 3 }));
    }

    #[test]
    fn a_watcher_that_falls_behind_is_cut() {
        let pods = collection(2);
        let mut cursor = pods.watch(None, 1).expect("a watch");
        for version in 2..=4 {
            pods.put(object("a", "x", version));
        }
        assert_eq!(cursor.take(10).err(), Some(SourceError::Gone { asked: 1, oldest: 2 }));
    }

    #[tokio::test]
    async fn a_watcher_wakes_for_a_change_and_skips_other_namespaces() {
        let pods = collection(10);
        let mut cursor = pods.watch(Some("a"), 1).expect("a watch");
        assert!(cursor.take(10).expect("open").events.is_empty());
        pods.put(object("b", "x", 2));
        cursor.ready().await;
        let batch = cursor.take(10).expect("open");
        assert!(batch.events.is_empty());
        assert_eq!(batch.version, 2);
        pods.put(object("a", "x", 3));
        cursor.ready().await;
        assert_eq!(cursor.take(10).expect("open").events.len(), 1);
    }

    #[tokio::test]
    async fn closing_ends_watches() {
        let pods = collection(10);
        let mut cursor = pods.watch(None, 1).expect("a watch");
        cursor.take(1).expect("open");
        pods.close();
        cursor.ready().await;
        assert!(matches!(cursor.take(1), Err(SourceError::Closed(_))));
    }
}
