//! Up and down, with pods that are not well.

use serde_json::json;

use super::{are, arena, arena_of, gated, scaled, serves, spec};
use crate::support::{SHANGHAI, Setup};

#[tokio::test(start_paused = true)]
async fn sts_e3_a_pod_whose_successor_is_not_ready_comes_back_all_the_same() {
    let world = arena(2, &gated()).await;
    serves(&world, "arena-0", true).await;
    are(&world, &[0, 1], &[0]).await;
    let before = world.pods(SHANGHAI, "arena").await;
    world.delete_pod(SHANGHAI, "arena-0").await;
    world
        .until("arena-0 is another", async || {
            let pods = world.pods(SHANGHAI, "arena").await;
            match pods.0.get("arena-0") {
                Some(pod) if pod.uid != before.0["arena-0"].uid => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    serves(&world, "arena-0", true).await;
    serves(&world, "arena-1", true).await;
    are(&world, &[0, 1], &[0, 1]).await;
    assert_eq!(world.pods(SHANGHAI, "arena").await.0["arena-1"].uid, before.0["arena-1"].uid);
}

#[tokio::test(start_paused = true)]
async fn sts_e8_an_ordered_set_comes_up_and_goes_down_one_by_one_in_order() {
    let world = arena(0, &spec("OrderedReady", &json!({}))).await;
    let film = world.film(SHANGHAI, "arena").await;
    world.edit_set(SHANGHAI, "arena", &scaled(5)).await;
    world.set_settled(SHANGHAI, "arena", 5).await;
    film.assert_created_in_order();
    assert_eq!(film.created(), ["arena-0", "arena-1", "arena-2", "arena-3", "arena-4"]);
    world.edit_set(SHANGHAI, "arena", &scaled(1)).await;
    world.set_settled(SHANGHAI, "arena", 1).await;
    assert_eq!(film.deleted(), ["arena-4", "arena-3", "arena-2", "arena-1"]);
}

#[tokio::test(start_paused = true)]
async fn sts_e8_an_ordered_set_halts_at_a_pod_that_is_not_ready_on_its_way_up_and_down() {
    let world = arena(3, &gated()).await;
    serves(&world, "arena-0", true).await;
    are(&world, &[0, 1], &[0]).await;
    world.quiet(30).await;
    are(&world, &[0, 1], &[0]).await;
    serves(&world, "arena-1", true).await;
    serves(&world, "arena-2", true).await;
    are(&world, &[0, 1, 2], &[0, 1, 2]).await;

    for pod in ["arena-0", "arena-1", "arena-2"] {
        serves(&world, pod, false).await;
    }
    are(&world, &[0, 1, 2], &[]).await;
    world.edit_set(SHANGHAI, "arena", &scaled(0)).await;
    world.quiet(30).await;
    are(&world, &[0, 1, 2], &[]).await;
    serves(&world, "arena-0", true).await;
    world.quiet(30).await;
    are(&world, &[0, 1, 2], &[0]).await;
    // Now the highest is the first that is not well, and may go.
    serves(&world, "arena-1", true).await;
    are(&world, &[], &[]).await;
}

#[tokio::test(start_paused = true)]
async fn sts_e9_a_parallel_set_comes_up_at_once_although_a_pod_cannot_be_placed() {
    let mut setup = Setup::new(&[SHANGHAI]);
    setup.nodes = 1;
    let world = arena_of(setup, 112, &json!({})).await;
    world
        .until("110 pods are ready and two wait for a node", async || {
            let pods = world.pods(SHANGHAI, "arena").await;
            let ready = pods.iter().filter(|pod| pod.ready).count();
            if (pods.len(), ready) == (112, 110) {
                Ok(())
            } else {
                Err(format!("{} pods, {ready} ready", pods.len()))
            }
        })
        .await;
    world.edit_set(SHANGHAI, "arena", &scaled(110)).await;
    world.set_settled(SHANGHAI, "arena", 110).await;
}
