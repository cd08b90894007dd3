//! Clusters that are not heard from, or that a person took out.

use muster_planner::{Contact, condition};
use serde_json::json;

use crate::world::{START, World, condition, intents, recorded, replicas, show, weights};

fn world() -> World {
    World::new(&["nanjing", "shanghai"])
        .prefer(&weights(&[("shanghai", 3), ("nanjing", 2)]))
        .seats(&[("nanjing", 80), ("shanghai", 120)])
}

fn lose(world: &mut World, cluster: &str) {
    let member = world.member(cluster);
    member.contact = Contact::Lost;
    member.last_contact = Some(START);
}

#[test]
fn a_lost_cluster_keeps_its_seats_and_nothing_is_planned_onto_it() {
    let mut world = world();
    lose(&mut world, "nanjing");
    assert_eq!(replicas(&world.step()), [("nanjing", 80), ("shanghai", 120)]);
    world.replicas(300);
    insta::assert_snapshot!("lost", show(&world.step()));
    world.replicas(60);
    let plan = world.step();
    assert_eq!(replicas(&plan), [("nanjing", 80), ("shanghai", 0)]);
    assert_eq!(condition(&plan, condition::PINS_EXCEED_TOTAL).1, "PinSurplus");
}

#[test]
fn a_lost_cluster_keeps_its_seats_also_without_a_preference_and_under_a_new_pin() {
    let mut world = world();
    lose(&mut world, "nanjing");
    world.preference = None;
    assert_eq!(replicas(&world.plan()), [("nanjing", 80), ("shanghai", 200)]);
    world.spec()["overrides"] = json!([{"clusterName": "nanjing", "clusterOverrides": [
        {"path": "/spec/replicas", "value": 7}]}]);
    let plan = world.plan();
    assert_eq!(replicas(&plan), [("nanjing", 80), ("shanghai", 200)]);
    let body = muster_planner::render(&world.object(), &plan.clusters["nanjing"]).unwrap();
    assert_eq!(body["spec"]["replicas"], 80);
}

#[test]
fn a_cluster_of_unknown_contact_is_planned_like_a_ready_one() {
    let mut world = world();
    world.member("nanjing").contact = Contact::Unknown;
    world.replicas(250);
    assert_eq!(replicas(&world.plan()), [("nanjing", 100), ("shanghai", 150)]);
}

#[test]
fn a_lost_cluster_that_never_reported_gets_nothing() {
    let mut world = world().seats(&[("shanghai", 120)]);
    lose(&mut world, "nanjing");
    world.observed.inventory.clear();
    let plan = world.plan();
    assert_eq!(intents(&plan), [("nanjing", "Hold"), ("shanghai", "Apply")]);
    assert_eq!(recorded(&plan), [("shanghai", 200)]);
}

#[test]
fn a_person_gives_up_the_seats_of_a_lost_cluster() {
    let released =
        |world: World| replicas(&world.plan()).into_iter().map(|(_, seats)| seats).collect::<Vec<_>>();
    let mut lost = world();
    lose(&mut lost, "nanjing");
    for (value, seats) in [
        ("true", [0, 200]),
        ("*", [0, 200]),
        ("wuhan, nanjing", [0, 200]),
        ("shanghai", [80, 120]),
        ("false", [80, 120]),
    ] {
        let mut world = lost.clone();
        world.annotate("muster.dev/release-seats", value);
        assert_eq!(released(world), seats, "{value}");
    }
    let mut by_cluster = lost.clone();
    by_cluster.member("nanjing").release_seats = true;
    let plan = by_cluster.step();
    assert_eq!(intents(&plan), [("nanjing", "Hold"), ("shanghai", "Apply")]);
    // When it is back it has no seats, and the others keep theirs.
    by_cluster.member("nanjing").contact = Contact::Ready;
    let back = by_cluster.step();
    assert_eq!(intents(&back), [("nanjing", "Apply"), ("shanghai", "Apply")]);
    assert_eq!(recorded(&back), [("nanjing", 0), ("shanghai", 200)]);
}

#[test]
fn seats_of_a_ready_cluster_are_not_given_up() {
    let mut world = world();
    world.member("nanjing").release_seats = true;
    world.annotate("muster.dev/release-seats", "*");
    assert_eq!(replicas(&world.plan()), [("nanjing", 80), ("shanghai", 120)]);
}

#[test]
fn a_suspended_cluster_keeps_its_seats_and_is_not_written() {
    let mut world = world();
    world.member("nanjing").suspended = true;
    world.replicas(250);
    let plan = world.step();
    assert_eq!(intents(&plan), [("nanjing", "Hold"), ("shanghai", "Apply")]);
    assert_eq!(recorded(&plan), [("nanjing", 80), ("shanghai", 170)]);
    world.spec()["placement"] = json!({"clusters": [{"name": "shanghai"}]});
    assert_eq!(intents(&world.plan()), [("nanjing", "Hold"), ("shanghai", "Apply")]);
}

