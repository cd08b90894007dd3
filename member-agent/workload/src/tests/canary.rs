//! Updates by steps: how far they go, what they wait for, and what ends a pause.

use serde_json::{Value, json};

use super::simulator::World;
use crate::{Action, Code, Plan};

/// A world whose first template is rolled out; 10 pods in parallel, updated in place.
fn settled(steps: &Value) -> World {
    let mut world = World::new(10, "Parallel", &strategy(steps));
    world.converge();
    world
}

pub(super) fn strategy(steps: &Value) -> Value {
    json!({
        "type": "InplaceUpdate",
        "rollingUpdate": {"maxUnavailable": "100%"},
        "canary": {"steps": steps},
    })
}

/// Goes on as the controller does until nothing happens, with kubelets, but without letting a pause pass: a plan with
/// steps is followed by another, one without is not, unless it asks for it or a pod changes.
pub(super) fn run(world: &mut World) -> Plan {
    for _ in 0..200 {
        let plan = world.plan();
        let before = world.set["status"]["replicas"].as_i64().unwrap_or_default();
        assert!(before == 0 || plan.status.replicas > 0, "a counter fell to zero");
        for step in &plan.steps {
            world.apply(step);
        }
        world.record(&plan);
        let pods = world.pods.clone();
        world.kubelets();
        if !plan.steps.is_empty() || world.pods != pods {
            continue;
        }
        match plan.recheck_after {
            Some(after) if after <= std::time::Duration::from_secs(1) => {
                world.now += jiff::SignedDuration::try_from(after).unwrap();
            }
            _ if plan.waits.iter().any(|wait| wait.reason.code == Code::Settling) => world.pass(1),
            _ => return plan,
        }
    }
    panic!("no end: {:?}", world.writes.iter().rev().take(10).collect::<Vec<_>>());
}

pub(super) fn index(world: &World) -> i64 {
    world.set["status"]["currentStepIndex"].as_i64().unwrap()
}

/// How many pods have this image.
pub(super) fn with_image(world: &World, image: &str) -> usize {
    world.images().iter().filter(|have| **have == image).count()
}

pub(super) fn message(plan: &Plan, code: Code) -> &str {
    let wait = plan.waits.iter().find(|wait| wait.reason.code == code);
    &wait.unwrap_or_else(|| panic!("no wait {code}: {plan}")).reason.message
}

fn annotate(world: &mut World, value: &str) {
    world.set["metadata"]["annotations"]["muster.dev/resume"] = json!(value);
}

fn pause_until_resumed() -> Value {
    json!([{"partition": 8}, {"pause": {}}, {"partition": "45%"}, {"pause": {}}])
}

#[test]
fn canary_first_rollout_skips_the_steps() {
    let world = settled(&pause_until_resumed());
    let status = &world.set["status"];
    assert_eq!(status["readyReplicas"], 10);
    assert_eq!(status["currentStepIndex"], 4);
    assert_eq!(status["canary"]["revision"], status["updateRevision"]);
    assert!(status["currentStepHash"].as_str().unwrap().starts_with("steps-"));
    assert_eq!(status["pauseConditions"], Value::Null);
}

#[test]
fn canary_a_pause_without_duration_waits_for_somebody() {
    let mut world = settled(&pause_until_resumed());
    let complete = world.set["status"]["canary"]["revision"].clone();
    world.set_image("game:2");
    let plan = run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 2));
    let status = &world.set["status"];
    assert_eq!(status["pauseConditions"][0]["reason"], "PausedByCanaryPauseStep");
    assert_eq!(status["canary"]["revision"], complete);
    assert!(message(&plan, Code::CanaryPaused).contains("muster.dev/resume: \"1\""), "{plan}");
    let conditions = status["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|condition| condition["type"] == "Paused"));
    // Neither time nor the controller goes on.
    world.pass(1_000_000);
    assert!(run(&mut world).steps.is_empty());
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 2));
}

