//! A new image of a native sidecar.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::failure::{Failure, Result, must};
use crate::game::GAME;
use crate::players::Players;
use crate::set::{self, SIDECAR, image};
use crate::world::World;

/// The set.
const NATIVE: &str = "native";

/// How many players there are.
const PLAYERS: usize = 20;

/// How long they play before and after.
const WHILE: Duration = Duration::from_secs(1);

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    world.apply(&set::native(NATIVE)).await?;
    world.settled(NATIVE).await?;
    let name = format!("{NATIVE}-0");
    let before = world.pods().get(&name).await?;
    let address = before.status.as_ref().and_then(|status| status.pod_ip.clone());
    let address = address.ok_or_else(|| Failure::Seen(format!("pod {name} has no address")))?;
    let players =
        Players::join(&[(name.clone(), address)], GAME, PLAYERS, &world.clock, &world.tasks).await?;
    tokio::time::sleep(WHILE).await;
    let played = players.now();

    world.change(NATIVE, SIDECAR, "image", &json!(image(SIDECAR, "v2"))).await?;
    world.settled(NATIVE).await?;

    tokio::time::sleep(WHILE).await;
    players.must_be_open(&played)?;
    let after = world.pods().get(&name).await?;
    must(after.metadata.uid == before.metadata.uid, || format!("pod {name} is another one"))?;
    let (was, is) = (containers(&before), containers(&after));
    must(was.server == is.server, || format!("the server was {:?} and is {:?}", was.server, is.server))?;
    must(was.sidecar.0 != is.sidecar.0 && is.sidecar.1 == was.sidecar.1 + 1, || {
        format!("the sidecar was {:?} and is {:?}", was.sidecar, is.sidecar)
    })?;
    world.remove(NATIVE).await?;
    Ok(vec![format!("{PLAYERS} connections open; sidecar restarts {}, server {}", is.sidecar.1, is.server.1)])
}

/// Ids and restarts of both containers.
struct Containers {
    server: (String, i32),
    sidecar: (String, i32),
}

fn containers(pod: &Pod) -> Containers {
    let status = pod.status.clone().unwrap_or_default();
    let first = |list: Option<Vec<k8s_openapi::api::core::v1::ContainerStatus>>| {
        let first = list.into_iter().flatten().next();
        first.map(|one| (one.container_id.unwrap_or_default(), one.restart_count)).unwrap_or_default()
    };
    Containers { server: first(status.container_statuses), sidecar: first(status.init_container_statuses) }
}
