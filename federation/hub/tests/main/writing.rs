//! What the hub writes to its API, and what it does not.

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use muster_crds::KubeFedCluster;
use serde_json::json;

use crate::support::{FEDERATION, World, eventually, object, seconds, three_to_two};

async fn settled() -> World {
    let world = World::start().await;
    world.clusters(&["nanjing", "shanghai"]).await;
    world.prefer("game", three_to_two("shanghai", "nanjing")).await;
    world.create_object(object("game", 200, &["shanghai", "nanjing"])).await;
    for name in ["nanjing", "shanghai"] {
        let view = world.view(name);
        view.heartbeat().await.unwrap();
        eventually("the part is shown", || async { view.intent("game").await == "Apply" }).await;
        view.settle("game").await;
    }
    eventually("ready", || async { world.condition("game", "Ready").await.starts_with("True") }).await;
    world
}

#[tokio::test(start_paused = true)]
async fn an_object_becomes_ready_and_its_status_adds_up() {
    let world = settled().await;
    let status = world.status("game").await;
    assert_eq!((status.replicas, status.ready_replicas, status.updated_replicas), (200, 200, 200));
    assert_eq!(status.planned_replicas, 200);
    assert_eq!(status.label_selector.as_deref(), Some("app=game"));
    assert_eq!(status.clusters.len(), 2);
    let managed = world.object("game").await.unwrap().metadata.managed_fields.unwrap_or_default();
    assert!(managed.iter().any(|entry| {
        entry.manager.as_deref() == Some("muster-hub") && entry.subresource.as_deref() == Some("status")
    }));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn scaling_the_federated_object_follows_at_once() {
    let world = settled().await;
    seconds(2).await;
    let request = http::Request::patch(
        "/apis/types.kubefed.io/v1beta1/namespaces/center/federatedgamestatefulsets/game/scale",
    )
    .header("content-type", "application/merge-patch+json")
    .body(json!({"spec": {"replicas": 250}}).to_string().into_bytes())
    .unwrap();
    let _: serde_json::Value = world.client.request(request).await.unwrap();
    let view = world.view("shanghai");
    eventually("150", || async { view.replicas("game").await == Some(150) }).await;
    assert_eq!(world.view("nanjing").replicas("game").await, Some(100));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_hub_writes_its_lease_and_nothing_else() {
    let world = settled().await;
    let beat = || async {
        for name in ["nanjing", "shanghai"] {
            world.view(name).heartbeat().await.unwrap();
        }
    };
    beat().await;
    seconds(5).await;
    let before = world.api.metrics().writes_by("muster-hub");
    let leases = world.writes("leases");
    for _ in 0..6 {
        beat().await;
        seconds(10).await;
    }
    let written = world.api.metrics().writes_by("muster-hub") - before;
    let renewed = world.writes("leases") - leases;
    assert_eq!(written, renewed);
    assert!((10..=14).contains(&renewed), "{renewed} renewals in a minute");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_waits_for_its_members_and_then_goes() {
    let world = settled().await;
    world.delete_object("game").await;
    let (shanghai, nanjing) = (world.view("shanghai"), world.view("nanjing"));
    eventually("removal", || async { shanghai.intent("game").await == "Remove" }).await;
    shanghai.removed("game").await;
    seconds(2).await;
    assert!(world.object("game").await.is_some());
    assert!(world.condition("game", "Ready").await.starts_with("False Deleting"));
    nanjing.removed("game").await;
    eventually("gone", || async { world.object("game").await.is_none() }).await;
    assert!(shanghai.get("game").await.is_none());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_away_leaves_a_tombstone_that_outlives_the_hub() {
    let mut world = settled().await;
    let nanjing = world.view("nanjing");
    for _ in 0..4 {
        seconds(10).await;
        nanjing.heartbeat().await.unwrap();
    }
    world.delete_object("game").await;
    eventually("removal", || async { nanjing.intent("game").await == "Remove" }).await;
    nanjing.removed("game").await;
    eventually("released", || async { world.object("game").await.is_none() }).await;
    let tombstones = world.tombstones().await;
    assert_eq!(tombstones.len(), 1);
    assert_eq!(tombstones[0].spec.clusters, ["shanghai"]);
    assert_eq!(tombstones[0].spec.target.as_deref(), Some("gamestatefulsets.tkex.tencent.com"));

    world.stop_hub().await;
    world.start_hub().await;
    let shanghai = world.view("shanghai");
    eventually("remembered", || async { shanghai.intent("game").await == "Remove" }).await;
    shanghai.removed("game").await;
    eventually("no tombstone", || async { world.tombstones().await.is_empty() }).await;
    assert!(shanghai.get("game").await.is_none());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unregistered_cluster_loses_its_view() {
    let world = settled().await;
    let api: Api<KubeFedCluster> = Api::namespaced(world.client.clone(), FEDERATION);
    api.delete("shanghai", &DeleteParams::default()).await.unwrap();
    let view = world.view("shanghai");
    eventually("no view", || async { view.current().await.is_none() }).await;
    assert!(view.heartbeat().await.is_err());
    eventually("its seats are kept", || async {
        world
            .condition("game", "Degraded")
            .await
            .contains("shanghai: ClusterNotReady: not registered: keeps its ")
    })
    .await;
    assert!(world.view("nanjing").replicas("game").await < Some(200));
    let release = json!({"metadata": {"annotations": {"muster.dev/release-seats": "shanghai"}}});
    world.patch_object("game", release).await;
    eventually("the others grow", || async { world.view("nanjing").replicas("game").await == Some(200) })
        .await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bad_input_is_named_and_what_ran_goes_on() {
    let world = settled().await;
    let change = json!({"spec": {"overrides": [{"clusterName": "nanjing", "clusterOverrides": [
        {"path": "/spec/no/such/path", "value": 1}]}]}});
    world.patch_object("game", change).await;
    let nanjing = world.view("nanjing");
    eventually("held", || async { nanjing.intent("game").await == "Hold" }).await;
    assert_eq!(world.view("shanghai").intent("game").await, "Apply");
    eventually("degraded", || async {
        let degraded = world.condition("game", "Degraded").await;
        degraded.contains("/spec/no/such/path") && degraded.contains("FederatedGameStatefulSet center/game")
    })
    .await;
    world.patch_object("game", json!({"spec": {"overrides": null}})).await;
    eventually("recovered", || async { world.condition("game", "Ready").await.starts_with("True") }).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_annotation_on_the_lease_by_a_person_does_not_end_the_term() {
    let world = settled().await;
    let api: Api<k8s_openapi::api::coordination::v1::Lease> =
        Api::namespaced(world.client.clone(), FEDERATION);
    let note = json!({"metadata": {"annotations": {"example.com/note": "x"}}});
    api.patch("muster-hub", &PatchParams::default(), &Patch::Merge(note)).await.unwrap();
    seconds(30).await;
    assert_eq!(world.view("shanghai").intent("game").await, "Apply");
    assert_eq!(world.lease().await.annotations()["muster.dev/epoch"], "1");
    world.stop().await;
}
