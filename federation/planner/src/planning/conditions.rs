//! The conditions of a plan.

use muster_crds::ClusterName;

use super::seats::{Allotment, Findings};
use super::standing::{Hold, Standing};
use super::{Mode, Snapshot, is_open, names_of};
use crate::error::InputError;
use crate::reason::{PlanCondition, Reason, ReasonCode, condition, listed};
use crate::result::Plan;

/// How many complaints one message carries.
const COMPLAINTS: usize = 3;

/// Conditions of a plan that holds everything.
pub(super) fn held(snapshot: &Snapshot<'_>, reason: &Reason) -> Vec<PlanCondition> {
    let complaints: Vec<&InputError> = snapshot
        .object
        .complaints()
        .chain(snapshot.preference.into_iter().flat_map(|preference| &preference.errors))
        .collect();
    let message = match reason.code {
        ReasonCode::InvalidInput if !complaints.is_empty() && !snapshot.object.deleting => spell(&complaints),
        _ => reason.message.clone(),
    };
    let mut conditions = vec![PlanCondition::new(condition::PLANNED, false, reason.code.as_str(), message)];
    conditions.extend(unknown_clusters(snapshot));
    conditions
}

/// Conditions of a plan that removes the object everywhere.
pub(super) fn deleting<'a>(left: impl ExactSizeIterator<Item = &'a ClusterName>) -> Vec<PlanCondition> {
    let message = match left.len() {
        0 => "every cluster removed the object".to_owned(),
        _ => format!("being removed from {}", listed(left)),
    };
    vec![PlanCondition::new(condition::PLANNED, false, ReasonCode::Deleting.as_str(), message)]
}

