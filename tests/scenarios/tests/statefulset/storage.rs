//! Claims and what becomes of them.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;

use super::{pods, scaled, with_claims};
use crate::support::{NAMESPACE, SHANGHAI, merged, set};

#[tokio::test(start_paused = true)]
async fn sts_e15_claims_are_made_for_each_ordinal_and_outlive_their_pods() {
    let world = with_claims(3, 3, &json!({})).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    let api: Api<PersistentVolumeClaim> = Api::namespaced(world.member(SHANGHAI), NAMESPACE);
    let uids = async || {
        let list = api.list(&ListParams::default()).await.expect("listed");
        let named = list.items.into_iter().map(|claim| (claim.metadata.name, claim.metadata.uid));
        named.collect::<std::collections::BTreeMap<_, _>>()
    };
    let first = uids().await;
    let names: Vec<_> = first.keys().flatten().map(String::as_str).collect();
    assert_eq!(names, ["saves-arena-0", "saves-arena-1", "saves-arena-2"]);
    world.edit_set(SHANGHAI, "arena", &scaled(1)).await;
    world.set_settled(SHANGHAI, "arena", 1).await;
    world.edit_set(SHANGHAI, "arena", &scaled(3)).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    assert_eq!(uids().await, first, "the same claims are used again");
    let pods: Api<Pod> = Api::namespaced(world.member(SHANGHAI), NAMESPACE);
    let pod = pods.get("arena-2").await.expect("it is there").spec.unwrap_or_default();
    let claimed = pod.volumes.into_iter().flatten().find(|volume| volume.name == "saves");
    let claim = claimed.and_then(|volume| volume.persistent_volume_claim).map(|source| source.claim_name);
    assert_eq!(claim.as_deref(), Some("saves-arena-2"));
}

#[tokio::test(start_paused = true)]
async fn sts_e15_what_goes_and_what_stays_is_what_the_retention_policy_says() {
    let world = with_claims(0, 16, &json!({})).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.member(SHANGHAI), NAMESPACE);
    // When scaled, when deleted, and claims of two that are left after each.
    let cases = [
        ("retain", "Retain", "Retain", 2, 2),
        ("release", "Retain", "Delete", 2, 0),
        ("shrink", "Delete", "Retain", 1, 1),
        ("vanish", "Delete", "Delete", 1, 0),
    ];
    for (name, when_scaled, when_deleted, ..) in cases {
        let policy = json!({"spec": {"persistentVolumeClaimRetentionPolicy": {
            "whenScaled": when_scaled, "whenDeleted": when_deleted,
        }}});
        let set = merged(merged(set(name, 2), &super::claims()), &policy);
        world.apply_in(SHANGHAI, &set).await;
    }
    let left = async |step: &str, expected: fn(&(&str, &str, &str, usize, usize)) -> usize| {
        for case in &cases {
            let (name, expected) = (case.0, expected(case));
            world
                .until(&format!("{expected} claims of {name} are left {step}"), async || {
                    let list =
                        claims.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
                    let prefix = format!("saves-{name}-");
                    let names = list.into_iter().filter_map(|claim| claim.metadata.name);
                    let names: Vec<String> = names.filter(|claim| claim.starts_with(&prefix)).collect();
                    if names.len() == expected { Ok(()) } else { Err(format!("{names:?}")) }
                })
                .await;
        }
    };
    for case in &cases {
        world.set_settled(SHANGHAI, case.0, 2).await;
    }
    left("at first", |_| 2).await;
    for case in &cases {
        world.edit_set(SHANGHAI, case.0, &scaled(1)).await;
    }
    for case in &cases {
        world.set_settled(SHANGHAI, case.0, 1).await;
    }
    left("when scaled", |case| case.3).await;
    for case in &cases {
        world.sets(SHANGHAI).delete(case.0, &DeleteParams::background()).await.expect("deleted");
    }
    left("when deleted", |case| case.4).await;
    world.quiet(30).await;
    left("at last", |case| case.4).await;
}

#[tokio::test(start_paused = true)]
async fn sts_e16_a_deleted_claim_of_a_pod_that_waits_for_a_node_is_made_again() {
    let nowhere = json!({"spec": {"template": {"spec": {"nodeSelector": {"there": "is-none"}}}}});
    let world = with_claims(1, 2, &nowhere).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.member(SHANGHAI), NAMESPACE);
    let (pod, claim) = world
        .until("arena-0 and its claim are there", async || {
            let pod = pods(&world).get_opt("arena-0").await.map_err(|error| error.to_string())?;
            let claim = claims.get_opt("saves-arena-0").await.map_err(|error| error.to_string())?;
            pod.zip(claim).ok_or_else(|| "not yet".to_owned())
        })
        .await;
    claims.delete("saves-arena-0", &DeleteParams::default()).await.expect("deleted");
    world
        .until("the claim is another", async || {
            let now = claims.get_opt("saves-arena-0").await.map_err(|error| error.to_string())?;
            let uid = now.and_then(|claim| claim.metadata.uid);
            if uid.is_some() && uid != claim.metadata.uid { Ok(()) } else { Err(format!("{uid:?}")) }
        })
        .await;
    let now = pods(&world).get("arena-0").await.expect("it is there");
    assert_eq!(now.metadata.uid, pod.metadata.uid, "the pod is left alone");
}
