//! Hook steps of a canary.

use std::sync::Arc;

use muster_crds::names::{ObjectName, Uid};
use serde_json::{Value, json};

use super::canary::{index, message, strategy, with_image};
use super::simulator::World;
use crate::{Action, Code, HookRun, Hooks, Plan, plan};

/// A world and the HookRuns in it.
struct Hooked {
    world: World,
    runs: Vec<HookRun>,
}

impl Hooked {
    fn new(steps: &Value) -> Self {
        let mut world = World::new(4, "Parallel", &strategy(steps));
        world.converge();
        Self { world, runs: Vec::new() }
    }

    fn plan(&mut self) -> Plan {
        let mut snapshot = self.world.snapshot();
        snapshot.hooks = Hooks::Enforced;
        snapshot.hook_runs = self.runs.iter().cloned().map(Arc::new).collect();
        let template = json!({"spec": {
            "args": [{"name": "url"}, {"name": "port", "value": "80"}],
            "metrics": [{"name": "smoke"}],
        }});
        snapshot.hook_templates.insert("smoke".into(), Arc::new(template));
        plan(&snapshot, self.world.now).unwrap()
    }

    /// Plans and writes, with kubelets, until nothing is to be done.
    fn run(&mut self) -> Plan {
        for _ in 0..100 {
            let plan = self.plan();
            for step in &plan.steps {
                self.apply(&step.action);
                self.world.apply(step);
            }
            let before = self.world.set["status"].clone();
            self.world.record(&plan);
            self.world.kubelets();
            if plan.steps.is_empty() && before == self.world.set["status"] {
                return plan;
            }
            self.world.pass(1);
        }
        panic!("no end");
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::CreateHookRun { name, body } => {
                self.runs.push(hook_run(name.as_str(), &body["metadata"]["labels"]));
            }
            Action::PatchHookRun { name, body } => {
                let run = self.runs.iter_mut().find(|run| run.name == *name).unwrap();
                run.terminating = body["spec"]["terminate"] == true;
            }
            Action::DeleteHookRun { uid, .. } => self.runs.retain(|run| run.uid != *uid),
            _ => {}
        }
    }

    fn answer(&mut self, phase: &str) {
        self.runs.last_mut().unwrap().phase = phase.into();
    }
}

fn hook_run(name: &str, labels: &Value) -> HookRun {
    HookRun {
        name: ObjectName::new(name).unwrap(),
        uid: Uid::new(format!("uid-of-{name}")).unwrap(),
        resource_version: "1".into(),
        created: None,
        controller: None,
        labels: serde_json::from_value(labels.clone()).unwrap(),
        phase: String::new(),
        message: String::new(),
        measured: false,
        terminating: false,
        deleting: false,
    }
}

fn smoke() -> Value {
    json!([
        {"partition": 3},
        {"hook": {"templateName": "smoke", "args": [{"name": "url", "value": "http://game"}]}},
        {"partition": 1},
    ])
}

#[test]
fn canary_hook_step_asks_and_goes_on_when_the_hook_succeeds() {
    let mut hooked = Hooked::new(&smoke());
    hooked.world.set_image("game:2");
    let asked = std::iter::from_fn(|| {
        let plan = hooked.plan();
        let ask = plan.steps.iter().find_map(|step| match &step.action {
            Action::CreateHookRun { body, .. } => Some(body.clone()),
            _ => None,
        });
        for step in &plan.steps {
            hooked.apply(&step.action);
            hooked.world.apply(step);
        }
        hooked.world.record(&plan);
        hooked.world.kubelets();
        hooked.world.pass(1);
        Some(ask)
    });
    let body = asked.take(60).flatten().next().unwrap();
    let update = hooked.world.set["status"]["updateRevision"].clone();
    assert_eq!(body["metadata"]["labels"]["hookrun-type"], "canary-step");
    assert_eq!(body["metadata"]["labels"]["workload-revision"], update);
    assert_eq!(body["metadata"]["labels"]["canary-step-index"], "1");
    assert_eq!(
        body["spec"]["args"],
        json!([{"name": "port", "value": "80"}, {"name": "url", "value": "http://game"}])
    );
    assert_eq!(body["spec"]["metrics"][0]["name"], "smoke");

    let plan = hooked.run();
    assert_eq!((index(&hooked.world), hooked.runs.len()), (1, 1));
    assert!(message(&plan, Code::CanaryHook).contains("has not answered"));
    assert_eq!(hooked.world.set["status"]["canary"]["currentStepHookRun"], hooked.runs[0].name.as_str());

    hooked.answer("Successful");
    hooked.run();
    assert_eq!((index(&hooked.world), with_image(&hooked.world, "game:2")), (3, 4));
    assert_eq!(hooked.world.set["status"]["canary"]["currentStepHookRun"], Value::Null);
    // Its answer stays on record.
    assert_eq!(hooked.runs.len(), 1);
}

