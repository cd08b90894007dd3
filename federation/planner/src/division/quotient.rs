//! Exact comparison of quotients, and the divisor that stands for a whole run of them.

use std::cmp::Ordering;

use super::Entry;

/// `weight / (2 * rank + 1)`: what the seat number `rank` (from 0) of a cluster is worth.
///
/// The order is that of giving: greater goes first. Among equal quotients fewer seats go first, then the lower
/// hash, then the earlier name; taking seats back uses the same order from its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quotient {
    pub(super) weight: u64,
    pub(super) rank: u32,
    pub(super) hash: u32,
    pub(super) index: usize,
}

impl Quotient {
    /// Worth of seat `rank` of the entry at `index`.
    pub(super) fn of(entries: &[Entry], index: usize, rank: u32) -> Self {
        Self { weight: entries[index].weight, rank, hash: entries[index].hash, index }
    }

    fn odd(self) -> u128 {
        2 * u128::from(self.rank) + 1
    }
}

impl Ord for Quotient {
    fn cmp(&self, other: &Self) -> Ordering {
        // a/b < c/d is a*d < c*b; below 2^64 * 2^33 each.
        let this = u128::from(self.weight) * other.odd();
        let that = u128::from(other.weight) * self.odd();
        this.cmp(&that)
            .then_with(|| other.rank.cmp(&self.rank))
            .then_with(|| other.hash.cmp(&self.hash))
            .then_with(|| other.index.cmp(&self.index))
    }
}

impl PartialOrd for Quotient {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Binary digits of a [`Divisor`] behind the point. With weights below 2^64 neighbouring divisors differ by at most
/// four seats per cluster.
const FRACTION: u32 = 62;

/// A divisor `D`: a cluster of weight `w` deserves `w * D / 2` seats, rounded half up. That is the number of its
/// quotients that are at least `1 / D`, so every divisor is one cut through the order of all quotients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Divisor(u128);

impl Divisor {
    /// Above this a weight of 1 deserves every seat there can be.
    const MAX: u128 = 1 << (34 + FRACTION);

    /// Seats a weight deserves, at most `u32::MAX`.
    pub(super) fn deserves(self, weight: u64) -> u32 {
        // weight * self / 2^FRACTION, in two parts that fit: 2^64 * 2^34 and 2^64 * 2^62.
        let whole = self.0 >> FRACTION;
        let fraction = self.0 & ((1 << FRACTION) - 1);
        let weight = u128::from(weight);
        let share = weight * whole + ((weight * fraction) >> FRACTION);
        u32::try_from(share.div_ceil(2)).unwrap_or(u32::MAX)
    }

    /// Divisors around `goal`, which must not be below what no divisor at all deserves. `seats` says how many seats a
    /// divisor deserves in all; it must not fall as the divisor rises. The search begins where clusters without limits
    /// would have it, and ends when it is exact, or the side that is asked for is at most `slack` seats away.
    pub(super) fn around(
        goal: u64,
        weights: u128,
        seats: impl Fn(Self) -> u64,
        (side, slack): (Side, u64),
    ) -> Self {
        if seats(Self(Self::MAX)) <= goal {
            return Self(Self::MAX);
        }
        let (mut low, mut high) = (0, Self::MAX);
        let mut middle = ((u128::from(goal) << (FRACTION + 1)) / weights.max(1)).clamp(1, Self::MAX - 1);
        while high - low > 1 {
            let found = seats(Self(middle));
            let near = match side {
                Side::NotAbove => found <= goal && goal - found <= slack,
                Side::NotBelow => found >= goal && found - goal <= slack,
            };
            if near {
                return Self(middle);
            }
            if found <= goal {
                low = middle;
            } else {
                high = middle;
            }
            // Away from the guess in doubling steps until the goal is between, then by halves.
            let half = low + (high - low) / 2;
            middle = match (low, high) {
                (_, Self::MAX) => half.min(low * 2),
                (0, _) => high / 2,
                _ => half,
            };
        }
        match side {
            Side::NotAbove => Self(low),
            Side::NotBelow => Self(high),
        }
    }
}

/// Which of two neighbouring divisors is wanted when none is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// At most the goal.
    NotAbove,
    /// At least the goal.
    NotBelow,
}
