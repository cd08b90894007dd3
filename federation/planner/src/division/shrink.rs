//! Taking seats: by the lowest quotient above the minimums, then the minimums themselves.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::quotient::{Divisor, Quotient, Side};
use super::{Entry, grow, sum};

/// Takes `surplus` seats, which must not be more than there are.
pub(super) fn shrink(entries: &[Entry], seats: &mut [u32], surplus: u64) {
    let floors: Vec<u32> =
        entries.iter().zip(seats.iter()).map(|(entry, seats)| entry.min.min(*seats)).collect();
    let surplus = above(entries, seats, &floors, surplus);
    drain_minimums(entries, seats, surplus);
}

/// Takes up to `surplus` seats that are above the floors and returns how many it could not take.
pub(super) fn above(entries: &[Entry], seats: &mut [u32], floors: &[u32], surplus: u64) -> u64 {
    let surplus = above_of(entries, seats, floors, surplus, Group::Weightless);
    above_of(entries, seats, floors, surplus, Group::Weighted)
}

/// Weight 0 is worth less than any quotient, so it is served apart and first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Weightless,
    Weighted,
}

impl Group {
    fn holds(self, entry: &Entry) -> bool {
        (entry.weight == 0) == (self == Self::Weightless)
    }
}

fn above_of(entries: &[Entry], seats: &mut [u32], floors: &[u32], surplus: u64, group: Group) -> u64 {
    let members: Vec<usize> = (0..entries.len()).filter(|&index| group.holds(&entries[index])).collect();
    let reserve =
        |seats: &[u32]| members.iter().map(|&index| u64::from(seats[index] - floors[index])).sum::<u64>();
    let available = reserve(seats);
    if surplus >= available {
        for &index in &members {
            seats[index] = floors[index];
        }
        return surplus - available;
    }
    if surplus > members.len() as u64 {
        let goal = members.iter().map(|&index| u64::from(seats[index])).sum::<u64>() - surplus;
        level(entries, seats, floors, &members, goal, group);
    }
    let mut surplus = surplus - (available - reserve(seats));
    let mut worst: BinaryHeap<Reverse<Quotient>> = members
        .iter()
        .filter(|&&index| seats[index] > floors[index])
        .map(|&index| Reverse(Quotient::of(entries, index, seats[index] - 1)))
        .collect();
    while surplus > 0 {
        let Some(Reverse(Quotient { index, .. })) = worst.pop() else { break };
        seats[index] -= 1;
        surplus -= 1;
        if seats[index] > floors[index] {
            worst.push(Reverse(Quotient::of(entries, index, seats[index] - 1)));
        }
    }
    surplus
}

/// Takes most of what is to be taken at once, and leaves at least `goal` seats to the members.
fn level(entries: &[Entry], seats: &mut [u32], floors: &[u32], members: &[usize], goal: u64, group: Group) {
    // Equal quotients of weight 0 are taken from whoever has most: a common level.
    let weight = |index: usize| if group == Group::Weightless { 1 } else { entries[index].weight };
    let keep = |divisor: Divisor, index: usize, now: u32| {
        divisor.deserves(weight(index)).max(floors[index]).min(now)
    };
    let kept =
        |divisor| members.iter().map(|&index| u64::from(keep(divisor, index, seats[index]))).sum::<u64>();
    let weights = members.iter().map(|&index| u128::from(weight(index))).sum();
    let divisor = Divisor::around(goal, weights, kept, (Side::NotBelow, members.len() as u64));
    for &index in members {
        seats[index] = keep(divisor, index, seats[index]);
    }
}

/// Takes seats below the minimums, in the reverse of the order in which they are served.
fn drain_minimums(entries: &[Entry], seats: &mut [u32], mut surplus: u64) {
    debug_assert!(surplus <= sum(seats), "more to take than there is");
    for index in grow::minimum_order(entries).into_iter().rev() {
        let taken = seats[index].min(u32::try_from(surplus).unwrap_or(u32::MAX));
        seats[index] -= taken;
        surplus -= u64::from(taken);
    }
}
