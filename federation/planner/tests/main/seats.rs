//! Seats of clusters: limits, room, and what the division has to say about them.

use muster_planner::{Inventory, condition};
use serde_json::json;

use crate::world::{World, condition, intents, name, recorded, replicas, show, weights};

#[test]
fn every_rule_that_had_a_say_is_among_the_reasons() {
    let mut world = World::new(&["a", "b", "c", "d", "e", "f"])
        .prefer(&json!({"rebalance": true, "clusters": {
            "a": {"weight": 3, "minReplicas": 10},
            "b": {"weight": 1, "maxReplicas": 20},
            "c": {"weight": 0, "minReplicas": 5},
            "d": {"weight": 2},
            "e": {"weight": 1, "minReplicas": 4},
        }}))
        .seats(&[("a", 0), ("b", 50), ("c", 0), ("d", 90), ("e", 0), ("f", 7)]);
    world.spec()["overrides"] = json!([{"clusterName": "e", "clusterOverrides": [
        {"path": "/spec/replicas", "value": 12}]}]);
    world.capacity("d", 85, 3, 4);
    world.replicas(150);
    insta::assert_snapshot!("all_rules", show(&world.step()));
    world.replicas(60);
    insta::assert_snapshot!("all_rules_shrunk", show(&world.step()));
}

#[test]
fn a_cluster_without_an_entry_gets_nothing_and_a_condition() {
    let plan = World::new(&["a", "b"]).prefer(&weights(&[("a", 1)])).seats(&[("b", 60)]).plan();
    assert_eq!(replicas(&plan), [("a", 200), ("b", 0)]);
    assert_eq!(condition(&plan, condition::NO_PREFERENCE_ENTRY).1, "NoPreferenceEntry");
}

#[test]
fn too_few_replicas_for_the_minimums_is_a_shortage() {
    let spec =
        json!({"clusters": {"a": {"weight": 1, "minReplicas": 150}, "b": {"weight": 2, "minReplicas": 150}}});
    let plan = World::new(&["a", "b"]).prefer(&spec).plan();
    assert_eq!((replicas(&plan), plan.shortage), (vec![("a", 50), ("b", 150)], 100));
    assert_eq!(condition(&plan, condition::PLANNED).1, "Shortage");
    assert_eq!(condition(&plan, condition::MIN_UNMET).1, "MinUnmet");
}

#[test]
fn a_minimum_that_only_a_move_could_meet_moves_nothing() {
    let spec = json!({"clusters": {"a": {"weight": 1}, "b": {"weight": 1, "minReplicas": 10}}});
    let plan = World::new(&["a", "b"]).prefer(&spec).seats(&[("a", 200), ("b", 0)]).plan();
    assert_eq!((replicas(&plan), plan.shortage), (vec![("a", 200), ("b", 0)], 0));
    assert!(condition(&plan, condition::MOVE_WANTED).2.contains(": b;"));
}

#[test]
fn rebalance_is_reported_only_while_it_would_change_something() {
    let mut spec = weights(&[("*", 1)]);
    spec["rebalance"] = json!(true);
    let skewed = World::new(&["a", "b"]).prefer(&spec).seats(&[("a", 150), ("b", 50)]);
    let plan = skewed.plan();
    assert_eq!(replicas(&plan), [("a", 150), ("b", 50)]);
    assert!(condition(&plan, condition::REBALANCE_NOT_APPLIED).2.contains("50 replicas"));
    let even = skewed.seats(&[("a", 100), ("b", 100)]).plan();
    assert_eq!(even.condition(condition::REBALANCE_NOT_APPLIED), None);
}

#[test]
fn grants_the_member_does_not_know_of_are_deducted_from_its_room() {
    let mut world = World::new(&["a", "b"]).prefer(&weights(&[("*", 1)]));
    world.capacity("a", 80, 30, 0);
    assert_eq!(replicas(&world.plan()), [("a", 50), ("b", 150)]);
}

