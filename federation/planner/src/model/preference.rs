//! How replicas are divided.

use std::collections::BTreeMap;

use muster_crds::{ClusterName, ObjectKey};

use crate::error::InputError;

/// A ReplicaSchedulingPreference, read and checked. Made by [`crate::input::preference`].
#[derive(Clone, Debug)]
pub struct Preference {
    /// Namespace and name, equal to its object's.
    pub key: ObjectKey,
    /// `spec.targetKind`.
    pub target_kind: Option<String>,
    /// `spec.totalReplicas`; without it the object's own number counts.
    pub total: Option<u32>,
    /// `spec.rebalance`.
    pub rebalance: bool,
    /// `spec.intersectWithClusterSelector`.
    pub intersect: bool,
    /// Entries of single clusters.
    pub clusters: BTreeMap<ClusterName, Share>,
    /// The entry `*`, for clusters without one of their own.
    pub every: Option<Share>,
    /// Which algorithm divides.
    pub algorithm: Algorithm,
    /// Names of entries that no cluster can have, quoted.
    pub misnamed: Vec<String>,
    /// What makes dividing by it impossible.
    pub errors: Vec<InputError>,
}

impl Preference {
    /// The entry that counts for a cluster.
    pub fn share(&self, cluster: &ClusterName) -> Option<&Share> {
        self.clusters.get(cluster).or(self.every.as_ref())
    }
}

/// The entry of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Share relative to the others; at most `i64::MAX`.
    pub weight: u64,
    /// Fewest replicas.
    pub min: u32,
    /// Most replicas.
    pub max: Option<u32>,
}

/// Which algorithm divides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Directional Webster: seats only ever move in the needed direction.
    #[default]
    Webster,
    /// kubefed's, to the bit.
    Kubefed,
}
