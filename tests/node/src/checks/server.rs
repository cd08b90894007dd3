//! A new image of the server: players have the whole grace to leave, and what the pod keeps is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::join;
use crate::failure::{Failure, Result, must};
use crate::film::Frame;
use crate::game::{GAME, SIDECAR_GAME};
use crate::set::{GRACE, REPLICAS, SERVER, image};
use crate::world::World;

/// How long players play before anything happens, so that each of them has been answered.
const WARM_UP: Duration = Duration::from_secs(1);

/// How much later than the grace says the images may change.
const LATE: SignedDuration = SignedDuration::from_secs(1);

/// The same for the slowest pod, on a machine that has other things to do.
const VERY_LATE: SignedDuration = SignedDuration::from_secs(5);

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    let before = world.look().await?;
    let players = join(world, &before, GAME).await?;
    let beside = join(world, &before, SIDECAR_GAME).await?;
    tokio::time::sleep(WARM_UP).await;
    let played = beside.now();
    let mark = world.film.mark();

    let took = world.update(SERVER, &image(SERVER, "v2")).await?;

    let after = world.look().await?;
    tokio::time::sleep(WARM_UP).await;
    let playing = beside.must_be_open(&played)?;
    let frames = world.film.since(mark);
    let closed = closed(&frames);
    must(closed.len() as i64 == REPLICAS, || format!("gates were seen closed for {:?} only", closed.keys()))?;
    let grace = SignedDuration::from_secs(GRACE);
    let mut lines = Vec::new();
    for (name, old) in &before {
        let new = &after[name];
        must((&new.uid, &new.address) == (&old.uid, &old.address), || {
            format!("pod {name} is another one: {} at {}", new.uid, new.address)
        })?;
        must(new.server.version() == "v2" && new.server.restarts == old.server.restarts + 1, || {
            format!(
                "pod {name}: {} restarts, and {}",
                new.server.restarts - old.server.restarts,
                new.server.status
            )
        })?;
        must(
            new.sidecar.container_id == old.sidecar.container_id && new.sidecar.pid == old.sidecar.pid,
            || format!("pod {name}: the sidecar was restarted"),
        )?;
        must(new.server.memory() == old.server.memory(), || {
            format!(
                "pod {name}: the shared memory was {} and is {}",
                old.server.memory(),
                new.server.memory()
            )
        })?;
        let saved = new.server.status["counters"]["restarts"].as_u64();
        must(saved == Some(1), || {
            format!("pod {name}: state was not loaded: {}", new.server.status["counters"])
        })?;

        let mut ends = Vec::new();
        for player in players.now().into_iter().filter(|player| player.pod == *name) {
            let Some((at, _)) = player.ended else {
                return Err(Failure::Seen(format!("a connection to the old server of {name} is still open")));
            };
            let served = at.duration_since(closed[name]);
            must(served >= grace, || {
                format!("a connection to {name} ended {served:#} after the gate closed")
            })?;
            ends.push(served);
        }
        let (first, last) = (ends.iter().min(), ends.iter().max());
        let (Some(first), Some(last)) = (first, last) else {
            return Err(Failure::Seen(format!("nobody played in {name}")));
        };
        lines.push(format!(
            "{name}: {} connections ended {:.2} s to {:.2} s after the gate closed (grace {GRACE} s); server v2, restarts {}; memory {} and saved counters kept",
            ends.len(), first.as_secs_f64(), last.as_secs_f64(), new.server.restarts, new.server.memory(),
        ));
    }
    lines.push(lateness(&frames, &closed, grace)?);
    let slowest = playing.iter().map(|player| player.slowest).max().unwrap_or_default();
    lines.push(format!(
        "{} connections to sidecars open, none lost, slowest answer {slowest:.1?}; the update took {took:.1?}",
        playing.len()
    ));
    Ok(lines)
}

/// When the gate of each pod was closed, as the API server says.
fn closed(frames: &[Frame]) -> BTreeMap<String, Timestamp> {
    let mut closed = BTreeMap::new();
    for frame in frames {
        if let Some(since) = frame.closed {
            closed.entry(frame.pod.clone()).or_insert(since);
        }
    }
    closed
}

/// That images changed when the grace was over, and not before. Says how late they were.
fn lateness(frames: &[Frame], closed: &BTreeMap<String, Timestamp>, grace: SignedDuration) -> Result<String> {
    let mut late = Vec::new();
    for (pod, since) in closed {
        let patched = frames.iter().find(|frame| {
            frame.pod == *pod && frame.images.get(SERVER).is_some_and(|one| *one == image(SERVER, "v2"))
        });
        let Some(patched) = patched else {
            return Err(Failure::Seen(format!("the image of {pod} was not seen to change")));
        };
        let after = patched.at.duration_since(*since) - grace;
        must(!after.is_negative(), || {
            format!("the image of {pod} changed {after:#} before the grace was over")
        })?;
        late.push(after);
    }
    late.sort();
    let (median, most) = (late.get(late.len() / 2).copied(), late.last().copied());
    let (Some(median), Some(most)) = (median, most) else {
        return Err(Failure::Seen("no image changed".to_owned()));
    };
    must(median <= LATE && most <= VERY_LATE, || {
        format!(
            "images changed {median:#} after the end of the grace in the middle, and {most:#} at the latest"
        )
    })?;
    Ok(format!(
        "images changed {:.2} s after the end of the grace in the middle, {:.2} s at the latest",
        median.as_secs_f64(),
        most.as_secs_f64()
    ))
}