#[test]
fn a_suspended_object_is_written_nowhere() {
    let mut world = world();
    world.annotate("muster.dev/suspend", "true");
    world.replicas(500);
    let plan = world.plan();
    assert_eq!(intents(&plan), [("nanjing", "Hold"), ("shanghai", "Hold")]);
    assert_eq!(recorded(&plan), [("nanjing", 80), ("shanghai", 120)]);
    assert_eq!(condition(&plan, condition::PLANNED).1, "Suspended");
    world.manifest["metadata"]["deletionTimestamp"] = json!("2021-05-01T00:00:00Z");
    assert_eq!(intents(&world.plan()), [("nanjing", "Hold"), ("shanghai", "Hold")]);
}

#[test]
fn removal_from_the_placement_frees_the_seats_of_a_lost_cluster() {
    let mut world = world();
    lose(&mut world, "nanjing");
    world.spec()["placement"] = json!({"clusters": [{"name": "shanghai"}]});
    let plan = world.plan();
    assert_eq!(intents(&plan), [("nanjing", "Remove"), ("shanghai", "Apply")]);
    assert_eq!(recorded(&plan), [("shanghai", 200)]);
}

#[test]
fn a_cluster_that_is_not_registered_any_more_keeps_its_seats() {
    let mut world = world();
    let member = world.fleet.clusters.remove("nanjing").unwrap();
    world.replicas(300);
    let plan = world.step();
    assert_eq!(recorded(&plan), [("nanjing", 80), ("shanghai", 220)]);
    assert_eq!(intents(&plan), [("nanjing", "Hold"), ("shanghai", "Apply")]);
    let reason = &plan.clusters["nanjing"].reasons[0];
    assert_eq!(reason.to_string(), "NotRegistered: not registered: keeps its 80 seats");
    assert!(condition(&plan, condition::UNKNOWN_CLUSTERS).2.contains("spec.placement.clusters: nanjing;"));
    // Held plans keep them as well.
    world.replicas(-1);
    assert_eq!(recorded(&world.step()), [("nanjing", 80), ("shanghai", 220)]);
    world.spec()["placement"]["clusters"] = json!(7);
    assert_eq!(recorded(&world.step()), [("nanjing", 80), ("shanghai", 220)]);
    // Registered again it goes on with them.
    let mut world = World { fleet: world.fleet, observed: world.observed, ..self::world() };
    world.replicas(300);
    world.fleet.clusters.insert(crate::world::name("nanjing"), member);
    let plan = world.step();
    assert_eq!(recorded(&plan), [("nanjing", 80), ("shanghai", 220)]);
    assert_eq!(intents(&plan), [("nanjing", "Apply"), ("shanghai", "Apply")]);
}

#[test]
fn a_person_gives_up_the_seats_of_an_unregistered_cluster() {
    let mut gone = world();
    gone.fleet.clusters.remove("nanjing");
    for value in ["true", "*", "nanjing"] {
        let mut world = gone.clone();
        world.annotate("muster.dev/release-seats", value);
        assert_eq!(recorded(&world.plan()), [("shanghai", 200)], "{value}");
    }
    let mut left = gone.clone();
    left.spec()["placement"] = json!({"clusters": [{"name": "shanghai"}]});
    assert_eq!(recorded(&left.plan()), [("shanghai", 200)]);
    // A deleted object waits for nobody who is not there.
    gone.manifest["metadata"]["deletionTimestamp"] = json!("2021-05-01T00:00:00Z");
    assert_eq!(intents(&gone.plan()), [("shanghai", "Remove")]);
}

#[test]
fn a_selected_cluster_that_is_not_registered_any_more_keeps_its_seats() {
    let mut world = world();
    world.spec()["placement"] = json!({"clusterSelector": {}});
    world.fleet.clusters.remove("nanjing");
    let plan = world.plan();
    assert_eq!(recorded(&plan), [("nanjing", 80), ("shanghai", 120)]);
    assert!(condition(&plan, condition::UNKNOWN_CLUSTERS).2.contains("status.plan.seats: nanjing"));
}

#[test]
fn without_seats_an_unregistered_cluster_is_forgotten() {
    let mut world = world().seats(&[("shanghai", 200)]);
    world.fleet.clusters.remove("nanjing");
    let plan = world.plan();
    assert_eq!(recorded(&plan), [("shanghai", 200)]);
    assert_eq!(intents(&plan), [("shanghai", "Apply")]);
}
