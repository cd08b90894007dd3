//! Pods that fail, vanish, or are somebody else's.

use serde_json::json;

use super::invariants::{IDENTITY, ORDINALS};
use super::{POLICIES, matrix, pods};
use crate::tests::simulator::World;
use crate::{Action, Code};

#[test]
fn sts_c4_replaces_pods() {
    matrix(|life| {
        life.edit(|spec| spec["replicas"] = json!(5));
        let claims: Vec<String> =
            life.world.claims.values().map(|claim| claim["metadata"]["uid"].to_string()).collect();
        let mark = life.world.writes.len();
        for pod in ["game-0", "game-2", "game-4"] {
            life.world.delete(pod);
        }
        let plan = life.run();
        assert_eq!((plan.status.replicas, plan.status.ready_replicas), (5, 5), "{}", life.name);
        let mut created = life.pods(mark, "create");
        if !life.ordered() {
            created.sort();
        }
        assert_eq!(created, ["game-0", "game-2", "game-4"], "{}", life.name);
        let after: Vec<String> =
            life.world.claims.values().map(|claim| claim["metadata"]["uid"].to_string()).collect();
        assert_eq!(after, claims, "{}: storage was lost", life.name);
    });
}

#[test]
fn sts_c5_a_pod_that_ended_is_deleted_once_and_created_later() {
    for phase in ["Failed", "Succeeded"] {
        matrix(|life| {
            life.run();
            let mark = life.world.writes.len();
            life.world.fail("game-1");
            life.world.pods.get_mut("game-1").unwrap()["status"]["phase"] = json!(phase);
            let plan = life.world.plan();
            assert!(
                !plan.steps.iter().any(|step| matches!(step.action, Action::CreatePod { .. })),
                "{}: {plan}",
                life.name
            );
            life.run();
            assert_eq!(life.pods(mark, "delete"), ["game-1"], "{}", life.name);
            assert_eq!(life.pods(mark, "create"), ["game-1"], "{}", life.name);
        });
    }
}

#[test]
fn sts_c6_nothing_is_created_for_a_pod_whose_deletion_is_refused() {
    matrix(|life| {
        life.run();
        let mark = life.world.writes.len();
        life.world.fail("game-0");
        life.world.refused.insert("delete pod".into(), 2);
        for _ in 0..2 {
            life.act(usize::MAX);
        }
        assert_eq!(life.pods(mark, "create"), [""; 0], "{}", life.name);
        let plan = life.world.plan();
        assert!(World::codes(&plan).contains(&Code::WriteRefused), "{}: {plan}", life.name);
        life.run();
        assert_eq!(life.pods(mark, "create"), ["game-0"], "{}", life.name);
    });
}

#[test]
fn sts_c7_writes_that_fail_are_made_later() {
    matrix(|life| {
        life.world.refused.insert("create pod".into(), 4);
        life.world.refused.insert("patch status of pod".into(), 2);
        life.world.refused.insert("patch claim".into(), 1);
        life.world.refused.insert("create revision".into(), 1);
        let plan = life.run();
        assert_eq!((plan.status.replicas, plan.status.ready_replicas), (3, 3), "{}", life.name);
        // And a status that was not written is computed again.
        life.world.set["status"] = json!(null);
        let mark = life.world.writes.len();
        let plan = life.run();
        assert_eq!((plan.status.replicas, plan.status.updated_replicas), (3, 3), "{}", life.name);
        assert_eq!(life.world.writes_since(mark), [""; 0], "{}", life.name);
    });
}

#[test]
fn sts_c8_a_new_revision_is_on_record_although_a_deletion_fails() {
    matrix(|life| {
        life.run();
        life.world.set_image("game:2");
        life.world.refused.insert("delete pod".into(), 3);
        for _ in 0..3 {
            life.act(usize::MAX);
        }
        assert_eq!(life.world.revisions.len(), 2, "{}", life.name);
        life.run();
        assert_eq!(life.world.revisions.len(), 2, "{}", life.name);
        assert_eq!(life.world.images(), ["game:2"; 3], "{}", life.name);
    });
}

#[test]
fn sts_c23_claims_come_before_their_pod() {
    let mut world = super::set(1, "Parallel", &json!(null));
    world.refused.insert("create pod".into(), 1);
    world.settle();
    let create = |step: &crate::Step| match &step.action {
        Action::CreatePod { name, claims, .. } => {
            Some((name.to_string(), claims.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()))
        }
        _ => None,
    };
    // What the executor gets: claims first, then the pod, as one step that may fail in the middle.
    world.pods.clear();
    world.claims.clear();
    let plan = world.plan();
    let steps: Vec<_> = plan.steps.iter().filter_map(create).collect();
    assert_eq!(steps, [("game-0".to_owned(), vec!["save-game-0".to_owned()])]);
    // The claim exists by now: the pod alone is created.
    world.claims.insert(
        "save-game-0".into(),
        json!({"metadata": {"name": "save-game-0", "uid": "c", "resourceVersion": "1"}}),
    );
    let steps: Vec<_> = world.plan().steps.iter().filter_map(create).collect();
    assert_eq!(steps, [("game-0".to_owned(), vec![])]);
}

