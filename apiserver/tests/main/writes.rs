//! Create, update and patch.

use http::Method;
use serde_json::json;

use crate::support::{GAMES, MAPS, PODS, World, configmap, game, pod, world_with_games};

#[tokio::test(start_paused = true)]
async fn a_created_object_has_what_the_server_sets() {
    let world = World::new();
    let answer = world.post(MAPS, &configmap("a", &json!({"k": "v"}))).await;
    assert_eq!(answer.code, 201);
    let made = answer.json();
    assert_eq!(made["metadata"]["namespace"], "default");
    assert_eq!(made["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(made["metadata"]["uid"].as_str().map(str::len), Some(36));
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "test");
    assert_eq!(world.get(&format!("{MAPS}/a")).await.json(), made);
    let again = world.post(MAPS, &configmap("a", &json!({}))).await;
    assert_eq!(again.failure(), (409, r#"configmaps "a" already exists"#.into()));
    assert_eq!(again.json()["reason"], "AlreadyExists");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_uids_and_another_cluster_others() {
    let uid = async |name: &str| {
        let config = muster_apiserver::ClusterConfig::new(name, 1, crate::support::clock());
        let router = muster_apiserver::Cluster::new(config).router();
        let answer =
            crate::support::send(router, Method::GET, "/api/v1/namespaces/kube-system", &[], "").await;
        answer.json()["metadata"]["uid"].clone()
    };
    assert_eq!(uid("a").await, uid("a").await);
    assert_ne!(uid("a").await, uid("b").await);
}

#[tokio::test(start_paused = true)]
async fn generated_names_differ_and_fit() {
    let world = World::new();
    let mut body = configmap("", &json!({}));
    body["metadata"] = json!({"generateName": "a".repeat(80)});
    let first = world.post(MAPS, &body).await.json();
    let second = world.post(MAPS, &body).await.json();
    assert_eq!(first["metadata"]["name"].as_str().map(str::len), Some(63));
    assert_ne!(first["metadata"]["name"], second["metadata"]["name"]);
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_refused_in_the_words_of_kubernetes() {
    let world = World::new();
    let missing = world.get(&format!("{MAPS}/nope")).await;
    assert_eq!(missing.failure(), (404, r#"configmaps "nope" not found"#.into()));
    assert_eq!(missing.json()["details"], json!({"name": "nope", "kind": "configmaps"}));
    let nowhere = world.post("/api/v1/namespaces/nope/configmaps", &configmap("a", &json!({}))).await;
    assert_eq!(nowhere.failure(), (404, r#"namespaces "nope" not found"#.into()));
    let mut elsewhere = configmap("a", &json!({}));
    elsewhere["metadata"]["namespace"] = "other".into();
    assert_eq!(
        world.post(MAPS, &elsewhere).await.failure(),
        (400, "the namespace of the provided object does not match the namespace sent on the request".into())
    );
    let nameless = world.post(MAPS, &configmap("", &json!({}))).await;
    assert_eq!(nameless.code, 422);
    assert_eq!(
        nameless.json()["message"],
        r#"ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required"#
    );
    let wrong =
        world.post(MAPS, &json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "a"}})).await;
    assert_eq!(
        wrong.failure(),
        (400, "the API version in the data (v2) does not match the expected API version (v1)".into())
    );
    let protobuf = world
        .send(Method::POST, MAPS, &[("content-type", "application/vnd.kubernetes.protobuf")], "k8s")
        .await;
    assert_eq!(protobuf.code, 415);
    let path = world.get("/api/v1/widgets").await;
    assert_eq!(path.failure(), (404, "the server could not find the requested resource".into()));
}

#[tokio::test(start_paused = true)]
async fn an_update_needs_the_version_that_is_stored() {
    let world = World::new();
    let made = world.post(MAPS, &configmap("a", &json!({"k": "1"}))).await.json();
    let path = format!("{MAPS}/a");
    let mut changed = made.clone();
    changed["data"]["k"] = "2".into();
    let updated = world.put(&path, &changed).await;
    assert_eq!(updated.code, 200, "{}", updated.text);
    let stale = world.put(&path, &changed).await;
    assert_eq!(
        stale.failure(),
        (
            409,
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes \
             to the latest version and try again"
                .into()
        )
    );
    let mut unconditional = configmap("a", &json!({"k": "3"}));
    assert_eq!(world.put(&path, &unconditional).await.json()["data"]["k"], "3");
    unconditional["metadata"]["uid"] = "other".into();
    let other = world.put(&path, &unconditional).await;
    assert!(other.failure().1.contains("Precondition failed: UID in precondition: other"), "{}", other.text);
    assert_eq!(world.put(&format!("{MAPS}/b"), &configmap("b", &json!({}))).await.code, 404);
    let name = world.put(&path, &configmap("b", &json!({}))).await;
    assert_eq!(
        name.failure(),
        (400, "the name of the object (b) does not match the name on the URL (a)".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_changes_nothing_is_not_a_write() {
    let world = world_with_games().await;
    let made = world.post(GAMES, &game("g", &json!({"image": "a"}))).await.json();
    let path = format!("{GAMES}/g");
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    let version = made["metadata"]["resourceVersion"].clone();
    assert_eq!(world.put(&path, &made).await.json()["metadata"]["resourceVersion"], version);
    let merge = world.patch("merge", &path, &json!({"spec": {"image": "a"}})).await.json();
    assert_eq!(merge["metadata"]["resourceVersion"], version);
    let json_patch = json!([{"op": "replace", "path": "/spec/image", "value": "a"}]);
    assert_eq!(world.patch("json", &path, &json_patch).await.json(), made);
}

#[tokio::test(start_paused = true)]
async fn the_generation_counts_changes_of_what_is_wanted() {
    let world = world_with_games().await;
    world.post(GAMES, &game("g", &json!({"image": "a"}))).await;
    let path = format!("{GAMES}/g");
    let generation = async |answer: crate::support::Answer| answer.json()["metadata"]["generation"].clone();
    assert_eq!(
        generation(world.patch("merge", &path, &json!({"metadata": {"labels": {"x": "y"}}})).await).await,
        1
    );
    assert_eq!(generation(world.patch("merge", &path, &json!({"spec": {"image": "b"}})).await).await, 2);
    let status = world.patch("merge", &format!("{path}/status"), &json!({"status": {"ready": 1}})).await;
    assert_eq!(generation(status).await, 2);
}

#[tokio::test(start_paused = true)]
async fn status_and_the_rest_are_written_apart() {
    let world = world_with_games().await;
    let mut body = game("g", &json!({"image": "a"}));
    body["status"] = json!({"ready": 9});
    let made = world.post(GAMES, &body).await.json();
    assert!(made.get("status").is_none());
    assert_eq!(made["spec"]["replicas"], 1, "defaulted");
    let path = format!("{GAMES}/g");
    let patch = json!({"spec": {"image": "b"}, "status": {"ready": 2}, "metadata": {"labels": {"a": "b"}}});
    let after_status = world.patch("merge", &format!("{path}/status"), &patch).await.json();
    assert_eq!((&after_status["spec"]["image"], &after_status["status"]["ready"]), (&json!("a"), &json!(2)));
    assert!(after_status["metadata"].get("labels").is_none());
    let after_main =
        world.patch("merge", &path, &json!({"spec": {"image": "b"}, "status": {"ready": 3}})).await.json();
    assert_eq!((&after_main["spec"]["image"], &after_main["status"]["ready"]), (&json!("b"), &json!(2)));
    let got = world.get(&format!("{path}/status")).await;
    assert_eq!(got.json(), after_main);
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_are_dropped_warned_about_or_refused() {
    let world = world_with_games().await;
    let body = game("g", &json!({"imge": "a"}));
    let strict = world.post(&format!("{GAMES}?fieldValidation=Strict"), &body).await;
    assert_eq!(
        strict.failure(),
        (400, r#"Game in version "v1" cannot be handled as a Game: strict decoding error: unknown field "spec.imge""#.into())
    );
    let warned = world.post(GAMES, &body).await;
    assert_eq!(warned.code, 201);
    assert_eq!(warned.headers["warning"], r#"299 - "unknown field \"spec.imge\"""#);
    assert!(warned.json()["spec"].get("imge").is_none());
    let path = format!("{GAMES}/g?fieldValidation=Ignore");
    let ignored = world.patch("merge", &path, &json!({"spec": {"imge": "b"}})).await;
    assert!(ignored.code == 200 && ignored.headers.get("warning").is_none());
    let twice = r#"{"apiVersion":"example.com/v1","kind":"Game","metadata":{"name":"h"},"spec":{"image":"a","image":"b"}}"#;
    let json_type = [("content-type", "application/json")];
    let duplicate =
        world.send(Method::POST, &format!("{GAMES}?fieldValidation=Strict"), &json_type, twice).await;
    assert!(duplicate.failure().1.ends_with(r#"duplicate field "spec.image""#), "{}", duplicate.text);
}

#[tokio::test(start_paused = true)]
async fn values_outside_the_schema_are_refused_by_field() {
    let world = world_with_games().await;
    let answer = world.post(GAMES, &game("g", &json!({"replicas": -1, "ports": [{"port": 1}]}))).await;
    assert_eq!(answer.code, 422);
    let status = answer.json();
    assert_eq!(status["details"]["kind"], "Game");
    let fields: Vec<_> =
        status["details"]["causes"].as_array().expect("causes").iter().map(|c| c["field"].clone()).collect();
    assert!(
        fields.contains(&json!("spec.replicas")) && fields.contains(&json!("spec.ports[0].name")),
        "{status}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_answers_and_stores_nothing() {
    let world = World::new();
    let answer = world.post(&format!("{MAPS}?dryRun=All"), &configmap("a", &json!({}))).await;
    assert_eq!(answer.code, 201);
    assert_eq!(world.get(&format!("{MAPS}/a")).await.code, 404);
    world.post(MAPS, &configmap("a", &json!({"k": "1"}))).await;
    let path = format!("{MAPS}/a?dryRun=All");
    assert_eq!(world.patch("merge", &path, &json!({"data": {"k": "2"}})).await.json()["data"]["k"], "2");
    assert_eq!(world.delete(&path, &json!({})).await.code, 200);
    assert_eq!(world.get(&format!("{MAPS}/a")).await.json()["data"]["k"], "1");
    assert_eq!(world.post(&format!("{MAPS}?dryRun=Some"), &configmap("b", &json!({}))).await.code, 422);
}

#[tokio::test(start_paused = true)]
async fn built_in_kinds_take_every_kind_of_patch() {
    let world = World::new();
    world.post(PODS, &pod("p")).await;
    let path = format!("{PODS}/p");
    let image =
        async |answer: crate::support::Answer| answer.json()["spec"]["containers"][0]["image"].clone();
    let strategic = json!({"spec": {"containers": [{"name": "main", "image": "game:2"}]}});
    assert_eq!(image(world.patch("strategic-merge", &path, &strategic).await).await, "game:2");
    let operations = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "game:3"}]);
    assert_eq!(image(world.patch("json", &path, &operations).await).await, "game:3");
    let labels =
        world.patch("merge", &path, &json!({"metadata": {"labels": {"app": null, "x": "y"}}})).await.json();
    assert_eq!(labels["metadata"]["labels"], json!({"x": "y"}));
    let failed = json!([{"op": "test", "path": "/spec/containers/0/image", "value": "other"}]);
    assert_eq!(world.patch("json", &path, &failed).await.code, 422);
    let unknown = world.send(Method::PATCH, &path, &[("content-type", "application/json")], "{}").await;
    assert_eq!(unknown.code, 415);
    let stale = json!({"metadata": {"resourceVersion": "1", "labels": {"z": "1"}}});
    assert_eq!(world.patch("merge", &path, &stale).await.code, 409);
}

#[tokio::test(start_paused = true)]
async fn custom_resources_refuse_strategic_patches() {
    let world = world_with_games().await;
    world.post(GAMES, &game("g", &json!({}))).await;
    assert_eq!(world.patch("strategic-merge", &format!("{GAMES}/g"), &json!({})).await.code, 415);
    let unpinned = world.put(&format!("{GAMES}/g"), &game("g", &json!({}))).await;
    assert_eq!(
        unpinned.failure(),
        (422, r#"games.example.com "g" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"#.into())
    );
}

#[tokio::test(start_paused = true)]
async fn scale_reads_and_writes_the_replicas_alone() {
    let world = world_with_games().await;
    world.post(GAMES, &game("g", &json!({"replicas": 3}))).await;
    let path = format!("{GAMES}/g");
    world
        .patch(
            "merge",
            &format!("{path}/status"),
            &json!({"status": {"replicas": 2, "labelSelector": "a=b"}}),
        )
        .await;
    let scale = format!("{path}/scale");
    let shown = world.get(&scale).await.json();
    assert_eq!(
        (&shown["kind"], &shown["spec"], &shown["status"]),
        (&json!("Scale"), &json!({"replicas": 3}), &json!({"replicas": 2, "selector": "a=b"}))
    );
    assert_eq!(
        world.patch("merge", &scale, &json!({"spec": {"replicas": 5}})).await.json()["spec"]["replicas"],
        5
    );
    let mut body = world.get(&scale).await.json();
    body["spec"]["replicas"] = 7.into();
    assert_eq!(world.put(&scale, &body).await.code, 200);
    assert_eq!(world.put(&scale, &body).await.code, 409, "the version in the body is old by now");
    let game = world.get(&path).await.json();
    assert_eq!((&game["spec"]["replicas"], &game["metadata"]["generation"]), (&json!(7), &json!(3)));
    assert_eq!(world.patch("merge", &scale, &json!({"spec": {"replicas": -1}})).await.code, 422);
    assert_eq!(world.get(&format!("{MAPS}/a/scale")).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_verb_resource_and_agent() {
    let world = World::new();
    world.post(MAPS, &configmap("a", &json!({}))).await;
    world.get(MAPS).await;
    world.get(&format!("{MAPS}/nope")).await;
    let count = |verb: &str, code: u16| {
        world.cluster.metrics().count(|labels| {
            labels.verb == verb
                && labels.code == code
                && &*labels.resource == "configmaps"
                && &*labels.user_agent == "test/1.0"
        })
    };
    assert_eq!((count("create", 201), count("list", 200), count("get", 404)), (1, 1, 1));
    assert_eq!(world.cluster.metrics().writes_by("test"), 1);
    let text = world.get("/metrics").await.text;
    assert!(text.contains(r#"muster_apiserver_requests_total{verb="create",resource="configmaps",subresource="",user_agent="test/1.0",code="201"} 1"#), "{text}");
}