#[test]
fn canary_a_failed_hook_waits_for_a_person() {
    for phase in ["Failed", "Error", "Inconclusive"] {
        let mut hooked = Hooked::new(&smoke());
        hooked.world.set_image("game:2");
        hooked.run();
        hooked.answer(phase);
        let plan = hooked.run();
        let status = &hooked.world.set["status"];
        assert_eq!(status["pauseConditions"][0]["reason"], "PausedByStepBasedHook");
        assert!(message(&plan, Code::CanaryPaused).contains(phase));
        assert_eq!((index(&hooked.world), with_image(&hooked.world, "game:2")), (1, 1));

        hooked.world.set["metadata"]["annotations"]["muster.dev/resume"] = json!("1");
        hooked.run();
        assert_eq!((index(&hooked.world), with_image(&hooked.world, "game:2")), (3, 4));
    }
}

#[test]
fn canary_a_failed_hook_whose_run_is_deleted_is_asked_again() {
    let mut hooked = Hooked::new(&smoke());
    hooked.world.set_image("game:2");
    hooked.run();
    hooked.answer("Failed");
    hooked.run();
    hooked.runs.clear();
    hooked.run();
    assert_eq!((index(&hooked.world), hooked.runs.len()), (1, 1));
    assert_eq!(hooked.world.set["status"]["pauseConditions"], Value::Null);
    hooked.answer("Successful");
    hooked.run();
    assert_eq!(index(&hooked.world), 3);
}

#[test]
fn canary_runs_of_another_revision_go_and_say_nothing() {
    let mut hooked = Hooked::new(&smoke());
    hooked.world.set_image("game:2");
    hooked.run();
    hooked.answer("Failed");
    hooked.run();
    let old = hooked.runs[0].uid.clone();
    hooked.world.set_image("game:3");
    hooked.run();
    assert_eq!((index(&hooked.world), with_image(&hooked.world, "game:3")), (1, 1));
    assert!(hooked.runs.len() == 1 && hooked.runs[0].uid != old);
}

#[test]
fn canary_a_run_of_the_original_operator_is_the_answer_for_its_step() {
    let mut hooked = Hooked::new(&smoke());
    hooked.world.set_image("game:2");
    hooked.run();
    let update = hooked.world.set["status"]["updateRevision"].clone();
    let labels =
        json!({"hookrun-type": "canary-step", "workload-revision": update, "canary-step-index": "1"});
    hooked.runs = vec![hook_run("canary-game-77c9b-step1-smoke", &labels)];
    hooked.answer("Running");
    hooked.run();
    assert_eq!((index(&hooked.world), hooked.runs.len()), (1, 1));
    hooked.answer("Successful");
    hooked.run();
    assert_eq!(index(&hooked.world), 3);
}

#[test]
fn canary_a_run_of_a_step_that_was_resumed_is_told_to_end() {
    let mut hooked = Hooked::new(
        &json!([{"hook": {"templateName": "smoke", "args": [{"name": "url", "value": "x"}]}}, {"partition": 2}, {"pause": {}}]),
    );
    hooked.world.set_image("game:2");
    hooked.run();
    hooked.answer("Failed");
    hooked.run();
    hooked.world.set["metadata"]["annotations"]["muster.dev/resume"] = json!("0");
    hooked.run();
    hooked.answer("Running");
    hooked.run();
    assert!(hooked.runs[0].terminating);
}

#[test]
fn canary_a_hook_without_its_template_or_argument_says_so() {
    let missing = json!([{"hook": {"templateName": "nothing"}}]);
    let argument = json!([{"hook": {"templateName": "smoke"}}]);
    for (steps, named) in [(missing, "HookTemplate nothing"), (argument, "argument url")] {
        let mut hooked = Hooked::new(&steps);
        hooked.world.set_image("game:2");
        let plan = hooked.run();
        assert!(message(&plan, Code::HookTemplateMissing).contains(named));
        assert_eq!((index(&hooked.world), with_image(&hooked.world, "game:2")), (0, 0));
    }
}

#[test]
fn canary_hooks_are_not_asked_by_a_set_without_changes() {
    let mut hooked = Hooked::new(&smoke());
    let plan = hooked.run();
    assert!(plan.waits.is_empty() && hooked.runs.is_empty(), "{plan}");
}

#[test]
fn canary_a_hook_that_nothing_asks_waits_for_a_person() {
    let mut world = World::new(4, "Parallel", &strategy(&smoke()));
    world.converge();
    world.set_image("game:2");
    let plan = world.converge();
    assert_eq!((index(&world), with_image(&world, "game:2")), (1, 1));
    assert!(plan.to_string().contains("nothing here asks its hook"), "{plan}");
    world.set["metadata"]["annotations"]["muster.dev/resume"] = json!("1");
    world.converge();
    assert_eq!(with_image(&world, "game:2"), 4);
}
