//! Updates in place: the pod stays, one container starts anew.

use std::time::Duration;

use jiff::SignedDuration;
use muster_crds::keys::condition;
use muster_crds::tkex::GameStatefulSet;
use serde_json::{Value, json};

use crate::support::manifests::{image, set_image, with_image};
use crate::support::{NANJING, SHANGHAI, Setup, World, condition as found, game, merged, preference, set};

/// A set of `replicas` pods that a user made in a cluster of their own, changed by `change`.
async fn arena(replicas: i64, change: &Value) -> World {
    let world = World::start(Setup::new(&[SHANGHAI])).await;
    world.namespace_in(SHANGHAI).await;
    world.apply_in(SHANGHAI, &merged(set("arena", replicas), change)).await;
    world.set_settled(SHANGHAI, "arena", replicas).await;
    world
}

fn strategy(grace: i64, max_unavailable: &Value) -> Value {
    json!({"spec": {"updateStrategy": {
        "inPlaceUpdateStrategy": {"gracePeriodSeconds": grace},
        "rollingUpdate": {"maxUnavailable": max_unavailable},
    }}})
}

/// Waits until a set says something in one of its conditions.
async fn says(world: &World, type_: &str, words: &[&str]) -> GameStatefulSet {
    world
        .until(&format!("{type_} says {words:?}"), async || {
            let set = world.set(SHANGHAI, "arena").await;
            let conditions = set.status.clone().unwrap_or_default().conditions;
            let said = found(&conditions, type_).and_then(|one| one.message.clone()).unwrap_or_default();
            if words.iter().all(|word| said.contains(word)) {
                Ok(set)
            } else {
                Err(format!("{conditions:?}"))
            }
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn inplace_i1_an_image_change_of_a_federated_set_keeps_uid_address_and_node_and_restarts_one_container()
{
    let world = World::two().await;
    world.apply(&preference("lobby", &[(SHANGHAI, 3), (NANJING, 2)])).await;
    let change = json!({"spec": {"template": strategy(5, &json!(2))}});
    world.apply(&merged(game("lobby", 10, &[SHANGHAI, NANJING]), &change)).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    let before = [world.pods(SHANGHAI, "lobby").await, world.pods(NANJING, "lobby").await];
    let films = [world.film(SHANGHAI, "lobby").await, world.film(NANJING, "lobby").await];

    world.edit("lobby", &with_image("v2")).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;

    for (at, member) in [SHANGHAI, NANJING].into_iter().enumerate() {
        let after = world.pods(member, "lobby").await;
        for old in before[at].iter() {
            let new = &after.0[&old.name];
            assert_eq!((&new.uid, &new.ip, &new.node), (&old.uid, &old.ip, &old.node));
            assert_eq!(new.runs("server"), image("v2"));
            assert_ne!(new.running["server"].id, old.running["server"].id);
            assert_eq!(new.running["server"].restarts, old.running["server"].restarts + 1);
            assert_eq!(new.running["sidecar"], old.running["sidecar"], "the other container goes on");
        }
        let turns = films[at].turns("server", &image("v2"));
        assert_eq!(turns.len(), before[at].len());
        for turn in turns {
            turn.assert_graceful(SignedDuration::from_secs(5));
        }
        let most = films[at].most_unready(before[at].len());
        assert!((1..=2).contains(&most), "{most} pods of {member} were out at once, 2 may be");
        assert_eq!(films[at].deleted(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn inplace_i13_the_gate_is_closed_for_the_whole_grace_and_not_much_longer() {
    let world = arena(4, &strategy(30, &json!(4))).await;
    let film = world.film(SHANGHAI, "arena").await;
    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    world.set_settled(SHANGHAI, "arena", 4).await;
    let longest = Duration::from_secs(30) + world.allowed(Duration::from_secs(1));
    for turn in film.turns("server", &image("v2")) {
        turn.assert_graceful(SignedDuration::from_secs(30));
        let waited = turn.patched.duration_since(turn.closed);
        assert!(waited.unsigned_abs() <= longest, "{}: patched only after {waited:#}", turn.pod);
    }
}

#[tokio::test(start_paused = true)]
async fn inplace_budget_is_a_quarter_of_a_parallel_set_and_of_an_ordered_one_a_single_pod() {
    let none = json!({"spec": {"updateStrategy": {"inPlaceUpdateStrategy": {"gracePeriodSeconds": 2}}}});
    for (policy, budget) in [("Parallel", 3), ("OrderedReady", 1)] {
        let world = arena(9, &merged(none.clone(), &json!({"spec": {"podManagementPolicy": policy}}))).await;
        let film = world.film(SHANGHAI, "arena").await;
        world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
        world.set_settled(SHANGHAI, "arena", 9).await;
        assert_eq!(film.most_unready(9), budget, "{policy}");
        let order: Vec<String> =
            film.patched("server", &image("v2")).into_iter().map(|(pod, _)| pod).collect();
        if policy == "OrderedReady" {
            let expected: Vec<String> = (0..9).rev().map(|ordinal| format!("arena-{ordinal}")).collect();
            assert_eq!(order, expected, "the highest ordinal goes first");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn inplace_i2_two_changed_containers_are_restarted_once_each() {
    let world = arena(3, &json!({})).await;
    let before = world.pods(SHANGHAI, "arena").await;
    let both = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "server", "image": image("v2")},
        {"name": "sidecar", "image": "registry.example.com/games/sidecar:v8"},
    ]}}}});
    world.edit_set(SHANGHAI, "arena", &both).await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    let after = world.pods(SHANGHAI, "arena").await;
    before.assert_kept_in(&after);
    for pod in after.iter() {
        assert_eq!((pod.running["server"].restarts, pod.running["sidecar"].restarts), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn inplace_i7_a_rollback_during_the_rollout_ends_with_every_pod_on_the_old_image() {
    let world = arena(6, &strategy(2, &json!(2))).await;
    let before = world.pods(SHANGHAI, "arena").await;
    let film = world.film(SHANGHAI, "arena").await;
    let first = world.set(SHANGHAI, "arena").await.status.unwrap_or_default().update_revision;
    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    world.seconds(4).await;
    world.edit_set(SHANGHAI, "arena", &set_image("v1")).await;
    world.set_settled(SHANGHAI, "arena", 6).await;
    let after = world.pods(SHANGHAI, "arena").await;
    before.assert_kept_in(&after);
    assert!(after.iter().all(|pod| pod.runs("server") == image("v1")));
    assert!(after.iter().any(|pod| pod.running["server"].restarts == 0), "not every pod had begun");
    assert!(film.most_unready(6) <= 2);
    let last = world.set(SHANGHAI, "arena").await.status.unwrap_or_default().update_revision;
    assert_eq!(first, last, "the old revision is used again");
}

#[tokio::test(start_paused = true)]
async fn inplace_i8_a_template_changed_three_times_in_one_rollout_patches_each_pod_at_most_once_per_revision()
{
    let world = arena(6, &strategy(2, &json!(2))).await;
    let before = world.pods(SHANGHAI, "arena").await;
    let film = world.film(SHANGHAI, "arena").await;
    for tag in ["v2", "v3", "v4"] {
        world.edit_set(SHANGHAI, "arena", &set_image(tag)).await;
        world.seconds(1).await;
    }
    world.set_settled(SHANGHAI, "arena", 6).await;
    let after = world.pods(SHANGHAI, "arena").await;
    before.assert_kept_in(&after);
    for pod in after.iter() {
        assert_eq!(pod.runs("server"), image("v4"));
        assert!(
            pod.running["server"].restarts <= 2,
            "{} restarted {} times",
            pod.name,
            pod.running["server"].restarts
        );
    }
    assert!(film.most_unready(6) <= 2);
}

#[tokio::test(start_paused = true)]
async fn inplace_i9_a_changed_label_of_the_template_reaches_the_pods_without_a_restart() {
    let world = arena(3, &json!({})).await;
    let before = world.pods(SHANGHAI, "arena").await;
    world
        .edit_set(
            SHANGHAI,
            "arena",
            &json!({"spec": {"template": {"metadata": {"labels": {"season": "winter"}}}}}),
        )
        .await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "arena").await);
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(world.member(SHANGHAI), crate::support::NAMESPACE);
    let labelled =
        pods.list(&kube::api::ListParams::default().labels("season=winter")).await.expect("listed");
    assert_eq!(labelled.items.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn inplace_i12_a_change_that_no_running_pod_can_take_is_refused_by_name_and_the_rest_goes_on() {
    let world = arena(3, &json!({})).await;
    let before = world.pods(SHANGHAI, "arena").await;
    let environment = json!({"spec": {"replicas": 4, "template": {"spec": {"containers": [
        {"name": "server", "image": image("v2"), "env": [{"name": "MODE", "value": "ranked"}]},
        {"name": "sidecar", "image": "registry.example.com/games/sidecar:v7"},
    ]}}}});
    world.edit_set(SHANGHAI, "arena", &environment).await;
    says(&world, condition::UPDATE_REFUSED, &["env"]).await;
    world
        .until("the fourth pod is ready", async || {
            let pods = world.pods(SHANGHAI, "arena").await;
            let ready = pods.iter().filter(|pod| pod.ready).count();
            if ready == 4 { Ok(()) } else { Err(format!("{ready} ready")) }
        })
        .await;
    let after = world.pods(SHANGHAI, "arena").await;
    before.assert_kept_in(&after);
    assert!(
        after.iter().all(|pod| pod.runs("server") == image("v1")),
        "new pods too stay on the accepted revision"
    );

    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    world.set_settled(SHANGHAI, "arena", 4).await;
    let after = world.pods(SHANGHAI, "arena").await;
    before.assert_kept_in(&after);
    assert!(after.iter().all(|pod| pod.runs("server") == image("v2")));
}

#[tokio::test(start_paused = true)]
async fn inplace_i15_a_partition_keeps_low_ordinals_on_the_old_image_until_it_is_lowered() {
    let partition = |count: i64| json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": count}}}});
    let world = arena(5, &partition(3)).await;
    let before = world.pods(SHANGHAI, "arena").await;
    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    let on_v2 = async |expected: &[usize]| {
        world
            .until(&format!("ordinals {expected:?} are ready on v2"), async || {
                let pods = world.pods(SHANGHAI, "arena").await;
                let mut new: Vec<usize> = pods
                    .iter()
                    .filter(|pod| pod.runs("server") == image("v2"))
                    .map(crate::support::PodView::ordinal)
                    .collect();
                new.sort_unstable();
                let ready = pods.iter().all(|pod| pod.ready);
                if new == expected && ready { Ok(()) } else { Err(format!("{new:?}, all ready: {ready}")) }
            })
            .await;
    };
    on_v2(&[3, 4]).await;
    world.quiet(60).await;
    on_v2(&[3, 4]).await;
    world.edit_set(SHANGHAI, "arena", &partition(1)).await;
    on_v2(&[1, 2, 3, 4]).await;
    world.edit_set(SHANGHAI, "arena", &partition(0)).await;
    world.set_settled(SHANGHAI, "arena", 5).await;
    before.assert_kept_in(&world.pods(SHANGHAI, "arena").await);
}

#[tokio::test(start_paused = true)]
async fn inplace_i16_a_pod_deleted_in_the_middle_of_its_update_comes_back_with_the_new_image() {
    let world = arena(3, &strategy(5, &json!(1))).await;
    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    world.seconds(2).await;
    world.delete_pod(SHANGHAI, "arena-2").await;
    world.set_settled(SHANGHAI, "arena", 3).await;
    let pods = world.pods(SHANGHAI, "arena").await;
    assert_eq!(pods.0["arena-2"].running["server"].restarts, 0, "it was made anew");
    assert!(pods.iter().all(|pod| pod.runs("server") == image("v2")));
}

#[tokio::test(start_paused = true)]
async fn inplace_scale_up_during_a_rollout_gives_new_pods_the_new_image_at_once() {
    let world = arena(4, &strategy(2, &json!(1))).await;
    let before = world.pods(SHANGHAI, "arena").await;
    let film = world.film(SHANGHAI, "arena").await;
    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    world.seconds(1).await;
    world.edit_set(SHANGHAI, "arena", &json!({"spec": {"replicas": 6}})).await;
    world.set_settled(SHANGHAI, "arena", 6).await;
    let after = world.pods(SHANGHAI, "arena").await;
    before.assert_kept_in(&after);
    for name in ["arena-4", "arena-5"] {
        assert_eq!(after.0[name].running["server"].restarts, 0, "{name} began with the new image");
    }
    assert!(film.most_disrupted() <= 1, "{} at once", film.most_disrupted());
}
