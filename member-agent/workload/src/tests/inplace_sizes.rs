//! Sizes of running pods.

use serde_json::{Value, json};

use super::inplace_suite::ordinals;
use super::kubelets::restarts;
use super::lives::{count, live, writes_of};
use super::simulator::World;
use crate::Code;

fn cpu(cpu: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": "1Gi"}})
}

fn world(replicas: i64, policy: &Value) -> World {
    let mut strategy = json!({"type": "InplaceUpdate", "rollingUpdate": {"maxUnavailable": 1}});
    strategy["inPlaceUpdateStrategy"] = policy.clone();
    let mut world = World::new(replicas, "Parallel", &strategy);
    world.machines.count = 2;
    world.edit(|spec| spec["template"]["spec"]["containers"][0]["resources"] = cpu("1"));
    world.converge();
    world
}

fn resize(world: &mut World, size: &str) {
    world.edit(|spec| spec["template"]["spec"]["containers"][0]["resources"] = cpu(size));
}

fn sizes(world: &World) -> Vec<String> {
    let cpu = |pod: &Value| {
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str().unwrap().to_owned()
    };
    world.pods.values().map(cpu).collect()
}

fn says(world: &mut World, code: Code) {
    let plan = world.settle();
    assert!(World::codes(&plan).contains(&code), "{code}: {plan}");
}

#[test]
fn inplace_i10_sizes_go_up_and_down_without_gate_restart_or_budget() {
    let mut world = world(3, &json!({"gracePeriodSeconds": 30}));
    for size in ["2", "500m"] {
        let mark = world.writes.len();
        resize(&mut world, size);
        let plan = live(&mut world, &ordinals(3), 0);
        assert_eq!(sizes(&world), [size; 3]);
        assert_eq!(plan.status.updated_ready_replicas, 3);
        assert_eq!((count(&world, mark, " CloseGate"), count(&world, mark, " Resize")), (0, 3));
        assert_eq!(writes_of(&world, mark, "game-0").len(), 2);
        assert_eq!(restarts(&world.pods["game-0"])["center"], 0);
    }
}

#[test]
fn inplace_i10_a_size_without_room_waits_and_can_be_taken_back() {
    for (answer, code) in [("Deferred", Code::ResizeDeferred), ("Infeasible", Code::ResizeInfeasible)] {
        let mut world = world(2, &json!({}));
        world.machines.no_room = Some(answer);
        resize(&mut world, "8");
        world.settle();
        says(&mut world, Code::ResizePending);
        world.kubelets();
        says(&mut world, code);
        // It serves as it is.
        assert_eq!(world.unavailable(&ordinals(2)), 0);
        world.machines.no_room = None;
        resize(&mut world, "1");
        let plan = live(&mut world, &ordinals(2), 0);
        assert_eq!(sizes(&world), ["1"; 2]);
        assert_eq!((plan.waits.len(), plan.status.updated_ready_replicas), (0, 2), "{plan}");
    }
}

#[test]
fn inplace_i10_room_that_comes_later_completes_the_update() {
    let mut world = world(2, &json!({}));
    world.machines.no_room = Some("Deferred");
    resize(&mut world, "2");
    world.settle();
    world.kubelets();
    says(&mut world, Code::ResizeDeferred);
    world.machines.no_room = None;
    assert_eq!(live(&mut world, &ordinals(2), 0).status.updated_ready_replicas, 2);
}

#[test]
fn inplace_i10_where_told_so_a_pod_without_room_is_replaced_within_the_budget() {
    let mut world = world(3, &json!({"onResizeDeferred": "Recreate"}));
    let uids = world.uids();
    world.machines.no_room = Some("Infeasible");
    resize(&mut world, "8");
    let plan = live(&mut world, &ordinals(3), 1);
    assert_eq!(plan.status.updated_ready_replicas, 3);
    assert!(world.uids().values().all(|uid| uids.values().all(|old| old != uid)));
}

#[test]
fn inplace_i10_another_class_of_service_is_refused() {
    let mut world = world(1, &json!({}));
    let mark = world.writes.len();
    world.edit(|spec| {
        spec["template"]["spec"]["containers"][0]["resources"] =
            json!({"limits": {"cpu": 1, "memory": "1Gi"}});
    });
    let plan = world.converge();
    assert_eq!(world.writes_since(mark), Vec::<&str>::new());
    let wait = plan.waits.iter().find(|wait| wait.reason.code == Code::UpdateRefused).unwrap();
    assert!(wait.reason.message.contains("from Burstable to Guaranteed"), "{wait}");
}

