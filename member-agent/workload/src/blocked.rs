//! What does not move and why: `status.blockedBy`, made from a plan's waits.
//!
//! Everything that is waited for counts, also what every pod of a rollout passes through; only [`Code::MoreToDo`] does
//! not, for that set moves. An entry is one pod (or the set) and one code. It keeps its `since` as long as it is listed,
//! over plans and restarts, because the status on record is what remembers it; so a set at rest has the same entries
//! each time and nothing to write. How often a list that only moved along is written is the controller's to bound.

use std::collections::HashMap;

use jiff::Timestamp;
use muster_crds::conditions::stamp;
use muster_crds::tkex::BlockedBy;

use crate::plan::Wait;
use crate::reason::Code;
use crate::status::shorten;

/// Most entries of `status.blockedBy`; the others are counted. With [`MAX_BLOCKED_MESSAGE`] it keeps the list under
/// 8 KiB, so that a status with it still fits into what an agent reports to its hub.
pub const MAX_BLOCKED: usize = 20;

/// Most bytes of one entry's message.
pub const MAX_BLOCKED_MESSAGE: usize = 256;

/// The entries for these waits, and how many more there are. First comes what somebody has to see to, then what has
/// waited longest, then the set before its pods and these by ordinal. `before` is the list on record.
pub(crate) fn blocked_by(
    before: &[BlockedBy],
    waits: &[Wait],
    now: Timestamp,
) -> (Vec<BlockedBy>, Option<i64>) {
    let known: HashMap<(&str, &str), Timestamp> = before
        .iter()
        .filter_map(|entry| Some(((entry.pod.as_str(), entry.code.as_str()), entry.since.as_ref()?.0)))
        .collect();
    let fresh = stamp(now).0;
    let mut listed: Vec<Listed<'_>> = waits
        .iter()
        .enumerate()
        .filter(|(_, wait)| counts(wait))
        .map(|(index, wait)| {
            let (pod, code) = (pod(wait), wait.reason.code);
            let since = known.get(&(pod, code.as_str())).copied().unwrap_or(fresh);
            Listed { calm: !code.needs_somebody(), since, ordinal: ordinal(pod), pod, code, index }
        })
        .collect();
    // Waits of one pod and one code end side by side, in the order in which they were planned.
    listed.sort_unstable();
    let mut groups = listed.chunk_by(|a, b| (a.pod, a.code) == (b.pod, b.code));
    let entry = |group: &[Listed<'_>]| {
        let messages = group.iter().map(|one| waits[one.index].reason.message.as_str());
        Some(BlockedBy {
            pod: group.first()?.pod.to_owned(),
            code: group.first()?.code.to_string(),
            message: joined(messages),
            since: Some(stamp(group.first()?.since)),
        })
    };
    let entries = groups.by_ref().take(MAX_BLOCKED).filter_map(entry).collect();
    let omitted = groups.count();
    (entries, (omitted > 0).then(|| i64::try_from(omitted).unwrap_or(i64::MAX)))
}

/// A wait in the order of the list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Listed<'a> {
    /// Nobody has to see to it.
    calm: bool,
    since: Timestamp,
    ordinal: Option<u32>,
    pod: &'a str,
    code: Code,
    index: usize,
}

/// The waits that are listed now and were not on record, and that somebody has to see to: what an event is worth.
pub fn news<'a>(before: &[BlockedBy], now: &[BlockedBy], waits: &'a [Wait]) -> Vec<&'a Wait> {
    let lists = |list: &[BlockedBy], pod: &str, code: Code| {
        list.iter().any(|entry| entry.pod == pod && entry.code == code.as_str())
    };
    let mut news: Vec<&Wait> = Vec::new();
    for wait in waits.iter().filter(|wait| wait.reason.code.needs_somebody()) {
        let (pod, code) = (pod(wait), wait.reason.code);
        let told = news.iter().any(|other| other.pod == wait.pod && other.reason.code == code);
        if !told && lists(now, pod, code) && !lists(before, pod, code) {
            news.push(wait);
        }
    }
    news
}

fn counts(wait: &Wait) -> bool {
    wait.reason.code != Code::MoreToDo
}

fn pod(wait: &Wait) -> &str {
    wait.pod.as_ref().map_or("", |pod| pod.as_str())
}

/// The number at the end of a pod's name; none for the set.
fn ordinal(pod: &str) -> Option<u32> {
    pod.rsplit_once('-')?.1.parse().ok()
}

