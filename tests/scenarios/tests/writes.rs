//! Who is written to: a change for one cluster writes to that cluster only, and rest writes nothing.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use muster_crds::keys;
use serde_json::json;

use crate::support::manifests::{IMAGE_PATH, image, overrides, with_image};
use crate::support::{NANJING, SHANGHAI, World, game, merged, preference};

async fn lobby() -> World {
    let world = World::two().await;
    world.apply(&preference("lobby", &[(SHANGHAI, 3), (NANJING, 2)])).await;
    world.apply(&game("lobby", 10, &[SHANGHAI, NANJING])).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    // Whatever still follows from the start.
    world.quiet(15).await;
    world
}

#[tokio::test(start_paused = true)]
async fn fed_c8_a_changed_override_writes_only_its_cluster() {
    let world = lobby().await;
    let before = [world.writes(SHANGHAI), world.writes(NANJING)];
    let pods = world.pods(NANJING, "lobby").await;

    let changed = json!({"spec": {"overrides": [overrides(SHANGHAI, &[(IMAGE_PATH, json!(image("v2")))])]}});
    world.edit("lobby", &changed).await;
    world
        .until("Shanghai runs v2", async || {
            let pods = world.pods(SHANGHAI, "lobby").await;
            let old = pods.iter().filter(|pod| pod.runs("server") != image("v2")).count();
            if old == 0 { Ok(()) } else { Err(format!("{old} pods are old")) }
        })
        .await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    world.quiet(15).await;

    let sets = world.writes(SHANGHAI).since(&before[0]).of("patch", "gamestatefulsets");
    assert_eq!(sets, 1, "the changed set is applied once");
    world.writes(NANJING).since(&before[1]).assert_none("although only Shanghai's override changed");
    pods.assert_untouched_in(&world.pods(NANJING, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn kubefed_d4_a_changed_weight_moves_nothing_and_decides_where_new_seats_go() {
    let world = lobby().await;
    let before = [world.writes(SHANGHAI), world.writes(NANJING)];
    world
        .edit_preference(
            "lobby",
            &json!({"spec": {"clusters": {SHANGHAI: {"weight": 1}, NANJING: {"weight": 4}}}}),
        )
        .await;
    world.quiet(15).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    for (member, before) in [SHANGHAI, NANJING].iter().zip(&before) {
        world.writes(member).since(before).assert_none("although nothing that runs moves");
    }

    world.scale("lobby", 20).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 14)]).await;
    world.quiet(15).await;
    world.writes(SHANGHAI).since(&before[0]).assert_none("although every new seat went to Nanjing");
}

#[tokio::test(start_paused = true)]
async fn pain_u27_sixty_idle_seconds_write_to_no_member_and_only_leases_to_the_hub() {
    let world = lobby().await;
    let before = [SHANGHAI, NANJING, "hub"].map(|cluster| world.writes(cluster));
    world.seconds(60).await;
    for (member, before) in [SHANGHAI, NANJING].iter().zip(&before) {
        world.writes(member).since(before).assert_none("in 60 idle seconds");
    }
    let hub = world.writes("hub").since(&before[2]);
    assert_ne!(hub, hub.except("leases"), "the hub renews its Lease");
    hub.except("leases").assert_none("in 60 idle seconds, beside Leases");
}

#[tokio::test(start_paused = true)]
async fn fed_c20_a_hub_restarted_by_its_lease_writes_to_no_member() {
    let world = lobby().await;
    let before = [SHANGHAI, NANJING].map(|cluster| world.writes(cluster));
    let pods = world.pods(SHANGHAI, "lobby").await;
    let leases: Api<Lease> = Api::namespaced(world.hub(), keys::FEDERATION_NAMESPACE);
    let epoch = async || {
        let lease = leases.get("muster-hub").await.expect("the hub's Lease");
        lease.metadata.annotations.unwrap_or_default().get("muster.dev/epoch").cloned()
    };
    let first = epoch().await;

    let restart = json!({"metadata": {"annotations": {keys::sandbox::RESTART: "once"}}});
    leases.patch("muster-hub", &PatchParams::default(), &Patch::Merge(restart)).await.expect("annotated");
    world
        .until("another hub leads", async || {
            let now = epoch().await;
            if now == first { Err(format!("the epoch is {now:?}")) } else { Ok(()) }
        })
        .await;
    world.seconds(60).await;
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;

    for (member, before) in [SHANGHAI, NANJING].iter().zip(&before) {
        world.writes(member).since(before).assert_none("although only the hub was restarted");
    }
    pods.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);

    // The new hub is not only quiet: it works.
    world.scale("lobby", 15).await;
    world.settled("lobby", &[(SHANGHAI, 9), (NANJING, 6)]).await;
}

