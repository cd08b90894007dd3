//! How many seats every placed cluster gets.

use muster_crds::ClusterName;

use super::explain;
use super::standing::{Part, Standing};
use super::{Mode, Snapshot, is_open};
use crate::division::{self, Entry};
use crate::fnv::tie_hash;
use crate::kubefed;
use crate::model::{Algorithm, Preference, Share};
use crate::reason::{Reason, ReasonCode};
use crate::selector;

/// The seats of all placed clusters.
pub(super) struct Seating {
    /// In the order of the standings.
    pub(super) allotments: Vec<Allotment>,
    /// Replicas asked for.
    pub(super) total: u64,
    /// Replicas that found no place.
    pub(super) shortage: u64,
    /// What the division noticed.
    pub(super) findings: Findings,
}

/// The seats of one placed cluster.
pub(super) struct Allotment {
    pub(super) seats: u32,
    /// Why; the reason of a hold is not among them.
    pub(super) reasons: Vec<Reason>,
}

/// What a division noticed, for conditions. Numbers are places in the list of standings.
#[derive(Default)]
pub(super) struct Findings {
    /// Below their minimum, and only a move could help.
    pub(super) move_wanted: Vec<usize>,
    /// Below their minimum for another reason.
    pub(super) min_unmet: Vec<usize>,
    /// Without an entry in the preference.
    pub(super) unlisted: Vec<usize>,
    /// Seats that a fresh division would place elsewhere, where the preference asks for a rebalance.
    pub(super) misplaced: u64,
    /// Seats that pins and frozen clusters hold beyond the total.
    pub(super) pin_surplus: u64,
}

pub(super) fn seat(snapshot: &Snapshot<'_>, mode: Mode<'_>, standings: &[Standing<'_>]) -> Seating {
    match mode {
        Mode::NoReplicas => {
            let reason = Reason::new(
                ReasonCode::NoReplicas,
                "the kind has no replicas: the object is in every placed cluster",
            );
            simple(standings, |_| (0, reason.clone()))
        }
        Mode::Duplicate { replicas, asked } => {
            let why = if asked {
                format!("annotated {}", muster_crds::keys::annotation::DIVISION)
            } else {
                "no preference".into()
            };
            let reason = Reason::new(
                ReasonCode::Duplicated,
                format!("{why}: every placed cluster gets the template's {replicas} replicas"),
            );
            simple(standings, |_| (replicas, reason.clone()))
        }
        Mode::Keep { replicas } => simple(standings, |standing| {
            let seats = standing.held();
            let text = format!(
                "the preference was deleted: keeps {seats} seats until the {replicas} replicas or the placement change"
            );
            (seats, Reason::new(ReasonCode::PreferenceRemoved, text))
        }),
        Mode::Divide { preference, total, .. } => divide(snapshot, preference, total, standings),
    }
}

/// Seats that depend on nothing but the cluster itself.
fn simple(standings: &[Standing<'_>], open: impl Fn(&Standing<'_>) -> (u32, Reason)) -> Seating {
    let allotments: Vec<Allotment> = standings
        .iter()
        .map(|standing| {
            let (seats, reason) = match &standing.part {
                Part::Open => open(standing),
                Part::Fixed { seats, reason } => (*seats, reason.clone()),
            };
            Allotment { seats, reasons: explain::started(standing).into_iter().chain([reason]).collect() }
        })
        .collect();
    let total = allotments.iter().map(|allotment| u64::from(allotment.seats)).sum();
    Seating { allotments, total, shortage: 0, findings: Findings::default() }
}

/// One open cluster, as the division sees it.
pub(super) struct Candidate<'a> {
    /// Place in the list of standings.
    at: usize,
    pub(super) standing: &'a Standing<'a>,
    /// Its entry in the preference; `None` gets nothing.
    pub(super) share: Option<&'a Share>,
    /// Whether it gets nothing because the object's selector leaves it out.
    pub(super) unselected: bool,
    /// Most seats it has room for, where that is known.
    pub(super) room: Option<u32>,
    unscheduled: u32,
    hash: u32,
}

fn divide(
    snapshot: &Snapshot<'_>,
    preference: &Preference,
    total: u32,
    standings: &[Standing<'_>],
) -> Seating {
    let fixed: u64 = standings
        .iter()
        .map(|standing| match &standing.part {
            Part::Fixed { seats, .. } => u64::from(*seats),
            Part::Open => 0,
        })
        .sum();
    let free = u32::try_from(u64::from(total).saturating_sub(fixed)).unwrap_or(0);
    let key = snapshot.object.key.to_string();
    let candidates: Vec<Candidate<'_>> = standings
        .iter()
        .enumerate()
        .filter(|(_, standing)| is_open(standing))
        .map(|(at, standing)| candidate(snapshot, preference, &key, at, standing))
        .collect();
    let (open, shortage, mut findings) = match preference.algorithm {
        Algorithm::Webster => webster(preference, &candidates, free),
        Algorithm::Kubefed => by_kubefed(preference, &candidates, free),
    };
    findings.pin_surplus = fixed.saturating_sub(u64::from(total));
    let mut open = open.into_iter();
    let allotments = standings
        .iter()
        .map(|standing| match &standing.part {
            Part::Fixed { seats, reason } => Allotment {
                seats: *seats,
                reasons: explain::started(standing).into_iter().chain([reason.clone()]).collect(),
            },
            Part::Open => open.next().unwrap_or(Allotment { seats: 0, reasons: Vec::new() }),
        })
        .collect();
    Seating { allotments, total: u64::from(total), shortage, findings }
}

fn candidate<'a>(
    snapshot: &Snapshot<'_>,
    preference: &'a Preference,
    key: &str,
    at: usize,
    standing: &'a Standing<'a>,
) -> Candidate<'a> {
    let capacity = snapshot.observed.capacity.get(standing.name);
    let unselected = preference.intersect && !is_selected(snapshot, standing.name);
    Candidate {
        at,
        standing,
        share: preference.share(standing.name).filter(|_| !unselected),
        unselected,
        room: capacity.map(crate::model::Capacity::room),
        unscheduled: capacity.map_or(0, |capacity| capacity.unscheduled),
        hash: tie_hash(standing.name.as_str(), key),
    }
}

