//! Another tag of the same digest: the kubelet restarts the container all the same, and shows no new image id.

use crate::failure::{Result, must};
use crate::set::{SERVER, image};
use crate::world::World;

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    let before = world.look().await?;
    let took = world.update(SERVER, &image(SERVER, "v2-same")).await?;
    let after = world.look().await?;
    let mut lines = Vec::new();
    for (name, old) in &before {
        let new = &after[name];
        must(new.uid == old.uid && new.address == old.address, || format!("pod {name} is another one"))?;
        must(new.server.image_id == old.server.image_id, || {
            format!(
                "pod {name}: these are not one image: {} and {}",
                old.server.image_id, new.server.image_id
            )
        })?;
        must(new.server.container_id != old.server.container_id, || {
            format!("pod {name}: nothing restarted")
        })?;
        must(new.server.restarts == old.server.restarts + 1, || {
            format!("pod {name}: {} restarts instead of one", new.server.restarts - old.server.restarts)
        })?;
        must(new.sidecar.container_id == old.sidecar.container_id, || {
            format!("pod {name}: the sidecar was restarted")
        })?;
        lines.push(format!(
            "{name}: server restarts {}, imageID {} as before",
            new.server.restarts, new.server.image_id
        ));
    }
    lines.push(format!("the update took {took:.1?}"));
    Ok(lines)
}