#[tokio::test(start_paused = true)]
async fn pain_u27_a_restarted_agent_writes_nothing() {
    let world = lobby().await;
    let before = world.writes(SHANGHAI);
    let pods = world.pods(SHANGHAI, "lobby").await;
    world.restart_agent(SHANGHAI).await;
    world.quiet(60).await;
    world.writes(SHANGHAI).since(&before).assert_none("although only the agent was restarted");
    pods.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn fed_c8_two_objects_live_side_by_side_and_a_change_of_one_leaves_the_other_alone() {
    let world = World::two().await;
    for (name, weights) in [("lobby", [3, 2]), ("arena", [1, 1])] {
        world.apply(&preference(name, &[(SHANGHAI, weights[0]), (NANJING, weights[1])])).await;
        world.apply(&game(name, 10, &[SHANGHAI, NANJING])).await;
    }
    world.settled("lobby", &[(SHANGHAI, 6), (NANJING, 4)]).await;
    world.settled("arena", &[(SHANGHAI, 5), (NANJING, 5)]).await;
    let arena = world.pods(SHANGHAI, "arena").await;

    world.edit("lobby", &with_image("v2")).await;
    world.scale("lobby", 5).await;
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 2)]).await;
    world.delete_game("lobby").await;
    world
        .until("lobby is gone", async || match world.games().get_opt("lobby").await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;

    arena.assert_untouched_in(&world.pods(SHANGHAI, "arena").await);
    world.settled("arena", &[(SHANGHAI, 5), (NANJING, 5)]).await;
}

#[tokio::test(start_paused = true)]
async fn kubefed_d11_a_change_of_metadata_alone_reaches_members_and_touches_no_pod() {
    let world = lobby().await;
    let pods = world.pods(SHANGHAI, "lobby").await;
    let labelled =
        merged(json!({}), &json!({"spec": {"template": {"metadata": {"labels": {"season": "winter"}}}}}));
    world.edit("lobby", &labelled).await;
    world
        .until("the label arrives", async || {
            let set = world.set(SHANGHAI, "lobby").await;
            let labels = set.metadata.labels.unwrap_or_default();
            if labels.get("season").is_some_and(|season| season == "winter") {
                Ok(())
            } else {
                Err(format!("{labels:?}"))
            }
        })
        .await;
    // And what is taken out of the template is taken out of the member.
    world.edit("lobby", &json!({"spec": {"template": {"metadata": {"labels": {"season": null}}}}})).await;
    world
        .until("the label goes", async || {
            let set = world.set(SHANGHAI, "lobby").await;
            let labels = set.metadata.labels.unwrap_or_default();
            if labels.contains_key("season") { Err(format!("{labels:?}")) } else { Ok(()) }
        })
        .await;
    pods.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn kubefed_d2_a_change_reaches_its_members_within_a_second() {
    let world = lobby().await;
    let began = world.now();
    world.scale("lobby", 15).await;
    world
        .until("both members have their new number", async || {
            for (member, replicas) in [(SHANGHAI, 9), (NANJING, 6)] {
                let found = world.set(member, "lobby").await.spec.replicas;
                if found != Some(replicas) {
                    return Err(format!("{member}: {found:?}"));
                }
            }
            Ok(())
        })
        .await;
    let took = world.now().duration_since(began);
    assert!(took.unsigned_abs() <= world.allowed(Duration::from_secs(1)), "it took {took:#}");
}

#[tokio::test(start_paused = true)]
async fn fed_c13_a_view_takes_no_writes_of_its_objects() {
    let world = lobby().await;
    let before = world.writes(SHANGHAI);
    let view: Api<muster_crds::tkex::GameStatefulSet> =
        Api::namespaced(world.view(SHANGHAI), crate::support::NAMESPACE);
    let patch = Patch::Merge(json!({"spec": {"replicas": 1}}));
    let answers = [
        view.patch("lobby", &PatchParams::default(), &patch).await.map(drop),
        view.delete("lobby", &kube::api::DeleteParams::default()).await.map(drop),
    ];
    for answer in answers {
        let Err(kube::Error::Api(status)) = answer else { panic!("a view took a write") };
        assert_eq!(status.code, 405, "{status:?}");
    }
    world.seconds(10).await;
    world.writes(SHANGHAI).since(&before).assert_none("although the view was not changed");
}
