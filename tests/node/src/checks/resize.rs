//! Resources of running containers.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::must_be_untouched;
use crate::failure::{Result, must};
use crate::set::{SERVER, SET};
use crate::world::World;

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    let before = world.look().await?;
    let mark = world.film.mark();
    let mut lines = Vec::new();
    // A kubelet lowers the limit of memory only when it has measured what a container uses, which may take it minutes.
    for (way, request, limit) in [("up", "40m", "600m"), ("down", "20m", "500m")] {
        let resources = json!({
            "requests": {"cpu": request, "memory": "32Mi"},
            "limits": {"cpu": limit, "memory": "96Mi"},
        });
        world.change(SET, SERVER, "resources", &resources).await?;
        let pods = world.pods();
        let params = ListParams::default().labels(&format!("app={SET}"));
        world
            .until(&format!("the kubelet runs every server with {resources}"), async || {
                let list = pods.list(&params).await?.items;
                let other = list.iter().map(running).find(|running| *running != resources);
                Ok(other.map_or(Ok(()), |other| Err(format!("one has {other}"))))
            })
            .await?;
        world.settled(SET).await?;
        lines.push(format!("{way} to {resources}"));
    }
    must_be_untouched(&before, &world.look().await?)?;
    for frame in world.film.since(mark) {
        must(frame.ready && frame.closed.is_none(), || format!("pod {} left traffic: {frame:?}", frame.pod))?;
    }
    lines.push("no container restarted, and no pod left traffic".to_owned());
    Ok(lines)
}

/// The resources that the kubelet reports of the server.
fn running(pod: &Pod) -> Value {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let server = statuses.into_iter().find(|one| one.name == SERVER);
    server.and_then(|server| serde_json::to_value(&server.resources).ok()).unwrap_or_default()
}
