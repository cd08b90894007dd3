//! Desired objects become member objects, and only what must be written is.

use std::time::Duration;

use serde_json::json;

use crate::world::{World, spec};

#[tokio::test(start_paused = true)]
async fn a_desired_object_is_created_with_its_namespace_and_reported() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;

    let set = world.set("one").await.unwrap();
    assert_eq!(set["spec"]["replicas"], 3);
    assert_eq!(set["metadata"]["labels"]["kubefed.io/managed"], "true");
    assert_eq!(set["metadata"]["labels"]["muster.dev/hub"], crate::view::HUB);
    let annotations = set["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations.keys().collect::<Vec<_>>(), ["muster.dev/tracking"]);

    let report = world.view.report("one").unwrap();
    assert_eq!(world.view.word("one"), "|");
    assert_eq!(report["appliedHash"], "h1");
    assert_eq!(report["memberUID"], set["metadata"]["uid"]);
    assert_eq!(report["memberGeneration"], 1);
    assert_eq!(report["replicas"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_one_write_and_silence_is_none() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.view.apply("two", "h1", &spec(1));
    world.settle().await;
    let before = world.writes();

    world.view.apply("one", "h2", &spec(5));
    world.settle().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["replicas"], 5);
    assert_eq!(world.writes(), before + 1);

    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(world.writes(), before + 1, "nothing is written while nothing changes");
    assert_eq!(world.view.report("one").unwrap()["appliedHash"], "h2");
}

#[tokio::test(start_paused = true)]
async fn a_field_that_leaves_the_desired_object_leaves_the_member() {
    let world = World::new().await;
    let mut with = spec(3);
    with["revisionHistoryLimit"] = json!(7);
    with["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
    world.view.apply("one", "h1", &with);
    world.settle().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 2);
    world.view.apply("one", "h2", &spec(3));
    world.settle().await;
    let spec = &world.set("one").await.unwrap()["spec"];
    assert!(spec["updateStrategy"]["rollingUpdate"].get("partition").is_none(), "{spec}");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_agent_writes_nothing_and_reports_what_it_holds() {
    let mut world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.view.apply_with("two", "h1", &spec(4), &json!({"view.muster.dev/retain": "[\"/spec/replicas\"]"}));
    world.settle().await;
    world.stop_agent().await;
    world.view.forget_reports();
    let before = world.writes();

    world.start_agent().await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(world.writes(), before);
    assert_eq!(world.view.report("one").unwrap()["appliedHash"], "h1");
    assert_eq!(world.view.report("two").unwrap()["appliedHash"], "h1");
    let last = world.view.requests().into_iter().rfind(|request| !request["inventory"].is_null()).unwrap();
    assert_eq!(last["inventory"]["plural"], "gamestatefulsets");
    assert_eq!(last["inventory"]["complete"], true);
}

#[tokio::test(start_paused = true)]
async fn an_inventory_comes_after_everything_the_member_holds() {
    let mut world = World::new().await;
    for index in 0..130 {
        world.view.apply(&format!("set-{index}"), "h1", &spec(1));
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    world.stop_agent().await;
    world.view.forget_reports();
    world.start_agent().await;
    tokio::time::sleep(Duration::from_mins(1)).await;

    let requests = world.view.requests();
    let at = requests.iter().position(|request| !request["inventory"].is_null()).unwrap();
    let said: usize = requests[..=at].iter().map(|request| request["items"].as_array().unwrap().len()).sum();
    assert_eq!(said, 130);
    assert!(at >= 1, "a request has at most 100 reports");
    let sessions: std::collections::BTreeSet<_> =
        requests.iter().map(|request| request["session"].as_str().unwrap()).collect();
    assert_eq!(sessions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_persons_change_is_put_back_and_nothing_else() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    let before = world.writes();

    world.patch("one", json!({"spec": {"replicas": 9, "revisionHistoryLimit": 4}})).await;
    world.settle().await;
    let set = world.set("one").await.unwrap();
    assert_eq!(set["spec"]["replicas"], 3);
    assert_eq!(world.writes(), before + 1);

    world.patch("one", json!({"metadata": {"labels": {"team": "blue"}}})).await;
    world.settle().await;
    assert_eq!(world.writes(), before + 1, "a label of their own is theirs");
    assert_eq!(world.set("one").await.unwrap()["metadata"]["labels"]["team"], "blue");
}

#[tokio::test(start_paused = true)]
async fn an_image_edited_by_hand_is_put_back_once() {
    let mut world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    let before = world.writes();
    let wanted = spec(3)["template"].clone();

    let image = "/spec/template/spec/containers/0/image";
    world.json_patch("one", json!([{"op": "replace", "path": image, "value": "hack:3"}])).await;
    world.settle().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["template"], wanted);
    assert_eq!(world.writes(), before + 1);

    let containers = json!([{"name": "game", "image": "hack:4"}]);
    world.patch("one", json!({"spec": {"template": {"spec": {"containers": containers}}}})).await;
    world.settle().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["template"], wanted);
    assert_eq!(world.writes(), before + 2);

    world.stop_agent().await;
    world.start_agent().await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(world.writes(), before + 2, "nothing is left to write");

    world.stop_agent().await;
    world.json_patch("one", json!([{"op": "replace", "path": image, "value": "hack:5"}])).await;
    world.start_agent().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["template"], wanted, "an edit while nobody watched");
    assert_eq!(world.writes(), before + 3);
    assert_eq!(world.view.word("one"), "|");
}

#[tokio::test(start_paused = true)]
async fn a_field_fought_over_stops_its_object_and_says_so() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.view.apply("two", "h1", &spec(3));
    world.settle().await;
    for round in 0..8 {
        world.patch("one", json!({"spec": {"replicas": 50 + round}})).await;
        world.settle().await;
    }
    assert_eq!(world.set("one").await.unwrap()["spec"]["replicas"], 57);
    let word = world.view.word("one");
    assert!(word.starts_with("UpdateFailed|contention: spec.replicas"), "{word}");

    let before = world.writes();
    world.view.apply("two", "h2", &spec(4));
    world.settle().await;
    assert_eq!(world.writes(), before + 1, "others go on");

    world.view.apply("one", "h2", &spec(6));
    world.settle().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["replicas"], 6, "a new desired object is a new start");
    assert_eq!(world.view.word("one"), "|");
}

