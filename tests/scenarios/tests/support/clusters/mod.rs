//! What kind of clusters a world is made of, and what each kind does in its own way.

mod embedded;
mod kubernetes;

use std::time::Duration;

use kube::Client;
use muster_runtime::{Clock, Tasks};

use self::embedded::Embedded;
use self::kubernetes::Kubernetes;
use super::world::Setup;
use super::writes::Writes;

/// Which clusters scenarios run on.
const CLUSTERS: &str = "MUSTER_TEST_CLUSTERS";

/// Who scenarios are to the API servers, and their field manager.
pub(crate) const USER: &str = "scenario";

/// The kinds of clusters a world can be made of.
pub(crate) enum Clusters {
    /// API servers, nodes, hub and agents in this process, on simulated time.
    Embedded(Embedded),
    /// Control planes that run, with hub and agents as processes.
    Kubernetes(Box<Kubernetes>),
}

/// How a world's time relates to the time that a scenario speaks of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long a scenario waits for a state.
    pub(crate) deadline: Duration,
    /// How often it looks.
    pub(crate) look: Duration,
    /// The longest that it lets pass to see that nothing happens.
    pub(crate) quiet: Duration,
    /// How much later than it happened a change may be seen.
    pub(crate) lag: Duration,
    /// How many times as long as on simulated time something may take.
    pub(crate) slower: u32,
    /// How long a set may stand still without a word: longer than a status waits to be written, and than a failed write
    /// waits at first to be tried again.
    pub(crate) silence: Duration,
}

/// Whether scenarios run on embedded clusters.
fn are_embedded() -> bool {
    match std::env::var(CLUSTERS).as_deref() {
        Err(_) | Ok("embedded") => true,
        Ok("kubernetes") => false,
        Ok(other) => panic!("{CLUSTERS}={other}: known are embedded and kubernetes"),
    }
}

/// When to strike, out of the moments that a scenario goes through one after the other: all of them, or where each takes
/// its time the earliest and the latest.
pub(crate) fn moments<const N: usize>(all: [u64; N]) -> Vec<u64> {
    if are_embedded() { all.to_vec() } else { vec![all[0], all[N - 1]] }
}

// === impl Clusters ===

impl Clusters {
    /// Starts everything: the members are registered, and their agents run.
    pub(crate) async fn start(setup: &Setup, tasks: &Tasks) -> Self {
        if are_embedded() {
            Self::Embedded(Embedded::start(setup, tasks).await)
        } else {
            Self::Kubernetes(Box::new(Kubernetes::start(setup, tasks).await))
        }
    }

    /// Wall time in these clusters.
    pub(crate) fn clock(&self) -> Clock {
        match self {
            Self::Embedded(clusters) => clusters.clock(),
            Self::Kubernetes(_) => Clock::system(),
        }
    }

    /// How time goes in these clusters.
    pub(crate) fn pace(&self) -> Pace {
        match self {
            Self::Embedded(_) => embedded::PACE,
            Self::Kubernetes(_) => kubernetes::PACE,
        }
    }

    /// A client for `hub`, a member, or `view-<member>`.
    pub(crate) fn client(&self, context: &str) -> Client {
        match self {
            Self::Embedded(clusters) => clusters.client(context),
            Self::Kubernetes(clusters) => clusters.client(context),
        }
    }

    /// Starts what belongs to a cluster that was just registered.
    pub(crate) fn joined(&self, member: &str) {
        match self {
            // The sandbox starts a member for every registration.
            Self::Embedded(_) => {}
            Self::Kubernetes(clusters) => clusters.restart_agent(member),
        }
    }

    /// Cuts a member's link to the hub, or mends it.
    pub(crate) fn set_link(&self, member: &str, up: bool) {
        match self {
            Self::Embedded(clusters) => clusters.set_link(member, up),
            Self::Kubernetes(clusters) => clusters.set_link(member, up),
        }
    }

    /// Kills the hub where it is.
    pub(crate) async fn kill_hub(&self) {
        match self {
            Self::Embedded(clusters) => clusters.kill_hub().await,
            Self::Kubernetes(clusters) => clusters.kill_hub(),
        }
    }

    /// Starts the hub; one that runs is killed first.
    pub(crate) async fn restart_hub(&self) {
        match self {
            Self::Embedded(clusters) => clusters.restart_hub().await,
            Self::Kubernetes(clusters) => clusters.restart_hub().await,
        }
    }

    /// Ends the hub in good order, and starts another.
    pub(crate) async fn replace_hub(&self) {
        match self {
            // In one process there is no other end.
            Self::Embedded(clusters) => clusters.restart_hub().await,
            Self::Kubernetes(clusters) => clusters.replace_hub().await,
        }
    }

    /// Kills a member's agent where it is.
    pub(crate) async fn kill_agent(&self, member: &str) {
        match self {
            Self::Embedded(clusters) => clusters.kill_agent(member).await,
            Self::Kubernetes(clusters) => clusters.kill_agent(member),
        }
    }

    /// Starts a member's agent; one that runs is killed first.
    pub(crate) async fn restart_agent(&self, member: &str) {
        match self {
            Self::Embedded(clusters) => clusters.restart_agent(member).await,
            Self::Kubernetes(clusters) => clusters.restart_agent(member),
        }
    }

    /// What Muster wrote to one cluster so far: `hub` or a member.
    pub(crate) fn writes(&self, cluster: &str) -> Writes {
        match self {
            Self::Embedded(clusters) => clusters.writes(cluster),
            Self::Kubernetes(clusters) => clusters.writes(cluster),
        }
    }

    /// What is worth knowing of a scenario that failed, beside what its clusters hold.
    pub(crate) fn last_words(&self) -> String {
        match self {
            Self::Embedded(_) => String::new(),
            Self::Kubernetes(clusters) => clusters.last_words(),
        }
    }
}
