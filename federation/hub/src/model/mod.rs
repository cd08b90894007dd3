//! The hub's model: what is registered, wanted, planned, shown and reported.
//!
//! Plain structs with one writer and no client: [`Model::apply`] takes an event and a time, and says what has to be
//! written to the hub API. Views change inside it. Tests call it.

mod cause;
mod document;
mod fleet;
mod input;
mod intent;
mod kind;
mod member;
mod object;
mod planning;
mod report;
mod reporting;
mod status;
#[cfg(test)]
mod tests;
mod timers;
mod tombstone;
mod type_config;
mod version;
pub mod view;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use muster_apiserver::{Collection, GroupResource};
use muster_crds::names::{ClusterName, Namespace, ObjectKey};
use muster_planner::{Fleet, Placement, Preference};

pub use document::Rendering;
pub(crate) use input::lenient;
pub use input::{Feed, Head, ObjectInput, TypeConfigInput};
pub use intent::{Desired, Hold, Intent, Removal, RemovalPolicy};
pub use kind::{FederatedKind, KindId, KindNames};
pub use member::{About, ClusterInput, Member};
pub use object::Object;
pub use report::{MAX_ITEMS, Rejected, ReportList};
pub use reporting::{Heartbeat, ReportAnswer};
pub use status::{PENDING, STALE};
pub use tombstone::TombstoneInput;
pub use version::Versions;
pub use view::{Entry, View};
pub use writes::{NextWrite, Outcome, Write, WriteKey};

use self::timers::{Timer, Timers};
use self::tombstone::Tombstone;
use self::view::ViewAbout;
use crate::Settings;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// KubeFedClusters.
    Clusters(Feed<ClusterName, ClusterInput>),
    /// FederatedTypeConfigs.
    TypeConfigs(Feed<String, TypeConfigInput>),
    /// ReplicaSchedulingPreferences.
    Preferences(Feed<ObjectKey, Arc<Preference>>),
    /// Placements of namespaces (FederatedNamespace).
    Namespaces(Feed<Namespace, (Namespace, Placement)>),
    /// Tombstones.
    Tombstones(Feed<String, TombstoneInput>),
    /// Federated objects of one kind.
    Objects(KindId, Feed<ObjectKey, ObjectInput>),
    /// A kind of federated objects cannot be read, such as when its definition is missing.
    Unreadable(KindId, String),
    /// A write was tried.
    Written(WriteKey, Outcome),
    /// Time passed.
    Tick,
}

/// A feed that has to be complete before anything is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// KubeFedClusters.
    Clusters,
    /// FederatedTypeConfigs.
    TypeConfigs,
    /// ReplicaSchedulingPreferences.
    Preferences,
    /// FederatedNamespaces.
    Namespaces,
    /// Tombstones.
    Tombstones,
}

/// What follows from an event, outside of the model.
#[derive(Debug, Default)]
pub struct Changes {
    /// What may have to be written; [`Model::next_write`] says whether, when and what.
    pub dirty: BTreeSet<WriteKey>,
    /// What was decided, for the log.
    pub decisions: Vec<Decision>,
}

/// One decision, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What was decided.
    pub what: &'static str,
    /// On which object.
    pub about: String,
    /// Why, and the numbers.
    pub details: String,
}

/// What a view can serve of a resource.
pub enum Served {
    /// This.
    Collection(Collection),
    /// Its content is not complete yet.
    NotSynced,
    /// No such resource.
    NotServed,
    /// There is no such member (any more).
    Closed,
}

/// One federated kind and its objects.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) names: FederatedKind,
    pub(crate) target: Arc<KindNames>,
    pub(crate) synced: bool,
    /// Why it cannot be read.
    pub(crate) unreadable: Option<String>,
    pub(crate) objects: BTreeMap<ObjectKey, Object>,
}

/// The hub's model.
pub struct Model {
    settings: ModelSettings,
    hub_uid: String,
    started: Timestamp,
    versions: Versions,
    members: BTreeMap<ClusterName, Member>,
    kinds: BTreeMap<KindId, Kind>,
    type_configs: BTreeMap<String, TypeConfigInput>,
    preferences: BTreeMap<ObjectKey, Arc<Preference>>,
    tombstones: BTreeMap<String, Tombstone>,
    fleet: Fleet,
    unread: BTreeSet<Source>,
    timers: Timers,
    /// Views whose `current` has to be published.
    touched: BTreeSet<ClusterName>,
    changes: Changes,
}

