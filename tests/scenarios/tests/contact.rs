//! Members whose link is cut.

use std::time::Duration;

use muster_crds::core_kubefed::KubeFedCluster;
use muster_crds::keys;
use serde_json::json;

use crate::support::manifests::{image, with_image};
use crate::support::status::{conditions, seats};
use crate::support::{NANJING, SHANGHAI, World, condition, game, preference, row};

async fn lobby() -> World {
    let world = World::two().await;
    world.apply(&preference("lobby", &[(SHANGHAI, 3), (NANJING, 2)])).await;
    world.apply(&game("lobby", 10, &[SHANGHAI, NANJING])).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    world
}

#[tokio::test(start_paused = true)]
async fn fed_c4_a_member_that_is_away_keeps_everything_while_the_others_go_on() {
    let world = lobby().await;
    let nanjing = world.pods(NANJING, "lobby").await;
    let shanghai = world.pods(SHANGHAI, "lobby").await;
    world.cut(NANJING);
    world.lost("lobby", NANJING).await;

    // Growth goes to those that are there; the lost member's seats are frozen.
    world.scale("lobby", 20).await;
    world
        .until("Shanghai grows", async || {
            let game = world.game("lobby").await;
            let ready = row(&game, SHANGHAI).ready_replicas;
            if ready == Some(16) { Ok(()) } else { Err(format!("{ready:?}")) }
        })
        .await;
    let game = world.game("lobby").await;
    assert_eq!(seats(&game).get(NANJING), Some(&4));
    shanghai.assert_kept_in(&world.pods(SHANGHAI, "lobby").await);

    // So does an update.
    world.edit("lobby", &with_image("v2")).await;
    world
        .until("Shanghai runs v2", async || {
            let pods = world.pods(SHANGHAI, "lobby").await;
            let old = pods.iter().filter(|pod| pod.runs("server") != image("v2")).count();
            if old == 0 { Ok(()) } else { Err(format!("{old} pods are old")) }
        })
        .await;
    nanjing.assert_untouched_in(&world.pods(NANJING, "lobby").await);

    world.mend(NANJING);
    world.settled("lobby", &[(SHANGHAI, 16), (NANJING, 4)]).await;
    let pods = world.pods(NANJING, "lobby").await;
    nanjing.assert_kept_in(&pods);
    assert!(pods.iter().all(|pod| pod.runs("server") == image("v2")), "Nanjing catches up");
}

