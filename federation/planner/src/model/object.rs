//! A federated object, read and checked once, so that planning it again costs little.

use std::collections::{BTreeMap, BTreeSet};

use json_patch::PatchOperation;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use muster_crds::{ClusterName, ObjectKey, Uid};
use serde::Serialize;
use serde_json::Value;

use super::Preference;
use crate::error::InputError;

/// A federated object of any kind. Made by [`crate::input::federated`] or [`crate::input::object`].
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one switch of the API, and all combinations are valid"
)]
pub struct FederatedObject {
    /// Kind of the federated object, such as FederatedGameStatefulSet.
    pub kind: String,
    /// Kind that members get.
    pub target: Target,
    /// Namespace and name, of the federated object and of the members' objects.
    pub key: ObjectKey,
    /// UID, where it has one.
    pub uid: Option<Uid>,
    /// Generation.
    pub generation: i64,
    /// Whether it has a deletion timestamp.
    pub deleting: bool,
    /// Annotated `muster.dev/suspend`.
    pub suspended: bool,
    /// Annotated `muster.dev/division: Duplicate`.
    pub duplicate: bool,
    /// Which lost clusters' seats a person gave up.
    pub release: Release,
    /// What happens to objects that exist in members.
    pub adopt: Adopt,
    /// What happens to the members' objects when this one is deleted.
    pub on_delete: Result<RemovePolicy, InputError>,
    /// What happens to a member's object when the cluster leaves the placement.
    pub on_leave: Result<RemovePolicy, InputError>,
    /// The object as members get it before patches: stripped, and with its identity.
    pub template: Value,
    /// Replicas of the template; none for kinds without replicas.
    pub replicas: Option<u32>,
    /// `spec.retainReplicas`: the members own the number.
    pub retain_replicas: bool,
    /// Where it goes.
    pub placement: Placement,
    /// Hash of the placement, for [`super::Basis`].
    pub(crate) placement_hash: u64,
    /// What differs in single clusters; an error where the entry of a cluster cannot be used.
    pub overrides: BTreeMap<ClusterName, Result<Override, InputError>>,
    /// Names in `spec.overrides` that no cluster can have, quoted.
    pub misnamed: Vec<String>,
    /// What makes planning impossible in every cluster.
    pub errors: Vec<InputError>,
    /// What makes the placement unknown; planning is then impossible as well.
    pub placement_error: Option<InputError>,
}

impl FederatedObject {
    /// Every complaint about what the user wrote, with those that concern one cluster only.
    pub fn complaints(&self) -> impl Iterator<Item = &InputError> {
        self.errors
            .iter()
            .chain(&self.placement_error)
            .chain(self.overrides.values().filter_map(|entry| entry.as_ref().err()))
    }

    /// Whether a preference is about this object: same namespace and name, and its kind. A preference whose kind
    /// nobody federates is taken to be about it, so that a misspelt kind is an error and not a missing preference.
    pub fn is_target_of(&self, preference: &Preference) -> bool {
        let other = |kind: &str| kind != self.kind && crate::input::is_known_kind(kind);
        self.key == preference.key && !preference.target_kind.as_deref().is_some_and(other)
    }
}

/// The kind that members get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Group and version, as in `apiVersion`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Replicas of an object that names none; `None` for kinds without `spec.replicas`.
    pub default_replicas: Option<u32>,
}

/// Where a federated object goes. A list that is present wins, also when it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// Clusters by name, as written.
    pub clusters: Option<Vec<String>>,
    /// Clusters by label; checked, so that matching cannot fail.
    pub selector: Option<LabelSelector>,
}

/// What differs in one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// The operations, in order; known to apply to the template.
    pub patch: Vec<PatchOperation>,
    /// The number of replicas they set, if they change it.
    pub pin: Option<u32>,
}

/// Which lost or unregistered clusters' seats the annotation `muster.dev/release-seats` of an object gives up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// None.
    #[default]
    Nothing,
    /// Those of every lost or unregistered cluster (`true` or `*`).
    EveryLost,
    /// Those of the named clusters, separated by commas.
    Named(BTreeSet<String>),
}

impl Release {
    /// Whether it names the cluster.
    pub fn covers(&self, cluster: &ClusterName) -> bool {
        match self {
            Self::Nothing => false,
            Self::EveryLost => true,
            Self::Named(names) => names.contains(cluster.as_str()),
        }
    }
}

/// What happens to an object that exists in a member and is not ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Adopt {
    /// It is left alone.
    #[default]
    Never,
    /// It is taken over when it already is as wanted.
    IfNoDiff,
    /// It is taken over and changed.
    Always,
}

impl Adopt {
    /// The spelling in annotations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => muster_crds::keys::annotation::ADOPT_NEVER,
            Self::IfNoDiff => muster_crds::keys::annotation::ADOPT_IF_NO_DIFF,
            Self::Always => muster_crds::keys::annotation::ADOPT_ALWAYS,
        }
    }
}

/// How a member's object goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "policy", content = "options")]
pub enum RemovePolicy {
    /// It is deleted, with these DeleteOptions (an object, often empty).
    Delete(Value),
    /// It stays, and stops being ours.
    Orphan,
}
