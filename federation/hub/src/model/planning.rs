//! From inputs to plans, and from plans to what views show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use muster_crds::names::{ClusterName, ObjectKey};
use muster_planner::{Capacity, ClusterPlan, Inventory, Observed, Plan, Policies, Preference, content_hash};
use serde_json::Value;

use super::document::Rendering;
use super::input::{Feed, ObjectInput};
use super::intent::{Desired, Intent, Removal, RemovalPolicy};
use super::kind::KindId;
use super::object::Object;
use super::report::Knowledge;
use super::timers::Timer;
use super::view::{Entry, NewEntry, SourceRef, stable_uid};
use super::writes::WriteKey;
use super::{Member, Model};
use crate::model::status::ANSWER_TIMEOUT;

/// The most clusters that a log line names.
const MAX_LOGGED: usize = 8;

/// What is to be done with one view's entry.
enum Step {
    /// It says this from now on.
    Put(Intent),
    /// It goes.
    Drop,
    /// It stays as it is, also when there is none.
    Keep,
}

impl Model {
    /// Takes federated objects.
    pub(super) fn objects(&mut self, id: &KindId, feed: Feed<ObjectKey, ObjectInput>, now: Timestamp) {
        match feed {
            Feed::Reset(all) => {
                let Some(kind) = self.kinds.get_mut(id) else { return };
                kind.unreadable = None;
                let first = !std::mem::replace(&mut kind.synced, true);
                let listed: BTreeSet<&ObjectKey> = all.iter().map(|one| &one.head.key).collect();
                let gone: Vec<ObjectKey> =
                    kind.objects.keys().filter(|key| !listed.contains(key)).cloned().collect();
                for key in gone {
                    self.forget_object(id, &key, now);
                }
                for one in all {
                    self.take_object(id, one, now);
                }
                if first {
                    self.touch_all();
                    self.plan_kind(id, now);
                }
            }
            Feed::Applied(one) => self.take_object(id, one, now),
            Feed::Deleted(key) => self.forget_object(id, &key, now),
        }
    }

    /// A kind of federated objects cannot be read: its views are not served, and the other kinds go on.
    pub(super) fn unreadable(&mut self, id: &KindId, why: String) {
        let Some(kind) = self.kinds.get_mut(id) else { return };
        if kind.unreadable.as_ref() == Some(&why) {
            return;
        }
        kind.unreadable = Some(why.clone());
        self.decide("kind unreadable", id, why);
    }

    /// Takes one federated object, from a watch or from what a write returned.
    pub(super) fn take_object(&mut self, id: &KindId, input: ObjectInput, now: Timestamp) {
        let Some(kind) = self.kinds.get_mut(id) else { return };
        let key = input.head.key.clone();
        self.changes.dirty.insert(WriteKey::Object(id.clone(), key.clone()));
        if let Some(object) = kind.objects.get_mut(&key)
            && object.head.uid == input.head.uid
        {
            if object.head.is_newer_than(&input.head) {
                return;
            }
            let same = object.head.same_for_planning(&input.head);
            object.orphaned |= input.head.is_orphaning();
            if !same && let Ok(parsed) = input.parse(&kind.names) {
                object.set_parsed(parsed);
            }
            let seats = |status: &muster_crds::types_kubefed::FederatedStatus| {
                status.plan.as_ref().map(|plan| (plan.seats.clone(), plan.basis.clone()))
            };
            let recorded_same = seats(&object.status) == seats(&input.status);
            let finalized_same = object.head.is_finalized() == input.head.is_finalized();
            // Should this record be gone one day, it was lost.
            object.handled_before |= object.status.plan.is_some();
            object.head = input.head;
            object.status = input.status;
            if !same || !recorded_same || !finalized_same {
                self.plan(id, &key, now);
            }
            return;
        }
        // An object that was deleted and created again between two events keeps its name and its place in views.
        match input.parse(&kind.names) {
            Ok(parsed) => {
                let object = Object {
                    parsed: Arc::new(parsed),
                    handled_before: input.head.is_finalized(),
                    orphaned: input.head.is_orphaning(),
                    found: input.status.clone(),
                    head: input.head,
                    status: input.status,
                    first_seen: now,
                    plan: None,
                    removed: BTreeSet::new(),
                    shown: BTreeMap::new(),
                    written: None,
                    recorded: None,
                    refused: None,
                };
                kind.objects.insert(key.clone(), object);
                self.plan(id, &key, now);
            }
            Err(error) => self.decide("object refused", &key, error.to_string()),
        }
    }

