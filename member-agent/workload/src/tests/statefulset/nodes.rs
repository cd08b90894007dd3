//! Nodes that are lost: at most one live pod for each ordinal.

use serde_json::json;

use super::{POLICIES, pods};
use crate::Code;
use crate::tests::simulator::World;

fn world(policy: &str, force: bool) -> World {
    let mut world = World::new(3, policy, &json!({"type": "RollingUpdate"}));
    world.add_nodes(3);
    if force {
        world.edit(|spec| {
            spec["template"]["metadata"]["annotations"] =
                json!({"pod.gamestatefulset.bkbcs.tencent.com/node-lost-force-delete": "true"});
        });
    }
    world.converge();
    world
}

#[test]
fn sts_c25_the_ordinal_of_a_pod_on_a_lost_node_stays_empty() {
    for policy in POLICIES {
        let mut world = world(policy, false);
        let node = world.node_of("game-1");
        world.lose_node(&node, true);
        world.delete("game-1");
        let mark = world.writes.len();
        world.pass(3600);
        let plan = world.converge();
        assert_eq!(world.writes_since(mark), [""; 0], "{policy}");
        let wait = plan.waits.iter().find(|wait| wait.reason.code == Code::NodeLost).unwrap();
        assert_eq!(wait.pod.as_ref().unwrap().as_str(), "game-1");
        assert!(wait.reason.message.contains(&node), "{}", wait.reason.message);
        // The node comes back and ends the pod.
        world.lose_node(&node, false);
        world.converge();
        assert_eq!(pods(&world, mark, "create"), ["game-1"]);
        assert_eq!(pods(&world, mark, "force"), [""; 0]);
    }
}

#[test]
fn sts_c25_a_pod_that_may_be_is_removed_for_good_when_its_node_is_lost_and_only_then() {
    for policy in POLICIES {
        let mut world = world(policy, true);
        let node = world.node_of("game-1");
        // Not for a pod that nobody deletes, nor on a node that answers.
        world.lose_node(&node, true);
        let mark = world.writes.len();
        world.converge();
        assert_eq!(world.writes_since(mark), [""; 0]);
        world.delete("game-0");
        world.settle();
        assert!(world.writes_since(mark).iter().all(|write| !write.starts_with("force")), "{policy}");
        world.converge();
        world.delete("game-1");
        let mark = world.writes.len();
        // The node that takes the new pod answers.
        world.settle();
        assert_eq!(world.writes_since(mark)[0], "force delete pod game-1 ForceDelete", "{policy}");
        assert_eq!(pods(&world, mark, "create"), ["game-1"], "{policy}");
    }
}

#[test]
fn sts_c25_a_node_that_is_not_known_and_one_that_says_no_are_not_lost_for_certain() {
    for (policy, gone) in POLICIES.into_iter().zip([true, false]) {
        let mut world = world(policy, true);
        let node = world.node_of("game-2");
        if gone {
            world.nodes.remove(&node);
        } else {
            world.nodes.get_mut(&node).unwrap().ready = Some(false);
        }
        world.delete("game-2");
        let mark = world.writes.len();
        let plan = world.settle();
        assert_eq!(world.writes_since(mark), [""; 0]);
        let code = if gone { Code::NodeLost } else { Code::PodTerminating };
        assert!(World::codes(&plan).contains(&code), "{plan}");
    }
}

/// What only finalizers hold is not deleted again and again.
#[test]
fn sts_c25_a_pod_that_was_forced_and_is_held_by_finalizers_is_not_written_again() {
    let mut world = world("Parallel", true);
    let node = world.node_of("game-1");
    world.lose_node(&node, true);
    world.delete("game-1");
    world.pods.get_mut("game-1").unwrap()["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    let mark = world.writes.len();
    let plan = world.converge();
    assert_eq!(world.writes_since(mark), [""; 0]);
    assert!(World::codes(&plan).contains(&Code::PodTerminating), "{plan}");
}

#[test]
fn sts_c25_a_pod_that_is_not_ready_on_a_lost_node_says_so_and_stays() {
    for policy in POLICIES {
        let mut world = world(policy, false);
        let node = world.node_of("game-2");
        world.crash("game-2");
        world.lose_node(&node, true);
        let mark = world.writes.len();
        let plan = world.converge();
        assert_eq!(world.writes_since(mark), [""; 0]);
        assert!(World::codes(&plan).contains(&Code::NodeLost), "{plan}");
    }
}
