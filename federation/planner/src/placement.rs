//! Where an object goes: kubefed's truth table over names and labels.

use std::collections::BTreeSet;

use muster_crds::ClusterName;

use crate::model::{FederatedObject, Fleet, Placement};
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
}

/// Resolves the placement of an object against the registered clusters.
pub(crate) fn resolve(fleet: &Fleet, object: &FederatedObject) -> Placed {
    let mut placed = Placed { clusters: select(fleet, &object.placement), ..Placed::default() };
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