    /// A federated object is gone. What members still hold of it is remembered by a tombstone, so that nothing becomes
    /// an orphan because somebody took the finalizer away.
    fn forget_object(&mut self, id: &KindId, key: &ObjectKey, now: Timestamp) {
        let Some(object) = self.kinds.get_mut(id).and_then(|kind| kind.objects.remove(key)) else { return };
        self.timers.set(Timer::Plan(id.clone(), key.clone()), None);
        self.timers.set(Timer::Status(id.clone(), key.clone()), None);
        let holders = self.holders(id, key, None);
        self.decide("object gone", key, format!("{} clusters may still hold it", holders.len()));
        let removal = match &object.parsed.on_delete {
            Ok(policy) => Removal::of(policy),
            Err(_) => Removal { policy: RemovalPolicy::Orphan, options: None },
        };
        if !holders.is_empty() {
            let source = self.source_of(id, &object.head.uid, key, object.head.created.clone());
            self.bury(id, key, &source, &removal, holders, now);
        }
    }

    /// Plans every object again.
    pub(super) fn plan_all(&mut self, now: Timestamp) {
        for id in self.kind_ids() {
            self.plan_kind(&id, now);
        }
    }

    /// Plans every object of a kind again.
    pub(super) fn plan_kind(&mut self, id: &KindId, now: Timestamp) {
        if !self.is_ready(id) {
            return;
        }
        self.touch_all();
        let keys: Vec<ObjectKey> =
            self.kinds.get(id).map(|kind| kind.objects.keys().cloned().collect()).unwrap_or_default();
        for key in keys {
            self.plan(id, &key, now);
        }
    }

    /// Plans one object, and shows what may be shown of the plan.
    pub(super) fn plan(&mut self, id: &KindId, key: &ObjectKey, now: Timestamp) {
        if !self.is_ready(id) {
            return;
        }
        let enabled = self.is_enabled(id);
        let Some(object) = self.object(id, key) else { return };
        let plan = enabled.then(|| {
            let observed = self.observe(id, key, object);
            let preference = self.preferences.get(key).filter(|one| object.parsed.is_target_of(one));
            let preference: Option<&Preference> = preference.map(|one| &**one);
            muster_planner::plan(
                &self.fleet,
                &object.parsed,
                preference,
                &observed,
                &self.settings.planner,
                now,
            )
        });
        let seats = |plan: &Plan| {
            let seats = plan.seats.iter().take(MAX_LOGGED).map(|(name, seats)| format!("{name}={seats}"));
            format!("{} shortage={}", seats.collect::<Vec<_>>().join(" "), plan.shortage)
        };
        let before = object.plan.as_ref().map(seats);
        let after = plan.as_ref().map(seats);
        let wake = plan.as_ref().and_then(|plan| plan.wait.as_ref()).map(|wait| wait.until);
        self.timers.set(Timer::Plan(id.clone(), key.clone()), wake.filter(|at| *at > now));
        if before != after {
            self.decide("planned", key, after.unwrap_or_else(|| "propagation is disabled".to_owned()));
        }
        if let Some(object) = self.kinds.get_mut(id).and_then(|kind| kind.objects.get_mut(key)) {
            object.plan = plan;
        }
        self.show(id, key, now);
        self.bury_lost(id, key, now);
        self.changes.dirty.insert(WriteKey::Object(id.clone(), key.clone()));
    }

    /// What is recorded and reported about one object.
    fn observe(&self, id: &KindId, key: &ObjectKey, object: &Object) -> Observed {
        let recorded = muster_planner::input::recorded(&object.status);
        let mut observed = Observed {
            seats: recorded.seats,
            basis: recorded.basis,
            removing: recorded.removing,
            handled_before: object.handled_before,
            first_seen: object.first_seen,
            ..Observed::default()
        };
        for (name, member) in &self.members {
            let inventory = match (member.report(id, key), member.knows(id, key)) {
                _ if object.removed.contains(name) => Some(Inventory::Removed),
                (Some(held), _) => Some(Inventory::Holds { replicas: held.said.replicas() }),
                (None, Knowledge::HoldsNothing) => Some(Inventory::Nothing),
                (None, _) => None,
            };
            observed.inventory.extend(inventory.map(|inventory| (name.clone(), inventory)));
            observed.capacity.extend(member.capacity(id, key).map(|room| (name.clone(), room)));
            let removing =
                member.view.get(id, key).is_some_and(|entry| matches!(entry.intent, Intent::Remove(_)));
            if removing {
                observed.removing.insert(name.clone());
            }
        }
        observed.removing.retain(|name| !object.removed.contains(name));
        observed
    }

