//! A store that keeps everything in memory.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use crate::{
    Body, Catalog, Change, Collection, Commit, CommitError, Cursor, Draft, Expect, GroupResource, Key,
    ListQuery, Object, Snapshot, Source, SourceError, Store, WatchQuery,
};

/// Objects in memory as raw JSON, with one revision counter over all resources.
pub struct MemoryStore {
    /// The version of the last commit. Held while committing, so that versions are published in order.
    version: Mutex<u64>,
    collections: RwLock<BTreeMap<GroupResource, Collection>>,
    catalog: RwLock<Arc<Catalog>>,
    history: usize,
}

impl MemoryStore {
    /// An empty store that keeps the last `history` changes of each resource.
    pub fn new(history: usize) -> Self {
        Self { version: Mutex::new(1), collections: RwLock::default(), catalog: RwLock::default(), history }
    }

    /// The version of the last commit.
    pub fn version(&self) -> u64 {
        *self.version.lock()
    }

    fn collection(&self, resource: &GroupResource) -> Result<Collection, SourceError> {
        let collections = self.collections.read();
        collections.get(resource).cloned().ok_or_else(|| SourceError::NotServed(resource.clone()))
    }

    /// The collection, with its version raised to the store's: nothing older can still arrive in it.
    fn current(&self, resource: &GroupResource) -> Result<Collection, SourceError> {
        let collection = self.collection(resource)?;
        collection.advance(*self.version.lock());
        Ok(collection)
    }
}

impl Source for MemoryStore {
    fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().clone()
    }

    fn get(&self, resource: &GroupResource, key: &Key) -> Result<Option<Arc<Object>>, SourceError> {
        Ok(self.collection(resource)?.get(key))
    }

    fn list(&self, resource: &GroupResource, query: &ListQuery<'_>) -> Result<Snapshot, SourceError> {
        self.current(resource)?.list(query)
    }

    fn watch(
        &self,
        resource: &GroupResource,
        query: &WatchQuery<'_>,
    ) -> Result<Box<dyn Cursor>, SourceError> {
        self.current(resource)?.watch(query.namespace, query.after)
    }
}

impl Store for MemoryStore {
    fn commit(&self, commit: Commit<'_>) -> Result<Arc<Object>, CommitError> {
        let Commit { resource, key, expect, change } = commit;
        let conflict = || CommitError::Conflict { resource: resource.clone(), key: key.clone() };
        let collection = self.collection(resource).map_err(|error| CommitError::Storage {
            resource: resource.clone(),
            key: key.clone(),
            source: error.into(),
        })?;
        let mut version = self.version.lock();
        let found = collection.get(key).map(|object| object.version);
        let holds = match expect {
            Expect::Absent => found.is_none(),
            Expect::Version(version) => found == Some(version),
        };
        if !holds {
            return Err(conflict());
        }
        let next = *version + 1;
        let (draft, delete) = match change {
            Change::Put(draft) => (draft, false),
            Change::Delete(draft) => (draft, true),
        };
        let object = seal(key, draft, next).map_err(|error| CommitError::Storage {
            resource: resource.clone(),
            key: key.clone(),
            source: error.into(),
        })?;
        if delete {
            collection.remove(object.clone());
        } else {
            collection.put(object.clone());
        }
        *version = next;
        Ok(object)
    }

    fn open(&self, resource: &GroupResource) {
        let version = *self.version.lock();
        self.collections
            .write()
            .entry(resource.clone())
            .or_insert_with(|| Collection::new(resource.clone(), version, self.history));
    }

    fn close(&self, resource: &GroupResource) {
        if let Some(collection) = self.collections.write().remove(resource) {
            collection.close();
        }
    }

    fn publish(&self, catalog: Arc<Catalog>) {
        *self.catalog.write() = catalog;
    }

    fn resources(&self) -> Vec<GroupResource> {
        self.collections.read().keys().cloned().collect()
    }
}

/// Stamps the version and serializes.
fn seal(key: &Key, mut draft: Draft, version: u64) -> Result<Arc<Object>, serde_json::Error> {
    if let Some(metadata) = draft.value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), Value::String(version.to_string()));
    }
    Ok(Arc::new(Object {
        key: key.clone(),
        version,
        uid: draft.uid,
        labels: draft.labels,
        fields: draft.fields,
        owners: draft.owners,
        deleting: draft.deleting,
        body: Body::Raw(Bytes::from(serde_json::to_vec(&draft.value)?)),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Labels;

    fn draft(value: Value) -> Draft {
        Draft {
            uid: "u".into(),
            labels: Labels::default(),
            fields: Labels::default(),
            owners: Arc::new([]),
            deleting: false,
            value,
        }
    }

    #[test]
    fn a_commit_stamps_the_next_version_and_checks_what_it_expects() {
        let store = MemoryStore::new(10);
        let maps = GroupResource::new("", "configmaps");
        let key = Key::namespaced("ns", "a");
        store.open(&maps);
        let put = |expect| {
            let change = Change::Put(draft(json!({"metadata": {"name": "a"}})));
            store.commit(Commit { resource: &maps, key: &key, expect, change })
        };
        let first = put(Expect::Absent).expect("created");
        assert_eq!(first.body.bytes(), r#"{"metadata":{"name":"a","resourceVersion":"2"}}"#.as_bytes());
        assert!(matches!(put(Expect::Absent), Err(CommitError::Conflict { .. })));
        assert!(matches!(put(Expect::Version(1)), Err(CommitError::Conflict { .. })));
        assert_eq!(put(Expect::Version(2)).expect("replaced").version, 3);
        assert_eq!(store.version(), 3);
    }

    #[test]
    fn lists_of_quiet_resources_carry_the_newest_version() {
        let store = MemoryStore::new(10);
        let (maps, pods) = (GroupResource::new("", "configmaps"), GroupResource::new("", "pods"));
        store.open(&maps);
        store.open(&pods);
        let key = Key::namespaced("ns", "a");
        let change = Change::Put(draft(json!({"metadata": {}})));
        store.commit(Commit { resource: &maps, key: &key, expect: Expect::Absent, change }).expect("created");
        assert_eq!(store.list(&pods, &ListQuery::latest(None)).expect("listed").version, 2);
    }
}
