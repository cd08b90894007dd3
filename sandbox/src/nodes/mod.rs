//! Simulated nodes: a scheduler that places pods, and kubelets that start, change and stop them.
//!
//! Containers do not run; they are reported as a real kubelet reports them, with times drawn from a
//! seed. An image change restarts the one container, and nothing else of the pod.

pub mod address;
pub mod fit;
pub mod kubelet;
pub mod machine;
pub mod node;
pub mod scheduler;

/// How long things take on a simulated node. Each duration is drawn from the seed, the pod's name
/// and how often the thing happened to it, so it does not depend on the order of events.
#[derive(Clone, Debug)]
pub struct Timing {
    /// From binding until every container is ready.
    pub start: std::ops::RangeInclusive<std::time::Duration>,
    /// From an image change until the new container is reported.
    pub restart: std::ops::RangeInclusive<std::time::Duration>,
    /// From a deletion request until the pod is gone; never longer than its grace period.
    pub stop: std::ops::RangeInclusive<std::time::Duration>,
    /// What everything is drawn from.
    pub seed: u64,
}

impl Timing {
    /// A duration from `range` for the given parts.
    fn draw(
        &self,
        range: &std::ops::RangeInclusive<std::time::Duration>,
        parts: &[&str],
    ) -> std::time::Duration {
        use rand::{Rng, SeedableRng};
        let low = u64::try_from(range.start().as_millis()).unwrap_or(u64::MAX);
        let high = u64::try_from(range.end().as_millis()).unwrap_or(u64::MAX).max(low);
        let mut random = rand::rngs::SmallRng::seed_from_u64(self.seed ^ mix(parts));
        std::time::Duration::from_millis(random.random_range(low..=high))
    }
}

/// A 64-bit FNV-1a hash of `parts`, each ended by a zero byte.
fn mix(parts: &[&str]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.bytes().chain([0]))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