#[test]
fn sts_c23_labels_that_say_who_a_pod_is_are_written_again_all_four() {
    matrix(|life| {
        life.run();
        let mark = life.world.writes.len();
        for (pod, label) in IDENTITY.into_iter().chain(ORDINALS).enumerate() {
            let name = format!("game-{}", pod % 3);
            let labels = life.world.pods.get_mut(&name).unwrap()["metadata"]["labels"].as_object_mut();
            if pod % 2 == 0 {
                labels.unwrap().remove(label);
            } else {
                labels.unwrap().insert(label.into(), json!("another"));
            }
        }
        life.run();
        assert_eq!(life.world.writes_since(mark).len(), 3, "{}", life.name);
        assert!(life.world.writes_since(mark).iter().all(|write| write.ends_with("RepairIdentity")));
    });
}

/// Pods of the bk-bcs operator never had StatefulSet's labels: a takeover writes no pod.
#[test]
fn sts_c23_pods_that_were_taken_over_are_not_written_for_labels_they_never_had() {
    let mut world = World::new(2, "Parallel", &json!({"type": "RollingUpdate"}));
    world.converge();
    for pod in world.pods.values_mut() {
        let labels = pod["metadata"]["labels"].as_object_mut().unwrap();
        labels.remove("statefulset.kubernetes.io/pod-name");
        labels.remove("apps.kubernetes.io/pod-index");
    }
    assert_eq!(world.plan().steps, []);
}

#[test]
fn sts_c23_a_pod_of_that_name_that_is_anothers_is_left_alone() {
    for policy in POLICIES {
        let mut world = World::new(2, policy, &json!({"type": "RollingUpdate"}));
        let stranger = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "game-0", "namespace": "fleet", "uid": "stranger", "resourceVersion": "1",
                "labels": {"app": "game"},
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web", "controller": true,
                }],
            },
            "spec": {"containers": [{"name": "center", "image": "web:1"}]},
        });
        world.pods.insert("game-0".into(), stranger.clone());
        let plan = world.settle();
        assert!(World::codes(&plan).contains(&Code::NameTaken), "{plan}");
        assert_eq!(world.pods["game-0"], stranger);
        // An ordered set waits for that ordinal.
        assert_eq!(world.ordinals().len(), if policy == "OrderedReady" { 1 } else { 2 });
    }
}

#[test]
fn sts_c25_an_ordinal_is_filled_when_its_pod_is_gone() {
    for policy in POLICIES {
        let mut world = World::new(3, policy, &json!({"type": "RollingUpdate"}));
        world.converge();
        world.delete("game-1");
        let mark = world.writes.len();
        let plan = world.settle();
        assert_eq!(pods(&world, mark, "create"), [""; 0]);
        assert!(World::codes(&plan).contains(&Code::PodTerminating), "{plan}");
        world.converge();
        assert_eq!(pods(&world, mark, "create"), ["game-1"]);
    }
}

#[test]
fn sts_c25_a_terminating_pod_blocks_the_scaling_of_an_ordered_set() {
    for policy in POLICIES {
        for replicas in [2, 4] {
            let mut world = World::new(3, policy, &json!({"type": "RollingUpdate"}));
            world.converge();
            world.delete("game-0");
            world.edit(|spec| spec["replicas"] = json!(replicas));
            let mark = world.writes.len();
            let plan = world.settle();
            let scaled = pods(&world, mark, "create").len() + pods(&world, mark, "delete").len();
            assert_eq!(scaled, usize::from(policy == "Parallel"), "{plan}");
            world.converge();
            assert_eq!(world.ordinals().len() as i64, replicas);
        }
    }
}

#[test]
fn sts_c25_a_set_that_is_deleted_creates_nothing() {
    for policy in POLICIES {
        let mut world = World::new(3, policy, &json!({"type": "RollingUpdate"}));
        world.converge();
        world.set["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        world.set["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
        world.delete("game-0");
        world.kubelets();
        let mark = world.writes.len();
        let plan = world.settle();
        assert!(World::codes(&plan).contains(&Code::SetTerminating), "{plan}");
        assert_eq!(pods(&world, mark, "create"), [""; 0]);
    }
}

#[test]
fn sts_c25_orphans_are_adopted_and_pods_that_stop_matching_released() {
    matrix(|life| {
        life.run();
        let uids = life.world.uids();
        // An orphan that fits, and a pod whose labels were edited away.
        life.world.pods.get_mut("game-0").unwrap()["metadata"]["ownerReferences"] = json!([]);
        let mark = life.world.writes.len();
        life.run();
        assert_eq!(life.world.uids(), uids, "{}", life.name);
        assert_eq!(life.world.writes_since(mark), ["patch pod game-0 AdoptPod"], "{}", life.name);
        life.world.pods.get_mut("game-1").unwrap()["metadata"]["labels"]["app"] = json!("other");
        let plan = life.act(usize::MAX);
        assert!(plan.steps.iter().any(|step| step.reason.code == Code::ReleasePod), "{}: {plan}", life.name);
        assert_eq!(life.world.pods["game-1"]["metadata"]["ownerReferences"], json!([]), "{}", life.name);
        // It keeps its name, so that no other pod gets it.
        let plan = life.act(usize::MAX);
        assert!(World::codes(&plan).contains(&Code::NameTaken), "{}: {plan}", life.name);
        // Labelled back, it is the set's again.
        life.world.pods.get_mut("game-1").unwrap()["metadata"]["labels"]["app"] = json!("game");
        life.run();
        assert_eq!(life.world.uids(), uids, "{}", life.name);
    });
}
