//! What one member should hold, with its changes: the content of `/views/<cluster>`.
//!
//! A view holds entries, not objects: an entry is an intent and the means to render the body when somebody asks. The
//! history of each kind is a [`Collection`], which serves lists and watches without the model's lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use muster_apiserver::{Body, Collection, GroupResource, Key, Labels, Object};
use muster_crds::names::ObjectKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::document::{Document, StatusCell};
use super::intent::Intent;
use super::kind::{KindId, KindNames};

/// How many changes of one kind in one view can be replayed to a watch; an older one starts again from a list.
pub const HISTORY: usize = 1024;

/// Group of what only views have.
pub const VIEW_GROUP: &str = muster_crds::keys::group::VIEW;

/// Name of the one object that describes its view.
pub const CURRENT: &str = "current";

/// One object of a view at one version. Never changed: a change is a new entry.
#[derive(Debug)]
pub struct Entry {
    /// Namespace and name, the same in hub and member.
    pub key: ObjectKey,
    /// The federated object this comes from.
    pub source: Arc<SourceRef>,
    /// What the agent is to do.
    pub intent: Intent,
    /// Resource version: that of the change that made this entry.
    pub version: u64,
    /// Hash of the last body that was served, and the version at which it was first served (the generation).
    pub served: Option<(String, u64)>,
    /// Stable uid of (hub, cluster, kind, key).
    pub uid: String,
}

/// The federated object that an entry comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRef {
    /// Its uid.
    pub uid: String,
    /// `<group>/<kind>/<namespace>/<name>`.
    pub path: String,
    /// Its creation, from which the view object has its age.
    pub created: Option<Time>,
}

/// All entries of one kind in one view.
pub struct ViewKind {
    names: Arc<KindNames>,
    entries: BTreeMap<ObjectKey, (Arc<Entry>, StatusCell)>,
    root: [u8; 16],
    version: u64,
    served: Collection,
}

/// All kinds of one view.
pub struct View {
    kinds: BTreeMap<KindId, ViewKind>,
    current: Collection,
    leases: Collection,
    /// Version of the last change of the view as a whole.
    version: u64,
}

/// What [`View::put`] is given.
#[derive(Debug)]
pub struct NewEntry {
    /// The key.
    pub key: ObjectKey,
    /// The federated object.
    pub source: Arc<SourceRef>,
    /// uid of the view object, should it be new.
    pub uid: String,
    /// What the agent is to do.
    pub intent: Intent,
}

// === impl Entry ===

impl Entry {
    /// Whether a body was served under this key in this term, so that the member may hold the object.
    pub fn was_applied(&self) -> bool {
        self.served.is_some()
    }

    /// `metadata.generation`: the version at which the present body was first served.
    pub fn generation(&self) -> u64 {
        match (&self.intent, &self.served) {
            (Intent::Apply(_), Some((_, version))) => *version,
            _ => self.version,
        }
    }

    /// What the root hash is made of.
    fn digest(&self) -> [u8; 16] {
        let namespace = self.key.namespace.as_ref().map_or("", |namespace| namespace.as_str());
        let hash = self.intent.hash().unwrap_or("-");
        let line = format!("{namespace}/{} {} {hash}", self.key.name, self.intent.word());
        let digest = Sha256::digest(line.as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        half
    }
}

// === impl ViewKind ===

impl ViewKind {
    fn new(names: Arc<KindNames>, version: u64) -> Self {
        let resource = GroupResource::new(names.group.as_str(), names.plural.as_str());
        Self {
            names,
            entries: BTreeMap::new(),
            root: [0; 16],
            version,
            served: Collection::new(resource, version, HISTORY),
        }
    }

    /// All entries, in the order of keys.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values().map(|(entry, _)| entry)
    }

    /// The entry of a key.
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Entry>> {
        self.entries.get(key).map(|(entry, _)| entry)
    }

    /// What is served.
    pub fn collection(&self) -> &Collection {
        &self.served
    }

