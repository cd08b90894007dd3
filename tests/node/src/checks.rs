//! The checks, in order.

mod deadline;
mod evicted;
mod helper;
mod missing;
mod native;
mod resize;
mod same_digest;
mod server;
mod sidecar;

use std::collections::BTreeMap;

use crate::failure::{Result, must};
use crate::film::summary;
use crate::players::Players;
use crate::pods::Seen;
use crate::report::Report;
use crate::set::{GRACE, REPLICAS};
use crate::world::World;

/// How many there are.
pub(crate) const COUNT: usize = 10;

/// How many players there are.
const PLAYERS: usize = 100;

/// Runs them. One that fails does not keep the next from running: each looks anew at what there is.
pub(crate) async fn run(world: &mut World, report: &mut Report) {
    let name = "inplace_i1: a new image of the sidecar leaves 100 connections, process, memory, pod and address of the server";
    note(report, name, sidecar::check(world).await);
    let name = "inplace_i13: a new image of the server ends its connections only after the grace and none of 100 to the sidecar; memory and saved state go on";
    note(report, name, server::check(world).await);
    let name = "inplace_i4: another tag of the same digest restarts the container, and the update completes";
    note(report, name, same_digest::check(world).await);
    let name = "each update took each pod out of traffic once, for this long";
    note(report, name, windows(world));
    let name = "inplace_i14: a new image of a helper keeps the pod Ready and 100 connections";
    note(report, name, helper::check(world).await);
    let name = "inplace_i5: an image that does not exist stops no running container, and the set says so";
    note(report, name, missing::check(world).await);
    let name = "inplace_i5: without proving it costs one pod, which goes back to its image at the deadline";
    note(report, name, deadline::check(world).await);
    let name = "inplace_i10: resources go up and down with no restart";
    note(report, name, resize::check(world).await);
    let name = "inplace_i3: a new image of a native sidecar leaves the server and its connections";
    note(report, name, native::check(world).await);
    let name = "sts_e10: a pod whose host port is taken fails, and comes when it is free";
    note(report, name, evicted::check(world).await);
}

fn note(report: &mut Report, name: &str, result: Result<Vec<String>>) {
    match result {
        Ok(seen) => report.passed(name, &seen),
        Err(error) => report.failed(name, &error),
    }
}

/// Connects players to a port of all pods in turn.
async fn join(world: &World, pods: &BTreeMap<String, Seen>, port: u16) -> Result<Players> {
    let addresses: Vec<_> = pods.iter().map(|(name, pod)| (name.clone(), pod.address.clone())).collect();
    Players::join(&addresses, port, PLAYERS, &world.clock, &world.tasks).await
}

/// That two looks at the pods saw the same containers, all of them.
fn must_be_untouched(before: &BTreeMap<String, Seen>, after: &BTreeMap<String, Seen>) -> Result<()> {
    let containers = |pods: &BTreeMap<String, Seen>| -> Vec<(String, String, String)> {
        let of = |(name, pod): (&String, &Seen)| {
            (name.clone(), pod.server.container_id.clone(), pod.sidecar.container_id.clone())
        };
        pods.iter().map(of).collect()
    };
    let (was, is) = (containers(before), containers(after));
    must(was == is, || format!("containers were {was:?} and are {is:?}"))
}

/// The times in which pods were not ready, after three updates of all pods.
fn windows(world: &World) -> Result<Vec<String>> {
    let windows = world.film.windows();
    must(windows.len() as i64 == 3 * REPLICAS, || format!("{} times were seen", windows.len()))?;
    Ok(vec![format!("not ready, of which {GRACE} s are the grace: {}", summary(&windows))])
}
