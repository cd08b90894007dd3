//! What a view serves, and what it refuses.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use muster_crds::GameStatefulSet;
use serde_json::{Value, json};

use crate::support::{FEDERATION, World, eventually, object, seconds, three_to_two};

async fn divided() -> World {
    let world = World::start().await;
    world.clusters(&["nanjing", "shanghai"]).await;
    world.prefer("game", three_to_two("shanghai", "nanjing")).await;
    world.create_object(object("game", 200, &["shanghai", "nanjing"])).await;
    let view = world.view("shanghai");
    eventually("shanghai is shown its part", || async { view.intent("game").await == "Apply" }).await;
    world
}

#[tokio::test(start_paused = true)]
async fn each_member_is_shown_its_own_part() {
    let world = divided().await;
    assert_eq!(world.view("shanghai").replicas("game").await, Some(120));
    assert_eq!(world.view("nanjing").replicas("game").await, Some(80));
    let status = world.status("game").await;
    assert_eq!(status.plan.unwrap().seats, [("nanjing".to_owned(), 80), ("shanghai".to_owned(), 120)].into());
    let object = world.object("game").await.unwrap();
    assert_eq!(object.finalizers(), ["kubefed.io/sync-controller"]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_view_is_a_kubernetes_api_with_discovery_and_tables() {
    let world = divided().await;
    let view = world.view("shanghai");
    let groups = view.client.list_api_groups().await.unwrap();
    let names: Vec<&str> = groups.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["coordination.k8s.io", "tkex.tencent.com", "view.muster.dev"]);
    let request = http::Request::get("/apis/tkex.tencent.com/v1alpha1/gamestatefulsets")
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .unwrap();
    let table: Value = view.client.request(request).await.unwrap();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"][0], "game");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_write_but_reports_and_the_lease_is_refused() {
    let world = divided().await;
    let view = world.view("shanghai");
    let set: GameStatefulSet = view.get("game").await.unwrap();
    let refused = |error: kube::Error| match error {
        kube::Error::Api(status) => status.code,
        other => panic!("{other}"),
    };
    let params = PostParams::default();
    assert_eq!(refused(view.sets().create(&params, &set).await.unwrap_err()), 405);
    assert_eq!(refused(view.sets().replace("game", &params, &set).await.unwrap_err()), 405);
    assert_eq!(
        refused(view.sets().delete("game", &kube::api::DeleteParams::default()).await.unwrap_err()),
        405
    );
    let other: Api<Lease> = Api::namespaced(view.client.clone(), FEDERATION);
    let mut lease = Lease::default();
    lease.metadata.name = Some("nanjing".to_owned());
    lease.metadata.resource_version = Some("1".to_owned());
    assert_eq!(refused(other.replace("nanjing", &params, &lease).await.unwrap_err()), 405);
    let stranger = world.view("atlantis");
    assert_eq!(refused(stranger.post(json!({"items": []})).await.unwrap_err()), 404);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn reports_are_bounded_in_number_size_and_rate() {
    let world = divided().await;
    let view = world.view("shanghai");
    let code = |error: kube::Error| match error {
        kube::Error::Api(status) => status.code,
        other => panic!("{other}"),
    };
    let items: Vec<Value> = (0..501).map(|number| json!({"key": {"name": number.to_string()}})).collect();
    assert_eq!(code(view.post(json!({"items": items})).await.unwrap_err()), 413);
    let big = "x".repeat(5 * 1024 * 1024);
    assert_eq!(code(view.post(json!({"items": [], "session": big})).await.unwrap_err()), 413);
    assert_eq!(code(view.post(json!([])).await.unwrap_err()), 400);
    seconds(2).await;
    let mut last = Ok(Value::Null);
    for _ in 0..21 {
        last = view.post(json!({"items": []})).await;
    }
    assert_eq!(code(last.unwrap_err()), 429);
    seconds(1).await;
    view.post(json!({"items": []})).await.unwrap();
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_for_one_member_is_an_event_for_that_member_only() {
    let world = divided().await;
    let watch = |cluster: &str| {
        let view = world.view(cluster);
        Box::pin(watcher(view.sets(), watcher::Config::default()).boxed())
    };
    let (mut shanghai, mut nanjing) = (watch("shanghai"), watch("nanjing"));
    for stream in [&mut shanghai, &mut nanjing] {
        while !matches!(stream.try_next().await.unwrap(), Some(watcher::Event::InitDone)) {}
    }
    let change = json!({"spec": {"overrides": [{"clusterName": "nanjing", "clusterOverrides": [
        {"path": "/spec/template/spec/containers/0/image", "value": "center:v2"}]}]}});
    world.patch_object("game", change).await;
    let Some(watcher::Event::Apply(set)) = nanjing.try_next().await.unwrap() else { panic!("no event") };
    assert_eq!(set.spec.template.pointer("/spec/containers/0/image"), Some(&json!("center:v2")));
    // The member's own report is no event for it either.
    world.view("shanghai").settle("game").await;
    let quiet = tokio::time::timeout(std::time::Duration::from_secs(20), shanghai.try_next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_makes_the_member_ready_and_silence_makes_it_offline() {
    let world = World::start().await;
    world.register("shanghai").await;
    let view = world.view("shanghai");
    let lease = view.heartbeat().await.unwrap();
    let epoch = lease.annotations().get("view.muster.dev/epoch").cloned().unwrap();
    assert!(epoch.ends_with("/1"), "{epoch}");
    let current = view.current().await.unwrap();
    assert_eq!(epoch, format!("{}/{}", current["hub"]["uid"].as_str().unwrap(), current["hub"]["epoch"]));
    let clusters: Api<muster_crds::KubeFedCluster> = Api::namespaced(world.client.clone(), FEDERATION);
    let ready = |wanted: &'static str| {
        let clusters = clusters.clone();
        async move {
            let status = clusters.get("shanghai").await.unwrap().status.unwrap_or_default();
            muster_crds::conditions::find(&status.conditions, "Ready")
                .is_some_and(|ready| ready.status == wanted)
        }
    };
    eventually("ready", || ready("True")).await;
    let status = clusters.get("shanghai").await.unwrap().status.unwrap();
    assert_eq!(status.member_uid.as_deref(), Some("kube-system-of-shanghai"));
    assert_eq!(status.kubernetes_version.as_deref(), Some("v1.33.0"));
    seconds(25).await;
    assert!(ready("True").await);
    seconds(10).await;
    eventually("offline", || ready("Unknown")).await;
    let read: Api<Lease> = Api::namespaced(view.client.clone(), FEDERATION);
    assert_eq!(read.get("shanghai").await.unwrap().spec.unwrap().holder_identity.as_deref(), Some("agent-1"));
    assert_eq!(read.list(&ListParams::default()).await.unwrap().items.len(), 1);
    world.stop().await;
}