#[test]
fn a_cluster_that_left_drains_and_the_others_grow_at_once() {
    let mut world = World::new(&["a", "b"]).prefer(&weights(&[("*", 1)])).seats(&[("a", 100), ("b", 100)]);
    world.spec()["placement"] = json!({"clusters": [{"name": "a"}]});
    let plan = world.step();
    assert_eq!(intents(&plan), [("a", "Apply"), ("b", "Remove")]);
    assert_eq!(recorded(&plan), [("a", 200)]);
}

#[test]
fn a_cluster_without_a_record_is_held_until_it_reports_and_starts_from_what_it_holds() {
    let mut world = World::new(&["a", "b"]).prefer(&weights(&[("*", 1)]));
    world.observed.inventory = [(name("a"), Inventory::Holds { replicas: 100 })].into();
    let plan = world.step();
    insta::assert_snapshot!("awaiting_inventory", show(&plan));
    assert_eq!(recorded(&plan), [("a", 100)], "what is kept free is not recorded");
    world.observed.inventory.insert(name("b"), Inventory::Holds { replicas: 100 });
    assert_eq!(recorded(&world.step()), [("a", 100), ("b", 100)], "nothing was moved by not knowing");
}

#[test]
fn what_a_cluster_starts_from_is_clipped_to_its_maximum() {
    let spec = json!({"clusters": {"a": {"weight": 1, "maxReplicas": 30}, "b": {"weight": 1}}});
    let mut world = World::new(&["a", "b"]).prefer(&spec);
    world.observed.inventory.insert(name("a"), Inventory::Holds { replicas: 90 });
    assert_eq!(recorded(&world.plan()), [("a", 30), ("b", 170)]);
}

#[test]
fn reports_never_change_recorded_seats() {
    let mut world = World::new(&["a", "b"]).prefer(&weights(&[("*", 1)])).seats(&[("a", 100), ("b", 100)]);
    world.observed.inventory.insert(name("a"), Inventory::Holds { replicas: 3 });
    assert_eq!(recorded(&world.plan()), [("a", 100), ("b", 100)]);
}

#[test]
fn the_selector_of_the_object_counts_only_where_it_is_asked_for() {
    let mut world = World::new(&["a", "b"]);
    world.member("a").labels = [("zone".to_owned(), "east".to_owned())].into();
    world.spec()["placement"]["clusterSelector"] = json!({"matchLabels": {"zone": "east"}});
    let mut spec = weights(&[("*", 1)]);
    assert_eq!(replicas(&world.clone().prefer(&spec).plan()), [("a", 100), ("b", 100)]);
    spec["intersectWithClusterSelector"] = json!(true);
    assert_eq!(replicas(&world.prefer(&spec).plan()), [("a", 200), ("b", 0)]);
}

#[test]
fn remainders_of_many_objects_do_not_pile_up_in_one_cluster() {
    let mut odd = [0, 0];
    for object in 0..40 {
        let mut world = World::new(&["a", "b"]).prefer(&weights(&[("*", 1)]));
        world.replicas(1);
        let object = format!("lobby-{object}");
        world.manifest["metadata"]["name"] = json!(object);
        world.preference.as_mut().unwrap().key.name = object.parse().unwrap();
        for (at, (_, replicas)) in replicas(&world.plan()).into_iter().enumerate() {
            odd[at] += replicas;
        }
    }
    assert!(odd[0] >= 10 && odd[1] >= 10, "{odd:?}");
}

#[test]
fn a_plan_made_again_reads_the_same() {
    let spec = json!({"clusters": {
        "a": {"weight": 3}, "b": {"weight": 1, "maxReplicas": 20}, "c": {"weight": 0, "minReplicas": 5},
        "d": {"weight": 1, "minReplicas": 60}, "e": {"weight": 0},
    }});
    let mut world = World::new(&["a", "b", "c", "d", "e"]).prefer(&spec);
    let first = world.step();
    assert_eq!(world.step(), first);
    insta::assert_snapshot!("settled", show(&first));
    world.replicas(300);
    let grown = world.step();
    assert_eq!(world.step(), grown);
}
