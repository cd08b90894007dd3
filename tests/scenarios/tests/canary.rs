//! Updates by steps, with an agent that dies on the way.

use muster_crds::keys::workload::RESUME;
use serde_json::{Value, json};

use crate::support::manifests::{image, set_image, with_image};
use crate::support::{NANJING, SHANGHAI, Setup, World, game, merged, preference, set};

fn steps(steps: &Value) -> Value {
    json!({"spec": {"updateStrategy": {
        "rollingUpdate": {"maxUnavailable": "100%"},
        "canary": {"steps": steps},
    }}})
}

/// Waits until a set is paused at a step, with so many pods of an image, all ready.
async fn paused(world: &World, member: &str, name: &str, step: i64, tag: &str, updated: usize) {
    world
        .until(&format!("{name} of {member} is paused at step {step}"), async || {
            let status = world.set(member, name).await.status.unwrap_or_default();
            let pods = world.pods(member, name).await;
            let found = pods.iter().filter(|pod| pod.runs("server") == image(tag) && pod.ready).count();
            let at = status.current_step_index;
            if at == Some(step) && !status.pause_conditions.is_empty() && found == updated {
                Ok(())
            } else {
                Err(format!("step {at:?}, {:?}, {found} pods of {tag}", status.pause_conditions))
            }
        })
        .await;
}

async fn resume(world: &World, member: &str, name: &str, step: i64) {
    let resume = json!({"metadata": {"annotations": {RESUME: step.to_string()}}});
    world.edit_set(member, name, &resume).await;
}

#[tokio::test(start_paused = true)]
async fn canary_waits_for_somebody_over_a_restart_of_the_agent_and_ends_by_itself_where_it_may() {
    let world = World::start(Setup::new(&[SHANGHAI])).await;
    world.namespace_in(SHANGHAI).await;
    let written =
        steps(&json!([{"partition": 3}, {"pause": {}}, {"partition": 1}, {"pause": {"duration": 5}}]));
    world.apply_in(SHANGHAI, &merged(set("arena", 4), &written)).await;
    world.set_settled(SHANGHAI, "arena", 4).await;
    let before = world.pods(SHANGHAI, "arena").await;

    world.edit_set(SHANGHAI, "arena", &set_image("v2")).await;
    paused(&world, SHANGHAI, "arena", 1, "v2", 1).await;
    world.kill_agent(SHANGHAI).await;
    let writes = world.writes(SHANGHAI);
    world.restart_agent(SHANGHAI).await;
    world.quiet(60).await;
    // A heartbeat is no write of a workload.
    world.writes(SHANGHAI).since(&writes).except("leases").assert_none("at a pause, after a restart");
    paused(&world, SHANGHAI, "arena", 1, "v2", 1).await;

    resume(&world, SHANGHAI, "arena", 1).await;
    world.set_settled(SHANGHAI, "arena", 4).await;
    let after = world
        .until("every pod runs v2", async || {
            let pods = world.pods(SHANGHAI, "arena").await;
            if pods.iter().all(|pod| pod.runs("server") == image("v2") && pod.ready) {
                Ok(pods)
            } else {
                Err(String::new())
            }
        })
        .await;
    before.assert_kept_in(&after);
    let set = world
        .until("the steps are done", async || {
            let set = world.set(SHANGHAI, "arena").await;
            let status = set.status.clone().unwrap_or_default();
            let revision = status.canary.clone().unwrap_or_default().revision;
            if status.current_step_index == Some(4) && revision == status.update_revision {
                Ok(set)
            } else {
                Err(format!("{:?} {revision:?}", status.current_step_index))
            }
        })
        .await;
    assert_eq!(set.metadata.annotations.unwrap_or_default().get(RESUME), None, "it ends no other pause");
}

#[tokio::test(start_paused = true)]
async fn canary_of_a_federated_set_waits_in_each_member_and_goes_on_where_it_is_resumed() {
    let world = World::two().await;
    world.apply(&preference("lobby", &[(SHANGHAI, 1), (NANJING, 1)])).await;
    let written = steps(&json!([{"partition": "50%"}, {"pause": {}}]));
    let written = json!({"spec": {"template": written}});
    world.apply(&merged(game("lobby", 8, &[SHANGHAI, NANJING]), &written)).await;
    world.settled("lobby", &[(SHANGHAI, 4), (NANJING, 4)]).await;
    world.edit("lobby", &with_image("v2")).await;
    for member in [SHANGHAI, NANJING] {
        paused(&world, member, "lobby", 1, "v2", 2).await;
    }
    resume(&world, NANJING, "lobby", 1).await;
    world
        .until("the one goes on", async || {
            let pods = world.pods(NANJING, "lobby").await;
            let old = pods.iter().filter(|pod| pod.runs("server") != image("v2")).count();
            if old == 0 { Ok(()) } else { Err(format!("{old} old pods")) }
        })
        .await;
    world.quiet(30).await;
    paused(&world, SHANGHAI, "lobby", 1, "v2", 2).await;
    // An update of the template's strategy resumes where it is waited for.
    let unpaused = json!({"spec": {"template": {"spec": {"updateStrategy": {"paused": false}}}}});
    world.edit("lobby", &unpaused).await;
    world
        .until("the other goes on", async || {
            let pods = world.pods(SHANGHAI, "lobby").await;
            let old = pods.iter().filter(|pod| pod.runs("server") != image("v2")).count();
            if old == 0 { Ok(()) } else { Err(format!("{old} old pods")) }
        })
        .await;
}
