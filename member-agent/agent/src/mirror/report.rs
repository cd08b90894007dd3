//! What is said to the hub about one object.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Map, Value};

use super::Target;
use super::decide::Say;
use super::ownership::{self, Identity, Ownership};
use crate::wire::{Report, ReportKey, STATUS_BYTES, Word};

/// A report, and whether it is only news if the object was there before.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Statement {
    /// To be said.
    Report(Report),
    /// To be said only if the last word was that the object is there.
    IfSaidBefore(Report),
}

/// The statement for what deciding wants said; none for nothing.
pub(super) fn of(
    target: &Target,
    live: Option<&DynamicObject>,
    me: &Identity,
    say: Say,
    view_version: Option<u64>,
    now: Timestamp,
) -> Option<Statement> {
    let gone = |message| without_object(target, Word::Removed, message, view_version, now);
    match say {
        Say::Nothing => None,
        Say::Gone { message } => Some(Statement::Report(gone(message))),
        Say::GoneIfSaidBefore => Some(Statement::IfSaidBefore(gone(String::new()))),
        Say::Object { word, message } => {
            let ownership = live.map(|live| Ownership::of(live, &target.kind, me));
            let held = live.filter(|_| ownership.as_ref().is_some_and(|owner| owner.tracking().is_some()));
            let (status, note) = bounded(held.and_then(|live| live.data.get("status")));
            let message = if note.is_empty() { message } else { join(&message, &note) };
            Some(Statement::Report(Report {
                applied_hash: held
                    .and_then(ownership::tracking_of)
                    .map(|tracking| tracking.hash)
                    .unwrap_or_default(),
                member_uid: live.and_then(ResourceExt::uid).unwrap_or_default(),
                member_generation: live.and_then(|live| live.metadata.generation).unwrap_or_default(),
                replicas: held.and_then(|live| live.data.pointer("/spec/replicas")?.as_i64()),
                status,
                ..without_object(target, word, message, view_version, now)
            }))
        }
    }
}

/// The report about an object of a kind that the member cannot be asked about.
pub(super) fn unread(target: &Target, message: String, view_version: Option<u64>, now: Timestamp) -> Report {
    without_object(target, Word::RetrievalFailed, message, view_version, now)
}

fn without_object(
    target: &Target,
    word: Word,
    message: String,
    view_version: Option<u64>,
    now: Timestamp,
) -> Report {
    Report {
        key: ReportKey::new(&target.kind, &target.key),
        word,
        message,
        applied_hash: String::new(),
        member_uid: String::new(),
        member_generation: 0,
        replicas: None,
        view_version: view_version.map(|version| version.to_string()),
        observed_at: now,
        status: None,
    }
}

/// A status as far as a report takes it: a big one is reduced to its numbers, words and flags.
fn bounded(status: Option<&Value>) -> (Option<Value>, String) {
    let Some(status) = status else { return (None, String::new()) };
    let bytes = status.to_string().len();
    if bytes <= STATUS_BYTES {
        return (Some(status.clone()), String::new());
    }
    let note =
        format!("its status has {bytes} bytes, more than {STATUS_BYTES}; only single values are reported");
    let scalars: Map<String, Value> = status
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_object() && !value.is_array())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let reduced = Value::Object(scalars);
    ((reduced.to_string().len() <= STATUS_BYTES).then_some(reduced), note)
}

fn join(message: &str, note: &str) -> String {
    if message.is_empty() { note.to_owned() } else { format!("{message}; {note}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_big_status_is_reduced_to_its_single_values_and_says_so() {
        let small = json!({"replicas": 3, "conditions": [{"type": "Ready"}]});
        assert_eq!(bounded(Some(&small)), (Some(small.clone()), String::new()));

        let big = json!({"replicas": 3, "phase": "Up", "pods": "x".repeat(10).repeat(2000).split_at(9000).0,
            "list": vec!["y".repeat(100); 200]});
        let (status, note) = bounded(Some(&big));
        let status = status.unwrap();
        assert_eq!(status["replicas"], 3);
        assert!(status.get("list").is_none());
        assert!(note.contains("only single values"), "{note}");

        let (status, _) = bounded(Some(&json!({"text": "z".repeat(STATUS_BYTES + 1)})));
        assert_eq!(status, None);
    }
}
