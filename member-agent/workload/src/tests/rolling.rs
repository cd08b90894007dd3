//! Rolling updates as StatefulSet makes them, with the budget held against every step.

use serde_json::{Value, json};

use super::inplace_suite::ordinals;
use super::lives::live;
use super::simulator::World;

fn world(replicas: i64, policy: &str, bounds: &Value) -> World {
    let mut world = World::new(replicas, policy, &json!({"type": "RollingUpdate", "rollingUpdate": bounds}));
    world.converge();
    world
}

/// Ordinals in the order in which their pods were deleted.
fn deleted(world: &World, mark: usize) -> Vec<u32> {
    let deleted = world.writes[mark..].iter().filter_map(|write| write.strip_prefix("delete pod game-"));
    deleted.map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect()
}

/// Waves: how many pods are deleted at once.
fn waves(world: &mut World) -> Vec<usize> {
    let mut waves = Vec::new();
    for _ in 0..200 {
        let plan = world.plan();
        let deletions = plan.steps.iter().filter(|step| step.action.title().starts_with("delete")).count();
        if deletions > 0 {
            waves.push(deletions);
        }
        plan.steps.iter().for_each(|step| assert!(world.apply(step), "{step}"));
        world.record(&plan);
        world.kubelets();
    }
    waves
}

#[test]
fn sts_c12_an_image_alone_and_with_a_change_of_replicas() {
    for (policy, budget) in [("OrderedReady", 1), ("Parallel", 1)] {
        for replicas in [4, 6, 2] {
            let mut world = world(4, policy, &json!({}));
            let mark = world.writes.len();
            world.edit(|spec| {
                spec["replicas"] = json!(replicas);
                spec["template"]["spec"]["containers"][0]["image"] = json!("game:2");
            });
            // Ordinals that are new were never there.
            let lasting = replicas.min(4);
            live(&mut world, &ordinals(lasting), budget + usize::try_from(replicas - lasting).unwrap());
            assert_eq!(world.images(), vec!["game:2"; replicas as usize]);
            let updated: Vec<u32> =
                deleted(&world, mark).into_iter().filter(|ordinal| *ordinal < lasting).collect();
            let downwards: Vec<u32> = (0..lasting).rev().collect();
            assert_eq!(updated, downwards, "{policy} {replicas}");
        }
    }
}

#[test]
fn sts_c13_no_more_pods_at_once_than_max_unavailable() {
    let of = |policy: &str, bounds: &Value| {
        let mut world = world(6, policy, bounds);
        world.set_image("game:2");
        waves(&mut world)
    };
    assert_eq!(of("Parallel", &json!({"maxUnavailable": 2})), [2, 2, 2]);
    assert_eq!(of("Parallel", &json!({"maxUnavailable": "50%"})), [3, 3]);
    assert_eq!(of("Parallel", &json!({"maxUnavailable": "34%"})), [3, 3]);
    assert_eq!(of("Parallel", &json!({"maxUnavailable": 4, "partition": 3})), [3]);
    assert_eq!(of("OrderedReady", &json!({"maxUnavailable": 2})), [2, 2, 2]);
    assert_eq!(of("OrderedReady", &json!({})), [1; 6]);
}

#[test]
fn sts_c14_an_unavailable_stale_pod_does_not_hold_up_its_own_replacement() {
    for bounds in [json!({"maxUnavailable": 1}), json!({"maxUnavailable": 2})] {
        let budget = usize::try_from(bounds["maxUnavailable"].as_u64().unwrap()).unwrap();
        let mut world = world(4, "Parallel", &bounds);
        // Two of the old revision crash: as many as the budget or more.
        for pod in ["game-0", "game-2"] {
            let pod = world.pods.get_mut(pod).unwrap();
            pod["status"]["containerStatuses"][0]["state"] =
                json!({"waiting": {"reason": "CrashLoopBackOff"}});
            pod["status"]["containerStatuses"][0]["ready"] = json!(false);
            pod["status"]["conditions"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .find(|condition| condition["type"] == "Ready")
                .unwrap()["status"] = json!("False");
        }
        let mark = world.writes.len();
        world.set_image("game:2");
        let plan = live(&mut world, &ordinals(4), budget);
        assert_eq!(plan.status.updated_ready_replicas, 4);
        let order = deleted(&world, mark);
        assert_eq!(order[..2], [2, 0], "those that are down go first: {order:?}");
    }
}

#[test]
fn sts_c14_an_order_is_kept_strictly() {
    let mut world = world(4, "OrderedReady", &json!({}));
    let pod = world.pods.get_mut("game-2").unwrap();
    pod["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    pod["status"]["containerStatuses"][0]["ready"] = json!(false);
    let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
    conditions.iter_mut().find(|condition| condition["type"] == "Ready").unwrap()["status"] = json!("False");
    let mark = world.writes.len();
    world.set_image("game:2");
    world.settle();
    // The one that is down is replaced, and until its successor is ready no other is touched.
    assert_eq!(deleted(&world, mark), [2]);
    live(&mut world, &ordinals(4), 1);
    assert_eq!(deleted(&world, mark), [2, 3, 1, 0]);
}
