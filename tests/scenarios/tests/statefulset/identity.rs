//! Who a pod is.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use super::{are, pods, scaled, with_claims};
use crate::support::{NAMESPACE, SHANGHAI, World};

/// Owner's kind of each pod, by name; empty for a pod without one.
async fn owners(world: &World) -> BTreeMap<String, String> {
    let list = pods(world).list(&ListParams::default()).await.expect("listed");
    let owner = |pod: &k8s_openapi::api::core::v1::Pod| {
        let owners = pod.metadata.owner_references.clone().unwrap_or_default();
        owners.first().map(|owner| owner.kind.clone()).unwrap_or_default()
    };
    list.iter().map(|pod| (pod.metadata.name.clone().unwrap_or_default(), owner(pod))).collect()
}

#[tokio::test(start_paused = true)]
async fn sts_e1_name_hostname_subdomain_and_claims_outlive_a_restart_of_all_pods() {
    let world = with_claims(3, 3, &json!({})).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.member(SHANGHAI), NAMESPACE);
    let identities = async || {
        let stored = claims.list(&ListParams::default()).await.expect("listed");
        let stored: BTreeMap<_, _> =
            stored.into_iter().map(|claim| (claim.metadata.name, claim.metadata.uid)).collect();
        let list = pods(&world).list(&ListParams::default()).await.expect("listed");
        let identity = |pod: k8s_openapi::api::core::v1::Pod| {
            let spec = pod.spec.unwrap_or_default();
            let volumes = spec.volumes.into_iter().flatten();
            let claimed: Vec<String> =
                volumes.filter_map(|volume| Some(volume.persistent_volume_claim?.claim_name)).collect();
            (pod.metadata.name, spec.hostname, spec.subdomain, claimed)
        };
        (stored, list.into_iter().map(identity).collect::<Vec<_>>())
    };
    let before = identities().await;
    for (ordinal, (name, hostname, subdomain, claimed)) in before.1.iter().enumerate() {
        let expected = format!("arena-{ordinal}");
        assert_eq!(
            [name, hostname, subdomain],
            [&Some(expected.clone()), &Some(expected.clone()), &Some("arena".into())]
        );
        assert_eq!(claimed, &[format!("saves-{expected}")]);
    }
    let first = world.pods(SHANGHAI, "arena").await;
    for pod in first.iter() {
        world.delete_pod(SHANGHAI, &pod.name).await;
    }
    world
        .until("every pod is another and ready", async || {
            let now = world.pods(SHANGHAI, "arena").await;
            let new = now.iter().filter(|pod| pod.ready && first.0[&pod.name].uid != pod.uid).count();
            if new == 3 { Ok(()) } else { Err(format!("{new} of 3")) }
        })
        .await;
    assert_eq!(identities().await, before);
}

#[tokio::test(start_paused = true)]
async fn sts_e2_orphans_that_match_are_adopted_and_pods_that_no_longer_match_are_let_go() {
    let world = super::arena(2, &json!({})).await;
    world.set_settled(SHANGHAI, "arena", 2).await;
    let before = world.pods(SHANGHAI, "arena").await;
    let edit = async |change: serde_json::Value| {
        let params = PatchParams::default();
        pods(&world).patch("arena-1", &params, &Patch::Merge(change)).await.expect("patched");
    };
    let owned = async |owner: &str| {
        world
            .until(&format!("the owner of arena-1 is {owner:?}"), async || {
                let found = owners(&world).await;
                if found.get("arena-1").is_some_and(|found| found == owner) {
                    Ok(())
                } else {
                    Err(format!("{found:?}"))
                }
            })
            .await;
    };
    edit(json!({"metadata": {"ownerReferences": null}})).await;
    owned("GameStatefulSet").await;

    edit(json!({"metadata": {"labels": {"app": "somebody-elses"}}})).await;
    owned("").await;
    // Its name is taken, so nothing is made in its place; and it is nobody's to delete.
    world.edit_set(SHANGHAI, "arena", &scaled(1)).await;
    world.quiet(30).await;
    assert!(pods(&world).get_opt("arena-1").await.expect("answered").is_some());

    world.edit_set(SHANGHAI, "arena", &scaled(2)).await;
    edit(json!({"metadata": {"labels": {"app": "arena"}}})).await;
    owned("GameStatefulSet").await;
    are(&world, &[0, 1], &[0, 1]).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "arena").await);
}
