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

    /// The largest divisor for which `fits` holds; `fits` must hold for 0 and, once false, stay false.
    pub(super) fn largest(fits: impl Fn(Self) -> bool) -> Self {
        let (mut low, mut high) = (0, Self::MAX + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(Self(middle)) {
                low = middle;
            } else {
                high = middle;
            }
        }
        Self(low)
    }

    /// The next larger divisor.
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
