//! The order of containers inside a pod.

use serde_json::json;

use super::inplace_suite::{ordinals, world};
use super::lives::{live, writes_of};
use super::simulator::World;
use crate::Code;

fn three_images(world: &mut World, game: &str) {
    world.edit(|spec| {
        let pod = &mut spec["template"]["spec"];
        pod["containers"][0]["image"] = json!(game);
        pod["containers"][1]["image"] = json!("log:2");
        pod["initContainers"][0]["image"] = json!("mesh:2");
    });
}

/// Images of sidecar, game and log shipper of the first pod.
fn images(world: &World) -> [String; 3] {
    let spec = &world.pods["game-0"]["spec"];
    [&spec["initContainers"][0], &spec["containers"][0], &spec["containers"][1]]
        .map(|container| container["image"].as_str().unwrap().to_owned())
}

/// The images after each plan.
fn course(world: &mut World) -> Vec<[String; 3]> {
    let mut course = vec![images(world)];
    for _ in 0..40 {
        let plan = world.plan();
        plan.steps.iter().for_each(|step| assert!(world.apply(step), "{step}"));
        world.record(&plan);
        if course.last() != Some(&images(world)) {
            course.push(images(world));
        }
        for pod in world.pods.keys().cloned().collect::<Vec<_>>() {
            world.kubelet(&pod);
        }
    }
    course
}

fn row(mesh: &str, game: &str, log: &str) -> [String; 3] {
    [format!("mesh:{mesh}"), format!("game:{game}"), format!("log:{log}")]
}

#[test]
fn inplace_i2_containers_change_one_after_the_other() {
    for policy in ["OrderedReady", "OrderedUpdated"] {
        let mut world = world(1, json!({"policy": policy}));
        let mark = world.writes.len();
        three_images(&mut world, "game:2");
        let order = [row("1", "1", "1"), row("2", "1", "1"), row("2", "2", "1"), row("2", "2", "2")];
        assert_eq!(course(&mut world), order);
        assert_eq!(world.plan().status.updated_ready_replicas, 1);
        // Gate, three patches, gate.
        assert_eq!(writes_of(&world, mark, "game-0").len(), 5);
    }
}

#[test]
fn inplace_i2_without_an_order_all_change_at_once() {
    let mut world = world(1, json!({"policy": "DisOrdered"}));
    three_images(&mut world, "game:2");
    assert_eq!(course(&mut world), [row("1", "1", "1"), row("2", "2", "2")]);
}

#[test]
fn inplace_i2_a_container_that_is_not_ready_stops_the_others_or_only_its_pod() {
    let mut world = world(1, json!({"policy": "OrderedReady"}));
    three_images(&mut world, "game:2-broken");
    assert_eq!(course(&mut world).last(), Some(&row("2", "2-broken", "1")));
    let plan = world.settle();
    assert!(World::codes(&plan).contains(&Code::ContainerOrder), "{plan}");
    // Put right, the rest follows.
    three_images(&mut world, "game:3");
    live(&mut world, &ordinals(1), 1);
    assert_eq!(images(&world), row("2", "3", "2"));

    let mut world = super::inplace_suite::world(1, json!({"policy": "OrderedUpdated"}));
    three_images(&mut world, "game:2-broken");
    assert_eq!(course(&mut world).last(), Some(&row("2", "2-broken", "2")));
}

#[test]
fn inplace_i2_taken_back_in_the_middle_all_containers_go_back() {
    let mut world = world(1, json!({"policy": "OrderedReady"}));
    let before = images(&world);
    three_images(&mut world, "game:2-broken");
    course(&mut world);
    world.edit(|spec| {
        let pod = &mut spec["template"]["spec"];
        pod["containers"][0]["image"] = json!("game:1");
        pod["containers"][1]["image"] = json!("log:1");
        pod["initContainers"][0]["image"] = json!("mesh:1");
    });
    let plan = live(&mut world, &ordinals(1), 1);
    assert_eq!(images(&world), before);
    assert_eq!(plan.status.ready_replicas, 1);
}
