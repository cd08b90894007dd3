//! What agent and hub say to each other: annotations of a member's view, the View, reports.
//!
//! The hub is trusted to say what this member should hold, and nothing more: whatever cannot be
//! read here is treated as "leave it as it is".

use std::fmt;

use jiff::Timestamp;
use muster_crds::keys::group;
use muster_runtime::watch::Key;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::kind::Kind;

/// Version of the group `view.muster.dev`.
pub const VERSION: &str = "v1alpha1";

/// Most bytes of one object's status in a report; a bigger one is sent as its scalar fields.
pub const STATUS_BYTES: usize = 16 * 1024;

/// `View/current`: which hub serves this view, for which member, and how complete it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct View {
    /// The hub.
    pub hub: HubId,
    /// The member, as the hub knows it.
    pub cluster: ClusterId,
    /// The kinds that are served.
    #[serde(default)]
    pub kinds: Vec<KindState>,
}

/// Which hub, and which of its lives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HubId {
    /// Stays the same as long as the hub's data lives.
    pub uid: String,
    /// Rises with each takeover.
    #[serde(deserialize_with = "number")]
    pub epoch: u64,
}

/// Which member.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ClusterId {
    /// UID of the KubeFedCluster.
    pub uid: String,
    /// Its name.
    pub name: String,
}

/// What the view holds of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindState {
    /// Which kind.
    #[serde(flatten)]
    pub kind: Kind,
    /// Whether the hub knows everything that decides about this kind.
    #[serde(default)]
    pub synced: bool,
    /// How many objects the view holds, of every intent.
    #[serde(default, deserialize_with = "number")]
    pub count: u64,
    /// Hash over the names, intents and hashes of all of them: see [`RootHash`].
    #[serde(default)]
    pub root_hash: String,
    /// The version at which this kind last changed.
    #[serde(default, deserialize_with = "number")]
    pub resource_version: u64,
}

/// The value of [`DELETION`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Deletion {
    /// Delete or Orphan.
    pub policy: DeletionPolicy,
    /// Kubernetes DeleteOptions; preconditions in it are replaced by the agent's own.
    #[serde(default)]
    pub options: Value,
}

/// What happens to the member's object when its desired object goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum DeletionPolicy {
    /// It is deleted.
    #[default]
    Delete,
    /// It stays and no longer belongs to the hub.
    Orphan,
}

/// Whether an object that exists and is not ours may be taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub enum Adoption {
    /// It is left alone.
    #[default]
    Never,
    /// Only if every field the desired object sets has that value already.
    IfNoDiff,
    /// Whatever it looks like.
    Always,
}

/// One object's state in the member, as sent to the hub.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which object.
    pub key: ReportKey,
    /// How it stands.
    pub word: Word,
    /// More about it, for people.
    pub message: String,
    /// Hash that was last applied; empty when nothing of ours is.
    pub applied_hash: String,
    /// UID in the member; empty when it is gone.
    #[serde(rename = "memberUID")]
    pub member_uid: String,
    /// Generation in the member.
    pub member_generation: i64,
    /// Its `spec.replicas`, for kinds that have such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// Version of the view object this speaks of, so that word of an old removal ends no newer one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_version: Option<String>,
    /// When this was seen.
    pub observed_at: Timestamp,
    /// Its status, at most [`STATUS_BYTES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
}

/// Which object a report is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReportKey {
    /// API group.
    #[serde(default)]
    pub group: String,
    /// Version.
    #[serde(default)]
    pub version: String,
    /// Plural.
    #[serde(default)]
    pub plural: String,
    /// Namespace; empty when cluster-scoped.
    #[serde(default)]
    pub namespace: String,
    /// Name.
    #[serde(default)]
    pub name: String,
}

/// How one object stands in the member: kubefed's words, and one of our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Word {
    /// As desired, as far as the spec goes.
    #[default]
    #[serde(rename = "")]
    InSync,
    /// Delete was sent, or waits for something; the object is still there.
    WaitingForRemoval,
    /// The member's API could not be read.
    RetrievalFailed,
    /// The member refused to create it.
    CreationFailed,
    /// The member refused to change it.
    UpdateFailed,
    /// The member refused to delete it.
    DeletionFailed,
    /// The member refused to have its labels removed.
    LabelRemovalFailed,
    /// No answer to a create.
    CreationTimedOut,
    /// No answer to a change.
    UpdateTimedOut,
    /// No answer to a delete.
    DeletionTimedOut,
    /// No answer to a removal of labels.
    LabelRemovalTimedOut,
    /// It exists, is not ours, and may not be taken over.
    AlreadyExists,
    /// The member opted out with the label `kubefed.io/managed=false`.
    ManagedLabelFalse,
    /// The member holds nothing of the hub's under this name.
    Removed,
}

/// The body of a POST to `reports`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportList {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: &'static str,
    /// The reports.
    pub items: Vec<Report>,
    /// New at each beginning of reporting: what was not said again in it is not there any more.
    pub session: String,
    /// Says that of one kind everything the member holds has been reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
}

