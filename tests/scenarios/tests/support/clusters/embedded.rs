//! Clusters in this process, on simulated time.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use muster_runtime::{Clock, Tasks};
use muster_sandbox::manifests::Manifest;
use muster_sandbox::{Config, Sandbox};

use super::super::manifests;
use super::super::world::Setup;
use super::super::writes::{Write, Writes, is_write, ours};
use super::{Pace, USER};

/// When every scenario begins.
const START: &str = "2026-03-01T12:00:00Z";

/// Time costs nothing here, and goes on only when nothing else is left to do.
pub(super) const PACE: Pace = Pace {
    deadline: Duration::from_mins(5),
    look: Duration::from_millis(100),
    quiet: Duration::MAX,
    lag: Duration::ZERO,
    slower: 1,
    silence: Duration::from_secs(20),
};

/// A sandbox.
pub(crate) struct Embedded {
    sandbox: Sandbox,
    clock: Clock,
}

// === impl Embedded ===

impl Embedded {
    pub(super) async fn start(setup: &Setup, tasks: &Tasks) -> Self {
        let clock = Clock::simulated(START.parse().expect("a valid time"));
        let fleet = setup.members.iter().map(|name| manifests::cluster(name));
        let manifest = |object| Manifest { origin: "scenario".to_owned(), object };
        let mut config = Config::new(fleet.map(manifest).collect(), clock.clone());
        config.seed = setup.seed;
        config.nodes = setup.nodes;
        config.pod_start = Duration::from_millis(200)..=Duration::from_millis(1500);
        let sandbox = Sandbox::start(config, tasks).await.expect("the sandbox starts");
        assert!(sandbox.rejected().is_empty(), "not accepted: {:?}", sandbox.rejected());
        Self { sandbox, clock }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    pub(super) fn client(&self, context: &str) -> Client {
        self.sandbox.client(context, USER).unwrap_or_else(|error| panic!("no client for {context}: {error}"))
    }

    pub(super) fn set_link(&self, member: &str, up: bool) {
        self.sandbox.set_link(member, up).expect("a member");
    }

    pub(super) async fn kill_hub(&self) {
        self.sandbox.kill_hub().await;
    }

    pub(super) async fn restart_hub(&self) {
        self.sandbox.restart_hub().await.expect("the hub starts");
    }

    pub(super) async fn kill_agent(&self, member: &str) {
        self.sandbox.kill_agent(member).await.expect("a member");
    }

    pub(super) async fn restart_agent(&self, member: &str) {
        self.sandbox.restart_agent(member).await.expect("the agent starts");
    }

    /// As the API server counted them. Simulated nodes are not Muster.
    pub(super) fn writes(&self, cluster: &str) -> Writes {
        let requests = self.sandbox.cluster(cluster).expect("a cluster").metrics().requests();
        let mut writes = BTreeMap::new();
        for (labels, count) in requests {
            if ours(&labels.user_agent) && is_write(labels.verb) {
                let write = Write {
                    user_agent: labels.user_agent.to_string(),
                    verb: labels.verb.to_owned(),
                    resource: labels.resource.to_string(),
                    subresource: labels.subresource.to_string(),
                };
                *writes.entry(write).or_default() += count;
            }
        }
        Writes(writes)
    }
}
