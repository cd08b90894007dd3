//! Updates that take too long.

use serde_json::{Value, json};

use super::inplace_suite::ordinals;
use super::lives::count;
use super::simulator::World;
use crate::{Code, Plan};

fn world(kind: &str, policy: &str) -> World {
    let strategy = json!({
        "type": kind, "rollingUpdate": {"maxUnavailable": 2}, "podDeadlineSeconds": 100, "onPodDeadline": policy,
        "inPlaceUpdateStrategy": {"prePull": {"enabled": false}},
    });
    let mut world = World::new(4, "Parallel", &strategy);
    world.converge();
    world
}

/// Lets plans, writes and kubelets go on for as many seconds.
fn wait(world: &mut World, seconds: i64) -> Plan {
    for _ in 0..seconds / 10 {
        for _ in 0..4 {
            world.restart();
            world.settle();
            world.kubelets();
        }
        world.pass(10);
    }
    world.settle()
}

fn failed(plan: &Plan) -> (String, String) {
    let failed = plan.status.failed_update.clone().unwrap();
    (failed.pod, failed.code)
}

fn expect(plan: &Plan, pod: &str, code: &str) {
    assert_eq!(failed(plan), (pod.to_owned(), code.to_owned()), "{plan}");
    assert!(World::codes(plan).contains(&Code::PodDeadline), "{plan}");
}

#[test]
fn inplace_i5_a_pod_that_does_not_come_good_stops_the_update() {
    for (image, code) in
        [("game:crash", "CrashLoop"), ("game:2-broken", "ContainerNotReady"), ("game:nope", "ImagePull")]
    {
        let mut world = world("InplaceUpdate", "Pause");
        world.machines.missing.insert("game:nope".into());
        world.set_image(image);
        let plan = wait(&mut world, 90);
        assert!(!World::codes(&plan).contains(&Code::PodDeadline), "{plan}");
        assert!(plan.recheck_after.unwrap().as_secs() <= 20, "{plan}");
        let plan = wait(&mut world, 30);
        expect(&plan, "game-3", code);
        assert_eq!(world.images(), ["game:1", "game:1", "game:1", image]);
        assert_eq!(
            plan.status.conditions.iter().find(|one| one.type_ == "Progressing").unwrap().status,
            "False"
        );
        // At rest: nothing is written however long it lasts.
        let (mark, status) = (world.writes.len(), world.set["status"].clone());
        wait(&mut world, 700);
        assert_eq!((world.writes_since(mark), &world.set["status"]), (Vec::new(), &status));
        world.set_image("game:3");
        let plan = world.converge();
        assert_eq!(plan.status.updated_ready_replicas, 4);
        assert_eq!(plan.status.failed_update, None);
    }
}

#[test]
fn inplace_i5_the_pod_goes_back() {
    let mut world = world("InplaceUpdate", "RollbackPod");
    let uids = world.uids();
    let mark = world.writes.len();
    world.set_image("game:crash");
    let plan = wait(&mut world, 300);
    expect(&plan, "game-3", "CrashLoop");
    assert_eq!(world.images(), ["game:1"; 4]);
    assert_eq!((world.uids(), world.unavailable(&ordinals(4))), (uids, 0));
    assert_eq!(count(&world, mark, "RollBack"), 1);
    // And is not tried again, until the template changes.
    let mark = world.writes.len();
    wait(&mut world, 700);
    assert_eq!(world.writes_since(mark), Vec::<&str>::new());
    world.set_image("game:3");
    assert_eq!(world.converge().status.updated_ready_replicas, 4);
}

#[test]
fn inplace_i5_all_pods_go_back() {
    let mut world = world("InplaceUpdate", "RollbackSet");
    // Two are updated and good, then the template becomes one that is not.
    world.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(2));
    world.set_image("game:2");
    world.converge();
    assert_eq!(world.images(), ["game:1", "game:1", "game:2", "game:2"]);
    world.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(0));
    world.set_image("game:2-broken");
    let plan = wait(&mut world, 300);
    expect(&plan, "game-3", "ContainerNotReady");
    let revisions: Vec<&Value> =
        world.pods.values().map(|pod| &pod["metadata"]["labels"]["controller-revision-hash"]).collect();
    assert!(revisions.iter().all(|revision| *revision == revisions[0]));
    assert_eq!(world.images(), ["game:1"; 4]);
    assert_eq!(world.unavailable(&ordinals(4)), 0);
    // A pod that dies comes back as the others are.
    world.delete("game-1");
    wait(&mut world, 20);
    assert_eq!(world.images(), ["game:1"; 4]);
    world.set_image("game:3");
    assert_eq!(world.converge().status.updated_ready_replicas, 4);
}

#[test]
fn a_replaced_pod_goes_back_too() {
    let mut world = world("RollingUpdate", "RollbackPod");
    world.set_image("game:crash");
    let plan = wait(&mut world, 300);
    let failed = plan.status.failed_update.clone().unwrap();
    assert_eq!(failed.code, "CrashLoop");
    assert_eq!(world.images(), ["game:1"; 4]);
    assert_eq!(world.unavailable(&ordinals(4)), 0);
    let mark = world.writes.len();
    wait(&mut world, 1000);
    assert_eq!(world.writes_since(mark), Vec::<&str>::new());
}

#[test]
fn a_pod_that_comes_good_ends_the_pause() {
    let mut world = world("InplaceUpdate", "Pause");
    world.machines.missing.insert("game:late".into());
    world.set_image("game:late");
    let plan = wait(&mut world, 200);
    expect(&plan, "game-3", "ImagePull");
    world.machines.missing.clear();
    let plan = wait(&mut world, 50);
    assert_eq!(plan.status.failed_update, None);
    assert_eq!(world.images(), ["game:late"; 4]);
}

#[test]
fn a_first_revision_that_fails_has_nothing_to_go_back_to() {
    let mut world =
        World::new(2, "Parallel", &json!({"type": "InplaceUpdate", "onPodDeadline": "RollbackSet"}));
    world.set_image("game:crash");
    let plan = wait(&mut world, 1000);
    assert_eq!(plan.status.failed_update, None);
    assert!(World::codes(&plan).contains(&Code::CrashLoop), "{plan}");
}

#[test]
fn a_pod_that_served_for_long_and_then_crashes_is_no_failed_update() {
    for kind in ["InplaceUpdate", "RollingUpdate"] {
        let mut world = world(kind, "RollbackSet");
        world.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(2));
        world.set_image("game:2");
        world.converge();
        assert_eq!(world.images(), ["game:1", "game:1", "game:2", "game:2"]);
        world.pass(1000);
        world.crash("game-3");
        world.pass(500);
        let plan = world.settle();
        assert_eq!(plan.status.failed_update, None, "{plan}");
        assert_eq!(world.images(), ["game:1", "game:1", "game:2", "game:2"]);
    }
}
