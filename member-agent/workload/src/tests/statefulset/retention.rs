//! What becomes of claims: the table of StatefulSet, for every policy and every change of policy.

use serde_json::{Value, json};

use super::{Life, POLICIES, invalid, matrix, retentions, set};
use crate::tests::simulator::World;
use crate::{Code, Plan};

/// Whether each policy lets claims go with the set, and with a pod that is taken away.
fn read(retention: &Value) -> (bool, bool) {
    (retention["whenDeleted"] == "Delete", retention["whenScaled"] == "Delete")
}

fn owners_of(world: &World, ordinal: u32) -> Vec<(String, String)> {
    world.owners(&format!("save-game-{ordinal}"))
}

fn set_owner() -> (String, String) {
    ("GameStatefulSet".into(), "set-uid".into())
}

fn pod_owner(world: &World, ordinal: u32) -> (String, String) {
    ("Pod".into(), world.uids()[&format!("game-{ordinal}")].clone())
}

/// Writes all there is to write without letting kubelets end any pod.
fn write(world: &mut World) -> Plan {
    world.settle()
}

#[test]
fn sts_c24_owners_are_as_the_policy_says_before_a_pod_goes() {
    for policy in POLICIES {
        for retention in retentions() {
            let (deleted, scaled) = read(&retention);
            let mut world = set(3, policy, &retention);
            world.converge();
            for ordinal in 0..3 {
                let expected: Vec<_> = deleted.then(set_owner).into_iter().collect();
                assert_eq!(owners_of(&world, ordinal), expected, "{policy} {retention}");
            }
            world.edit(|spec| spec["replicas"] = json!(1));
            write(&mut world);
            for ordinal in 1..3 {
                let expected: Vec<_> = if scaled {
                    vec![pod_owner(&world, ordinal)]
                } else {
                    deleted.then(set_owner).into_iter().collect()
                };
                assert_eq!(owners_of(&world, ordinal), expected, "{policy} {retention} {ordinal}");
            }
            world.converge();
            let left: Vec<&String> = world.claims.keys().collect();
            if scaled {
                assert_eq!(left, ["save-game-0"], "{policy} {retention}");
            } else {
                assert_eq!(left, ["save-game-0", "save-game-1", "save-game-2"], "{policy} {retention}");
            }
            // The set goes, and with it what the policy lets go.
            world.pods.clear();
            world.set = Value::Null;
            world.collect_claims();
            let expected = if deleted {
                0
            } else if scaled {
                1
            } else {
                3
            };
            assert_eq!(world.claims.len(), expected, "{policy} {retention}");
        }
    }
}

#[test]
fn sts_c24_every_change_of_policy_changes_the_owners_and_touches_no_pod() {
    for policy in POLICIES {
        for from in retentions() {
            for to in retentions() {
                let mut world = set(3, policy, &from);
                world.converge();
                // One pod is being taken away and held by its kubelet.
                world.edit(|spec| spec["replicas"] = json!(2));
                write(&mut world);
                let uids = world.uids();
                world.edit(|spec| spec["persistentVolumeClaimRetentionPolicy"] = to.clone());
                let mark = world.writes.len();
                write(&mut world);
                let (deleted, scaled) = read(&to);
                let kept: Vec<_> = deleted.then(set_owner).into_iter().collect();
                let going = if scaled { vec![pod_owner(&world, 2)] } else { kept.clone() };
                for (ordinal, expected) in [(0, &kept), (1, &kept), (2, &going)] {
                    assert_eq!(owners_of(&world, ordinal), *expected, "{policy} {from} to {to}, {ordinal}");
                }
                assert_eq!(world.uids(), uids);
                let writes = world.writes_since(mark);
                assert!(writes.iter().all(|write| write.starts_with("patch claim")), "{writes:?}");
                if read(&from) == read(&to) {
                    assert_eq!(writes, [""; 0], "{policy} {from} to {to}");
                }
            }
        }
    }
}

#[test]
fn sts_c24_a_missing_claim_does_not_keep_others_from_their_owners() {
    for policy in POLICIES {
        let mut world = set(3, policy, &retentions()[1]);
        world.converge();
        world.claims.remove("save-game-1");
        world.edit(|spec| spec["persistentVolumeClaimRetentionPolicy"] = retentions()[4].clone());
        write(&mut world);
        assert_eq!(owners_of(&world, 0), [set_owner()]);
        assert_eq!(owners_of(&world, 2), [set_owner()]);
        assert!(!world.claims.contains_key("save-game-1"));
    }
}

#[test]
fn sts_c24_owners_that_users_put_there_stay() {
    for retention in retentions() {
        let mut world = set(2, "Parallel", &retention);
        world.converge();
        let user = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "keep", "uid": "user-uid"});
        for claim in world.claims.values_mut() {
            let owners = &mut claim["metadata"]["ownerReferences"];
            *owners = owners.as_array().map_or_else(
                || json!([user]),
                |owners| json!(owners.iter().chain([&user]).collect::<Vec<_>>()),
            );
        }
        let all = retentions();
        for next in all.iter().chain(all.iter().rev()) {
            world.edit(|spec| spec["persistentVolumeClaimRetentionPolicy"] = next.clone());
            write(&mut world);
            for ordinal in 0..2 {
                let mut expected: Vec<_> = read(next).0.then(set_owner).into_iter().collect();
                expected.push(("ConfigMap".into(), "user-uid".into()));
                let mut owners = owners_of(&world, ordinal);
                owners.sort();
                expected.sort();
                assert_eq!(owners, expected, "{retention} to {next}");
            }
        }
        // A claim that somebody else owns too outlives its pod.
        world.edit(|spec| spec["replicas"] = json!(0));
        world.converge();
        assert_eq!(world.claims.len(), 2);
    }
}

