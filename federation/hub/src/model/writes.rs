//! What has to be written to the hub API, and what became of it.
//!
//! Writes are level-based: a dirty key says that something may differ, and [`Model::next_write`] compares what is wanted
//! with what is stored. Executing a write has no choices left.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use muster_crds::conditions::Condition;
use muster_crds::core_kubefed::{FederatedTypeConfigStatus, KubeFedClusterStatus};
use muster_crds::keys::{self, condition, reason};
use muster_crds::muster::TombstoneSpec;
use muster_crds::names::{ClusterName, ObjectKey};
use muster_crds::types_kubefed::{FederatedStatus, PlanStatus};
use muster_planner::Contact;

use super::Model;
use super::input::{ObjectInput, settled};
use super::intent::{Intent, Removal, RemovalPolicy};
use super::kind::{KindId, KindNames};
use super::object::Object;
use super::status::{RowInput, StatusInput, differs, status};

/// How long the hub waits before it writes again what the API did not keep.
const REFUSED_PAUSE: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);

/// Something that may have to be written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WriteKey {
    /// A federated object: its finalizer, its status.
    Object(KindId, ObjectKey),
    /// The status of a KubeFedCluster.
    Cluster(ClusterName),
    /// The status of a FederatedTypeConfig.
    TypeConfig(String),
    /// A tombstone.
    Tombstone(String),
}

/// What to do about a key now.
#[derive(Debug)]
pub enum NextWrite {
    /// Nothing.
    Nothing,
    /// Ask again at this time.
    At(Timestamp),
    /// This.
    Now(Write),
}

/// One write.
#[derive(Debug, Clone)]
pub enum Write {
    /// Sets the finalizers of a federated object, if it still has the resource version.
    Finalizers {
        /// The federated kind.
        kind: KindNames,
        /// The object.
        key: ObjectKey,
        /// What it must still be.
        resource_version: String,
        /// All its finalizers.
        finalizers: Vec<String>,
    },
    /// Applies the status of a federated object.
    Status {
        /// The federated kind.
        kind: KindNames,
        /// The object.
        key: ObjectKey,
        /// Its uid.
        uid: String,
        /// What it must still be, when seats are recorded.
        resource_version: Option<String>,
        /// The status.
        status: Box<FederatedStatus>,
    },
    /// Applies the status of a KubeFedCluster.
    ClusterStatus {
        /// The cluster.
        name: ClusterName,
        /// The status.
        status: Box<KubeFedClusterStatus>,
    },
    /// Applies the status of a FederatedTypeConfig.
    TypeConfigStatus {
        /// Its name.
        name: String,
        /// The status.
        status: Box<FederatedTypeConfigStatus>,
    },
    /// Applies a tombstone.
    PutTombstone {
        /// Its name.
        name: String,
        /// Its content.
        spec: Box<TombstoneSpec>,
    },
    /// Deletes a tombstone.
    DeleteTombstone {
        /// Its name.
        name: String,
    },
}

/// What became of a write.
#[derive(Debug)]
pub enum Outcome {
    /// The federated object as the API returned it, and the status that was sent.
    Object {
        /// What was returned.
        input: Box<ObjectInput>,
        /// What was sent, when it was a status.
        sent: Option<Box<FederatedStatus>>,
    },
    /// The status of a cluster was stored.
    Cluster(Box<KubeFedClusterStatus>),
    /// The status of a FederatedTypeConfig was stored.
    TypeConfig(Box<FederatedTypeConfigStatus>),
    /// A tombstone was stored, or is gone.
    Tombstone(Option<Box<TombstoneSpec>>),
    /// There is no such object any more.
    Gone,
}

