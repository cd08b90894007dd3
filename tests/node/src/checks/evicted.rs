//! A host port that somebody else has.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use parking_lot::Mutex;
use serde_json::json;

use crate::failure::{Failure, Result, must};
use crate::set;
use crate::world::World;

/// The set.
const LOUNGE: &str = "lounge";

/// The pod that has the port.
const HOLDER: &str = "holder";

/// The port, inside the node's own network.
const PORT: u16 = 21_017;

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    let pods = world.pods();
    let node = pods.get(&format!("{}-0", set::SET)).await?.spec.and_then(|spec| spec.node_name);
    let node = node.ok_or_else(|| Failure::Seen("a game server has no node".to_owned()))?;
    let holder = json!({"metadata": {"name": HOLDER}, "spec": set::host_port_pod(&node, PORT)});
    let holder: Pod =
        serde_json::from_value(holder).map_err(|error| Failure::Seen(format!("no pod: {error}")))?;
    pods.create(&PostParams::default(), &holder).await?;
    world
        .until("the holder runs", async || {
            let phase = phase(&pods.get(HOLDER).await?);
            Ok(if phase == "Running" { Ok(()) } else { Err(phase) })
        })
        .await?;

    world.apply(&set::on_host_port(LOUNGE, &node, PORT)).await?;
    let name = format!("{LOUNGE}-0");
    let failed: Mutex<BTreeSet<String>> = Mutex::default();
    world
        .until("its pod failed and was made anew, twice", async || {
            if let Some(pod) = pods.get_opt(&name).await?
                && phase(&pod) == "Failed"
            {
                failed.lock().extend(pod.metadata.uid);
            }
            let count = failed.lock().len();
            Ok(if count >= 2 { Ok(()) } else { Err(format!("{count} failed")) })
        })
        .await?;
    pods.delete(HOLDER, &DeleteParams::default()).await?;
    world.settled(LOUNGE).await?;
    let last = pods.get(&name).await?;
    must(!last.metadata.uid.is_some_and(|uid| failed.lock().contains(&uid)), || {
        format!("pod {name} is one that had failed")
    })?;
    world.remove(LOUNGE).await?;
    Ok(vec![format!("{} pods were seen to fail while the port was taken", failed.lock().len())])
}

fn phase(pod: &Pod) -> String {
    pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default()
}
