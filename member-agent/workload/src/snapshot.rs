//! Everything a plan is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use muster_crds::GameStatefulSet;
use muster_crds::names::{NameError, Namespace, ObjectName, Uid};
use serde_json::Value;

use crate::pod::Pod;
use crate::reason::{Code, Reason};
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
    pub claims: BTreeMap<String, Arc<Claim>>,
    /// The nodes that pods of the set are on, by name.
    pub nodes: BTreeMap<String, Node>,
    /// HookRuns that the set controls.
    pub hook_runs: Vec<Arc<HookRun>>,
    /// HookTemplates that the set names, as they are, by name.
    pub hook_templates: BTreeMap<String, Arc<Value>>,
    /// The other sets of the namespace.
    pub siblings: Vec<Arc<GameStatefulSet>>,
    /// Writes that the API server refused the last time, so that the status can say so.
    pub refusals: Vec<Refusal>,
}

impl Snapshot {
    /// A set around which nothing exists.
    pub fn of(set: Arc<GameStatefulSet>) -> Self {
        Self {
            set,
            revisions: Vec::new(),
            pods: Vec::new(),
            claims: BTreeMap::new(),
            nodes: BTreeMap::new(),
            hook_runs: Vec::new(),
            hook_templates: BTreeMap::new(),
            siblings: Vec::new(),
            refusals: Vec::new(),
        }
    }
}

impl Snapshot {
    /// Whether the set is being deleted.
    pub(crate) fn is_deleting(&self) -> bool {
        self.set.metadata.deletion_timestamp.is_some()
    }
}

/// A node, cut down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Whether its kubelet says that it is ready; none when the kubelet is not heard of (status Unknown, or none at all).
    pub ready: Option<bool>,
    /// Whether its kubelet can hot patch.
    pub hot_patches: bool,
}

/// A HookRun, cut down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRun {
    /// Its name.
    pub name: ObjectName,
    /// Its uid.
    pub uid: Uid,
    /// The version that was read.
    pub resource_version: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `status.phase`; empty before the first.
    pub phase: String,
    /// `status.message`.
    pub message: String,
    /// Whether a measurement was begun, after which the game may know of it.
    pub measured: bool,
    /// Whether it was told to end.
    pub terminating: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

impl HookRun {
    /// Whether it has answered.
    pub fn is_over(&self) -> bool {
        !matches!(self.phase.as_str(), "" | "Pending" | "Running")
    }
}

/// A write that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Verb and object, as in `create pod game-3`.
    pub write: String,
    /// The pod that was to be written, if it was one.
    pub pod: Option<ObjectName>,
    /// The claim of the pod that was refused, if it was that.
    pub claim: Option<String>,
    /// Why, in the API server's words.
    pub message: String,
}

impl Refusal {
    /// Which kind of refusal.
    pub fn reason(&self) -> Reason {
        let Self { write, claim, message, .. } = self;
        // As the quota admission of Kubernetes says it; there is no field that tells.
        let code = if message.contains("exceeded quota") {
            Code::Quota
        } else if claim.is_some() {
            Code::ClaimNotReady
        } else {
            Code::WriteRefused
        };
        Reason::new(
            code,
            match claim {
                Some(claim) => format!("{write}: claim {claim}: {message}"),
                None => format!("{write}: {message}"),
            },
        )
    }
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Its uid.
    pub uid: String,
    /// The version that was read.
    pub resource_version: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// All its owners.
    pub owners: Vec<OwnerReference>,
}

impl Claim {
    /// Reads a claim.
    pub fn read(meta: &ObjectMeta) -> Self {
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            owners: meta.owner_references.clone().unwrap_or_default(),
        }
    }
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
