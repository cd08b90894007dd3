//! The registered clusters.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_crds::{ClusterName, Namespace};

use super::Placement;

/// Every registered cluster.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// The clusters by name.
    pub clusters: BTreeMap<ClusterName, Member>,
    /// Placements of namespaces (FederatedNamespace). One restricts the objects of its namespace; a namespace without
    /// one restricts nothing.
    pub namespaces: BTreeMap<Namespace, Placement>,
}

/// One registered cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Labels of the KubeFedCluster, for selectors.
    pub labels: BTreeMap<String, String>,
    /// Whether it is heard from.
    pub contact: Contact,
    /// When it was last heard from, where that is known.
    pub last_contact: Option<Timestamp>,
    /// Annotated `muster.dev/suspend`: nothing is written to it.
    pub suspended: bool,
    /// Annotated `muster.dev/release-seats`: while it is lost its seats are given up.
    pub release_seats: bool,
}

impl Member {
    /// A cluster with this contact and nothing else to say about it.
    pub fn new(contact: Contact) -> Self {
        Self { labels: BTreeMap::new(), contact, last_contact: None, suspended: false, release_seats: false }
    }
}

/// Whether a cluster is heard from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// It renews its Lease.
    Ready,
    /// It was registered, or the hub started, a short time ago; planned like [`Contact::Ready`].
    Unknown,
    /// Not heard from for too long. It keeps its seats, and nothing is planned onto it.
    Lost,
}
