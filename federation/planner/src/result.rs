//! What a plan says.

use std::collections::BTreeMap;

use json_patch::Patch;
use muster_crds::ClusterName;

use crate::model::{Adopt, Basis, RemovePolicy};
use crate::reason::{PlanCondition, Reason, Wait};

/// What one federated object is to be in every cluster, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What each cluster is to do; unregistered ones that keep their seats are among them. A registered cluster that is not in it has nothing to do with the object.
    pub clusters: BTreeMap<ClusterName, ClusterPlan>,
    /// Replicas asked for in all clusters together.
    pub total: u64,
    /// Replicas asked for that found no place, by the total or by the minimums where they ask for more.
    pub shortage: u64,
    /// Conditions for the status; [`crate::condition::PLANNED`] always among them.
    pub conditions: Vec<PlanCondition>,
    /// What the plan waits for.
    pub wait: Option<Wait>,
    /// Seats to be recorded before any view shows this plan. Equal to the recorded ones when nothing changed.
    pub seats: BTreeMap<ClusterName, u32>,
    /// To be recorded beside the seats.
    pub basis: Option<Basis>,
    /// What happens to objects that exist in members.
    pub adopt: Adopt,
}

impl Plan {
    /// Replicas that have a cluster.
    pub fn placed_replicas(&self) -> u64 {
        self.seats.values().copied().map(u64::from).sum()
    }

    /// The condition of this type, if the plan carries it.
    pub fn condition(&self, type_: &str) -> Option<&PlanCondition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }
}

/// What one cluster is to do with the object.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPlan {
    /// Whether the placement names the cluster.
    pub placed: bool,
    /// What to do.
    pub intent: Intent,
    /// Seats of the cluster. Under [`Intent::Hold`] they are its recorded ones, or those kept free for it.
    pub replicas: u32,
    /// Paths in the body that the member owns once its object exists: `/spec/replicas`, or nothing.
    pub retain: &'static [&'static str],
    /// Why, in a short list that is never empty.
    pub reasons: Vec<Reason>,
}

/// What a cluster is to do with the object.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// Make it as the template with this patch.
    Apply(Patch),
    /// Leave what is there as it is.
    Hold(Reason),
    /// Remove it, and say when it is gone.
    Remove(RemovePolicy),
}

impl Intent {
    /// The spelling in views.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Apply(_) => muster_crds::keys::view::INTENT_APPLY,
            Self::Hold(_) => muster_crds::keys::view::INTENT_HOLD,
            Self::Remove(_) => muster_crds::keys::view::INTENT_REMOVE,
        }
    }
}
