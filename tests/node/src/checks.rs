//! The checks, in order.

mod same_digest;
mod server;
mod sidecar;

use crate::failure::Result;
use crate::players::Players;
use crate::pods::Seen;
use crate::report::Report;
use crate::world::World;

/// How many there are.
pub(crate) const COUNT: usize = 3;

/// How many players there are.
const PLAYERS: usize = 100;

/// Runs them. One that fails does not keep the next from running: each looks anew at what there is.
pub(crate) async fn run(world: &mut World, report: &mut Report) {
    let name =
        "a new image of the sidecar leaves 100 connections, process, memory, pod and address of the server";
    note(report, name, sidecar::check(world).await);
    let name =
        "a new image of the server ends its connections only after the grace; memory and saved state go on";
    note(report, name, server::check(world).await);
    let name = "another tag of the same digest restarts the container, and the update completes";
    note(report, name, same_digest::check(world).await);
}

fn note(report: &mut Report, name: &str, result: Result<Vec<String>>) {
    match result {
        Ok(seen) => report.passed(name, &seen),
        Err(error) => report.failed(name, &error),
    }
}

/// Connects players to all pods in turn.
async fn join(world: &World, pods: &std::collections::BTreeMap<String, Seen>) -> Result<Players> {
    let addresses: Vec<_> = pods.iter().map(|(name, pod)| (name.clone(), pod.address.clone())).collect();
    Players::join(&addresses, PLAYERS, &world.clock, &world.tasks).await
}
