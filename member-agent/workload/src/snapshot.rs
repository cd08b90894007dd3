//! Everything a plan is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use muster_crds::keys::workload as keys;
use muster_crds::names::{NameError, Namespace, ObjectName, Uid};
use muster_crds::{GameStatefulSet, tkex::hook};
use serde_json::Value;

use crate::pod::{Controller, Pod};
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
    /// Whether hooks are asked.
    pub hooks: Hooks,
    /// Since when its namespace is being deleted.
    pub namespace_deleted: Option<Timestamp>,
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
            hooks: Hooks::default(),
            namespace_deleted: None,
            nodes: BTreeMap::new(),
            hook_runs: Vec::new(),
            hook_templates: BTreeMap::new(),
            siblings: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// Whether the set is being deleted.
    pub(crate) fn is_deleting(&self) -> bool {
        self.set.metadata.deletion_timestamp.is_some()
    }
}

/// Whether hooks are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hooks {
    /// Nothing here measures HookRuns: none is made, and the set says that its hooks are not asked.
    #[default]
    NotEnforced,
    /// HookRuns are made, and waited for.
    Enforced,
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
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Its controller.
    pub controller: Option<Controller>,
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
    /// Reads a run.
    pub fn read(run: &hook::HookRun) -> Result<Self, NameError> {
        let meta = &run.metadata;
        let status = run.status.clone().unwrap_or_default();
        // A status that cannot be read may tell of a measurement.
        let measured = !status.malformed.is_empty()
            || status
                .metric_results
                .iter()
                .any(|metric| !metric.measurements.is_empty() || metric.count.is_some_and(|count| count > 0));
        Ok(Self {
            name: ObjectName::new(meta.name.as_deref().unwrap_or_default())?,
            uid: Uid::new(meta.uid.as_deref().unwrap_or_default())?,
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            controller: Controller::of(meta),
            labels: meta.labels.clone().unwrap_or_default(),
            phase: status.phase,
            message: status.message,
            measured,
            terminating: run.spec.terminate == Some(true),
            deleting: meta.deletion_timestamp.is_some(),
        })
    }

    /// The value of one of its labels.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    /// Whether it said yes.
    pub fn succeeded(&self) -> bool {
        self.phase == "Successful"
    }

    /// Whether it said no, or could not be asked to the end.
    pub fn denied(&self) -> bool {
        matches!(self.phase.as_str(), "Failed" | "Error" | "Inconclusive")
    }

    /// Whether it will say nothing more.
    pub fn is_complete(&self) -> bool {
        self.succeeded() || self.denied()
    }

    /// Whether it ends because its answer is not wanted.
    pub fn taken_back(&self) -> bool {
        self.label(keys::HOOKRUN_TAKEN_BACK) == Some("true")
    }

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
