//! Claims, nodes and neighbours of a set, against a real API server's rules.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::workload::{Member, NAMESPACE, image, set};

fn claims(member: &Member) -> Api<PersistentVolumeClaim> {
    Api::namespaced(member.user.clone(), NAMESPACE)
}

/// Names and uids of the claims, and the kinds of their owners.
async fn stored(member: &Member) -> Vec<(String, String, Vec<String>)> {
    let list = claims(member).list(&ListParams::default()).await.unwrap();
    let claim = |claim: PersistentVolumeClaim| {
        let owners = claim.owner_references().iter().map(|owner| owner.kind.clone()).collect();
        (claim.name_any(), claim.uid().unwrap(), owners)
    };
    list.into_iter().map(claim).collect()
}

/// Names of the pods.
async fn pods(member: &Member) -> Vec<String> {
    let pods = Api::<Pod>::namespaced(member.user.clone(), NAMESPACE);
    let mut names: Vec<String> =
        pods.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    names.sort();
    names
}

fn with_claims(replicas: i64, retention: &Value) -> Value {
    let mut set = set(replicas, &json!({"type": "RollingUpdate"}));
    set["spec"]["persistentVolumeClaimRetentionPolicy"] = retention.clone();
    set["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": {"name": "save"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]);
    set
}

#[tokio::test(start_paused = true)]
async fn sts_c24_claims_go_with_what_the_policy_names_and_survive_all_else() {
    let member = Member::new().await;
    member.create(with_claims(3, &json!({"whenScaled": "Delete", "whenDeleted": "Delete"}))).await;
    member.until_ready(3).await;
    let before = stored(&member).await;
    assert_eq!(before.len(), 3);
    assert!(before.iter().all(|(_, _, owners)| owners == &["GameStatefulSet"]), "{before:?}");

    // An update replaces every pod, and no claim.
    member.edit(image("game:2")).await;
    member.until("updated", |set| set.status.as_ref().unwrap().updated_ready_replicas == 3).await;
    assert_eq!(stored(&member).await, before);

    // A scale-down takes its claim along, and the next pod of that ordinal gets a new one.
    member.edit(json!({"spec": {"replicas": 2}})).await;
    member.until_ready(2).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stored(&member).await, before[..2]);
    member.edit(json!({"spec": {"replicas": 3}})).await;
    member.until_ready(3).await;
    let after = stored(&member).await;
    assert_eq!((after.len(), &after[..2]), (3, &before[..2]));
    assert_ne!(after[2].1, before[2].1);

    // The user keeps them after all.
    member.edit(json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}})).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    member.sets().delete("game", &DeleteParams::background()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(member.pods().await.is_empty());
    let kept = stored(&member).await;
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|(_, _, owners)| owners.is_empty()), "{kept:?}");
    member.tasks.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sts_c3_named_ordinals_go_first_and_a_restart_moves_nothing() {
    let mut member = Member::new().await;
    member.create(with_claims(5, &json!({}))).await;
    member.until_ready(5).await;
    member
        .edit(
            json!({"metadata": {"annotations": {"muster.dev/delete-first": "1,2"}}, "spec": {"replicas": 3}}),
        )
        .await;
    let names = ["game-0", "game-3", "game-4"];
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        member.controller.stop().await;
        member.start_controller();
        member.until_ready(3).await;
        assert_eq!(pods(&member).await, names);
    }
    member.edit(json!({"metadata": {"annotations": {"muster.dev/delete-first": null}}})).await;
    member.edit(json!({"spec": {"replicas": 4}})).await;
    member.until_ready(4).await;
    assert_eq!(pods(&member).await, ["game-0", "game-1", "game-3", "game-4"]);
    member.tasks.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sts_c25_a_pod_on_a_lost_node_is_removed_only_where_its_annotation_allows_it() {
    let member = Member::new().await;
    let nodes = Api::<Node>::all(member.user.clone());
    // The kubelet of this node does nothing, in tests.
    let node = serde_json::from_value(json!({"metadata": {"name": "lost"}})).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let status = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
    let patch = PatchParams::default();
    nodes.patch_status("lost", &patch, &Patch::Merge(status("True"))).await.unwrap();
    let mut stuck = set(1, &json!({"type": "RollingUpdate"}));
    stuck["spec"]["template"]["spec"]["nodeName"] = json!("lost");
    member.create(stuck).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let pods = Api::<Pod>::namespaced(member.user.clone(), NAMESPACE);
    let uid = pods.get("game-0").await.unwrap().uid();
    pods.delete("game-0", &DeleteParams::default()).await.unwrap();
    nodes.patch_status("lost", &patch, &Patch::Merge(status("Unknown"))).await.unwrap();
    let says = |code: &'static str| {
        move |set: &muster_crds::GameStatefulSet| {
            set.status.as_ref().is_some_and(|status| status.blocked_by.iter().any(|one| one.code == code))
        }
    };
    member.until("lost", says("NodeLost")).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(pods.get("game-0").await.unwrap().uid(), uid);

    let allowed = json!({"metadata": {"annotations": {
        "pod.gamestatefulset.bkbcs.tencent.com/node-lost-force-delete": "true",
    }}});
    pods.patch("game-0", &patch, &Patch::Merge(allowed)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_ne!(pods.get("game-0").await.unwrap().uid(), uid);
    member.tasks.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sts_c27_the_newer_of_two_sets_that_overlap_waits_until_the_older_is_gone() {
    let member = Member::new().await;
    member.create(set(2, &json!({"type": "RollingUpdate"}))).await;
    member.until_ready(2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut newer = set(1, &json!({"type": "RollingUpdate"}));
    newer["metadata"]["name"] = json!("newer");
    member.create(newer).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let held = member.sets().get("newer").await.unwrap().status.unwrap();
    let told = held.conditions.iter().find(|condition| condition.type_ == "InvalidSpec").unwrap();
    assert!(told.message.as_deref().unwrap().contains("GameStatefulSet game,"), "{told:?}");
    assert_eq!(member.pods().await.len(), 2);

    member.sets().delete("game", &DeleteParams::background()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(pods(&member).await, ["newer-0"]);
    member.tasks.stop().await;
}
