//! The plan of one federated object: which situation it is in, and what follows for every cluster.

mod conditions;
mod explain;
mod leaving;
mod seats;
mod standing;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use muster_crds::ClusterName;
use serde_json::json;

use self::seats::{Allotment, Seating};
use self::standing::{Part, Standing};
use crate::error::InputError;
use crate::model::{Basis, Contact, DivisionKind, FederatedObject, Fleet, Observed, Preference, Settings};
use crate::placement::{self, Placed};
use crate::reason::{Reason, ReasonCode, Wait, listed};
use crate::result::{ClusterPlan, Intent, Plan};

/// Path that a member owns when the hub does not own replicas.
const REPLICAS_PATH: &str = "/spec/replicas";

/// Plans one federated object.
///
/// `preference` is the one of the same namespace and name, if there is one; it is looked at only when it is about this
/// object ([`FederatedObject::is_target_of`]). Never panics: what cannot be computed is [`Intent::Hold`], and the
/// condition `Planned` says what is wrong, naming object and field.
pub fn plan(
    fleet: &Fleet,
    object: &FederatedObject,
    preference: Option<&Preference>,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> Plan {
    let placed = placement::resolve(fleet, object, observed);
    let preference = preference.filter(|preference| object.is_target_of(preference));
    let snapshot = Snapshot { fleet, object, preference, observed, placed };
    match snapshot.situation(settings, now) {
        Situation::Hold { reason, everywhere } => snapshot.hold(&reason, everywhere, None),
        Situation::Wait(wait) => snapshot.hold(&wait.reason.clone(), false, Some(wait)),
        Situation::Delete => snapshot.delete(),
        Situation::Divide(mode) => snapshot.seat(mode),
    }
}

/// Everything one plan is made from.
struct Snapshot<'a> {
    fleet: &'a Fleet,
    object: &'a FederatedObject,
    preference: Option<&'a Preference>,
    observed: &'a Observed,
    placed: Placed,
}

/// What is to be done about the object as a whole.
enum Situation<'a> {
    /// Nothing, in the placed clusters or in all.
    Hold { reason: Reason, everywhere: bool },
    /// Nothing yet.
    Wait(Wait),
    /// Remove it wherever it is.
    Delete,
    /// Give every placed cluster its seats.
    Divide(Mode<'a>),
}

/// How replicas become seats.
#[derive(Clone, Copy)]
enum Mode<'a> {
    /// The kind has none.
    NoReplicas,
    /// Every cluster gets this many.
    Duplicate { replicas: u32, asked: bool },
    /// Every cluster keeps what it has: the preference that divided them was deleted.
    Keep { replicas: u32 },
    /// They are divided.
    Divide { preference: &'a Preference, replicas: u32, total: u32 },
}

