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
mod takeback;

use std::collections::BTreeMap;

use crate::failure::{Result, must};
use crate::film::summary;
use crate::players::Players;
use crate::pods::Seen;
use crate::report::Report;
use crate::set::{GRACE, REPLICAS};
use crate::world::World;

/// How many there are.
pub(crate) const COUNT: usize = 11;

/// How many players there are.
const PLAYERS: usize = 100;

/// Runs them. One that fails does not keep the next from running: each looks anew at what there is.
pub(crate) async fn run(world: &mut World, report: &mut Report) {
    let name = "inplace_i1: a new image of the sidecar leaves 100 connections, process, memory, pod and address of the server";
    let result = sidecar::check(world).await;
    note(world, report, name, result).await;
    let name = "inplace_i13: a new image of the server ends its connections only after the grace and none of 100 to the sidecar; memory and saved state go on";
    let result = server::check(world).await;
    note(world, report, name, result).await;
    let name = "inplace_i4: another tag of the same digest restarts the container, and the update completes";
    let result = same_digest::check(world).await;
    note(world, report, name, result).await;
    let name = "each update took each pod out of traffic once, for this long";
    let result = windows(world);
    note(world, report, name, result).await;
    let name = "inplace_i14: a new image of a helper keeps the pod Ready and 100 connections";
    let result = helper::check(world).await;
    note(world, report, name, result).await;
    let name = "inplace_i5: an image that does not exist stops no running container, and the set says so";
    let result = missing::check(world).await;
    note(world, report, name, result).await;
    let name = "inplace_i5: without proving it costs one pod, which goes back to its image at the deadline";
    let result = deadline::check(world).await;
    note(world, report, name, result).await;
    let name = "an update that is taken back during the grace of a pod restarts nothing";
    let result = takeback::check(world).await;
    note(world, report, name, result).await;
    let name = "inplace_i10: resources go up and down with no restart";
    let result = resize::check(world).await;
    note(world, report, name, result).await;
    let name = "inplace_i3: a new image of a native sidecar leaves the server and its connections";
    let result = native::check(world).await;
    note(world, report, name, result).await;
    let name = "sts_e10: a pod whose host port is taken fails, and comes when it is free";
    let result = evicted::check(world).await;
    note(world, report, name, result).await;
}

/// Reports a check. After one that failed the next ones find the game servers as they were at the beginning.
async fn note(world: &mut World, report: &mut Report, name: &str, result: Result<Vec<String>>) {
    match result {
        Ok(seen) => report.passed(name, &seen),
        Err(error) => {
            report.failed(name, &error);
            if let Err(error) = world.reset().await {
                report.failed("the game servers are brought back", &error);
            }
        }
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
