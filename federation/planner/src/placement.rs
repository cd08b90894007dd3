//! Where an object goes: kubefed's truth table over names and labels.

use std::collections::BTreeSet;

use muster_crds::ClusterName;

use crate::model::{FederatedObject, Fleet, Observed, Placement};
use crate::selector;

/// Where an object goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placed {
    /// The registered clusters it goes to.
    pub(crate) clusters: BTreeSet<ClusterName>,
    /// Clusters that its own placement names and the placement of its namespace leaves out.
    pub(crate) left_out: BTreeSet<ClusterName>,
    /// Names that no registered cluster has, as written.
    pub(crate) unknown: Vec<String>,
    /// Clusters that have recorded seats and are placed, but are not registered any more. They keep their seats until a
    /// person gives these up.
    pub(crate) absent: BTreeSet<ClusterName>,
}

/// Resolves the placement of an object against the registered clusters.
pub(crate) fn resolve(fleet: &Fleet, object: &FederatedObject, observed: &Observed) -> Placed {
    let mut placed = Placed { clusters: select(fleet, &object.placement), ..Placed::default() };
    placed.absent = absent(fleet, object, observed);
    placed.unknown = object
        .placement
        .clusters
        .iter()
        .flatten()
        .filter(|name| !fleet.clusters.contains_key(name.as_str()))
        .cloned()
        .collect();
    let namespace = object.key.namespace.as_ref().and_then(|name| fleet.namespaces.get(name));
    if let Some(namespace) = namespace {
        let allowed = select(fleet, namespace);
        placed.left_out = placed.clusters.difference(&allowed).cloned().collect();
        placed.clusters.retain(|name| allowed.contains(name));
    }
    placed
}

fn absent(fleet: &Fleet, object: &FederatedObject, observed: &Observed) -> BTreeSet<ClusterName> {
    let namespace = object.key.namespace.as_ref().and_then(|name| fleet.namespaces.get(name));
    let allows = |placement: &Placement, name: &ClusterName| match &placement.clusters {
        Some(names) => names.iter().any(|one| one == name.as_str()),
        // Its labels went with it: it matched when it got its seats.
        None => placement.selector.is_some(),
    };
    // While the placement cannot be read nobody has left it.
    let placed = |name: &ClusterName| {
        object.placement_error.is_some()
            || allows(&object.placement, name) && namespace.is_none_or(|namespace| allows(namespace, name))
    };
    let kept = |(name, seats): &(&ClusterName, &u32)| {
        **seats > 0 && !fleet.clusters.contains_key(*name) && !object.release.covers(name) && placed(name)
    };
    observed.seats.iter().flatten().filter(kept).map(|(name, _)| name.clone()).collect()
}

fn select(fleet: &Fleet, placement: &Placement) -> BTreeSet<ClusterName> {
    match placement {
        Placement { clusters: Some(names), .. } => names
            .iter()
            .filter_map(|name| fleet.clusters.get_key_value(name.as_str()))
            .map(|(name, _)| name.clone())
            .collect(),
        Placement { clusters: None, selector: Some(selector) } => fleet
            .clusters
            .iter()
            .filter(|(_, member)| selector::matches(selector, &member.labels))
            .map(|(name, _)| name.clone())
            .collect(),
        Placement { clusters: None, selector: None } => BTreeSet::new(),
    }
}