impl<'a> Snapshot<'a> {
    fn situation(&self, settings: &Settings, now: Timestamp) -> Situation<'a> {
        if self.object.suspended {
            let mut message = "the object is suspended: nothing is written".to_owned();
            if self.object.deleting {
                message.push_str("; remove muster.dev/suspend to finish its deletion");
            }
            let reason = Reason::new(ReasonCode::Suspended, message);
            return Situation::Hold { reason, everywhere: true };
        }
        if self.object.deleting {
            return match &self.object.on_delete {
                Ok(_) => Situation::Delete,
                Err(error) => Situation::Hold { reason: invalid(error), everywhere: true },
            };
        }
        if let Some(error) = &self.object.placement_error {
            return Situation::Hold { reason: invalid(error), everywhere: true };
        }
        if let Some(error) = self.object.errors.first() {
            return Situation::Hold { reason: invalid(error), everywhere: false };
        }
        let Some(replicas) = self.object.replicas else { return Situation::Divide(Mode::NoReplicas) };
        if self.object.duplicate {
            return Situation::Divide(Mode::Duplicate { replicas, asked: true });
        }
        if let Some(preference) = self.preference {
            if let Some(error) = preference.errors.first() {
                return Situation::Hold { reason: invalid(error), everywhere: false };
            }
            if let Some(reason) = self.lost_record() {
                return Situation::Hold { reason, everywhere: false };
            }
            let total = preference.total.unwrap_or(replicas);
            return Situation::Divide(Mode::Divide { preference, replicas, total });
        }
        let divided = self.basis(DivisionKind::Divided, replicas);
        if self.observed.basis == Some(divided) {
            return Situation::Divide(Mode::Keep { replicas });
        }
        match self.delay(settings, now) {
            Some(wait) => Situation::Wait(wait),
            None => Situation::Divide(Mode::Duplicate { replicas, asked: false }),
        }
    }

    /// Why nothing can be divided: the recorded seats are gone, and not every cluster has said what it holds.
    ///
    /// One that has not may hold any number of them. To keep its share free is not enough: if it holds more, the
    /// others would have grown into it, and something that runs would have to go.
    fn lost_record(&self) -> Option<Reason> {
        if self.observed.seats.is_some() || !self.observed.handled_before {
            return None;
        }
        let unheard: Vec<&ClusterName> =
            self.placed.clusters.iter().filter(|name| self.is_unheard(name)).collect();
        (!unheard.is_empty()).then(|| {
            let text = format!(
                "the recorded seats are gone, and {} has not yet reported what it holds: nothing changes anywhere until then; {} gives up the seats of a lost cluster",
                listed(unheard),
                muster_crds::keys::annotation::RELEASE_SEATS,
            );
            Reason::new(ReasonCode::AwaitingInventory, text)
        })
    }

    /// Whether nobody knows what a cluster holds, and nobody gave it up.
    fn is_unheard(&self, name: &ClusterName) -> bool {
        let Some(member) = self.fleet.clusters.get(name) else { return false };
        let released = member.release_seats || self.object.release.covers(name);
        let given_up = member.contact == Contact::Lost && released;
        !self.observed.inventory.contains_key(name) && !given_up
    }

    /// The wait for a preference before the first plan of an object in several clusters.
    fn delay(&self, settings: &Settings, now: Timestamp) -> Option<Wait> {
        let planned_before = self.observed.seats.as_ref().is_some_and(|seats| !seats.is_empty());
        if planned_before || self.placed.clusters.len() < 2 {
            return None;
        }
        let until = self.observed.first_seen.checked_add(settings.plan_delay).ok()?;
        let reason = Reason::new(
            ReasonCode::PlanDelay,
            format!(
                "waiting until {until} for a ReplicaSchedulingPreference named {}; {}: {} starts all replicas in every cluster at once",
                self.object.key,
                muster_crds::keys::annotation::DIVISION,
                muster_crds::keys::annotation::DIVISION_DUPLICATE,
            ),
        );
        (now < until).then_some(Wait { until, reason })
    }

    /// A plan that changes nothing in the placed clusters, or in any.
    fn hold(&self, reason: &Reason, everywhere: bool, wait: Option<Wait>) -> Plan {
        let mut plan = self.empty();
        for name in self.fleet.clusters.keys() {
            let placed = self.placed.clusters.contains(name);
            if placed || everywhere && (self.object.placement_error.is_some() || self.is_concerned(name)) {
                let replicas = self.recorded(name).unwrap_or(0);
                plan.clusters.insert(name.clone(), ClusterPlan::hold(placed, replicas, reason.clone()));
            } else if !everywhere {
                plan.clusters.extend(leaving::leaving(self, name));
            }
        }
        let absent = self.placed.absent.iter().filter_map(|name| Some((name, self.recorded(name)?)));
        plan.clusters.extend(absent.map(|(name, seats)| {
            (name.clone(), ClusterPlan::hold(true, seats, standing::not_registered(seats)))
        }));
        plan.total = plan.placed_replicas();
        plan.conditions = conditions::held(self, reason);
        plan.wait = wait;
        plan
    }

    fn delete(&self) -> Plan {
        let mut plan = self.empty();
        // Nobody is there to be waited for.
        plan.seats.retain(|name, _| self.fleet.clusters.contains_key(name));
        plan.clusters.extend(self.fleet.clusters.keys().filter_map(|name| leaving::deleting(self, name)));
        plan.conditions = conditions::deleting(plan.clusters.keys());
        plan
    }

    fn seat(&self, mode: Mode<'_>) -> Plan {
        let placed: BTreeSet<&ClusterName> = self.placed.clusters.union(&self.placed.absent).collect();
        let standings: Vec<Standing<'_>> =
            placed.into_iter().filter_map(|name| Standing::of(self, name, mode)).collect();
        let Seating { allotments, total, shortage, findings } = seats::seat(self, mode, &standings);
        let mut plan = Plan { total, shortage, seats: BTreeMap::new(), ..self.empty() };
        for (standing, allotment) in standings.iter().zip(&allotments) {
            // What a held cluster will get is not recorded as if it had it.
            if standing.hold.is_none() || standing.recorded.is_some() {
                plan.seats.insert(standing.name.clone(), allotment.seats);
            }
            plan.clusters.insert(standing.name.clone(), self.cluster_plan(standing, allotment));
        }
        for name in self.fleet.clusters.keys().filter(|name| !self.placed.clusters.contains(*name)) {
            plan.clusters.extend(leaving::leaving(self, name));
        }
        plan.conditions = conditions::seated(self, mode, &standings, &allotments, &plan, &findings);
        plan.basis = match mode {
            Mode::NoReplicas => None,
            Mode::Keep { .. } => self.observed.basis,
            Mode::Duplicate { replicas, .. } => Some(self.basis(DivisionKind::Duplicated, replicas)),
            Mode::Divide { replicas, .. } => Some(self.basis(DivisionKind::Divided, replicas)),
        };
        plan
    }

    fn cluster_plan(&self, standing: &Standing<'_>, allotment: &Allotment) -> ClusterPlan {
        let mut reasons = allotment.reasons.clone();
        let retained =
            self.object.retain_replicas && self.object.replicas.is_some() && standing.pin().is_none();
        let intent = match &standing.hold {
            Some(hold) => {
                let reason = hold.reason(allotment.seats);
                reasons.insert(0, reason.clone());
                Intent::Hold(reason)
            }
            None => Intent::Apply(self.patch(standing, allotment.seats)),
        };
        if retained {
            reasons.push(Reason::new(
                ReasonCode::RetainReplicas,
                "spec.retainReplicas: the member owns the number once its object exists",
            ));
        }
        ClusterPlan {
            placed: true,
            intent,
            replicas: allotment.seats,
            retain: if retained { &[REPLICAS_PATH] } else { &[] },
            reasons,
        }
    }

    /// Replicas first, so that an override finds the field it replaces, then the overrides.
    fn patch(&self, standing: &Standing<'_>, seats: u32) -> Patch {
        let replicas = || {
            let path = PointerBuf::from_tokens(["spec", "replicas"]);
            PatchOperation::Add(AddOperation { path, value: json!(seats) })
        };
        let mut patch = Vec::new();
        let replicated = self.object.replicas.is_some();
        if replicated {
            patch.push(replicas());
        }
        patch.extend(standing.overrides.iter().flat_map(|entry| entry.patch.iter().cloned()));
        // A cluster that keeps its seats keeps them also when its override asks for another number meanwhile.
        if replicated && standing.pin().is_some_and(|pin| pin != seats) {
            patch.push(replicas());
        }
        Patch(patch)
    }

    /// A plan in which no cluster does anything and the records stay as they are.
    fn empty(&self) -> Plan {
        let mut seats = self.observed.seats.clone().unwrap_or_default();
        seats.retain(|name, _| self.fleet.clusters.contains_key(name) || self.placed.absent.contains(name));
        Plan {
            clusters: BTreeMap::new(),
            total: 0,
            shortage: 0,
            conditions: Vec::new(),
            wait: None,
            seats,
            basis: self.observed.basis,
            adopt: self.object.adopt,
        }
    }

    fn basis(&self, division: DivisionKind, replicas: u32) -> Basis {
        Basis { division, replicas, placement: self.object.placement_hash }
    }

    fn recorded(&self, name: &ClusterName) -> Option<u32> {
        self.observed.seats.as_ref().and_then(|seats| seats.get(name)).copied()
    }

    /// Whether the cluster has, or may have, something of this object.
    fn is_concerned(&self, name: &ClusterName) -> bool {
        leaving::is_concerned(self, name)
    }
}

impl ClusterPlan {
    fn hold(placed: bool, replicas: u32, reason: Reason) -> Self {
        Self { placed, intent: Intent::Hold(reason.clone()), replicas, retain: &[], reasons: vec![reason] }
    }
}

fn invalid(error: &InputError) -> Reason {
    Reason::new(ReasonCode::InvalidInput, error.to_string())
}

/// Names of the standings that a test picks, for messages.
fn names_of(standings: &[Standing<'_>], pick: impl Fn(usize, &Standing<'_>) -> bool) -> Option<String> {
    let names: Vec<&ClusterName> = standings
        .iter()
        .enumerate()
        .filter(|(at, standing)| pick(*at, standing))
        .map(|(_, standing)| standing.name)
        .collect();
    (!names.is_empty()).then(|| listed(names))
}

/// Whether seats of the standing are decided by the division.
fn is_open(standing: &Standing<'_>) -> bool {
    matches!(standing.part, Part::Open)
}
