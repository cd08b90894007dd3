//! What is ours in a member, what is not, and what people do there.

use kube::ResourceExt;
use muster_crds::keys::{annotation, label, word};
use serde_json::{Value, json};

use crate::support::manifests::{image, with_image};
use crate::support::{NAMESPACE, NANJING, SHANGHAI, World, game, merged, preference, row, set};

async fn lobby() -> World {
    let world = World::two().await;
    world.apply(&preference("lobby", &[(SHANGHAI, 1), (NANJING, 1)])).await;
    world.apply(&game("lobby", 6, &[SHANGHAI, NANJING])).await;
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 3)]).await;
    world
}

/// Waits until a cluster's row has this word.
async fn word_of(world: &World, member: &str, word: &str) {
    world
        .until(&format!("{member} says {word}"), async || {
            let row = row(&world.game("lobby").await, member);
            if row.status.as_deref().unwrap_or_default() == word { Ok(()) } else { Err(format!("{row:?}")) }
        })
        .await;
}

/// A set of the same name that somebody made in Shanghai before.
async fn taken(tag: &str) -> World {
    let world = World::two().await;
    world.namespace_in(SHANGHAI).await;
    let containers = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "server", "image": image(tag)},
        {"name": "sidecar", "image": "registry.example.com/games/sidecar:v7"},
    ]}}}});
    world.apply_in(SHANGHAI, &merged(set("lobby", 3), &containers)).await;
    world.set_settled(SHANGHAI, "lobby", 3).await;
    world.apply(&preference("lobby", &[(SHANGHAI, 1), (NANJING, 1)])).await;
    world
}

fn adopt(value: &str) -> Value {
    json!({"metadata": {"annotations": {annotation::ADOPT: value}}})
}

#[tokio::test(start_paused = true)]
async fn fed_c17_an_object_that_exists_is_left_alone_and_named_until_adoption_is_asked_for() {
    let world = taken("v0").await;
    let before = world.pods(SHANGHAI, "lobby").await;
    world.apply(&game("lobby", 6, &[SHANGHAI, NANJING])).await;
    word_of(&world, SHANGHAI, word::ALREADY_EXISTS).await;
    world
        .until("Nanjing goes on", async || {
            let ready = world.pods(NANJING, "lobby").await.iter().filter(|pod| pod.ready).count();
            if ready == 3 { Ok(()) } else { Err(format!("{ready} ready")) }
        })
        .await;
    world.quiet(30).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    assert!(!world.set(SHANGHAI, "lobby").await.annotations().contains_key(annotation::TRACKING));

    world.edit("lobby", &adopt(annotation::ADOPT_ALWAYS)).await;
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 3)]).await;
    let after = world.pods(SHANGHAI, "lobby").await;
    before.assert_kept_in(&after);
    assert!(after.iter().all(|pod| pod.runs("server") == image("v1")), "it now is as wanted");
}

#[tokio::test(start_paused = true)]
async fn fed_c17_adoption_if_nothing_differs_takes_an_equal_object_without_touching_a_pod() {
    let world = taken("v1").await;
    let before = world.pods(SHANGHAI, "lobby").await;
    world.apply(&merged(game("lobby", 6, &[SHANGHAI, NANJING]), &adopt(annotation::ADOPT_IF_NO_DIFF))).await;
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 3)]).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    assert!(world.set(SHANGHAI, "lobby").await.annotations().contains_key(annotation::TRACKING));
}

#[tokio::test(start_paused = true)]
async fn fed_c17_adoption_if_nothing_differs_refuses_a_different_object_and_says_where() {
    let world = taken("v0").await;
    let before = world.pods(SHANGHAI, "lobby").await;
    world.apply(&merged(game("lobby", 6, &[SHANGHAI, NANJING]), &adopt(annotation::ADOPT_IF_NO_DIFF))).await;
    word_of(&world, SHANGHAI, word::ALREADY_EXISTS).await;
    let message = row(&world.game("lobby").await, SHANGHAI).message.unwrap_or_default();
    assert!(message.contains("differs"), "{message}");
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn fed_c5_deleting_leaves_an_object_that_was_never_ours() {
    let world = taken("v0").await;
    let before = world.pods(SHANGHAI, "lobby").await;
    world.apply(&game("lobby", 6, &[SHANGHAI, NANJING])).await;
    word_of(&world, SHANGHAI, word::ALREADY_EXISTS).await;
    world.delete_game("lobby").await;
    world
        .until("it is released", async || match world.games().get_opt("lobby").await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    world.quiet(30).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn hpa_h12_what_a_person_changes_in_a_member_is_changed_back() {
    let world = lobby().await;
    let grace = |set: muster_crds::tkex::GameStatefulSet| {
        let strategy = set.spec.update_strategy.and_then(|strategy| strategy.in_place_update_strategy);
        strategy.and_then(|strategy| strategy.grace_period_seconds)
    };
    let pods = world.pods(SHANGHAI, "lobby").await;
    let change = json!({"spec": {"updateStrategy": {"inPlaceUpdateStrategy": {"gracePeriodSeconds": 99}}}});
    world.edit_set(SHANGHAI, "lobby", &change).await;
    world
        .until("the grace is one second again", async || {
            let grace = grace(world.set(SHANGHAI, "lobby").await);
            if grace == Some(1) { Ok(()) } else { Err(format!("{grace:?}")) }
        })
        .await;
    pods.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);

    world.edit_set(SHANGHAI, "lobby", &json!({"spec": {"replicas": 5}})).await;
    world.seconds(5).await;
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 3)]).await;
    pods.assert_kept_in(&world.pods(SHANGHAI, "lobby").await);

    // What nobody here wrote stays.
    world.edit_set(SHANGHAI, "lobby", &json!({"metadata": {"labels": {"on-call": "ming"}}})).await;
    world.quiet(30).await;
    let labels = world.set(SHANGHAI, "lobby").await.labels().clone();
    assert_eq!(labels.get("on-call").map(String::as_str), Some("ming"));
}

