//! Contact with members, and what its loss does not do.

use serde_json::json;

use super::*;

fn world() -> World {
    let mut world = World::with(&["a", "b"]);
    world.prefer("game", json!({"targetKind": "FederatedGameStatefulSet"}));
    world.put(object("game", 10, &["a", "b"]));
    world.settle("a", "game");
    world.settle("b", "game");
    world
}

#[test]
fn a_silent_member_is_lost_after_thirty_seconds_and_ready_with_its_next_heartbeat() {
    let mut world = world();
    world.heartbeat("a");
    assert_eq!(world.cluster_condition("a", "Ready").as_deref(), Some("True"));
    world.pass_with(29, &["b"]);
    assert_eq!(world.cluster_condition("a", "Ready").as_deref(), Some("True"));
    world.pass_with(2, &["b"]);
    assert_eq!(world.cluster_condition("a", "Ready").as_deref(), Some("Unknown"));
    assert_eq!(world.cluster_condition("a", "Offline").as_deref(), Some("True"));
    assert_eq!(world.cluster_condition("b", "Ready").as_deref(), Some("True"));
    assert_eq!(world.row("game", "a").status.as_deref(), Some("ClusterNotReady"));
    assert_eq!(world.row("game", "a").replicas, Some(5), "its numbers stay, with their age");
    assert!(world.row("game", "a").last_report_time.is_some());
    world.heartbeat("a");
    assert_eq!(world.cluster_condition("a", "Ready").as_deref(), Some("True"));
    world.pass(1);
    assert_eq!(world.row("game", "a").status, None);
}

#[test]
fn loss_of_contact_moves_nothing_and_changes_of_the_total_go_elsewhere() {
    let mut world = world();
    world.pass_with(40, &["b"]);
    assert_eq!(world.seats("game"), "a=5 b=5");
    let before = world.versions();
    world.edit("game", |object| object["spec"]["template"]["spec"]["replicas"] = json!(16));
    assert_eq!(world.seats("game"), "a=5 b=11");
    assert_eq!(world.changed_since(&before), ["b"]);
    assert_eq!(world.replicas("a", "game"), Some(5));
    world.edit("game", |object| object["spec"]["template"]["spec"]["replicas"] = json!(6));
    world.pass_with(2, &["b"]);
    assert_eq!(world.seats("game"), "a=5 b=1", "nothing is taken from a lost cluster");
}

#[test]
fn a_lost_cluster_that_returns_takes_what_changed_meanwhile() {
    let mut world = world();
    world.pass_with(40, &["b"]);
    world.edit("game", |object| {
        object["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("center:v9");
    });
    let view = world.view("a", "game").unwrap();
    assert_eq!(view["spec"]["template"]["spec"]["containers"][0]["image"], "center:v9");
    assert_eq!(view["spec"]["replicas"], 5);
    world.heartbeat("a");
    assert_eq!(world.seats("game"), "a=5 b=5");
}

#[test]
fn a_member_that_was_never_heard_is_lost_after_the_same_time() {
    let mut world = World::with(&["b"]);
    world.register("a", json!({}));
    assert_eq!(world.cluster_condition("a", "Ready"), None, "nothing is known yet, and nothing is written");
    world.pass_with(31, &["b"]);
    assert_eq!(world.cluster_condition("a", "Offline").as_deref(), Some("True"));
}

#[test]
fn conditions_of_clusters_are_written_on_change_only() {
    let mut world = world();
    world.pass_with(20, &["a", "b"]);
    world.writes.clear();
    world.pass_with(120, &["a", "b"]);
    assert!(!world.writes.iter().any(|write| write.starts_with("clusterstatus")), "{:?}", world.writes);
}