/// Conditions of a plan that gives every placed cluster its seats.
pub(super) fn seated(
    snapshot: &Snapshot<'_>,
    mode: Mode<'_>,
    standings: &[Standing<'_>],
    allotments: &[Allotment],
    plan: &Plan,
    findings: &Findings,
) -> Vec<PlanCondition> {
    let mut conditions = vec![planned(snapshot, mode, standings, allotments, plan)];
    conditions.extend(unknown_clusters(snapshot));
    let at = |places: &[usize]| names_of(standings, |at, _| places.contains(&at));
    if let Some(names) = at(&findings.unlisted) {
        conditions.push(PlanCondition::new(
            condition::NO_PREFERENCE_ENTRY,
            true,
            "NoPreferenceEntry",
            format!("the preference has no entry for {names} and none for \"*\": they get 0 replicas"),
        ));
    }
    if let Some(names) = at(&findings.min_unmet) {
        let message = format!("below their minReplicas for want of replicas or room: {names}");
        conditions.push(PlanCondition::new(condition::MIN_UNMET, true, "MinUnmet", message));
    }
    if let Some(names) = at(&findings.move_wanted) {
        let message = format!(
            "below their minReplicas with no free replica: {names}; planning moves nothing that runs"
        );
        conditions.push(PlanCondition::new(condition::MOVE_WANTED, true, "MinUnmet", message));
    }
    if findings.misplaced > 0 {
        let message = format!(
            "rebalance: true would place {} replicas elsewhere; planning moves nothing that runs",
            findings.misplaced
        );
        conditions.push(PlanCondition::new(condition::REBALANCE_NOT_APPLIED, true, "MovesNotMade", message));
    }
    if findings.pin_surplus > 0 {
        let message = format!(
            "clusters whose seats are pinned or frozen hold {} more than the total of {}",
            findings.pin_surplus, plan.total
        );
        conditions.push(PlanCondition::new(condition::PINS_EXCEED_TOTAL, true, "PinSurplus", message));
    }
    if snapshot.object.retain_replicas && matches!(mode, Mode::Divide { .. }) {
        conditions.push(PlanCondition::new(
            condition::REPLICAS_RETAINED,
            true,
            "RetainReplicas",
            "spec.retainReplicas is set: the division counts only where an object is created",
        ));
    }
    conditions
}

/// The condition that always is there. The first thing that is in the way names it.
fn planned(
    snapshot: &Snapshot<'_>,
    mode: Mode<'_>,
    standings: &[Standing<'_>],
    allotments: &[Allotment],
    plan: &Plan,
) -> PlanCondition {
    let no = |reason: &'static str, message: String| {
        PlanCondition::new(condition::PLANNED, false, reason, message)
    };
    let yes =
        |reason: &'static str, message: String| PlanCondition::new(condition::PLANNED, true, reason, message);
    // An override of a cluster that is not placed does no harm yet, and is worth knowing all the same.
    let complaints: Vec<&InputError> = snapshot.object.complaints().collect();
    if !complaints.is_empty() {
        return no(ReasonCode::InvalidInput.as_str(), spell(&complaints));
    }
    if standings.is_empty() {
        return no("NoClusters", no_clusters(snapshot));
    }
    let awaited = names_of(standings, |at, standing| {
        matches!(standing.hold, Some(Hold::AwaitingInventory))
            && (allotments[at].seats > 0 || !is_open(standing) || matches!(mode, Mode::NoReplicas))
    });
    if let Some(names) = awaited {
        let message = format!("waiting for {names} to report what they hold");
        return no(ReasonCode::AwaitingInventory.as_str(), message);
    }
    if plan.shortage > 0 {
        return no("Shortage", shortage(plan, allotments));
    }
    let clusters = standings.len();
    match mode {
        Mode::NoReplicas => yes("Placed", format!("in {clusters} clusters")),
        Mode::Keep { .. } => no(
            ReasonCode::PreferenceRemoved.as_str(),
            "the preference was deleted: seats stay until replicas or placement change".into(),
        ),
        Mode::Duplicate { replicas, .. } => {
            yes("Duplicated", format!("{replicas} replicas in each of {clusters} clusters"))
        }
        Mode::Divide { preference, replicas, total } => match preference.total {
            Some(_) => yes(
                "TotalFromPreference",
                format!(
                    "{total} replicas over {clusters} clusters: totalReplicas of the preference counts, not the template's {replicas}"
                ),
            ),
            None => yes("Divided", format!("{total} replicas over {clusters} clusters")),
        },
    }
}

fn shortage(plan: &Plan, allotments: &[Allotment]) -> String {
    let placed: u64 = allotments.iter().map(|allotment| u64::from(allotment.seats)).sum();
    let unplaced = plan.total.saturating_sub(placed);
    if unplaced > 0 {
        format!("{unplaced} of {} replicas have no place", plan.total)
    } else {
        format!("minReplicas ask for {} replicas more than the total of {} leaves", plan.shortage, plan.total)
    }
}

fn no_clusters(snapshot: &Snapshot<'_>) -> String {
    let placement = &snapshot.object.placement;
    match (&placement.clusters, &placement.selector) {
        _ if !snapshot.placed.left_out.is_empty() => {
            format!("the placement of its namespace leaves out {}", listed(&snapshot.placed.left_out))
        }
        (Some(names), _) if names.is_empty() => "spec.placement.clusters is empty".into(),
        (Some(_), _) => "spec.placement.clusters names no registered cluster".into(),
        (None, Some(_)) => "spec.placement.clusterSelector matches no registered cluster".into(),
        (None, None) => "spec.placement names no clusters".into(),
    }
}

/// Names that no registered cluster has, with the fields that use them.
fn unknown_clusters(snapshot: &Snapshot<'_>) -> Option<PlanCondition> {
    let registered = |name: &ClusterName| snapshot.fleet.clusters.contains_key(name);
    let preference = snapshot.preference;
    let absent = snapshot.placed.absent.iter().map(ToString::to_string);
    let fields = [
        ("spec.placement.clusters", snapshot.placed.unknown.clone()),
        // A selector names no clusters; those that it chose are known by their seats.
        ("status.plan.seats", absent.filter(|name| !snapshot.placed.unknown.contains(name)).collect()),
        (
            "spec.overrides",
            snapshot
                .object
                .overrides
                .keys()
                .filter(|name| !registered(name))
                .map(ToString::to_string)
                .chain(snapshot.object.misnamed.iter().cloned())
                .collect(),
        ),
        (
            "spec.clusters of the preference",
            preference
                .into_iter()
                .flat_map(|preference| {
                    let unknown = preference.clusters.keys().filter(|name| !registered(name));
                    unknown.map(ToString::to_string).chain(preference.misnamed.iter().cloned())
                })
                .collect(),
        ),
    ];
    let texts: Vec<String> = fields
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(field, names)| format!("{field}: {}", listed(names)))
        .collect();
    let message = || format!("no such cluster is registered: {}", texts.join("; "));
    (!texts.is_empty())
        .then(|| PlanCondition::new(condition::UNKNOWN_CLUSTERS, true, "NotRegistered", message()))
}

fn spell(complaints: &[&InputError]) -> String {
    let mut texts: Vec<String> = complaints.iter().take(COMPLAINTS).map(ToString::to_string).collect();
    if complaints.len() > COMPLAINTS {
        texts.push(format!("and {} more", complaints.len() - COMPLAINTS));
    }
    texts.join("; ")
}
