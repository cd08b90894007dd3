//! An unmodified kube client and its runtime over the router.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace, Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Discovery, ResourceExt,
    api::{
        ApiResource, DeleteParams, DynamicObject, EvictParams, ListParams, Patch, PatchParams, PostParams,
    },
    runtime::{WatchStreamExt, conditions, wait::await_condition, watcher},
};
use serde_json::json;

use crate::support::{World, configmap, games, pod};

#[tokio::test(start_paused = true)]
async fn typed_objects_make_the_round_trip() {
    let world = World::new();
    let api: Api<ConfigMap> = Api::default_namespaced(world.client.clone());
    let body: ConfigMap = serde_json::from_value(configmap("a", &json!({"k": "1"}))).expect("a configmap");
    let mut made = api.create(&PostParams::default(), &body).await.expect("created");
    made.data.get_or_insert_default().insert("k".into(), "2".into());
    let replaced = api.replace("a", &PostParams::default(), &made).await.expect("replaced");
    assert_eq!(replaced.data.as_ref().and_then(|data| data.get("k")).map(String::as_str), Some("2"));
    let conflict = api.replace("a", &PostParams::default(), &made).await.expect_err("stale");
    assert!(matches!(conflict, kube::Error::Api(status) if status.is_conflict()));
    let applied =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "3"}});
    let params = PatchParams::apply("ann").force();
    api.patch("a", &params, &Patch::Apply(applied)).await.expect("applied");
    assert_eq!(api.list(&ListParams::default().limit(1)).await.expect("listed").items.len(), 1);
    let metadata = api.list_metadata(&ListParams::default()).await.expect("listed");
    assert_eq!(metadata.items[0].name_any(), "a");
    assert!(api.delete("a", &DeleteParams::default()).await.expect("deleted").is_right());
    assert!(api.get_opt("a").await.expect("an answer").is_none());
}

#[tokio::test(start_paused = true)]
async fn definitions_become_kinds_that_discovery_finds() {
    let world = World::new();
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let params = PatchParams::apply("test");
    definitions.patch("games.example.com", &params, &Patch::Apply(games())).await.expect("applied");
    let established =
        await_condition(definitions.clone(), "games.example.com", conditions::is_crd_established());
    tokio::time::timeout(std::time::Duration::from_secs(5), established)
        .await
        .expect("soon")
        .expect("established");
    let discovery = Discovery::new(world.client.clone()).run_aggregated().await.expect("discovered");
    let group = discovery.get("example.com").expect("the group");
    let (resource, capabilities) = group.recommended_kind("Game").expect("the kind");
    assert!(capabilities.supports_operation("watch"));
    let games: Api<DynamicObject> = Api::default_namespaced_with(world.client.clone(), &resource);
    let game = DynamicObject::new("g", &resource).data(json!({"spec": {"replicas": 2}}));
    games.create(&PostParams::default(), &game).await.expect("created");
    let scale = games.get_scale("g").await.expect("a scale");
    assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(2));
    let scaled = games
        .patch_scale("g", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 4}})))
        .await;
    assert_eq!(scaled.expect("scaled").spec.and_then(|spec| spec.replicas), Some(4));
    let _: ApiResource = resource;
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_every_change_with_list_and_with_streamed_lists() {
    for config in [watcher::Config::default().page_size(1), watcher::Config::default().streaming_lists()] {
        let world = World::new();
        let api: Api<ConfigMap> = Api::default_namespaced(world.client.clone());
        let make = async |name: &str| {
            let body: ConfigMap = serde_json::from_value(configmap(name, &json!({}))).expect("a configmap");
            api.create(&PostParams::default(), &body).await.expect("created");
        };
        make("a").await;
        make("b").await;
        let mut seen = watcher(api.clone(), config).touched_objects().boxed();
        assert_eq!(seen.try_next().await.expect("no error").map(|o| o.name_any()).as_deref(), Some("a"));
        assert_eq!(seen.try_next().await.expect("no error").map(|o| o.name_any()).as_deref(), Some("b"));
        make("c").await;
        assert_eq!(seen.try_next().await.expect("no error").map(|o| o.name_any()).as_deref(), Some("c"));
        api.delete("a", &DeleteParams::default()).await.expect("deleted");
        assert_eq!(seen.try_next().await.expect("no error").map(|o| o.name_any()).as_deref(), Some("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_recovers_from_a_forgotten_history() {
    let world = World::with_history(2);
    let api: Api<ConfigMap> = Api::default_namespaced(world.client.clone());
    let make = async |name: String| {
        let body: ConfigMap = serde_json::from_value(configmap(&name, &json!({}))).expect("a configmap");
        api.create(&PostParams::default(), &body).await.expect("created");
    };
    make("first".into()).await;
    let mut seen =
        watcher(api.clone(), watcher::Config::default()).default_backoff().touched_objects().boxed();
    assert_eq!(seen.try_next().await.expect("no error").map(|o| o.name_any()).as_deref(), Some("first"));
    for at in 0..5 {
        make(format!("m-{at}")).await;
    }
    let mut names = std::collections::BTreeSet::new();
    while names.len() < 6 {
        if let Ok(Some(object)) = seen.try_next().await {
            names.insert(object.name_any());
        }
    }
    assert!(names.contains("m-4"));
}

#[tokio::test(start_paused = true)]
async fn pods_are_evicted_and_namespaces_removed() {
    let world = World::new();
    let pods: Api<Pod> = Api::default_namespaced(world.client.clone());
    let body: Pod = serde_json::from_value(pod("p")).expect("a pod");
    pods.create(&PostParams::default(), &body).await.expect("created");
    pods.evict("p", &EvictParams::default()).await.expect("evicted");
    assert!(pods.get_opt("p").await.expect("an answer").is_none());
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let body: Namespace = serde_json::from_value(json!({"metadata": {"name": "foo"}})).expect("a namespace");
    let uid = namespaces.create(&PostParams::default(), &body).await.expect("created").uid().expect("a uid");
    namespaces.delete("foo", &DeleteParams::default()).await.expect("deleted");
    let gone = await_condition(namespaces.clone(), "foo", conditions::is_deleted(&uid));
    tokio::time::timeout(std::time::Duration::from_secs(5), gone).await.expect("soon").expect("gone");
}
