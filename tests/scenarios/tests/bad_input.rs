//! Bad input: an answer that names object and field; what ran goes on, and so does everything else.

use serde_json::{Value, json};

use crate::support::manifests::{IMAGE_PATH, image, overrides, with_image};
use crate::support::status::{conditions, seats};
use crate::support::{NANJING, SHANGHAI, World, game, merged, preference, row};

const BOTH: [&str; 2] = [SHANGHAI, NANJING];

/// A world where `arena` runs well, and stays to be looked at.
struct Neighbourhood {
    world: World,
    arena: crate::support::Pods,
}

impl Neighbourhood {
    async fn start() -> Self {
        let world = World::two().await;
        world.apply(&preference("arena", &[("*", 1)])).await;
        world.apply(&game("arena", 4, &BOTH)).await;
        world.settled("arena", &[(SHANGHAI, 2), (NANJING, 2)]).await;
        let arena = world.pods(SHANGHAI, "arena").await;
        Self { world, arena }
    }

    /// The neighbour is as it was, and follows changes.
    async fn goes_on(&self) {
        self.arena.assert_untouched_in(&self.world.pods(SHANGHAI, "arena").await);
        self.world.scale("arena", 6).await;
        self.world.settled("arena", &[(SHANGHAI, 3), (NANJING, 3)]).await;
    }
}

/// Applies an object; either the API server refuses it in words that have all of `words`, or a condition of the
/// object `name` says them. True if it was accepted.
async fn complains(world: &World, name: &str, object: &Value, words: &[&str]) -> bool {
    if let Err(error) = world.try_apply(object).await {
        let message = error.to_string();
        assert!(
            words.iter().all(|word| message.contains(word)),
            "refused without saying {words:?}: {message}"
        );
        return false;
    }
    world
        .until(&format!("{name} complains of {words:?}"), async || {
            let game = world.game(name).await;
            let bad = conditions(&game).iter().filter(|one| one.message.is_some());
            let said: Vec<&str> = bad.filter_map(|one| one.message.as_deref()).collect();
            if said.iter().any(|message| words.iter().all(|word| message.contains(word))) {
                Ok(())
            } else {
                Err(format!("{said:?}"))
            }
        })
        .await;
    true
}

