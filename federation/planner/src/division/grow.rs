//! Giving seats: minimums first, then by the highest quotient.

use std::collections::BinaryHeap;

use super::quotient::{Divisor, Quotient, Side};
use super::{Entry, sum};

/// Gives `seats` up to `missing` more and returns how many found no place.
pub(super) fn grow(entries: &[Entry], seats: &mut [u32], missing: u64) -> u64 {
    let missing = fill_minimums(entries, seats, missing);
    by_quotient(entries, seats, missing)
}

/// Serves minimums in the order of weight, each filled before the next.
fn fill_minimums(entries: &[Entry], seats: &mut [u32], mut missing: u64) -> u64 {
    for index in minimum_order(entries) {
        let entry = &entries[index];
        let gap = entry.min.min(entry.room).saturating_sub(seats[index]);
        let given = gap.min(u32::try_from(missing).unwrap_or(u32::MAX));
        seats[index] += given;
        missing -= u64::from(given);
    }
    missing
}

/// The order in which minimums are served: highest weight, then lowest hash. It must not look at seats, or a
/// cluster that is half filled would lose its turn, and the result would depend on the way to it.
pub(super) fn minimum_order(entries: &[Entry]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(entries[at].weight), entries[at].hash, at));
    order
}

fn by_quotient(entries: &[Entry], seats: &mut [u32], missing: u64) -> u64 {
    // What each entry may reach: nothing more for weight 0, and no less than it has.
    let limits: Vec<u32> = entries
        .iter()
        .zip(seats.iter())
        .map(|(entry, &seats)| if entry.weight == 0 { seats } else { entry.max.min(entry.room).max(seats) })
        .collect();
    let goal = sum(seats) + missing;
    let at = |divisor: Divisor, index: usize, floor: u32| {
        divisor.deserves(entries[index].weight).max(floor).min(limits[index])
    };
    if missing > entries.len() as u64 {
        let total = |divisor| {
            seats.iter().enumerate().map(|(index, &now)| u64::from(at(divisor, index, now))).sum::<u64>()
        };
        let weights = entries.iter().map(|entry| u128::from(entry.weight)).sum();
        let divisor = Divisor::around(goal, weights, total, (Side::NotAbove, entries.len() as u64));
        for (index, seats) in seats.iter_mut().enumerate() {
            *seats = at(divisor, index, *seats);
        }
    }
    let mut missing = goal - sum(seats);
    let mut best: BinaryHeap<Quotient> = (0..entries.len())
        .filter(|&index| seats[index] < limits[index])
        .map(|index| Quotient::of(entries, index, seats[index]))
        .collect();
    while missing > 0 {
        let Some(Quotient { index, .. }) = best.pop() else { break };
        seats[index] += 1;
        missing -= 1;
        if seats[index] < limits[index] {
            best.push(Quotient::of(entries, index, seats[index]));
        }
    }
    missing
}
