//! Taking away: clusters from placements, objects, and members that are away meanwhile.

use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use muster_crds::Tombstone;
use muster_crds::core_kubefed::KubeFedCluster;
use muster_crds::keys;
use serde_json::json;

use crate::support::status::seats;
use crate::support::{
    CHENGDU, NAMESPACE, NANJING, SHANGHAI, Setup, World, game, manifests, merged, preference, row,
};

async fn lobby(change: &serde_json::Value) -> World {
    let world = World::two().await;
    world.apply(&preference("lobby", &[(SHANGHAI, 3), (NANJING, 2)])).await;
    world.apply(&merged(game("lobby", 10, &[SHANGHAI, NANJING]), change)).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    world
}

fn placed(clusters: &[&str]) -> serde_json::Value {
    let clusters: Vec<_> = clusters.iter().map(|name| json!({"name": name})).collect();
    json!({"spec": {"placement": {"clusters": clusters}}})
}

/// Waits until a member has neither the set nor any pod of it.
async fn empty(world: &World, member: &str, name: &str) {
    world
        .until(&format!("{member} has nothing of {name}"), async || {
            let pods = world.pods(member, name).await.len();
            if pods == 0 && !world.has_set(member, name).await { Ok(()) } else { Err(format!("{pods} pods")) }
        })
        .await;
}