/// [`Settings`] as the model computes with them.
#[derive(Debug, Clone)]
struct ModelSettings {
    planner: muster_planner::Settings,
    lost_after: SignedDuration,
    status_interval: SignedDuration,
    stale_after: SignedDuration,
    tombstone_ttl: SignedDuration,
}

// === impl Model ===

impl Model {
    /// An empty model of a term that begins now.
    pub fn new(
        settings: &Settings,
        kinds: Vec<FederatedKind>,
        hub_uid: &str,
        epoch: u64,
        now: Timestamp,
    ) -> Self {
        let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let settings = ModelSettings {
            planner: muster_planner::Settings { plan_delay: signed(settings.plan_delay) },
            lost_after: signed(settings.lost_after),
            status_interval: signed(settings.status_interval),
            stale_after: signed(settings.stale_after),
            tombstone_ttl: signed(settings.tombstone_ttl),
        };
        let mut timers = Timers::default();
        timers.set(Timer::Stale, now.checked_add(settings.stale_after).ok());
        let kinds = kinds.into_iter().map(|names| {
            let target = Arc::new(names.target.clone());
            (names.id(), Kind { names, target, synced: false, unreadable: None, objects: BTreeMap::new() })
        });
        Self {
            settings,
            hub_uid: hub_uid.to_owned(),
            started: now,
            versions: Versions::new(epoch),
            members: BTreeMap::new(),
            kinds: kinds.collect(),
            type_configs: BTreeMap::new(),
            preferences: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            fleet: Fleet::default(),
            unread: BTreeSet::from([
                Source::Clusters,
                Source::TypeConfigs,
                Source::Preferences,
                Source::Namespaces,
                Source::Tombstones,
            ]),
            timers,
            touched: BTreeSet::new(),
            changes: Changes::default(),
        }
    }

