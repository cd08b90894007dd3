//! Server-side apply over HTTP. The algebra of field sets has tests of its own.

use serde_json::{Value, json};

use crate::support::{GAMES, MAPS, PODS, World, configmap, game, world_with_games};

fn managers(object: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries.map(|entry| (text(&entry["manager"]), text(&entry["operation"]))).collect()
}

#[tokio::test(start_paused = true)]
async fn an_apply_creates_then_changes_then_removes_what_it_no_longer_names() {
    let world = world_with_games().await;
    let path = format!("{GAMES}/g?fieldManager=ann");
    let made = world
        .patch("apply", &path, &game("g", &json!({"image": "a", "ports": [{"name": "x", "port": 1}]})))
        .await;
    assert_eq!(made.code, 201, "{}", made.text);
    assert_eq!(managers(&made.json()), [("ann".to_owned(), "Apply".to_owned())]);
    let changed =
        world.patch("apply", &path, &game("g", &json!({"ports": [{"name": "y", "port": 2}]}))).await;
    assert_eq!(changed.code, 200);
    let spec = changed.json()["spec"].clone();
    assert_eq!(spec, json!({"replicas": 1, "ports": [{"name": "y", "port": 2}]}));
    assert_eq!(changed.json()["metadata"]["generation"], 2);
}

#[tokio::test(start_paused = true)]
async fn the_same_apply_again_writes_nothing() {
    let world = world_with_games().await;
    let path = format!("{GAMES}/g?fieldManager=ann");
    let body = game("g", &json!({"image": "a"}));
    let first = world.patch("apply", &path, &body).await.json();
    tokio::time::advance(std::time::Duration::from_mins(1)).await;
    assert_eq!(world.patch("apply", &path, &body).await.json(), first);
}

