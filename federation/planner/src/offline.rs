//! Planning from files alone, as `muster plan` does.
//!
//! It is the same [`plan`] the hub runs, over clusters, objects and preferences that somebody read from manifests, and
//! seats and room from a small observed file. Nothing waits here: an object without a preference is planned at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use muster_crds::{
    ClusterName, FederatedGameStatefulSet, KubeFedCluster, Namespace, ReplicaSchedulingPreference,
};
use serde::{Deserialize, Serialize};

use crate::error::{InputError, Problem, Subject};
use crate::input::{self, numbers};
use crate::model::{
    Capacity, Contact, FederatedObject, Fleet, Inventory, Member, Observed, Preference, Settings,
};
use crate::planning::plan;
use crate::reason::{Reason, ReasonCode, condition};
use crate::result::Plan;

/// How errors name the observed file.
const OBSERVED: &str = "observed";

/// What was read from manifests.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The registered clusters. When there is none, every cluster that a placement or the observed file names counts
    /// as registered and ready.
    pub clusters: Vec<KubeFedCluster>,
    /// The objects to plan.
    pub objects: Vec<FederatedGameStatefulSet>,
    /// Their preferences.
    pub preferences: Vec<ReplicaSchedulingPreference>,
    /// Namespace of objects that name none.
    pub namespace: Option<Namespace>,
}

/// The observed file: what each cluster holds, by its name.
pub type ObservedFile = BTreeMap<String, ObservedCluster>;

/// What one cluster holds, for every object alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObservedCluster {
    /// Seats it has now; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// Seats it has room for: 0 is no room, absent is unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<i64>,
}

/// What planning manifests gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// A plan for each object that could be planned, in the order of the manifests.
    pub plans: Vec<PlannedObject>,
    /// Mistakes in the input. Objects that they make unplannable are not among the plans.
    pub errors: Vec<InputError>,
    /// What else a person should know, each naming its object.
    pub warnings: Vec<String>,
}

/// The plan of one object, as `muster plan -o json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedObject {
    /// Kind of the federated object.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Every placed cluster, those with no replicas included, by name.
    pub clusters: Vec<PlannedCluster>,
    /// Replicas that found no place.
    pub shortage: u64,
}

/// What one cluster gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedCluster {
    /// Name of the cluster.
    pub name: String,
    /// Its replicas.
    pub replicas: u32,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// Plans every object of the manifests.
pub fn plan_manifests(manifests: &Manifests, observed: &ObservedFile) -> Outcome {
    let mut outcome = Outcome::default();
    let seats = read_observed(observed, &mut outcome.errors);
    let fleet = fleet(manifests, &seats, &mut outcome);
    let preferences = preferences(manifests, &mut outcome.errors);
    let mut used = BTreeSet::new();
    for source in &manifests.objects {
        let mut source = source.clone();
        source.metadata.namespace =
            source.metadata.namespace.or_else(|| manifests.namespace.as_ref().map(ToString::to_string));
        let object = match input::federated(&source) {
            Ok(object) => object,
            Err(error) => {
                outcome.errors.push(error);
                continue;
            }
        };
        let matching = preferences.iter().position(|preference| object.is_target_of(preference));
        used.extend(matching);
        let preference = matching.map(|at| &preferences[at]);
        plan_one(&fleet, &object, preference, &seats, &mut outcome);
    }
    let unused = (0..preferences.len()).filter(|at| !used.contains(at)).map(|at| &preferences[at]);
    for preference in unused {
        // One that is wrong in itself is an error wherever it belongs; one whose object is elsewhere is not.
        outcome.errors.extend(preference.errors.iter().cloned());
        let kind = preference.target_kind.as_deref().unwrap_or("object");
        outcome.warnings.push(format!(
            "ReplicaSchedulingPreference {}: there is no {kind} of this name in the manifests",
            preference.key
        ));
    }
    outcome
}

/// Seats and room of every cluster that the observed file names.
type Seats = BTreeMap<ClusterName, (u32, Option<u32>)>;

fn read_observed(observed: &ObservedFile, errors: &mut Vec<InputError>) -> Seats {
    let subject = Subject::new(OBSERVED, &"file");
    let mut seats = Seats::new();
    for (name, cluster) in observed {
        let count = |field: &str, value: Option<i64>| {
            value
                .map(numbers::count)
                .transpose()
                .map_err(|problem| subject.error(format!("{name}.{field}"), problem))
        };
        let read = || -> Result<_, InputError> {
            let key = ClusterName::new(name)
                .map_err(|error| subject.error(name.clone(), Problem::Malformed(error.to_string())))?;
            Ok((
                key,
                (count("replicas", cluster.replicas)?.unwrap_or(0), count("capacity", cluster.capacity)?),
            ))
        };
        match read() {
            Ok((name, cluster)) => drop(seats.insert(name, cluster)),
            Err(error) => errors.push(error),
        }
    }
    seats
}

