//! Deletions: scale-down, replacement, and the set itself.

use serde_json::{Value, json};

use super::PRE_DELETE;
use crate::Code;
use crate::tests::simulator::World;

fn rolling() -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}})
}

fn fleet(replicas: i64, policy: &str) -> World {
    let mut world = World::hooked(replicas, policy, &rolling(), &[PRE_DELETE]);
    world.converge();
    world
}

fn scale(world: &mut World, replicas: i64) {
    world.edit(|spec| spec["replicas"] = json!(replicas));
}

#[test]
fn delete_x1_scale_down_waits_for_each_pods_verdict() {
    let mut world = fleet(5, "Parallel");
    scale(&mut world, 2);
    let plan = world.converge();
    assert_eq!(world.asked(), ["game-2", "game-3", "game-4"]);
    assert_eq!(World::codes(&plan), [Code::HookPending].into());
    assert_eq!(world.ordinals(), [0, 1, 2, 3, 4]);
    let waiting: Vec<&str> =
        plan.status.pre_delete_hook_condition.iter().map(|one| one.pod_name.as_str()).collect();
    assert_eq!(waiting, ["game-2", "game-3", "game-4"]);
    assert_eq!(plan.status.pre_delete_hook_condition[0].phase, "Pending");

    world.answer("game-3", "Successful");
    world.answer("game-4", "Failed");
    let plan = world.converge();
    assert_eq!(world.ordinals(), [0, 1, 2, 4]);
    assert_eq!(World::codes(&plan), [Code::HookPending, Code::HookDenied].into());
    // The run of the pod that is gone is gone too.
    assert_eq!(world.hooks.runs.len(), 2);

    world.answer("game-2", "Successful");
    let plan = world.converge();
    assert_eq!(world.ordinals(), [0, 1, 4]);
    let denied = plan.waits.iter().find(|wait| wait.reason.code == Code::HookDenied).unwrap();
    assert!(denied.reason.message.contains("players are there"), "{denied}");
    assert_eq!(plan.status.pre_delete_hook_condition[0].phase, "Failed");
}

#[test]
fn delete_x1_ordered_sets_ask_one_pod_at_a_time() {
    let mut world = fleet(4, "OrderedReady");
    scale(&mut world, 2);
    world.converge();
    assert_eq!(world.asked(), ["game-3"]);
    world.answer("game-3", "Successful");
    world.converge();
    assert_eq!(world.asked(), ["game-2"]);
    assert_eq!(world.ordinals(), [0, 1, 2]);
}

#[test]
fn delete_x2_replacement_waits_and_stays_within_the_budget() {
    let mut world = fleet(4, "Parallel");
    let uids = world.uids();
    world.set_image("game:2");
    let plan = world.converge();
    assert_eq!(world.asked(), ["game-2", "game-3"]);
    assert_eq!(World::codes(&plan), [Code::HookPending, Code::BudgetUsed].into());
    assert_eq!(world.uids(), uids);
    // One that says no serves on, and the next one is asked in its place.
    world.answer("game-3", "Failed");
    world.converge();
    assert_eq!(world.asked(), ["game-1", "game-2"]);
    world.converge_answering("Successful");
    assert_eq!(world.images(), ["game:2", "game:2", "game:2", "game:1"]);
    assert_eq!(world.uids()["game-3"], uids["game-3"]);
}

#[test]
fn delete_x2_what_was_allowed_waits_for_the_budget_too() {
    let mut world = fleet(4, "Parallel");
    world.set_image("game:2");
    world.converge();
    world.crash("game-0");
    world.crash("game-1");
    world.answer_all("Successful");
    let plan = world.settle();
    assert!(World::codes(&plan).contains(&Code::BudgetUsed), "{plan}");
    assert_eq!(world.images(), ["game:1"; 4]);
    world.converge_answering("Successful");
    assert_eq!(world.images(), ["game:2"; 4]);
}

#[test]
fn delete_x3_a_pod_that_somebody_deletes_is_not_gated_and_its_successor_is_asked_anew() {
    let mut world = fleet(3, "Parallel");
    scale(&mut world, 2);
    world.converge();
    world.answer("game-2", "Failed");
    world.converge();
    let denied = world.runs_of("game-2");
    scale(&mut world, 3);
    world.delete("game-2");
    world.converge();
    assert_eq!(world.ordinals(), [0, 1, 2]);
    assert_eq!(world.hooks.runs.len(), 0);
    // The verdict was about the pod that is gone.
    scale(&mut world, 2);
    world.converge();
    assert_eq!(world.asked(), ["game-2"]);
    assert_ne!(world.runs_of("game-2"), denied);
}