#[test]
fn canary_resumes_by_the_annotation_and_takes_it_off() {
    let mut world = settled(&pause_until_resumed());
    world.set_image("game:2");
    run(&mut world);
    annotate(&mut world, "3");
    let plan = run(&mut world);
    assert_eq!(index(&world), 1);
    assert!(message(&plan, Code::CanaryPaused).contains("another step"));

    annotate(&mut world, "1");
    run(&mut world);
    // 45 % of 10, rounded down.
    assert_eq!((index(&world), with_image(&world, "game:2")), (3, 6));
    assert_eq!(world.set["metadata"]["annotations"]["muster.dev/resume"], Value::Null);
    annotate(&mut world, "3");
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (4, 10));
    assert_eq!(world.set["status"]["canary"]["revision"], world.set["status"]["updateRevision"]);
    assert_eq!(world.set["status"]["pauseConditions"], Value::Null);
}

#[test]
fn canary_a_resume_from_before_the_pause_ends_no_pause() {
    let mut world = settled(&pause_until_resumed());
    annotate(&mut world, "1");
    world.set_image("game:2");
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 2));
    assert_eq!(world.set["metadata"]["annotations"]["muster.dev/resume"], Value::Null);
    assert_eq!(world.set["status"]["pauseConditions"][0]["reason"], "PausedByCanaryPauseStep");
}

#[test]
fn canary_one_resume_ends_one_of_two_pauses_in_a_row() {
    let mut world = settled(&json!([{"partition": 8}, {"pause": {}}, {"pause": {}}]));
    world.set_image("game:2");
    run(&mut world);
    annotate(&mut world, "1");
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (2, 2));
}

#[test]
fn canary_resumes_when_an_update_sets_paused_to_false() {
    let mut world = settled(&pause_until_resumed());
    world.set_image("game:2");
    run(&mut world);
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(false));
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (3, 6));

    // It says false all the time: a change of other fields is no resume.
    world.edit(|spec| spec["replicas"] = json!(11));
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (3, 7));
    // One that sets it, and one that takes it back.
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(true));
    run(&mut world);
    assert_eq!(index(&world), 3);
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(false));
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (4, 11));
}

#[test]
fn canary_a_pause_with_duration_ends_by_itself_and_not_before() {
    let mut world = settled(&json!([{"partition": 9}, {"pause": {"duration": 60}}]));
    world.set_image("game:2");
    let plan = run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 1));
    let wait = plan.waits.iter().find(|wait| wait.reason.code == Code::CanaryPause).unwrap();
    let until = wait.until.unwrap();
    assert!(plan.recheck_after.is_some());
    world.now = until - jiff::SignedDuration::from_millis(1);
    let plan = world.plan();
    assert_eq!((plan.status.current_step_index, plan.steps.len()), (Some(1), 0));
    world.now = until;
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (2, 10));
}

#[test]
fn canary_a_pause_waits_until_the_partition_is_reached() {
    let mut world = settled(&pause_until_resumed());
    world.set_image("game-broken:2");
    let plan = run(&mut world);
    assert_eq!(index(&world), 0);
    assert_eq!(world.set["status"]["pauseConditions"], Value::Null);
    assert!(message(&plan, Code::CanaryProgress).contains("0 of 2 pods"), "{plan}");
    // The first pod goes alone until it runs.
    assert_eq!(with_image(&world, "game-broken:2"), 1);
}

#[test]
fn canary_rollback_to_the_last_complete_revision_skips_the_steps() {
    let mut world = settled(&pause_until_resumed());
    world.set_image("game:2");
    run(&mut world);
    world.set_image("game:1");
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:1")), (4, 10));
    assert_eq!(world.revisions.len(), 2);
    // What comes next is new again.
    world.set_image("game:2");
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 2));
}

#[test]
fn canary_another_template_while_paused_begins_at_the_first_step() {
    let mut world = settled(&pause_until_resumed());
    world.set_image("game:2");
    run(&mut world);
    annotate(&mut world, "1");
    run(&mut world);
    world.set_image("game:3");
    run(&mut world);
    // What the last complete revision does not keep goes back to it.
    assert_eq!((index(&world), with_image(&world, "game:3"), with_image(&world, "game:1")), (1, 2, 8));
    assert_eq!(world.set["status"]["pauseConditions"].as_array().unwrap().len(), 1);
}

