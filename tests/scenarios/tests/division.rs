//! How many replicas go where: preferences, pins, and objects without a preference.

use kube::api::{Api, DeleteParams};
use muster_crds::keys::annotation;
use muster_crds::scheduling::ReplicaSchedulingPreference;
use serde_json::{Value, json};

use crate::support::manifests::overrides;
use crate::support::status::seats;
use crate::support::{CHENGDU, NAMESPACE, NANJING, SHANGHAI, Setup, World, game, merged, preference};

const BOTH: [&str; 2] = [SHANGHAI, NANJING];

#[tokio::test(start_paused = true)]
async fn kubefed_d8_without_a_preference_the_plan_waits_a_moment_and_then_every_cluster_gets_all_replicas() {
    let world = World::two().await;
    let began = world.now();
    world.apply(&game("lobby", 3, &BOTH)).await;
    world.says("lobby", "Planned", "False", &["ReplicaSchedulingPreference"]).await;
    for member in BOTH {
        assert!(!world.has_set(member, "lobby").await, "nothing is planned before the delay");
    }
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 3)]).await;
    let waited = world.now().duration_since(began);
    assert!(waited.unsigned_abs().as_secs() >= 2, "planned after {waited:#}");
}

#[tokio::test(start_paused = true)]
async fn kubefed_d8_a_preference_that_comes_within_the_delay_is_in_time() {
    let world = World::two().await;
    world.apply(&game("lobby", 10, &BOTH)).await;
    world.seconds(1).await;
    world.apply(&preference("lobby", &[(SHANGHAI, 3), (NANJING, 2)])).await;
    let most = world.film(NANJING, "lobby").await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    assert_eq!(most.most_pods(), 4, "there were never more than its share");
}

#[tokio::test(start_paused = true)]
async fn fed_c1_an_object_to_be_duplicated_does_not_wait() {
    let world = World::two().await;
    let began = world.now();
    let asked = json!({"metadata": {"annotations": {annotation::DIVISION: annotation::DIVISION_DUPLICATE}}});
    world.apply(&merged(game("lobby", 3, &BOTH), &asked)).await;
    world
        .until("the sets are there", async || {
            for member in BOTH {
                if !world.has_set(member, "lobby").await {
                    return Err(format!("not in {member}"));
                }
            }
            Ok(())
        })
        .await;
    let waited = world.now().duration_since(began);
    assert!(waited.unsigned_abs().as_secs() < 2, "planned after {waited:#}");
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 3)]).await;
}

#[tokio::test(start_paused = true)]
async fn pain_u34_a_deleted_preference_leaves_the_seats_until_replicas_change() {
    let world = World::two().await;
    world.apply(&preference("lobby", &[(SHANGHAI, 3), (NANJING, 2)])).await;
    world.apply(&game("lobby", 10, &BOTH)).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    let pods = world.pods(NANJING, "lobby").await;
    let preferences: Api<ReplicaSchedulingPreference> = Api::namespaced(world.hub(), NAMESPACE);
    preferences.delete("lobby", &DeleteParams::default()).await.expect("deleted");
    world.says("lobby", "Planned", "False", &["preference", "deleted"]).await;
    world.quiet(60).await;
    world.restart_hub().await;
    world.quiet(60).await;
    assert_eq!(seats(&world.game("lobby").await), [(NANJING.to_owned(), 4), (SHANGHAI.to_owned(), 6)].into());
    pods.assert_untouched_in(&world.pods(NANJING, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn kubefed_d8_the_preferences_total_wins_and_that_is_said() {
    let world = World::two().await;
    let total = json!({"spec": {"totalReplicas": 5}});
    world.apply(&merged(preference("lobby", &[(SHANGHAI, 3), (NANJING, 2)]), &total)).await;
    world.apply(&game("lobby", 50, &BOTH)).await;
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 2)]).await;
    world.says("lobby", "Planned", "True", &["totalReplicas", "50"]).await;
    world.edit_preference("lobby", &json!({"spec": {"totalReplicas": 10}})).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
}

#[tokio::test(start_paused = true)]
async fn pain_u21_an_override_of_replicas_pins_a_cluster_and_the_others_share_the_rest() {
    let world = World::start(Setup::new(&[SHANGHAI, NANJING, CHENGDU])).await;
    let weights = [(SHANGHAI, 1), (NANJING, 1), (CHENGDU, 1)];
    world.apply(&preference("lobby", &weights)).await;
    let pin = |seats: i64| json!({"spec": {"overrides": [overrides(CHENGDU, &[("/spec/replicas", json!(seats))])]}});
    world.apply(&merged(game("lobby", 12, &[SHANGHAI, NANJING, CHENGDU]), &pin(2))).await;
    world.settled("lobby", &[(SHANGHAI, 5), (NANJING, 5), (CHENGDU, 2)]).await;
    world.scale("lobby", 14).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 6), (CHENGDU, 2)]).await;
    world.edit("lobby", &pin(6)).await;
    world.settled("lobby", &[(SHANGHAI, 4), (NANJING, 4), (CHENGDU, 6)]).await;
    world.edit("lobby", &pin(20)).await;
    world.says("lobby", "PinsExceedTotal", "True", &["6"]).await;
}

