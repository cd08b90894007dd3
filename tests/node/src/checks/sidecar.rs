//! A new image of the sidecar: whoever plays notices nothing.

use std::time::Duration;

use super::join;
use crate::failure::{Result, must};
use crate::game::GAME;
use crate::set::{SIDECAR, image};
use crate::world::World;

/// How long players play before anything happens, so that each of them has been answered.
const WARM_UP: Duration = Duration::from_secs(1);

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    let before = world.look().await?;
    let players = join(world, &before, GAME).await?;
    tokio::time::sleep(WARM_UP).await;
    let played = players.now();

    let took = world.update(SIDECAR, &image(SIDECAR, "v2")).await?;

    tokio::time::sleep(WARM_UP).await;
    let playing = players.must_be_open(&played)?;
    let after = world.look().await?;
    must(before.keys().eq(after.keys()), || {
        format!("pods were {:?} and are {:?}", before.keys(), after.keys())
    })?;
    let mut lines = Vec::new();
    for (name, old) in &before {
        let new = &after[name];
        must((&new.uid, &new.address) == (&old.uid, &old.address), || {
            format!(
                "pod {name}: uid and address were {} {} and are {} {}",
                old.uid, old.address, new.uid, new.address
            )
        })?;
        let process = |pod: &crate::pods::Running| {
            (pod.container_id.clone(), pod.pid.clone(), pod.instance().to_owned(), pod.restarts)
        };
        must(process(&new.server) == process(&old.server), || {
            format!("pod {name}: the server was {:?} and is {:?}", process(&old.server), process(&new.server))
        })?;
        let (was, is) = (&old.sidecar, &new.sidecar);
        must(is.restarts == was.restarts + 1 && is.container_id != was.container_id, || {
            format!("pod {name}: the sidecar restarted {} times and not once", is.restarts - was.restarts)
        })?;
        must(is.version() == "v2" && is.instance() != was.instance(), || {
            format!("pod {name}: the sidecar that answers is {}", is.status)
        })?;
        must(!was.memory().is_empty() && [new.server.memory(), is.memory()] == [was.memory(); 2], || {
            format!("pod {name}: the shared memory was {} and is {}", was.memory(), is.memory())
        })?;
        must(is.shared_counter() > was.shared_counter(), || {
            format!("pod {name}: the shared counter went back")
        })?;
        lines.push(format!(
            "{name}: uid {} at {}; server pid {} (instance {}), restarts {}; sidecar restarts {} -> {}; memory {} written {} -> {} times",
            new.uid, new.address, new.server.pid, new.server.instance(), new.server.restarts,
            was.restarts, is.restarts, is.memory(), was.shared_counter(), is.shared_counter(),
        ));
    }
    for player in &playing {
        must(player.greeting["instance"] == after[&player.pod].server.instance(), || {
            format!(
                "a player of {} was greeted by {} and the server is another one now",
                player.pod, player.greeting
            )
        })?;
    }
    let trips: u64 = playing.iter().map(|player| player.trips).sum();
    let slowest = playing.iter().map(|player| player.slowest).max().unwrap_or_default();
    lines.push(format!(
        "{} connections open, {trips} round trips, none lost, slowest {slowest:.1?}; the update took {took:.1?}",
        playing.len()
    ));
    Ok(lines)
}
