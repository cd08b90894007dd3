//! Creating pods and taking them away.

use serde_json::{Value, json};

use super::{POLICIES, matrix, pods, set};
use crate::tests::simulator::World;
use crate::{Code, Plan};

fn names(ordinals: impl Iterator<Item = u32>) -> Vec<String> {
    ordinals.map(|ordinal| format!("game-{ordinal}")).collect()
}

fn counters(plan: &Plan) -> (i64, i64, i64, i64) {
    let status = &plan.status;
    (status.replicas, status.ready_replicas, status.updated_replicas, status.available_replicas)
}

#[test]
fn sts_c1_creates_pods_with_their_index() {
    matrix(|life| {
        let plan = life.run();
        assert_eq!(counters(&plan), (3, 3, 3, 3), "{}", life.name);
        let mut created = life.pods(0, "create");
        if !life.ordered() {
            created.sort();
        }
        assert_eq!(created, names(0..3), "{}", life.name);
        for (name, pod) in &life.world.pods {
            let index = &pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"];
            assert_eq!(json!(name), json!(format!("game-{}", index.as_str().unwrap())));
        }
    });
}

#[test]
fn sts_c2_scales_up() {
    matrix(|life| {
        life.run();
        let mark = life.world.writes.len();
        let plan = life.edit(|spec| spec["replicas"] = json!(4));
        assert_eq!(counters(&plan), (4, 4, 4, 4), "{}", life.name);
        assert_eq!(life.pods(mark, "create"), ["game-3"], "{}", life.name);
        assert_eq!(life.pods(mark, "delete"), [""; 0], "{}", life.name);
    });
}

#[test]
fn sts_c3_scales_down_from_the_top() {
    matrix(|life| {
        life.run();
        let mark = life.world.writes.len();
        let plan = life.edit(|spec| spec["replicas"] = json!(0));
        assert_eq!(counters(&plan), (0, 0, 0, 0), "{}", life.name);
        let mut deleted = life.pods(mark, "delete");
        if !life.ordered() {
            deleted.sort_by(|a, b| b.cmp(a));
        }
        assert_eq!(deleted, names((0..3).rev()), "{}", life.name);
        let scaled = life.world.set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Delete";
        assert_eq!(life.world.claims.len(), if scaled { 0 } else { 3 }, "{}", life.name);
    });
}

#[test]
fn sts_c3_the_status_tells_who_still_drains() {
    for policy in POLICIES {
        let mut world = World::new(5, policy, &json!({"type": "RollingUpdate"}));
        world.converge();
        world.edit(|spec| spec["replicas"] = json!(2));
        let plan = world.settle();
        let down = plan.status.scale_down.unwrap();
        assert_eq!(down.requested, 2);
        assert_eq!(down.draining, ["game-4", "game-3", "game-2"]);
        assert!(down.reason.contains("game-4: PodTerminating"), "{}", down.reason);
        assert_eq!((plan.status.replicas, plan.status.draining_replicas), (2, 3));
        assert_eq!(world.converge().status.scale_down, None);
    }
}

/// A scale-down is taken back: pods whose deletion has not begun stay.
#[test]
fn sts_c3_a_scale_down_that_is_taken_back_keeps_who_is_still_there() {
    matrix(|life| {
        life.edit(|spec| spec["replicas"] = json!(6));
        let before = life.world.uids();
        life.world.edit(|spec| spec["replicas"] = json!(1));
        for _ in 0..4 {
            life.step();
        }
        let begun: Vec<String> = life
            .world
            .pods
            .iter()
            .filter(|(_, pod)| pod["metadata"]["deletionTimestamp"].is_string())
            .map(|(name, _)| name.clone())
            .chain(before.keys().filter(|name| !life.world.pods.contains_key(*name)).cloned())
            .collect();
        let plan = life.edit(|spec| spec["replicas"] = json!(6));
        assert_eq!(counters(&plan), (6, 6, 6, 6), "{}", life.name);
        let after = life.world.uids();
        for (name, uid) in &before {
            assert_eq!(after[name] != *uid, begun.contains(name), "{}: {name}", life.name);
        }
    });
}

#[test]
fn sts_c10_a_refused_deletion_is_told_and_tried_again() {
    matrix(|life| {
        life.run();
        life.world.refused.insert("delete pod game-2".into(), 3);
        life.world.edit(|spec| spec["replicas"] = json!(0));
        // The claims get their owners first, where the policy wants some.
        for _ in 0..3 {
            life.act(usize::MAX);
        }
        let plan = life.world.plan();
        let refused = plan.waits.iter().find(|wait| wait.reason.code == Code::WriteRefused);
        assert!(refused.is_some(), "{}: {plan}", life.name);
        let plan = life.run();
        assert_eq!(counters(&plan), (0, 0, 0, 0), "{}", life.name);
        assert!(life.world.refused.values().all(|left| *left == 0));
    });
}

/// How many plans it takes to write all there is to write, and the most steps of one.
fn rounds(world: &mut World) -> (usize, usize) {
    let (mut rounds, mut most) = (0, 0);
    loop {
        let plan = world.plan();
        world.record(&plan);
        if plan.steps.is_empty() {
            return (rounds, most);
        }
        rounds += 1;
        most = most.max(plan.steps.len());
        for step in &plan.steps {
            world.apply(step);
        }
    }
}

