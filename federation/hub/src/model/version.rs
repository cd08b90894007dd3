//! Resource versions of the views: an epoch and a counter in one number.

/// Bits of the counter. What is above them is the epoch.
const COUNTER_BITS: u32 = 40;

/// Hands out resource versions: `epoch << 40 + counter`, growing, below 2^63.
///
/// Every term of a leading hub has its own epoch, so a version of an earlier term is always smaller, and a watch that
/// starts from one is answered with 410 instead of silently missing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    epoch: u64,
    counter: u64,
}

impl Versions {
    /// The largest epoch: versions stay below 2^63, which is what clients in Go can hold.
    pub const MAX_EPOCH: u64 = (1 << (63 - COUNTER_BITS)) - 1;

    /// Starts the versions of an epoch. The first version handed out is `epoch << 40 + 1`.
    pub fn new(epoch: u64) -> Self {
        Self { epoch: epoch.min(Self::MAX_EPOCH), counter: 0 }
    }

    /// The epoch of this term.
    pub fn epoch(self) -> u64 {
        self.epoch
    }

    /// How many versions were handed out in this term.
    pub fn counter(self) -> u64 {
        self.counter
    }

    /// The newest version that was handed out; the start of the epoch when none was.
    pub fn current(self) -> u64 {
        (self.epoch << COUNTER_BITS) + self.counter
    }

    /// The version before the first of this epoch.
    pub fn floor(self) -> u64 {
        self.epoch << COUNTER_BITS
    }

    /// Hands out the next version.
    pub fn take(&mut self) -> u64 {
        self.counter += 1;
        self.current()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_epoch_is_above_every_version_of_an_earlier_one() {
        let mut first = Versions::new(6);
        let seen: Vec<u64> = (0..1000).map(|_| first.take()).collect();
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(Versions::new(7).current() > first.current());
        assert_eq!(Versions::new(7).current(), 7 << 40);
    }

    #[test]
    fn versions_stay_below_two_to_the_63() {
        let mut last = Versions::new(u64::MAX);
        assert!(last.take() < 1 << 63);
    }
}
