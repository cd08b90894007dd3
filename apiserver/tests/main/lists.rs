//! Lists: selectors, pages and versions.

use serde_json::{Value, json};

use crate::support::{GAMES, MAPS, PODS, World, configmap, game, pod, world_with_games};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name")).collect()
}

async fn with_maps(count: usize) -> World {
    let world = World::new();
    for at in 0..count {
        world.post(MAPS, &configmap(&format!("m-{at}"), &json!({}))).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn selectors_narrow_a_list() {
    let world = World::new();
    for (name, app) in [("a", "web"), ("b", "db"), ("c", "web")] {
        let mut body = pod(name);
        body["metadata"]["labels"]["app"] = app.into();
        world.post(PODS, &body).await;
    }
    let binding = json!({"target": {"kind": "Node", "name": "n1"}});
    world.post(&format!("{PODS}/c/binding"), &binding).await;
    let list = async |query: &str| world.get(&format!("{PODS}?{query}")).await;
    assert_eq!(names(&list("labelSelector=app%3Dweb").await.json()), ["a", "c"]);
    assert_eq!(names(&list("labelSelector=app%20notin%20(web)").await.json()), ["b"]);
    assert_eq!(names(&list("fieldSelector=spec.nodeName%3Dn1").await.json()), ["c"]);
    assert_eq!(names(&list("fieldSelector=metadata.name%3Da").await.json()), ["a"]);
    assert_eq!(names(&list("fieldSelector=metadata.name%3Dnope").await.json()), [] as [&str; 0]);
    assert_eq!(names(&list("fieldSelector=status.phase!%3DPending").await.json()), [] as [&str; 0]);
    let unknown = list("fieldSelector=spec.image%3Dx").await;
    assert_eq!(unknown.failure(), (400, "field label not supported: spec.image".into()));
    assert_eq!(list("labelSelector=%3D").await.code, 400);
}

#[tokio::test(start_paused = true)]
async fn definitions_name_fields_to_select_by() {
    let world = world_with_games().await;
    world.post(GAMES, &game("a", &json!({"image": "x"}))).await;
    world.post(GAMES, &game("b", &json!({"image": "y"}))).await;
    assert_eq!(names(&world.get(&format!("{GAMES}?fieldSelector=spec.image%3Dy")).await.json()), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn pages_show_one_version_whatever_happens_between_them() {
    let world = with_maps(5).await;
    let first = world.get(&format!("{MAPS}?limit=2")).await.json();
    assert_eq!(names(&first), ["m-0", "m-1"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    world.delete(&format!("{MAPS}/m-2"), &json!({})).await;
    world.post(MAPS, &configmap("m-9", &json!({}))).await;
    let token = first["metadata"]["continue"].as_str().expect("more");
    let second = world.get(&format!("{MAPS}?limit=2&continue={token}")).await.json();
    assert_eq!(names(&second), ["m-2", "m-3"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().expect("more");
    let third = world.get(&format!("{MAPS}?limit=2&continue={token}")).await.json();
    assert_eq!(names(&third), ["m-4"]);
    assert!(third["metadata"].get("continue").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_page_that_history_has_forgotten_is_expired() {
    let world = World::with_history(3);
    for at in 0..4 {
        world.post(MAPS, &configmap(&format!("m-{at}"), &json!({}))).await;
    }
    let first = world.get(&format!("{MAPS}?limit=1")).await.json();
    for at in 0..4 {
        world.post(MAPS, &configmap(&format!("n-{at}"), &json!({}))).await;
    }
    let token = first["metadata"]["continue"].as_str().expect("more");
    let answer = world.get(&format!("{MAPS}?limit=1&continue={token}")).await;
    assert_eq!((answer.code, &answer.json()["reason"]), (410, &json!("Expired")));
    assert_eq!(world.get(&format!("{MAPS}?continue=garbage")).await.code, 400);
}

#[tokio::test(start_paused = true)]
async fn a_list_can_be_had_at_a_version() {
    let world = with_maps(2).await;
    let version =
        world.get(MAPS).await.json()["metadata"]["resourceVersion"].as_str().expect("a version").to_owned();
    world.delete(&format!("{MAPS}/m-0"), &json!({})).await;
    let exact =
        world.get(&format!("{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact")).await.json();
    assert_eq!(names(&exact), ["m-0", "m-1"]);
    let newer = world
        .get(&format!("{MAPS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan"))
        .await
        .json();
    assert_eq!(names(&newer), ["m-1"]);
    assert_eq!(names(&world.get(&format!("{MAPS}?resourceVersion=0")).await.json()), ["m-1"]);
    let future = world.get(&format!("{MAPS}?resourceVersion=999999")).await;
    assert_eq!((future.code, &future.json()["reason"]), (504, &json!("Timeout")));
}

#[tokio::test(start_paused = true)]
async fn a_table_has_a_row_for_each_object_and_the_columns_of_the_definition() {
    let world = world_with_games().await;
    world.post(GAMES, &game("a", &json!({"replicas": 4}))).await;
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let table = world.send(http::Method::GET, GAMES, &accept, "").await.json();
    assert_eq!(table["kind"], "Table");
    let columns: Vec<_> =
        table["columnDefinitions"].as_array().expect("columns").iter().map(|c| c["name"].clone()).collect();
    assert_eq!(columns, [json!("Name"), json!("Desired")]);
    assert_eq!(table["rows"][0]["cells"], json!(["a", 4]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let single =
        world.send(http::Method::GET, &format!("{GAMES}/a?includeObject=Object"), &accept, "").await.json();
    assert_eq!(single["rows"][0]["object"]["spec"]["replicas"], 4);
}

#[tokio::test(start_paused = true)]
async fn metadata_alone_can_be_listed() {
    let world = with_maps(1).await;
    let accept = [("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")];
    let list = world.send(http::Method::GET, MAPS, &accept, "").await.json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["metadata"]["name"], "m-0");
    assert!(list["items"][0].get("data").is_none());
}