#[test]
fn inplace_i10_a_size_that_restarts_its_container_goes_by_the_gate() {
    let mut world = world(2, &json!({"gracePeriodSeconds": 5}));
    world.edit(|spec| spec["replicas"] = json!(0));
    world.converge();
    world.edit(|spec| {
        spec["replicas"] = json!(2);
        spec["template"]["spec"]["containers"][0]["resizePolicy"] =
            json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    });
    world.converge();
    let mark = world.writes.len();
    resize(&mut world, "2");
    let plan = live(&mut world, &ordinals(2), 1);
    assert_eq!(plan.status.updated_ready_replicas, 2);
    assert_eq!(restarts(&world.pods["game-0"])["center"], 1);
    let writes = writes_of(&world, mark, "game-0");
    let codes: Vec<&str> = writes.iter().map(|write| write.rsplit(' ').next().unwrap()).collect();
    assert_eq!(codes, ["CloseGate", "Resize", "UpdateInPlace", "OpenGate"]);
}

#[test]
fn inplace_i11_the_size_changes_before_the_image() {
    let mut world = world(2, &json!({"gracePeriodSeconds": 5}));
    let mark = world.writes.len();
    world.edit(|spec| {
        spec["template"]["spec"]["containers"][0]["image"] = json!("game:2");
        spec["template"]["spec"]["containers"][0]["resources"] = cpu("2");
    });
    let plan = live(&mut world, &ordinals(2), 1);
    assert_eq!(plan.status.updated_ready_replicas, 2);
    for pod in ["game-0", "game-1"] {
        let writes = writes_of(&world, mark, pod);
        let codes: Vec<&str> = writes.iter().map(|write| write.rsplit(' ').next().unwrap()).collect();
        assert_eq!(codes, ["Resize", "CloseGate", "UpdateInPlace", "OpenGate"]);
        assert_eq!(restarts(&world.pods[pod])["center"], 1);
    }
}

#[test]
fn inplace_i11_a_size_that_cannot_be_had_keeps_the_image_from_changing() {
    let mut world = world(2, &json!({}));
    world.machines.no_room = Some("Infeasible");
    world.edit(|spec| {
        spec["template"]["spec"]["containers"][0]["image"] = json!("game:2");
        spec["template"]["spec"]["containers"][0]["resources"] = cpu("64");
    });
    for _ in 0..10 {
        world.settle();
        world.kubelets();
        assert_eq!(world.unavailable(&ordinals(2)), 0);
    }
    says(&mut world, Code::ResizeInfeasible);
    assert_eq!(world.images(), ["game:1"; 2]);
    // Back to where it was, also in size.
    world.machines.no_room = None;
    world.edit(|spec| {
        spec["template"]["spec"]["containers"][0]["image"] = json!("game:1");
        spec["template"]["spec"]["containers"][0]["resources"] = cpu("1");
    });
    live(&mut world, &ordinals(2), 0);
    assert_eq!(sizes(&world), ["1"; 2]);
}

#[test]
fn what_admission_filled_in_is_left_alone() {
    let mut world = world(2, &json!({}));
    for pod in world.pods.values_mut() {
        pod["spec"]["containers"][0]["resources"]["limits"] = json!({"cpu": "4"});
    }
    let mark = world.writes.len();
    live(&mut world, &ordinals(2), 0);
    assert_eq!(world.writes_since(mark), Vec::<&str>::new());
    resize(&mut world, "2");
    let plan = live(&mut world, &ordinals(2), 0);
    assert_eq!(plan.status.updated_ready_replicas, 2);
    assert_eq!(world.pods["game-0"]["spec"]["containers"][0]["resources"]["limits"], json!({"cpu": "4"}));
}

#[test]
fn inplace_i10_a_size_that_somebody_else_set_is_left_alone() {
    let mut world = World::new(2, "Parallel", &json!({"type": "InplaceUpdate"}));
    world.machines.count = 2;
    // The first revision says nothing of CPU.
    world.edit(|spec| {
        spec["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"memory": "1Gi"}});
    });
    world.converge();
    resize(&mut world, "1");
    world.converge();
    assert_eq!(sizes(&world), ["1"; 2]);
    for pod in world.pods.values_mut() {
        pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("3");
    }
    let mark = world.writes.len();
    world.settle();
    assert_eq!(world.writes_since(mark), [""; 0]);
    assert_eq!(sizes(&world), ["3"; 2]);
}
