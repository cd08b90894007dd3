//! Where writes go: the [`Store`] trait and the stores.

mod collection;
mod memory;

pub use collection::Collection;
pub use memory::MemoryStore;

use std::sync::Arc;

use serde_json::Value;

use crate::{Catalog, GroupResource, Key, Labels, Object, Source};

/// An object to be stored. The store stamps `metadata.resourceVersion` into `value` when it commits.
#[derive(Debug, Clone)]
pub struct Draft {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// Values of selectable fields.
    pub fields: Labels,
    /// `metadata.ownerReferences[].uid`.
    pub owners: Arc<[Arc<str>]>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The object.
    pub value: Value,
}

/// What must hold for a commit to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is no such object.
    Absent,
    /// The object is at this version.
    Version(u64),
}

/// What a commit does.
#[derive(Debug, Clone)]
pub enum Change {
    /// Creates or replaces.
    Put(Draft),
    /// Removes; the draft is the last state, as watchers see it.
    Delete(Draft),
}

/// One atomic write.
#[derive(Debug, Clone)]
pub struct Commit<'a> {
    /// Which resource.
    pub resource: &'a GroupResource,
    /// Which object.
    pub key: &'a Key,
    /// What must hold.
    pub expect: Expect,
    /// What to do.
    pub change: Change,
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// [`Expect`] did not hold.
    #[error("{resource} {key}: the object has been modified")]
    Conflict {
        /// Which resource.
        resource: GroupResource,
        /// Which object.
        key: Key,
    },
    /// The object could not be written.
    #[error("{resource} {key}: cannot be stored")]
    Storage {
        /// Which resource.
        resource: GroupResource,
        /// Which object.
        key: Key,
        /// The store's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A [`Source`] that can be written to. Versions come from one counter and grow by one with each commit.
pub trait Store: Source {
    /// Writes one object, or changes nothing.
    fn commit(&self, commit: Commit<'_>) -> Result<Arc<Object>, CommitError>;

    /// Begins to hold a resource. Nothing happens when it is held already.
    fn open(&self, resource: &GroupResource);

    /// Forgets a resource and its history; open watches of it end. Objects in it are gone without events.
    fn close(&self, resource: &GroupResource);

    /// Replaces what [`Source::catalog`] answers.
    fn publish(&self, catalog: Arc<Catalog>);

    /// Every resource held.
    fn resources(&self) -> Vec<GroupResource>;
}
