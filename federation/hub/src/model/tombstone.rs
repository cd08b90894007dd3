//! What is still to be removed from members that were away when their federated object was deleted.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use muster_crds::Tombstone as TombstoneObject;
use muster_crds::muster::TombstoneSpec;
use muster_crds::names::{ClusterName, Namespace, ObjectKey, ObjectName};

use super::input::{Feed, stamp};
use super::intent::{Intent, Removal, RemovalPolicy};
use super::kind::KindId;
use super::timers::Timer;
use super::view::{NewEntry, SourceRef, hex, stable_uid};
use super::writes::WriteKey;
use super::{Model, Source};

/// A tombstone as the hub API has it.
#[derive(Debug, Clone, PartialEq)]
pub struct TombstoneInput {
    /// Its name.
    pub name: String,
    /// Its content.
    pub spec: TombstoneSpec,
}

/// A removal that outlives its federated object.
#[derive(Debug, Clone)]
pub(crate) struct Tombstone {
    pub(crate) kind: KindId,
    pub(crate) key: ObjectKey,
    pub(crate) source: Arc<SourceRef>,
    pub(crate) removal: Removal,
    /// Members that have not confirmed.
    pub(crate) clusters: BTreeSet<ClusterName>,
    pub(crate) expires: Timestamp,
    /// What the hub API holds.
    pub(crate) stored: Option<TombstoneSpec>,
}

// === impl TombstoneInput ===

impl TombstoneInput {
    /// Takes from the API's object what the hub needs.
    pub fn of(object: &TombstoneObject) -> Option<Self> {
        Some(Self { name: object.metadata.name.clone()?, spec: object.spec.clone() })
    }
}

// === impl Tombstone ===

impl Tombstone {
    /// Reads a stored one; `None` if it does not say what to do.
    fn read(input: TombstoneInput, source_path: impl FnOnce(&KindId, &ObjectKey) -> String) -> Option<Self> {
        let spec = &input.spec;
        let (plural, group) = match spec.target.as_deref()?.split_once('.') {
            Some((plural, group)) => (plural, group),
            None => (spec.target.as_deref()?, ""),
        };
        let kind = KindId::new(group, plural);
        let namespace = spec.namespace.as_ref().map(Namespace::new).transpose().ok()?;
        let key = ObjectKey { namespace, name: ObjectName::new(spec.name.as_deref()?).ok()? };
        let policy = RemovalPolicy::parse(spec.policy.as_deref()?)?;
        let options = spec.options.as_ref().and_then(|options| options.as_object().cloned());
        Some(Self {
            source: Arc::new(SourceRef {
                uid: spec.source_uid.clone().unwrap_or_default(),
                path: source_path(&kind, &key),
                created: None,
            }),
            kind,
            key,
            removal: Removal { policy, options },
            clusters: spec.clusters.iter().filter_map(|name| ClusterName::new(name).ok()).collect(),
            expires: spec.expires.as_ref().map_or(Timestamp::MAX, |time| time.0),
            stored: Some(input.spec),
        })
    }

    /// What the hub API should hold.
    pub(crate) fn spec(&self) -> TombstoneSpec {
        TombstoneSpec {
            target: Some(self.kind.to_string()),
            namespace: self.key.namespace.as_ref().map(ToString::to_string),
            name: Some(self.key.name.to_string()),
            source_uid: Some(self.source.uid.clone()),
            policy: Some(self.removal.policy.word().to_owned()),
            options: self.removal.options.clone().map(serde_json::Value::Object),
            clusters: self.clusters.iter().map(ToString::to_string).collect(),
            expires: (self.expires != Timestamp::MAX).then_some(Time(self.expires)),
            malformed: Vec::new(),
        }
    }
}

// === impl Model ===

