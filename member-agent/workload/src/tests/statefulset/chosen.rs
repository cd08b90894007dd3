//! Ordinals that somebody chose to go first.

use serde_json::json;

use super::{Life, POLICIES, invalid, pods, retentions, set};
use crate::Code;
use crate::tests::cluster::Dice;
use crate::tests::simulator::World;

const DELETE_FIRST: &str = "muster.dev/delete-first";
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

fn world(replicas: i64, policy: &str) -> World {
    let mut world = World::new(replicas, policy, &json!({"type": "RollingUpdate"}));
    world.converge();
    world
}

fn first(world: &mut World, value: &str) {
    world.set["metadata"]["annotations"] = json!({DELETE_FIRST: value});
}

fn cost(world: &mut World, ordinal: u32, cost: &str) {
    world.pods.get_mut(&format!("game-{ordinal}")).unwrap()["metadata"]["annotations"] = json!({COST: cost});
}

fn scale(world: &mut World, replicas: i64) {
    world.edit(|spec| spec["replicas"] = json!(replicas));
}

#[test]
fn sts_c3_named_ordinals_go_first_and_the_others_live_on() {
    for policy in POLICIES {
        let mut world = world(6, policy);
        let uids = world.uids();
        first(&mut world, "1, 3");
        scale(&mut world, 4);
        let plan = world.converge();
        assert_eq!(world.ordinals(), [0, 2, 4, 5], "{policy}");
        assert_eq!(plan.status.removed_ordinals.as_ref().unwrap().ordinals, [1, 3]);
        assert_eq!(pods(&world, 0, "delete"), ["game-1", "game-3"], "{policy}");
        // The annotation is taken away, the controller forgets all but the status, and nothing moves.
        world.set["metadata"]["annotations"] = json!({});
        let mark = world.writes.len();
        world.pass(3600);
        let plan = world.converge();
        assert_eq!(world.writes_since(mark), [""; 0], "{policy}: {plan}");
        // Who dies comes back as itself.
        world.delete("game-4");
        world.converge();
        assert_eq!(world.ordinals(), [0, 2, 4, 5], "{policy}");
        // The set grows: the lowest that was taken away comes back first.
        scale(&mut world, 5);
        world.converge();
        assert_eq!(world.ordinals(), [0, 1, 2, 4, 5], "{policy}");
        scale(&mut world, 8);
        let plan = world.converge();
        assert_eq!(world.ordinals(), [0, 1, 2, 3, 4, 5, 6, 7], "{policy}");
        assert_eq!(plan.status.removed_ordinals, None);
        let kept = world.uids();
        for stayed in ["game-0", "game-2", "game-5"] {
            assert_eq!(uids[stayed], kept[stayed], "{policy}");
        }
    }
}

/// Nothing is deleted before the status says which ordinals go, or a restart would choose others.
#[test]
fn sts_c3_what_was_chosen_is_recorded_before_any_pod_goes() {
    for policy in POLICIES {
        let mut world = world(5, policy);
        first(&mut world, "1");
        cost(&mut world, 2, "-5");
        scale(&mut world, 3);
        let plan = world.plan();
        assert_eq!(plan.steps, [], "{policy}: {plan}");
        assert!(World::codes(&plan).contains(&Code::OrdinalsChosen), "{plan}");
        assert!(plan.recheck_after.is_some());
        assert_eq!(plan.status.removed_ordinals.as_ref().unwrap().ordinals, [1, 2]);
        // Unwritten, it is chosen again, as things are then.
        cost(&mut world, 2, "0");
        cost(&mut world, 0, "-7");
        assert_eq!(world.plan().status.removed_ordinals.unwrap().ordinals, [0, 1]);
        let plan = world.plan();
        world.record(&plan);
        // Written, it stays, whatever the costs are now.
        cost(&mut world, 4, "-100");
        world.converge();
        assert_eq!(world.ordinals(), [2, 3, 4], "{policy}");
    }
}

#[test]
fn sts_c3_pods_that_cost_less_go_first() {
    for policy in POLICIES {
        let mut world = world(5, policy);
        for (ordinal, players) in [(0, "0"), (1, "12"), (2, "0"), (3, "40"), (4, "7")] {
            cost(&mut world, ordinal, players);
        }
        scale(&mut world, 2);
        world.converge();
        assert_eq!(world.ordinals(), [1, 3], "{policy}");
        scale(&mut world, 1);
        world.converge();
        assert_eq!(world.ordinals(), [3], "{policy}");
        scale(&mut world, 0);
        let plan = world.converge();
        assert_eq!(plan.status.removed_ordinals, None);
        scale(&mut world, 2);
        world.converge();
        assert_eq!(world.ordinals(), [0, 1], "{policy}: an empty set begins anew");
    }
}

#[test]
fn sts_c3_a_pod_that_costs_more_than_none_outlives_those_without_a_cost() {
    for policy in POLICIES {
        let mut world = world(4, policy);
        cost(&mut world, 3, "1");
        scale(&mut world, 3);
        world.converge();
        assert_eq!(world.ordinals(), [0, 1, 3], "{policy}");
    }
}

#[test]
fn sts_c3_without_a_choice_the_highest_go_and_nothing_is_remembered() {
    for policy in POLICIES {
        let mut world = world(5, policy);
        // Names of ordinals that the set does not have choose nothing.
        first(&mut world, "17");
        scale(&mut world, 3);
        let plan = world.converge();
        assert_eq!(world.ordinals(), [0, 1, 2]);
        assert_eq!(plan.status.removed_ordinals, None);
        // A choice that falls on the highest is none.
        first(&mut world, "2");
        scale(&mut world, 2);
        let plan = world.converge();
        assert_eq!(world.ordinals(), [0, 1]);
        assert_eq!(plan.status.removed_ordinals, None);
    }
}

