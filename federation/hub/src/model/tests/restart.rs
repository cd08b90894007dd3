//! A hub that starts again knows what the hub API says, and nothing else.

use serde_json::json;

use super::*;

fn world() -> World {
    let mut world = World::with(&["a", "b"]);
    world.prefer("game", json!({"targetKind": "FederatedGameStatefulSet"}));
    world.put(object("game", 10, &["a", "b"]));
    world.settle("a", "game");
    world.settle("b", "game");
    world.pass_with(3, &["a", "b"]);
    world
}

#[test]
fn the_same_bodies_are_shown_with_the_same_hashes_and_uids_at_higher_versions() {
    let mut world = world();
    let before = world.view("a", "game").unwrap();
    world.restart();
    let after = world.view("a", "game").unwrap();
    let hash = |view: &serde_json::Value| view["metadata"]["annotations"]["view.muster.dev/hash"].clone();
    assert_eq!(hash(&before), hash(&after));
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
    let version = |view: &serde_json::Value| {
        view["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()
    };
    assert!(version(&after) > version(&before));
}

#[test]
fn a_restart_writes_nothing_when_agents_report_soon() {
    let mut world = world();
    world.restart();
    for cluster in ["a", "b"] {
        world.settle(cluster, "game");
        world.inventory(cluster);
    }
    world.pass_with(20, &["a", "b"]);
    assert!(world.writes.is_empty(), "{:?}", world.writes);
}

#[test]
fn stored_numbers_stay_and_are_marked_stale_until_a_first_report() {
    let mut world = world();
    world.restart();
    world.pass_with(2, &["a"]);
    assert_eq!(world.row("game", "b").reason, None);
    world.settle("a", "game");
    world.pass_with(5, &["a"]);
    assert_eq!(world.row("game", "b").reason.as_deref(), Some("Stale"));
    assert_eq!(world.row("game", "b").ready_replicas, Some(5));
    assert_eq!(world.row("game", "a").reason, None);
    world.settle("b", "game");
    world.pass_with(2, &["a", "b"]);
    assert_eq!(world.row("game", "b").reason, None);
}

#[test]
fn seats_come_from_the_record_and_not_from_what_members_say() {
    let mut world = world();
    world.restart();
    world.report("a", "game", json!({"replicas": 9, "status": {"replicas": 9}}));
    world.inventory("a");
    world.inventory("b");
    assert_eq!(world.seats("game"), "a=5 b=5");
    assert_eq!(
        world.replicas("b", "game"),
        Some(5),
        "b reported that it holds nothing: it is to have its seats"
    );
}

#[test]
fn a_lost_status_starts_from_what_members_hold() {
    let mut world = world();
    world.objects.get_mut("game").unwrap()["status"] = json!({});
    world.restart();
    assert_eq!((world.intent("a", "game"), world.intent("b", "game")), ("Hold", "Hold"));
    world.report("a", "game", json!({"replicas": 7, "status": {"replicas": 7}}));
    world.report("b", "game", json!({"replicas": 3, "status": {"replicas": 3}}));
    world.pass(1);
    assert_eq!(world.seats("game"), "a=7 b=3");
}

#[test]
fn after_a_lost_status_nobody_grows_into_what_another_may_hold() {
    let mut world = world();
    let weights = json!({"a": {"weight": 1}, "b": {"weight": 9}});
    world.prefer("game", json!({"targetKind": "FederatedGameStatefulSet", "clusters": weights}));
    world.pass(2);
    assert_eq!(world.seats("game"), "a=5 b=5", "weights decide where new seats go");
    world.objects.get_mut("game").unwrap()["status"] = json!({});
    world.restart();
    world.report("b", "game", json!({"replicas": 5, "status": {"replicas": 5}}));
    world.inventory("b");
    world.pass(2);
    assert_eq!((world.intent("a", "game"), world.intent("b", "game")), ("Hold", "Hold"));
    let planned = world.condition("game", "Planned");
    assert!(planned.starts_with("False AwaitingInventory") && planned.contains("a has not yet"), "{planned}");
    world.report("a", "game", json!({"replicas": 5, "status": {"replicas": 5}}));
    world.inventory("a");
    world.pass(2);
    assert_eq!(world.seats("game"), "a=5 b=5");
}

#[test]
fn a_status_that_is_wiped_under_a_running_hub_is_lost_too() {
    let mut world = World::with(&["a", "b"]);
    let weights = json!({"a": {"weight": 1}, "b": {"weight": 9}});
    world.prefer("game", json!({"targetKind": "FederatedGameStatefulSet", "clusters": weights}));
    world.put(object("game", 10, &["a", "b"]));
    world.pass(2);
    assert_eq!(world.seats("game"), "a=1 b=9");
    // Registered anew, b has yet to say what is there.
    world.unregister("b");
    world.register("b", json!({}));
    world.objects.get_mut("game").unwrap()["status"] = json!({});
    world.edit("game", |_| {});
    world.pass(2);
    assert_eq!((world.intent("a", "game"), world.intent("b", "game")), ("Hold", "Hold"));
    let planned = world.condition("game", "Planned");
    assert!(planned.starts_with("False AwaitingInventory") && planned.contains("b has not yet"), "{planned}");
    world.report("b", "game", json!({"replicas": 9, "status": {"replicas": 9}}));
    world.pass(2);
    assert_eq!(world.replicas("b", "game"), Some(9));
}

#[test]
fn a_hub_that_ends_before_the_first_record_leaves_nothing_that_looks_like_a_loss() {
    // However far it came with its writes, the next one goes on without waiting for anybody.
    for writes in 0..3 {
        let mut world = World::with(&["a", "b"]);
        world.prefer("game", json!({"targetKind": "FederatedGameStatefulSet"}));
        world.writable_for = Some(writes);
        world.put(object("game", 10, &["a", "b"]));
        world.writable_for = None;
        world.restart();
        world.inventory("b");
        world.pass(1);
        assert_eq!(world.replicas("b", "game"), Some(5), "after {writes} writes");
    }
}

#[test]
fn a_set_that_left_all_clusters_is_divided_at_once_when_it_comes_back() {
    let mut world = world();
    world.edit("game", |object| object["spec"]["placement"] = json!({"clusters": []}));
    world.pass(2);
    world.removed("a", "game");
    world.removed("b", "game");
    world.pass(2);
    assert_eq!(world.seats("game"), "");
    world.restart();
    world.inventory("b");
    world.edit("game", |object| {
        object["spec"]["placement"] = json!({"clusters": [{"name": "a"}, {"name": "b"}]});
    });
    world.pass(2);
    assert_eq!(world.replicas("b", "game"), Some(5), "{}", world.condition("game", "Planned"));
}

#[test]
fn a_removal_goes_on_after_a_restart() {
    let mut world = world();
    world.edit("game", |object| object["spec"]["placement"] = json!({"clusters": [{"name": "b"}]}));
    world.pass(2);
    world.restart();
    assert_eq!(world.intent("a", "game"), "Remove");
    assert_eq!(world.row("game", "a").status.as_deref(), Some("WaitingForRemoval"));
    world.removed("a", "game");
    assert_eq!(world.intent("a", "game"), "-");
}

#[test]
fn an_object_that_left_the_placement_while_no_hub_ran_is_removed() {
    let mut world = world();
    world.objects.get_mut("game").unwrap()["spec"]["placement"] = json!({"clusters": [{"name": "b"}]});
    world.objects.get_mut("game").unwrap()["metadata"]["generation"] = json!(2);
    world.restart();
    assert_eq!(world.seats("game"), "b=10");
    assert_eq!(world.intent("a", "game"), "Remove");
}

#[test]
fn a_cluster_that_was_lost_stays_lost_through_a_restart() {
    let mut world = world();
    world.pass_with(40, &["b"]);
    world.restart();
    world.pass_with(1, &["b"]);
    world.edit("game", |object| object["spec"]["template"]["spec"]["replicas"] = json!(4));
    world.pass_with(2, &["b"]);
    assert_eq!(world.seats("game"), "a=5 b=0");
}