fn fleet(manifests: &Manifests, seats: &Seats, outcome: &mut Outcome) -> Fleet {
    let mut fleet = Fleet::default();
    for cluster in &manifests.clusters {
        let name = cluster.metadata.name.as_deref().unwrap_or_default();
        match ClusterName::new(name) {
            Ok(name) => {
                fleet.clusters.insert(name, input::member(cluster, input::contact(cluster)));
            }
            Err(error) => outcome.errors.push(
                Subject::new("KubeFedCluster", &name)
                    .error("metadata.name", Problem::Malformed(error.to_string())),
            ),
        }
    }
    if !manifests.clusters.is_empty() {
        return fleet;
    }
    let placed = manifests
        .objects
        .iter()
        .filter_map(|object| object.spec.placement.as_ref()?.clusters.as_ref())
        .flatten()
        .filter_map(|cluster| ClusterName::new(&cluster.name).ok());
    for name in placed.chain(seats.keys().cloned()) {
        fleet.clusters.insert(name, Member::new(Contact::Ready));
    }
    fleet
}

fn preferences(manifests: &Manifests, errors: &mut Vec<InputError>) -> Vec<Preference> {
    let mut read = Vec::with_capacity(manifests.preferences.len());
    for source in &manifests.preferences {
        let mut source = source.clone();
        source.metadata.namespace =
            source.metadata.namespace.or_else(|| manifests.namespace.as_ref().map(ToString::to_string));
        match input::preference(&source) {
            Ok(preference) => read.push(preference),
            Err(error) => errors.push(error),
        }
    }
    read
}

fn plan_one(
    fleet: &Fleet,
    object: &FederatedObject,
    preference: Option<&Preference>,
    seats: &Seats,
    outcome: &mut Outcome,
) {
    // A cluster that the file does not name has reported that it holds nothing, and has no known limit.
    let observed = Observed {
        seats: Some(seats.iter().map(|(name, (seats, _))| (name.clone(), *seats)).collect()),
        inventory: fleet.clusters.keys().map(|name| (name.clone(), Inventory::Nothing)).collect(),
        capacity: seats
            .iter()
            .filter_map(|(name, (_, room))| Some((name.clone(), (*room)?)))
            .map(|(name, replicas)| (name, Capacity { replicas, ..Capacity::default() }))
            .collect(),
        first_seen: Timestamp::UNIX_EPOCH,
        ..Observed::default()
    };
    let now = Timestamp::MAX;
    let plan = plan(fleet, object, preference, &observed, &Settings::default(), now);
    outcome.errors.extend(object.complaints().cloned());
    outcome.errors.extend(preference.into_iter().flat_map(|preference| preference.errors.iter().cloned()));
    let subject = format!("{} {}", object.kind, object.key);
    for said in plan.conditions.iter().filter(|said| said.type_ != condition::PLANNED) {
        outcome.warnings.push(format!("{subject}: {}", said.message));
    }
    if is_unplannable(object, preference) {
        return;
    }
    if plan.clusters.values().all(|cluster| !cluster.placed)
        && let Some(planned) = plan.condition(condition::PLANNED)
    {
        outcome.warnings.push(format!("{subject}: {}", planned.message));
    }
    outcome.plans.push(planned_object(object, &plan));
}

/// Whether a mistake concerns every cluster.
fn is_unplannable(object: &FederatedObject, preference: Option<&Preference>) -> bool {
    !object.errors.is_empty()
        || object.placement_error.is_some()
        || preference.is_some_and(|preference| !preference.errors.is_empty() && !object.duplicate)
}

fn planned_object(object: &FederatedObject, plan: &Plan) -> PlannedObject {
    let clusters = plan
        .clusters
        .iter()
        .filter(|(_, cluster)| cluster.placed)
        .map(|(name, cluster)| PlannedCluster {
            name: name.to_string(),
            replicas: cluster.replicas,
            reasons: cluster.reasons.clone(),
        })
        .collect();
    PlannedObject {
        kind: object.kind.clone(),
        namespace: object.key.namespace.as_ref().map(ToString::to_string).unwrap_or_default(),
        name: object.key.name.to_string(),
        clusters,
        shortage: plan.shortage,
    }
}

impl PlannedCluster {
    /// Whether the cluster would be left as it is because its overrides cannot be used, or it is suspended.
    pub fn is_held(&self) -> bool {
        let held = |reason: &Reason| matches!(reason.code, ReasonCode::InvalidInput | ReasonCode::Suspended);
        self.reasons.iter().any(held)
    }
}
