//! A new image of the server: players have the whole grace to leave, and what the pod keeps is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use muster_crds::keys::condition::INPLACE_UPDATE_READY;
use parking_lot::Mutex;

use super::join;
use crate::failure::{Failure, Result, must};
use crate::set::{GRACE, REPLICAS, SERVER, image};
use crate::world::World;

/// The pause between two looks at the gates.
const PAUSE: Duration = Duration::from_millis(50);

/// When the gate of each pod was closed, as the API server says.
type Closed = Arc<Mutex<BTreeMap<String, Timestamp>>>;

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    let before = world.look().await?;
    let players = join(world, &before).await?;
    let gates = watch_gates(world);

    let took = world.update(SERVER, &image(SERVER, "v2")).await?;

    let after = world.look().await?;
    let closed = gates.lock().clone();
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
    lines.push(format!("the update took {took:.1?}"));
    Ok(lines)
}

/// Notes when each pod's gate is closed, until the world ends.
fn watch_gates(world: &World) -> Closed {
    let closed = Closed::default();
    let (pods, noted) = (world.pods(), Arc::clone(&closed));
    world.tasks.spawn("gates", async move {
        loop {
            // One look that fails is followed by the next.
            if let Ok(list) = pods.list(&ListParams::default()).await {
                for pod in &list {
                    if let (Some(name), Some(since)) = (&pod.metadata.name, closed_since(pod)) {
                        noted.lock().entry(name.clone()).or_insert(since);
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    closed
}

fn closed_since(pod: &Pod) -> Option<Timestamp> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let gate = conditions.find(|one| one.type_ == INPLACE_UPDATE_READY && one.status == "False")?;
    gate.last_transition_time.as_ref().map(|time| time.0)
}
