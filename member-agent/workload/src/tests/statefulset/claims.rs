//! Claims that are missing, on their way out, or not those that a pod has.

use serde_json::json;

use super::{POLICIES, matrix, retentions, set};
use crate::tests::simulator::World;
use crate::{Action, Code};

#[test]
fn sts_c9_the_claim_of_a_pending_pod_is_created_again() {
    matrix(|life| {
        life.act(usize::MAX);
        life.act(usize::MAX);
        assert!(life.world.pods.contains_key("game-0"), "{}", life.name);
        let uid = life.world.uids()["game-0"].clone();
        life.world.claims.remove("save-game-0");
        let plan = life.act(usize::MAX);
        let repaired = plan.steps.iter().any(|step| matches!(step.action, Action::CreateClaims { .. }));
        assert!(repaired, "{}: {plan}", life.name);
        life.run();
        assert!(life.world.claims.contains_key("save-game-0"), "{}", life.name);
        assert_eq!(life.world.uids()["game-0"], uid, "{}", life.name);
    });
}

#[test]
fn sts_c23_a_claim_on_its_way_out_holds_the_creation_of_its_pod() {
    matrix(|life| {
        life.run();
        // The pod uses the claim, and is deleted after it: the claim goes with the pod.
        life.world.delete_claim("save-game-1");
        life.world.delete("game-1");
        life.world.kubelet("game-1");
        let plan = life.act(usize::MAX);
        assert!(World::codes(&plan).contains(&Code::ClaimTerminating), "{}: {plan}", life.name);
        assert!(!life.world.pods.contains_key("game-1"), "{}", life.name);
        let waits: Vec<_> = plan.waits.iter().filter_map(|wait| wait.pod.as_ref()).collect();
        assert!(waits.iter().any(|pod| pod.as_str() == "game-1"), "{}: {plan}", life.name);
        life.run();
        assert!(life.world.claims.contains_key("save-game-1"), "{}", life.name);
    });
}

/// Scaled down and up again before the garbage collector came by.
#[test]
fn sts_c25_the_claim_of_an_earlier_pod_holds_the_creation_of_the_next() {
    for policy in POLICIES {
        for deleted in ["Retain", "Delete"] {
            let mut world = set(2, policy, &json!({"whenDeleted": deleted, "whenScaled": "Delete"}));
            world.converge();
            let old = world.claims["save-game-1"]["metadata"]["uid"].clone();
            world.edit(|spec| spec["replicas"] = json!(1));
            world.settle();
            world.kubelet("game-1");
            world.edit(|spec| spec["replicas"] = json!(2));
            let plan = world.settle();
            assert!(World::codes(&plan).contains(&Code::ClaimStale), "{plan}");
            assert_eq!(world.ordinals(), [0]);
            world.collect_claims();
            world.converge();
            assert_eq!(world.ordinals(), [0, 1]);
            assert_ne!(world.claims["save-game-1"]["metadata"]["uid"], old);
        }
    }
}

/// The policy was changed to keep claims while one was about to go with its pod.
#[test]
fn sts_c24_a_claim_that_is_not_to_go_any_more_is_kept_where_it_still_can_be() {
    for deleted in ["Retain", "Delete"] {
        let mut world = set(2, "Parallel", &json!({"whenDeleted": deleted, "whenScaled": "Delete"}));
        world.converge();
        let old = world.claims["save-game-1"]["metadata"]["uid"].clone();
        world.edit(|spec| spec["replicas"] = json!(1));
        world.settle();
        world.kubelet("game-1");
        world.edit(|spec| {
            spec["replicas"] = json!(2);
            spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] = json!("Retain");
        });
        world.converge();
        assert_eq!(world.ordinals(), [0, 1]);
        assert_eq!(world.claims["save-game-1"]["metadata"]["uid"], old);
    }
}

#[test]
fn sts_c23_a_pod_whose_volumes_are_not_its_claims_says_so_and_stays() {
    for policy in POLICIES {
        let mut world = set(2, policy, &retentions()[0]);
        world.converge();
        let uids = world.uids();
        world.pods.get_mut("game-1").unwrap()["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] =
            json!("save-game-7");
        let mark = world.writes.len();
        let plan = world.converge();
        let wait = plan.waits.iter().find(|wait| wait.reason.code == Code::StorageMismatch).unwrap();
        assert_eq!(wait.pod.as_ref().unwrap().as_str(), "game-1");
        assert!(wait.reason.message.contains("save-game-7") && wait.reason.message.contains("save-game-1"));
        assert_eq!(world.writes_since(mark), [""; 0]);
        assert_eq!(world.uids(), uids);
    }
}

#[test]
fn sts_c27_a_claim_has_the_labels_of_its_template_and_of_the_selector() {
    let mut world = set(1, "Parallel", &retentions()[0]);
    world.converge();
    assert_eq!(world.claims["save-game-0"]["metadata"]["labels"], json!({"tier": "disk", "app": "game"}));
    let mut world = set(1, "Parallel", &retentions()[0]);
    world.edit(|spec| spec["volumeClaimTemplates"][0]["metadata"] = json!({"name": "save"}));
    world.converge();
    assert_eq!(world.claims["save-game-0"]["metadata"]["labels"], json!({"app": "game"}));
}
