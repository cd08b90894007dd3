//! Reading statuses.

use std::collections::BTreeMap;

use muster_crds::Condition;
use muster_crds::types_kubefed::{ClusterStatus, FederatedGameStatefulSet};

/// The condition of this type, of any kind's list.
pub(crate) fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// The row of one cluster; an empty one where there is none.
pub(crate) fn row(game: &FederatedGameStatefulSet, cluster: &str) -> ClusterStatus {
    let status = game.status.as_ref();
    let rows = status.map(|status| status.clusters.as_slice()).unwrap_or_default();
    rows.iter().find(|row| row.name == cluster).cloned().unwrap_or_default()
}

/// The conditions of a federated set.
pub(crate) fn conditions(game: &FederatedGameStatefulSet) -> &[Condition] {
    game.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
}

/// The seats that are recorded.
pub(crate) fn seats(game: &FederatedGameStatefulSet) -> BTreeMap<String, i64> {
    let plan = game.status.as_ref().and_then(|status| status.plan.as_ref());
    plan.map(|plan| plan.seats.clone()).unwrap_or_default()
}

/// Whether the federated set is Ready at its newest generation with exactly these seats; otherwise what is not so.
pub(crate) fn settled(game: &FederatedGameStatefulSet, expected: &[(&str, i64)]) -> Result<(), String> {
    let status = game.status.clone().unwrap_or_default();
    if status.observed_generation != game.metadata.generation {
        return Err(format!(
            "status is of generation {:?}, spec of {:?}",
            status.observed_generation, game.metadata.generation
        ));
    }
    let expected: BTreeMap<String, i64> =
        expected.iter().map(|(cluster, seats)| ((*cluster).to_owned(), *seats)).collect();
    let held: BTreeMap<String, i64> = seats(game).into_iter().filter(|(_, seats)| *seats > 0).collect();
    let wanted: BTreeMap<String, i64> =
        expected.clone().into_iter().filter(|(_, seats)| *seats > 0).collect();
    if held != wanted {
        return Err(format!("seats are {held:?}, not {wanted:?}"));
    }
    for (cluster, seats) in &expected {
        let row = row(game, cluster);
        let numbers = [row.planned, row.replicas, row.ready_replicas, row.updated_replicas];
        if *seats > 0 && numbers != [Some(*seats); 4] {
            return Err(format!("{cluster}: planned, replicas, ready, updated are {numbers:?}"));
        }
    }
    match condition(&status.conditions, "Ready") {
        Some(ready) if ready.status == "True" => Ok(()),
        other => Err(format!("Ready is {other:?}")),
    }
}