impl Model {
    /// What has to be written for a key now.
    pub fn next_write(&self, key: &WriteKey, now: Timestamp) -> NextWrite {
        match key {
            WriteKey::Object(id, key) => self.next_object_write(id, key, now),
            WriteKey::Cluster(name) => {
                let Some(member) = self.members.get(name) else { return NextWrite::Nothing };
                let wanted = member.status(self.settings.lost_after, now);
                let stored = &member.input.status;
                let settle = |status: &KubeFedClusterStatus| KubeFedClusterStatus {
                    conditions: settled(&status.conditions),
                    ..status.clone()
                };
                if settle(stored) == settle(&wanted) {
                    return NextWrite::Nothing;
                }
                NextWrite::Now(Write::ClusterStatus { name: name.clone(), status: Box::new(wanted) })
            }
            WriteKey::TypeConfig(name) => {
                let Some(input) = self.type_configs.get(name) else { return NextWrite::Nothing };
                let wanted = self.type_config_status(input, now);
                if input.status == wanted || !self.is_read() {
                    return NextWrite::Nothing;
                }
                NextWrite::Now(Write::TypeConfigStatus { name: name.clone(), status: Box::new(wanted) })
            }
            WriteKey::Tombstone(name) => {
                let stored = self.tombstones.get(name).and_then(|one| one.stored.as_ref());
                match (self.wanted_tombstone(name).map(super::tombstone::Tombstone::spec), stored) {
                    (Some(wanted), stored) if stored != Some(&wanted) => {
                        NextWrite::Now(Write::PutTombstone { name: name.clone(), spec: Box::new(wanted) })
                    }
                    (Some(_), _) => NextWrite::Nothing,
                    (None, _) => NextWrite::Now(Write::DeleteTombstone { name: name.clone() }),
                }
            }
        }
    }

    /// Takes what became of a write.
    pub(super) fn written(&mut self, key: &WriteKey, outcome: Outcome, now: Timestamp) {
        match (key, outcome) {
            (WriteKey::Object(id, key), Outcome::Object { input, sent }) => {
                self.object_written(id, key, *input, sent, now);
            }
            (WriteKey::Cluster(name), Outcome::Cluster(status)) => {
                if let Some(member) = self.members.get_mut(name) {
                    member.input.status = *status;
                }
            }
            (WriteKey::TypeConfig(name), Outcome::TypeConfig(status)) => {
                if let Some(input) = self.type_configs.get_mut(name) {
                    input.status = *status;
                }
            }
            (WriteKey::Tombstone(name), Outcome::Tombstone(stored)) => {
                self.tombstone_written(name, stored.map(|spec| *spec));
            }
            // The watch says so as well.
            (_, _) => {}
        }
    }

    fn object_written(
        &mut self,
        id: &KindId,
        key: &ObjectKey,
        input: ObjectInput,
        sent: Option<Box<FederatedStatus>>,
        now: Timestamp,
    ) {
        let Some(object) = self.kinds.get_mut(id).and_then(|kind| kind.objects.get_mut(key)) else { return };
        // An answer that was overtaken by the end of the object must not bring it back.
        if object.head.uid != input.head.uid {
            return;
        }
        if let Some(sent) = sent {
            object.written = Some(now);
            if object.plan.is_some() && !object.has_recorded_seats() {
                object.recorded = Some(now);
            }
            let kept = !differs(&input.status, &sent);
            object.refused = (!kept).then_some(now);
            if !kept {
                let details =
                    "the API did not store what was written; is its definition of this version installed?";
                self.decide("status not kept", key, details);
            }
        }
        self.take_object(id, input, now);
    }

    fn next_object_write(&self, id: &KindId, key: &ObjectKey, now: Timestamp) -> NextWrite {
        let (Some(kind), true) = (self.kinds.get(id), self.is_ready(id)) else { return NextWrite::Nothing };
        let Some(object) = kind.objects.get(key) else { return NextWrite::Nothing };
        let finalizers = |finalizers: Vec<String>| {
            NextWrite::Now(Write::Finalizers {
                kind: kind.names.federated.clone(),
                key: key.clone(),
                resource_version: object.head.resource_version.clone(),
                finalizers,
            })
        };
        let deleting = object.head.deletion.is_some();
        if deleting && object.head.is_finalized() && self.is_released(id, key, object) {
            let others = object.head.finalizers.iter().filter(|one| *one != keys::finalizer::SYNC);
            return finalizers(others.cloned().collect());
        }
        // The finalizer follows the first record of seats: where it stands and they do not, they were lost.
        if !deleting
            && !object.head.is_finalized()
            && object.status.plan.is_some()
            && object.has_recorded_seats()
        {
            let sync = keys::finalizer::SYNC.to_owned();
            return finalizers(object.head.finalizers.iter().cloned().chain([sync]).collect());
        }
        let wanted = self.status_of(id, key, object, now);
        if !differs(&object.status, &wanted) {
            return NextWrite::Nothing;
        }
        let after = |from: Option<Timestamp>, pause| from.and_then(|from| from.checked_add(pause).ok());
        // Seats are a decision that rests on what was read: whoever wrote meanwhile wins, and the plan is made again.
        let records = object.plan.is_some() && !object.has_recorded_seats();
        let last = if records { object.recorded } else { object.written };
        let earliest = after(last, self.settings.status_interval).max(after(object.refused, REFUSED_PAUSE));
        if let Some(at) = earliest.filter(|at| *at > now) {
            return NextWrite::At(at);
        }
        NextWrite::Now(Write::Status {
            kind: kind.names.federated.clone(),
            key: key.clone(),
            uid: object.head.uid.clone(),
            resource_version: records.then(|| object.head.resource_version.clone()),
            status: Box::new(wanted),
        })
    }