impl Model {
    pub(super) fn tombstones(&mut self, feed: Feed<String, TombstoneInput>, now: Timestamp) {
        match feed {
            Feed::Reset(all) => {
                let listed: BTreeSet<String> = all.iter().map(|one| one.name.clone()).collect();
                let gone = |(name, one): (&String, &Tombstone)| {
                    (one.stored.is_some() && !listed.contains(name)).then(|| name.clone())
                };
                let gone: Vec<String> = self.tombstones.iter().filter_map(gone).collect();
                for name in gone {
                    self.forget_tombstone(&name);
                }
                for one in all {
                    self.take_tombstone(one, now);
                }
                if self.read(Source::Tombstones) {
                    self.plan_all(now);
                }
            }
            Feed::Applied(one) => self.take_tombstone(one, now),
            Feed::Deleted(name) => self.forget_tombstone(&name),
        }
    }

    pub(super) fn take_tombstone(&mut self, input: TombstoneInput, now: Timestamp) {
        let name = input.name.clone();
        if let Some(known) = self.tombstones.get_mut(&name) {
            // What is known here is newer than what was stored: only this hub writes tombstones.
            known.stored = Some(input.spec);
            let (kind, key) = (known.kind.clone(), known.key.clone());
            self.changes.dirty.insert(WriteKey::Tombstone(name));
            self.changes.dirty.insert(WriteKey::Object(kind, key));
            return;
        }
        let path = |kind: &KindId, key: &ObjectKey| self.source_of(kind, "", key, None).path.clone();
        let Some(tombstone) = Tombstone::read(input, path) else {
            return self.decide("tombstone refused", &name, "it does not say what to remove from where");
        };
        let at = (tombstone.expires != Timestamp::MAX).then(|| tombstone.expires.max(now));
        self.timers.set(Timer::Tombstone(name.clone()), at);
        self.changes.dirty.insert(WriteKey::Tombstone(name.clone()));
        let clusters = tombstone.clusters.clone();
        self.tombstones.insert(name, tombstone);
        for cluster in clusters {
            self.show_tombstones(&cluster);
        }
    }

    /// Remembers what is to be removed from members after the federated object is gone.
    pub(super) fn bury(
        &mut self,
        id: &KindId,
        key: &ObjectKey,
        source: &Arc<SourceRef>,
        removal: &Removal,
        clusters: BTreeSet<ClusterName>,
        now: Timestamp,
    ) {
        let name = tombstone_name(id, key, &source.uid);
        let expires = stamp(now).checked_add(self.settings.tombstone_ttl).unwrap_or(Timestamp::MAX);
        let known = self.tombstones.entry(name.clone()).or_insert_with(|| Tombstone {
            kind: id.clone(),
            key: key.clone(),
            source: Arc::clone(source),
            removal: removal.clone(),
            clusters: BTreeSet::new(),
            expires,
            stored: None,
        });
        let before = known.clusters.len();
        known.clusters.extend(clusters.iter().cloned());
        if known.clusters.len() == before {
            return;
        }
        self.timers.set(Timer::Tombstone(name.clone()), Some(expires));
        let list: Vec<&str> = clusters.iter().map(ClusterName::as_str).collect();
        let details = format!("{} in {} when they return", removal.policy.word(), list.join(" "));
        self.decide("tombstone set", key, details);
        self.changes.dirty.insert(WriteKey::Tombstone(name));
        for cluster in clusters {
            self.show_tombstones(&cluster);
        }
    }

    /// Shows in a view what tombstones ask of its member, unless something newer is shown.
    pub(super) fn show_tombstones(&mut self, cluster: &ClusterName) {
        let Some(member) = self.members.get_mut(cluster) else { return };
        for tombstone in self.tombstones.values().filter(|one| one.clusters.contains(cluster)) {
            let shown = member.view.get(&tombstone.kind, &tombstone.key);
            if shown.is_some_and(|entry| entry.source.uid != tombstone.source.uid) {
                continue;
            }
            let parts =
                [&self.hub_uid, &member.input.uid, tombstone.kind.as_str(), &tombstone.key.to_string()];
            let new = NewEntry {
                key: tombstone.key.clone(),
                source: Arc::clone(&tombstone.source),
                uid: stable_uid(&parts),
                intent: Intent::Remove(tombstone.removal.clone()),
            };
            let versions = &mut self.versions;
            if member.view.put(&tombstone.kind, new, || versions.take()) {
                self.touched.insert(cluster.clone());
            }
        }
    }

