//! Where new revisions go: OnDelete, partitions, and readiness in between.

use serde_json::json;

use super::{POLICIES, matrix, pods};
use crate::Code;
use crate::tests::simulator::World;

#[test]
fn sts_c15_on_delete_keeps_pods_and_gives_new_ones_the_new_revision() {
    matrix(|life| {
        life.world.edit(|spec| spec["updateStrategy"] = json!({"type": "OnDelete"}));
        life.run();
        let uids = life.world.uids();
        life.world.set_image("game:2");
        let plan = life.run();
        assert_eq!(life.world.uids(), uids, "{}", life.name);
        assert!(World::codes(&plan).contains(&Code::OnDelete), "{}: {plan}", life.name);
        life.edit(|spec| spec["replicas"] = json!(5));
        assert_eq!(life.world.images(), ["game:1", "game:1", "game:1", "game:2", "game:2"], "{}", life.name);
        life.edit(|spec| spec["replicas"] = json!(2));
        assert_eq!(life.world.images(), ["game:1", "game:1"], "{}", life.name);
        life.world.delete("game-0");
        life.run();
        assert_eq!(life.world.images(), ["game:2", "game:1"], "{}", life.name);
        life.edit(|spec| spec["replicas"] = json!(0));
        life.edit(|spec| spec["replicas"] = json!(3));
        assert_eq!(life.world.images(), ["game:2"; 3], "{}", life.name);
    });
}

#[test]
fn sts_c16_ordinals_below_the_partition_keep_their_revision() {
    matrix(|life| {
        life.world.edit(|spec| spec["updateStrategy"]["rollingUpdate"] = json!({"partition": 2}));
        life.edit(|spec| spec["replicas"] = json!(4));
        life.world.set_image("game:2");
        life.run();
        assert_eq!(life.world.images(), ["game:1", "game:1", "game:2", "game:2"], "{}", life.name);
        life.edit(|spec| spec["replicas"] = json!(5));
        assert_eq!(life.world.images(), ["game:1", "game:1", "game:2", "game:2", "game:2"], "{}", life.name);
        // Whoever dies comes back as what it was.
        life.world.delete("game-1");
        life.world.delete("game-3");
        life.run();
        assert_eq!(life.world.images(), ["game:1", "game:1", "game:2", "game:2", "game:2"], "{}", life.name);
        life.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(0));
        assert_eq!(life.world.images(), ["game:2"; 5], "{}", life.name);
    });
}

/// As in StatefulSet, a partition counts ordinals from the first one, wherever that is, and reserved ones too.
#[test]
fn sts_c16_a_partition_counts_from_the_first_ordinal() {
    for policy in POLICIES {
        let mut world =
            World::new(4, policy, &json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}));
        world.edit(|spec| {
            spec["ordinals"] = json!({"start": 5});
            spec["reserveOrders"] = json!([6]);
        });
        world.converge();
        assert_eq!(world.ordinals(), [5, 7, 8, 9]);
        world.set_image("game:2");
        world.converge();
        assert_eq!(world.images(), ["game:1", "game:2", "game:2", "game:2"]);
    }
}

#[test]
fn sts_c20_a_rolling_update_respects_min_ready_seconds() {
    for policy in POLICIES {
        let mut world =
            World::new(3, policy, &json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}));
        world.edit(|spec| spec["minReadySeconds"] = json!(30));
        world.converge();
        world.set_image("game:2");
        let mark = world.writes.len();
        world.settle();
        world.kubelets();
        world.settle();
        world.kubelets();
        world.settle();
        world.kubelets();
        let plan = world.settle();
        // The first replacement is ready, and the next pod waits until it is available.
        assert_eq!(pods(&world, mark, "delete"), ["game-2"], "{plan}");
        assert!(World::codes(&plan).contains(&Code::NotYetAvailable), "{plan}");
        world.pass(30);
        world.settle();
        assert_eq!(pods(&world, mark, "delete"), ["game-2", "game-1"]);
        world.converge();
        assert_eq!(world.images(), ["game:2"; 3]);
    }
}

#[test]
fn sts_c20_on_delete_and_partition_know_min_ready_seconds() {
    for policy in POLICIES {
        let mut world = World::new(3, policy, &json!({"type": "OnDelete"}));
        world.edit(|spec| spec["minReadySeconds"] = json!(3600));
        for _ in 0..3 {
            world.converge();
        }
        world.set_image("game:2");
        world.delete("game-2");
        world.kubelets();
        world.settle();
        assert_eq!(world.images(), ["game:1", "game:1", "game:2"]);
        world.converge();
        world.edit(|spec| {
            spec["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
        });
        let plan = world.converge();
        assert_eq!(world.images(), ["game:1", "game:2", "game:2"]);
        assert_eq!(plan.status.available_replicas, 3);
    }
}

/// Pods that serve and do not count as available yet have players: they are no free prey.
#[test]
fn sts_c20_pods_that_are_ready_and_not_available_cost_the_budget() {
    for strategy in ["RollingUpdate", "InplaceUpdate"] {
        let bounds = json!({"type": strategy, "rollingUpdate": {"maxUnavailable": 2}});
        let mut world = World::new(6, "Parallel", &bounds);
        world.edit(|spec| spec["minReadySeconds"] = json!(30));
        world.settle();
        world.kubelets();
        world.settle();
        world.kubelets();
        world.set_image("game:2");
        let plan = world.settle();
        assert_eq!(world.unavailable(&[0, 1, 2, 3, 4, 5]), 0, "{strategy}: {plan}");
        world.pass(30);
        world.settle();
        assert!(world.unavailable(&[0, 1, 2, 3, 4, 5]) <= 2, "{strategy}");
        world.converge();
        assert_eq!(world.images(), ["game:2"; 6], "{strategy}");
    }
}
