//! What of a set does not move, for how long, and why: `status.blockedBy` as a person reads it.

use jiff::Timestamp;
use muster_crds::tkex::{BlockedBy, GameStatefulSetStatus};
use serde::Serialize;

/// What of one set does not move.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blocked {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocked_by: Vec<Entry>,
    /// How many more there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_by_omitted: Option<i64>,
}

/// An entry with its age.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Entry {
    #[serde(flatten)]
    entry: BlockedBy,
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<String>,
}

// === impl Blocked ===

impl Blocked {
    /// As a status says it.
    pub(super) fn of(status: GameStatefulSetStatus, now: Timestamp) -> Self {
        let entry = |entry: BlockedBy| {
            let age = entry.since.as_ref().map(|since| age(since.0, now));
            Entry { entry, age }
        };
        Self {
            blocked_by: status.blocked_by.into_iter().map(entry).collect(),
            blocked_by_omitted: status.blocked_by_omitted,
        }
    }

    /// One line for each: pod, code, age and message.
    pub(super) fn lines(&self) -> Vec<String> {
        let pod = |entry: &Entry| {
            if entry.entry.pod.is_empty() { "(the set)".to_owned() } else { entry.entry.pod.clone() }
        };
        let width = |text: &dyn Fn(&Entry) -> usize| self.blocked_by.iter().map(text).max().unwrap_or(0);
        let (pods, codes) = (width(&|entry| pod(entry).len()), width(&|entry| entry.entry.code.len()));
        let line = |one: &Entry| {
            let (pod, BlockedBy { code, message, .. }) = (pod(one), &one.entry);
            let age = one.age.as_deref().unwrap_or("?");
            format!("{pod:<pods$}  {code:<codes$}  {age:>5}  {message}").trim_end().to_owned()
        };
        let mut lines: Vec<String> = self.blocked_by.iter().map(line).collect();
        lines.extend(self.blocked_by_omitted.map(|omitted| format!("and {omitted} more")));
        lines
    }
}

/// How long ago, in at most two units, as kubectl tells ages. What is to come, by a clock that goes wrong, is now.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        120..7200 => format!("{minutes}m"),
        7200..28_800 if minutes % 60 > 0 => format!("{hours}h{}m", minutes % 60),
        7200..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ages_are_told_in_at_most_two_units() {
        let now = Timestamp::from_second(10_000_000).unwrap();
        let ago = |seconds: i64| age(Timestamp::from_second(10_000_000 - seconds).unwrap(), now);
        let told: Vec<String> =
            [0, 119, 120, 335, 600, 7199, 7260, 30_000, 172_800].into_iter().map(ago).collect();
        assert_eq!(told, ["0s", "119s", "2m", "5m35s", "10m", "119m", "2h1m", "8h", "2d"]);
        assert_eq!(ago(-5), "0s");
    }

    #[test]
    fn each_entry_is_a_line_with_its_age_and_the_rest_is_counted() {
        let status = serde_json::from_value(json!({
            "blockedBy": [
                {"pod": "game-12", "code": "ImagePull", "message": "why", "since": "1970-01-01T00:16:40Z"},
                {"code": "Paused", "message": "why", "since": "1970-01-01T00:18:10Z"},
            ],
            "blockedByOmitted": 7,
        }));
        let status: GameStatefulSetStatus = status.unwrap();
        let blocked = Blocked::of(status, Timestamp::from_second(1100).unwrap());
        let lines = blocked.lines();
        assert_eq!(
            lines,
            ["game-12    ImagePull   100s  why", "(the set)  Paused       10s  why", "and 7 more"]
        );
        let json = serde_json::to_value(&blocked).unwrap();
        assert_eq!(json["blockedBy"][0]["age"], "100s");
        assert_eq!(json["blockedBy"][0]["code"], "ImagePull");
    }
}
