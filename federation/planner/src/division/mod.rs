//! Directional Webster: dividing replicas over clusters without ever moving one that runs.
//!
//! Each cluster holds some seats. A missing seat goes to the cluster with the highest `weight / (2 * seats + 1)`, a
//! surplus seat is taken from the one with the lowest `weight / (2 * seats - 1)`: the last given is the first taken, so
//! the result does not depend on the way that led to it. Minimum, maximum and room only take clusters out of the choice.
//!
//! The quotients are compared as exact fractions. Seats are not handed out one by one: a search over the quotient
//! that divides given from not given ([`quotient::Divisor`]) does all but the last few, so 2^31 replicas cost no more
//! than a thousand.

mod grow;
mod quotient;
mod shrink;
#[cfg(test)]
mod tests;

/// What the division knows of one cluster that takes part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Share relative to the other clusters; 0 gets its minimum only.
    pub(crate) weight: u64,
    /// Fewest seats, served before weights.
    pub(crate) min: u32,
    /// Most seats, hard and at once; not below `min`.
    pub(crate) max: u32,
    /// Seats it has room for; limits growth and takes nothing away. `u32::MAX` when unlimited.
    pub(crate) room: u32,
    /// Seats it holds now.
    pub(crate) held: u32,
    /// Seats among those held that no node took for a long time: moving them disrupts nobody.
    pub(crate) idle: u32,
    /// Place among equals, lower first.
    pub(crate) hash: u32,
}

/// The seats of each entry, in the order of the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Division {
    /// Seats after the division.
    pub(crate) seats: Vec<u32>,
    /// Seats wanted and not placed: by the total, or by the minimums where they ask for more than the total.
    pub(crate) shortage: u64,
    /// Entries below their minimum although another holds more than its own: only a move could help.
    pub(crate) move_wanted: Vec<usize>,
    /// Seats that never found a node and were granted to other entries.
    pub(crate) regranted: Vec<u32>,
}

/// Divides `total` seats. Entries must come in the order of their clusters' names, which is the last tie-break.
pub(crate) fn divide(entries: &[Entry], total: u32) -> Division {
    let mut seats: Vec<u32> = entries.iter().map(|entry| entry.held.min(entry.max)).collect();
    let placed = sum(&seats);
    let total = u64::from(total);
    if placed > total {
        shrink::shrink(entries, &mut seats, placed - total);
    } else {
        grow::grow(entries, &mut seats, total - placed);
    }
    let regranted = regrant_idle(entries, &mut seats);
    let minimums: u64 = entries.iter().map(|entry| u64::from(entry.min)).sum();
    let shortage = total.max(minimums).saturating_sub(sum(&seats));
    Division { shortage, move_wanted: move_wanted(entries, &seats), regranted, seats }
}

/// Grants seats that never found a node in a full cluster to clusters that have room, as far as there is any, and
/// says how many each entry gave.
fn regrant_idle(entries: &[Entry], seats: &mut Vec<u32>) -> Vec<u32> {
    let floors: Vec<u32> = entries
        .iter()
        .zip(seats.iter())
        .map(|(entry, &seats)| {
            let beyond_room = seats.saturating_sub(entry.room);
            let beyond_min = seats.saturating_sub(entry.min);
            seats - entry.idle.min(beyond_room).min(beyond_min)
        })
        .collect();
    let idle = sum(seats) - sum(&floors);
    if idle == 0 {
        return vec![0; entries.len()];
    }
    let mut granted = seats.clone();
    let unplaced = grow::grow(entries, &mut granted, idle);
    // Who gives is full, so growth never went to a cluster that gives; what the others just got is not up again.
    let floors: Vec<u32> =
        (0..entries.len()).map(|at| if floors[at] < seats[at] { floors[at] } else { granted[at] }).collect();
    shrink::above(entries, &mut granted, &floors, idle - unplaced);
    let given = seats.iter().zip(&granted).map(|(before, after)| before.saturating_sub(*after)).collect();
    *seats = granted;
    given
}

fn move_wanted(entries: &[Entry], seats: &[u32]) -> Vec<usize> {
    let donor = entries.iter().zip(seats).any(|(entry, seats)| *seats > entry.min);
    if !donor {
        return Vec::new();
    }
    (0..entries.len()).filter(|&at| seats[at] < entries[at].min.min(entries[at].room)).collect()
}

fn sum(seats: &[u32]) -> u64 {
    seats.iter().copied().map(u64::from).sum()
}