#[tokio::test(start_paused = true)]
async fn fed_c4_a_lost_member_gives_up_no_seat_when_the_total_shrinks() {
    let world = lobby().await;
    let nanjing = world.pods(NANJING, "lobby").await;
    world.cut(NANJING);
    world.lost("lobby", NANJING).await;
    world.scale("lobby", 5).await;
    world
        .until("Shanghai shrinks to what is left", async || {
            let pods = world.pods(SHANGHAI, "lobby").await.len();
            if pods == 1 { Ok(()) } else { Err(format!("{pods} pods")) }
        })
        .await;
    assert_eq!(seats(&world.game("lobby").await).get(NANJING), Some(&4));
    nanjing.assert_untouched_in(&world.pods(NANJING, "lobby").await);
    world.mend(NANJING);
    world.settled("lobby", &[(SHANGHAI, 1), (NANJING, 4)]).await;
    nanjing.assert_kept_in(&world.pods(NANJING, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn pain_u7_the_numbers_of_a_member_that_is_away_show_their_age() {
    let world = lobby().await;
    world.cut(NANJING);
    let cut = world.now();
    world.lost("lobby", NANJING).await;
    let frozen_after = world.now().duration_since(cut).unsigned_abs();
    assert!(frozen_after >= Duration::from_secs(20), "lost after {frozen_after:?}");
    assert!(frozen_after <= Duration::from_secs(45), "lost only after {frozen_after:?}");

    let game = world.game("lobby").await;
    let away = row(&game, NANJING);
    assert_eq!((away.ready_replicas, away.planned), (Some(4), Some(4)), "the last numbers stay");
    let reported = away.last_report_time.expect("a time").0;
    assert!(reported <= cut, "reported at {reported}, cut at {cut}");
    let propagation = condition(conditions(&game), "Propagation").cloned().unwrap_or_default();
    assert_eq!(propagation.status, "False");
    assert!(propagation.message.unwrap_or_default().contains(NANJING));
    let degraded = condition(conditions(&game), "Degraded").cloned().unwrap_or_default();
    assert_eq!(degraded.status, "True", "{degraded:?}");
    let clusters: kube::Api<KubeFedCluster> = kube::Api::namespaced(world.hub(), keys::FEDERATION_NAMESPACE);
    let cluster = clusters.get(NANJING).await.expect("registered").status.unwrap_or_default();
    let ready = condition(&cluster.conditions, "Ready").cloned().unwrap_or_default();
    assert_ne!(ready.status, "True", "{ready:?}");

    world.mend(NANJING);
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    world
        .until("Nanjing is ready again", async || {
            let cluster =
                clusters.get(NANJING).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            match condition(&cluster.conditions, "Ready") {
                Some(ready) if ready.status == "True" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn kubefed_d10_a_short_cut_changes_nothing_and_what_came_meanwhile_arrives_after_it() {
    let world = lobby().await;
    let pods = world.pods(NANJING, "lobby").await;
    let before = world.writes(NANJING);
    for _ in 0..5 {
        world.cut(NANJING);
        world.seconds(4).await;
        world.mend(NANJING);
        world.seconds(4).await;
    }
    world.writes(NANJING).since(&before).assert_none("although the link only flapped");
    world.cut(NANJING);
    world.seconds(2).await;
    world.scale("lobby", 20).await;
    world.seconds(5).await;
    world.mend(NANJING);
    world.settled("lobby", &[(SHANGHAI, 12), (NANJING, 8)]).await;
    pods.assert_kept_in(&world.pods(NANJING, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn pain_u2_a_member_away_for_an_hour_and_over_a_hub_restart_loses_nothing() {
    let world = lobby().await;
    let pods = world.pods(NANJING, "lobby").await;
    world.cut(NANJING);
    world.lost("lobby", NANJING).await;
    world.quiet(1800).await;
    world.restart_hub().await;
    world.lost("lobby", NANJING).await;
    world.quiet(1800).await;
    pods.assert_untouched_in(&world.pods(NANJING, "lobby").await);
    let before = world.writes(NANJING);
    world.mend(NANJING);
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    world.quiet(30).await;
    world.writes(NANJING).since(&before).assert_none("although nothing had changed meanwhile");
    pods.assert_untouched_in(&world.pods(NANJING, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn fed_c4_a_link_is_cut_and_mended_by_an_annotation_of_the_cluster() {
    let world = lobby().await;
    let clusters: kube::Api<KubeFedCluster> = kube::Api::namespaced(world.hub(), keys::FEDERATION_NAMESPACE);
    let link = async |value: serde_json::Value| {
        let patch =
            kube::api::Patch::Merge(json!({"metadata": {"annotations": {keys::sandbox::LINK: value}}}));
        clusters.patch(NANJING, &kube::api::PatchParams::default(), &patch).await.expect("annotated");
    };
    link(json!(keys::sandbox::LINK_DOWN)).await;
    world.lost("lobby", NANJING).await;
    link(json!(null)).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
}

#[tokio::test(start_paused = true)]
async fn pain_u39_a_member_without_its_hub_replaces_a_lost_pod() {
    let world = lobby().await;
    world.kill_hub().await;
    world.quiet(60).await;
    let before = world.pods(SHANGHAI, "lobby").await;
    world.delete_pod(SHANGHAI, "lobby-3").await;
    world
        .until("lobby-3 is back", async || {
            let pods = world.pods(SHANGHAI, "lobby").await;
            match pods.0.get("lobby-3") {
                Some(pod) if pod.ready && pod.uid != before.0["lobby-3"].uid => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    world.restart_hub().await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
}
