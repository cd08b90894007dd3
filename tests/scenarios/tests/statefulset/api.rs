//! A set as an object of the API: its sub-resources, and many at once.

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use super::arena;
use crate::support::{SHANGHAI, merged, set};

#[tokio::test(start_paused = true)]
async fn sts_e11_a_set_scales_through_its_sub_resource() {
    let world = arena(2, &json!({})).await;
    world.set_settled(SHANGHAI, "arena", 2).await;
    let scale = Patch::Merge(json!({"spec": {"replicas": 4}}));
    world.sets(SHANGHAI).patch_scale("arena", &PatchParams::default(), &scale).await.expect("scaled");
    world.set_settled(SHANGHAI, "arena", 4).await;
    let scale = world.sets(SHANGHAI).get_scale("arena").await.expect("answered");
    let status = scale.status.expect("a status");
    assert_eq!((status.replicas, status.selector.as_deref()), (4, Some("app=arena")));
}

#[tokio::test(start_paused = true)]
async fn sts_e12_a_collection_of_sets_is_listed_patched_and_deleted_with_its_pods() {
    let world = arena(1, &json!({})).await;
    let labelled = |name: &str| merged(set(name, 1), &json!({"metadata": {"labels": {"season": "winter"}}}));
    for name in ["lobby", "lounge"] {
        world.apply_in(SHANGHAI, &labelled(name)).await;
    }
    for name in ["arena", "lobby", "lounge"] {
        world.set_settled(SHANGHAI, name, 1).await;
    }
    let winter = ListParams::default().labels("season=winter");
    let names = async || {
        let list = world.sets(SHANGHAI).list(&winter).await.expect("listed");
        list.into_iter().filter_map(|set| set.metadata.name).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["lobby", "lounge"]);
    let patch = Patch::Merge(json!({"metadata": {"labels": {"season": "summer"}}}));
    world.sets(SHANGHAI).patch("lounge", &PatchParams::default(), &patch).await.expect("patched");
    assert_eq!(names().await, ["lobby"]);
    world.set_settled(SHANGHAI, "lounge", 1).await;

    let all = ListParams::default().labels("season");
    world.sets(SHANGHAI).delete_collection(&DeleteParams::background(), &all).await.expect("deleted");
    world
        .until("sets of a season are gone with their pods", async || {
            let sets =
                world.sets(SHANGHAI).list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let left = world.pods(SHANGHAI, "lobby").await.len() + world.pods(SHANGHAI, "lounge").await.len();
            if sets.items.len() == 1 && left == 0 {
                Ok(())
            } else {
                Err(format!("{} sets, {left} pods", sets.items.len()))
            }
        })
        .await;
    world.set_settled(SHANGHAI, "arena", 1).await;
}

#[tokio::test(start_paused = true)]
async fn sts_e13_a_status_is_written_apart_from_the_spec_and_put_right_by_the_controller() {
    let world = arena(2, &json!({})).await;
    world.set_settled(SHANGHAI, "arena", 2).await;
    let before = world.set(SHANGHAI, "arena").await;
    let wrong = json!({"spec": {"replicas": 7}, "status": {"readyReplicas": 9}});
    let params = PatchParams::default();
    let sets = world.sets(SHANGHAI);
    let written = sets.patch_status("arena", &params, &Patch::Merge(&wrong)).await.expect("patched");
    assert_eq!(written.spec.replicas, Some(2), "the sub-resource leaves the spec alone");
    assert_eq!(written.metadata.generation, before.metadata.generation);
    assert_eq!(written.status.map(|status| status.ready_replicas), Some(9));
    // The spec is as it was, so that nothing but the wrong status tells the controller that it has to write.
    world.set_settled(SHANGHAI, "arena", 2).await;

    let through_the_object = json!({"status": {"readyReplicas": 9}});
    let written = sets.patch("arena", &params, &Patch::Merge(&through_the_object)).await.expect("patched");
    assert_eq!(written.status.map(|status| status.ready_replicas), Some(2));
}