#[tokio::test(start_paused = true)]
async fn pain_u21_minimum_and_maximum_of_a_cluster_hold() {
    let world = World::two().await;
    let bounds = json!({"spec": {"clusters": {
        SHANGHAI: {"weight": 9, "maxReplicas": 4},
        NANJING: {"weight": 1, "minReplicas": 2},
    }}});
    world.apply(&merged(preference("lobby", &[]), &bounds)).await;
    world.apply(&game("lobby", 3, &BOTH)).await;
    world.settled("lobby", &[(SHANGHAI, 1), (NANJING, 2)]).await;
    world.scale("lobby", 10).await;
    world.settled("lobby", &[(SHANGHAI, 4), (NANJING, 6)]).await;
    world.edit_preference("lobby", &json!({"spec": {"clusters": {NANJING: {"maxReplicas": 5}}}})).await;
    world.says("lobby", "Planned", "False", &["1 of 10"]).await;
    world
        .until("Nanjing keeps to its maximum", async || {
            let pods = world.pods(NANJING, "lobby").await.len();
            if pods == 5 { Ok(()) } else { Err(format!("{pods} pods")) }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn fed_c2_a_selector_places_by_label_and_follows_it() {
    let world = World::start(Setup::new(&[SHANGHAI, NANJING, CHENGDU])).await;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    let chosen = |names: &[&str]| {
        json!({"spec": {"placement": {"clusters": null, "clusterSelector": {
            "matchExpressions": [{"key": "name", "operator": "In", "values": names}],
        }}}})
    };
    world.apply(&merged(game("lobby", 8, &[]), &chosen(&[SHANGHAI, NANJING]))).await;
    world.settled("lobby", &[(SHANGHAI, 4), (NANJING, 4)]).await;
    world.edit("lobby", &chosen(&[SHANGHAI, NANJING, CHENGDU])).await;
    world.settled("lobby", &[(SHANGHAI, 4), (NANJING, 4)]).await;
    world.scale("lobby", 12).await;
    world.settled("lobby", &[(SHANGHAI, 4), (NANJING, 4), (CHENGDU, 4)]).await;
}

#[tokio::test(start_paused = true)]
async fn fed_c2_placement_follows_the_truth_table() {
    let world = World::two().await;
    world.apply(&preference("nowhere", &[("*", 1)])).await;
    let table: [(Value, &[(&str, i64)]); 5] = [
        (json!({}), &[]),
        (json!({"clusters": []}), &[]),
        (json!({"clusters": [], "clusterSelector": {}}), &[]),
        (json!({"clusterSelector": {}}), &[(SHANGHAI, 2), (NANJING, 2)]),
        (json!({"clusters": [{"name": NANJING}], "clusterSelector": {}}), &[(NANJING, 4)]),
    ];
    for (at, (placement, expected)) in table.into_iter().enumerate() {
        let name = format!("table-{at}");
        let mut object = game(&name, 4, &[]);
        object["spec"]["placement"] = placement;
        world.apply(&preference(&name, &[("*", 1)])).await;
        world.apply(&object).await;
        if expected.is_empty() {
            world.says(&name, "Planned", "False", &["spec.placement"]).await;
            world.quiet(5).await;
            for member in BOTH {
                assert!(!world.has_set(member, &name).await, "{name} is in {member}");
            }
        } else {
            world.settled(&name, expected).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hpa_h1_a_member_that_owns_its_replicas_keeps_them_through_an_image_change() {
    let world = World::two().await;
    world.apply(&preference("lobby", &[(SHANGHAI, 1), (NANJING, 1)])).await;
    world.apply(&merged(game("lobby", 8, &BOTH), &json!({"spec": {"retainReplicas": true}}))).await;
    world
        .until("both have their first four", async || {
            for member in BOTH {
                let pods = world.pods(member, "lobby").await.len();
                if pods != 4 {
                    return Err(format!("{pods} in {member}"));
                }
            }
            Ok(())
        })
        .await;
    world.edit_set(SHANGHAI, "lobby", &json!({"spec": {"replicas": 6}})).await;
    world.set_settled(SHANGHAI, "lobby", 6).await;
    world.edit("lobby", &crate::support::manifests::with_image("v2")).await;
    world
        .until("the new image runs everywhere", async || {
            for (member, count) in [(SHANGHAI, 6), (NANJING, 4)] {
                let pods = world.pods(member, "lobby").await;
                let new = pods
                    .iter()
                    .filter(|pod| pod.ready && pod.runs("server") == crate::support::manifests::image("v2"))
                    .count();
                if (pods.len(), new) != (count, count) {
                    return Err(format!("{member}: {new} of {} pods", pods.len()));
                }
            }
            Ok(())
        })
        .await;
    assert_eq!(world.set(SHANGHAI, "lobby").await.spec.replicas, Some(6));
}
