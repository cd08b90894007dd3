//! What an earlier plan recorded in the status of its object.

use std::collections::{BTreeMap, BTreeSet};

use muster_crds::ClusterName;
use muster_crds::keys::word;
use muster_crds::types_kubefed::FederatedStatus;

use crate::model::{Basis, MAX_REPLICAS};

/// What an earlier plan recorded, for [`crate::Observed`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The recorded seats; `None` when there are none.
    pub seats: Option<BTreeMap<ClusterName, u32>>,
    /// What they were planned from.
    pub basis: Option<Basis>,
    /// Clusters that have not confirmed a removal.
    pub removing: BTreeSet<ClusterName>,
}

/// Reads the recorded plan. Seats that make no sense are left out: their clusters then start from what they hold.
pub fn recorded(status: &FederatedStatus) -> Recorded {
    let seat = |name: &String, seats: i64| {
        let seats = u32::try_from(seats).ok().filter(|seats| *seats <= MAX_REPLICAS)?;
        Some((ClusterName::new(name).ok()?, seats))
    };
    let plan = status.plan.as_ref();
    Recorded {
        seats: plan.map(|plan| plan.seats.iter().filter_map(|(name, seats)| seat(name, *seats)).collect()),
        basis: plan.and_then(|plan| plan.basis.as_deref()).and_then(|basis| basis.parse().ok()),
        removing: status
            .clusters
            .iter()
            .filter(|cluster| cluster.status.as_deref() == Some(word::WAITING_FOR_REMOVAL))
            .filter_map(|cluster| ClusterName::new(&cluster.name).ok())
            .collect(),
    }
}
