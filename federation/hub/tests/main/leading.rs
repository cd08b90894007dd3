//! Terms of leadership, and what a client sees of a change.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;

use crate::support::{FEDERATION, World, eventually, object, seconds, three_to_two};

async fn shown() -> World {
    let world = World::start().await;
    world.clusters(&["nanjing", "shanghai"]).await;
    world.prefer("game", three_to_two("shanghai", "nanjing")).await;
    world.create_object(object("game", 200, &["shanghai", "nanjing"])).await;
    let view = world.view("shanghai");
    eventually("the part is shown", || async { view.intent("game").await == "Apply" }).await;
    world
}

#[tokio::test(start_paused = true)]
async fn every_term_has_a_higher_epoch_and_versions_only_grow() {
    let mut world = shown().await;
    let mut last: u64 = 0;
    let mut generation = None;
    for epoch in 1..=3 {
        let set = world.view("shanghai").get("game").await.unwrap();
        let version: u64 = set.resource_version().unwrap().parse().unwrap();
        assert!(version > last && version >> 40 == epoch, "{version} in epoch {epoch}");
        assert_eq!(world.lease().await.annotations()["muster.dev/epoch"], epoch.to_string());
        last = version;
        let hash = set.annotations()["view.muster.dev/hash"].clone();
        assert_eq!(*generation.get_or_insert(hash.clone()), hash, "the same content has the same hash");
        world.stop_hub().await;
        world.start_hub().await;
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unmodified_watcher_follows_a_view_over_restarts_of_the_hub() {
    let mut world = shown().await;
    // A watch that outlives the hub process: the route to it is looked up for each request.
    let current = Arc::new(Mutex::new(world.router.clone()));
    let route = Arc::clone(&current);
    let front = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let router = route.lock().clone();
        async move { tower::ServiceExt::oneshot(router, request).await }
    });
    let client = muster_runtime::client::in_process_under(front, "/views/shanghai", "watcher").unwrap();
    let sets: Api<muster_crds::GameStatefulSet> = Api::namespaced(client, "center");
    let seen: Arc<Mutex<Vec<i64>>> = Arc::default();
    let log = Arc::clone(&seen);
    let tasks = muster_runtime::Tasks::new();
    tasks.spawn("watcher", async move {
        let mut stream =
            watcher(sets, watcher::Config::default()).default_backoff().applied_objects().boxed();
        while let Some(event) = stream.next().await {
            if let Ok(set) = event {
                log.lock().push(set.spec.replicas.unwrap_or(-1));
            }
        }
    });
    eventually("the watcher is there", || async { seen.lock().last() == Some(&120) }).await;
    for (replicas, wanted) in [(250, 150), (300, 180), (350, 210)] {
        world.stop_hub().await;
        seconds(3).await;
        let change = json!({"spec": {"template": {"spec": {"replicas": replicas}}}});
        world.patch_object("game", change).await;
        world.start_hub().await;
        *current.lock() = world.router.clone();
        eventually("the watcher follows", || async { seen.lock().last() == Some(&wanted) }).await;
    }
    assert!(seen.lock().is_sorted(), "no version of an earlier term comes back: {:?}", seen.lock());
    tasks.stop().await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_loses_its_lease_closes_its_views_and_leads_again_later() {
    let world = shown().await;
    let api: Api<Lease> = Api::namespaced(world.client.clone(), FEDERATION);
    let taken = json!({
        "metadata": {"annotations": {"muster.dev/epoch": "7"}},
        "spec": {"holderIdentity": "another"},
    });
    api.patch("muster-hub", &PatchParams::default(), &Patch::Merge(taken)).await.unwrap();
    let view = world.view("shanghai");
    eventually("views are closed", || async { view.current().await.is_none() }).await;
    // The other holder never renews: after its time this hub takes over, above its epoch.
    eventually("views are open again", || async { view.current().await.is_some() }).await;
    assert_eq!(world.lease().await.annotations()["muster.dev/epoch"], "8");
    let set = view.get("game").await.unwrap();
    assert_eq!(set.resource_version().unwrap().parse::<u64>().unwrap() >> 40, 8);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_hub_waits_until_the_first_is_gone() {
    let mut world = shown().await;
    let first = world.router.clone();
    let second = muster_hub::Hub::start(
        {
            let client = muster_runtime::client::in_process(world.api.router(), "muster-hub/second").unwrap();
            let mut config = muster_hub::HubConfig::new(client, "second");
            config.clock = world.clock.clone();
            config
        },
        &muster_runtime::Tasks::new(),
    )
    .unwrap();
    seconds(60).await;
    assert_eq!(second.pending(), ["leadership (hub-1 leads)"]);
    world.router = second.router();
    assert!(world.view("shanghai").current().await.is_none(), "503 while another hub leads");
    world.router = first;
    assert!(world.view("shanghai").current().await.is_some());
    world.stop_hub().await;
    eventually("the second leads", || async { second.pending().is_empty() }).await;
    world.router = second.router();
    assert_eq!(world.view("shanghai").replicas("game").await, Some(120));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn health_and_metrics_are_served() {
    let world = shown().await;
    let client = muster_runtime::client::in_process(world.router.clone(), "probe").unwrap();
    let text = |path: &'static str| {
        let client = client.clone();
        async move { client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap() }
    };
    assert_eq!(text("/readyz").await, "ok");
    assert_eq!(text("/healthz").await, "ok");
    let metrics = text("/metrics").await;
    for line in [
        "muster_hub_leader_epoch 1",
        r#"muster_hub_view_entries{cluster="shanghai",kind="gamestatefulsets.tkex.tencent.com",intent="Apply"} 1"#,
        r#"muster_hub_writes_total{kind="status",result="ok"}"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    world.stop().await;
}