#[test]
fn canary_changed_steps_begin_anew_and_take_nobody_back() {
    let mut world = settled(&pause_until_resumed());
    world.set_image("game:2");
    run(&mut world);
    annotate(&mut world, "1");
    run(&mut world);
    let hash = world.set["status"]["currentStepHash"].clone();
    let mark = world.writes.len();
    world.edit(|spec| spec["updateStrategy"]["canary"]["steps"] = json!([{"partition": 9}, {"pause": {}}]));
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 6));
    assert_ne!(world.set["status"]["currentStepHash"], hash);
    assert_eq!(world.writes_since(mark), Vec::<&str>::new());

    // The same when all is rolled out: there is nothing to go through.
    annotate(&mut world, "1");
    run(&mut world);
    assert_eq!(with_image(&world, "game:2"), 10);
    world.edit(|spec| spec["updateStrategy"]["canary"]["steps"] = json!([{"pause": {}}, {"partition": 3}]));
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (2, 10));
}

#[test]
fn canary_steps_that_come_with_the_change_hold_it_up() {
    let mut world = settled(&json!([]));
    assert_eq!(world.set["status"]["canary"], Value::Null);
    world.edit(|spec| {
        spec["updateStrategy"]["canary"]["steps"] = json!([{"partition": 8}, {"pause": {}}]);
        spec["template"]["spec"]["containers"][0]["image"] = json!("game:2");
    });
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 2));
}

#[test]
fn canary_steps_taken_away_leave_the_partition_of_the_update() {
    let mut world = settled(&pause_until_resumed());
    world.set_image("game:2");
    run(&mut world);
    world.edit(|spec| spec["updateStrategy"]["canary"] = Value::Null);
    run(&mut world);
    let status = &world.set["status"];
    assert_eq!(with_image(&world, "game:2"), 10);
    assert_eq!((&status["currentStepIndex"], &status["pauseConditions"]), (&Value::Null, &Value::Null));
    assert_eq!(status["canary"]["revision"], status["updateRevision"]);
}

#[test]
fn canary_a_pause_as_first_step_updates_nobody() {
    let mut world = settled(&json!([{"pause": {}}, {"partition": 20}, {"partition": 8}, {"pause": {}}]));
    world.set_image("game:2");
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (0, 0));
    // New pods come as the others are.
    world.edit(|spec| spec["replicas"] = json!(12));
    run(&mut world);
    assert_eq!(with_image(&world, "game:1"), 12);
    annotate(&mut world, "0");
    run(&mut world);
    // A partition that lets nobody go is done at once.
    assert_eq!((index(&world), with_image(&world, "game:2")), (3, 4));
}

#[test]
fn canary_pods_that_come_back_during_a_pause_keep_their_side() {
    let mut world = settled(&pause_until_resumed());
    world.set_image("game:2");
    run(&mut world);
    for pod in ["game-9", "game-2"] {
        world.fail(pod);
    }
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 2));
    assert_eq!(world.images()[9], "game:2");
}

#[test]
fn canary_scaling_while_paused_neither_goes_on_nor_starts_again() {
    let mut world = settled(&pause_until_resumed());
    world.set_image("game:2");
    run(&mut world);
    let pauses = world.set["status"]["pauseConditions"].clone();
    for replicas in [14, 5] {
        world.edit(|spec| spec["replicas"] = json!(replicas));
        run(&mut world);
        assert_eq!(index(&world), 1);
        assert_eq!(world.set["status"]["pauseConditions"], pauses);
    }
    // The pods above the partition are gone, and those below it are not updated.
    assert_eq!(with_image(&world, "game:1"), 5);
}

#[test]
fn canary_a_set_that_is_paused_by_its_user_goes_no_step_on() {
    let mut world = settled(&json!([{"partition": 8}, {"pause": {"duration": 10}}, {"partition": 4}]));
    world.set_image("game:2");
    run(&mut world);
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(true));
    world.pass(100);
    let plan = run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 2));
    assert!(message(&plan, Code::Paused).contains("canary step 1 of 3"), "{plan}");
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(false));
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (3, 10));
}

#[test]
fn canary_on_delete_counts_the_pods_that_somebody_deleted() {
    let mut world = World::new(
        4,
        "Parallel",
        &json!({
            "type": "OnDelete",
            "canary": {"steps": [{"partition": 2}, {"pause": {}}]},
        }),
    );
    world.converge();
    world.set_image("game:2");
    run(&mut world);
    assert_eq!(index(&world), 0);
    for pod in ["game-0", "game-1"] {
        world.delete(pod);
        run(&mut world);
    }
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 2));
}

