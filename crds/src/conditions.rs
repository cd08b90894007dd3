//! Conditions: one type for all kinds, and how a list of them changes.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be told.
    Unknown,
}

impl Truth {
    /// The spelling in `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl std::fmt::Display for Truth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One observation about an object. All kinds share this type; kubefed's kinds use the two extra times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "One observation about the object.")]
pub struct Condition {
    /// What the condition is about, in CamelCase.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, as one CamelCase word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Generation of the object that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// When the condition last changed in any way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
    /// When the condition was last looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<Time>,
}

impl Condition {
    /// A condition without times; [`set_condition`] fills in when it changed.
    pub fn new(
        type_: impl Into<String>,
        status: impl Into<Truth>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let some = |text: String| (!text.is_empty()).then_some(text);
        Self {
            type_: type_.into(),
            status: status.into().as_str().to_owned(),
            reason: some(reason.into()),
            message: some(message.into()),
            ..Self::default()
        }
    }

    /// The same, for this generation of the object.
    #[must_use]
    pub fn observed(self, generation: Option<i64>) -> Self {
        Self { observed_generation: generation, ..self }
    }

    /// Whether the status is True.
    pub fn is_true(&self) -> bool {
        self.status == Truth::True.as_str()
    }
}

/// The condition of this type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of this type is there and True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(Condition::is_true)
}

/// Puts a condition in the place of the one of its type, or at the end.
///
/// `lastTransitionTime` is kept while the status stays the same and is `now` otherwise. Answers whether anything but
/// `lastUpdateTime` and `lastProbeTime` changed, that is, whether the status is worth a write.
pub fn set_condition(conditions: &mut Vec<Condition>, condition: Condition, now: Timestamp) -> bool {
    let Some(old) = conditions.iter_mut().find(|old| old.type_ == condition.type_) else {
        conditions.push(Condition { last_transition_time: Some(stamp(now)), ..condition });
        return true;
    };
    let kept = old.last_transition_time.take().filter(|_| old.status == condition.status);
    let changed = kept.is_none()
        || old.reason != condition.reason
        || old.message != condition.message
        || old.observed_generation != condition.observed_generation;
    *old = Condition { last_transition_time: Some(kept.unwrap_or_else(|| stamp(now))), ..condition };
    changed
}

/// A time as Kubernetes stores it: whole seconds. A finer one would differ from what comes back of it.
pub fn stamp(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// Takes the condition of this type out; answers whether it was there.
pub fn remove_condition(conditions: &mut Vec<Condition>, type_: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|condition| condition.type_ != type_);
    conditions.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn changed_at(conditions: &[Condition], type_: &str) -> i64 {
        find(conditions, type_).unwrap().last_transition_time.as_ref().unwrap().0.as_second()
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let mut conditions = Vec::new();
        assert!(set_condition(&mut conditions, Condition::new("Ready", false, "Starting", "0 of 3"), at(1)));
        assert!(set_condition(&mut conditions, Condition::new("Ready", false, "Starting", "1 of 3"), at(2)));
        assert_eq!(changed_at(&conditions, "Ready"), 1);
        assert!(set_condition(&mut conditions, Condition::new("Ready", true, "Up", ""), at(3)));
        assert_eq!(changed_at(&conditions, "Ready"), 3);
        assert!(is_true(&conditions, "Ready"));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn saying_the_same_again_changes_nothing() {
        let mut conditions = Vec::new();
        let up = Condition::new("Ready", true, "Up", "all").observed(Some(4));
        assert!(set_condition(&mut conditions, up.clone(), at(1)));
        let before = conditions.clone();
        assert!(!set_condition(&mut conditions, up.clone(), at(9)));
        assert_eq!(conditions, before);
        let probed = Condition { last_probe_time: Some(Time(at(10))), ..up.clone() };
        assert!(!set_condition(&mut conditions, probed, at(10)));
        assert!(conditions[0].last_probe_time.is_some());
        assert!(set_condition(&mut conditions, up.observed(Some(5)), at(11)));
    }

    #[test]
    fn conditions_of_other_types_stay() {
        let mut conditions = Vec::new();
        set_condition(&mut conditions, Condition::new("Ready", true, "", ""), at(1));
        set_condition(&mut conditions, Condition::new("Planned", Truth::Unknown, "Waiting", ""), at(2));
        assert!(remove_condition(&mut conditions, "Ready"));
        assert!(!remove_condition(&mut conditions, "Ready"));
        assert_eq!(find(&conditions, "Planned").unwrap().status, "Unknown");
        assert!(!is_true(&conditions, "Ready"));
    }

    #[test]
    fn a_transition_time_is_what_comes_back_after_storing_it() {
        let mut conditions = Vec::new();
        let now: Timestamp = "2026-01-01T00:00:00.987654321Z".parse().unwrap();
        set_condition(&mut conditions, Condition::new("Ready", true, "Up", ""), now);
        let stored = serde_json::to_value(&conditions).unwrap();
        assert_eq!(serde_json::from_value::<Vec<Condition>>(stored).unwrap(), conditions);
    }
}