#[tokio::test(start_paused = true)]
async fn what_a_person_deletes_comes_back() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    let uid = world.set("one").await.unwrap()["metadata"]["uid"].clone();
    world.delete("one").await;
    world.settle().await;
    let set = world.set("one").await.unwrap();
    assert_ne!(set["metadata"]["uid"], uid);
    assert_eq!(world.view.report("one").unwrap()["memberUID"], set["metadata"]["uid"]);
}

#[tokio::test(start_paused = true)]
async fn a_terminating_object_is_awaited_and_then_created() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    world.patch("one", json!({"metadata": {"finalizers": ["example.com/keep"]}})).await;
    world.delete("one").await;
    world.settle().await;
    let before = world.writes();
    world.view.apply("one", "h2", &spec(5));
    world.settle().await;
    assert!(world.view.word("one").starts_with("WaitingForRemoval|"), "{}", world.view.word("one"));
    assert_eq!(world.writes(), before);

    world.patch("one", json!({"metadata": {"finalizers": null}})).await;
    world.settle().await;
    let set = world.set("one").await.unwrap();
    assert_eq!(set["spec"]["replicas"], 5);
    assert_eq!(world.view.word("one"), "|");
}

#[tokio::test(start_paused = true)]
async fn what_the_member_refuses_is_said_and_not_hammered() {
    let world = World::new().await;
    let mut bad = spec(3);
    bad["podManagementPolicy"] = json!("Sideways");
    world.view.apply("bad", "h1", &bad);
    world.view.apply("good", "h1", &spec(2));
    world.settle().await;
    assert!(world.set("good").await.is_some());
    let word = world.view.word("bad");
    assert!(word.starts_with("CreationFailed|"), "{word}");
    assert!(word.contains("podManagementPolicy"), "{word}");
    let before = world.writes();
    tokio::time::sleep(Duration::from_hours(1)).await;
    let tries = world.writes() - before;
    assert!((5..=30).contains(&tries), "{tries} tries in an hour");

    world.view.apply("bad", "h2", &spec(3));
    world.settle().await;
    assert_eq!(world.view.word("bad"), "|", "a corrected object is tried at once");
}

#[tokio::test(start_paused = true)]
async fn a_held_object_is_left_as_it_is() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    let before = world.writes();
    world.view.hold("one");
    world.view.hold("never");
    world.settle().await;
    world.patch("one", json!({"spec": {"replicas": 9}})).await;
    world.settle().await;
    assert_eq!(world.writes(), before);
    assert_eq!(world.set("one").await.unwrap()["spec"]["replicas"], 9);
    assert_eq!(world.view.word("one"), "|planning");
    assert_eq!(world.view.report("never"), None);
}

#[tokio::test(start_paused = true)]
async fn the_members_status_is_reported_when_it_changes() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    let before = world.view.requests().len();
    let writes = world.writes();
    let params = kube::api::PatchParams::default();
    let status = json!({"status": {"replicas": 3, "readyReplicas": 2}});
    world.sets().patch_status("one", &params, &kube::api::Patch::Merge(status)).await.unwrap();
    world.settle().await;
    assert_eq!(world.view.report("one").unwrap()["status"]["readyReplicas"], 2);
    assert_eq!(world.view.requests().len(), before + 1);
    assert_eq!(world.writes(), writes);
}

#[tokio::test(start_paused = true)]
async fn a_mirrored_set_is_run_by_the_controller_and_its_status_comes_back() {
    let mut world = World::without_agent();
    world.controllers = true;
    world.start_agent().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::namespaced(world.person(), "games");
    let names: Vec<_> = pods
        .list(&kube::api::ListParams::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .filter_map(|pod| pod.metadata.name)
        .collect();
    assert_eq!(names, ["one-0", "one-1", "one-2"]);
    let report = world.view.report("one").unwrap();
    assert_eq!(report["status"]["replicas"], 3);
    assert_eq!(report["status"]["observedGeneration"], 1);

    let before = world.writes();
    world.stop_agent().await;
    world.start_agent().await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(world.writes(), before, "neither part writes after a restart");
}
