//! Random lives of a set with hooks: no pod is deleted or patched before its verdict, whatever happens in between.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{POST_INPLACE, PRE_DELETE, PRE_INPLACE};
use crate::inplace::Stage;
use crate::tests::simulator::World;
use crate::{Action, Code, Plan, Pod, Step};

/// `maxUnavailable` of the sets.
const BUDGET: usize = 2;

#[derive(Clone, Debug)]
enum Event {
    /// A plan is made, and as many of its steps carried out before the controller crashes.
    Plan(usize),
    /// A plan, then kubelets and time, and then answers: what gets an update on.
    Round(&'static str),
    Kubelet(usize),
    Kubelets,
    Measure(usize),
    Answer(usize, &'static str),
    AnswerAll(&'static str),
    Fail(usize),
    Crash(usize),
    Delete(usize),
    Pass(i64),
    Image(u8),
    Replicas(i64),
    Partition(i64),
    Strategy(&'static str),
    Paused(bool),
    Retry(bool),
    Cancellable(bool),
    Template(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let pod = 0..5_usize;
    let phase = prop_oneof![4 => Just("Successful"), 2 => Just("Failed"), 1 => Just("Error")];
    prop_oneof![
        8 => (0..12_usize).prop_map(Event::Plan),
        8 => phase.clone().prop_map(Event::Round),
        3 => pod.clone().prop_map(Event::Kubelet),
        4 => Just(Event::Kubelets),
        3 => pod.clone().prop_map(Event::Measure),
        4 => (pod.clone(), phase.clone()).prop_map(|(pod, phase)| Event::Answer(pod, phase)),
        2 => phase.prop_map(Event::AnswerAll),
        1 => pod.clone().prop_map(Event::Fail),
        1 => pod.clone().prop_map(Event::Crash),
        1 => pod.prop_map(Event::Delete),
        2 => (0..20_i64).prop_map(Event::Pass),
        3 => (0..3_u8).prop_map(Event::Image),
        2 => (0..5_i64).prop_map(Event::Replicas),
        1 => (0..5_i64).prop_map(Event::Partition),
        1 => prop_oneof![Just("InplaceUpdate"), Just("RollingUpdate")].prop_map(Event::Strategy),
        1 => any::<bool>().prop_map(Event::Paused),
        1 => any::<bool>().prop_map(Event::Retry),
        1 => any::<bool>().prop_map(Event::Cancellable),
        1 => any::<bool>().prop_map(Event::Template),
    ]
}

fn happen(world: &mut World, event: &Event) -> Result<(), TestCaseError> {
    let name = |pod: &usize| format!("game-{pod}");
    match event {
        Event::Plan(steps) => {
            let plan = world.plan();
            carry_out(world, &plan, *steps)?;
        }
        Event::Round(phase) => {
            let plan = world.plan();
            carry_out(world, &plan, plan.steps.len())?;
            world.kubelets();
            world.pass(2);
            world.answer_all(phase);
        }
        Event::Kubelet(pod) => {
            world.kubelet(&name(pod));
        }
        Event::Kubelets => world.kubelets(),
        Event::Measure(pod) => world.measure(&name(pod)),
        Event::Answer(pod, phase) => world.answer(&name(pod), phase),
        Event::AnswerAll(phase) => world.answer_all(phase),
        Event::Fail(pod) => world.fail(&name(pod)),
        Event::Crash(pod) => world.crash(&name(pod)),
        Event::Delete(pod) => world.delete(&name(pod)),
        Event::Pass(seconds) => world.pass(*seconds),
        Event::Image(image) => world.set_image(&format!("game:{image}")),
        Event::Replicas(replicas) => world.edit(|spec| spec["replicas"] = json!(replicas)),
        Event::Partition(partition) => {
            world.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(partition));
        }
        Event::Strategy(strategy) => world.edit(|spec| spec["updateStrategy"]["type"] = json!(strategy)),
        Event::Paused(paused) => world.edit(|spec| spec["updateStrategy"]["paused"] = json!(paused)),
        Event::Retry(retry) => world.edit(|spec| {
            for point in [PRE_DELETE, PRE_INPLACE, POST_INPLACE] {
                spec[point]["retry"] = json!(retry);
            }
        }),
        Event::Cancellable(cancellable) => {
            if let Some(template) = world.hooks.templates.get_mut("ask") {
                template["metadata"]["annotations"] =
                    json!({"muster.dev/cancellable": cancellable.to_string()});
            }
        }
        Event::Template(there) => {
            let there = if *there { "ask" } else { "gone" };
            if let Some(template) = world.hooks.templates.pop_first() {
                world.hooks.templates.insert(there.into(), template.1);
            }
        }
    }
    Ok(())
}

fn carry_out(world: &mut World, plan: &Plan, steps: usize) -> Result<(), TestCaseError> {
    for step in plan.steps.iter().take(steps) {
        let mut before = world.clone();
        if world.apply(step) {
            check_verdict(&mut before, step)?;
            check_budget(world, &mut before, step)?;
        }
    }
    if steps >= plan.steps.len() {
        world.record(plan);
    }
    Ok(())
}

/// Whether a run about this very pod, at this hook point and for this revision, or for any, said yes unasked to end.
fn allowed(world: &World, pod: &Pod, point: &str, revision: Option<&str>) -> bool {
    world.hooks.runs.values().any(|run| {
        let labels = &run["metadata"]["labels"];
        labels["muster.dev/pod-uid"] == pod.uid.as_str()
            && labels["hookrun-type"] == point
            && revision.is_none_or(|revision| labels["workload-revision"] == revision)
            && run["status"]["phase"] == "Successful"
            && run["spec"]["terminate"] != true
    })
}

fn check_verdict(before: &mut World, step: &Step) -> Result<(), TestCaseError> {
    let (Action::DeletePod { name, .. }
    | Action::ReplacePod { name, .. }
    | Action::PatchPod { name, .. }
    | Action::PatchPodStatus { name, .. }) = &step.action
    else {
        return Ok(());
    };
    let snapshot = before.snapshot();
    let pod = snapshot.pods.iter().find(|pod| pod.name == *name).unwrap();
    let runs = pod.phase == crate::pod::Phase::Running;
    let fine = match (&step.action, step.reason.code) {
        (Action::DeletePod { .. } | Action::ReplacePod { .. }, _) => {
            !runs || allowed(before, pod, "pre-delete-step", None)
        }
        (Action::PatchPod { body, .. }, Code::UpdateInPlace) => {
            let to = body["metadata"]["labels"]["controller-revision-hash"].as_str();
            // Its containers restart already, by a verdict that was given.
            let jumps = matches!(pod.stage(), Stage::Patched(_) | Stage::Helped(_));
            jumps || !runs || allowed(before, pod, "pre-inplace-step", to)
        }
        (_, Code::CloseGate) => !runs || allowed(before, pod, "pre-inplace-step", None),
        (_, Code::OpenGate) => {
            let patched = matches!(pod.stage(), Stage::Patched(_));
            let at = pod.revision.as_ref().map(muster_crds::RevisionName::as_str);
            !patched || allowed(before, pod, "post-inplace-step", at)
        }
        _ => true,
    };
    prop_assert!(fine, "{} without a verdict: {:#?}", step, before.hooks.runs);
    Ok(())
}

/// Who makes a serving pod of the set unavailable stays within the budget.
fn check_budget(world: &mut World, before: &mut World, step: &Step) -> Result<(), TestCaseError> {
    let disrupts = [Code::CloseGate, Code::Recreate, Code::UpdateInPlace, Code::FinishDeletion];
    if disrupts.contains(&step.reason.code) {
        let replicas = u32::try_from(world.set["spec"]["replicas"].as_i64().unwrap()).unwrap();
        let ordinals: Vec<u32> = (0..replicas).collect();
        let (was, is) = (before.unavailable(&ordinals), world.unavailable(&ordinals));
        prop_assert!(is <= was || is <= BUDGET, "{}: {} unavailable", step, is);
    }
    Ok(())
}

fn run(policy: &str, strategy: &str, events: &[Event]) -> Result<(), TestCaseError> {
    let updates: Value = json!({
        "type": strategy,
        "rollingUpdate": {"maxUnavailable": BUDGET},
        "inPlaceUpdateStrategy": {"gracePeriodSeconds": 2},
    });
    let mut world = World::hooked(4, policy, &updates, &[PRE_DELETE, PRE_INPLACE, POST_INPLACE]);
    world.converge();
    for event in events {
        happen(&mut world, event)?;
    }
    // A person repairs what was wrong, and every game says yes.
    if let Some((_, template)) = world.hooks.templates.pop_first() {
        world.hooks.templates.insert("ask".into(), template);
    }
    for retry in [false, true] {
        world.edit(|spec| {
            spec["updateStrategy"]["paused"] = json!(false);
            spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(0);
            for point in [PRE_DELETE, PRE_INPLACE, POST_INPLACE] {
                spec[point]["retry"] = json!(retry);
            }
        });
        world.converge_answering("Successful");
    }
    let plan = world.converge();
    let wanted: Vec<u32> =
        (0..u32::try_from(world.set["spec"]["replicas"].as_i64().unwrap()).unwrap()).collect();
    prop_assert_eq!(world.ordinals(), wanted.clone(), "{}", plan);
    prop_assert_eq!(world.unavailable(&wanted), 0, "{}", plan);
    prop_assert!(plan.waits.is_empty(), "{}", plan);
    // What was asked about is done, and nothing of it is left.
    prop_assert_eq!(world.hooks.runs.len(), 0, "{:#?}", world.hooks.runs);
    let mark = world.writes.len();
    world.pass(3600);
    world.converge();
    prop_assert_eq!(world.writes_since(mark), Vec::<&str>::new());
    Ok(())
}

proptest! {
    #![proptest_config(crate::tests::cases(40))]

    #[test]
    fn no_pod_of_a_parallel_set_is_touched_before_its_verdict(
        strategy in prop_oneof![Just("InplaceUpdate"), Just("RollingUpdate")],
        events in prop::collection::vec(event(), 1..50),
    ) {
        run("Parallel", strategy, &events)?;
    }

    #[test]
    fn no_pod_of_an_ordered_set_is_touched_before_its_verdict(
        strategy in prop_oneof![Just("InplaceUpdate"), Just("RollingUpdate")],
        events in prop::collection::vec(event(), 1..50),
    ) {
        run("OrderedReady", strategy, &events)?;
    }
}