    /// Whether a deleted object can go: no member holds it, or the hub API remembers what those that are away must
    /// still remove.
    fn is_released(&self, id: &KindId, key: &ObjectKey, object: &Object) -> bool {
        let Some(plan) = &object.plan else { return false };
        let waits = |name: &ClusterName| {
            !object.removed.contains(name) && !self.is_stored_in_tombstone(id, key, name)
        };
        self.is_enabled(id)
            && !plan.clusters.keys().any(waits)
            && self.holders(id, key, Some(&object.head.uid)).is_empty()
    }

    /// Buries what members that are lost still hold of deleted objects, once nobody else is waited for.
    pub(super) fn bury_lost(&mut self, id: &KindId, key: &ObjectKey, now: Timestamp) {
        let Some(object) = self.object(id, key).filter(|object| object.head.deletion.is_some()) else {
            return;
        };
        let holders = self.holders(id, key, Some(&object.head.uid));
        if holders.is_empty() || !holders.iter().all(|name| self.is_lost(name)) {
            return;
        }
        let Ok(policy) = &object.parsed.on_delete else { return };
        let removal = Removal::of(policy);
        let source = self.source_of(id, &object.head.uid, key, object.head.created.clone());
        self.bury(id, key, &source, &removal, holders, now);
    }

    /// The status an object should have.
    fn status_of(&self, id: &KindId, key: &ObjectKey, object: &Object, now: Timestamp) -> FederatedStatus {
        let plan = object.plan.as_ref();
        let disabled = !self.is_enabled(id);
        let mut rows: BTreeMap<&ClusterName, RowInput<'_>> = BTreeMap::new();
        for (name, member) in &self.members {
            let planned = plan.and_then(|plan| plan.clusters.get(name));
            let entry = member.view.get(id, key);
            if planned.is_none() && entry.is_none() {
                continue;
            }
            let row = RowInput {
                name,
                planned: planned.filter(|planned| planned.placed).map(|planned| planned.replicas),
                entry: entry.map(|entry| &**entry),
                shown_at: object.shown.get(name).copied(),
                report: member.report(id, key),
                leaving: match planned {
                    Some(planned) => matches!(planned.intent, muster_planner::Intent::Remove(_)),
                    None => entry.is_some_and(|entry| matches!(entry.intent, Intent::Remove(_))),
                },
                contact: member.contact,
                unregistered: None,
                override_failed: object.parsed.overrides.get(name).is_some_and(Result::is_err),
            };
            rows.insert(name, row);
        }
        let planned = plan.into_iter().flat_map(|plan| &plan.clusters);
        for (name, planned) in planned.filter(|(name, _)| !self.members.contains_key(*name)) {
            let row = RowInput {
                name,
                planned: Some(planned.replicas),
                entry: None,
                shown_at: None,
                report: None,
                leaving: false,
                contact: Contact::Lost,
                unregistered: Some(planned.reasons.first().map_or("not registered", |one| &one.message)),
                override_failed: false,
            };
            rows.insert(name, row);
        }
        let generation = object.head.generation;
        let recorded = match plan {
            // Seats that were lost are not the same as none: an empty record would say that nobody holds anything.
            Some(plan) if plan.seats.is_empty() && object.status.plan.is_none() => None,
            Some(plan) => {
                let seats: BTreeMap<String, i64> =
                    plan.seats.iter().map(|(name, seats)| (name.to_string(), i64::from(*seats))).collect();
                Some(PlanStatus { generation, seats, basis: plan.basis.as_ref().map(ToString::to_string) })
            }
            None => object.status.plan.clone(),
        };
        let wait = match plan {
            _ if disabled => Some("propagation of this kind is Disabled".to_owned()),
            Some(plan) => plan.wait.as_ref().map(|wait| wait.reason.to_string()),
            None => None,
        };
        let conditions = self.conditions_of(object, disabled);
        let stale_from = self.started.checked_add(self.settings.stale_after).unwrap_or(Timestamp::MAX);
        let input = StatusInput {
            head: &object.head,
            template: &object.parsed.template,
            live: &object.status,
            found: &object.found,
            plan: recorded,
            shortage: plan.map_or(0, |plan| plan.shortage),
            conditions: &conditions,
            unknown: self.unknown_clusters(object),
            wait: wait.as_deref(),
            rows: rows.into_values().collect(),
            stale: now >= stale_from,
        };
        status(&input, now)
    }

