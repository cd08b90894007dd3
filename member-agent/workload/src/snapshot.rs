//! Everything a plan is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_crds::GameStatefulSet;
use muster_crds::names::{NameError, Namespace, ObjectName, Uid};

use crate::pod::Pod;
use crate::revision::Revision;

/// One set and what exists around it, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The set.
    pub set: Arc<GameStatefulSet>,
    /// ControllerRevisions of its namespace whose names begin with the set's, whoever owns them.
    pub revisions: Vec<Arc<Revision>>,
    /// Pods of its namespace whose names begin with the set's, whoever owns them.
    pub pods: Vec<Arc<Pod>>,
    /// Claims of its namespace, by name. Only those of the set's ordinals are looked at.
    pub claims: BTreeMap<String, Claim>,
    /// Writes that the API server refused the last time, so that the status can say so.
    pub refusals: Vec<Refusal>,
}

/// A write that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Verb and object, as in `create pod game-3`.
    pub write: String,
    /// Why, in the API server's words.
    pub message: String,
}

/// A PersistentVolumeClaim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// Which set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetId {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: ObjectName,
    /// Its uid.
    pub uid: Uid,
}

impl SetId {
    /// Which set this is.
    pub fn of(set: &GameStatefulSet) -> Result<Self, NameError> {
        let meta = &set.metadata;
        Ok(Self {
            namespace: Namespace::new(meta.namespace.as_deref().unwrap_or_default())?,
            name: ObjectName::new(meta.name.as_deref().unwrap_or_default())?,
            uid: Uid::new(meta.uid.as_deref().unwrap_or_default())?,
        })
    }
}