    /// XOR over the entries' digests: independent of order, so a change costs one digest and not a walk.
    pub fn root_hash(&self) -> String {
        hex(&self.root)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Version of the last change.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn mix(&mut self, entry: &Entry) {
        for (byte, digest) in self.root.iter_mut().zip(entry.digest()) {
            *byte ^= digest;
        }
    }

    fn object(&self, entry: &Arc<Entry>, status: &StatusCell, version: u64) -> Arc<Object> {
        let labels: Labels = match &entry.intent {
            Intent::Apply(desired) => desired.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
            Intent::Hold(_) | Intent::Remove(_) => Labels::default(),
        };
        Arc::new(Object {
            key: served_key(&entry.key),
            version,
            uid: entry.uid.as_str().into(),
            labels,
            fields: Labels::default(),
            owners: Arc::from([]),
            deleting: false,
            body: Body::Lazy(Arc::new(Document {
                names: Arc::clone(&self.names),
                entry: Arc::clone(entry),
                version,
                status: Arc::clone(status),
            })),
        })
    }
}

// === impl View ===

impl View {
    /// An empty view whose history begins at `start`.
    pub fn new(start: u64) -> Self {
        let collection =
            |group: &str, plural: &str| Collection::new(GroupResource::new(group, plural), start, HISTORY);
        Self {
            kinds: BTreeMap::new(),
            current: collection(VIEW_GROUP, "views"),
            leases: collection("coordination.k8s.io", "leases"),
            version: start,
        }
    }

    /// Version of the last change in any kind.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// One kind; `None` when it is not federated.
    pub fn kind(&self, kind: &KindId) -> Option<&ViewKind> {
        self.kinds.get(kind)
    }

    /// Every kind.
    pub fn kinds(&self) -> impl Iterator<Item = (&KindId, &ViewKind)> {
        self.kinds.iter()
    }

    /// The entry of a key.
    pub fn get(&self, kind: &KindId, key: &ObjectKey) -> Option<&Arc<Entry>> {
        self.kinds.get(kind)?.get(key)
    }

    /// The collection that serves a resource of this view.
    pub fn collection(&self, resource: &GroupResource) -> Option<&Collection> {
        if &*resource.group == VIEW_GROUP {
            return (&*resource.resource == "views").then_some(&self.current);
        }
        if &*resource.group == "coordination.k8s.io" && &*resource.resource == "leases" {
            return Some(&self.leases);
        }
        self.kinds.get(&KindId::new(&resource.group, &resource.resource)).map(ViewKind::collection)
    }

    /// Makes room for a kind.
    pub fn admit(&mut self, kind: &KindId, names: &Arc<KindNames>, start: u64) {
        self.kinds.entry(kind.clone()).or_insert_with(|| ViewKind::new(Arc::clone(names), start));
    }

    /// Sets what a key's entry is, unless it says the same already. `version` is taken only for a change.
    pub fn put(&mut self, kind: &KindId, new: NewEntry, version: impl FnOnce() -> u64) -> bool {
        let Some(held) = self.kinds.get_mut(kind) else { return false };
        let before = held.entries.get(&new.key).cloned();
        if let Some((before, _)) = &before
            && before.source == new.source
            && before.intent.same(&new.intent)
        {
            return false;
        }
        let version = version();
        let last = before.as_ref().and_then(|(entry, _)| entry.served.clone());
        let served = match new.intent.hash() {
            Some(hash) if last.as_ref().is_none_or(|(served, _)| served != hash) => {
                Some((hash.to_owned(), version))
            }
            _ => last,
        };
        if let Some((before, _)) = &before {
            held.mix(before);
        }
        let status = before.map(|(_, status)| status).unwrap_or_default();
        let entry = Arc::new(Entry {
            key: new.key.clone(),
            source: new.source,
            intent: new.intent,
            version,
            served,
            uid: new.uid,
        });
        held.mix(&entry);
        held.version = version;
        held.served.put(held.object(&entry, &status, version));
        held.entries.insert(new.key, (entry, status));
        self.version = version;
        true
    }

