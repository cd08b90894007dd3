//! The acceptance suite of updates in place, by its numbers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::kubelets::restarts;
use super::lives::{count, live, live_with, writes_of};
use super::simulator::World;
use crate::Code;

/// A set on two nodes, of pods with a game, a log shipper and a native sidecar.
pub(super) fn world(replicas: i64, options: Value) -> World {
    let mut strategy = json!({"type": "InplaceUpdate", "rollingUpdate": {"maxUnavailable": 2}});
    strategy["inPlaceUpdateStrategy"] = options;
    let mut world = World::new(replicas, "Parallel", &strategy);
    world.machines.count = 2;
    world.edit(|spec| {
        let pod = &mut spec["template"]["spec"];
        pod["containers"].as_array_mut().unwrap().push(json!({"name": "log", "image": "log:1"}));
        pod["initContainers"] = json!([{"name": "mesh", "image": "mesh:1", "restartPolicy": "Always"}]);
    });
    world.converge();
    world
}

pub(super) fn ordinals(replicas: u32) -> Vec<u32> {
    (0..replicas).collect()
}

fn restarted(center: i64, log: i64, mesh: i64) -> BTreeMap<String, i64> {
    BTreeMap::from([("center".into(), center), ("log".into(), log), ("mesh".into(), mesh)])
}

fn pullers(world: &World) -> Vec<&String> {
    world.pods.keys().filter(|name| name.contains("-pull-")).collect()
}

#[test]
fn inplace_i1_one_image_restarts_one_container_and_keeps_all_else() {
    let mut world = world(4, json!({}));
    let (uids, mark) = (world.uids(), world.writes.len());
    let nodes = |world: &World| -> Vec<Value> {
        world.pods.values().map(|pod| pod["spec"]["nodeName"].clone()).collect()
    };
    let before = nodes(&world);
    world.set_image("game:2");
    let plan = live(&mut world, &ordinals(4), 2);
    assert_eq!((world.uids(), nodes(&world)), (uids.clone(), before));
    assert_eq!(plan.status.updated_ready_replicas, 4);
    for pod in uids.keys() {
        assert_eq!(restarts(&world.pods[pod]), restarted(1, 0, 0));
        assert_eq!(writes_of(&world, mark, pod).len(), 3, "{:?}", world.writes_since(mark));
    }
    // The image was pulled once on each node, and nothing of that is left.
    assert_eq!((count(&world, mark, "PullImage"), count(&world, mark, "RemovePuller")), (2, 2));
    assert_eq!(world.pods.len(), 4);
}

#[test]
fn inplace_i3_a_native_sidecar_changes_in_place() {
    let mut world = world(2, json!({}));
    world.edit(|spec| spec["template"]["spec"]["initContainers"][0]["image"] = json!("mesh:2"));
    let plan = live(&mut world, &ordinals(2), 2);
    assert_eq!(plan.status.updated_ready_replicas, 2);
    assert_eq!(restarts(&world.pods["game-1"]), restarted(0, 0, 1));
    assert_eq!(world.pods["game-1"]["spec"]["initContainers"][0]["image"], "mesh:2");
}

#[test]
fn inplace_i4_another_tag_of_the_same_digest_completes() {
    let mut world = world(2, json!({}));
    world.set_image("game:1-other");
    let plan = live(&mut world, &ordinals(2), 2);
    assert_eq!(plan.status.updated_ready_replicas, 2);
    assert_eq!(restarts(&world.pods["game-0"]), restarted(1, 0, 0));
}

