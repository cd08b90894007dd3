//! Updates in place: before the gate closes, and before it opens.

use serde_json::{Value, json};

use super::{POST_INPLACE, PRE_INPLACE};
use crate::Code;
use crate::tests::simulator::World;

fn in_place(grace: i64, budget: i64) -> Value {
    json!({
        "type": "InplaceUpdate",
        "rollingUpdate": {"maxUnavailable": budget},
        "inPlaceUpdateStrategy": {"gracePeriodSeconds": grace},
    })
}

fn fleet(points: &[&str]) -> World {
    let mut world = World::hooked(4, "Parallel", &in_place(5, 2), points);
    world.converge();
    world
}

fn gate(world: &World, pod: &str) -> String {
    let conditions = world.pods[pod]["status"]["conditions"].as_array().unwrap();
    let gate = conditions.iter().find(|one| one["type"] == "InPlaceUpdateReady").unwrap();
    gate["status"].as_str().unwrap().to_owned()
}

#[test]
fn an_update_in_place_asks_closes_waits_patches_proves_asks_and_opens() {
    let mut world = World::hooked(1, "Parallel", &in_place(5, 1), &[PRE_INPLACE, POST_INPLACE]);
    world.converge();
    let mark = world.writes.len();
    world.set_image("game:2");
    world.converge_answering("Successful");
    let writes: Vec<String> = world
        .writes_since(mark)
        .into_iter()
        .filter(|write| !write.contains("revision"))
        .map(|write| write.split("-0-").next().unwrap().to_owned() + " " + write.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(
        writes,
        [
            "create hook run game AskHook",
            "patch status of pod game-0 CloseGate CloseGate",
            "patch pod game-0 UpdateInPlace UpdateInPlace",
            "delete hook run game EndHook",
            "create hook run game AskHook",
            "patch status of pod game-0 OpenGate OpenGate",
            "delete hook run game EndHook",
        ]
    );
}

#[test]
fn nothing_of_a_pod_changes_before_its_verdict() {
    let mut world = fleet(&[PRE_INPLACE]);
    world.set_image("game:2");
    // The first pod of a revision is asked alone.
    world.converge();
    assert_eq!(world.asked(), ["game-3"]);
    assert_eq!(world.images(), ["game:1"; 4]);
    assert_eq!(gate(&world, "game-3"), "True");
    world.answer("game-3", "Successful");
    let plan = world.converge();
    assert_eq!(world.images(), ["game:1", "game:1", "game:1", "game:2"]);
    assert_eq!(world.asked(), ["game-1", "game-2"]);
    assert_eq!(plan.status.ready_replicas, 4);
    assert_eq!(plan.status.pre_inplace_hook_condition.len(), 2);
    world.answer("game-1", "Successful");
    world.settle();
    assert_eq!(gate(&world, "game-1"), "False");
    // Being asked and being updated share the budget.
    assert_eq!(world.asked(), ["game-2"]);
    world.converge_answering("Successful");
    assert_eq!(world.images(), ["game:2"; 4]);
    assert_eq!(world.hooks.runs.len(), 0);
}

#[test]
fn a_change_of_labels_alone_is_asked_for_too() {
    let mut world = fleet(&[PRE_INPLACE]);
    world.edit(|spec| spec["template"]["metadata"]["labels"]["tier"] = json!("a"));
    world.converge();
    assert_eq!(world.asked(), ["game-2", "game-3"]);
    assert!(world.pods["game-3"]["metadata"]["labels"]["tier"].is_null());
    world.converge_answering("Successful");
    assert_eq!(world.pods["game-0"]["metadata"]["labels"]["tier"], "a");
}

#[test]
fn inplace_i6_a_roll_back_while_a_pod_waits_for_its_verdict_leaves_it_alone() {
    let mut world = fleet(&[PRE_INPLACE]);
    let pods = world.pods.clone();
    world.set_image("game:2");
    world.converge();
    world.measure("game-3");
    world.set_image("game:1");
    world.converge();
    assert_eq!(world.asked(), Vec::<String>::new());
    world.converge_answering("Successful");
    assert_eq!(world.pods, pods);
    assert_eq!(world.hooks.runs.len(), 0);
    // The old answer allows nothing.
    world.set_image("game:2");
    world.converge();
    assert_eq!(world.asked(), ["game-3"]);
    assert_eq!(world.images(), ["game:1"; 4]);
}

#[test]
fn hook_runs_of_an_obsolete_revision_are_ended_and_the_new_one_is_asked_for() {
    let mut world = fleet(&[PRE_INPLACE]);
    world.set_image("game:2");
    world.converge();
    let old = world.runs_of("game-3");
    world.measure("game-3");
    world.set_image("game:3");
    world.converge();
    assert_eq!(world.hooks.runs[&old[0]]["spec"]["terminate"], true);
    assert_eq!(world.asked(), ["game-3"]);
    world.converge_answering("Successful");
    assert_eq!(world.images(), ["game:3"; 4]);
}

#[test]
fn a_revision_that_changes_in_the_grace_period_is_asked_for_and_a_no_opens_the_gate() {
    let mut world = fleet(&[PRE_INPLACE]);
    world.set_image("game:2");
    world.converge();
    world.answer_all("Successful");
    world.settle();
    assert_eq!(gate(&world, "game-3"), "False");
    world.set_image("game:3");
    world.settle();
    assert_eq!(world.asked(), ["game-3"]);
    world.pass(60);
    world.settle();
    assert_eq!(world.images(), ["game:1"; 4]);
    world.answer("game-3", "Failed");
    world.settle();
    assert_eq!(gate(&world, "game-3"), "True");
    assert_eq!(world.images(), ["game:1"; 4]);
    // The next one is the first of its revision now.
    assert_eq!(world.asked(), ["game-2"]);
}

#[test]
fn a_pod_whose_containers_restart_already_goes_to_the_newest_revision_unasked() {
    let mut world = fleet(&[PRE_INPLACE]);
    world.set_image("game:2");
    world.converge();
    world.answer_all("Successful");
    world.settle();
    world.pass(5);
    world.settle();
    assert_eq!(world.images(), ["game:1", "game:1", "game:1", "game:2"]);
    world.set_image("game:3");
    world.settle();
    assert_eq!(world.images(), ["game:1", "game:1", "game:1", "game:3"]);
}

#[test]
fn a_verdict_allows_one_update_and_no_other_to_the_same_revision() {
    let mut world = fleet(&[PRE_INPLACE]);
    for image in ["game:2", "game:1", "game:2"] {
        world.set_image(image);
        let plan = world.converge();
        assert_eq!(world.asked(), ["game-3"], "{image}: {plan}");
        world.converge_answering("Successful");
        assert_eq!(world.images(), [image; 4]);
    }
}

#[test]
fn a_verdict_that_was_used_holds_the_next_update_until_it_is_deleted() {
    let mut world = fleet(&[PRE_INPLACE]);
    world.set_image("game:2");
    world.converge();
    let kept = world.hooks.runs.clone();
    world.converge_answering("Successful");
    // The controller was away and the runs are still there.
    let used = kept.into_iter().map(|(name, mut run)| {
        run["status"] = json!({"phase": "Successful"});
        (name, run)
    });
    world.hooks.runs.extend(used);
    world.set_image("game:3");
    let mut plan = world.plan();
    // Its revision is being stored; then the plan that matters follows.
    world.apply(&plan.steps[0]);
    plan = world.plan();
    let asks: Vec<_> = plan.steps.iter().filter(|step| step.reason.code == Code::AskHook).collect();
    assert!(asks.iter().all(|step| !step.action.title().contains("game-3")), "{plan}");
    world.converge();
    assert_eq!(world.asked(), ["game-3"]);
    assert_eq!(world.images(), ["game:2"; 4]);
}

#[test]
fn the_post_hook_runs_when_the_new_container_does_and_holds_the_gate() {
    let mut world = fleet(&[POST_INPLACE]);
    world.set_image("game:2");
    world.settle();
    world.pass(5);
    world.settle();
    assert_eq!(world.images(), ["game:1", "game:1", "game:1", "game:2"]);
    assert_eq!(world.asked(), Vec::<String>::new());
    let plan = world.converge();
    assert_eq!(world.asked(), ["game-3"]);
    assert_eq!(plan.status.post_inplace_hook_condition.len(), 1);
    assert_eq!(gate(&world, "game-3"), "False");
    world.answer("game-3", "Failed");
    let plan = world.converge();
    assert!(World::codes(&plan).contains(&Code::HookDenied), "{plan}");
    assert_eq!(gate(&world, "game-3"), "False");
    // A new revision goes on.
    world.set_image("game:3");
    world.converge_answering("Successful");
    assert_eq!(world.images(), ["game:3"; 4]);
    assert_eq!(gate(&world, "game-3"), "True");
    assert_eq!(world.hooks.runs.len(), 0);
}

#[test]
fn ordered_sets_wait_for_a_pod_that_said_no() {
    let mut world = World::hooked(3, "OrderedReady", &in_place(0, 1), &[PRE_INPLACE]);
    world.converge();
    world.set_image("game:2");
    world.converge();
    assert_eq!(world.asked(), ["game-2"]);
    world.answer_all("Failed");
    let plan = world.converge();
    assert_eq!(world.asked(), Vec::<String>::new());
    assert_eq!(World::codes(&plan), [Code::HookDenied, Code::OrderedReady].into());
}

#[test]
fn a_pause_keeps_questions_and_touches_nothing() {
    let mut world = fleet(&[PRE_INPLACE]);
    world.set_image("game:2");
    world.converge();
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(true));
    world.answer_all("Successful");
    world.converge();
    assert_eq!(world.images(), ["game:1"; 4]);
    assert_eq!(world.hooks.runs.len(), 1);
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(false));
    world.converge_answering("Successful");
    assert_eq!(world.images(), ["game:2"; 4]);
}

#[test]
fn a_pod_on_a_node_that_does_not_answer_is_not_updated_unasked() {
    let mut strategy = in_place(0, 2);
    strategy["inPlaceUpdateStrategy"]["prePull"] = json!({"enabled": false});
    let mut world = World::hooked(2, "Parallel", &strategy, &[PRE_INPLACE]);
    world.add_nodes(2);
    world.converge();
    let node = world.node_of("game-1");
    world.lose_node(&node, true);
    world.set_image("game:2");
    let plan = world.converge();
    let held = plan.waits.iter().find(|wait| wait.pod.as_ref().is_some_and(|pod| *pod == *"game-1"));
    assert_eq!(held.map(|wait| wait.reason.code), Some(Code::HookPending), "{plan}");
    assert_eq!(world.images()[1], "game:1");
}