    /// Drops a key's entry. `version` is taken only if there was one.
    pub fn remove(&mut self, kind: &KindId, key: &ObjectKey, version: impl FnOnce() -> u64) -> bool {
        let Some(held) = self.kinds.get_mut(kind) else { return false };
        let Some((entry, status)) = held.entries.remove(key) else { return false };
        let version = version();
        held.mix(&entry);
        held.version = version;
        held.served.remove(held.object(&entry, &status, version));
        self.version = version;
        true
    }

    /// Shows what a member reported as `.status`. That is no change of the view: its own agent must not see an event.
    pub fn show_status(
        &self,
        kind: &KindId,
        key: &ObjectKey,
        status: Option<Arc<serde_json::value::RawValue>>,
    ) {
        if let Some((_, cell)) = self.kinds.get(kind).and_then(|held| held.entries.get(key)) {
            *cell.lock() = status;
        }
    }

    /// Publishes what the view is as a whole, unless that is published already.
    pub fn publish(&mut self, about: &ViewAbout<'_>, version: impl FnOnce() -> u64) {
        let kinds: Vec<Value> = self
            .kinds
            .iter()
            .map(|(id, held)| {
                json!({
                    "group": held.names.group,
                    "version": held.names.version,
                    "plural": held.names.plural,
                    "kind": held.names.kind,
                    "synced": (about.synced)(id),
                    "count": held.len(),
                    "rootHash": held.root_hash(),
                    "resourceVersion": held.version.to_string(),
                })
            })
            .collect();
        let mut view = json!({
            "apiVersion": "view.muster.dev/v1alpha1",
            "kind": "View",
            "hub": { "uid": about.hub_uid, "epoch": about.epoch },
            "cluster": { "name": about.cluster, "uid": about.cluster_uid },
            "kinds": kinds,
        });
        let key = Key::cluster(CURRENT);
        if self
            .current
            .get(&key)
            .is_some_and(|held| without_metadata(&held.body.bytes()) == Some(view.clone()))
        {
            return;
        }
        let version = version();
        self.version = version;
        let uid = stable_uid(&[about.hub_uid, about.cluster_uid, "views", CURRENT]);
        view["metadata"] = json!({ "name": CURRENT, "uid": uid, "resourceVersion": version.to_string() });
        self.current.put(plain_object(key, version, &uid, &view));
    }

    /// Publishes the member's Lease.
    pub fn put_lease(&mut self, key: Key, uid: &str, lease: &Value, version: u64) {
        self.leases.put(plain_object(key, version, uid, lease));
    }

    /// Ends every list and watch: the hub does not lead any more, or the member is no member any more.
    pub fn close(&self) {
        self.current.close();
        self.leases.close();
        for held in self.kinds.values() {
            held.served.close();
        }
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("version", &self.version).finish_non_exhaustive()
    }
}

/// What `View/current` says beside the kinds' contents.
pub struct ViewAbout<'a> {
    /// uid of the hub.
    pub hub_uid: &'a str,
    /// Epoch of the term.
    pub epoch: u64,
    /// Name of the member.
    pub cluster: &'a str,
    /// uid of its KubeFedCluster.
    pub cluster_uid: &'a str,
    /// Whether what is served of a kind is complete.
    pub synced: &'a dyn Fn(&KindId) -> bool,
}

/// A uid that is the same in every term: the first half of a hash, spelled as a uuid.
pub fn stable_uid(parts: &[&str]) -> String {
    let text = hex(&Sha256::digest(parts.join("\n").as_bytes())[..16]);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// A key as the API server crate spells it.
pub fn served_key(key: &ObjectKey) -> Key {
    match &key.namespace {
        Some(namespace) => Key::namespaced(namespace.as_str(), key.name.as_str()),
        None => Key::cluster(key.name.as_str()),
    }
}

fn plain_object(key: Key, version: u64, uid: &str, value: &Value) -> Arc<Object> {
    Arc::new(Object {
        key,
        version,
        uid: uid.into(),
        labels: Labels::default(),
        fields: Labels::default(),
        owners: Arc::from([]),
        deleting: false,
        body: Body::Raw(Bytes::from(value.to_string())),
    })
}

fn without_metadata(body: &[u8]) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    value.as_object_mut()?.remove("metadata");
    Some(value)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
