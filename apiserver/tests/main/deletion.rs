//! Deletion: grace, finalizers, dependents, namespaces, definitions.

use serde_json::{Value, json};

use crate::support::{GAMES, MAPS, PODS, World, configmap, game, games, pod, world_with_games};

async fn running_pod(world: &World, name: &str) -> Value {
    world.post(PODS, &pod(name)).await;
    let binding = json!({"target": {"kind": "Node", "name": "n1"}});
    assert_eq!(world.post(&format!("{PODS}/{name}/binding"), &binding).await.code, 201);
    world.get(&format!("{PODS}/{name}")).await.json()
}

fn owned(mut object: Value, owner: &Value, block: bool) -> Value {
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": block,
    }]);
    object
}

#[tokio::test(start_paused = true)]
async fn a_running_pod_is_deleted_in_two_steps() {
    let world = World::new();
    running_pod(&world, "p").await;
    let path = format!("{PODS}/p");
    let marked = world.delete(&path, &json!({})).await;
    assert_eq!(marked.json()["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(marked.json()["metadata"]["deletionTimestamp"], "2026-01-01T00:00:30Z");
    assert_eq!(world.get(&path).await.code, 200);
    assert_eq!(world.delete(&path, &json!({"gracePeriodSeconds": 0})).await.code, 200);
    assert_eq!(world.get(&path).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn preconditions_guard_a_deletion() {
    let world = World::new();
    let made = world.post(MAPS, &configmap("a", &json!({}))).await.json();
    let path = format!("{MAPS}/a");
    let other = world.delete(&path, &json!({"preconditions": {"uid": "other"}})).await;
    assert_eq!(other.code, 409);
    let uid = made["metadata"]["uid"].as_str().expect("a uid");
    assert_eq!(
        other.failure().1,
        format!(
            "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (other) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        )
    );
    let stale = json!({"preconditions": {"uid": uid, "resourceVersion": "1"}});
    assert_eq!(world.delete(&path, &stale).await.code, 409);
    let version = &made["metadata"]["resourceVersion"];
    let done = world.delete(&path, &json!({"preconditions": {"uid": uid, "resourceVersion": version}})).await;
    assert_eq!(done.code, 200);
    assert_eq!((&done.json()["status"], &done.json()["details"]["uid"]), (&json!("Success"), &json!(uid)));
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_an_object_until_the_last_one_goes() {
    let world = world_with_games().await;
    let mut body = game("g", &json!({}));
    body["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    world.post(GAMES, &body).await;
    let path = format!("{GAMES}/g");
    let marked = world.delete(&path, &json!({})).await.json();
    assert_eq!(marked["metadata"]["generation"], 2, "a deletion is a change of what is wanted");
    let again = world.delete(&path, &json!({})).await.json();
    assert_eq!(again["metadata"]["resourceVersion"], marked["metadata"]["resourceVersion"]);
    let more = json!({"metadata": {"finalizers": ["example.com/a", "example.com/b", "example.com/c"]}});
    assert_eq!(world.patch("merge", &path, &more).await.code, 422);
    world.patch("merge", &path, &json!({"metadata": {"finalizers": ["example.com/b"]}})).await;
    assert_eq!(world.get(&path).await.code, 200);
    let last = world.patch("merge", &path, &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(last.code, 200);
    assert_eq!(world.get(&path).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn dependents_follow_their_owner_in_the_background() {
    let world = world_with_games().await;
    let owner = world.post(GAMES, &game("g", &json!({}))).await.json();
    let child = world.post(MAPS, &owned(configmap("child", &json!({})), &owner, true)).await.json();
    world.post(MAPS, &owned(configmap("grandchild", &json!({})), &child, true)).await;
    world.post(MAPS, &configmap("stranger", &json!({}))).await;
    world.delete(&format!("{GAMES}/g"), &json!({"propagationPolicy": "Background"})).await;
    world.settle().await;
    assert_eq!(world.get(&format!("{MAPS}/child")).await.code, 404);
    assert_eq!(world.get(&format!("{MAPS}/grandchild")).await.code, 404);
    assert_eq!(world.get(&format!("{MAPS}/stranger")).await.code, 200);
}

#[tokio::test(start_paused = true)]
async fn a_foreground_deletion_waits_for_the_dependents_that_block() {
    let world = world_with_games().await;
    let owner = world.post(GAMES, &game("g", &json!({}))).await.json();
    world.post(PODS, &owned(pod("p"), &owner, true)).await;
    world.post(&format!("{PODS}/p/binding"), &json!({"target": {"name": "n1"}})).await;
    world.delete(&format!("{GAMES}/g"), &json!({"propagationPolicy": "Foreground"})).await;
    world.settle().await;
    let waiting = world.get(&format!("{GAMES}/g")).await.json();
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let dying = world.get(&format!("{PODS}/p")).await.json();
    assert!(dying["metadata"]["deletionTimestamp"].is_string(), "{dying}");
    world.delete(&format!("{PODS}/p"), &json!({"gracePeriodSeconds": 0})).await;
    world.settle().await;
    assert_eq!(world.get(&format!("{GAMES}/g")).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn a_foreground_deletion_ends_when_its_last_dependent_keeps_another_owner() {
    let world = World::new();
    let first = world.post(MAPS, &configmap("one", &json!({}))).await.json();
    let second = world.post(MAPS, &configmap("two", &json!({}))).await.json();
    let mut child = owned(configmap("child", &json!({})), &first, true);
    let mut other = owned(json!({"metadata": {}}), &second, true)["metadata"]["ownerReferences"][0].clone();
    other["controller"] = false.into();
    child["metadata"]["ownerReferences"].as_array_mut().expect("a list").push(other);
    world.post(MAPS, &child).await;
    world.delete(&format!("{MAPS}/one"), &json!({"propagationPolicy": "Foreground"})).await;
    world.settle().await;
    assert_eq!(world.get(&format!("{MAPS}/one")).await.code, 404);
    assert_eq!(world.get(&format!("{MAPS}/child")).await.code, 200);
}

#[tokio::test(start_paused = true)]
async fn a_circle_of_owners_can_be_deleted_in_the_foreground() {
    let world = World::new();
    let first = world.post(MAPS, &configmap("one", &json!({}))).await.json();
    let second = world.post(MAPS, &owned(configmap("two", &json!({})), &first, true)).await.json();
    let closing = owned(json!({"metadata": {}}), &second, true);
    world.patch("merge", &format!("{MAPS}/one"), &closing).await;
    world.delete(&format!("{MAPS}/one"), &json!({"propagationPolicy": "Foreground"})).await;
    world.settle().await;
    assert_eq!(world.get(&format!("{MAPS}/one")).await.code, 404);
    assert_eq!(world.get(&format!("{MAPS}/two")).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn an_orphaning_deletion_leaves_the_dependents() {
    let world = world_with_games().await;
    let owner = world.post(GAMES, &game("g", &json!({}))).await.json();
    world.post(MAPS, &owned(configmap("child", &json!({})), &owner, true)).await;
    world.delete(&format!("{GAMES}/g"), &json!({"propagationPolicy": "Orphan"})).await;
    world.settle().await;
    assert_eq!(world.get(&format!("{GAMES}/g")).await.code, 404);
    let child = world.get(&format!("{MAPS}/child")).await.json();
    assert!(child["metadata"].get("ownerReferences").is_none(), "{child}");
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_owner_never_was_is_collected() {
    let world = World::new();
    let ghost =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "gone"}});
    world.post(MAPS, &owned(configmap("child", &json!({})), &ghost, false)).await;
    let foreign =
        json!({"apiVersion": "other.io/v1", "kind": "Thing", "metadata": {"name": "t", "uid": "elsewhere"}});
    world.post(MAPS, &owned(configmap("judged-by-nobody", &json!({})), &foreign, false)).await;
    world.settle().await;
    assert_eq!(world.get(&format!("{MAPS}/child")).await.code, 404);
    assert_eq!(world.get(&format!("{MAPS}/judged-by-nobody")).await.code, 200, "its kind is not served here");
}

#[tokio::test(start_paused = true)]
async fn an_object_with_another_owner_stays_and_forgets_the_one_that_went() {
    let world = World::new();
    let first = world.post(MAPS, &configmap("one", &json!({}))).await.json();
    let second = world.post(MAPS, &configmap("two", &json!({}))).await.json();
    let mut child = owned(configmap("child", &json!({})), &first, false);
    let other = owned(json!({"metadata": {}}), &second, false)["metadata"]["ownerReferences"][0].clone();
    child["metadata"]["ownerReferences"][0]["controller"] = false.into();
    child["metadata"]["ownerReferences"].as_array_mut().expect("a list").push(other);
    world.post(MAPS, &child).await;
    world.delete(&format!("{MAPS}/one"), &json!({})).await;
    world.settle().await;
    let child = world.get(&format!("{MAPS}/child")).await.json();
    let owners = child["metadata"]["ownerReferences"].as_array().expect("owners");
    assert_eq!((owners.len(), &owners[0]["name"]), (1, &json!("two")));
}

#[tokio::test(start_paused = true)]
async fn a_collection_is_deleted_by_selector() {
    let world = World::new();
    for (name, on) in [("a", "yes"), ("b", "no"), ("c", "yes")] {
        let mut body = configmap(name, &json!({}));
        body["metadata"]["labels"] = json!({"on": on});
        world.post(MAPS, &body).await;
    }
    let deleted = world.delete(&format!("{MAPS}?labelSelector=on%3Dyes"), &json!({})).await.json();
    assert_eq!(
        (deleted["items"].as_array().map(Vec::len), &deleted["kind"]),
        (Some(2), &json!("ConfigMapList"))
    );
    assert_eq!(world.get(MAPS).await.json()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.delete("/api/v1/namespaces", &json!({})).await.code, 405);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_when_it_is_empty() {
    let world = World::new();
    world.post("/api/v1/namespaces", &json!({"metadata": {"name": "foo"}})).await;
    world.post("/api/v1/namespaces/foo/configmaps", &configmap("a", &json!({}))).await;
    world.post("/api/v1/namespaces/foo/pods", &pod("p")).await;
    world.post("/api/v1/namespaces/foo/pods/p/binding", &json!({"target": {"name": "n1"}})).await;
    let marked = world.delete("/api/v1/namespaces/foo", &json!({})).await.json();
    assert_eq!(marked["status"]["phase"], "Terminating");
    world.settle().await;
    assert_eq!(world.get("/api/v1/namespaces/foo/configmaps/a").await.code, 404);
    let refused = world.post("/api/v1/namespaces/foo/configmaps", &configmap("b", &json!({}))).await;
    assert_eq!(
        refused.failure(),
        (403, r#"configmaps "b" is forbidden: unable to create new content in namespace foo because it is being terminated"#.into())
    );
    let waiting = world.get("/api/v1/namespaces/foo").await.json();
    assert_eq!(
        waiting["status"]["conditions"][3]["message"],
        "Some resources are remaining: pods. has 1 resource instances"
    );
    world.delete("/api/v1/namespaces/foo/pods/p", &json!({"gracePeriodSeconds": 0})).await;
    world.settle().await;
    assert_eq!(world.get("/api/v1/namespaces/foo").await.code, 404);
    let immortal = world.delete("/api/v1/namespaces/default", &json!({})).await;
    assert_eq!(
        immortal.failure(),
        (403, r#"namespaces "default" is forbidden: this namespace may not be deleted"#.into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_definition_takes_its_objects_with_it_and_can_come_back() {
    let world = world_with_games().await;
    let mut held = game("held", &json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/a"]);
    world.post(GAMES, &held).await;
    let free = world.post(GAMES, &game("free", &json!({}))).await.json();
    world.post(MAPS, &owned(configmap("child", &json!({})), &free, false)).await;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/games.example.com";
    world.delete(path, &json!({})).await;
    world.settle().await;
    assert_eq!(world.get(&format!("{GAMES}/free")).await.code, 404);
    let refused = world.post(GAMES, &game("late", &json!({}))).await;
    assert_eq!(
        refused.failure(),
        (405, "create not allowed while custom resource definition is terminating".into())
    );
    world.patch("merge", &format!("{GAMES}/held"), &json!({"metadata": {"finalizers": null}})).await;
    world.settle().await;
    assert_eq!(world.get(path).await.code, 404);
    assert_eq!(world.get(GAMES).await.code, 404);
    assert_eq!(world.get(&format!("{MAPS}/child")).await.code, 404, "dependents go too");
    let again = world.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &games()).await;
    assert_eq!(again.code, 201);
    assert_eq!(world.get(GAMES).await.json()["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn an_eviction_deletes_with_grace() {
    let world = World::new();
    running_pod(&world, "p").await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "default"}});
    assert_eq!(world.post(&format!("{PODS}/p/eviction"), &eviction).await.code, 201);
    assert!(world.get(&format!("{PODS}/p")).await.json()["metadata"]["deletionTimestamp"].is_string());
}

#[tokio::test(start_paused = true)]
async fn events_expire_after_an_hour() {
    let world = World::new();
    let event = json!({
        "metadata": {"name": "e"}, "reason": "Started", "type": "Normal",
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
    });
    let path = "/api/v1/namespaces/default/events";
    assert_eq!(world.post(path, &event).await.code, 201);
    world.settle().await;
    tokio::time::sleep(std::time::Duration::from_secs(3590)).await;
    assert_eq!(world.get(&format!("{path}/e")).await.code, 200);
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    assert_eq!(world.get(&format!("{path}/e")).await.code, 404);
}