/// Several messages as one, each once.
fn joined<'a>(messages: impl Iterator<Item = &'a str>) -> String {
    let mut texts: Vec<&str> = Vec::new();
    for message in messages {
        if !texts.contains(&message) {
            texts.push(message);
        }
    }
    shorten(texts.join("; "), MAX_BLOCKED_MESSAGE)
}

#[cfg(test)]
mod tests {
    use muster_crds::names::ObjectName;

    use super::*;
    use crate::reason::Reason;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn wait(pod: &str, code: Code) -> Wait {
        let pod = (!pod.is_empty()).then(|| ObjectName::new(pod).unwrap());
        Wait { pod, reason: Reason::new(code, "waits"), until: None }
    }

    fn names(entries: &[BlockedBy]) -> Vec<String> {
        entries.iter().map(|entry| format!("{} {}", entry.pod, entry.code)).collect()
    }

    #[test]
    fn since_stays_while_pod_and_code_stay_and_begins_anew_with_another_code() {
        let waits = [wait("game-1", Code::PodNotReady), wait("game-2", Code::PodNotReady)];
        let (first, omitted) = blocked_by(&[], &waits, at(100));
        assert_eq!(omitted, None);
        let later = [wait("game-1", Code::PodNotReady), wait("game-2", Code::Settling)];
        let (second, _) = blocked_by(&first, &later, at(160));
        let since = |entries: &[BlockedBy]| -> Vec<i64> {
            entries.iter().map(|entry| entry.since.as_ref().unwrap().0.as_second()).collect()
        };
        assert_eq!(since(&first), [100, 100]);
        assert_eq!(names(&second), ["game-1 PodNotReady", "game-2 Settling"]);
        assert_eq!(since(&second), [100, 160]);
        assert_eq!(blocked_by(&second, &later, at(900)).0, second);
    }

    #[test]
    fn longest_waits_come_first_after_what_somebody_has_to_see_to() {
        let old = [wait("game-9", Code::BudgetUsed)];
        let (before, _) = blocked_by(&[], &old, at(10));
        let waits = [
            wait("game-10", Code::BudgetUsed),
            wait("game-2", Code::BudgetUsed),
            wait("game-9", Code::BudgetUsed),
            wait("game-7", Code::ImagePull),
            wait("", Code::Paused),
        ];
        let (entries, _) = blocked_by(&before, &waits, at(70));
        let want =
            ["game-7 ImagePull", "game-9 BudgetUsed", " Paused", "game-2 BudgetUsed", "game-10 BudgetUsed"];
        assert_eq!(names(&entries), want);
    }

    #[test]
    fn the_list_is_bounded_and_the_rest_counted() {
        let mut waits: Vec<Wait> =
            (0..5000).map(|ordinal| wait(&format!("game-{ordinal}"), Code::BudgetUsed)).collect();
        waits.push(wait("", Code::MoreToDo));
        let (entries, omitted) = blocked_by(&[], &waits, at(0));
        assert_eq!(entries.len(), MAX_BLOCKED);
        assert_eq!(omitted, Some(5000 - i64::try_from(MAX_BLOCKED).unwrap()));
        assert_eq!(entries.last().unwrap().pod, "game-19");
    }

    #[test]
    fn several_messages_of_one_code_are_one_short_entry() {
        let mut waits = vec![wait("", Code::InvalidSpec); 3];
        waits[1].reason.message = "x".repeat(500);
        let (entries, _) = blocked_by(&[], &waits, at(0));
        assert_eq!(entries.len(), 1);
        assert!(entries[0].message.starts_with("waits; xxx"), "{}", entries[0].message);
        assert_eq!(entries[0].message.len(), MAX_BLOCKED_MESSAGE);
    }

    #[test]
    fn news_is_what_somebody_has_to_see_to_and_was_not_on_record() {
        let waits = [
            wait("game-1", Code::ImagePull),
            wait("game-2", Code::ImagePull),
            wait("game-3", Code::PodNotReady),
            wait("game-2", Code::ImagePull),
        ];
        let (before, _) = blocked_by(&[], &waits[..1], at(0));
        let (now, _) = blocked_by(&before, &waits, at(5));
        let told: Vec<String> = news(&before, &now, &waits).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["game-2: ImagePull: waits"]);
        assert!(news(&now, &now, &waits).is_empty());
    }
}
