//! What agents report, checked before it is believed. Reports come over the network from a member and are untrusted:
//! a bad one is refused by name, and none can make the hub hold more than a bounded amount.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use muster_crds::names::{Namespace, ObjectKey, ObjectName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::kind::KindId;

/// The longest `.status` of one report, as JSON.
pub(super) const MAX_STATUS_BYTES: usize = 16 * 1024;

/// The most reports in one list.
pub const MAX_ITEMS: usize = 500;

/// The most objects one member may report of one kind; further ones are refused.
pub(super) const MAX_OBJECTS: usize = 50_000;

/// The longest message that is kept; the rest is cut.
const MAX_MESSAGE_BYTES: usize = 1024;

/// The longest word, hash or uid.
const MAX_TOKEN_BYTES: usize = 128;

/// The word of an agent that found the object gone.
pub(super) const REMOVED: &str = "Removed";

/// The body of a POST to `reports`. Items are read one by one, so that a bad one spoils no other.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReportList {
    /// One report each.
    pub items: Vec<Value>,
    /// Present when everything the member holds of a kind was reported.
    pub inventory: Option<InventoryMark>,
    /// New at each start of reporting; see [`KindReports::complete`].
    pub session: Option<String>,
}

/// Says that everything a member holds of one kind was reported.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct InventoryMark {
    /// API group of the kind.
    pub group: String,
    /// Plural of the kind.
    pub plural: String,
    /// Whether the inventory is complete now.
    pub complete: bool,
}

/// One report, as sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReport {
    key: WireKey,
    #[serde(default)]
    word: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    applied_hash: String,
    #[serde(default, rename = "memberUID")]
    member_uid: String,
    #[serde(default)]
    member_generation: Option<i64>,
    #[serde(default)]
    view_version: Option<String>,
    #[serde(default)]
    replicas: Option<i64>,
    #[serde(default)]
    status: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireKey {
    group: String,
    plural: String,
    namespace: Option<String>,
    name: String,
}

/// A report that passed the checks.
#[derive(Debug, Clone)]
pub(super) struct Report {
    /// Of which kind the object is.
    pub kind: KindId,
    /// Which object.
    pub key: ObjectKey,
    /// What the agent says of it.
    pub said: Said,
}

/// What an agent says of one object.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Empty when in sync, otherwise a status word of kubefed, or [`REMOVED`].
    pub word: String,
    /// Details for a person.
    pub message: String,
    /// Content hash of the body that was applied last.
    pub applied_hash: String,
    /// uid of the member's object.
    pub member_uid: String,
    /// `metadata.generation` of the member's object.
    pub member_generation: Option<i64>,
    /// Version of the view object this speaks of.
    pub view_version: Option<u64>,
    /// `spec.replicas` of the member's object.
    pub replicas: Option<u32>,
    /// `.status` of the member's object, as JSON text.
    pub status: Option<Arc<RawValue>>,
    /// The counters of that status.
    pub numbers: Numbers,
}

/// Counters of a member's status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Pods that are to live.
    pub replicas: i64,
    /// Of those, ready ones.
    pub ready: i64,
    /// Of those, ones of the newest revision.
    pub updated: i64,
    /// The generation the counters belong to.
    pub observed_generation: Option<i64>,
}

/// Why a report was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// It is not a report at all.
    #[error("not a Report: {0}")]
    Shape(String),
    /// Its kind is not federated.
    #[error("kind {0} is not federated")]
    UnknownKind(KindId),
    /// Its key is no key.
    #[error("key: {0}")]
    Key(String),
    /// A field is too long.
    #[error("{field} has {bytes} bytes, at most {limit} are accepted")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A field has a value it must not have.
    #[error("{field}: {rule}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is asked of it.
        rule: &'static str,
    },
    /// The member reports more objects than the hub will remember.
    #[error("more than {MAX_OBJECTS} objects of this kind")]
    TooMany,
}

/// A refused report, as answered.
#[derive(Debug, Clone, Serialize)]
pub struct Rejected {
    /// The key as it was sent.
    pub key: Value,
    /// Why.
    pub reason: String,
}

/// What one member has reported of one kind.
#[derive(Debug, Default)]
pub struct KindReports {
    held: BTreeMap<ObjectKey, Held>,
    complete: bool,
    session: String,
    /// Counts sessions.
    round: u64,
}

/// The last report of one object.
#[derive(Debug, Clone)]
pub struct Held {
    /// What the agent said.
    pub said: Said,
    /// When the hub got it.
    pub at: Timestamp,
    round: u64,
}

/// What the hub knows of whether a member holds an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// The member reported the object.
    Holds,
    /// The member reported everything, and not this object.
    HoldsNothing,
    /// The member has not reported everything yet.
    Unknown,
}

