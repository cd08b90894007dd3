//! What a set shares with StatefulSet: order, replacement, partitions, revisions.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use muster_crds::keys::workload;
use serde_json::{Value, json};

use crate::support::manifests::{image, set_image};
use crate::support::{NAMESPACE, SHANGHAI, Setup, World, merged, set};

const TYPES: [&str; 2] = ["Parallel", "OrderedReady"];

async fn arena(replicas: i64, change: &Value) -> World {
    arena_of(Setup::new(&[SHANGHAI]), replicas, change).await
}

async fn arena_of(setup: Setup, replicas: i64, change: &Value) -> World {
    let world = World::start(setup).await;
    world.namespace_in(SHANGHAI).await;
    world.apply_in(SHANGHAI, &merged(set("arena", replicas), change)).await;
    world
}

fn spec(policy: &str, strategy: &Value) -> Value {
    json!({"spec": {"podManagementPolicy": policy, "updateStrategy": strategy}})
}

fn scaled(replicas: i64) -> Value {
    json!({"spec": {"replicas": replicas}})
}

/// Waits until exactly these ordinals run an image, and everything is ready.
async fn runs(world: &World, tag: &str, expected: &[usize]) {
    world
        .until(&format!("ordinals {expected:?} are ready on {tag}"), async || {
            let pods = world.pods(SHANGHAI, "arena").await;
            let mut on: Vec<usize> = pods
                .iter()
                .filter(|pod| pod.runs("server") == image(tag))
                .map(crate::support::PodView::ordinal)
                .collect();
            on.sort_unstable();
            let ready = pods.iter().all(|pod| pod.ready && !pod.terminating);
            if on == expected && ready { Ok(()) } else { Err(format!("{on:?}, all ready: {ready}")) }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn sts_c1_pods_carry_their_identity_and_the_counters_follow() {
    let world = arena(3, &json!({})).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    let pods: Api<Pod> = Api::namespaced(world.member(SHANGHAI), NAMESPACE);
    for ordinal in 0..3 {
        let name = format!("arena-{ordinal}");
        let pod = pods.get(&name).await.expect("it is there");
        let labels = pod.metadata.labels.unwrap_or_default();
        let number = ordinal.to_string();
        for (key, value) in [
            (workload::POD_INDEX, &number),
            (workload::POD_ORDINAL, &number),
            (workload::POD_NAME, &name),
            (workload::STATEFULSET_POD_NAME, &name),
        ] {
            assert_eq!(labels.get(key), Some(value), "{key}");
        }
        let spec = pod.spec.unwrap_or_default();
        assert_eq!(
            (spec.hostname.as_deref(), spec.subdomain.as_deref()),
            (Some(name.as_str()), Some("arena"))
        );
        let owner = pod.metadata.owner_references.unwrap_or_default();
        assert_eq!(owner.first().map(|owner| owner.kind.as_str()), Some("GameStatefulSet"));
    }
    let status = world.set(SHANGHAI, "arena").await.status.unwrap_or_default();
    assert_eq!((status.replicas, status.ready_replicas, status.updated_replicas), (3, 3, 3));
    assert_eq!(status.label_selector.as_deref(), Some("app=arena"));
}

#[tokio::test(start_paused = true)]
async fn sts_c4_deleted_pods_come_back_under_their_names() {
    for policy in TYPES {
        let world = arena(5, &spec(policy, &json!({}))).await;
        world.set_settled(SHANGHAI, "arena", 5).await;
        let before = world.pods(SHANGHAI, "arena").await;
        for name in ["arena-0", "arena-2", "arena-4"] {
            world.delete_pod(SHANGHAI, name).await;
        }
        world.seconds(1).await;
        world.set_settled(SHANGHAI, "arena", 5).await;
        let after = world.pods(SHANGHAI, "arena").await;
        for name in ["arena-1", "arena-3"] {
            assert_eq!(after.0[name].uid, before.0[name].uid, "{policy}");
        }
        for name in ["arena-0", "arena-2", "arena-4"] {
            assert_ne!(after.0[name].uid, before.0[name].uid, "{policy}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sts_c13_a_rolling_update_replaces_pods_within_max_unavailable() {
    for (policy, max, budget) in
        [("Parallel", json!(3), 3), ("Parallel", json!("20%"), 2), ("OrderedReady", json!(1), 1)]
    {
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": max}});
        let world = arena(8, &spec(policy, &strategy)).await;
        world.set_settled(SHANGHAI, "arena", 8).await;
        let before = world.pods(SHANGHAI, "arena").await;
        let film = world.film(SHANGHAI, "arena").await;
        world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
        world.set_settled(SHANGHAI, "arena", 8).await;
        let after = world.pods(SHANGHAI, "arena").await;
        for pod in after.iter() {
            assert_eq!(pod.runs("server"), image("v2"), "{policy} {max}");
            assert_ne!(pod.uid, before.0[&pod.name].uid, "{policy} {max}: replaced");
        }
        assert_eq!(film.most_unready(8), budget, "{policy} {max}");
        assert_eq!(film.most_pods(), 8, "never more than replicas");
    }
}

#[tokio::test(start_paused = true)]
async fn sts_c12_an_image_change_together_with_a_scale_ends_with_all_pods_on_the_new_image() {
    for policy in TYPES {
        for replicas in [3, 6] {
            let world = arena(4, &spec(policy, &json!({"type": "RollingUpdate"}))).await;
            world.set_settled(SHANGHAI, "arena", 4).await;
            world.edit_set(SHANGHAI, "arena", &merged(set_image("v2"), &scaled(replicas))).await;
            world.set_settled(SHANGHAI, "arena", replicas).await;
            let pods = world.pods(SHANGHAI, "arena").await;
            assert!(pods.iter().all(|pod| pod.runs("server") == image("v2")), "{policy} to {replicas}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sts_c15_on_delete_a_pod_takes_the_new_image_only_when_somebody_deletes_it() {
    let world = arena(3, &spec("Parallel", &json!({"type": "OnDelete"}))).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    let before = world.pods(SHANGHAI, "arena").await;
    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    world.quiet(60).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "arena").await);
    world.delete_pod(SHANGHAI, "arena-1").await;
    runs(&world, "v2", &[1]).await;
    world.edit_set(SHANGHAI, "arena", &scaled(4)).await;
    runs(&world, "v2", &[1, 3]).await;
    world.edit_set(SHANGHAI, "arena", &scaled(0)).await;
    world.set_settled(SHANGHAI, "arena", 0).await;
    world.edit_set(SHANGHAI, "arena", &scaled(2)).await;
    runs(&world, "v2", &[0, 1]).await;
}

#[tokio::test(start_paused = true)]
async fn sts_c16_a_partition_holds_for_old_pods_for_deleted_ones_and_for_new_ones() {
    for policy in TYPES {
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
        let world = arena(4, &spec(policy, &strategy)).await;
        world.set_settled(SHANGHAI, "arena", 4).await;
        world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
        runs(&world, "v2", &[2, 3]).await;
        world.delete_pod(SHANGHAI, "arena-0").await;
        world.delete_pod(SHANGHAI, "arena-3").await;
        world.seconds(1).await;
        runs(&world, "v2", &[2, 3]).await;
        runs(&world, "v1", &[0, 1]).await;
        world.edit_set(SHANGHAI, "arena", &scaled(6)).await;
        runs(&world, "v2", &[2, 3, 4, 5]).await;
        let done = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}});
        world.edit_set(SHANGHAI, "arena", &done).await;
        runs(&world, "v2", &[0, 1, 2, 3, 4, 5]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sts_c18_a_rollback_uses_the_old_revision_again() {
    let world = arena(3, &spec("Parallel", &json!({"type": "RollingUpdate"}))).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    let revision = async || world.set(SHANGHAI, "arena").await.status.unwrap_or_default().update_revision;
    let first = revision().await;
    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    assert_ne!(revision().await, first);
    world.edit_set(SHANGHAI, "arena", &set_image("v1")).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    assert_eq!(revision().await, first);
    let revisions: Api<k8s_openapi::api::apps::v1::ControllerRevision> =
        Api::namespaced(world.member(SHANGHAI), NAMESPACE);
    let stored = revisions.list(&kube::api::ListParams::default()).await.expect("listed");
    assert_eq!(stored.items.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn sts_c3_a_deleted_set_takes_its_pods_and_revisions_along() {
    let world = arena(3, &json!({})).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    world.sets(SHANGHAI).delete("arena", &kube::api::DeleteParams::background()).await.expect("deleted");
    let revisions: Api<k8s_openapi::api::apps::v1::ControllerRevision> =
        Api::namespaced(world.member(SHANGHAI), NAMESPACE);
    world
        .until("nothing is left", async || {
            let pods = world.pods(SHANGHAI, "arena").await.len();
            let stored =
                revisions.list(&kube::api::ListParams::default()).await.map_err(|error| error.to_string())?;
            if pods == 0 && stored.items.is_empty() {
                Ok(())
            } else {
                Err(format!("{pods} pods, {} revisions", stored.items.len()))
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn sts_reserved_ordinals_get_no_pod() {
    let world = arena(3, &json!({"spec": {"reserveOrders": [1]}})).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    assert_eq!(world.pods(SHANGHAI, "arena").await.ordinals(), [0, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn sts_c5_a_failed_pod_is_replaced_under_its_name() {
    for policy in TYPES {
        let world = arena(3, &spec(policy, &json!({}))).await;
        world.set_settled(SHANGHAI, "arena", 3).await;
        let before = world.pods(SHANGHAI, "arena").await;
        let pods: Api<Pod> = Api::namespaced(world.member(SHANGHAI), NAMESPACE);
        let failed = Patch::Merge(json!({"status": {"phase": "Failed", "reason": "Evicted"}}));
        pods.patch_status("arena-1", &PatchParams::default(), &failed).await.expect("patched");
        world
            .until("arena-1 is another and ready", async || {
                let pods = world.pods(SHANGHAI, "arena").await;
                match pods.0.get("arena-1") {
                    Some(pod) if pod.ready && pod.uid != before.0["arena-1"].uid => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        world.set_settled(SHANGHAI, "arena", 3).await;
        let after = world.pods(SHANGHAI, "arena").await;
        for name in ["arena-0", "arena-2"] {
            assert_eq!(after.0[name].uid, before.0[name].uid, "{policy}");
        }
    }
}
