//! Readiness: a process is ready when every part that had to start has said so.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// The set of parts that are not ready. A part that was ready and is not any more takes a handle again.
#[derive(Clone, Default, Debug)]
pub struct Initialized(Arc<Mutex<BTreeMap<&'static str, Part>>>);

#[derive(Default, Debug)]
struct Part {
    handles: usize,
    why: String,
}

/// One part that is not ready; dropping it says that the part is.
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
        self.0.lock().entry(part).or_default().handles += 1;
        Handle { set: self.clone(), part }
    }

    /// The parts that are not ready yet, in alphabetical order; empty means ready.
    pub fn pending(&self) -> Vec<&'static str> {
        self.0.lock().keys().copied().collect()
    }

    /// The same with what each part waits for, as far as it said so: `hub (no connection)`.
    pub fn reasons(&self) -> Vec<String> {
        let parts = self.0.lock();
        let reason = |(name, part): (&&str, &Part)| match part.why.as_str() {
            "" => (*name).to_owned(),
            why => format!("{name} ({why})"),
        };
        parts.iter().map(reason).collect()
    }
}

impl Handle {
    /// Says what the part waits for.
    pub fn because(&self, why: &str) {
        if let Some(part) = self.set.0.lock().get_mut(self.part) {
            why.clone_into(&mut part.why);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut parts = self.set.0.lock();
        if let Some(part) = parts.get_mut(self.part) {
            part.handles -= 1;
            if part.handles == 0 {
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
        second.because("forbidden");
        assert_eq!(set.reasons(), ["lease", "pods (forbidden)"]);
        drop(second);
        drop(lease);
        assert!(set.pending().is_empty());
    }
}