#[test]
fn delete_x9_background_deletion_drains_through_the_hook_and_releases_the_set() {
    let mut world = fleet(3, "Parallel");
    assert_eq!(world.finalizers(), ["muster.dev/drain"]);
    world.delete_set(None);
    world.converge();
    assert_eq!(world.asked(), ["game-0", "game-1", "game-2"]);
    world.answer("game-2", "Failed");
    world.answer_all("Successful");
    let plan = world.converge();
    assert_eq!(world.ordinals(), [2]);
    assert!(World::codes(&plan).contains(&Code::HookDenied), "{plan}");
    assert_eq!(world.finalizers(), ["muster.dev/drain"]);
    // A person insists.
    world.edit(|spec| spec[PRE_DELETE]["retry"] = json!(true));
    world.converge_answering("Successful");
    assert_eq!(world.ordinals(), Vec::<u32>::new());
    assert_eq!(world.finalizers(), Vec::<String>::new());
}

#[test]
fn delete_x9_ordered_sets_drain_from_the_highest_ordinal() {
    let mut world = fleet(3, "OrderedReady");
    world.delete_set(None);
    world.converge();
    assert_eq!(world.asked(), ["game-2"]);
    world.converge_answering("Successful");
    let deletes: Vec<&String> = world.writes.iter().filter(|write| write.starts_with("delete pod")).collect();
    assert_eq!(deletes, ["delete pod game-2 Drain", "delete pod game-1 Drain", "delete pod game-0 Drain"]);
}

#[test]
fn delete_x9_orphaning_releases_at_once_and_leaves_the_pods() {
    let mut world = fleet(3, "Parallel");
    world.delete_set(Some("orphan"));
    world.converge();
    assert_eq!(world.finalizers(), ["orphan"]);
    assert_eq!(world.ordinals(), [0, 1, 2]);
    assert_eq!(world.hooks.runs.len(), 0);
}

#[test]
fn delete_x9_foreground_deletion_waits_for_what_the_garbage_collector_takes() {
    let mut world = fleet(3, "Parallel");
    world.delete_set(Some("foregroundDeletion"));
    // It deletes dependents at once, whatever other finalizers there are.
    for pod in ["game-0", "game-1", "game-2"] {
        world.delete(pod);
    }
    world.settle();
    assert_eq!(world.hooks.runs.len(), 0);
    world.converge();
    assert_eq!(world.finalizers(), ["foregroundDeletion"]);
}

#[test]
fn delete_x9_break_glass_passes_the_hook_over_and_says_why() {
    let mut world = fleet(3, "Parallel");
    world.set["metadata"]["annotations"] = json!({"muster.dev/break-glass": "the game is closed"});
    scale(&mut world, 2);
    let plan = world.plan();
    let step = plan.steps.iter().find(|step| step.reason.code == Code::ScaleDown).unwrap();
    assert!(step.reason.message.ends_with("its hook is passed over: the game is closed"), "{step}");
    world.converge();
    world.delete_set(None);
    let plan = world.plan();
    assert!(plan.to_string().contains("the game is closed"), "{plan}");
    world.converge();
    assert_eq!(world.finalizers(), Vec::<String>::new());
    assert_eq!(world.hooks.runs.len(), 0);
}

#[test]
fn delete_x9_break_glass_on_one_pod_is_about_that_pod() {
    let mut world = fleet(3, "Parallel");
    world.pods.get_mut("game-2").unwrap()["metadata"]["annotations"] =
        json!({"muster.dev/break-glass": "stuck"});
    scale(&mut world, 1);
    world.converge();
    assert_eq!(world.ordinals(), [0, 1]);
    assert_eq!(world.asked(), ["game-1"]);
}

#[test]
fn delete_x13_a_namespace_that_goes_is_not_held_longer_than_the_deadline() {
    let mut world = fleet(2, "Parallel");
    world.delete_set(None);
    world.hooks.namespace_deleted = Some(world.now);
    let plan = world.settle();
    // It takes no new HookRun.
    assert_eq!(world.hooks.runs.len(), 0);
    assert!(World::codes(&plan).contains(&Code::HookPending), "{plan}");
    assert_eq!(plan.recheck_after.unwrap().as_secs(), 300);
    world.pass(299);
    world.settle();
    assert_eq!(world.finalizers(), ["muster.dev/drain"]);
    world.pass(1);
    world.settle();
    assert_eq!(world.finalizers(), Vec::<String>::new());
    assert_eq!(world.ordinals(), [0, 1]);
}

