//! A changed template reaches the pods.

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{Api, ListParams};
use serde_json::json;

use super::{arena, partition, rolling, runs, scaled, spec, with_claims};
use crate::support::manifests::{image, set_image};
use crate::support::{NAMESPACE, SHANGHAI, World, merged};

/// The current and the updated revision that a set reports.
async fn revisions(world: &World) -> (String, String) {
    let status = world.set(SHANGHAI, "arena").await.status.unwrap_or_default();
    (status.current_revision.unwrap_or_default(), status.update_revision.unwrap_or_default())
}

async fn there_and_back(world: &World) {
    world.set_settled(SHANGHAI, "arena", 3).await;
    let (first, _) = revisions(world).await;
    let film = world.film(SHANGHAI, "arena").await;
    for tag in ["v2", "v1"] {
        world.edit_set(SHANGHAI, "arena", &set_image(tag)).await;
        world
            .until(&format!("another revision is current, and all is {tag}"), async || {
                runs(world, tag, &[0, 1, 2]).await;
                let (current, update) = revisions(world).await;
                let is_first = current == first;
                if current == update && is_first == (tag == "v1") {
                    Ok(())
                } else {
                    Err(format!("{current} -> {update}, the first is {first}"))
                }
            })
            .await;
    }
    assert_eq!(
        film.deleted(),
        ["arena-2", "arena-1", "arena-0", "arena-2", "arena-1", "arena-0"],
        "the highest goes first"
    );
    assert_eq!(film.most_unready(3), 1);
    let stored: Api<ControllerRevision> = Api::namespaced(world.member(SHANGHAI), NAMESPACE);
    let stored = stored.list(&ListParams::default()).await.expect("listed");
    assert_eq!(stored.items.len(), 2, "going back makes no revision");
}

#[tokio::test(start_paused = true)]
async fn sts_e4_claims_are_the_same_after_an_update_and_back() {
    use k8s_openapi::api::core::v1::PersistentVolumeClaim;

    let world = with_claims(3, 3, &spec("OrderedReady", &rolling(0))).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.member(SHANGHAI), NAMESPACE);
    let uids = async || {
        let list = claims.list(&ListParams::default()).await.expect("listed");
        list.into_iter().map(|claim| claim.metadata.uid).collect::<Vec<_>>()
    };
    let before = uids().await;
    there_and_back(&world).await;
    assert_eq!(uids().await, before);
}

#[tokio::test(start_paused = true)]
async fn sts_e5_an_update_and_its_rollback_show_their_revisions_and_the_old_one_is_used_again() {
    let world = arena(3, &spec("OrderedReady", &rolling(0))).await;
    there_and_back(&world).await;
}

