//! Objects that go.

use muster_planner::{Intent, Inventory, RemovePolicy, condition};
use serde_json::json;

use crate::world::{World, condition, intents, name, recorded, weights};

fn deleted() -> World {
    let mut world = World::new(&["nanjing", "shanghai", "wuhan"])
        .prefer(&weights(&[("*", 1)]))
        .seats(&[("nanjing", 80), ("shanghai", 120)]);
    world.spec()["placement"] = json!({"clusters": [{"name": "nanjing"}, {"name": "shanghai"}]});
    world.manifest["metadata"]["deletionTimestamp"] = json!("2021-05-01T00:00:00Z");
    world
}

fn policy(world: &World) -> RemovePolicy {
    match &world.plan().clusters["nanjing"].intent {
        Intent::Remove(policy) => policy.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deleted_object_is_removed_until_every_cluster_said_so() {
    let mut world = deleted();
    let plan = world.plan();
    assert_eq!(intents(&plan), [("nanjing", "Remove"), ("shanghai", "Remove")]);
    assert_eq!(recorded(&plan).len(), 2, "the record stays, for a hub that starts now");
    assert_eq!(condition(&plan, condition::PLANNED).1, "Deleting");
    world.observed.inventory.insert(name("nanjing"), Inventory::Removed);
    assert_eq!(intents(&world.plan()), [("shanghai", "Remove")]);
    world.observed.inventory.insert(name("shanghai"), Inventory::Removed);
    assert_eq!(intents(&world.plan()), []);
}

#[test]
fn a_cluster_of_an_earlier_placement_is_removed_from_as_well() {
    let mut world = deleted();
    world.observed.removing.insert(name("wuhan"));
    assert!(intents(&world.plan()).contains(&("wuhan", "Remove")));
    world.observed.removing.clear();
    world.observed.inventory.insert(name("wuhan"), Inventory::Holds { replicas: 1 });
    assert!(intents(&world.plan()).contains(&("wuhan", "Remove")));
}

#[test]
fn a_deletion_that_orphans_orphans_in_members() {
    let mut world = deleted();
    world.annotate("kubefed.io/deleteoption", r#"{"propagationPolicy":"Foreground"}"#);
    world.manifest["metadata"]["finalizers"] = json!(["kubefed.io/sync-controller", "orphan"]);
    assert_eq!(policy(&world), RemovePolicy::Orphan);
    world.manifest["metadata"]["deletionTimestamp"] = json!(null);
    let kept = RemovePolicy::Delete(json!({"propagationPolicy": "Foreground"}));
    assert_eq!(world.object().on_delete, Ok(kept), "only a deletion asks for it");
}

#[test]
fn the_annotations_of_kubefed_say_how() {
    let mut world = deleted();
    assert_eq!(policy(&world), RemovePolicy::Delete(json!({})));
    world.annotate("kubefed.io/deleteoption", r#"{"gracePeriodSeconds":5,"propagationPolicy":"Foreground"}"#);
    assert_eq!(
        policy(&world),
        RemovePolicy::Delete(json!({"gracePeriodSeconds": 5, "propagationPolicy": "Foreground"}))
    );
    world.annotate("kubefed.io/orphan", "true");
    assert_eq!(policy(&world), RemovePolicy::Orphan);
    assert_eq!(serde_json::to_value(policy(&world)).unwrap(), json!({"policy": "Orphan"}));
}

#[test]
fn orphaning_is_for_deletion_and_not_for_a_changed_placement() {
    let mut world = deleted();
    world.manifest["metadata"]["deletionTimestamp"] = json!(null);
    world.spec()["placement"] = json!({"clusters": [{"name": "shanghai"}]});
    world.annotate("kubefed.io/orphan", "true");
    assert_eq!(policy(&world), RemovePolicy::Delete(json!({})));
}

#[test]
fn a_policy_that_cannot_be_read_removes_nothing() {
    for (key, value) in [
        ("kubefed.io/deleteoption", "{"),
        ("kubefed.io/deleteoption", "[]"),
        ("kubefed.io/deleteoption", r#"{"gracePeriodSeconds":-1}"#),
        ("kubefed.io/deleteoption", r#"{"propagationPolicy":"Later"}"#),
        ("kubefed.io/orphan", "yes"),
    ] {
        let mut world = deleted();
        world.annotate(key, value);
        let plan = world.plan();
        assert_eq!(intents(&plan), [("nanjing", "Hold"), ("shanghai", "Hold")], "{value}");
        assert!(condition(&plan, condition::PLANNED).2.contains(key), "{:?}", plan.conditions);
    }
}

#[test]
fn a_bad_object_can_be_deleted() {
    let mut world = deleted();
    world.spec()["template"] = json!("x");
    world.spec()["placement"] = json!("x");
    assert_eq!(intents(&world.plan()), [("nanjing", "Remove"), ("shanghai", "Remove")]);
}

#[test]
fn a_bad_object_still_leaves_clusters_that_are_not_placed() {
    let mut world = deleted();
    world.manifest["metadata"]["deletionTimestamp"] = json!(null);
    world.spec()["placement"] = json!({"clusters": [{"name": "shanghai"}]});
    world.replicas(-3);
    assert_eq!(intents(&world.plan()), [("nanjing", "Remove"), ("shanghai", "Hold")]);
}

#[test]
fn who_left_is_removed_from_until_it_says_so() {
    let mut world = deleted();
    world.manifest["metadata"]["deletionTimestamp"] = json!(null);
    world.spec()["placement"] = json!({"clusters": [{"name": "shanghai"}]});
    assert_eq!(intents(&world.step()), [("nanjing", "Remove"), ("shanghai", "Apply")]);
    world.observed.removing.insert(name("nanjing"));
    assert_eq!(intents(&world.step()), [("nanjing", "Remove"), ("shanghai", "Apply")]);
    world.observed.inventory.insert(name("nanjing"), Inventory::Removed);
    assert_eq!(intents(&world.step()), [("shanghai", "Apply")]);
}

#[test]
fn without_records_a_cluster_outside_the_placement_is_held_until_it_reports() {
    let mut world = World::new(&["nanjing", "shanghai"]);
    world.spec()["placement"] = json!({"clusters": [{"name": "shanghai"}]});
    world.observed.inventory.remove("nanjing");
    assert_eq!(intents(&world.plan()), [("nanjing", "Hold"), ("shanghai", "Apply")]);
    world.observed.inventory.insert(name("nanjing"), Inventory::Holds { replicas: 5 });
    assert_eq!(intents(&world.plan()), [("nanjing", "Remove"), ("shanghai", "Apply")]);
    world.observed.inventory.insert(name("nanjing"), Inventory::Nothing);
    assert_eq!(intents(&world.plan()), [("shanghai", "Apply")]);
}