#[tokio::test(start_paused = true)]
async fn kubefed_d7_an_unknown_cluster_in_a_placement_is_named_and_the_known_ones_are_served() {
    let here = Neighbourhood::start().await;
    here.world.apply(&preference("lobby", &[("*", 1)])).await;
    here.world.apply(&game("lobby", 4, &[SHANGHAI, "atlantis"])).await;
    here.world.says("lobby", "UnknownClusters", "True", &["spec.placement.clusters", "atlantis"]).await;
    here.world
        .until("Shanghai runs all of them", async || {
            let ready = here.world.pods(SHANGHAI, "lobby").await.iter().filter(|pod| pod.ready).count();
            if ready == 4 { Ok(()) } else { Err(format!("{ready} ready")) }
        })
        .await;
    here.world.says("lobby", "Ready", "False", &["spec.placement.clusters", "atlantis"]).await;
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn pain_bad_override_path_holds_its_cluster_by_name_and_the_others_go_on() {
    let here = Neighbourhood::start().await;
    let world = &here.world;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    let bad = json!({"spec": {"overrides": [overrides(SHANGHAI, &[("/spec/nowhere/image", json!("x"))])]}});
    let object = merged(game("lobby", 4, &BOTH), &bad);
    assert!(complains(world, "lobby", &object, &["spec.overrides[0]", "/spec/nowhere/image"]).await);
    world
        .until("Nanjing gets its share", async || {
            let ready = world.pods(NANJING, "lobby").await.iter().filter(|pod| pod.ready).count();
            if ready > 0 { Ok(()) } else { Err("no pod".to_owned()) }
        })
        .await;
    assert!(!world.has_set(SHANGHAI, "lobby").await);
    let held = row(&world.game("lobby").await, SHANGHAI);
    assert_eq!(held.status.as_deref(), Some("ApplyOverridesFailed"), "{held:?}");

    let good = json!({"spec": {"overrides": [overrides(SHANGHAI, &[(IMAGE_PATH, json!(image("v9")))])]}});
    world.edit("lobby", &good).await;
    world
        .until("Shanghai gets its share", async || {
            let pods = world.pods(SHANGHAI, "lobby").await;
            let ready = pods.iter().filter(|pod| pod.ready && pod.runs("server") == image("v9")).count();
            if ready > 0 { Ok(()) } else { Err("no pod".to_owned()) }
        })
        .await;
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn pain_duplicate_cluster_in_overrides_is_named() {
    let here = Neighbourhood::start().await;
    let entry = |tag: &str| overrides(SHANGHAI, &[(IMAGE_PATH, json!(image(tag)))]);
    here.world.apply(&preference("lobby", &[("*", 1)])).await;
    let object = merged(game("lobby", 4, &BOTH), &json!({"spec": {"overrides": [entry("v2"), entry("v3")]}}));
    complains(&here.world, "lobby", &object, &["spec.overrides", SHANGHAI]).await;
    assert!(!here.world.has_set(SHANGHAI, "lobby").await);
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn pain_invalid_cluster_selector_is_named_and_nothing_is_removed() {
    let here = Neighbourhood::start().await;
    let world = &here.world;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    world.apply(&game("lobby", 4, &BOTH)).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let before = world.pods(SHANGHAI, "lobby").await;
    let mut object = game("lobby", 4, &[]);
    object["spec"]["placement"] = json!({"clusterSelector": {
        "matchExpressions": [{"key": "region", "operator": "Near", "values": ["sea"]}],
    }});
    complains(world, "lobby", &object, &["spec.placement.clusterSelector", "Near"]).await;
    world.quiet(30).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn pain_negative_replicas_are_named_and_change_nothing() {
    let here = Neighbourhood::start().await;
    let world = &here.world;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    world.apply(&game("lobby", 4, &BOTH)).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let before = world.pods(SHANGHAI, "lobby").await;
    complains(world, "lobby", &game("lobby", -4, &BOTH), &["lobby", "spec.template.spec.replicas", "-4"])
        .await;
    world.quiet(30).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn pain_minimum_over_maximum_is_named_with_its_preference_and_change_nothing() {
    let here = Neighbourhood::start().await;
    let world = &here.world;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    world.apply(&game("lobby", 4, &BOTH)).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let before = world.pods(SHANGHAI, "lobby").await;
    let bounds = json!({"spec": {"clusters": {SHANGHAI: {"weight": 1, "minReplicas": 5, "maxReplicas": 3}}}});
    let bad = merged(preference("lobby", &[("*", 1)]), &bounds);
    let words = ["ReplicaSchedulingPreference", "lobby", SHANGHAI, "minReplicas"];
    complains(world, "lobby", &bad, &words).await;
    world.scale("lobby", 10).await;
    world.quiet(30).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    assert_eq!(seats(&world.game("lobby").await).values().sum::<i64>(), 4, "the last good plan stays");

    world.apply(&preference("lobby", &[("*", 1)])).await;
    world.settled("lobby", &[(SHANGHAI, 5), (NANJING, 5)]).await;
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn pain_good_object_made_bad_goes_on_as_it_was_and_follows_again_when_it_is_good() {
    let here = Neighbourhood::start().await;
    let world = &here.world;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    world.apply(&game("lobby", 4, &BOTH)).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let before = [world.pods(SHANGHAI, "lobby").await, world.pods(NANJING, "lobby").await];
    let bad = json!({"spec": {
        "template": with_image("v2")["spec"]["template"],
        "overrides": [overrides(SHANGHAI, &[("/spec/nowhere/image", json!("x"))])],
    }});
    world.edit("lobby", &bad).await;
    world.says("lobby", "Planned", "False", &["lobby", "spec.overrides[0]", "/spec/nowhere/image"]).await;
    world.quiet(30).await;
    before[0].assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    before[1].assert_kept_in(&world.pods(NANJING, "lobby").await);

    // A pod that dies meanwhile is replaced, and a new hub does not lose what ran.
    world.restart_hub().await;
    world.delete_pod(SHANGHAI, "lobby-0").await;
    world.quiet(30).await;
    let ready = world.pods(SHANGHAI, "lobby").await.iter().filter(|pod| pod.ready).count();
    assert_eq!(ready, 2);

    world.edit("lobby", &json!({"spec": {"overrides": null}})).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let after = world.pods(SHANGHAI, "lobby").await;
    assert!(after.iter().all(|pod| pod.runs("server") == image("v2")));
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn pain_invalid_selector_of_the_set_is_named_and_other_objects_go_on() {
    let here = Neighbourhood::start().await;
    let world = &here.world;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    let selector = json!({"spec": {"template": {"spec": {"selector": {
        "matchLabels": null,
        "matchExpressions": [{"key": "app", "operator": "Like", "values": ["lobby"]}],
    }}}}});
    let object = merged(game("lobby", 4, &BOTH), &selector);
    if let Err(error) = world.try_apply(&object).await {
        let message = error.to_string();
        assert!(message.contains("selector") && message.contains("Like"), "{message}");
    } else {
        // The member's set or its row says what is wrong with which field.
        world
            .until("the selector is named", async || {
                let row = row(&world.game("lobby").await, SHANGHAI);
                let set = world.sets(SHANGHAI).get_opt("lobby").await.map_err(|error| error.to_string())?;
                let status = set.and_then(|set| set.status).unwrap_or_default();
                let mut said: Vec<String> =
                    status.conditions.into_iter().filter_map(|one| one.message).collect();
                said.extend(row.message);
                said.extend(
                    conditions(&world.game("lobby").await).iter().filter_map(|one| one.message.clone()),
                );
                if said.iter().any(|message| message.contains("selector") && message.contains("Like")) {
                    Ok(())
                } else {
                    Err(format!("{said:?}"))
                }
            })
            .await;
        assert_eq!(world.pods(SHANGHAI, "lobby").await.len(), 0, "no pod without a selector that matches it");
    }
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn pain_template_that_the_pods_api_refuses_is_named_in_the_set() {
    let here = Neighbourhood::start().await;
    let world = &here.world;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    let nameless =
        json!({"spec": {"template": {"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}}}});
    world.apply(&merged(game("lobby", 4, &BOTH), &nameless)).await;
    world
        .until("the template is named", async || {
            let set = world.sets(SHANGHAI).get_opt("lobby").await.map_err(|error| error.to_string())?;
            let status = set.and_then(|set| set.status).unwrap_or_default();
            let mut said: Vec<String> = status.conditions.into_iter().filter_map(|one| one.message).collect();
            said.extend(row(&world.game("lobby").await, SHANGHAI).message);
            if said.iter().any(|message| message.contains("containers") && message.contains("name")) {
                Ok(())
            } else {
                Err(format!("{said:?}"))
            }
        })
        .await;
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn kubefed_d17_a_selector_that_no_longer_matches_its_pods_is_named_and_loses_no_pod() {
    let here = Neighbourhood::start().await;
    let world = &here.world;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    world.apply(&game("lobby", 4, &BOTH)).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let before = world.pods(SHANGHAI, "lobby").await;
    let selector = json!({"spec": {"template": {"spec": {"selector": {"matchLabels": {"app": "other"}}}}}});
    world.edit("lobby", &selector).await;
    world
        .until("the selector is named", async || {
            let status = world.set(SHANGHAI, "lobby").await.status.unwrap_or_default();
            let said: Vec<String> = status.conditions.into_iter().filter_map(|one| one.message).collect();
            if said.iter().any(|message| message.contains("selector")) {
                Ok(())
            } else {
                Err(format!("{said:?}"))
            }
        })
        .await;
    world.quiet(30).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    world
        .edit(
            "lobby",
            &json!({"spec": {"template": {"spec": {"selector": {"matchLabels": {"app": "lobby"}}}}}}),
        )
        .await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn pain_mistyped_number_of_replicas_is_named_and_changes_no_pod() {
    let here = Neighbourhood::start().await;
    let world = &here.world;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    world.apply(&game("lobby", 4, &BOTH)).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let before = world.pods(SHANGHAI, "lobby").await;
    world.scale("lobby", 2_000_000_000).await;
    world
        .until("the number is named", async || {
            let status = world.set(SHANGHAI, "lobby").await.status.unwrap_or_default();
            let said: Vec<String> = status.conditions.into_iter().filter_map(|one| one.message).collect();
            if said.iter().any(|message| message.contains("spec.replicas")) {
                Ok(())
            } else {
                Err(format!("{said:?}"))
            }
        })
        .await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    world.scale("lobby", 4).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn pain_override_with_a_value_that_is_no_number_of_replicas_is_named() {
    let here = Neighbourhood::start().await;
    let world = &here.world;
    world.apply(&preference("lobby", &[("*", 1)])).await;
    world.apply(&game("lobby", 4, &BOTH)).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let before = world.pods(SHANGHAI, "lobby").await;
    for value in [json!("many"), json!(-3), json!(2.5), json!(null)] {
        let bad = json!({"spec": {"overrides": [overrides(SHANGHAI, &[("/spec/replicas", value)])]}});
        let mut object = game("lobby", 4, &BOTH);
        object["spec"]["overrides"] = bad["spec"]["overrides"].clone();
        complains(world, "lobby", &object, &["spec.overrides[0].clusterOverrides"]).await;
        world.seconds(5).await;
        before.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    }
    here.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn pain_name_that_is_too_long_for_its_pods_is_named_and_other_objects_go_on() {
    let here = Neighbourhood::start().await;
    let world = &here.world;
    let name = "a-very-long-name-for-a-game-that-somebody-found-on-a-rainy-day-in-may";
    world.apply(&preference(name, &[("*", 1)])).await;
    let mut object = game("lobby", 4, &BOTH);
    object["metadata"]["name"] = json!(name);
    if let Err(error) = world.try_apply(&object).await {
        assert!(error.to_string().contains("name"), "{error}");
    } else {
        world
            .until("the name is named", async || {
                let set = world.sets(SHANGHAI).get_opt(name).await.map_err(|error| error.to_string())?;
                let status = set.and_then(|set| set.status).unwrap_or_default();
                let mut said: Vec<String> =
                    status.conditions.into_iter().filter_map(|one| one.message).collect();
                said.extend(row(&world.game(name).await, SHANGHAI).message);
                if said.iter().any(|message| message.contains("name")) {
                    Ok(())
                } else {
                    Err(format!("{said:?}"))
                }
            })
            .await;
    }
    here.goes_on().await;
}
