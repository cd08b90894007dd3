//! API objects as the model takes them. Reading never fails: what is wrong with an object is data that ends up in its
//! conditions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;
use kube::core::DynamicObject;
use muster_crds::conditions::Condition;
use muster_crds::core_kubefed::{FederatedTypeConfig, FederatedTypeConfigStatus, Scope, Switch};
use muster_crds::keys;
use muster_crds::lenient::Malformed;
use muster_crds::names::{Namespace, ObjectKey, ObjectName};
use muster_crds::types_kubefed::{FederatedSpec, FederatedStatus};
use muster_planner::{FederatedObject, InputError, Target};
use serde::de::DeserializeOwned;

use super::kind::{FederatedKind, KindId, KindNames};

/// What happened in a watch.
#[derive(Debug, Clone)]
pub enum Feed<K, T> {
    /// A complete list: the first, or that of a restarted watch.
    Reset(Vec<T>),
    /// One object was created or changed.
    Applied(T),
    /// One object is gone.
    Deleted(K),
}

/// A federated object, as the hub API has it.
#[derive(Debug, Clone)]
pub struct ObjectInput {
    /// Its metadata.
    pub head: Head,
    /// Template, placement and overrides.
    pub spec: FederatedSpec,
    /// Its status as stored.
    pub status: FederatedStatus,
}

/// What the hub keeps of an object's metadata.
#[derive(Debug, Clone)]
pub struct Head {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// Its resource version, for writes with a precondition.
    pub resource_version: String,
    /// Its generation.
    pub generation: i64,
    /// When it was created.
    pub created: Option<Time>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// When its user deleted it.
    pub deletion: Option<Time>,
}

/// A FederatedTypeConfig, as the hub API has it.
#[derive(Debug, Clone)]
pub struct TypeConfigInput {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: Option<i64>,
    /// Names of the target, if they could be read.
    pub target: Option<KindNames>,
    /// Names of the federated kind, if they could be read.
    pub federated: Option<KindNames>,
    /// Whether propagation is on; only the word Disabled switches it off.
    pub enabled: bool,
    /// Fields that could not be read.
    pub malformed: Vec<Malformed>,
    /// Its status as stored.
    pub status: FederatedTypeConfigStatus,
}

// === impl ObjectInput ===

impl ObjectInput {
    /// Takes from the API's object what the hub needs; `None` for a name that no object can have.
    pub fn of(object: &DynamicObject) -> Option<Self> {
        let meta = &object.metadata;
        let namespace = meta.namespace.as_deref().map(Namespace::new).transpose().ok()?;
        let name = ObjectName::new(meta.name.as_deref()?).ok()?;
        Some(Self {
            head: Head {
                key: ObjectKey { namespace, name },
                uid: object.uid().unwrap_or_default(),
                resource_version: object.resource_version().unwrap_or_default(),
                generation: meta.generation.unwrap_or_default(),
                created: meta.creation_timestamp.clone(),
                annotations: meta.annotations.clone().unwrap_or_default(),
                finalizers: meta.finalizers.clone().unwrap_or_default(),
                deletion: meta.deletion_timestamp.clone(),
            },
            spec: lenient(object.data.get("spec")),
            status: lenient(object.data.get("status")),
        })
    }

    /// Reads and checks the object; what is wrong with it becomes part of the result.
    pub fn parse(&self, kind: &FederatedKind) -> Result<FederatedObject, InputError> {
        let head = &self.head;
        let meta = ObjectMeta {
            name: Some(head.key.name.to_string()),
            namespace: head.key.namespace.as_ref().map(ToString::to_string),
            uid: Some(head.uid.clone()),
            generation: Some(head.generation),
            annotations: Some(head.annotations.clone()),
            deletion_timestamp: head.deletion.clone(),
            finalizers: Some(head.finalizers.clone()),
            ..ObjectMeta::default()
        };
        let target = Target {
            api_version: kind.target.api_version(),
            kind: kind.target.kind.clone(),
            default_replicas: kind.default_replicas,
        };
        muster_planner::input::object(&kind.federated.kind, target, &meta, &self.spec)
    }
}

// === impl Head ===

impl Head {
    /// Whether planning would see the same object. The spec is told by its generation.
    pub fn same_for_planning(&self, other: &Self) -> bool {
        self.uid == other.uid
            && self.generation == other.generation
            && self.annotations == other.annotations
            && self.finalizers == other.finalizers
            && self.deletion == other.deletion
    }

    /// Whether `other` is an older state of the same object: a watch lags behind what a write returned.
    ///
    /// Resource versions of one kind compare as numbers (KEP-5504); where they are none, nothing is older.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let number = |head: &Self| head.resource_version.parse::<u64>().ok();
        self.uid == other.uid
            && match (number(self), number(other)) {
                (Some(mine), Some(theirs)) => mine > theirs,
                _ => false,
            }
    }

    /// Whether its user deleted it with `--cascade=orphan`, and the garbage collector is not done with that yet.
    pub fn is_orphaning(&self) -> bool {
        let orphan = muster_planner::input::ORPHAN_FINALIZER;
        self.deletion.is_some() && self.finalizers.iter().any(|finalizer| finalizer == orphan)
    }

    /// Whether our finalizer keeps the object from vanishing before its members are clean.
    pub fn is_finalized(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == keys::finalizer::SYNC)
    }
}

// === impl TypeConfigInput ===

impl TypeConfigInput {
    /// Takes from the API's object what the hub needs.
    pub fn of(object: &FederatedTypeConfig) -> Self {
        let names = |reference: &Option<muster_crds::core_kubefed::ApiResourceReference>| {
            let reference = reference.as_ref()?;
            Some(KindNames {
                group: reference.group.clone().unwrap_or_default(),
                version: reference.version.clone(),
                kind: reference.kind.clone(),
                plural: reference.plural_name.clone(),
                namespaced: reference.scope != Scope::Cluster,
            })
        };
        Self {
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            generation: object.metadata.generation,
            target: names(&object.spec.target_type),
            federated: names(&object.spec.federated_type),
            enabled: object.spec.propagation != Some(Switch::Disabled),
            malformed: object.spec.malformed.clone(),
            status: object.status.clone().unwrap_or_default(),
        }
    }

    /// The id of the target.
    pub fn target_id(&self) -> Option<KindId> {
        self.target.as_ref().map(|names| KindId::new(&names.group, &names.plural))
    }
}

/// Reads a part of an object whose type keeps what cannot be read.
///
/// The trait's method, not the type's own of the same name, is the lenient one.
pub(crate) fn lenient<T: DeserializeOwned + Default>(part: Option<&serde_json::Value>) -> T {
    part.and_then(|part| T::deserialize(part).ok()).unwrap_or_default()
}

/// A time as the API stores it: in whole seconds. What is written then is what is read back.
pub(crate) fn stamp(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The conditions without what only says when somebody looked.
pub(super) fn settled(conditions: &[Condition]) -> Vec<Condition> {
    conditions
        .iter()
        .map(|condition| Condition { last_probe_time: None, last_update_time: None, ..condition.clone() })
        .collect()
}
