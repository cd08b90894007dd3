//! The member's store, which tells the referee of each write that is accepted, before anything else happens.

use std::sync::Arc;

use muster_apiserver::{
    Catalog, Change, Commit, CommitError, Cursor, GroupResource, Key, ListQuery, MemoryStore, Object,
    Snapshot, Source, SourceError, Store, WatchQuery,
};

use super::referee::Referee;

tokio::task_local! {
    /// On whose behalf something is written; others than the controller do not say so.
    pub(super) static WRITER: Writer;
}

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// A life of the controller.
    Life(u32),
    /// The controller, which gave up waiting before its request arrived.
    Late,
    /// Users, kubelets, the API server itself.
    Others,
}

/// How many changes of a resource are kept.
const HISTORY: usize = 4096;

/// A store with a referee beside it.
pub(super) struct Refereed {
    inner: MemoryStore,
    referee: Referee,
}

impl Refereed {
    pub(super) fn new(referee: Referee) -> Self {
        Self { inner: MemoryStore::new(HISTORY), referee }
    }
}

impl Source for Refereed {
    fn catalog(&self) -> Arc<Catalog> {
        self.inner.catalog()
    }

    fn get(&self, resource: &GroupResource, key: &Key) -> Result<Option<Arc<Object>>, SourceError> {
        self.inner.get(resource, key)
    }

    fn list(&self, resource: &GroupResource, query: &ListQuery<'_>) -> Result<Snapshot, SourceError> {
        self.inner.list(resource, query)
    }

    fn watch(
        &self,
        resource: &GroupResource,
        query: &WatchQuery<'_>,
    ) -> Result<Box<dyn Cursor>, SourceError> {
        self.inner.watch(resource, query)
    }
}

impl Store for Refereed {
    fn commit(&self, commit: Commit<'_>) -> Result<Arc<Object>, CommitError> {
        let (resource, name) = (commit.resource.resource.clone(), commit.key.name.clone());
        let value = match &commit.change {
            Change::Put(draft) => Some(draft.value.clone()),
            Change::Delete(_) => None,
        };
        let object = self.inner.commit(commit)?;
        let writer = WRITER.try_with(|writer| *writer).unwrap_or(Writer::Others);
        self.referee.committed(&resource, &name, value, object.version, writer);
        Ok(object)
    }

    fn open(&self, resource: &GroupResource) {
        self.inner.open(resource);
    }

    fn close(&self, resource: &GroupResource) {
        self.inner.close(resource);
    }

    fn publish(&self, catalog: Arc<Catalog>) {
        self.inner.publish(catalog);
    }

    fn resources(&self) -> Vec<GroupResource> {
        self.inner.resources()
    }
}