#[tokio::test(start_paused = true)]
async fn a_field_of_somebody_else_is_a_conflict_unless_forced() {
    let world = world_with_games().await;
    world.patch("apply", &format!("{GAMES}/g?fieldManager=ann"), &game("g", &json!({"image": "a"}))).await;
    let body = game("g", &json!({"image": "b"}));
    let refused = world.patch("apply", &format!("{GAMES}/g?fieldManager=bob"), &body).await;
    assert_eq!(
        refused.failure(),
        (409, r#"Apply failed with 1 conflict: conflict with "ann": .spec.image"#.into())
    );
    assert_eq!(refused.json()["details"]["causes"][0]["reason"], "FieldManagerConflict");
    let forced = world.patch("apply", &format!("{GAMES}/g?fieldManager=bob&force=true"), &body).await;
    assert_eq!(forced.json()["spec"]["image"], "b");
    assert_eq!(managers(&forced.json()), [("bob".to_owned(), "Apply".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn status_is_applied_apart_and_remembered_apart() {
    let world = world_with_games().await;
    world.patch("apply", &format!("{GAMES}/g?fieldManager=ann"), &game("g", &json!({"image": "a"}))).await;
    let status = json!({"apiVersion": "example.com/v1", "kind": "Game", "metadata": {"name": "g"}, "status": {"ready": 1}});
    let path = format!("{GAMES}/g/status?fieldManager=bob&force=true");
    let applied = world.patch("apply", &path, &status).await;
    assert_eq!(applied.code, 200, "{}", applied.text);
    let object = applied.json();
    assert_eq!((&object["status"]["ready"], &object["metadata"]["generation"]), (&json!(1), &json!(1)));
    let entries = object["metadata"]["managedFields"].as_array().expect("entries").clone();
    let bob = entries.iter().find(|entry| entry["manager"] == "bob").expect("bob's entry");
    assert_eq!(bob["subresource"], "status");
    let missing = world.patch("apply", &format!("{GAMES}/h/status?fieldManager=bob"), &status).await;
    assert_eq!(missing.code, 400, "the name in the body is another");
}

#[tokio::test(start_paused = true)]
async fn replicas_are_owned_through_scale_too() {
    let world = world_with_games().await;
    world.patch("apply", &format!("{GAMES}/g?fieldManager=ann"), &game("g", &json!({"replicas": 2}))).await;
    let scale = |replicas: i64| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "g"}, "spec": {"replicas": replicas}});
    let path = format!("{GAMES}/g/scale?fieldManager=hpa");
    let refused = world.patch("apply", &path, &scale(5)).await;
    assert_eq!(
        refused.failure(),
        (409, r#"Apply failed with 1 conflict: conflict with "ann": .spec.replicas"#.into())
    );
    let forced = world.patch("apply", &format!("{path}&force=true"), &scale(5)).await;
    assert_eq!((forced.code, &forced.json()["spec"]["replicas"]), (200, &json!(5)), "{}", forced.text);
    let entry = world.get(&format!("{GAMES}/g")).await.json()["metadata"]["managedFields"][0].clone();
    assert_eq!(
        (&entry["manager"], &entry["operation"], &entry["subresource"], &entry["fieldsV1"]),
        (&json!("hpa"), &json!("Apply"), &json!("scale"), &json!({"f:spec": {"f:replicas": {}}}))
    );
    let wrong = json!({"apiVersion": "v1", "kind": "Scale", "spec": {"replicas": 5}});
    assert_eq!(world.patch("apply", &path, &wrong).await.code, 400);
}

#[tokio::test(start_paused = true)]
async fn an_apply_needs_a_manager_and_a_body_of_the_right_kind() {
    let world = world_with_games().await;
    let nobody = world.patch("apply", &format!("{GAMES}/g"), &game("g", &json!({}))).await;
    assert_eq!(nobody.code, 422);
    assert!(nobody.failure().1.contains("is required for apply patch"), "{}", nobody.text);
    let path = format!("{MAPS}/g?fieldManager=ann");
    assert_eq!(world.patch("apply", &path, &game("g", &json!({}))).await.code, 400);
    let version = json!({"apiVersion": "example.com/v2", "kind": "Game", "metadata": {"name": "g"}});
    let wrong = world.patch("apply", &format!("{GAMES}/g?fieldManager=ann"), &version).await;
    assert_eq!(wrong.code, 400, "{}", wrong.text);
}

#[tokio::test(start_paused = true)]
async fn yaml_bodies_are_read() {
    let world = World::new();
    let body = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: v\n";
    let headers = [("content-type", "application/apply-patch+yaml")];
    let path = format!("{MAPS}/a?fieldManager=ann");
    let answer = world.send(http::Method::PATCH, &path, &headers, body).await;
    assert_eq!((answer.code, &answer.json()["data"]["k"]), (201, &json!("v")));
}

#[tokio::test(start_paused = true)]
async fn fields_left_by_client_side_apply_go_to_the_same_tool() {
    let world = World::new();
    let mut body = configmap("a", &json!({"k": "1"}));
    let last = body.to_string();
    body["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    world.post(&format!("{MAPS}?fieldManager=kubectl-client-side-apply"), &body).await;
    let path = format!("{MAPS}/a?fieldManager=kubectl");
    let taken = world.patch("apply", &path, &configmap("a", &json!({"k": "2"}))).await;
    assert_eq!((taken.code, &taken.json()["data"]["k"]), (200, &json!("2")));
}

#[tokio::test(start_paused = true)]
async fn list_maps_of_pods_merge_by_their_keys_with_defaults() {
    let world = World::new();
    let body = |port: i64| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "main", "image": "game:1", "ports": [{"containerPort": port}]}]}})
    };
    let path = format!("{PODS}/p?fieldManager=ann");
    let made = world.patch("apply", &path, &body(80)).await;
    assert_eq!(made.code, 201, "{}", made.text);
    let mut image = body(80);
    image["spec"]["containers"][0]["image"] = "game:2".into();
    let changed = world.patch("apply", &path, &image).await;
    assert_eq!(changed.json()["spec"]["containers"][0]["image"], "game:2", "{}", changed.text);
    assert_eq!(
        changed.json()["spec"]["containers"][0]["ports"],
        json!([{"containerPort": 80, "protocol": "TCP"}])
    );
}