#[test]
fn inplace_i5_a_tag_that_does_not_exist_costs_no_server() {
    let mut world = world(4, json!({}));
    let mark = world.writes.len();
    world.machines.missing.insert("game:nope".into());
    world.set_image("game:nope");
    for _ in 0..20 {
        world.settle();
        world.kubelets();
        assert_eq!(world.unavailable(&ordinals(4)), 0);
        world.pass(10);
    }
    let plan = world.settle();
    // One node tried, no pod was written.
    assert_eq!(count(&world, mark, "PullImage"), 1);
    assert!((0..4).all(|ordinal| writes_of(&world, mark, &format!("game-{ordinal}")).is_empty()));
    let said = |code| plan.waits.iter().find(|wait| wait.reason.code == code).unwrap().to_string();
    assert!(said(Code::ImagePull).contains("game:nope: not found"), "{plan}");
    assert!(said(Code::ImagePulling).contains("first"), "{plan}");
    // Nothing got further for ten minutes, which is said once and stays so.
    world.pass(601);
    let plan = world.settle();
    let condition = plan.status.conditions.iter().find(|one| one.type_ == "Progressing").unwrap();
    assert_eq!(condition.reason.as_deref(), Some("ProgressDeadlineExceeded"));
    assert_eq!(condition.status, "False");
    let status = world.set["status"].clone();
    world.pass(60);
    world.settle();
    assert_eq!(world.set["status"], status);
    // A template that can run goes on.
    world.set_image("game:2");
    let plan = live(&mut world, &ordinals(4), 2);
    assert_eq!(plan.status.updated_ready_replicas, 4);
    assert_eq!(pullers(&world), Vec::<&String>::new());
}

#[test]
fn inplace_i6_an_update_taken_back_before_anything_was_touched_leaves_nothing() {
    let mut world = world(2, json!({"gracePeriodSeconds": 30}));
    let mark = world.writes.len();
    world.set_image("game:2");
    world.settle();
    assert_eq!(pullers(&world).len(), 1);
    world.set_image("game:1");
    live(&mut world, &ordinals(2), 2);
    assert_eq!(pullers(&world), Vec::<&String>::new());
    assert!(writes_of(&world, mark, "game-0").is_empty());
    // And during the grace.
    world.set_image("game:2");
    world.settle();
    world.kubelets();
    world.settle();
    assert_eq!(world.unavailable(&ordinals(2)), 1);
    world.set_image("game:1");
    let plan = live(&mut world, &ordinals(2), 2);
    assert_eq!(plan.status.ready_replicas, 2);
    assert_eq!(restarts(&world.pods["game-1"]), restarted(0, 0, 0));
}

#[test]
fn inplace_i7_an_update_taken_back_while_its_image_is_pulled_comes_back() {
    let mut world = world(2, json!({"prePull": {"enabled": false}}));
    world.machines.missing.insert("game:nope".into());
    world.set_image("game:nope");
    world.settle();
    world.kubelets();
    let plan = world.settle();
    assert!(World::codes(&plan).contains(&Code::ImagePull), "{plan}");
    assert!(World::codes(&plan).contains(&Code::FirstPod), "{plan}");
    assert_eq!(world.unavailable(&ordinals(2)), 1);
    world.set_image("game:1");
    let plan = live(&mut world, &ordinals(2), 2);
    assert_eq!(plan.status.ready_replicas, 2);
}

#[test]
fn inplace_i8_three_edits_patch_each_pod_once() {
    let mut world = world(4, json!({"gracePeriodSeconds": 10}));
    let mark = world.writes.len();
    for image in ["game:2", "game:3", "game:4"] {
        world.set_image(image);
        for _ in 0..2 {
            world.settle();
            world.kubelets();
            world.pass(1);
        }
    }
    live(&mut world, &ordinals(4), 2);
    assert_eq!(world.images(), ["game:4"; 4]);
    for pod in ["game-0", "game-1", "game-2", "game-3"] {
        assert_eq!(restarts(&world.pods[pod]), restarted(1, 0, 0), "{:?}", world.writes_since(mark));
    }
}