/// See [`ReportList::inventory`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// API group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural.
    pub plural: String,
    /// Always true.
    pub complete: bool,
}

/// The hub's answer to a [`ReportList`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ReportAnswer {
    /// How many were taken.
    #[serde(default)]
    pub accepted: u64,
    /// Those that were not.
    #[serde(default)]
    pub rejected: Vec<Rejected>,
}

/// A report the hub did not take.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Rejected {
    /// Which one.
    pub key: ReportKey,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

// === impl View ===

impl View {
    /// What the view says about `kind`.
    pub fn state_of(&self, kind: &Kind) -> Option<&KindState> {
        self.kinds.iter().find(|state| state.kind == *kind)
    }
}

// === impl ReportKey ===

impl ReportKey {
    /// The key of an object of `kind`.
    pub fn new(kind: &Kind, key: &Key) -> Self {
        Self {
            group: kind.group.clone(),
            version: kind.version.clone(),
            plural: kind.plural.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        }
    }

    /// Whether the object is of `kind`.
    pub fn is_of(&self, kind: &Kind) -> bool {
        self.group == kind.group && self.version == kind.version && self.plural == kind.plural
    }
}

// === impl Report ===

impl Report {
    /// Whether both say the same, whenever it was seen. Which version of the view it speaks of only
    /// matters for a removal.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.key == other.key
            && self.word == other.word
            && self.message == other.message
            && self.applied_hash == other.applied_hash
            && self.member_uid == other.member_uid
            && self.member_generation == other.member_generation
            && self.replicas == other.replicas
            && (self.word != Word::Removed || self.view_version == other.view_version)
            && self.status == other.status
    }
}

// === impl ReportList ===

impl ReportList {
    /// A list of `items`.
    pub fn new(items: Vec<Report>, inventory: Option<&Kind>, session: String) -> Self {
        Self {
            api_version: format!("{}/{VERSION}", group::VIEW),
            kind: "ReportList",
            items,
            session,
            inventory: inventory.map(|kind| Inventory {
                group: kind.group.clone(),
                version: kind.version.clone(),
                plural: kind.plural.clone(),
                complete: true,
            }),
        }
    }
}

/// Hash over what a view holds of one kind: names, intents and content hashes. An agent may take what
/// is missing from its copy for removed only if its copy has the hash that the hub announced.
///
/// It is the XOR of a digest per object, so that neither side walks all objects for one change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootHash([u8; 16]);

impl RootHash {
    /// Adds an object, or takes it out again.
    pub fn toggle(&mut self, key: &Key, intent: &str, hash: &str) {
        let hash = if hash.is_empty() { "-" } else { hash };
        let line = format!("{}/{} {intent} {hash}", key.namespace, key.name);
        for (byte, digest) in self.0.iter_mut().zip(Sha256::digest(line)) {
            *byte ^= digest;
        }
    }
}

/// 32 lower case hexadecimal digits.
impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A number that some clients write as text, since it may exceed what JavaScript holds exactly.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_view_reads_numbers_in_either_spelling() {
        let view: View = serde_json::from_value(json!({
            "apiVersion": "view.muster.dev/v1alpha1",
            "kind": "View",
            "metadata": {"name": "current"},
            "hub": {"uid": "h", "epoch": "3"},
            "cluster": {"name": "a", "uid": "c"},
            "kinds": [{
                "group": "apps", "version": "v1", "plural": "deployments", "kind": "Deployment",
                "synced": true, "count": 2, "rootHash": "00", "resourceVersion": "3298534883329"
            }]
        }))
        .unwrap();
        assert_eq!(view.hub.epoch, 3);
        assert_eq!(view.kinds[0].resource_version, 3_298_534_883_329);
        assert_eq!(view.kinds[0].kind.to_string(), "deployments.apps");
    }

    #[test]
    fn the_root_hash_does_not_depend_on_the_order_and_forgets_what_is_taken_out() {
        let (a, b) = (Key::new("games", "a"), Key::new("", "b"));
        let mut forward = RootHash::default();
        forward.toggle(&a, "Apply", "1");
        forward.toggle(&b, "Hold", "");
        let mut backward = RootHash::default();
        backward.toggle(&b, "Hold", "");
        backward.toggle(&a, "Apply", "1");
        assert_eq!(forward, backward);
        backward.toggle(&a, "Apply", "1");
        // The first half of the SHA-256 of "/b Hold -".
        assert_eq!(backward.to_string(), "19051dec694060b5475de1ebd2277e50");
        backward.toggle(&b, "Hold", "");
        assert_eq!(backward.to_string(), "0".repeat(32));
    }

    #[test]
    fn words_are_spelled_as_kubefed_does() {
        assert_eq!(serde_json::to_value(Word::InSync).unwrap(), json!(""));
        assert_eq!(serde_json::to_value(Word::CreationTimedOut).unwrap(), json!("CreationTimedOut"));
    }
}
