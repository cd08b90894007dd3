//! One federated object in the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use muster_crds::names::ClusterName;
use muster_crds::types_kubefed::FederatedStatus;
use muster_planner::{FederatedObject, Plan, RemovePolicy};

use super::input::Head;

/// One federated object: what its user wants, what is planned, and what was last written about it.
#[derive(Debug)]
pub struct Object {
    /// Metadata as last seen.
    pub head: Head,
    /// The spec, read and checked.
    pub parsed: Arc<FederatedObject>,
    /// Status as last seen. Its seats are the recorded truth.
    pub status: FederatedStatus,
    /// Status as this hub found it. Its numbers stand for members that have not reported yet.
    pub found: FederatedStatus,
    /// Whether seats were recorded once: this hub saw them, or the finalizer that follows their first record was there
    /// when it first saw the object.
    pub handled_before: bool,
    /// Whether it was once seen to be deleted with `--cascade=orphan`: that finalizer goes before the members are done.
    pub orphaned: bool,
    /// When this hub first saw the object.
    pub first_seen: Timestamp,
    /// The newest plan; views show it once its seats are recorded.
    pub plan: Option<Plan>,
    /// Members that removed the object when they were asked to.
    pub removed: BTreeSet<ClusterName>,
    /// Since when each view shows what it shows now.
    pub shown: BTreeMap<ClusterName, Timestamp>,
    /// When its status was last written.
    pub written: Option<Timestamp>,
    /// When seats were last recorded. They do not wait for the pause that other status writes keep.
    pub recorded: Option<Timestamp>,
    /// When the API last stored something else than was written.
    pub refused: Option<Timestamp>,
}

// === impl Object ===

impl Object {
    /// Takes what was read of the spec.
    pub fn set_parsed(&mut self, mut parsed: FederatedObject) {
        if self.orphaned {
            parsed.on_delete = Ok(RemovePolicy::Orphan);
        }
        self.parsed = Arc::new(parsed);
    }

    /// Whether views may show the newest plan: the finalizer is there, and its seats are what is recorded.
    pub fn is_recorded(&self) -> bool {
        self.head.is_finalized() && self.has_recorded_seats()
    }

    /// Whether the seats of the newest plan are what is recorded.
    pub fn has_recorded_seats(&self) -> bool {
        let recorded = muster_planner::input::recorded(&self.status).seats.unwrap_or_default();
        self.plan.as_ref().is_some_and(|plan| recorded == plan.seats)
    }
}