#[test]
fn inplace_i9_labels_change_without_leaving_traffic_unless_a_container_reads_them() {
    let mut world = world(3, json!({"gracePeriodSeconds": 30}));
    let mark = world.writes.len();
    world.edit(|spec| spec["template"]["metadata"]["labels"]["season"] = json!("2"));
    live(&mut world, &ordinals(3), 0);
    assert_eq!(writes_of(&world, mark, "game-0").len(), 1);
    assert_eq!(world.pods["game-0"]["metadata"]["labels"]["season"], "2");

    let env = json!([{"name": "S", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['season']"}}}]);
    let mut world = World::new(1, "Parallel", &json!({"type": "InplaceUpdate"}));
    world.edit(|spec| spec["template"]["spec"]["containers"][0]["env"] = env);
    world.converge();
    let mark = world.writes.len();
    world.edit(|spec| spec["template"]["metadata"]["labels"]["season"] = json!("2"));
    let plan = world.converge();
    assert_eq!(world.writes_since(mark), Vec::<&str>::new());
    assert!(World::codes(&plan).contains(&Code::UpdateRefused), "{plan}");
}

#[test]
fn inplace_i12_a_mixed_change_is_refused_in_place_and_recreates_otherwise() {
    let mut world = world(2, json!({}));
    let (uids, mark) = (world.uids(), world.writes.len());
    world.edit(|spec| {
        spec["template"]["spec"]["containers"][0]["image"] = json!("game:2");
        spec["template"]["spec"]["hostNetwork"] = json!(true);
    });
    let plan = world.converge();
    assert_eq!(world.writes_since(mark), Vec::<&str>::new());
    assert!(World::codes(&plan).contains(&Code::UpdateRefused), "{plan}");
    world.edit(|spec| spec["updateStrategy"]["type"] = json!("RollingUpdate"));
    live(&mut world, &ordinals(2), 2);
    assert!(world.uids().values().all(|uid| uids.values().all(|old| old != uid)));
}

#[test]
fn inplace_i13_the_grace_is_kept_to_the_second() {
    let mut world = world(1, json!({"gracePeriodSeconds": 7}));
    world.set_image("game:2");
    world.settle();
    world.kubelets();
    let plan = world.settle();
    assert_eq!(plan.recheck_after, Some(std::time::Duration::from_secs(7)), "{plan}");
    world.pass(6);
    world.settle();
    assert_eq!(world.images(), ["game:1"]);
    world.pass(1);
    world.settle();
    assert_eq!(world.images(), ["game:2"]);
}

#[test]
fn inplace_i14_helpers_change_without_gate_and_grace() {
    let mut world = world(4, json!({"gracePeriodSeconds": 30, "helperContainers": ["log"]}));
    let mark = world.writes.len();
    let start = world.now;
    world.edit(|spec| spec["template"]["spec"]["containers"][1]["image"] = json!("log:2"));
    // A helper that restarts may keep its pod from being ready: no more of them at once than the budget.
    let plan = live(&mut world, &ordinals(4), 2);
    assert_eq!(plan.status.updated_ready_replicas, 4);
    assert_eq!((count(&world, mark, "CloseGate"), count(&world, mark, "OpenGate")), (0, 0));
    assert_eq!(count(&world, mark, "EndHelp"), 4);
    assert_eq!(writes_of(&world, mark, "game-0").len(), 2);
    assert_eq!(world.now, start);
    assert_eq!(restarts(&world.pods["game-0"]), restarted(0, 1, 0));
    // Together with the game it goes the way of the game.
    world.edit(|spec| {
        spec["template"]["spec"]["containers"][0]["image"] = json!("game:2");
        spec["template"]["spec"]["containers"][1]["image"] = json!("log:3");
    });
    let mark = world.writes.len();
    live(&mut world, &ordinals(4), 2);
    assert_eq!((count(&world, mark, "CloseGate"), count(&world, mark, "EndHelp")), (4, 0));
}

#[test]
fn inplace_i14_a_helper_that_fails_is_put_right_by_the_next_template() {
    let mut world = world(2, json!({"helperContainers": ["log"]}));
    world.edit(|spec| spec["template"]["spec"]["containers"][1]["image"] = json!("log:crash"));
    world.settle();
    world.kubelets();
    world.settle();
    world.kubelets();
    let plan = world.settle();
    assert!(World::codes(&plan).contains(&Code::CrashLoop), "{plan}");
    assert!(World::codes(&plan).contains(&Code::FirstPod), "{plan}");
    world.edit(|spec| spec["template"]["spec"]["containers"][1]["image"] = json!("log:3"));
    let plan = live(&mut world, &ordinals(2), 2);
    assert_eq!(plan.status.updated_ready_replicas, 2);
}

#[test]
fn inplace_i15_the_partition_goes_both_ways() {
    let mut world = world(4, json!({}));
    let partition = |world: &mut World, partition: u32| {
        world.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(partition));
    };
    partition(&mut world, 3);
    world.set_image("game:2");
    live(&mut world, &ordinals(4), 2);
    assert_eq!(world.images(), ["game:1", "game:1", "game:1", "game:2"]);
    partition(&mut world, 1);
    live(&mut world, &ordinals(4), 2);
    assert_eq!(world.images(), ["game:1", "game:2", "game:2", "game:2"]);
    partition(&mut world, 2);
    live(&mut world, &ordinals(4), 2);
    assert_eq!(world.images(), ["game:1", "game:1", "game:2", "game:2"]);
}

#[test]
fn inplace_i16_a_pod_deleted_in_the_middle_comes_back_right() {
    let mut world = world(3, json!({"gracePeriodSeconds": 5}));
    world.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(1));
    world.set_image("game:2");
    world.settle();
    world.kubelets();
    world.settle();
    world.delete("game-2");
    world.delete("game-0");
    live(&mut world, &ordinals(3), 2);
    assert_eq!(world.images(), ["game:1", "game:2", "game:2"]);
}

#[test]
fn inplace_i17_a_restart_at_every_step_changes_nothing() {
    let run = |restarts: bool| {
        let mut world = world(4, json!({"gracePeriodSeconds": 5, "policy": "OrderedReady"}));
        let mark = world.writes.len();
        world.edit(|spec| {
            spec["template"]["spec"]["containers"][0]["image"] = json!("game:2");
            spec["template"]["spec"]["containers"][1]["image"] = json!("log:2");
        });
        live_with(&mut world, &ordinals(4), 2, |world| {
            if restarts {
                world.restart();
            }
        });
        world.writes[mark..].to_vec()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn inplace_i18_kubelets_that_do_not_say_what_they_saw_complete_too() {
    let mut world = World::new(2, "Parallel", &json!({"type": "InplaceUpdate"}));
    world.machines.observe = false;
    world.converge();
    world.set_image("game:2");
    let plan = live(&mut world, &ordinals(2), 1);
    assert_eq!(plan.status.updated_ready_replicas, 2);
    assert_eq!(world.images(), ["game:2"; 2]);
}

#[test]
fn inplace_i19_crashing_pods_are_patched_at_no_budget() {
    let mut world = world(4, json!({}));
    world.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = json!(1));
    world.edit(|spec| spec["replicas"] = json!(0));
    world.converge();
    world.set_image("game:crash");
    world.edit(|spec| spec["replicas"] = json!(4));
    world.settle();
    world.kubelets();
    world.settle();
    world.kubelets();
    assert_eq!(world.unavailable(&ordinals(4)), 4);
    let mark = world.writes.len();
    world.set_image("game:2");
    world.settle();
    world.settle();
    // Nothing of theirs runs that could be stopped: no pull comes first, and none waits for another.
    assert_eq!(count(&world, mark, "PullImage"), 0);
    assert_eq!(world.images(), ["game:2"; 4]);
    assert_eq!(live(&mut world, &ordinals(4), 4).status.ready_replicas, 4);
}

#[test]
fn the_first_pod_of_a_revision_goes_alone() {
    let mut world = world(4, json!({}));
    world.set_image("game:2-broken");
    for _ in 0..10 {
        world.settle();
        world.kubelets();
    }
    let plan = world.settle();
    assert_eq!(world.images(), ["game:1", "game:1", "game:1", "game:2-broken"]);
    let first = plan.waits.iter().filter(|wait| wait.reason.code == Code::FirstPod).count();
    assert_eq!(first, 3, "{plan}");
    world.set_image("game:3");
    let plan = live(&mut world, &ordinals(4), 2);
    assert_eq!(plan.status.updated_ready_replicas, 4);
}

#[test]
fn pullers_are_bounded_and_found_again() {
    for (parallelism, at_once) in [(1, 1), (10, 5)] {
        let mut world = world(6, json!({"prePull": {"parallelism": parallelism}}));
        for (name, pod) in &mut world.pods {
            pod["spec"]["nodeName"] = json!(format!("node-of-{name}"));
        }
        world.set_image("game:2");
        let mut most = 0;
        live_with(&mut world, &ordinals(6), 2, |world| {
            world.restart();
            let plan = world.plan();
            most = most.max(plan.steps.iter().filter(|step| step.reason.code == Code::PullImage).count());
        });
        // One node goes first; when it has the image, the others follow.
        assert_eq!(most, at_once);
        assert_eq!(world.images(), ["game:2"; 6]);
        assert_eq!(world.pods.len(), 6);
    }
}

#[test]
fn a_puller_that_ends_without_its_image_is_tried_again() {
    let mut world = world(1, json!({}));
    world.set_image("game:2");
    world.settle();
    let name = pullers(&world)[0].clone();
    insta::assert_json_snapshot!("puller", world.pods[&name]);
    world.pods.get_mut(&name).unwrap()["status"] = json!({"phase": "Failed", "reason": "OutOfpods"});
    let plan = world.settle();
    assert!(World::codes(&plan).contains(&Code::ImagePull), "{plan}");
    assert_eq!(plan.recheck_after, Some(std::time::Duration::from_mins(1)));
    assert_eq!(live(&mut world, &ordinals(1), 1).status.updated_ready_replicas, 1);
}

#[test]
fn tolerations_are_added_to_what_a_pod_has() {
    let mut world = world(2, json!({"gracePeriodSeconds": 30}));
    for pod in world.pods.values_mut() {
        pod["spec"]["tolerations"] = json!([
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "by-a-webhook", "operator": "Exists"},
        ]);
    }
    let mark = world.writes.len();
    world.edit(|spec| {
        spec["template"]["spec"]["tolerations"] = json!([{"key": "spot", "operator": "Exists"}]);
    });
    let plan = live(&mut world, &ordinals(2), 0);
    assert_eq!(plan.status.updated_ready_replicas, 2);
    assert_eq!(writes_of(&world, mark, "game-0").len(), 1);
    let wanted =
        json!([{"key": "by-a-webhook", "operator": "Exists"}, {"key": "spot", "operator": "Exists"}]);
    assert_eq!(world.pods["game-0"]["spec"]["tolerations"], wanted);
}

#[test]
fn a_set_at_rest_gets_no_write() {
    let mut world = world(3, json!({"helperContainers": ["log"], "policy": "OrderedReady"}));
    world.set_image("game:2");
    live(&mut world, &ordinals(3), 2);
    let (mark, status) = (world.writes.len(), world.set["status"].clone());
    world.restart();
    world.pass(86_400);
    let plan = world.plan();
    assert_eq!((plan.steps.len(), plan.waits.len(), plan.recheck_after), (0, 0, None), "{plan}");
    world.record(&plan);
    assert_eq!((world.writes_since(mark).len(), &world.set["status"]), (0, &status));
}
