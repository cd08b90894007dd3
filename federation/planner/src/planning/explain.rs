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

/// What the reasons of one cluster compare.
pub(super) struct Division<'a> {
    pub(super) entry: &'a Entry,
    /// Its seats.
    pub(super) seats: u32,
    /// Seats it gave to clusters with room because no node took them.
    pub(super) regranted: u32,
    /// What a division from nothing would give it.
    pub(super) fresh: u32,
    /// Weights of all clusters together.
    pub(super) weights: u128,
    /// Seats of all clusters together.
    pub(super) free: u32,
}

/// Why directional Webster gave a cluster its seats. The list has at most one reason for each rule that had a say.
///
/// A plan is made again from the seats it gave, and must not read differently then. So a number that a division from
/// nothing gives as well is explained by that, and only one that history brought about by what was done last.
pub(super) fn divided(candidate: &Candidate<'_>, division: &Division<'_>) -> Vec<Reason> {
    let Division { entry, seats, regranted, .. } = *division;
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
    if seats == division.fresh && regranted == 0 {
        reasons.push(by_rule(division));
    } else {
        // What it had before seats without a node went elsewhere.
        reasons.push(by_history(division, clipped, seats.saturating_add(regranted)));
    }
    if regranted > 0 {
        let text =
            format!("{regranted} seats found no node for a minute and were granted to clusters with room");
        reasons.push(Reason::new(ReasonCode::Regranted, text));
    }
    if seats < entry.min {
        let text = format!("min {}: {} seats short", entry.min, entry.min - seats);
        reasons.push(Reason::new(ReasonCode::MinUnmet, text));
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

/// Why a division from nothing gives a cluster its seats.
fn by_rule(division: &Division<'_>) -> Reason {
    let Division { entry: Entry { weight, min, .. }, seats, weights, free, .. } = *division;
    if *weight == 0 && *min == 0 {
        return Reason::new(ReasonCode::Weight, "weight 0 and no min: gets nothing");
    }
    if *weight == 0 {
        return Reason::new(ReasonCode::MinReplicas, format!("weight 0: gets its min {min} only"));
    }
    if seats > 0 && seats <= *min {
        let text = format!("min {min}: served before weights, {seats} of {free} seats");
        return Reason::new(ReasonCode::MinReplicas, text);
    }
    let text = match (u64::from(seats) * 2).checked_sub(1) {
        None => {
            format!("weight {weight} of {weights}: no seat, its quotient {weight}/1 is not among the highest")
        }
        Some(last) => format!(
            "weight {weight} of {weights}: highest quotient weight / (2 * seats + 1) gives it {seats} of {free} seats, the last at {weight}/{last}"
        ),
    };
    Reason::new(ReasonCode::Weight, text)
}

/// What the division did to seats that another history would have placed otherwise.
fn by_history(division: &Division<'_>, before: u32, after: u32) -> Reason {
    let Division { entry: Entry { weight, min, .. }, fresh, weights, .. } = *division;
    let weight = format!("weight {weight} of {weights}");
    let (code, text) = if after > before && after <= *min {
        (ReasonCode::MinReplicas, format!("min {min}: served before weights, from {before} to {after} seats"))
    } else if after > before {
        let text = format!(
            "{weight}: highest quotient weight / (2 * seats + 1) took it from {before} to {after} seats"
        );
        (ReasonCode::Weight, text)
    } else if after < before {
        let text = format!(
            "{weight}: lowest quotient weight / (2 * seats - 1) took it from {before} to {after} seats"
        );
        (ReasonCode::Shrunk, text)
    } else {
        (ReasonCode::Kept, format!("{weight}: keeps its {after} seats, nothing that runs is moved"))
    };
    Reason::new(code, format!("{text}; a division from nothing gives {fresh}"))
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