#[test]
fn sts_c24_a_claim_with_a_controller_of_its_own_is_left_alone_and_said_to_be() {
    for policy in POLICIES {
        for retention in retentions() {
            let mut world = set(2, policy, &Value::Null);
            world.converge();
            let foreign = json!([{
                "apiVersion": "v1", "kind": "ConfigMap", "name": "lord", "uid": "user-uid", "controller": true,
            }]);
            world.claims.get_mut("save-game-1").unwrap()["metadata"]["ownerReferences"] = foreign.clone();
            world.edit(|spec| spec["persistentVolumeClaimRetentionPolicy"] = retention.clone());
            let plan = write(&mut world);
            let told = World::codes(&plan).contains(&Code::ClaimControlled);
            assert_eq!(told, read(&retention).0, "{policy} {retention}: {plan}");
            world.edit(|spec| spec["replicas"] = json!(1));
            let plan = write(&mut world);
            let told = World::codes(&plan).contains(&Code::ClaimControlled);
            assert_eq!(told, read(&retention) != (false, false), "{policy} {retention}: {plan}");
            world.converge();
            // Its pod goes all the same.
            assert_eq!(world.ordinals(), [0]);
            assert_eq!(world.claims["save-game-1"]["metadata"]["ownerReferences"], foreign);
        }
    }
}

/// A write that was planned on an older state of the claim does nothing, and is planned afresh.
#[test]
fn sts_c23_owners_are_not_written_over_what_changed_meanwhile() {
    let mut world = set(1, "Parallel", &Value::Null);
    world.converge();
    world.edit(|spec| spec["persistentVolumeClaimRetentionPolicy"] = retentions()[4].clone());
    let plan = world.plan();
    assert_eq!(plan.steps.len(), 1, "{plan}");
    let user = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "keep", "uid": "user-uid"}]);
    let claim = world.claims.get_mut("save-game-0").unwrap();
    claim["metadata"]["ownerReferences"] = user;
    claim["metadata"]["resourceVersion"] = json!("newer");
    assert!(!world.apply(&plan.steps[0]));
    write(&mut world);
    assert_eq!(owners_of(&world, 0).len(), 2);
}

/// Updates, failures and deletions by hand never cost a claim, whatever the policy.
#[test]
fn sts_c24_only_a_scale_down_costs_claims() {
    matrix(|life| {
        life.edit(|spec| spec["replicas"] = json!(4));
        let uids = |life: &Life| -> Vec<String> {
            life.world.claims.values().map(|claim| claim["metadata"]["uid"].to_string()).collect()
        };
        let before = uids(life);
        life.world.set_image("game:2");
        for _ in 0..20 {
            life.step();
        }
        life.world.fail("game-3");
        life.world.delete("game-2");
        life.run();
        // A scale-down that is taken back at once: whose pods did not go keep their claims.
        life.world.edit(|spec| spec["replicas"] = json!(1));
        life.act(1);
        let going: Vec<String> = life
            .world
            .pods
            .iter()
            .filter(|(_, pod)| pod["metadata"]["deletionTimestamp"].is_string())
            .map(|(name, _)| name.clone())
            .collect();
        life.world.edit(|spec| spec["replicas"] = json!(4));
        life.world.set_image("game:3");
        life.run();
        let after = uids(life);
        let lost = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        let scaled = read(&life.world.set["spec"]["persistentVolumeClaimRetentionPolicy"]).1;
        assert!(lost <= if scaled { going.len() } else { 0 }, "{}: {lost} claims lost", life.name);
    });
}

#[test]
fn sts_c24_a_set_on_its_way_out_still_follows_a_change_of_policy() {
    let mut world = set(2, "Parallel", &retentions()[4]);
    world.converge();
    world.set["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.set["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    world.edit(|spec| spec["persistentVolumeClaimRetentionPolicy"] = retentions()[1].clone());
    write(&mut world);
    world.pods.clear();
    world.set = Value::Null;
    world.collect_claims();
    assert_eq!(world.claims.len(), 2, "the user rescued them");
}

#[test]
fn sts_c24_a_policy_that_cannot_be_read_changes_no_claim() {
    let mut world = set(2, "Parallel", &retentions()[4]);
    world.converge();
    for bad in [json!({"whenScaled": "Burn"}), json!("Delete")] {
        world.edit(|spec| spec["persistentVolumeClaimRetentionPolicy"] = bad);
        let mark = world.writes.len();
        let plan = world.converge();
        assert_eq!(world.writes_since(mark), [""; 0]);
        let told = invalid(&plan);
        assert!(told.contains("spec.persistentVolumeClaimRetentionPolicy"), "{}", told);
    }
}

/// A scale-down was taken back after the claim was given to its pod, and then the pod ended: what replaces it finds the
/// claim.
#[test]
fn sts_c24_a_pod_that_ended_is_not_replaced_before_its_claim_is_safe() {
    for policy in POLICIES {
        let mut world = set(2, policy, &retentions()[3]);
        world.converge();
        let before = world.claims["save-game-1"]["metadata"]["uid"].clone();
        world.edit(|spec| spec["replicas"] = json!(1));
        let plan = world.plan();
        assert!(plan.steps.iter().all(|step| step.reason.code == Code::RetainClaim), "{plan}");
        for step in &plan.steps {
            world.apply(step);
        }
        assert_eq!(owners_of(&world, 1), [pod_owner(&world, 1)]);
        world.edit(|spec| spec["replicas"] = json!(2));
        world.fail("game-1");
        let plan = world.plan();
        assert!(plan.steps.iter().all(|step| step.reason.code == Code::RetainClaim), "{plan}");
        world.converge();
        assert_eq!(world.claims["save-game-1"]["metadata"]["uid"], before, "{policy}");
    }
}
