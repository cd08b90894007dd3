//! Simulated nodes: a scheduler that places pods, kubelets that start, change and stop them, and what a cluster does when
//! a node is lost.
//!
//! Containers do not run; they are reported as a real kubelet reports them, with times drawn from a
//! seed. An image change restarts the one container, and nothing else of the pod.

pub mod address;
mod container;
pub mod fit;
pub mod images;
pub mod kubelet;
pub mod lost;
pub mod machine;
pub mod node;
pub mod resize;
pub mod scheduler;
pub mod volumes;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Commands below these paths are in no image; a container that has one does not start. The second is that of the pods
/// with which an agent pulls images.
const NO_COMMANDS: [&str; 2] = ["/nonexistent/", "/muster.dev/"];

/// How long things take on a simulated node. Each duration is drawn from the seed, the pod's name
/// and how often the thing happened to it, so it does not depend on the order of events.
#[derive(Clone, Debug)]
pub struct Timing {
    /// From binding until every container is ready.
    pub start: std::ops::RangeInclusive<Duration>,
    /// From an image change until the new container is reported.
    pub restart: std::ops::RangeInclusive<Duration>,
    /// From a deletion request until the pod is gone; never longer than its grace period.
    pub stop: std::ops::RangeInclusive<Duration>,
    /// What everything is drawn from.
    pub seed: u64,
}

/// What a node keeps beside its pods.
#[derive(Debug, Default)]
pub struct Host {
    /// Images that were pulled.
    pub images: BTreeSet<String>,
}

impl Host {
    /// How long a pull takes: nothing for an image that is there.
    fn pull_time(&self, image: &str) -> Duration {
        if self.images.contains(image) { Duration::ZERO } else { images::pull_time(image) }
    }
}

impl Timing {
    /// A duration from `range` for the given parts.
    fn draw(&self, range: &std::ops::RangeInclusive<Duration>, parts: &[&str]) -> Duration {
        use rand::{Rng, SeedableRng};
        let low = u64::try_from(range.start().as_millis()).unwrap_or(u64::MAX);
        let high = u64::try_from(range.end().as_millis()).unwrap_or(u64::MAX).max(low);
        let mut random = rand::rngs::SmallRng::seed_from_u64(self.seed ^ mix(parts));
        Duration::from_millis(random.random_range(low..=high))
    }
}

/// A 64-bit FNV-1a hash of `parts`, each ended by a zero byte.
fn mix(parts: &[&str]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.bytes().chain([0]))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// 64 hexadecimal digits that depend on every part.
fn digest(parts: &[&str]) -> String {
    let first = mix(parts);
    [0_u64, 1, 2, 3]
        .map(|lane| format!("{:016x}", first.wrapping_mul(2 * lane + 1).rotate_left(17 * lane as u32) ^ lane))
        .concat()
}

fn later(from: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    from.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// How long it is until `at`; nothing when it is past.
fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

/// A time as Kubernetes writes it: whole seconds.
fn stamp(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
