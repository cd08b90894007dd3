//! What a run says, when it is made, and when it is asked again.

use serde_json::{Value, json};

use super::{PRE_DELETE, PRE_INPLACE};
use crate::tests::simulator::World;
use crate::{Action, Code};

fn fleet(replicas: i64, points: &[&str]) -> World {
    let strategy = json!({"type": "InplaceUpdate", "rollingUpdate": {"maxUnavailable": 2}});
    let mut world = World::hooked(replicas, "Parallel", &strategy, points);
    world.converge();
    world
}

fn shrink(world: &mut World) {
    world.edit(|spec| spec["replicas"] = json!(spec["replicas"].as_i64().unwrap() - 1));
}

fn arguments(run: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = run["spec"]["args"].as_array().unwrap();
    all.iter().map(|one| (text(&one["name"]), text(&one["value"]))).collect()
}

#[test]
fn hook_runs_copy_their_template_and_name_everything_about_the_pod() {
    let mut world = fleet(2, &[PRE_INPLACE]);
    world.edit(|spec| {
        spec[PRE_INPLACE]["hook"]["args"] = json!([
            {"name": "port", "value": "9000"},
            {"name": "unused", "value": "x"},
            {"name": "PodName", "value": "not this"},
        ]);
    });
    world.hooks.templates.get_mut("ask").unwrap()["spec"]["args"] =
        json!([{"name": "port", "value": "80"}, {"name": "path", "value": ""}, {"name": "PodName"}]);
    world.set_image("game:2");
    let plan = world.converge();
    let run = world.run_of("game-1");
    let expected = [
        ("port", "9000"),
        ("path", ""),
        ("PodName", "game-1"),
        ("PodNamespace", "fleet"),
        ("PodIP", "10.1.0.1"),
        ("HostIP", "10.0.0.1"),
        ("PodContainer[0]", "center"),
        ("ModifiedContainer[0]", "center"),
    ];
    assert_eq!(arguments(run), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(run["spec"]["metrics"], world.hooks.templates["ask"]["spec"]["metrics"]);
    // What was written as a number stays one.
    assert_eq!(run["spec"]["metrics"][0]["interval"], 5);
    assert_eq!(
        run["metadata"]["labels"],
        json!({
            "hookrun-type": "pre-inplace-step",
            "instance-id": "1",
            "workload-revision": plan.status.update_revision,
            "muster.dev/workload": "game",
            "muster.dev/pod-uid": world.pods["game-1"]["metadata"]["uid"],
            "muster.dev/attempt": "0",
            "muster.dev/retry": "false",
        })
    );
    assert_eq!(
        run["metadata"]["ownerReferences"],
        json!([{
            "apiVersion": "tkex.tencent.com/v1alpha1", "kind": "GameStatefulSet", "name": "game",
            "uid": "set-uid", "controller": true, "blockOwnerDeletion": false,
        }])
    );
}

#[test]
fn hook_h14_a_missing_template_is_waited_for_and_deletes_nothing() {
    let mut world = fleet(3, &[PRE_DELETE]);
    let template = world.hooks.templates.remove("ask").unwrap();
    shrink(&mut world);
    let plan = world.converge();
    assert_eq!(World::codes(&plan), [Code::HookTemplateMissing].into());
    assert!(plan.to_string().contains("spec.preDeleteUpdateStrategy.hook: HookTemplate ask"), "{plan}");
    assert_eq!(world.ordinals(), [0, 1, 2]);
    world.hooks.templates.insert("ask".into(), template);
    world.converge();
    assert_eq!(world.asked(), ["game-2"]);
}

#[test]
fn hook_arguments_without_a_value_are_waited_for() {
    let mut world = fleet(2, &[PRE_DELETE]);
    world.hooks.templates.get_mut("ask").unwrap()["spec"]["args"] =
        json!([{"name": "service"}, {"name": "PodContainer[1]"}]);
    shrink(&mut world);
    let plan = world.converge();
    assert_eq!(World::codes(&plan), [Code::HookTemplateMissing].into());
    assert!(plan.to_string().contains("args.service of HookTemplate ask was not resolved"), "{plan}");
    assert_eq!(world.hooks.runs.len(), 0);
    assert_eq!(world.ordinals(), [0, 1]);
}

#[test]
fn hook_h15_a_template_that_changes_does_not_change_what_is_being_asked() {
    let mut world = fleet(2, &[PRE_DELETE]);
    shrink(&mut world);
    world.converge();
    let run = world.run_of("game-1").clone();
    world.hooks.templates.get_mut("ask").unwrap()["spec"]["metrics"][0]["count"] = json!(9);
    world.converge();
    assert_eq!(world.run_of("game-1"), &run);
}

#[test]
fn hook_h23_a_pod_without_an_address_is_waited_for() {
    let mut world = fleet(2, &[PRE_DELETE]);
    world.pods.get_mut("game-1").unwrap()["status"]["podIP"] = Value::Null;
    shrink(&mut world);
    let plan = world.plan();
    assert_eq!(World::codes(&plan), [Code::PodWithoutIp].into());
    assert_eq!(plan.steps, []);
}

#[test]
fn hooks_are_asked_as_many_at_once_as_the_hook_point_allows() {
    let mut world = fleet(6, &[PRE_DELETE]);
    world.edit(|spec| {
        spec[PRE_DELETE]["maxConcurrentHooks"] = json!(2);
        spec["replicas"] = json!(1);
    });
    let plan = world.converge();
    assert_eq!(world.asked(), ["game-4", "game-5"]);
    assert_eq!(plan.waits.iter().filter(|wait| wait.reason.code == Code::HooksAtLimit).count(), 3);
    world.answer("game-5", "Failed");
    world.converge();
    assert_eq!(world.asked(), ["game-3", "game-4"]);
}

#[test]
fn deletions_ask_a_bounded_number_at_once() {
    let mut world = fleet(1, &[PRE_DELETE]);
    let pod = world.pods["game-0"].clone();
    for ordinal in 1..150 {
        let name = format!("game-{ordinal}");
        let mut pod = pod.clone();
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["uid"] = json!(format!("uid-of-{name}"));
        pod["metadata"]["labels"]["gamestatefulset.kubernetes.io/pod-name"] = json!(name);
        pod["metadata"]["labels"]["gamestatefulset.kubernetes.io/pod-ordinal"] = json!(ordinal.to_string());
        world.pods.insert(name, pod);
    }
    let plan = world.plan();
    let asks = plan.steps.iter().filter(|step| step.reason.code == Code::AskHook).count();
    let waits = plan.waits.iter().filter(|wait| wait.reason.code == Code::HooksAtLimit).count();
    assert_eq!((asks, waits), (100, 49), "{plan}");
}

#[test]
fn retry_asks_again_once_for_each_change_of_it() {
    let mut world = fleet(2, &[PRE_DELETE]);
    shrink(&mut world);
    let retry = |world: &mut World, value: bool| world.edit(|spec| spec[PRE_DELETE]["retry"] = json!(value));
    world.converge_answering("Failed");
    for _ in 0..2 {
        retry(&mut world, true);
        world.converge();
        assert_eq!(world.asked(), ["game-1"]);
        world.converge_answering("Error");
        // It stays denied although retry still says true.
        let plan = world.converge();
        assert_eq!(World::codes(&plan), [Code::HookDenied].into());
        assert_eq!(world.runs_of("game-1").len(), 1);
        retry(&mut world, false);
        world.converge();
        assert_eq!(world.asked(), Vec::<String>::new());
    }
    retry(&mut world, true);
    world.converge_answering("Successful");
    assert_eq!(world.ordinals(), [0]);
}

#[test]
fn a_set_that_is_made_with_retry_does_not_ask_twice() {
    let mut world = fleet(2, &[PRE_DELETE]);
    world.edit(|spec| spec[PRE_DELETE]["retry"] = json!(true));
    shrink(&mut world);
    world.converge_answering("Inconclusive");
    let asks = world.writes.iter().filter(|write| write.ends_with("AskHook")).count();
    assert_eq!(asks, 1);
}

#[test]
fn a_new_revision_asks_again_where_the_last_one_was_denied() {
    let mut world = fleet(2, &[PRE_INPLACE]);
    world.set_image("game:2");
    world.converge_answering("Failed");
    assert_eq!(world.images(), ["game:1"; 2]);
    world.set_image("game:3");
    world.converge();
    assert_eq!(world.asked(), ["game-1"]);
    world.converge_answering("Successful");
    assert_eq!(world.images(), ["game:3"; 2]);
}

#[test]
fn a_run_that_somebody_deletes_is_asked_again() {
    let mut world = fleet(2, &[PRE_DELETE]);
    shrink(&mut world);
    world.converge_answering("Failed");
    world.hooks.runs.clear();
    world.converge();
    assert_eq!(world.asked(), ["game-1"]);
}

#[test]
fn a_run_that_somebody_ends_is_no_verdict() {
    let mut world = fleet(2, &[PRE_DELETE]);
    shrink(&mut world);
    world.converge();
    let name = world.runs_of("game-1").remove(0);
    world.hooks.runs.get_mut(&name).unwrap()["spec"]["terminate"] = json!(true);
    world.answer("game-1", "Successful");
    let plan = world.converge();
    assert_eq!(World::codes(&plan), [Code::HookDenied].into());
    assert_eq!(world.ordinals(), [0, 1]);
}

#[test]
fn a_crash_between_any_two_writes_asks_once() {
    let mut world = fleet(4, &[PRE_DELETE]);
    world.edit(|spec| spec["replicas"] = json!(2));
    let plan = world.plan();
    let names = |plan: &crate::Plan| -> Vec<String> {
        let run = |action: &Action| match action {
            Action::CreateHookRun { name, .. } => Some(name.to_string()),
            _ => None,
        };
        plan.steps.iter().filter_map(|step| run(&step.action)).collect()
    };
    let planned = names(&plan);
    assert_eq!(planned.len(), 2);
    // Whatever was written and not remembered has the same name.
    assert!(world.apply(&plan.steps[0]));
    assert!(!world.apply(&plan.steps[0]));
    world.hooks.runs.clear();
    assert_eq!(names(&world.plan()), planned);
}

#[test]
fn runs_that_others_made_are_left_alone_and_answer_nothing() {
    let mut world = fleet(2, &[PRE_DELETE]);
    let foreign = json!({
        "apiVersion": "tkex.tencent.com/v1alpha1", "kind": "HookRun",
        "metadata": {
            "name": "predelete-game-1-ask", "namespace": "fleet", "uid": "foreign", "resourceVersion": "1",
            "labels": {"hookrun-type": "pre-delete-step", "instance-id": "1"},
        },
        "spec": {"metrics": []},
        "status": {"phase": "Successful"},
    });
    world.hooks.runs.insert("predelete-game-1-ask".into(), foreign);
    shrink(&mut world);
    world.converge();
    assert_eq!(world.ordinals(), [0, 1]);
    assert!(world.hooks.runs.contains_key("predelete-game-1-ask"));
}

#[test]
fn where_hooks_are_not_enforced_nothing_is_asked_and_the_set_says_so() {
    let mut world = fleet(3, &[PRE_DELETE, PRE_INPLACE]);
    world.hooks.enforced = false;
    shrink(&mut world);
    world.set_image("game:2");
    let plan = world.converge();
    assert_eq!(world.images(), ["game:2"; 2]);
    assert_eq!(world.hooks.runs.len(), 0);
    let not_enforced = |plan: &crate::Plan| {
        plan.status.conditions.iter().any(|condition| condition.type_ == "HooksNotEnforced")
    };
    assert!(not_enforced(&plan));
    assert_eq!(world.finalizers(), Vec::<String>::new());
    // Nobody would answer while it drains.
    world.set["metadata"]["finalizers"] = json!(["muster.dev/drain"]);
    world.delete_set(None);
    world.converge();
    assert_eq!(world.finalizers(), Vec::<String>::new());

    world.set["metadata"]["deletionTimestamp"] = Value::Null;
    world.hooks.enforced = true;
    let plan = world.converge();
    assert!(!not_enforced(&plan));
}

#[test]
fn bad_numbers_hold_updates_and_name_their_field() {
    let mut world = fleet(2, &[PRE_INPLACE]);
    world.edit(|spec| spec[PRE_INPLACE]["maxConcurrentHooks"] = json!(0));
    world.set_image("game:2");
    let plan = world.converge();
    assert!(plan.to_string().contains("spec.preInplaceUpdateStrategy.maxConcurrentHooks: 0"), "{plan}");
    assert_eq!(world.images(), ["game:1"; 2]);
    assert_eq!(world.hooks.runs.len(), 0);
}