#[test]
fn the_finalizer_goes_with_the_hook() {
    let mut world = fleet(2, "Parallel");
    world.set["metadata"]["finalizers"] = json!(["a", "muster.dev/drain", "b"]);
    world.edit(|spec| spec[PRE_DELETE] = Value::Null);
    world.converge();
    assert_eq!(world.finalizers(), ["a", "b"]);
    // A hook that cannot be read is not a hook that is not there.
    world.edit(|spec| spec[PRE_DELETE] = json!({"hook": {"templateName": "ask"}}));
    world.converge();
    world.edit(|spec| spec[PRE_DELETE] = json!({"hook": {}}));
    world.converge();
    world.delete_set(None);
    let plan = world.converge();
    assert_eq!(world.finalizers(), ["a", "b", "muster.dev/drain"]);
    assert!(World::codes(&plan).contains(&Code::InvalidSpec), "{plan}");
}

#[test]
fn delete_x10_a_second_shrink_asks_more_pods_and_keeps_the_first_questions() {
    let mut world = fleet(5, "Parallel");
    scale(&mut world, 4);
    world.converge();
    let first = world.runs_of("game-4");
    world.measure("game-4");
    scale(&mut world, 2);
    world.converge();
    assert_eq!(world.asked(), ["game-2", "game-3", "game-4"]);
    assert_eq!(world.runs_of("game-4"), first);
}

#[test]
fn delete_x11_before_the_game_knows_a_deletion_is_taken_back() {
    let mut world = fleet(3, "Parallel");
    let uids = world.uids();
    scale(&mut world, 2);
    world.converge();
    scale(&mut world, 3);
    world.settle();
    assert_eq!(world.asked(), Vec::<String>::new());
    world.converge_answering("Successful");
    assert_eq!(world.uids(), uids);
    assert_eq!(world.hooks.runs.len(), 0);
    // And it may be asked again.
    scale(&mut world, 2);
    world.converge();
    assert_eq!(world.asked(), ["game-2"]);
}

#[test]
fn delete_x11_once_the_game_knows_a_deletion_is_finished_and_the_pod_comes_back() {
    let mut world = fleet(3, "Parallel");
    let uids = world.uids();
    scale(&mut world, 2);
    world.converge();
    world.measure("game-2");
    scale(&mut world, 3);
    let plan = world.converge();
    assert_eq!(world.asked(), ["game-2"]);
    assert!(World::codes(&plan).contains(&Code::HookPending), "{plan}");
    world.answer("game-2", "Successful");
    world.converge();
    assert_eq!(world.ordinals(), [0, 1, 2]);
    assert_ne!(world.uids()["game-2"], uids["game-2"]);
    assert_eq!(world.uids()["game-1"], uids["game-1"]);
    assert!(world.writes.contains(&"delete pod game-2 FinishDeletion".to_owned()));
}

#[test]
fn delete_x11_a_game_that_said_no_keeps_its_pod() {
    let mut world = fleet(3, "Parallel");
    let uids = world.uids();
    scale(&mut world, 2);
    world.converge();
    world.answer("game-2", "Failed");
    scale(&mut world, 3);
    world.converge();
    assert_eq!(world.uids(), uids);
    assert_eq!(world.hooks.runs.len(), 0);
}

#[test]
fn delete_x11_a_cancellable_template_lets_a_deletion_be_taken_back_later() {
    let mut world = fleet(3, "Parallel");
    let uids = world.uids();
    world.hooks.templates.get_mut("ask").unwrap()["metadata"]["annotations"] =
        json!({"muster.dev/cancellable": "true"});
    scale(&mut world, 2);
    world.converge();
    world.measure("game-2");
    scale(&mut world, 3);
    world.converge();
    let run = world.run_of("game-2");
    assert_eq!(run["spec"]["terminate"], true);
    // A run that was told to end is no verdict, whatever its phase says.
    world.converge_answering("Successful");
    assert_eq!(world.uids(), uids);
    assert_eq!(world.hooks.runs.len(), 0);
}

#[test]
fn delete_x11_a_measurement_that_begins_while_a_deletion_is_taken_back_wins() {
    let mut world = fleet(3, "Parallel");
    let uids = world.uids();
    scale(&mut world, 2);
    world.converge();
    scale(&mut world, 3);
    let plan = world.plan();
    world.measure("game-2");
    for step in &plan.steps {
        assert!(!world.apply(step), "{step}");
    }
    world.converge_answering("Successful");
    assert_ne!(world.uids()["game-2"], uids["game-2"]);
}

