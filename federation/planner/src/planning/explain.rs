//! The reasons of one cluster's number.

use super::seats::Candidate;
use super::standing::Standing;
use crate::division::Entry;
use crate::kubefed;
use crate::reason::{Reason, ReasonCode};

/// Where a cluster without recorded seats starts from.
pub(super) fn started(standing: &Standing<'_>) -> Option<Reason> {
    let reported = standing.reported.filter(|reported| *reported > 0)?;
    let text = format!("no recorded seats: starts from the {reported} replicas it reported");
    Some(Reason::new(ReasonCode::FromInventory, text))
}

/// Why directional Webster gave a cluster its seats. The list has at most one reason for each rule that had a say.
pub(super) fn divided(
    candidate: &Candidate<'_>,
    entry: &Entry,
    seats: u32,
    regranted: u32,
    weights: u128,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    reasons.extend(started(candidate.standing));
    if candidate.share.is_none() {
        reasons.push(unlisted(candidate));
        return reasons;
    }
    let clipped = entry.held.min(entry.max);
    if clipped < entry.held {
        let cut = entry.held - clipped;
        let text = format!("max {}: {cut} of its {} seats go", entry.max, entry.held);
        reasons.push(Reason::new(ReasonCode::MaxReplicas, text));
    }
    // What it had before seats without a node went elsewhere.
    let divided = seats + regranted;
    reasons.push(turn(entry, clipped, divided, weights));
    if regranted > 0 {
        let text =
            format!("{regranted} seats found no node for a minute and were granted to clusters with room");
        reasons.push(Reason::new(ReasonCode::Regranted, text));
    }
    if seats < entry.min {
        let text = format!("min {}: {} seats short", entry.min, entry.min - seats);
        reasons.push(Reason::new(ReasonCode::MinUnmet, text));
    } else if seats == entry.min && entry.min > 0 && entry.weight > 0 {
        reasons.push(Reason::new(ReasonCode::MinReplicas, format!("min {}", entry.min)));
    }
    if seats == entry.max && clipped == entry.held {
        reasons.push(Reason::new(ReasonCode::MaxReplicas, format!("max {}: takes no more", entry.max)));
    }
    if seats >= entry.room {
        let text = format!("capacity {}: has no room for more", entry.room);
        reasons.push(Reason::new(ReasonCode::Capacity, text));
    }
    reasons
}

/// What the division did: gave, took, or left as it was.
fn turn(entry: &Entry, before: u32, after: u32, weights: u128) -> Reason {
    let weight = format!("weight {} of {weights}", entry.weight);
    if entry.weight == 0 && after >= before {
        let text = match entry.min {
            0 => format!("weight 0: gets nothing beyond its {before} seats"),
            min => format!("weight 0: gets its min {min} only"),
        };
        return Reason::new(ReasonCode::MinReplicas, text);
    }
    if after > before && after <= entry.min {
        let text = format!("min {}: served before weights, from {before} to {after} seats", entry.min);
        return Reason::new(ReasonCode::MinReplicas, text);
    }
    if after > before {
        let last = 2 * u64::from(after) - 1;
        return Reason::new(
            ReasonCode::Weight,
            format!(
                "{weight}: highest quotient weight / (2 * seats + 1) gave it seats {} to {after}, the last at {}/{last}",
                u64::from(before) + 1,
                entry.weight,
            ),
        );
    }
    if after < before {
        return Reason::new(
            ReasonCode::Shrunk,
            format!(
                "{weight}: lowest quotient weight / (2 * seats - 1) took {} of its {before} seats",
                before - after
            ),
        );
    }
    if after == 0 {
        let text = format!("{weight}: no seat, its quotient {}/1 was not among the highest", entry.weight);
        return Reason::new(ReasonCode::Weight, text);
    }
    Reason::new(ReasonCode::Kept, format!("{weight}: keeps its {after} seats, nothing that runs is moved"))
}

fn unlisted(candidate: &Candidate<'_>) -> Reason {
    let why = if candidate.unselected {
        "intersectWithClusterSelector: the selector of the object does not match it"
    } else {
        "the preference has no entry for it and none for \"*\""
    };
    Reason::new(ReasonCode::NoPreferenceEntry, format!("{why}: 0 seats"))
}

/// Why kubefed's algorithm gave a cluster its replicas.
pub(super) fn by_kubefed(candidate: &Candidate<'_>, given: kubefed::Share) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = started(candidate.standing).into_iter().collect();
    let Some(share) = candidate.share else {
        reasons.push(unlisted(candidate));
        return reasons;
    };
    let max = share.max.map_or_else(|| "no max".to_owned(), |max| format!("max {max}"));
    let text = format!(
        "kubefed's planner: weight {}, min {}, {max}, {} held: {} planned",
        share.weight,
        share.min,
        candidate.standing.held(),
        given.plan,
    );
    reasons.push(Reason::new(ReasonCode::Kubefed, text));
    if given.overflow > 0 {
        let room = candidate.room.unwrap_or(u32::MAX);
        let text = format!(
            "{} more are requested than its capacity of {room}, to start when room appears",
            given.overflow
        );
        reasons.push(Reason::new(ReasonCode::Overflow, text));
    }
    reasons
}
