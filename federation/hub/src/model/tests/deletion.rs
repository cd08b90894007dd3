//! Leaving a placement, deletion, and members that are away meanwhile.

use serde_json::{Value, json};

use super::*;

fn world() -> World {
    let mut world = World::with(&["a", "b"]);
    world.prefer("game", json!({"targetKind": "FederatedGameStatefulSet"}));
    world.put(object("game", 10, &["a", "b"]));
    world.settle("a", "game");
    world.settle("b", "game");
    world.pass(2);
    world
}

#[test]
fn a_cluster_that_leaves_the_placement_removes_and_the_others_grow_at_once() {
    let mut world = world();
    world.edit("game", |object| object["spec"]["placement"] = json!({"clusters": [{"name": "b"}]}));
    assert_eq!(world.seats("game"), "b=10");
    let view = world.view("a", "game").unwrap();
    assert_eq!(view["metadata"]["annotations"]["view.muster.dev/intent"], "Remove");
    assert_eq!(view["metadata"]["annotations"]["view.muster.dev/deletion"], r#"{"policy":"Delete"}"#);
    assert_eq!(world.row("game", "a").status.as_deref(), Some("WaitingForRemoval"));
    world.removed("a", "game");
    world.pass(1);
    assert_eq!(world.intent("a", "game"), "-");
    assert!(world.status("game").clusters.iter().all(|row| row.name != "a"));
}

#[test]
fn a_cluster_that_comes_back_into_the_placement_applies_again() {
    let mut world = world();
    world.edit("game", |object| object["spec"]["placement"] = json!({"clusters": [{"name": "b"}]}));
    world.removed("a", "game");
    world.pass(2);
    world.edit("game", |object| {
        object["spec"]["placement"] = json!({"clusters": [{"name": "a"}, {"name": "b"}]});
    });
    assert_eq!(world.intent("a", "game"), "Apply");
    assert_eq!(world.seats("game"), "a=0 b=10", "nothing that runs moves");
}

#[test]
fn a_late_report_of_an_older_removal_closes_nothing_newer() {
    let mut world = world();
    let place = |clusters: &[&str]| {
        let clusters: Vec<_> = clusters.iter().map(|name| json!({"name": name})).collect();
        json!({"clusters": clusters})
    };
    world.edit("game", |object| object["spec"]["placement"] = place(&["b"]));
    let old = world.entry("a", "game").unwrap().version;
    world.pass(2);
    world.edit("game", |object| object["spec"]["placement"] = place(&["a", "b"]));
    world.pass(2);
    world.edit("game", |object| object["spec"]["placement"] = place(&["b"]));
    world.report("a", "game", json!({"word": "Removed", "viewVersion": old.to_string()}));
    assert_eq!(world.intent("a", "game"), "Remove");
    let new = world.entry("a", "game").unwrap().version;
    world.report("a", "game", json!({"word": "Removed", "viewVersion": new.to_string()}));
    assert_eq!(world.intent("a", "game"), "-");
}

#[test]
fn a_deleted_object_goes_when_every_member_has_removed_it() {
    let mut world = world();
    world.edit("game", |object| {
        object["metadata"]["annotations"] = json!({"kubefed.io/deleteoption": r#"{"gracePeriodSeconds":7}"#});
    });
    world.delete("game");
    for cluster in ["a", "b"] {
        let view = world.view(cluster, "game").unwrap();
        let deletion = &view["metadata"]["annotations"]["view.muster.dev/deletion"];
        assert_eq!(deletion, r#"{"options":{"gracePeriodSeconds":7},"policy":"Delete"}"#);
    }
    world.removed("a", "game");
    assert!(world.objects.contains_key("game"));
    world.removed("b", "game");
    assert!(!world.objects.contains_key("game"));
    assert_eq!((world.intent("a", "game"), world.intent("b", "game")), ("-", "-"));
    assert!(world.tombstones.is_empty());
}

#[test]
fn an_orphaned_object_is_only_given_up() {
    let mut world = world();
    world.edit("game", |object| object["metadata"]["annotations"] = json!({"kubefed.io/orphan": "true"}));
    world.delete("game");
    let view = world.view("a", "game").unwrap();
    assert_eq!(view["metadata"]["annotations"]["view.muster.dev/deletion"], r#"{"policy":"Orphan"}"#);
}

#[test]
fn a_deletion_that_orphans_is_remembered_when_the_garbage_collector_is_done() {
    let mut world = world();
    let finalizers = |world: &mut World, finalizers: Value| {
        world.objects.get_mut("game").unwrap()["metadata"]["finalizers"] = finalizers;
    };
    finalizers(&mut world, json!(["kubefed.io/sync-controller", "orphan"]));
    world.delete("game");
    finalizers(&mut world, json!(["kubefed.io/sync-controller"]));
    world.edit("game", |_| {});
    for cluster in ["a", "b"] {
        let view = world.view(cluster, "game").unwrap();
        assert_eq!(view["metadata"]["annotations"]["view.muster.dev/deletion"], r#"{"policy":"Orphan"}"#);
        world.removed(cluster, "game");
    }
    assert!(!world.objects.contains_key("game"));
}

#[test]
fn a_suspended_object_that_is_deleted_says_what_to_do() {
    let mut world = world();
    world.edit("game", |object| object["metadata"]["annotations"] = json!({"muster.dev/suspend": "true"}));
    world.delete("game");
    world.pass(2);
    let ready = world.condition("game", "Ready");
    assert!(ready.ends_with("; remove muster.dev/suspend to finish its deletion"), "{ready}");
}

#[test]
fn a_bad_deletion_policy_deletes_nothing_and_is_named() {
    let mut world = world();
    world.edit("game", |object| object["metadata"]["annotations"] = json!({"kubefed.io/orphan": "perhaps"}));
    world.delete("game");
    world.pass(2);
    assert_eq!((world.intent("a", "game"), world.intent("b", "game")), ("Hold", "Hold"));
    assert!(
        world.condition("game", "Degraded").contains("kubefed.io/orphan"),
        "{}",
        world.condition("game", "Degraded")
    );
}

#[test]
fn an_object_that_was_never_shown_goes_at_once() {
    let mut world = World::with(&["a", "b"]);
    world.put(object("game", 10, &["a", "b"]));
    world.delete("game");
    assert!(!world.objects.contains_key("game"));
}

#[test]
fn a_member_that_is_away_gets_a_tombstone_and_does_not_block() {
    let mut world = world();
    world.pass_with(40, &["b"]);
    world.delete("game");
    assert!(world.objects.contains_key("game"), "b is there and has not answered");
    assert!(world.tombstones.is_empty());
    world.removed("b", "game");
    assert!(!world.objects.contains_key("game"), "a is remembered");
    assert_eq!(world.tombstones.len(), 1);
    assert_eq!(world.intent("a", "game"), "Remove");

    world.restart();
    assert_eq!(world.intent("a", "game"), "Remove", "the memory is in the hub API");
    world.heartbeat("a");
    world.removed("a", "game");
    assert_eq!(world.intent("a", "game"), "-");
    assert!(world.tombstones.is_empty());
}

#[test]
fn a_member_that_gets_lost_during_a_deletion_is_waited_for_no_longer_than_that() {
    let mut world = world();
    world.pass_with(2, &["a", "b"]);
    world.delete("game");
    world.removed("b", "game");
    world.pass_with(20, &["b"]);
    assert!(world.objects.contains_key("game"));
    world.pass_with(20, &["b"]);
    assert!(!world.objects.contains_key("game"));
    assert_eq!(world.tombstones.values().next().unwrap().spec.clusters, ["a"]);
}

#[test]
fn a_new_object_of_the_same_name_takes_over_from_a_tombstone() {
    let mut world = world();
    world.pass_with(40, &["b"]);
    world.delete("game");
    world.removed("b", "game");
    let mut again = object("game", 10, &["a", "b"]);
    again["metadata"]["uid"] = json!("uid-second");
    world.put(again);
    assert_eq!(world.seats("game"), "a=5 b=5", "a is lost and keeps what it was last known to hold");
    assert_eq!(world.intent("a", "game"), "Apply");
    assert_eq!(
        world.view("a", "game").unwrap()["metadata"]["annotations"]["view.muster.dev/source-uid"],
        "uid-second"
    );
    assert!(world.tombstones.is_empty());
}

#[test]
fn an_object_whose_finalizer_was_taken_away_is_still_removed_from_its_members() {
    let mut world = world();
    world.vanish("game");
    assert_eq!((world.intent("a", "game"), world.intent("b", "game")), ("Remove", "Remove"));
    assert_eq!(world.tombstones.len(), 1);
    world.removed("a", "game");
    world.removed("b", "game");
    assert!(world.tombstones.is_empty());
}

#[test]
fn a_tombstone_expires() {
    let mut world = world();
    world.pass_with(40, &["b"]);
    world.delete("game");
    world.removed("b", "game");
    world.now = world.now.saturating_add(jiff::SignedDuration::from_hours(24 * 31)).unwrap();
    world.pass(1);
    assert!(world.tombstones.is_empty());
    assert_eq!(world.intent("a", "game"), "-");
}

#[test]
fn an_unregistered_cluster_does_not_block_a_deletion() {
    let mut world = world();
    world.delete("game");
    world.removed("b", "game");
    world.unregister("a");
    assert!(!world.objects.contains_key("game"));
    assert!(world.tombstones.is_empty());
}
