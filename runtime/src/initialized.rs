//! Readiness: a process is ready when every part that had to start has said so.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// The set of parts that are still starting.
#[derive(Clone, Default, Debug)]
pub struct Initialized(Arc<Mutex<BTreeMap<&'static str, usize>>>);

/// One part that is still starting; dropping it says that the part is ready.
#[derive(Debug)]
pub struct Handle {
    set: Initialized,
    part: &'static str,
}

impl Initialized {
    /// A set with nothing to wait for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a part. The whole is not ready until the handle is dropped.
    #[must_use = "dropping the handle says that the part is ready"]
    pub fn handle(&self, part: &'static str) -> Handle {
        *self.0.lock().entry(part).or_default() += 1;
        Handle { set: self.clone(), part }
    }

    /// The parts that are not ready yet, in alphabetical order; empty means ready.
    pub fn pending(&self) -> Vec<&'static str> {
        self.0.lock().keys().copied().collect()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut parts = self.set.0.lock();
        if let Some(count) = parts.get_mut(self.part) {
            *count -= 1;
            if *count == 0 {
                parts.remove(self.part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_handle_is_dropped() {
        let set = Initialized::new();
        let first = set.handle("pods");
        let second = set.handle("pods");
        let lease = set.handle("lease");
        drop(first);
        assert_eq!(set.pending(), ["lease", "pods"]);
        drop(second);
        drop(lease);
        assert!(set.pending().is_empty());
    }
}
