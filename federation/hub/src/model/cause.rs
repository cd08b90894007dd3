//! Why a member that took the newest version is not where it is to be, in the member's own words.

use muster_crds::keys::condition;
use serde::Deserialize;

use super::report::Said;

/// Reason of a row that says no more than how many pods are ready.
pub(super) const COUNTED: &str = "Progressing";

/// Code of a write that a member's API server refuses, as the member's condition Progressing gives it.
const WRITE_REFUSED: &str = "WriteRefused";

/// Codes in the member's blockedBy of writes that its API server refuses.
const REFUSED: [&str; 2] = [WRITE_REFUSED, "Quota"];

/// Reason of the condition InvalidSpec where nothing waits: a field is ignored, and the rest is done.
const FIELD_IGNORED: &str = "FieldIgnored";

/// Why a member is not there yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// In one word.
    pub reason: String,
    /// In words.
    pub message: String,
    /// Whether it goes on only after a person changed something that is wrong.
    pub failed: bool,
}

/// What is read of a member's status.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Reported {
    conditions: Vec<Shown>,
    #[serde(rename = "blockedBy")]
    blocked_by: Vec<Waiting>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Waiting {
    pod: String,
    code: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Shown {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: String,
    message: String,
}

// === impl Cause ===

impl Cause {
    /// The member goes on, and these are its numbers.
    pub(super) fn counted(numbers: String) -> Self {
        Self { reason: COUNTED.to_owned(), message: numbers, failed: false }
    }
}

/// What the conditions of a member's object give as cause; `None` where they give none, or speak of an older
/// generation.
pub(super) fn of(said: &Said) -> Option<Cause> {
    if !said.is_current() {
        return None;
    }
    let reported: Reported = serde_json::from_str(said.status.as_ref()?.get()).ok()?;
    let holds =
        |type_: &str| reported.conditions.iter().find(|one| one.type_ == type_ && one.status == "True");
    let by_type = |shown: &Shown, failed: bool| Cause {
        reason: shown.type_.clone(),
        message: shown.message.clone(),
        failed,
    };
    let invalid = holds(condition::INVALID_SPEC).filter(|shown| shown.reason != FIELD_IGNORED);
    if let Some(shown) = invalid.or_else(|| holds(condition::UPDATE_REFUSED)) {
        return Some(by_type(shown, true));
    }
    let refused = reported.blocked_by.iter().find(|one| REFUSED.contains(&one.code.as_str()));
    if let Some(Waiting { pod, code, message }) = refused {
        // The message of a refused write names the pod itself.
        let message =
            if message.contains(pod.as_str()) { message.clone() } else { format!("{pod}: {message}") };
        return Some(Cause { reason: code.clone(), message, failed: true });
    }
    let progressing = holds(condition::PROGRESSING).filter(|shown| !shown.reason.is_empty());
    if let Some(shown) = progressing {
        let prefix = format!("{WRITE_REFUSED}: ");
        // A set that waits for several things names each with its code.
        let refused = shown.message.split_once(&prefix).map(|(_, message)| message);
        if refused.is_some() || shown.reason == WRITE_REFUSED {
            let message = refused.unwrap_or(&shown.message).to_owned();
            return Some(Cause { reason: WRITE_REFUSED.to_owned(), message, failed: true });
        }
    }
    if let Some(shown) = holds(condition::PAUSED) {
        return Some(by_type(shown, false));
    }
    let shown = progressing.filter(|shown| !shown.message.is_empty())?;
    let message =
        shown.message.strip_prefix(&format!("{}: ", shown.reason)).unwrap_or(&shown.message).to_owned();
    Some(Cause { reason: shown.reason.clone(), message, failed: false })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn said(status: &serde_json::Value) -> Said {
        let status = serde_json::value::to_raw_value(status).map(Arc::from).ok();
        Said { status, ..Said::default() }
    }

    #[test]
    fn a_refused_write_is_the_cause_and_a_failure() {
        let message = "WriteRefused: create pod shop/web-0: spec.containers[0].image: Required value";
        let cause = of(&said(&serde_json::json!({"conditions": [
            {"type": "Ready", "status": "False", "reason": "NotAllReady", "message": "0 of 2 pods are ready"},
            {"type": "Progressing", "status": "True", "reason": "WriteRefused", "message": message},
        ]})));
        let message = "create pod shop/web-0: spec.containers[0].image: Required value".to_owned();
        assert_eq!(cause, Some(Cause { reason: "WriteRefused".into(), message, failed: true }));
    }

    #[test]
    fn a_quota_that_a_member_meets_is_the_cause_and_a_failure() {
        let message = "create pod web-0: pods \"web-0\" is forbidden: exceeded quota: small";
        let cause = of(&said(&serde_json::json!({
            "conditions": [
                {"type": "Progressing", "status": "True", "reason": "PodNotReady", "message": "web-1: PodNotReady: starts"},
            ],
            "blockedBy": [
                {"pod": "web-1", "code": "PodNotReady", "message": "starts", "since": "2026-01-01T00:00:00Z"},
                {"pod": "web-0", "code": "Quota", "message": message, "since": "2026-01-01T00:00:00Z"},
            ],
        })));
        assert_eq!(cause, Some(Cause { reason: "Quota".into(), message: message.into(), failed: true }));
    }

    #[test]
    fn what_is_wrong_comes_before_what_goes_on() {
        let of = |conditions: serde_json::Value| {
            of(&said(&serde_json::json!({ "conditions": conditions })))
                .map(|cause| (cause.reason, cause.failed))
        };
        let shown = |type_: &str, reason: &str| serde_json::json!({"type": type_, "status": "True", "reason": reason, "message": "text"});
        let moving = shown("Progressing", "WaitForReady");
        assert_eq!(of(serde_json::json!([moving])), Some(("WaitForReady".into(), false)));
        let paused = shown("Paused", "PausedByUser");
        assert_eq!(of(serde_json::json!([moving, paused])), Some(("Paused".into(), false)));
        let refused = shown("UpdateRefused", "UpdateRefused");
        assert_eq!(of(serde_json::json!([paused, refused])), Some(("UpdateRefused".into(), true)));
        let invalid = shown("InvalidSpec", "SetHeld");
        assert_eq!(of(serde_json::json!([refused, invalid])), Some(("InvalidSpec".into(), true)));
        let ignored = shown("InvalidSpec", "FieldIgnored");
        assert_eq!(of(serde_json::json!([ignored])), None, "an ignored field holds nothing up");
    }

    #[test]
    fn a_status_that_cannot_be_read_or_is_of_an_older_generation_gives_no_cause() {
        assert_eq!(of(&said(&serde_json::json!({"conditions": "none"}))), None);
        let conditions =
            serde_json::json!({"conditions": [{"type": "Paused", "status": "True", "message": "paused"}]});
        assert_eq!(of(&Said { member_generation: Some(2), ..said(&conditions) }), None);
    }
}