    /// Brings every view in line with the newest plan, as far as it may be shown.
    pub(super) fn show(&mut self, id: &KindId, key: &ObjectKey, now: Timestamp) {
        let Some(object) = self.object(id, key) else { return };
        let source = self.source_of(id, &object.head.uid, key, object.head.created.clone());
        let mut bodies: Vec<Arc<Desired>> = Vec::new();
        let mut steps: Vec<(ClusterName, Step)> = Vec::new();
        for (name, member) in &self.members {
            let entry = member.view.get(id, key);
            let step = match &object.plan {
                None => disabled(entry, member.knows(id, key)),
                Some(plan) => {
                    let buried = self.is_buried(id, key, name);
                    let at = Place { id, key, name, member, entry: entry.map(|entry| &**entry), buried };
                    at.step(object, plan, &mut bodies)
                }
            };
            steps.push((name.clone(), step));
        }
        let mut changed = Vec::new();
        let mut uncovered = Vec::new();
        for (name, step) in steps {
            let Some(member) = self.members.get_mut(&name) else { continue };
            let versions = &mut self.versions;
            let (done, word) = match step {
                Step::Keep => continue,
                Step::Drop => {
                    uncovered.push(name.clone());
                    (member.view.remove(id, key, || versions.take()), "-")
                }
                Step::Put(intent) => {
                    let word = intent.word();
                    let applies = matches!(intent, Intent::Apply(_));
                    let uid = stable_uid(&[&self.hub_uid, &member.input.uid, id.as_str(), &key.to_string()]);
                    let new = NewEntry { key: key.clone(), source: Arc::clone(&source), uid, intent };
                    let done = member.view.put(id, new, || versions.take());
                    if done {
                        let status = member.report(id, key).and_then(|held| held.said.status.clone());
                        member.view.show_status(id, key, status);
                    }
                    if applies {
                        self.exhume(id, key, &name);
                        if let Some(object) =
                            self.kinds.get_mut(id).and_then(|kind| kind.objects.get_mut(key))
                        {
                            object.removed.remove(&name);
                        }
                    }
                    (done, word)
                }
            };
            if done {
                changed.push(format!("{name}={word}"));
                self.touched.insert(name.clone());
                let object = self.kinds.get_mut(id).and_then(|kind| kind.objects.get_mut(key));
                if let Some(object) = object {
                    object.shown.insert(name, now);
                }
            }
        }
        for name in uncovered {
            self.show_tombstones(&name);
        }
        if !changed.is_empty() {
            let more = changed.len().saturating_sub(MAX_LOGGED);
            changed.truncate(MAX_LOGGED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.decide("views changed", key, format!("{}{more}", changed.join(" ")));
            // A cluster that does not answer is called a timeout in status.
            let late = now.checked_add(ANSWER_TIMEOUT).ok();
            self.timers.set(Timer::Status(id.clone(), key.clone()), late);
        }
    }

    /// Members whose view says something about an object; those covered by a stored tombstone are left out if it is
    /// the deletion of the object `uid` that is asked about.
    pub(super) fn holders(&self, id: &KindId, key: &ObjectKey, uid: Option<&str>) -> BTreeSet<ClusterName> {
        let covered = |name: &ClusterName| uid.is_some() && self.is_stored_in_tombstone(id, key, name);
        let holding = self.members.iter().filter(|(_, member)| member.view.get(id, key).is_some());
        holding.map(|(name, _)| name).filter(|name| !covered(name)).cloned().collect()
    }

    /// How views name a federated object.
    pub(super) fn source_of(
        &self,
        id: &KindId,
        uid: &str,
        key: &ObjectKey,
        created: Option<Time>,
    ) -> Arc<SourceRef> {
        let names = self.kinds.get(id).map(|kind| &kind.names.federated);
        let (group, kind) = names.map_or(("", ""), |names| (names.group.as_str(), names.kind.as_str()));
        let namespace = key.namespace.as_ref().map_or("", |namespace| namespace.as_str());
        Arc::new(SourceRef {
            created,
            uid: uid.to_owned(),
            path: format!("{group}/{kind}/{namespace}/{}", key.name),
        })
    }
}

/// One object in one view.
struct Place<'a> {
    id: &'a KindId,
    key: &'a ObjectKey,
    name: &'a ClusterName,
    member: &'a Member,
    entry: Option<&'a Entry>,
    buried: bool,
}

