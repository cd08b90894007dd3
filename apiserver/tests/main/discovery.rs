//! Discovery, OpenAPI and what has no resource.

use http::Method;
use serde_json::json;

use crate::support::{World, world_with_games};

#[tokio::test(start_paused = true)]
async fn groups_are_listed_in_one_document_and_in_several() {
    let world = world_with_games().await;
    let accept =
        [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")];
    let all = world.send(Method::GET, "/apis", &accept, "").await;
    assert_eq!(
        all.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let all = all.json();
    let group =
        all["items"].as_array().expect("groups").iter().find(|g| g["metadata"]["name"] == "example.com");
    let games = &group.expect("the group")["versions"][0]["resources"][0];
    assert_eq!(
        (&games["resource"], &games["scope"], &games["shortNames"]),
        (&json!("games"), &json!("Namespaced"), &json!(["gm"]))
    );
    let subresources: Vec<_> =
        games["subresources"].as_array().expect("some").iter().map(|s| s["subresource"].clone()).collect();
    assert_eq!(subresources, [json!("status"), json!("scale")]);
    let legacy = world.get("/apis").await.json();
    assert_eq!(legacy["kind"], "APIGroupList");
    let version = world.get("/apis/example.com/v1").await.json();
    let names: Vec<_> =
        version["resources"].as_array().expect("resources").iter().map(|r| r["name"].clone()).collect();
    assert_eq!(names, [json!("games"), json!("games/status"), json!("games/scale")]);
    assert_eq!(world.get("/api").await.json()["versions"], json!(["v1"]));
    assert_eq!(world.get("/apis/example.com").await.json()["preferredVersion"]["version"], "v1");
    assert_eq!(world.get("/apis/nope/v1").await.code, 404);
    assert_eq!(world.send(Method::POST, "/apis", &[], "").await.code, 405);
}

#[tokio::test(start_paused = true)]
async fn openapi_follows_the_definitions() {
    let world = World::new();
    assert!(world.get("/openapi/v3").await.json()["paths"].get("apis/example.com/v1").is_none());
    let world = world_with_games().await;
    let index = world.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/example.com/v1"]["serverRelativeURL"].as_str().expect("a url").to_owned();
    let document = world.get(&url).await.json();
    assert!(document["paths"].get("/apis/example.com/v1/namespaces/{namespace}/games").is_some());
    assert!(!document["components"]["schemas"].as_object().expect("schemas").is_empty());
}

#[tokio::test(start_paused = true)]
async fn health_and_version_are_answered() {
    let world = World::new();
    for path in ["/readyz", "/livez", "/healthz"] {
        assert_eq!(world.get(path).await.text, "ok");
    }
    assert_eq!(world.get("/version").await.json()["major"], "1");
}
