//! Every kind Muster reads or writes, once: Rust types, their custom resource definitions, the keys and the names
//! that all parts share.
//!
//! The types are lenient where the schemas are strict. An object that an older or foreign definition let in, with a
//! negative number or a field of the wrong shape, still deserializes: what cannot be read is left out and listed in
//! `malformed` (see [`lenient`]), so that one bad object never breaks a list.

pub mod conditions;
pub mod core_kubefed;
pub mod int_or_percent;
pub mod keys;
pub mod lenient;
pub mod muster;
pub mod names;
pub mod scheduling;
mod schema;
pub mod tkex;
pub mod types_kubefed;
mod yaml;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use conditions::Condition;
pub use core_kubefed::{FederatedTypeConfig, KubeFedCluster};
pub use int_or_percent::IntOrPercent;
pub use lenient::Malformed;
pub use muster::Tombstone;
pub use names::{ClusterName, Namespace, ObjectKey, ObjectName, RevisionName, Uid};
pub use scheduling::ReplicaSchedulingPreference;
pub use tkex::GameStatefulSet;
pub use tkex::hook::{HookRun, HookTemplate};
pub use types_kubefed::FederatedGameStatefulSet;
pub use yaml::yaml;

/// The definitions of all kinds, in the order in which they are best applied.
pub fn all() -> Vec<CustomResourceDefinition> {
    [
        GameStatefulSet::crd(),
        HookTemplate::crd(),
        HookRun::crd(),
        FederatedGameStatefulSet::crd(),
        ReplicaSchedulingPreference::crd(),
        KubeFedCluster::crd(),
        FederatedTypeConfig::crd(),
        Tombstone::crd(),
    ]
    .map(schema::finish)
    .into()
}