    /// A member removed what it was asked to remove.
    pub(super) fn close_tombstone(&mut self, id: &KindId, key: &ObjectKey, cluster: &ClusterName) {
        for (name, tombstone) in &mut self.tombstones {
            if tombstone.kind == *id && tombstone.key == *key && tombstone.clusters.remove(cluster) {
                self.changes.dirty.insert(WriteKey::Tombstone(name.clone()));
            }
        }
    }

    /// A new object of the same name is wanted in the member: what stays there is updated in place.
    pub(super) fn exhume(&mut self, id: &KindId, key: &ObjectKey, cluster: &ClusterName) {
        if self.is_buried(id, key, cluster) {
            self.decide("tombstone overtaken", key, format!("the object is wanted again in {cluster}"));
            self.close_tombstone(id, key, cluster);
        }
    }

    /// Whether a tombstone asks a member to remove an object.
    pub(super) fn is_buried(&self, id: &KindId, key: &ObjectKey, cluster: &ClusterName) -> bool {
        let about = |one: &Tombstone| one.kind == *id && one.key == *key && one.clusters.contains(cluster);
        self.tombstones.values().any(about)
    }

    /// The same, and the hub API knows of it.
    pub(super) fn is_stored_in_tombstone(&self, id: &KindId, key: &ObjectKey, cluster: &ClusterName) -> bool {
        self.tombstones.values().any(|one| {
            let stored = one
                .stored
                .as_ref()
                .is_some_and(|spec| spec.clusters.iter().any(|name| cluster.as_str() == name));
            one.kind == *id && one.key == *key && stored
        })
    }

    /// A member is no member any more: nothing can be removed from it.
    pub(super) fn forget_tombstones_of(&mut self, cluster: &ClusterName) {
        for (name, tombstone) in &mut self.tombstones {
            if tombstone.clusters.remove(cluster) {
                self.changes.dirty.insert(WriteKey::Tombstone(name.clone()));
            }
        }
    }

    pub(super) fn expire_tombstone(&mut self, name: &str, now: Timestamp) {
        let Some(tombstone) = self.tombstones.get(name).filter(|one| one.expires <= now) else { return };
        let list: Vec<&str> = tombstone.clusters.iter().map(ClusterName::as_str).collect();
        let (key, details) = (tombstone.key.clone(), format!("given up in {}", list.join(" ")));
        self.decide("tombstone expired", &key, details);
        self.forget_tombstone(name);
        self.changes.dirty.insert(WriteKey::Tombstone(name.to_owned()));
    }

    /// Drops a tombstone, and the entries that nothing else accounts for.
    fn forget_tombstone(&mut self, name: &str) {
        let Some(tombstone) = self.tombstones.remove(name) else { return };
        self.timers.set(Timer::Tombstone(name.to_owned()), None);
        if self.object(&tombstone.kind, &tombstone.key).is_none() {
            for cluster in &tombstone.clusters {
                self.drop_entry(&tombstone.kind, &tombstone.key, cluster);
            }
        }
    }

    /// Whether the hub API holds another tombstone than it should; `None` for one that should not be there.
    pub(super) fn wanted_tombstone(&self, name: &str) -> Option<&Tombstone> {
        self.tombstones.get(name).filter(|one| !one.clusters.is_empty())
    }

    /// A tombstone was written, or removed.
    pub(super) fn tombstone_written(&mut self, name: &str, stored: Option<TombstoneSpec>) {
        let Some(tombstone) = self.tombstones.get_mut(name) else { return };
        let object = WriteKey::Object(tombstone.kind.clone(), tombstone.key.clone());
        tombstone.stored = stored;
        if tombstone.clusters.is_empty() && tombstone.stored.is_none() {
            self.forget_tombstone(name);
        }
        self.changes.dirty.insert(object);
    }
}

/// Name of the tombstone of one federated object.
fn tombstone_name(id: &KindId, key: &ObjectKey, uid: &str) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(format!("{id}\n{key}\n{uid}").as_bytes())[..16])
}
