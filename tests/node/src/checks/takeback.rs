//! An update that is taken back while a pod is out of traffic for it.

use serde_json::json;

use super::must_be_untouched;
use crate::failure::{Result, must};
use crate::set::{GRACE, SERVER, SET, image};
use crate::world::World;

/// A grace that is not over before the update is taken back, in seconds.
const LONG_GRACE: i64 = 120;

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    let before = world.look().await?;
    let good = before.values().next().map(|pod| pod.server.image_name.clone()).unwrap_or_default();
    let other = ["v1", "v2"].map(|version| image(SERVER, version)).into_iter().find(|other| *other != good);
    let other = other.unwrap_or_default();
    let grace = |seconds: i64| json!({"spec": {"updateStrategy": {"inPlaceUpdateStrategy": {"gracePeriodSeconds": seconds}}}});
    world.edit(SET, &grace(LONG_GRACE)).await?;
    let mark = world.film.mark();
    world.change(SET, SERVER, "image", &json!(other)).await?;
    let film = world.film.clone();
    world
        .until("a pod is out of traffic", async || {
            let out = film.since(mark).iter().any(|frame| frame.closed.is_some() && !frame.ready);
            Ok(if out { Ok(()) } else { Err("none is".to_owned()) })
        })
        .await?;
    world.change(SET, SERVER, "image", &json!(good)).await?;
    world.settled(SET).await?;
    must_be_untouched(&before, &world.look().await?)?;
    for frame in film.since(mark) {
        must(frame.images.get(SERVER) == Some(&good), || format!("pod {} was given {other}", frame.pod))?;
    }
    world.edit(SET, &grace(GRACE)).await?;
    world.settled(SET).await?;
    Ok(vec!["the pod serves again, and no container restarted".to_owned()])
}
