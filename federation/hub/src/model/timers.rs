//! When something has to be looked at although nothing happens.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use muster_crds::names::{ClusterName, ObjectKey};

use super::kind::KindId;

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Contact with a member has to be judged.
    Contact(ClusterName),
    /// An object has to be planned again.
    Plan(KindId, ObjectKey),
    /// An object's status says something about time.
    Status(KindId, ObjectKey),
    /// Numbers of an earlier hub are stale from now on.
    Stale,
    /// A tombstone has lived long enough.
    Tombstone(String),
}

/// Timers, one of each kind and object.
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Timestamp, Timer)>,
    at: BTreeMap<Timer, Timestamp>,
}

impl Timers {
    /// Sets a timer, or clears it. A timer that was set before is moved.
    pub(super) fn set(&mut self, timer: Timer, at: Option<Timestamp>) {
        if let Some(before) = self.at.remove(&timer) {
            self.order.remove(&(before, timer.clone()));
        }
        if let Some(at) = at {
            self.at.insert(timer.clone(), at);
            self.order.insert((at, timer));
        }
    }

    /// When the first timer is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes a timer that is due.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.order.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_that_is_moved_or_cleared_does_not_fire_at_its_old_time() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let timer = |name: &str| Timer::Tombstone(name.to_owned());
        let mut timers = Timers::default();
        timers.set(timer("a"), Some(at(1)));
        timers.set(timer("b"), Some(at(2)));
        timers.set(timer("c"), Some(at(3)));
        timers.set(timer("a"), Some(at(9)));
        timers.set(timer("b"), None);
        assert_eq!(timers.pop(at(2)), None);
        assert_eq!(timers.next(), Some(at(3)));
        assert_eq!(timers.pop(at(9)), Some(timer("c")));
        assert_eq!(timers.pop(at(9)), Some(timer("a")));
        assert_eq!(timers.pop(at(9)), None);
    }
}
