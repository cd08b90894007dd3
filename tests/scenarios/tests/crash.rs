//! Hubs and agents that die at the worst time.

use crate::support::manifests::{image, with_image};
use crate::support::{NANJING, SHANGHAI, Setup, World, game, merged, moments, preference};
use serde_json::json;

async fn lobby(seed: u64) -> World {
    let world = World::start(Setup::new(&[SHANGHAI, NANJING]).seed(seed)).await;
    world.apply(&preference("lobby", &[(SHANGHAI, 3), (NANJING, 2)])).await;
    let budget = json!({"spec": {"template": {"spec": {"updateStrategy": {
        "rollingUpdate": {"maxUnavailable": 2},
        "inPlaceUpdateStrategy": {"gracePeriodSeconds": 3},
    }}}}});
    world.apply(&merged(game("lobby", 10, &[SHANGHAI, NANJING]), &budget)).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    world
}

#[tokio::test(start_paused = true)]
async fn fed_c7_a_hub_killed_during_a_rollout_converges_in_place_with_no_pod_made_twice() {
    for pause in moments([0, 200, 1000, 4000]) {
        let world = lobby(7).await;
        let before = [world.pods(SHANGHAI, "lobby").await, world.pods(NANJING, "lobby").await];
        let films = [world.film(SHANGHAI, "lobby").await, world.film(NANJING, "lobby").await];
        world.edit("lobby", &with_image("v2")).await;
        world.pass(std::time::Duration::from_millis(pause)).await;
        world.kill_hub().await;
        world.seconds(10).await;
        world.restart_hub().await;
        world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
        for (at, member) in [SHANGHAI, NANJING].into_iter().enumerate() {
            let pods = world.pods(member, "lobby").await;
            before[at].assert_kept_in(&pods);
            for pod in pods.iter() {
                assert_eq!(pod.runs("server"), image("v2"));
                assert_eq!(pod.running["server"].restarts, 1, "{} was restarted once", pod.name);
            }
            assert!(films[at].most_unready(before[at].len()) <= 2, "the budget holds in {member}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fed_c7_a_hub_killed_during_a_scale_loses_no_seat_and_makes_no_pod_twice() {
    for pause in moments([0, 50, 300, 1200]) {
        let world = lobby(11).await;
        let before = [world.pods(SHANGHAI, "lobby").await, world.pods(NANJING, "lobby").await];
        let films = [world.film(SHANGHAI, "lobby").await, world.film(NANJING, "lobby").await];
        world.scale("lobby", 25).await;
        world.pass(std::time::Duration::from_millis(pause)).await;
        world.restart_hub().await;
        world.settled("lobby", &[(SHANGHAI, 15), (NANJING, 10)]).await;
        for (at, member) in [SHANGHAI, NANJING].into_iter().enumerate() {
            before[at].assert_kept_in(&world.pods(member, "lobby").await);
            assert_eq!(films[at].deleted(), Vec::<String>::new());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn inplace_i17_an_agent_killed_in_the_middle_of_a_rollout_finishes_it_within_the_budget() {
    for pause in moments([100, 1500, 3100, 5000]) {
        let world = lobby(13).await;
        let before = world.pods(SHANGHAI, "lobby").await;
        let film = world.film(SHANGHAI, "lobby").await;
        world.edit("lobby", &with_image("v2")).await;
        world.pass(std::time::Duration::from_millis(pause)).await;
        world.kill_agent(SHANGHAI).await;
        world.seconds(5).await;
        world.restart_agent(SHANGHAI).await;
        world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
        let pods = world.pods(SHANGHAI, "lobby").await;
        before.assert_kept_in(&pods);
        assert!(pods.iter().all(|pod| pod.running["server"].restarts == 1), "each restarted once");
        assert!(film.most_unready(6) <= 2, "the budget holds");
        for turn in film.turns("server", &image("v2")) {
            turn.assert_graceful(jiff::SignedDuration::from_secs(3));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fed_c7_hub_and_agent_killed_together_while_scaling_down_converge() {
    let world = lobby(17).await;
    let before = world.pods(SHANGHAI, "lobby").await;
    world.scale("lobby", 5).await;
    world.pass(std::time::Duration::from_millis(120)).await;
    world.kill_hub().await;
    world.kill_agent(SHANGHAI).await;
    world.quiet(20).await;
    world.restart_agent(SHANGHAI).await;
    world.seconds(5).await;
    world.restart_hub().await;
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 2)]).await;
    let after = world.pods(SHANGHAI, "lobby").await;
    after.assert_kept_in(&before);
    assert_eq!(after.ordinals(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn fed_c20_twenty_hub_restarts_write_to_no_member() {
    let world = lobby(19).await;
    world.quiet(15).await;
    let before = [SHANGHAI, NANJING].map(|member| world.writes(member));
    for pause in 0..20 {
        world.replace_hub().await;
        world.pass(std::time::Duration::from_millis(pause * 300)).await;
    }
    world.quiet(40).await;
    for (member, before) in [SHANGHAI, NANJING].iter().zip(&before) {
        world
            .writes(member)
            .since(before)
            .assert_none("although only the hub was restarted, again and again");
    }
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
}

#[tokio::test(start_paused = true)]
async fn pain_u39_a_status_that_was_lost_is_rebuilt_from_what_members_hold() {
    let world = lobby(23).await;
    // Seats that no fresh division would give.
    world
        .edit_preference(
            "lobby",
            &json!({"spec": {"clusters": {SHANGHAI: {"weight": 1}, NANJING: {"weight": 9}}}}),
        )
        .await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    let before = [world.pods(SHANGHAI, "lobby").await, world.pods(NANJING, "lobby").await];
    let writes = [SHANGHAI, NANJING].map(|member| world.writes(member));
    world.kill_hub().await;
    let lost = kube::api::Patch::Merge(json!({"status": null}));
    world.games().patch_status("lobby", &kube::api::PatchParams::default(), &lost).await.expect("patched");
    assert!(crate::support::status::seats(&world.game("lobby").await).is_empty(), "the seats are gone");
    world.restart_hub().await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    world.quiet(30).await;
    for (at, member) in [SHANGHAI, NANJING].into_iter().enumerate() {
        before[at].assert_untouched_in(&world.pods(member, "lobby").await);
        world.writes(member).since(&writes[at]).assert_none("although only a status was lost");
    }
}

#[tokio::test(start_paused = true)]
async fn pain_u39_a_status_that_is_wiped_under_the_hub_is_written_again() {
    let world = lobby(29).await;
    let before = [world.pods(SHANGHAI, "lobby").await, world.pods(NANJING, "lobby").await];
    let lost = kube::api::Patch::Merge(json!({"status": null}));
    world.games().patch_status("lobby", &kube::api::PatchParams::default(), &lost).await.expect("patched");
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    for (at, member) in [SHANGHAI, NANJING].into_iter().enumerate() {
        before[at].assert_untouched_in(&world.pods(member, "lobby").await);
    }
}

#[tokio::test(start_paused = true)]
async fn fed_c20_a_lease_that_is_deleted_costs_no_member_a_write() {
    let world = lobby(31).await;
    world.quiet(15).await;
    let before = [SHANGHAI, NANJING].map(|member| world.writes(member));
    let leases: kube::Api<k8s_openapi::api::coordination::v1::Lease> =
        kube::Api::namespaced(world.hub(), muster_crds::keys::FEDERATION_NAMESPACE);
    leases.delete("muster-hub", &kube::api::DeleteParams::default()).await.expect("deleted");
    world.quiet(60).await;
    for (member, before) in [SHANGHAI, NANJING].iter().zip(&before) {
        world.writes(member).since(before).assert_none("although only the Lease was deleted");
    }
    world.scale("lobby", 20).await;
    world.settled("lobby", &[(SHANGHAI, 12), (NANJING, 8)]).await;
}