/// Whether the selector of the object, where it has one, matches the cluster.
fn is_selected(snapshot: &Snapshot<'_>, name: &ClusterName) -> bool {
    let member = snapshot.fleet.clusters.get(name);
    let selector = snapshot.object.placement.selector.as_ref();
    selector.zip(member).is_none_or(|(selector, member)| selector::matches(selector, &member.labels))
}

fn webster(
    preference: &Preference,
    candidates: &[Candidate<'_>],
    free: u32,
) -> (Vec<Allotment>, u64, Findings) {
    let entries: Vec<Entry> = candidates.iter().map(entry).collect();
    let division = division::divide(&entries, free);
    let fresh = fresh(&entries, free);
    let weights: u128 = entries.iter().map(|entry| u128::from(entry.weight)).sum();
    let allotments = (0..entries.len())
        .map(|open| {
            let seats = division.seats[open];
            let regranted = division.regranted[open];
            let explained = explain::Division {
                entry: &entries[open],
                seats,
                regranted,
                fresh: fresh[open],
                weights,
                free,
            };
            Allotment { seats, reasons: explain::divided(&candidates[open], &explained) }
        })
        .collect();
    let place = |open: &usize| candidates[*open].at;
    let unmet = (0..entries.len())
        .filter(|open| division.seats[*open] < entries[*open].min && !division.move_wanted.contains(open));
    let findings = Findings {
        min_unmet: unmet.map(|open| place(&open)).collect(),
        move_wanted: division.move_wanted.iter().map(place).collect(),
        unlisted: unlisted(candidates),
        misplaced: if preference.rebalance { misplaced(&fresh, &division.seats) } else { 0 },
        pin_surplus: 0,
    };
    (allotments, division.shortage, findings)
}

fn entry(candidate: &Candidate<'_>) -> Entry {
    let room = candidate.room.unwrap_or(u32::MAX);
    let held = candidate.standing.held();
    let idle = candidate.unscheduled;
    match candidate.share {
        None => Entry { weight: 0, min: 0, max: 0, room, held, idle, hash: candidate.hash },
        Some(share) => Entry {
            weight: share.weight,
            min: share.min,
            max: share.max.unwrap_or(u32::MAX),
            room,
            held,
            idle,
            hash: candidate.hash,
        },
    }
}

/// What a division from nothing gives.
fn fresh(entries: &[Entry], free: u32) -> Vec<u32> {
    let fresh: Vec<Entry> = entries.iter().map(|entry| Entry { held: 0, idle: 0, ..entry.clone() }).collect();
    division::divide(&fresh, free).seats
}

/// Seats that a division from nothing would place elsewhere.
fn misplaced(fresh: &[u32], seats: &[u32]) -> u64 {
    fresh.iter().zip(seats).map(|(fresh, now)| u64::from(fresh.saturating_sub(*now))).sum()
}

fn by_kubefed(
    preference: &Preference,
    candidates: &[Candidate<'_>],
    free: u32,
) -> (Vec<Allotment>, u64, Findings) {
    let rows: Vec<kubefed::Candidate> = candidates
        .iter()
        .map(|candidate| kubefed::Candidate {
            entry: candidate.share.map(|share| kubefed::Entry {
                weight: share.weight,
                min: share.min,
                max: share.max,
            }),
            existing: Some(candidate.standing.held()),
            capacity: candidate.room,
            hash: candidate.hash,
        })
        .collect();
    let shares = kubefed::divide(&rows, free, preference.rebalance);
    let planned: u64 = shares.iter().map(|share| u64::from(share.plan)).sum();
    let allotments = candidates
        .iter()
        .zip(&shares)
        .map(|(candidate, share)| Allotment {
            seats: share.written(),
            reasons: explain::by_kubefed(candidate, *share),
        })
        .collect();
    let findings = Findings { unlisted: unlisted(candidates), ..Findings::default() };
    (allotments, u64::from(free).saturating_sub(planned), findings)
}

fn unlisted(candidates: &[Candidate<'_>]) -> Vec<usize> {
    candidates
        .iter()
        .filter(|candidate| candidate.share.is_none() && !candidate.unselected)
        .map(|candidate| candidate.at)
        .collect()
}
