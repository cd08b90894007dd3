//! An image that does not exist: it is proven before anything is stopped for it.

use std::time::Duration;

use serde_json::json;

use super::must_be_untouched;
use crate::failure::{Result, must};
use crate::set::{SERVER, SET, image};
use crate::world::World;

/// How long nothing happens after the set has said why.
const REST: Duration = Duration::from_secs(3);

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    let before = world.look().await?;
    let good = before.values().next().map(|pod| pod.server.image_name.clone()).unwrap_or_default();
    let missing = image(SERVER, "does-not-exist");
    let mark = world.film.mark();
    world.change(SET, SERVER, "image", &json!(missing)).await?;
    // Not only that it is being pulled, but that this has failed.
    let said = world.says(SET, &["before anything is stopped", &missing]).await?;
    tokio::time::sleep(REST).await;

    must_be_untouched(&before, &world.look().await?)?;
    let frames = world.film.since(mark);
    for frame in &frames {
        must(frame.ready && frame.closed.is_none(), || format!("pod {} left traffic: {frame:?}", frame.pod))?;
        must(frame.images.get(SERVER) != Some(&missing), || {
            format!("pod {} was given {missing}", frame.pod)
        })?;
    }
    world.update(SERVER, &good).await?;
    must_be_untouched(&before, &world.look().await?)?;
    Ok(vec![format!("the set said: {said}"), "no container was stopped, also not on the way back".to_owned()])
}