async fn gone_from_the_hub(world: &World, name: &str) {
    world
        .until(&format!("{name} is released"), async || match world.games().get_opt(name).await {
            Ok(None) => Ok(()),
            Ok(Some(game)) => Err(format!("finalizers {:?}", game.finalizers())),
            Err(error) => Err(error.to_string()),
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn fed_c2_a_cluster_taken_out_drains_while_the_others_grow_and_comes_back_when_added_again() {
    let world = lobby(&json!({})).await;
    let shanghai = world.pods(SHANGHAI, "lobby").await;

    world.edit("lobby", &placed(&[SHANGHAI])).await;
    empty(&world, NANJING, "lobby").await;
    world.settled("lobby", &[(SHANGHAI, 10)]).await;
    shanghai.assert_kept_in(&world.pods(SHANGHAI, "lobby").await);
    let game = world.game("lobby").await;
    assert_eq!(row(&game, NANJING).name, "", "a cluster that confirmed the removal has no row any more");

    let ten = world.pods(SHANGHAI, "lobby").await;
    world.edit("lobby", &placed(&[SHANGHAI, NANJING])).await;
    world.settled("lobby", &[(SHANGHAI, 10)]).await;
    ten.assert_kept_in(&world.pods(SHANGHAI, "lobby").await);
    world.scale("lobby", 20).await;
    world.settled("lobby", &[(SHANGHAI, 12), (NANJING, 8)]).await;
    ten.assert_kept_in(&world.pods(SHANGHAI, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn fed_c5_a_deleted_object_empties_its_members_and_is_released() {
    let world = lobby(&json!({})).await;
    let finalizers = world.game("lobby").await.finalizers().to_vec();
    assert!(finalizers.iter().any(|one| one == keys::finalizer::SYNC), "{finalizers:?}");
    world.delete_game("lobby").await;
    gone_from_the_hub(&world, "lobby").await;
    for member in [SHANGHAI, NANJING] {
        assert!(!world.has_set(member, "lobby").await, "released before {member} was empty");
        empty(&world, member, "lobby").await;
    }
}

#[tokio::test(start_paused = true)]
async fn pain_u35_an_orphaned_object_leaves_sets_and_pods_as_they_are_and_takes_its_marks_off() {
    let world = lobby(&json!({"metadata": {"annotations": {keys::annotation::ORPHAN: "true"}}})).await;
    let pods = world.pods(SHANGHAI, "lobby").await;
    world.delete_game("lobby").await;
    gone_from_the_hub(&world, "lobby").await;
    world.quiet(60).await;
    pods.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    let set = world.set(SHANGHAI, "lobby").await;
    assert!(!set.annotations().contains_key(keys::annotation::TRACKING), "{:?}", set.annotations());
    assert!(!set.labels().contains_key(keys::label::HUB), "{:?}", set.labels());
    assert!(!set.labels().contains_key(keys::label::MANAGED), "{:?}", set.labels());

    // It is a set of that cluster's own now, and its controller goes on.
    world.edit_set(SHANGHAI, "lobby", &json!({"spec": {"replicas": 7}})).await;
    world.set_settled(SHANGHAI, "lobby", 7).await;
}

#[tokio::test(start_paused = true)]
async fn kubefed_d6_deleting_does_not_wait_for_a_member_that_is_away_which_is_emptied_when_it_returns() {
    let world = lobby(&json!({})).await;
    let pods = world.pods(NANJING, "lobby").await;
    world.cut(NANJING);
    world.lost("lobby", NANJING).await;
    world.quiet(30).await;
    world.delete_game("lobby").await;
    gone_from_the_hub(&world, "lobby").await;
    empty(&world, SHANGHAI, "lobby").await;
    pods.assert_untouched_in(&world.pods(NANJING, "lobby").await);
    let tombstones: Api<Tombstone> = Api::all(world.hub());
    let kept = tombstones.list(&ListParams::default()).await.expect("listed");
    assert_eq!(kept.items.len(), 1, "one tombstone remembers it: {:?}", kept.items);

    world.restart_hub().await;
    world.mend(NANJING);
    empty(&world, NANJING, "lobby").await;
    world
        .until("the tombstone goes", async || {
            let kept = tombstones.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            if kept.items.is_empty() { Ok(()) } else { Err(format!("{:?}", kept.items)) }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn fed_c6_a_member_that_was_away_when_it_left_the_placement_is_emptied_when_it_returns() {
    let world = lobby(&json!({})).await;
    let pods = world.pods(NANJING, "lobby").await;
    world.cut(NANJING);
    world.lost("lobby", NANJING).await;
    world.quiet(30).await;
    world.edit("lobby", &placed(&[SHANGHAI])).await;
    world
        .until("Shanghai takes over", async || {
            let pods = world.pods(SHANGHAI, "lobby").await.len();
            if pods == 10 { Ok(()) } else { Err(format!("{pods} pods")) }
        })
        .await;
    world.restart_hub().await;
    world.quiet(60).await;
    let waiting = row(&world.game("lobby").await, NANJING);
    assert_eq!(waiting.status.as_deref(), Some(keys::word::WAITING_FOR_REMOVAL), "{waiting:?}");
    pods.assert_untouched_in(&world.pods(NANJING, "lobby").await);

    world.mend(NANJING);
    empty(&world, NANJING, "lobby").await;
    world.settled("lobby", &[(SHANGHAI, 10)]).await;
}

#[tokio::test(start_paused = true)]
async fn pain_u9_a_cluster_that_is_no_longer_registered_keeps_its_pods() {
    let world = lobby(&json!({})).await;
    let pods = world.pods(NANJING, "lobby").await;
    let clusters: Api<KubeFedCluster> = Api::namespaced(world.hub(), keys::FEDERATION_NAMESPACE);
    clusters.delete(NANJING, &DeleteParams::default()).await.expect("deleted");
    world.says("lobby", "UnknownClusters", "True", &["spec.placement.clusters", NANJING]).await;
    world.quiet(60).await;
    pods.assert_untouched_in(&world.pods(NANJING, "lobby").await);
    let game = world.game("lobby").await;
    assert!(seats(&game).get(SHANGHAI).is_some_and(|seats| *seats >= 6), "{:?}", seats(&game));
}

#[tokio::test(start_paused = true)]
async fn pain_u9_a_cluster_that_is_registered_again_is_taken_over_with_its_pods() {
    let world = lobby(&json!({})).await;
    let pods = world.pods(NANJING, "lobby").await;
    let clusters: Api<KubeFedCluster> = Api::namespaced(world.hub(), keys::FEDERATION_NAMESPACE);
    clusters.delete(NANJING, &DeleteParams::default()).await.expect("deleted");
    world.says("lobby", "UnknownClusters", "True", &[NANJING]).await;
    world.quiet(60).await;
    world.apply(&manifests::cluster(NANJING)).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    pods.assert_untouched_in(&world.pods(NANJING, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn pain_u20_a_cluster_that_joins_moves_nothing_and_takes_part_in_what_comes() {
    let world = World::start(Setup::new(&[SHANGHAI, NANJING]).later(CHENGDU)).await;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    let everywhere = json!({"spec": {"placement": {"clusters": null, "clusterSelector": {}}}});
    world.apply(&merged(game("lobby", 8, &[]), &everywhere)).await;
    world.settled("lobby", &[(SHANGHAI, 4), (NANJING, 4)]).await;
    let pods = world.pods(NANJING, "lobby").await;
    world.join(CHENGDU).await;
    world.quiet(30).await;
    world.settled("lobby", &[(SHANGHAI, 4), (NANJING, 4)]).await;
    world.scale("lobby", 12).await;
    world.settled("lobby", &[(SHANGHAI, 4), (NANJING, 4), (CHENGDU, 4)]).await;
    pods.assert_untouched_in(&world.pods(NANJING, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn fed_c7_an_object_deleted_and_made_anew_under_its_name_gets_new_pods_once() {
    let world = lobby(&json!({})).await;
    world.delete_game("lobby").await;
    gone_from_the_hub(&world, "lobby").await;
    world.apply(&game("lobby", 5, &[SHANGHAI, NANJING])).await;
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 2)]).await;
}

#[tokio::test(start_paused = true)]
async fn fed_c5_a_namespace_deleted_on_the_hub_takes_its_objects_along_and_leaves_the_members_namespaces() {
    let world = lobby(&json!({})).await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.hub());
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await.expect("deleted");
    world
        .until("the namespace goes", async || match namespaces.get_opt(NAMESPACE).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    for member in [SHANGHAI, NANJING] {
        empty(&world, member, "lobby").await;
        assert!(world.has_namespace(member, NAMESPACE).await, "it may hold more than what the hub knows");
    }
}

#[tokio::test(start_paused = true)]
async fn fed_c2_a_namespace_deleted_in_a_member_is_made_again_with_what_was_in_it() {
    let world = lobby(&json!({})).await;
    let nanjing = world.pods(NANJING, "lobby").await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.member(SHANGHAI));
    let before = namespaces.get(NAMESPACE).await.expect("it is there").metadata.uid;
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await.expect("deleted");
    world
        .until("another namespace is there", async || {
            let found = namespaces.get_opt(NAMESPACE).await.map_err(|error| error.to_string())?;
            match found.and_then(|namespace| namespace.metadata.uid) {
                Some(uid) if Some(&uid) != before.as_ref() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    nanjing.assert_untouched_in(&world.pods(NANJING, "lobby").await);
}
