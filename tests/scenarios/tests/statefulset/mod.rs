//! What StatefulSet's own end-to-end tests ask for, of GameStatefulSets that a user made in one cluster.

mod api;
mod identity;
mod ordinals;
mod scaling;
mod storage;
mod updates;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::manifests::image;
use crate::support::{NAMESPACE, PodView, SHANGHAI, Setup, World, merged, set};

/// A readiness gate that a scenario opens, in place of a probe.
const GATE: &str = "example.com/serving";

/// One member with a set `arena` of its own, changed by `change`. It need not be ready yet.
async fn arena(replicas: i64, change: &Value) -> World {
    arena_of(Setup::new(&[SHANGHAI]), replicas, change).await
}

async fn arena_of(setup: Setup, replicas: i64, change: &Value) -> World {
    let world = World::start(setup).await;
    world.namespace_in(SHANGHAI).await;
    world.apply_in(SHANGHAI, &merged(set("arena", replicas), change)).await;
    world
}

/// The same, with volumes for so many claims.
async fn with_claims(replicas: i64, volumes: usize, change: &Value) -> World {
    let mut setup = Setup::new(&[SHANGHAI]);
    setup.volumes = volumes;
    arena_of(setup, replicas, &merged(claims(), change)).await
}

/// A claim for each ordinal.
fn claims() -> Value {
    json!({"spec": {"volumeClaimTemplates": [{
        "metadata": {"name": "saves"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]}})
}

fn spec(policy: &str, strategy: &Value) -> Value {
    json!({"spec": {"podManagementPolicy": policy, "updateStrategy": strategy}})
}

/// Pods are replaced one at a time, those below the partition not at all.
fn rolling(partition: i64) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}})
}

fn partition(partition: i64) -> Value {
    json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}})
}

/// One after the other, each ready only when its gate was opened.
fn gated() -> Value {
    merged(
        spec("OrderedReady", &json!({})),
        &json!({"spec": {"template": {"spec": {"readinessGates": [{"conditionType": GATE}]}}}}),
    )
}

fn scaled(replicas: i64) -> Value {
    json!({"spec": {"replicas": replicas}})
}

fn pods(world: &World) -> Api<Pod> {
    Api::namespaced(world.member(SHANGHAI), NAMESPACE)
}

/// Opens or closes the gate of a pod, once it is there.
async fn serves(world: &World, name: &str, open: bool) {
    let status = if open { "True" } else { "False" };
    let patch = json!({"status": {"conditions": [{"type": GATE, "status": status}]}});
    world
        .until(&format!("{name} is there, and its gate is {status}"), async || {
            let patched =
                pods(world).patch_status(name, &PatchParams::default(), &Patch::Strategic(&patch)).await;
            patched.map(drop).map_err(|error| error.to_string())
        })
        .await;
}

/// Waits until there are exactly these ordinals, and exactly those of `ready` are ready.
async fn are(world: &World, ordinals: &[usize], ready: &[usize]) {
    world
        .until(&format!("there are pods {ordinals:?}, of which {ready:?} are ready"), async || {
            let pods = world.pods(SHANGHAI, "arena").await;
            let mut of: Vec<usize> =
                pods.iter().filter(|pod| pod.ready && !pod.terminating).map(PodView::ordinal).collect();
            of.sort_unstable();
            if pods.ordinals() == ordinals && of == ready {
                Ok(())
            } else {
                Err(format!("{:?}, of which {of:?} are ready", pods.ordinals()))
            }
        })
        .await;
}

/// Waits until exactly these ordinals run an image, and everything is ready.
async fn runs(world: &World, tag: &str, expected: &[usize]) {
    world
        .until(&format!("ordinals {expected:?} are ready on {tag}"), async || {
            let pods = world.pods(SHANGHAI, "arena").await;
            let on = pods.iter().filter(|pod| pod.runs("server") == image(tag));
            let mut on: Vec<usize> = on.map(PodView::ordinal).collect();
            on.sort_unstable();
            let ready = pods.iter().all(|pod| pod.ready && !pod.terminating);
            if on == expected && ready { Ok(()) } else { Err(format!("{on:?}, all ready: {ready}")) }
        })
        .await;
}