    /// Clusters that an object names and nobody registered, as `field: names`. A preference may name clusters that are
    /// yet to come.
    fn unknown_clusters(&self, object: &Object) -> Vec<String> {
        let unknown = |name: &str| !self.members.contains_key(name);
        let placed = object.parsed.placement.clusters.iter().flatten().map(String::as_str);
        let overridden = object.parsed.overrides.keys().map(ClusterName::as_str);
        let overridden = overridden.chain(object.parsed.misnamed.iter().map(String::as_str));
        let about = |field: &str, names: Vec<&str>| {
            (!names.is_empty()).then(|| format!("{} {field}: {}", object.parsed.key, names.join(", ")))
        };
        let placed = about("spec.placement.clusters", placed.filter(|name| unknown(name)).collect());
        let overridden = about("spec.overrides", overridden.filter(|name| unknown(name)).collect());
        placed.into_iter().chain(overridden).collect()
    }

    /// What the planner and the reader of the object have to say.
    fn conditions_of(&self, object: &Object, disabled: bool) -> Vec<Condition> {
        let mut conditions: Vec<Condition> = object
            .plan
            .iter()
            .flat_map(|plan| &plan.conditions)
            .map(|one| Condition::new(one.type_, one.status, one.reason, &one.message))
            .collect();
        if disabled {
            let message = "the FederatedTypeConfig of this kind is Disabled; member objects stay as they are";
            conditions.push(Condition::new(condition::PROPAGATION, false, "PropagationDisabled", message));
        } else if let Some(error) = &object.parsed.placement_error {
            let reason = reason::COMPUTE_PLACEMENT_FAILED;
            conditions.push(Condition::new(condition::PROPAGATION, false, reason, error.to_string()));
        }
        let mut complaints: Vec<String> = object.parsed.complaints().map(ToString::to_string).collect();
        if let Some(preference) =
            self.preferences.get(&object.head.key).filter(|one| object.parsed.is_target_of(one))
        {
            complaints.extend(preference.errors.iter().map(ToString::to_string));
        }
        if object.head.deletion.is_some() {
            complaints.extend(object.parsed.on_delete.as_ref().err().map(ToString::to_string));
        }
        let mut seen = BTreeSet::new();
        complaints.retain(|complaint| seen.insert(complaint.clone()));
        if !complaints.is_empty() {
            conditions.push(Condition::new(condition::DEGRADED, true, "InvalidInput", complaints.join("; ")));
        }
        conditions
    }
}

// === impl Removal ===

impl Removal {
    /// The planner's policy as views spell it.
    pub fn of(policy: &muster_planner::RemovePolicy) -> Self {
        match policy {
            muster_planner::RemovePolicy::Orphan => Self { policy: RemovalPolicy::Orphan, options: None },
            muster_planner::RemovePolicy::Delete(options) => Self {
                policy: RemovalPolicy::Delete,
                options: options.as_object().filter(|options| !options.is_empty()).cloned(),
            },
        }
    }
}