#[tokio::test(start_paused = true)]
async fn sts_e6_a_canary_by_partition_and_then_in_phases() {
    let world = arena(3, &spec("OrderedReady", &rolling(3))).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    let (first, _) = revisions(&world).await;
    let before = world.pods(SHANGHAI, "arena").await;
    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    world.quiet(60).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "arena").await);

    world.edit_set(SHANGHAI, "arena", &partition(2)).await;
    runs(&world, "v2", &[2]).await;
    let (current, update) = revisions(&world).await;
    assert_eq!(current, first);
    assert_ne!(update, first);
    // Deleted pods come back at the side of the partition that they are on.
    for (pod, tag) in [("arena-0", "v1"), ("arena-2", "v2")] {
        let uid = world.pods(SHANGHAI, "arena").await.0[pod].uid.clone();
        world.delete_pod(SHANGHAI, pod).await;
        world
            .until(&format!("{pod} is another, on {tag}"), async || {
                let pods = world.pods(SHANGHAI, "arena").await;
                match pods.0.get(pod) {
                    Some(pod) if pod.uid != uid && pod.ready && pod.runs("server") == image(tag) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
    }
    world.edit_set(SHANGHAI, "arena", &partition(1)).await;
    runs(&world, "v2", &[1, 2]).await;
    world.edit_set(SHANGHAI, "arena", &partition(0)).await;
    runs(&world, "v2", &[0, 1, 2]).await;
    world
        .until("the update is the current revision", async || {
            let (current, update) = revisions(&world).await;
            if current == update { Ok(()) } else { Err(format!("{current} -> {update}")) }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn sts_e7_on_delete_pods_are_replaced_by_whoever_deletes_them() {
    let world = arena(3, &spec("OrderedReady", &json!({"type": "OnDelete"}))).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    let before = world.pods(SHANGHAI, "arena").await;
    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    world.quiet(60).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "arena").await);
    let mut updated = Vec::new();
    for ordinal in [0, 2, 1] {
        world.delete_pod(SHANGHAI, &format!("arena-{ordinal}")).await;
        updated.push(ordinal);
        updated.sort_unstable();
        runs(&world, "v2", &updated).await;
    }
    world.edit_set(SHANGHAI, "arena", &scaled(4)).await;
    runs(&world, "v2", &[0, 1, 2, 3]).await;
}

#[tokio::test(start_paused = true)]
async fn sts_e14_an_update_keeps_to_partition_and_max_unavailable() {
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2, "maxUnavailable": 2}});
    let world = arena(6, &spec("Parallel", &strategy)).await;
    world.set_settled(SHANGHAI, "arena", 6).await;
    let before = world.pods(SHANGHAI, "arena").await;
    let film = world.film(SHANGHAI, "arena").await;
    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    runs(&world, "v2", &[2, 3, 4, 5]).await;
    assert_eq!(film.most_unready(6), 2);
    let mut deleted = film.deleted();
    deleted.sort();
    assert_eq!(deleted, ["arena-2", "arena-3", "arena-4", "arena-5"]);
    let after = world.pods(SHANGHAI, "arena").await;
    for name in ["arena-0", "arena-1"] {
        assert_eq!(after.0[name].uid, before.0[name].uid, "{name} is below the partition");
    }
}

#[tokio::test(start_paused = true)]
async fn sts_e14_available_pods_follow_min_ready_seconds() {
    let min_ready = |seconds: i64| json!({"spec": {"minReadySeconds": seconds}});
    let world = arena(2, &min_ready(5)).await;
    let available = async |expected: i64| {
        world
            .until(&format!("{expected} pods are available, and 2 ready"), async || {
                let set = world.set(SHANGHAI, "arena").await;
                let status = set.status.unwrap_or_default();
                let numbers = [status.ready_replicas, status.available_replicas];
                if numbers == [2, expected] && status.observed_generation == set.metadata.generation {
                    Ok(())
                } else {
                    Err(format!("ready and available {numbers:?}"))
                }
            })
            .await;
    };
    let began = world.now();
    available(2).await;
    let took = world.now().duration_since(began);
    assert!(took >= jiff::SignedDuration::from_secs(4), "available already after {took:#}");
    for (seconds, expected) in [(3600, 0), (1, 2), (0, 2)] {
        world.edit_set(SHANGHAI, "arena", &min_ready(seconds)).await;
        available(expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sts_e14_an_update_waits_until_a_pod_was_ready_for_min_ready_seconds() {
    let change = merged(spec("OrderedReady", &rolling(0)), &json!({"spec": {"minReadySeconds": 5}}));
    let world = arena(2, &change).await;
    world.set_settled(SHANGHAI, "arena", 2).await;
    let film = world.film(SHANGHAI, "arena").await;
    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    runs(&world, "v2", &[0, 1]).await;
    // The API keeps whole seconds, so up to one of them is lost, as with a StatefulSet.
    let waited = film.ready_until_deleted("arena-1", "arena-0");
    assert!(waited >= jiff::SignedDuration::from_secs(4), "arena-0 went {waited:#} after arena-1 was ready");
}
