//! What was recorded and reported about one federated object.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use muster_crds::ClusterName;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Placement;
use crate::canonical::canonical;

/// What was recorded and reported about one federated object.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// `status.plan.seats`, the truth about who has how many replicas; `None` when nothing is recorded, which is not the
    /// same as a record that nobody has any.
    pub seats: Option<BTreeMap<ClusterName, u32>>,
    /// What the recorded seats were planned from; `None` when that is not known.
    pub basis: Option<Basis>,
    /// What agents reported. A cluster that is not in it has not reported yet.
    pub inventory: BTreeMap<ClusterName, Inventory>,
    /// Room that agents reported. A cluster that is not in it has no known limit.
    pub capacity: BTreeMap<ClusterName, Capacity>,
    /// Clusters that left the placement and have not confirmed the removal (`WaitingForRemoval` in status).
    pub removing: BTreeSet<ClusterName>,
    /// Whether seats were recorded once. If there are none all the same, they were lost, and members may hold any number
    /// of them.
    pub handled_before: bool,
    /// When this hub first saw the object, or its creation where that is later known.
    pub first_seen: Timestamp,
}

/// What an agent reported about one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inventory {
    /// It has no such object.
    Nothing,
    /// It has the object, with this `spec.replicas` (0 for kinds without).
    Holds {
        /// `spec.replicas` of the member's object.
        replicas: u32,
    },
    /// It was asked to remove the object, and the object is gone.
    Removed,
}

/// Room in one member, counted in replicas of one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Replicas of this object that run, plus those that could be placed now.
    pub replicas: u32,
    /// Seats granted to other objects in this member that the report does not know of yet; deducted.
    pub unacknowledged: u32,
    /// Replicas of this object that found no node for a minute; they may be granted elsewhere. Only from a report that
    /// knew the recorded seats: an older one would give the same replicas away again, so it counts 0.
    pub unscheduled: u32,
}

impl Capacity {
    /// The most seats the member has room for.
    pub fn room(&self) -> u32 {
        self.replicas.saturating_sub(self.unacknowledged)
    }
}

/// Times the planner goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long an object without a preference waits for one before its first plan.
    pub plan_delay: SignedDuration,
}

impl Default for Settings {
    /// A plan delay of two seconds.
    fn default() -> Self {
        Self { plan_delay: SignedDuration::from_secs(2) }
    }
}

/// What a plan was made from, as far as a later plan must know it: recorded beside the seats, in one short text.
///
/// When a preference is deleted, seats stay until replicas or placement change; this is how that change is seen, also
/// by a hub that started since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// How replicas became seats.
    pub division: DivisionKind,
    /// Replicas of the template.
    pub replicas: u32,
    /// Hash of the placement as written: a cluster that joins or leaves the fleet is no change of it.
    pub placement: u64,
}

/// How replicas became seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DivisionKind {
    /// By a preference.
    Divided,
    /// All replicas in every cluster.
    Duplicated,
}

impl DivisionKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Divided => "Divided",
            Self::Duplicated => "Duplicated",
        }
    }
}

impl Basis {
    /// Hash of a placement as written; the order of names does not count.
    pub(crate) fn hash_of(placement: &Placement) -> u64 {
        let selector = serde_json::to_value(&placement.selector).unwrap_or_default();
        let names: Option<BTreeSet<&String>> =
            placement.clusters.as_ref().map(|names| names.iter().collect());
        let text = canonical(&json!([names, selector]));
        let digest = Sha256::digest(text);
        let first: [u8; 8] = std::array::from_fn(|at| digest[at]);
        u64::from_be_bytes(first)
    }
}

/// `Divided/200/00c0ffee00c0ffee`.
impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{:016x}", self.division.as_str(), self.replicas, self.placement)
    }
}

/// Text that is not a [`Basis`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} does not say what a plan was made from")]
pub struct BasisError(String);

impl FromStr for Basis {
    type Err = BasisError;

    fn from_str(text: &str) -> Result<Self, BasisError> {
        let parse = || {
            let mut parts = text.split('/');
            let division = match parts.next()? {
                "Divided" => DivisionKind::Divided,
                "Duplicated" => DivisionKind::Duplicated,
                _ => return None,
            };
            let replicas = parts.next()?.parse().ok()?;
            let placement = u64::from_str_radix(parts.next()?, 16).ok()?;
            parts.next().is_none().then_some(Self { division, replicas, placement })
        };
        parse().ok_or_else(|| BasisError(text.to_owned()))
    }
}