/// A pod that is down costs nobody anything: it goes before one that serves.
#[test]
fn sts_c3_ordinals_without_a_pod_go_before_those_with_one() {
    let mut world = world(5, "Parallel");
    first(&mut world, "1");
    world.delete("game-3");
    world.kubelet("game-3");
    scale(&mut world, 3);
    world.converge();
    assert_eq!(world.ordinals(), [0, 2, 4]);
}

#[test]
fn sts_c3_bad_values_are_named_and_choose_nothing() {
    for policy in POLICIES {
        for bad in ["3,x", "-1", "1;2", "99999999999"] {
            let mut world = world(4, policy);
            first(&mut world, bad);
            scale(&mut world, 3);
            let plan = world.converge();
            assert_eq!(world.ordinals(), [0, 1, 2], "{bad}");
            let told = invalid(&plan);
            assert!(told.contains(DELETE_FIRST), "{}", told);
        }
        let mut world = world(4, policy);
        cost(&mut world, 1, "cheap");
        cost(&mut world, 0, "-3");
        scale(&mut world, 3);
        let plan = world.converge();
        assert_eq!(world.ordinals(), [1, 2, 3]);
        let told = invalid(&plan);
        assert!(told.contains(COST) && told.contains("game-1"), "{}", told);
    }
}

#[test]
fn sts_c3_a_choice_goes_with_reserved_ordinals_a_start_and_updates() {
    for policy in POLICIES {
        let mut world = World::new(4, policy, &json!({"type": "RollingUpdate"}));
        world.edit(|spec| {
            spec["ordinals"] = json!({"start": 10});
            spec["reserveOrders"] = json!([11]);
        });
        world.converge();
        assert_eq!(world.ordinals(), [10, 12, 13, 14]);
        first(&mut world, "12");
        scale(&mut world, 3);
        world.converge();
        assert_eq!(world.ordinals(), [10, 13, 14], "{policy}");
        world.set_image("game:2");
        world.converge();
        assert_eq!(world.ordinals(), [10, 13, 14], "{policy}");
        assert_eq!(world.images(), ["game:2"; 3]);
        // An ordinal that was taken away is reserved now: nothing more comes back for it.
        world.edit(|spec| spec["reserveOrders"] = json!([11, 12]));
        world.converge();
        assert_eq!(world.ordinals(), [10, 13, 14], "{policy}");
        scale(&mut world, 4);
        world.converge();
        assert_eq!(world.ordinals(), [10, 13, 14, 15], "{policy}");
    }
}

/// While an update surges, what lies above replicas is not taken for a part of the set.
#[test]
fn sts_c3_pods_above_replicas_are_not_chosen_against() {
    let mut world = World::new(
        4,
        "Parallel",
        &json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 2}}),
    );
    world.converge();
    first(&mut world, "1");
    world.set_image("game:2");
    world.settle();
    assert_eq!(world.ordinals(), [0, 1, 2, 3, 4, 5]);
    let plan = world.converge();
    assert_eq!(world.ordinals(), [0, 1, 2, 3], "{plan}");
    assert_eq!(plan.status.removed_ordinals, None);
}

/// Claims of the chosen go by the policy, claims of the others stay.
#[test]
fn sts_c24_the_claims_of_chosen_ordinals_go_by_the_policy() {
    for policy in POLICIES {
        for retention in retentions() {
            let mut world = set(4, policy, &retention);
            world.converge();
            first(&mut world, "0,2");
            scale(&mut world, 2);
            world.converge();
            assert_eq!(world.ordinals(), [1, 3]);
            let scaled = retention["whenScaled"] == "Delete";
            assert_eq!(world.claims.contains_key("save-game-0"), !scaled, "{policy} {retention}");
            assert!(world.claims.contains_key("save-game-3"));
        }
    }
}

/// Whatever is asked for in whatever order, and wherever the controller stops in between: nobody is deleted who was not
/// to go, and no more pods are created than the set grew by.
#[test]
fn sts_c3_a_choice_never_flaps() {
    for policy in POLICIES {
        for seed in 0..12 {
            let mut life = Life::new(world(6, policy), seed, policy);
            let mut dice = Dice::new(seed + 1000);
            let mut replicas = 6_i64;
            for _ in 0..8 {
                let next = i64::try_from(dice.below(9)).unwrap();
                match dice.below(3) {
                    0 => first(&mut life.world, &format!("{},{}", dice.below(8), dice.below(8))),
                    1 => life.world.set["metadata"]["annotations"] = json!({}),
                    _ => {
                        if let Some(ordinal) = life.world.ordinals().first().copied() {
                            cost(&mut life.world, ordinal, &format!("{}", dice.below(5)));
                        }
                    }
                }
                let mark = life.world.writes.len();
                scale(&mut life.world, next);
                life.run();
                let (created, deleted) = (life.pods(mark, "create").len(), life.pods(mark, "delete").len());
                let grown = (next - replicas).max(0);
                let shrunk = (replicas - next).max(0);
                assert_eq!(
                    (created as i64, deleted as i64),
                    (grown, shrunk),
                    "{policy} {seed}: {replicas} to {next}: {:?}",
                    life.world.writes_since(mark)
                );
                assert_eq!(life.world.ordinals().len() as i64, next);
                replicas = next;
            }
        }
    }
}
