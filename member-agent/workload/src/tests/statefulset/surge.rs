//! Pods above replicas while others are updated.

use serde_json::json;

use super::{invalid, pods};
use crate::tests::simulator::World;
use crate::{Code, Plan};

fn world(strategy: &str, surge: i64) -> World {
    let mut world = World::new(
        4,
        "Parallel",
        &json!({"type": strategy, "rollingUpdate": {"maxUnavailable": 1, "maxSurge": surge}}),
    );
    world.converge();
    world
}

/// Writes once and lets every kubelet work; answers how many pods serve.
fn turn(world: &mut World) -> usize {
    let plan = world.plan();
    world.record(&plan);
    for step in &plan.steps {
        world.apply(step);
    }
    let serving = serving(world);
    world.kubelets();
    serving
}

fn serving(world: &mut World) -> usize {
    let all: Vec<u32> = world.ordinals();
    all.len() - world.unavailable(&all)
}

#[test]
fn sts_c12_a_surging_update_never_serves_with_fewer_than_replicas() {
    for strategy in ["RollingUpdate", "InplaceUpdate"] {
        let mut world = world(strategy, 2);
        world.set_image("game:2");
        let mut least = usize::MAX;
        let mut most = 0;
        for _ in 0..60 {
            least = least.min(turn(&mut world));
            most = most.max(world.pods.len());
        }
        let plan = world.converge();
        assert_eq!(world.ordinals(), [0, 1, 2, 3], "{strategy}");
        assert_eq!(world.images(), ["game:2"; 4], "{strategy}");
        // Two above and one unavailable.
        assert_eq!(most, 6, "{strategy}");
        assert!(least >= 4, "{strategy}: {least} served");
        assert_eq!(plan.waits, [], "{strategy}");
        assert_eq!(pods(&world, 0, "create").iter().filter(|pod| *pod == "game-4").count(), 1, "{strategy}");
    }
}

#[test]
fn sts_c12_pods_above_replicas_are_up_before_others_go_down() {
    let mut world = world("RollingUpdate", 2);
    world.set_image("game:2");
    let mark = world.writes.len();
    let plan = world.settle();
    assert_eq!(pods(&world, mark, "create"), ["game-4", "game-5"]);
    assert_eq!(pods(&world, mark, "delete"), [""; 0]);
    assert!(World::codes(&plan).contains(&Code::BudgetUsed), "{plan}");
    assert!(world.writes_since(mark).contains(&"create pod game-4 Surge"));
    // They are not replicas.
    assert_eq!((plan.status.replicas, plan.status.draining_replicas), (4, 0));
    world.kubelets();
    world.settle();
    world.kubelets();
    world.settle();
    assert_eq!(pods(&world, mark, "delete"), ["game-3"]);
}

#[test]
fn sts_c12_pods_that_are_too_many_serve_first_as_the_pods_above() {
    let mut world = world("RollingUpdate", 2);
    world.edit(|spec| spec["replicas"] = json!(7));
    world.converge();
    let mark = world.writes.len();
    world.edit(|spec| spec["replicas"] = json!(4));
    world.set_image("game:2");
    world.settle();
    // One of three is taken away at once; two serve until the update is through, as they are.
    assert_eq!(pods(&world, mark, "create"), [""; 0]);
    assert_eq!(pods(&world, mark, "delete"), ["game-6", "game-3"]);
    world.converge();
    assert_eq!(world.ordinals(), [0, 1, 2, 3]);
    assert_eq!(world.images(), ["game:2"; 4]);
    assert!(!pods(&world, mark, "create").contains(&"game-4".to_owned()));
}

#[test]
fn sts_c12_no_surge_where_nothing_is_updated() {
    let quiet = |edit: &dyn Fn(&mut World)| -> Plan {
        let mut world = world("RollingUpdate", 2);
        edit(&mut world);
        let plan = world.converge();
        assert_eq!(world.ordinals(), [0, 1, 2, 3], "{plan}");
        assert!(!pods(&world, 0, "create").contains(&"game-4".to_owned()), "{plan}");
        plan
    };
    quiet(&|_| {});
    // Paused, all kept by the partition, done by hand, and in an order that surges nothing.
    quiet(&|world| {
        world.edit(|spec| spec["updateStrategy"]["paused"] = json!(true));
        world.set_image("game:2");
    });
    quiet(&|world| {
        world.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(4));
        world.set_image("game:2");
    });
    quiet(&|world| {
        world.edit(|spec| spec["updateStrategy"]["type"] = json!("OnDelete"));
        world.set_image("game:2");
    });
    let plan = quiet(&|world| {
        world.edit(|spec| spec["podManagementPolicy"] = json!("OrderedReady"));
        world.set_image("game:2");
    });
    let told = invalid(&plan);
    assert!(told.contains("maxSurge"), "{}", told);
}

/// An updated pod that is briefly not ready brings back nobody.
#[test]
fn sts_c12_the_pods_above_go_one_by_one_and_do_not_come_back() {
    let mut world = world("RollingUpdate", 3);
    world.set_image("game:2");
    for turns in 0..200 {
        turn(&mut world);
        if turns % 3 == 0 {
            world.crash("game-3");
        }
    }
    world.converge();
    assert_eq!(world.images(), ["game:2"; 4]);
    for above in ["game-4", "game-5", "game-6"] {
        let created = pods(&world, 0, "create").iter().filter(|pod| *pod == above).count();
        assert_eq!(created, 1, "{above}");
    }
    assert_eq!(world.ordinals(), [0, 1, 2, 3]);
}

/// What a game was told cannot be taken back: such a pod goes, and others are made for the update.
#[test]
fn delete_x11_a_pod_that_was_told_that_it_goes_serves_no_update() {
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 2}});
    let mut world = World::hooked(6, "Parallel", &strategy, &["preDeleteUpdateStrategy"]);
    world.converge();
    world.edit(|spec| spec["replicas"] = json!(4));
    world.converge();
    assert_eq!(world.asked(), ["game-4", "game-5"]);
    world.measure("game-5");
    world.set_image("game:2");
    world.converge();
    assert_eq!(world.ordinals(), [0, 1, 2, 3, 4, 5, 6]);
    assert!(pods(&world, 0, "create").contains(&"game-6".to_owned()));
    world.converge_answering("Successful");
    assert_eq!(world.ordinals(), [0, 1, 2, 3]);
    assert_eq!(world.images(), ["game:2"; 4]);
}

/// A revision that was stored for replacements, and then replacements are not allowed any more.
#[test]
fn sts_c12_nobody_stands_in_for_pods_that_no_update_can_reach() {
    let mut world = world("RollingUpdate", 2);
    world.edit(|spec| {
        spec["template"]["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "1"}]);
    });
    // The revision is stored, and no pod is replaced yet.
    let plan = world.plan();
    for step in &plan.steps {
        world.apply(step);
    }
    world.edit(|spec| spec["updateStrategy"]["type"] = json!("InplaceUpdate"));
    let plan = world.converge();
    assert!(World::codes(&plan).contains(&Code::CannotUpdateInPlace), "{plan}");
    assert_eq!(world.ordinals(), [0, 1, 2, 3]);
}
