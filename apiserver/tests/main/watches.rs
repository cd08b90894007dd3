//! Watches.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use http::{Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{GAMES, MAPS, World, configmap, game, world_with_games};

/// An open watch.
struct Watch {
    body: BodyDataStream,
    lines: Vec<Value>,
}

impl Watch {
    async fn open(world: &World, path: &str, accept: &str) -> Self {
        let request =
            Request::builder().uri(path).header("accept", accept).body(Body::empty()).expect("a request");
        let response = world.cluster.router().oneshot(request).await.expect("routers do not fail");
        assert_eq!(response.status(), 200);
        Self { body: response.into_body().into_data_stream(), lines: Vec::new() }
    }

    /// The next event; `None` when the watch has ended.
    async fn next(&mut self) -> Option<Value> {
        while self.lines.is_empty() {
            let chunk = self.body.next().await?.expect("no errors in a body");
            self.lines = chunk
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice(line).expect("a line of JSON"))
                .collect();
            self.lines.reverse();
        }
        self.lines.pop()
    }

    /// The next event as type and name.
    async fn step(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

fn step(ty: &str, name: &str) -> (String, String) {
    (ty.to_owned(), name.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_version_begins_with_what_there_is() {
    let world = World::new();
    world.post(MAPS, &configmap("a", &json!({}))).await;
    let mut watch = Watch::open(&world, &format!("{MAPS}?watch=true"), "application/json").await;
    assert_eq!(watch.step().await, step("ADDED", "a"));
    world.post(MAPS, &configmap("b", &json!({}))).await;
    world.patch("merge", &format!("{MAPS}/b"), &json!({"data": {"k": "v"}})).await;
    world.delete(&format!("{MAPS}/a"), &json!({})).await;
    assert_eq!(watch.step().await, step("ADDED", "b"));
    assert_eq!(watch.step().await, step("MODIFIED", "b"));
    let deleted = watch.next().await.expect("an event");
    assert_eq!(deleted["type"], "DELETED");
    let listed = world.get(MAPS).await.json();
    assert_eq!(deleted["object"]["metadata"]["resourceVersion"], listed["metadata"]["resourceVersion"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_version_misses_nothing_after_it() {
    let world = World::new();
    let version =
        world.get(MAPS).await.json()["metadata"]["resourceVersion"].as_str().expect("one").to_owned();
    world.post(MAPS, &configmap("a", &json!({}))).await;
    let path = format!("{MAPS}?watch=true&resourceVersion={version}&timeoutSeconds=5");
    let mut watch = Watch::open(&world, &path, "application/json").await;
    assert_eq!(watch.step().await, step("ADDED", "a"));
    assert_eq!(watch.next().await, None, "timeoutSeconds ends it");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_leaves_or_enters_a_selection_is_deleted_or_added() {
    let world = World::new();
    let path = format!("{MAPS}?watch=true&labelSelector=on%3Dyes");
    let mut watch = Watch::open(&world, &path, "application/json").await;
    world.post(MAPS, &configmap("a", &json!({}))).await;
    let label = async |value: Value| {
        let patch = json!({"metadata": {"labels": {"on": value}}});
        world.patch("merge", &format!("{MAPS}/a"), &patch).await.json()["metadata"]["resourceVersion"].clone()
    };
    label(json!("yes")).await;
    assert_eq!(watch.step().await, step("ADDED", "a"));
    let version = label(json!("no")).await;
    let left = watch.next().await.expect("an event");
    assert_eq!(
        (&left["type"], &left["object"]["metadata"]["labels"]["on"]),
        (&json!("DELETED"), &json!("yes"))
    );
    assert_eq!(left["object"]["metadata"]["resourceVersion"], version);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_tell_how_far_a_quiet_watch_has_come() {
    let world = World::new();
    let path = format!("{MAPS}?watch=true&allowWatchBookmarks=true");
    let mut watch = Watch::open(&world, &path, "application/json").await;
    world.post("/api/v1/namespaces/kube-system/configmaps", &configmap("x", &json!({}))).await;
    let bookmark = watch.next().await.expect("an event");
    assert_eq!((&bookmark["type"], &bookmark["object"]["kind"]), (&json!("BOOKMARK"), &json!("ConfigMap")));
    assert!(bookmark["object"]["metadata"]["resourceVersion"].is_string());
}

#[tokio::test(start_paused = true)]
async fn initial_events_end_with_an_annotated_bookmark() {
    let world = World::new();
    world.post(MAPS, &configmap("a", &json!({}))).await;
    let path = format!(
        "{MAPS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut watch = Watch::open(&world, &path, "application/json").await;
    assert_eq!(watch.step().await, step("ADDED", "a"));
    let end = watch.next().await.expect("an event");
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    world.post(MAPS, &configmap("b", &json!({}))).await;
    assert_eq!(watch.step().await, step("ADDED", "b"));
}

#[tokio::test(start_paused = true)]
async fn versions_that_cannot_be_served_are_an_error_event() {
    let world = World::with_history(2);
    for at in 0..5 {
        world.post(MAPS, &configmap(&format!("m-{at}"), &json!({}))).await;
    }
    for version in ["3", "999999"] {
        let path = format!("{MAPS}?watch=true&resourceVersion={version}");
        let mut watch = Watch::open(&world, &path, "application/json").await;
        let error = watch.next().await.expect("an event");
        assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)), "{version}");
        assert_eq!(error["object"]["reason"], "Expired");
        assert_eq!(watch.next().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_too_slow_is_cut_off() {
    let world = World::with_history(2);
    let mut watch = Watch::open(&world, &format!("{MAPS}?watch=true"), "application/json").await;
    for at in 0..5 {
        world.post(MAPS, &configmap(&format!("m-{at}"), &json!({}))).await;
    }
    let error = watch.next().await.expect("an event");
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(watch.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_watched_table_has_one_row_and_names_its_columns_once() {
    let world = world_with_games().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut watch = Watch::open(&world, &format!("{GAMES}?watch=true"), accept).await;
    world.post(GAMES, &game("a", &json!({"replicas": 2}))).await;
    world.patch("merge", &format!("{GAMES}/a/scale"), &json!({"spec": {"replicas": 3}})).await;
    let first = watch.next().await.expect("an event");
    assert_eq!(
        (&first["object"]["kind"], &first["object"]["rows"][0]["cells"]),
        (&json!("Table"), &json!(["a", 2]))
    );
    assert!(first["object"]["columnDefinitions"].is_array());
    let second = watch.next().await.expect("an event");
    assert_eq!(second["object"]["rows"][0]["cells"], json!(["a", 3]));
    assert!(second["object"]["columnDefinitions"].is_null());
}

#[tokio::test(start_paused = true)]
async fn watches_of_a_removed_definition_end() {
    let world = world_with_games().await;
    let mut watch = Watch::open(&world, &format!("{GAMES}?watch=true"), "application/json").await;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/games.example.com";
    assert_eq!(world.delete(path, &json!({})).await.code, 200);
    let end = tokio::time::timeout(Duration::from_secs(5), watch.next()).await;
    assert_eq!(end, Ok(None));
    assert_eq!(world.send(Method::GET, GAMES, &[], "").await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn one_object_can_be_watched_by_name() {
    let world = World::new();
    let path = format!("{MAPS}?watch=true&fieldSelector=metadata.name%3Db");
    let mut watch = Watch::open(&world, &path, "application/json").await;
    world.post(MAPS, &configmap("a", &json!({}))).await;
    world.post(MAPS, &configmap("b", &json!({}))).await;
    assert_eq!(watch.step().await, step("ADDED", "b"));
}