// === impl Report ===

impl Report {
    /// Checks one item of a list.
    pub(super) fn parse(item: &Value, known: impl Fn(&KindId) -> bool) -> Result<Self, ReportError> {
        let wire = WireReport::deserialize(item).map_err(|error| ReportError::Shape(error.to_string()))?;
        let kind = KindId::new(&wire.key.group, &wire.key.plural);
        if !known(&kind) {
            return Err(ReportError::UnknownKind(kind));
        }
        let namespace = wire.key.namespace.filter(|namespace| !namespace.is_empty());
        let key = ObjectKey {
            namespace: namespace
                .map(Namespace::new)
                .transpose()
                .map_err(|error| ReportError::Key(error.to_string()))?,
            name: ObjectName::new(&wire.key.name).map_err(|error| ReportError::Key(error.to_string()))?,
        };
        bounded("word", &wire.word)?;
        bounded("appliedHash", &wire.applied_hash)?;
        bounded("memberUID", &wire.member_uid)?;
        if !wire.word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ReportError::Field { field: "word", rule: "only letters and digits" });
        }
        let view_version =
            wire.view_version.map(|text| text.parse::<u64>()).transpose().map_err(|_| {
                ReportError::Field { field: "viewVersion", rule: "must be a resource version" }
            })?;
        let status = wire.status.filter(|status| !status.is_null());
        if status.as_ref().is_some_and(|status| !status.is_object()) {
            return Err(ReportError::Field { field: "status", rule: "must be an object" });
        }
        let numbers = status.as_ref().map(Numbers::of).unwrap_or_default();
        let status = status
            .map(|status| serde_json::value::to_raw_value(&status))
            .transpose()
            .map_err(|error| ReportError::Shape(error.to_string()))?;
        if let Some(status) = &status
            && status.get().len() > MAX_STATUS_BYTES
        {
            return Err(ReportError::TooLong {
                field: "status",
                bytes: status.get().len(),
                limit: MAX_STATUS_BYTES,
            });
        }
        Ok(Self {
            kind,
            key,
            said: Said {
                word: wire.word,
                message: cut(wire.message, MAX_MESSAGE_BYTES),
                applied_hash: wire.applied_hash,
                member_uid: wire.member_uid,
                member_generation: wire.member_generation,
                view_version,
                replicas: wire.replicas.map(|replicas| u32::try_from(replicas.max(0)).unwrap_or(u32::MAX)),
                status: status.map(Arc::from),
                numbers,
            },
        })
    }
}

// === impl Numbers ===

impl Numbers {
    /// The counters in a member's `.status`. What is missing, negative or no number counts as 0.
    pub fn of(status: &Value) -> Self {
        let count = |field: &str| status.get(field).and_then(Value::as_i64).unwrap_or(0).max(0);
        Self {
            replicas: count("replicas"),
            ready: count("readyReplicas"),
            updated: count("updatedReplicas"),
            observed_generation: status.get("observedGeneration").and_then(Value::as_i64),
        }
    }
}

// === impl Said ===

impl Said {
    /// Whether the agent found the object gone.
    pub fn is_removed(&self) -> bool {
        self.word == REMOVED
    }

    /// How many replicas the member's object asks for; what it has where that was not said.
    pub fn replicas(&self) -> u32 {
        self.replicas.unwrap_or_else(|| u32::try_from(self.numbers.replicas).unwrap_or(u32::MAX))
    }

    /// Whether the counters belong to the newest generation of the member's object.
    pub fn is_current(&self) -> bool {
        match (self.member_generation, self.numbers.observed_generation) {
            (Some(generation), Some(observed)) => observed >= generation,
            (Some(_), None) => false,
            (None, _) => true,
        }
    }
}

// === impl KindReports ===

impl KindReports {
    /// Takes a report. [`REMOVED`] forgets the object.
    pub fn take(&mut self, key: &ObjectKey, said: Said, now: Timestamp) -> Result<(), ReportError> {
        if said.is_removed() {
            self.held.remove(key);
            return Ok(());
        }
        if self.held.len() >= MAX_OBJECTS && !self.held.contains_key(key) {
            return Err(ReportError::TooMany);
        }
        self.held.insert(key.clone(), Held { said, at: now, round: self.round });
        Ok(())
    }

    /// Begins a session of reporting, unless it is the one that goes on. What was reported before is kept until the
    /// new session is complete.
    pub fn begin(&mut self, session: &str) {
        if self.session != session {
            session.clone_into(&mut self.session);
            self.round += 1;
        }
    }