    /// Takes an event. What it changes in views is served at once; what has to be written is in the answer.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Changes {
        match event {
            Event::Clusters(feed) => self.clusters(feed, now),
            Event::TypeConfigs(feed) => self.type_configs(feed, now),
            Event::Preferences(feed) => self.preferences(feed, now),
            Event::Namespaces(feed) => self.namespaces(feed, now),
            Event::Tombstones(feed) => self.tombstones(feed, now),
            Event::Objects(kind, feed) => self.objects(&kind, feed, now),
            Event::Unreadable(kind, why) => self.unreadable(&kind, why),
            Event::Written(key, outcome) => self.written(&key, outcome, now),
            Event::Tick => {}
        }
        self.due(now);
        self.finish()
    }

    /// Versions handed out so far.
    pub fn versions(&self) -> Versions {
        self.versions
    }

    /// When [`Event::Tick`] is due.
    pub fn next_tick(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// What is not complete yet, in words; empty once views can be served.
    pub fn pending(&self) -> Vec<String> {
        let kinds =
            self.kinds.iter().filter(|(_, kind)| !kind.synced).map(|(id, kind)| match &kind.unreadable {
                Some(why) => format!("{id}: {why}"),
                None => id.to_string(),
            });
        self.unread.iter().map(|source| format!("{source:?}")).chain(kinds).collect()
    }

    /// Whether everything but federated objects was read.
    pub fn is_read(&self) -> bool {
        self.unread.is_empty()
    }

    /// The members.
    pub fn members(&self) -> &BTreeMap<ClusterName, Member> {
        &self.members
    }

    /// The target kinds.
    pub fn targets(&self) -> impl Iterator<Item = &KindNames> {
        self.kinds.values().map(|kind| &*kind.target)
    }

    /// Whether a kind is federated by this hub.
    pub fn federates(&self, kind: &KindId) -> bool {
        self.kinds.contains_key(kind)
    }

    /// One federated object.
    pub fn object(&self, kind: &KindId, key: &ObjectKey) -> Option<&Object> {
        self.kinds.get(kind)?.objects.get(key)
    }

    /// Number of federated objects of each kind.
    pub fn object_counts(&self) -> impl Iterator<Item = (&KindId, usize)> {
        self.kinds.iter().map(|(id, kind)| (id, kind.objects.len()))
    }

    /// What the view of a member can serve of a resource.
    pub fn served(&self, cluster: &ClusterName, resource: &GroupResource) -> Served {
        let Some(member) = self.members.get(cluster) else { return Served::Closed };
        let Some(collection) = member.view.collection(resource) else { return Served::NotServed };
        let kind = KindId::new(&resource.group, &resource.resource);
        if self.kinds.contains_key(&kind) && !self.is_ready(&kind) {
            return Served::NotSynced;
        }
        Served::Collection(collection.clone())
    }

    /// Ends every list and watch of every view.
    pub fn close(&self) {
        for member in self.members.values() {
            member.view.close();
        }
    }

    /// Whether objects of a kind can be planned: everything that decides about them was read.
    fn is_ready(&self, kind: &KindId) -> bool {
        self.unread.is_empty() && self.kinds.get(kind).is_some_and(|kind| kind.synced)
    }

    /// Whether nothing may be removed from members because it is not in their view.
    fn is_complete(&self, kind: &KindId) -> bool {
        self.is_ready(kind) && self.is_enabled(kind)
    }

    fn read(&mut self, source: Source) -> bool {
        self.unread.remove(&source)
    }

    fn preferences(&mut self, feed: Feed<ObjectKey, Arc<Preference>>, now: Timestamp) {
        let keys: BTreeSet<ObjectKey> = match feed {
            Feed::Reset(all) => {
                let before = std::mem::take(&mut self.preferences);
                self.preferences = all.into_iter().map(|one| (one.key.clone(), one)).collect();
                if self.read(Source::Preferences) {
                    return self.plan_all(now);
                }
                before.into_keys().chain(self.preferences.keys().cloned()).collect()
            }
            Feed::Applied(one) => {
                let key = one.key.clone();
                self.preferences.insert(key.clone(), one);
                BTreeSet::from([key])
            }
            Feed::Deleted(key) => {
                self.preferences.remove(&key);
                BTreeSet::from([key])
            }
        };
        for id in self.kind_ids() {
            for key in &keys {
                self.plan(&id, key, now);
            }
        }
    }

    fn namespaces(&mut self, feed: Feed<Namespace, (Namespace, Placement)>, now: Timestamp) {
        match feed {
            Feed::Reset(all) => {
                self.read(Source::Namespaces);
                self.fleet.namespaces = all.into_iter().collect();
            }
            Feed::Applied((name, placement)) => {
                self.fleet.namespaces.insert(name, placement);
            }
            Feed::Deleted(name) => {
                self.fleet.namespaces.remove(&name);
            }
        }
        self.plan_all(now);
    }

    fn due(&mut self, now: Timestamp) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Contact(name) => {
                    self.judge(&name, now);
                    let at =
                        self.members.get(&name).and_then(|member| member.judge_at(self.settings.lost_after));
                    // A clock that does not move on must not make this loop spin.
                    self.timers.set(Timer::Contact(name), at.filter(|at| *at > now));
                }
                Timer::Plan(id, key) => self.plan(&id, &key, now),
                Timer::Status(id, key) => {
                    self.changes.dirty.insert(WriteKey::Object(id, key));
                }
                Timer::Stale => self.dirty_all(),
                Timer::Tombstone(name) => self.expire_tombstone(&name, now),
            }
        }
    }

    fn dirty_all(&mut self) {
        let keys = self.kinds.iter().flat_map(|(id, kind)| {
            kind.objects.keys().map(move |key| WriteKey::Object(id.clone(), key.clone()))
        });
        self.changes.dirty.extend(keys);
    }

    /// Publishes what changed in views as a whole, and hands over what has to be written.
    fn finish(&mut self) -> Changes {
        for name in std::mem::take(&mut self.touched) {
            self.publish(&name);
        }
        std::mem::take(&mut self.changes)
    }

    fn publish(&mut self, name: &ClusterName) {
        let complete: BTreeSet<KindId> =
            self.kinds.keys().filter(|id| self.is_complete(id)).cloned().collect();
        let Some(member) = self.members.get_mut(name) else { return };
        let about = ViewAbout {
            hub_uid: &self.hub_uid,
            epoch: self.versions.epoch(),
            cluster: name.as_str(),
            cluster_uid: &member.input.uid,
            synced: &|id| complete.contains(id),
        };
        let versions = &mut self.versions;
        member.view.publish(&about, || versions.take());
    }

    fn touch_all(&mut self) {
        self.touched.extend(self.members.keys().cloned());
    }

    fn kind_ids(&self) -> Vec<KindId> {
        self.kinds.keys().cloned().collect()
    }

    fn decide(&mut self, what: &'static str, about: &impl std::fmt::Display, details: impl Into<String>) {
        self.changes.decisions.push(Decision { what, about: about.to_string(), details: details.into() });
    }
}