#[tokio::test(start_paused = true)]
async fn fed_c9_two_who_change_one_field_back_and_forth_are_told_apart_and_muster_stops() {
    let world = lobby().await;
    let change = json!({"spec": {"updateStrategy": {"inPlaceUpdateStrategy": {"gracePeriodSeconds": 99}}}});
    for _ in 0..8 {
        world.edit_set(SHANGHAI, "lobby", &change).await;
        world.seconds(2).await;
    }
    world
        .until("contention is said", async || {
            let message = row(&world.game("lobby").await, SHANGHAI).message.unwrap_or_default();
            if message.contains("contention") && message.contains("gracePeriodSeconds") {
                Ok(())
            } else {
                Err(message)
            }
        })
        .await;
    let before = world.writes(SHANGHAI);
    world.quiet(30).await;
    assert_eq!(
        world.writes(SHANGHAI).since(&before).of("patch", "gamestatefulsets"),
        0,
        "it stopped writing"
    );
}

#[tokio::test(start_paused = true)]
async fn fed_c2_a_member_opts_out_with_a_label_and_in_again() {
    let world = lobby().await;
    let before = world.pods(SHANGHAI, "lobby").await;
    world.edit_set(SHANGHAI, "lobby", &json!({"metadata": {"labels": {label::MANAGED: "false"}}})).await;
    word_of(&world, SHANGHAI, word::MANAGED_LABEL_FALSE).await;
    world.edit("lobby", &with_image("v2")).await;
    world
        .until("Nanjing follows", async || {
            let pods = world.pods(NANJING, "lobby").await;
            let new = pods.iter().filter(|pod| pod.ready && pod.runs("server") == image("v2")).count();
            if new == 3 { Ok(()) } else { Err(format!("{new} new")) }
        })
        .await;
    world.quiet(30).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);

    world.edit_set(SHANGHAI, "lobby", &json!({"metadata": {"labels": {label::MANAGED: "true"}}})).await;
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 3)]).await;
    let after = world.pods(SHANGHAI, "lobby").await;
    before.assert_kept_in(&after);
    assert!(after.iter().all(|pod| pod.runs("server") == image("v2")));
}

#[tokio::test(start_paused = true)]
async fn fed_c2_a_set_deleted_in_a_member_is_made_again() {
    let world = lobby().await;
    let nanjing = world.pods(NANJING, "lobby").await;
    let params = kube::api::DeleteParams::background();
    let before = world.set(SHANGHAI, "lobby").await.metadata.uid;
    world.sets(SHANGHAI).delete("lobby", &params).await.expect("deleted");
    world
        .until("another set is there", async || {
            let found = world.sets(SHANGHAI).get_opt("lobby").await.map_err(|error| error.to_string())?;
            match found.and_then(|set| set.metadata.uid) {
                Some(uid) if Some(&uid) != before.as_ref() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 3)]).await;
    nanjing.assert_untouched_in(&world.pods(NANJING, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn fed_c2_a_missing_namespace_is_made_in_the_member_and_stays_there() {
    let world = World::two().await;
    assert!(!world.has_namespace(SHANGHAI, NAMESPACE).await);
    world.apply(&preference("lobby", &[(SHANGHAI, 1)])).await;
    world.apply(&game("lobby", 2, &[SHANGHAI])).await;
    world.settled("lobby", &[(SHANGHAI, 2)]).await;
    assert!(world.has_namespace(SHANGHAI, NAMESPACE).await);
    assert!(!world.has_namespace(NANJING, NAMESPACE).await, "only where something goes");
    world.delete_game("lobby").await;
    world
        .until("the set is gone", async || {
            if world.has_set(SHANGHAI, "lobby").await { Err("it is there".to_owned()) } else { Ok(()) }
        })
        .await;
    world.quiet(30).await;
    assert!(world.has_namespace(SHANGHAI, NAMESPACE).await, "a namespace made on the way is never pruned");
}
