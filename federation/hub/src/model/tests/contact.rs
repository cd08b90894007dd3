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

#[test]
fn a_member_that_returns_has_time_to_take_what_changed_meanwhile() {
    let mut world = world();
    world.pass_with(40, &["b"]);
    world.edit("game", |object| object["spec"]["template"]["spec"]["paused"] = json!(true));
    world.settle("b", "game");
    world.pass_with(60, &["b"]);
    world.heartbeat("a");
    world.pass_with(20, &["a", "b"]);
    assert_eq!(world.row("game", "a").status.as_deref(), Some("Pending"));
    assert!(world.condition("game", "Degraded").starts_with("False"));
    world.pass_with(20, &["a", "b"]);
    assert_eq!(world.row("game", "a").status.as_deref(), Some("UpdateTimedOut"));
}

#[test]
fn a_cluster_that_is_not_registered_any_more_keeps_its_seats() {
    let mut world = world();
    world.pass_with(2, &["a", "b"]);
    world.unregister("a");
    world.edit("game", |object| object["spec"]["template"]["spec"]["replicas"] = json!(12));
    world.settle("b", "game");
    world.pass_with(2, &["b"]);
    assert_eq!(world.seats("game"), "a=5 b=7");
    let row = world.row("game", "a");
    assert_eq!((row.planned, row.replicas), (Some(5), Some(5)));
    assert_eq!(row.status.as_deref(), Some("ClusterNotReady"));
    assert_eq!(row.message.as_deref(), Some("not registered: keeps its 5 seats"));
    let degraded = world.condition("game", "Degraded");
    assert!(degraded.contains("a: ClusterNotReady: not registered: keeps its 5 seats"), "{degraded}");
    world.register("a", json!({}));
    assert_eq!((world.seats("game").as_str(), world.replicas("a", "game")), ("a=5 b=7", Some(5)));
    // It has not reported since, and its numbers are merely those of before.
    world.pass_with(40, &["a", "b"]);
    assert_eq!(world.row("game", "a").status.as_deref(), Some("Pending"));
    assert_eq!(world.row("game", "a").replicas, Some(5));
    assert!(world.condition("game", "Degraded").starts_with("False"));
    world.settle("a", "game");
    world.pass_with(2, &["a", "b"]);
    assert_eq!(world.row("game", "a").status, None);
    assert_eq!(world.condition("game", "Propagation"), "True Propagated ");
}

#[test]
fn a_person_gives_up_the_seats_of_an_unregistered_cluster() {
    let mut world = world();
    world.unregister("a");
    let release = json!({"muster.dev/release-seats": "a"});
    world.edit("game", |object| object["metadata"]["annotations"] = release);
    world.pass_with(2, &["b"]);
    assert_eq!(world.seats("game"), "b=10");
}

#[test]
fn why_a_member_waits_is_said_in_its_own_words() {
    let mut world = world();
    let view = world.view("a", "game").unwrap();
    let refusal = "create pod center/game-0: spec.containers[0].image: Required value";
    world.report(
        "a",
        "game",
        json!({
            "word": "", "appliedHash": view["metadata"]["annotations"]["view.muster.dev/hash"], "replicas": 5,
            "status": {"replicas": 5, "readyReplicas": 0, "updatedReplicas": 5, "conditions": [
                {"type": "Progressing", "status": "True", "reason": "WriteRefused",
                 "message": format!("game-0: WriteRefused: {refusal}")},
            ]},
        }),
    );
    world.pass_with(2, &["a", "b"]);
    let row = world.row("game", "a");
    assert_eq!((row.status, row.reason.as_deref()), (None, Some("WriteRefused")));
    assert_eq!(row.message.as_deref(), Some(refusal));
    assert_eq!(
        world.condition("game", "Degraded"),
        format!("True CheckClusters a: 0 of 5 ready, 5 updated; WriteRefused: {refusal}")
    );
    world.settle("a", "game");
    world.pass_with(2, &["a", "b"]);
    assert_eq!((world.row("game", "a").reason, world.row("game", "a").message), (None, None));
}