    /// The member says that everything was reported. Returns the objects that were not reported again in this session:
    /// the member does not hold them any more.
    pub fn complete(&mut self) -> Vec<ObjectKey> {
        self.complete = true;
        let round = self.round;
        let gone: Vec<ObjectKey> =
            self.held.iter().filter(|(_, held)| held.round != round).map(|(key, _)| key.clone()).collect();
        for key in &gone {
            self.held.remove(key);
        }
        gone
    }

    /// Whether the inventory is complete.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The last report of an object.
    pub fn get(&self, key: &ObjectKey) -> Option<&Held> {
        self.held.get(key)
    }

    /// Every object that was reported.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.held.keys()
    }

    /// Whether the member holds an object.
    pub fn knows(&self, key: &ObjectKey) -> Knowledge {
        match (self.held.contains_key(key), self.complete) {
            (true, _) => Knowledge::Holds,
            (false, true) => Knowledge::HoldsNothing,
            (false, false) => Knowledge::Unknown,
        }
    }
}

fn bounded(field: &'static str, text: &str) -> Result<(), ReportError> {
    if text.len() > MAX_TOKEN_BYTES {
        return Err(ReportError::TooLong { field, bytes: text.len(), limit: MAX_TOKEN_BYTES });
    }
    Ok(())
}

/// Cuts a text at a character boundary.
fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(extra: Value) -> Value {
        let mut item = json!({"kind": "Report", "key": {
            "group": "tkex.tencent.com", "version": "v1alpha1", "plural": "gamestatefulsets",
            "namespace": "center", "name": "gamecenter",
        }});
        if let (Value::Object(item), Value::Object(extra)) = (&mut item, extra) {
            item.extend(extra);
        }
        item
    }

    fn parse(item: &Value) -> Result<Report, ReportError> {
        Report::parse(item, |kind| kind.as_str() == "gamestatefulsets.tkex.tencent.com")
    }

    #[test]
    fn a_good_report_is_read_whole() {
        let report = parse(&item(json!({
            "word": "", "appliedHash": "abc", "memberUID": "u-1", "memberGeneration": 3, "viewVersion": "1099511627777",
            "status": {"replicas": 120, "readyReplicas": 118, "updatedReplicas": 120, "observedGeneration": 3},
        })))
        .unwrap();
        assert_eq!(report.key.to_string(), "center/gamecenter");
        assert_eq!(
            report.said.numbers,
            Numbers { replicas: 120, ready: 118, updated: 120, observed_generation: Some(3) }
        );
        assert!(report.said.is_current());
        assert_eq!(report.said.view_version, Some((1 << 40) + 1));
    }

    #[test]
    fn bad_reports_are_refused_with_the_field() {
        let cases = [
            (json!("text"), "not a Report"),
            (
                json!({"key": {"group": "apps", "plural": "deployments", "name": "x"}}),
                "deployments.apps is not federated",
            ),
            (
                item(json!({"key": {"group": "tkex.tencent.com", "plural": "gamestatefulsets", "name": ""}})),
                "key",
            ),
            (item(json!({"word": "a b"})), "word"),
            (item(json!({"word": "x".repeat(200)})), "word has 200 bytes"),
            (item(json!({"status": 3})), "status: must be an object"),
            (item(json!({"status": {"x": "y".repeat(MAX_STATUS_BYTES)}})), "status has"),
            (item(json!({"viewVersion": "new"})), "viewVersion"),
        ];
        for (item, wanted) in cases {
            let error = parse(&item).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error} should name {wanted}");
        }
    }

    #[test]
    fn counters_that_are_no_numbers_count_as_zero() {
        let numbers = Numbers::of(&json!({"replicas": -3, "readyReplicas": "many"}));
        assert_eq!(numbers, Numbers::default());
    }

    #[test]
    fn a_new_session_forgets_what_it_did_not_report_again() {
        let mut reports = KindReports::default();
        let now = Timestamp::UNIX_EPOCH;
        let key = |name: &str| ObjectKey::cluster_scoped(ObjectName::new(name).unwrap());
        reports.begin("one");
        for name in ["a", "b"] {
            reports.take(&key(name), Said::default(), now).unwrap();
        }
        assert_eq!(reports.knows(&key("c")), Knowledge::Unknown);
        assert!(reports.complete().is_empty());
        assert_eq!(reports.knows(&key("c")), Knowledge::HoldsNothing);

        reports.begin("two");
        reports.take(&key("b"), Said::default(), now).unwrap();
        assert_eq!(reports.knows(&key("a")), Knowledge::Holds, "kept until the new session is complete");
        assert_eq!(reports.complete(), [key("a")]);
        assert_eq!(reports.knows(&key("a")), Knowledge::HoldsNothing);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let report = parse(&item(json!({"message": "é".repeat(600)}))).unwrap();
        assert_eq!(report.said.message.len(), 1024);
    }
}
