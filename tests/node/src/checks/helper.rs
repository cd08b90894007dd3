//! A new image of a helper: nobody is taken out of traffic for it.

use std::time::Duration;

use super::{join, must_be_untouched};
use crate::failure::{Result, must};
use crate::game::GAME;
use crate::set::{HELPER, image};
use crate::world::World;

/// How long players play before and after.
const WHILE: Duration = Duration::from_secs(1);

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    let before = world.look().await?;
    let players = join(world, &before, GAME).await?;
    tokio::time::sleep(WHILE).await;
    let played = players.now();
    let mark = world.film.mark();

    let took = world.update(HELPER, &image(HELPER, "v2")).await?;

    tokio::time::sleep(WHILE).await;
    let playing = players.must_be_open(&played)?;
    must_be_untouched(&before, &world.look().await?)?;
    let frames = world.film.since(mark);
    for frame in &frames {
        must(frame.ready && frame.closed.is_none() && !frame.gone, || {
            format!("pod {} was taken out of traffic: {frame:?}", frame.pod)
        })?;
    }
    let mut restarted = 0;
    for name in before.keys() {
        let of_pod: Vec<_> = frames.iter().filter(|frame| frame.pod == *name).collect();
        let ids: Vec<_> = of_pod.iter().filter_map(|frame| frame.containers.get(HELPER)).collect();
        restarted += usize::from(ids.first() != ids.last());
    }
    must(restarted == before.len(), || {
        format!("helpers of {restarted} pods restarted, not {}", before.len())
    })?;
    Ok(vec![format!(
        "{restarted} helpers restarted; pods were Ready in each of {} moments; {} connections open; the update took {took:.1?}",
        frames.len(),
        playing.len()
    )])
}
