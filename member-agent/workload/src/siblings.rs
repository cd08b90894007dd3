//! Sets of one namespace that select each other's pods.

use muster_crds::GameStatefulSet;

use crate::selector::Selector;
use crate::snapshot::Snapshot;
use crate::spec::{Problem, Scope, Spec, labels_of};

/// What is wrong where an older set selects the same pods; the older one goes on as if it were alone.
pub(crate) fn overlap(snapshot: &Snapshot, spec: &Spec) -> Option<Problem> {
    let selector = spec.selector.as_ref()?;
    let set = &snapshot.set;
    let overlapping = snapshot.siblings.iter().filter(|sibling| {
        sibling.metadata.uid != set.metadata.uid
            && sibling.metadata.deletion_timestamp.is_none()
            && age(sibling) < age(set)
    });
    let older = overlapping
        .filter(|sibling| {
            selector.matches(&labels_of(&sibling.spec.template))
                || Selector::read(sibling.spec.selector.as_ref())
                    .is_ok_and(|other| other.matches(&spec.labels))
        })
        .min_by(|a, b| age(a).cmp(&age(b)))?;
    let name = older.metadata.name.as_deref().unwrap_or_default();
    Some(Problem {
        field: "spec.selector".into(),
        message: format!(
            "overlaps with that of GameStatefulSet {name}, which is older and keeps its pods; give this set labels of its own"
        ),
        scope: Scope::Everything,
    })
}

/// What is compared where age decides; of two of the same second the name does.
fn age(set: &GameStatefulSet) -> (Option<jiff::Timestamp>, &str) {
    let created = set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created, set.metadata.name.as_deref().unwrap_or_default())
}