#[test]
fn sts_c19_parallel_scales_at_once_and_within_bounds() {
    for (from, to) in [(3, 30), (10, 1), (501, 0), (0, 1000)] {
        let mut world = set(from, "Parallel", &Value::Null);
        // StatefulSet writes no gates.
        world.edit(|spec| spec["disableReadinessGate"] = json!(true));
        world.converge();
        let mark = world.writes.len();
        world.edit(|spec| spec["replicas"] = json!(to));
        let (rounds, most) = rounds(&mut world);
        assert!(rounds <= 2, "{from} to {to}: {rounds} plans");
        assert!(most <= 500, "{from} to {to}: {most} writes in one plan");
        let (created, deleted) = (pods(&world, mark, "create").len(), pods(&world, mark, "delete").len());
        assert_eq!((created as i64, deleted as i64), ((to - from).max(0), (from - to).max(0)));
    }
}

#[test]
fn sts_c20_ready_counts_after_min_ready_seconds() {
    for policy in POLICIES {
        let mut world = World::new(2, policy, &json!({"type": "RollingUpdate"}));
        world.edit(|spec| spec["minReadySeconds"] = json!(30));
        world.settle();
        world.kubelets();
        let plan = world.settle();
        world.kubelets();
        let plan = {
            drop(plan);
            world.settle()
        };
        assert!(World::codes(&plan).contains(&Code::NotYetAvailable), "{plan}");
        assert_eq!(plan.status.available_replicas, 0);
        assert!(plan.status.ready_replicas > 0);
        assert_eq!(plan.recheck_after.map(|after| after.as_secs()), Some(30));
        assert_eq!(world.ordinals().len(), if policy == "OrderedReady" { 1 } else { 2 });
        world.pass(29);
        let plan = world.settle();
        assert_eq!(plan.status.available_replicas, 0);
        world.pass(1);
        let plan = world.settle();
        assert!(plan.status.available_replicas > 0);
        let plan = world.converge();
        assert_eq!(counters(&plan), (2, 2, 2, 2));
    }
}

#[test]
fn sts_c20_ordered_scale_down_respects_min_ready_seconds() {
    let mut world = World::new(3, "OrderedReady", &json!({"type": "RollingUpdate"}));
    world.edit(|spec| spec["minReadySeconds"] = json!(30));
    world.converge();
    // The last two are ready and not available yet: the earlier one is the first that is not.
    world.crash("game-1");
    world.crash("game-2");
    world.kubelets();
    world.edit(|spec| spec["replicas"] = json!(1));
    let plan = world.settle();
    assert_eq!(pods(&world, 0, "delete"), [""; 0], "{plan}");
    world.pass(30);
    world.settle();
    assert_eq!(pods(&world, 0, "delete"), ["game-2"]);
    world.converge();
    assert_eq!(world.ordinals(), [0]);
}

#[test]
fn sts_c20_a_new_set_fills_in_batches_and_an_old_one_does_not() {
    let mut world = World::new(10, "Parallel", &json!({"type": "RollingUpdate"}));
    world.edit(|spec| spec["scaleStrategy"] = json!({"createBatch": "30%"}));
    let plan = world.settle();
    assert_eq!(world.ordinals(), [0, 1, 2]);
    assert!(World::codes(&plan).contains(&Code::CreateBatch), "{plan}");
    assert_eq!(plan.status.filling_replicas, Some(3));
    // One of the batch is not ready: the next one waits, also over a loss of all but the status.
    for pod in ["game-0", "game-2"] {
        while world.kubelet(pod) {}
        world.settle();
        while world.kubelet(pod) {}
    }
    world.settle();
    assert_eq!(world.ordinals(), [0, 1, 2]);
    while world.kubelet("game-1") {}
    world.settle();
    while world.kubelet("game-1") {}
    world.settle();
    assert_eq!(world.ordinals(), [0, 1, 2, 3, 4, 5]);
    let plan = world.converge();
    assert_eq!(world.ordinals().len(), 10);
    assert_eq!(plan.status.filling_replicas, None);
    // It is not new any more.
    for ordinal in 2..10 {
        world.delete(&format!("game-{ordinal}"));
    }
    world.kubelets();
    world.settle();
    assert_eq!(world.ordinals().len(), 10);
    world.edit(|spec| spec["replicas"] = json!(20));
    world.settle();
    assert_eq!(world.ordinals().len(), 20);
}

#[test]
fn sts_c20_a_set_that_was_there_before_batches_were_is_not_new() {
    let mut world = World::new(10, "Parallel", &json!({"type": "RollingUpdate"}));
    world.converge();
    world.edit(|spec| spec["scaleStrategy"] = json!({"createBatch": 2}));
    for ordinal in 0..10 {
        world.delete(&format!("game-{ordinal}"));
    }
    world.kubelets();
    world.settle();
    assert_eq!(world.ordinals().len(), 10);
}

#[test]
fn sts_c3_an_ordered_scale_down_halts_while_several_pods_are_not_ready() {
    let mut world = World::new(3, "Parallel", &json!({"type": "RollingUpdate"}));
    world.edit(|spec| {
        spec["template"]["spec"]["containers"] = json!([{"name": "center", "image": "game:broken"}]);
    });
    world.converge();
    world.edit(|spec| {
        spec["podManagementPolicy"] = json!("OrderedReady");
        spec["replicas"] = json!(0);
    });
    let plan = world.converge();
    assert_eq!(world.ordinals(), [0, 1, 2]);
    assert_eq!(World::codes(&plan), [Code::OrderedReady].into(), "{plan}");
    // Somebody who deletes the first one lets the others go.
    world.delete("game-0");
    world.delete("game-1");
    world.converge();
    assert_eq!(world.ordinals(), [0_u32; 0]);
}