#[test]
fn delete_x11_a_game_that_was_told_before_the_end_of_its_run_was_seen_is_asked_again() {
    let mut world = fleet(3, "Parallel");
    let uids = world.uids();
    scale(&mut world, 2);
    world.converge();
    scale(&mut world, 3);
    let plan = world.plan();
    plan.steps.iter().for_each(|step| assert!(world.apply(step)));
    // Another controller calls first and writes afterwards.
    world.measure("game-2");
    world.converge();
    assert_eq!(world.asked(), ["game-2"]);
    world.converge_answering("Successful");
    assert_ne!(world.uids()["game-2"], uids["game-2"]);
    assert_eq!(world.hooks.runs.len(), 0);
}

#[test]
fn delete_x11_a_replacement_goes_on_to_a_newer_revision_without_asking_twice() {
    let mut world = fleet(2, "Parallel");
    world.set_image("game:2");
    world.converge();
    world.measure("game-1");
    world.set_image("game:3");
    world.converge();
    assert_eq!(world.asked(), ["game-0", "game-1"]);
    assert_eq!(world.runs_of("game-1").len(), 1);
    // The one that was not told is asked about the newer one.
    assert_ne!(
        world.run_of("game-0")["metadata"]["labels"]["workload-revision"],
        world.run_of("game-1")["metadata"]["labels"]["workload-revision"]
    );
    world.converge_answering("Successful");
    assert_eq!(world.images(), ["game:3"; 2]);
}

#[test]
fn delete_x11_a_game_that_was_told_twice_is_asked_about_once() {
    let mut world = fleet(3, "Parallel");
    world.set_image("game:2");
    world.converge();
    // The replacement is taken back, for the pod is to go for good, and both questions reach the game.
    scale(&mut world, 2);
    let plan = world.plan();
    plan.steps.iter().for_each(|step| assert!(world.apply(step)));
    assert_eq!(world.runs_of("game-2").len(), 2);
    world.measure("game-2");
    world.converge();
    assert_eq!(world.runs_of("game-2").len(), 2);
    world.answer("game-2", "Successful");
    world.converge();
    assert_eq!(world.ordinals(), [0, 1]);
}

#[test]
fn delete_x12_a_fleet_that_says_no_does_not_shrink_and_the_status_says_why() {
    let mut world = fleet(3, "Parallel");
    let uids = world.uids();
    scale(&mut world, 0);
    world.converge();
    world.answer_all("Failed");
    let plan = world.converge();
    assert_eq!(world.uids(), uids);
    assert_eq!(plan.waits.iter().filter(|wait| wait.reason.code == Code::HookDenied).count(), 3);
    let conditions = serde_json::to_value(&plan.status.conditions).unwrap();
    let progressing = conditions.as_array().unwrap().iter().find(|one| one["type"] == "Progressing").unwrap();
    assert_eq!(progressing["reason"], "HookDenied");
    let mark = world.writes.len();
    world.pass(3600);
    world.converge();
    assert_eq!(world.writes_since(mark), Vec::<&str>::new());
}

#[test]
fn pods_that_cannot_answer_are_replaced_without_a_question() {
    let mut world = fleet(3, "Parallel");
    world.fail("game-1");
    world.converge();
    assert_eq!(world.ordinals(), [0, 1, 2]);
    assert_eq!(world.hooks.runs.len(), 0);
    // One that never ran neither.
    world.pods.get_mut("game-2").unwrap()["status"] = json!({"phase": "Pending"});
    scale(&mut world, 2);
    world.settle();
    assert!(world.pods["game-2"]["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(world.hooks.runs.len(), 0);
}

#[test]
fn delete_x1_a_pod_that_runs_by_now_is_not_deleted_as_one_that_does_not_run_yet() {
    let mut world = fleet(2, "Parallel");
    scale(&mut world, 3);
    world.settle();
    scale(&mut world, 2);
    let plan = world.plan();
    let step = plan.steps.iter().find(|step| step.reason.code == Code::ScaleDown).unwrap();
    assert!(step.action.title().contains("game-2"), "{step}");
    world.kubelets();
    assert!(!world.apply(step), "it has begun to run, and is to be asked");
    world.converge();
    assert_eq!(world.asked(), ["game-2"]);
}