#[test]
fn canary_steps_that_mean_nothing_hold_updates_and_change_nothing() {
    for (steps, field) in [
        (json!([{"partition": 8}, {"partition": 3, "pause": {}}]), "steps[1]:"),
        (json!([{}]), "steps[0]:"),
        (json!([{"partition": -1}]), "steps[0].partition:"),
        (json!([{"partition": "many"}]), "steps[0].partition:"),
        (json!([{"pause": {"duration": -5}}]), "steps[0].pause.duration:"),
        (json!([{"hook": {"templateName": ""}}]), "steps[0].hook.templateName:"),
    ] {
        let mut world = settled(&pause_until_resumed());
        world.set_image("game:2");
        run(&mut world);
        let (mark, before) = (world.writes.len(), world.set["status"].clone());
        world.edit(|spec| spec["updateStrategy"]["canary"]["steps"] = steps.clone());
        let plan = run(&mut world);
        let invalid = message(&plan, Code::InvalidSpec);
        assert!(invalid.contains(&format!("spec.updateStrategy.canary.{field}")), "{steps}: {invalid}");
        assert_eq!(world.writes_since(mark), Vec::<&str>::new(), "{steps}");
        for kept in ["currentStepIndex", "currentStepHash", "pauseConditions", "canary", "replicas"] {
            assert_eq!(world.set["status"][kept], before[kept], "{steps}: {kept}");
        }
        // What dies comes back as it was.
        world.fail("game-9");
        world.fail("game-0");
        run(&mut world);
        assert_eq!((with_image(&world, "game:2"), with_image(&world, "game:1")), (2, 8), "{steps}");
    }
}

#[test]
fn canary_a_planner_that_starts_anew_at_any_point_writes_the_same() {
    // The plan is a function of what is stored: made twice from each state it passes through, it is the same twice.
    let mut world = settled(&json!([{"partition": 8}, {"pause": {"duration": 5}}, {"partition": 3}]));
    world.set_image("game:2");
    for _ in 0..60 {
        let (first, again) = (world.plan(), world.clone().plan());
        assert_eq!(first.to_string(), again.to_string());
        assert_eq!(first.status, again.status);
        for step in &first.steps {
            world.apply(step);
        }
        world.record(&first);
        world.kubelets();
        world.pass(1);
    }
    assert_eq!((index(&world), with_image(&world, "game:2")), (3, 10));
}

#[test]
fn canary_a_crash_before_the_status_is_written_loses_no_resume() {
    let mut world = settled(&pause_until_resumed());
    world.set_image("game:2");
    run(&mut world);
    annotate(&mut world, "1");
    // The steps are carried out, and the status is not written.
    let plan = world.plan();
    assert!(!plan.steps.iter().any(|step| matches!(step.action, Action::PatchSet { .. })));
    for step in &plan.steps {
        world.apply(step);
    }
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (3, 6));
}

#[test]
fn canary_partitions_count_from_the_first_ordinal() {
    let mut world = World::new(4, "Parallel", &strategy(&json!([{"partition": 3}, {"pause": {}}])));
    world.edit(|spec| spec["ordinals"] = json!({"start": 10}));
    world.converge();
    world.set_image("game:2");
    run(&mut world);
    assert_eq!((index(&world), world.images()), (1, vec!["game:1", "game:1", "game:1", "game:2"]));
}

#[test]
fn canary_surge_goes_no_further_than_the_step() {
    let mut strategy = strategy(&json!([{"partition": 9}, {"pause": {}}]));
    strategy["type"] = json!("RollingUpdate");
    strategy["rollingUpdate"] = json!({"maxSurge": 3});
    let mut world = World::new(10, "Parallel", &strategy);
    world.converge();
    world.set_image("game:2");
    let mark = world.writes.len();
    run(&mut world);
    let created = world.writes_since(mark).into_iter().filter(|write| write.contains("Surge")).count();
    assert_eq!((index(&world), world.ordinals().len(), created), (1, 10, 1));
    assert_eq!(with_image(&world, "game:2"), 1);
}

#[test]
fn canary_pods_arrive_when_they_have_been_ready_long_enough() {
    let mut world = settled(&json!([{"partition": 9}, {"pause": {}}]));
    world.edit(|spec| spec["minReadySeconds"] = json!(600));
    world.converge();
    world.set_image("game:2");
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (0, 1));
    world.pass(600);
    run(&mut world);
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 1));
}
