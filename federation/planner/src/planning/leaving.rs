//! Clusters that are to lose the object: it left their placement, or is being deleted.

use muster_crds::ClusterName;

use super::{Snapshot, invalid};
use crate::error::InputError;
use crate::model::{Inventory, RemovePolicy};
use crate::reason::{Reason, ReasonCode};
use crate::result::{ClusterPlan, Intent};

/// What a cluster outside the placement has to do; `None` when nothing.
pub(super) fn leaving(snapshot: &Snapshot<'_>, name: &ClusterName) -> Option<(ClusterName, ClusterPlan)> {
    let seats_recorded = snapshot.recorded(name).is_some();
    let inventory = snapshot.observed.inventory.get(name);
    let removed = inventory == Some(&Inventory::Removed);
    let holds = matches!(inventory, Some(Inventory::Holds { .. }));
    if seats_recorded || !removed && (holds || snapshot.observed.removing.contains(name)) {
        let reason = if snapshot.placed.left_out.contains(name) {
            Reason::new(
                ReasonCode::NamespacePlacement,
                "the placement of its namespace leaves this cluster out",
            )
        } else {
            Reason::new(ReasonCode::LeftPlacement, "the cluster is not in the placement any more")
        };
        return Some((name.clone(), removal(snapshot, name, &snapshot.object.on_leave, reason)));
    }
    // Without records nobody can tell whether this cluster ever held the object, until its agent has said so.
    (snapshot.observed.seats.is_none() && inventory.is_none()).then(|| {
        let reason = Reason::new(
            ReasonCode::AwaitingInventory,
            "not in the placement, and it has not yet reported whether it holds the object",
        );
        (name.clone(), ClusterPlan::hold(false, 0, reason))
    })
}

/// What a cluster has to do for an object that is being deleted; `None` when nothing, or when it is done.
pub(super) fn deleting(snapshot: &Snapshot<'_>, name: &ClusterName) -> Option<(ClusterName, ClusterPlan)> {
    if !is_concerned(snapshot, name) {
        return None;
    }
    let reason = Reason::new(ReasonCode::Deleting, "the federated object is being deleted");
    Some((name.clone(), removal(snapshot, name, &snapshot.object.on_delete, reason)))
}

/// Whether the cluster has, or may have, something of this object.
pub(super) fn is_concerned(snapshot: &Snapshot<'_>, name: &ClusterName) -> bool {
    let known = snapshot.recorded(name).is_some() || snapshot.observed.removing.contains(name);
    match snapshot.observed.inventory.get(name) {
        Some(Inventory::Removed) => false,
        Some(Inventory::Holds { .. }) => true,
        Some(Inventory::Nothing) => known,
        None => known || snapshot.placed.clusters.contains(name) || snapshot.observed.seats.is_none(),
    }
}

fn removal(
    snapshot: &Snapshot<'_>,
    name: &ClusterName,
    policy: &Result<RemovePolicy, InputError>,
    reason: Reason,
) -> ClusterPlan {
    let placed = snapshot.placed.clusters.contains(name);
    if snapshot.fleet.clusters.get(name).is_some_and(|member| member.suspended) {
        let reason = Reason::new(ReasonCode::Suspended, "the cluster is suspended: nothing is written");
        return ClusterPlan::hold(placed, snapshot.recorded(name).unwrap_or(0), reason);
    }
    match policy {
        Err(error) => ClusterPlan::hold(placed, snapshot.recorded(name).unwrap_or(0), invalid(error)),
        Ok(policy) => ClusterPlan {
            placed,
            intent: Intent::Remove(policy.clone()),
            replicas: 0,
            retain: &[],
            reasons: vec![reason],
        },
    }
}
