//! ReplicaSchedulingPreference.

use muster_crds::keys::annotation;
use muster_crds::scheduling::{ClusterPreferences, EVERY_CLUSTER};
use muster_crds::{ClusterName, ObjectKey, ReplicaSchedulingPreference};

use super::is_known_kind;
use super::numbers::{self, quoted};
use crate::error::{InputError, Problem, Subject};
use crate::model::{Algorithm, Preference, Share};

const KIND: &str = "ReplicaSchedulingPreference";

/// Reads a preference. Fails only when it has no usable name; other mistakes are in [`Preference::errors`].
pub fn preference(source: &ReplicaSchedulingPreference) -> Result<Preference, InputError> {
    let key = ObjectKey::of(source).map_err(|error| {
        Subject::new(KIND, &source.metadata.name.as_deref().unwrap_or_default())
            .error("metadata.name", Problem::Malformed(error.to_string()))
    })?;
    let subject = Subject::new(KIND, &key);
    let spec = &source.spec;
    let mut errors: Vec<InputError> = spec
        .malformed
        .iter()
        .map(|field| subject.error(below("spec", &field.field), Problem::Malformed(field.message.clone())))
        .collect();
    let mut preference = Preference {
        key,
        target_kind: spec.target_kind.clone().filter(|kind| !kind.is_empty()),
        total: None,
        rebalance: spec.rebalance.unwrap_or(false),
        intersect: spec.intersect_with_cluster_selector.unwrap_or(false),
        clusters: std::collections::BTreeMap::new(),
        every: None,
        algorithm: Algorithm::Webster,
        misnamed: Vec::new(),
        errors: Vec::new(),
    };
    match preference.target_kind.as_deref() {
        Some(kind) if is_known_kind(kind) => {}
        Some(kind) => errors.push(subject.error(
            "spec.targetKind",
            Problem::UnknownWord {
                found: kind.to_owned(),
                expected: "the federated kinds (FederatedGameStatefulSet)",
            },
        )),
        None if spec.malformed.iter().any(|field| field.field == "targetKind") => {}
        None => errors.push(subject.error("spec.targetKind", Problem::Missing(""))),
    }
    match source.metadata.annotations.iter().flatten().find(|(key, _)| *key == annotation::PLANNER) {
        None => {}
        Some((_, value)) if value == annotation::PLANNER_KUBEFED => preference.algorithm = Algorithm::Kubefed,
        Some((_, value)) => errors.push(subject.error(
            format!("metadata.annotations[{}]", annotation::PLANNER),
            Problem::UnknownWord { found: value.clone(), expected: annotation::PLANNER_KUBEFED },
        )),
    }
    match spec.total_replicas.map(numbers::count) {
        None => {}
        Some(Ok(total)) => preference.total = Some(total),
        Some(Err(problem)) => errors.push(subject.error("spec.totalReplicas", problem)),
    }
    for (name, entry) in spec.clusters.iter().flatten() {
        match share(&subject, name, entry, preference.algorithm) {
            Err(error) => errors.push(error),
            Ok(share) if name == EVERY_CLUSTER => preference.every = Some(share),
            Ok(share) => match ClusterName::new(name) {
                Ok(name) => {
                    preference.clusters.insert(name, share);
                }
                Err(_) => preference.misnamed.push(quoted(name)),
            },
        }
    }
    if spec.clusters.as_ref().is_none_or(std::collections::BTreeMap::is_empty) {
        // kubefed's default for a preference that names no cluster.
        preference.every = Some(Share { weight: 1, ..Share::default() });
    }
    preference.errors = errors;
    Ok(preference)
}

fn share(
    subject: &Subject,
    name: &str,
    entry: &ClusterPreferences,
    algorithm: Algorithm,
) -> Result<Share, InputError> {
    let field = |field: &str| format!("spec.clusters[{name}].{field}");
    let weight = entry.weight.unwrap_or(0);
    let weight =
        u64::try_from(weight).map_err(|_| subject.error(field("weight"), Problem::Negative(weight)))?;
    let min = numbers::count(entry.min_replicas.unwrap_or(0))
        .map_err(|problem| subject.error(field("minReplicas"), problem))?;
    let max = entry
        .max_replicas
        .map(numbers::limit)
        .transpose()
        .map_err(|problem| subject.error(field("maxReplicas"), problem))?;
    // kubefed's own algorithm gives a minimum above the maximum a meaning.
    if let Some(max) = max.filter(|max| min > *max && algorithm != Algorithm::Kubefed) {
        return Err(subject.error(field("minReplicas"), Problem::MinAboveMax { min, max }));
    }
    Ok(Share { weight, min, max })
}

/// Path of a field that could not be read; `.` is the whole.
pub(super) fn below(parent: &str, field: &str) -> String {
    if field == "." { parent.to_owned() } else { format!("{parent}.{field}") }
}