impl Place<'_> {
    fn step(&self, object: &Object, plan: &Plan, bodies: &mut Vec<Arc<Desired>>) -> Step {
        let recorded = object.is_recorded();
        let deleting = object.head.deletion.is_some();
        let removed = object.removed.contains(self.name);
        let Some(planned) = plan.clusters.get(self.name) else {
            return self.unplanned(object, recorded || deleting, removed);
        };
        match &planned.intent {
            muster_planner::Intent::Apply(_) if !recorded => self.not_recorded(),
            muster_planner::Intent::Apply(_) => match self.desired(object, plan, planned, bodies) {
                Ok(desired) => Step::Put(Intent::Apply(desired)),
                Err(error) => Step::Put(Intent::hold("ComputeResourceFailed", error.to_string())),
            },
            muster_planner::Intent::Hold(_) if self.buried => Step::Keep,
            muster_planner::Intent::Hold(reason) => {
                Step::Put(Intent::hold(reason.code.as_str(), &reason.message))
            }
            muster_planner::Intent::Remove(_) if removed => Step::Drop,
            muster_planner::Intent::Remove(_) if self.buried => Step::Keep,
            muster_planner::Intent::Remove(policy) if recorded || deleting => {
                Step::Put(Intent::Remove(Removal::of(policy)))
            }
            muster_planner::Intent::Remove(_) => self.not_recorded(),
        }
    }

    /// The plan is not recorded yet: what is shown stays, and where nothing is shown the agent must not take that for
    /// a wish to have nothing.
    fn not_recorded(&self) -> Step {
        match (self.entry, self.member.knows(self.id, self.key)) {
            (Some(_), _) | (None, Knowledge::HoldsNothing) => Step::Keep,
            (None, _) => Step::Put(Intent::hold("NotRecorded", "the plan is not recorded yet")),
        }
    }

    /// The plan has no use for this cluster.
    fn unplanned(&self, object: &Object, recorded: bool, removed: bool) -> Step {
        let Some(entry) = self.entry else { return Step::Keep };
        let never_held =
            !entry.was_applied() && self.member.knows(self.id, self.key) == Knowledge::HoldsNothing;
        match &entry.intent {
            Intent::Remove(_) if self.buried => Step::Keep,
            _ if removed || never_held => Step::Drop,
            Intent::Remove(_) => Step::Keep,
            // A body was served in this term: the member may be making it now, and has not said so yet.
            _ if recorded => match &object.parsed.on_leave {
                Ok(policy) => Step::Put(Intent::Remove(Removal::of(policy))),
                Err(error) => Step::Put(Intent::hold("InvalidInput", error.to_string())),
            },
            _ => Step::Keep,
        }
    }

    fn desired(
        &self,
        object: &Object,
        plan: &Plan,
        planned: &ClusterPlan,
        bodies: &mut Vec<Arc<Desired>>,
    ) -> Result<Arc<Desired>, muster_planner::RenderError> {
        let same = |desired: &Arc<Desired>| {
            Arc::ptr_eq(&desired.rendering.object, &object.parsed)
                && desired.rendering.plan.intent == planned.intent
                && desired.adopt == plan.adopt.as_str()
                && desired.retain == planned.retain
        };
        // Rendered before, for another cluster or for an earlier plan.
        let shown = match self.entry.map(|entry| &entry.intent) {
            Some(Intent::Apply(desired)) => Some(desired),
            _ => None,
        };
        if let Some(known) = bodies.iter().chain(shown).find(|desired| same(desired)) {
            return Ok(Arc::clone(known));
        }
        let rendering = Rendering { object: Arc::clone(&object.parsed), plan: Arc::new(planned.clone()) };
        let body = rendering.body()?;
        let policies = Policies { adopt: plan.adopt, retain: planned.retain };
        let labels = body.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
        let desired = Arc::new(Desired {
            hash: content_hash(&body, &policies),
            labels: labels
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            adopt: plan.adopt.as_str().to_owned(),
            retain: planned.retain.iter().map(|path| (*path).to_owned()).collect(),
            rendering,
        });
        bodies.push(Arc::clone(&desired));
        Ok(desired)
    }
}

/// A kind that is switched off stops being mirrored, and everything stays as it is.
fn disabled(entry: Option<&Arc<Entry>>, knows: Knowledge) -> Step {
    if entry.is_none() && knows == Knowledge::HoldsNothing {
        return Step::Keep;
    }
    Step::Put(Intent::hold("PropagationDisabled", "the FederatedTypeConfig of this kind is Disabled"))
}

// === impl Member ===

impl Member {
    /// Room for one object, as far as the member's heartbeat tells: `capacity.<plural.group>.<namespace/name>`.
    pub(super) fn capacity(&self, id: &KindId, key: &ObjectKey) -> Option<Capacity> {
        let room = self.about.capacity.get(id.as_str())?.get(key.to_string())?;
        let count = |field: &str| {
            room.get(field).and_then(Value::as_u64).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
        };
        Some(Capacity {
            replicas: count("replicas")?,
            unacknowledged: count("unacknowledged").unwrap_or(0),
            unscheduled: count("unscheduled").unwrap_or(0),
        })
    }
}
