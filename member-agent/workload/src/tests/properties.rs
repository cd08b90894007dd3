//! Random lives of a set. After every write the promises are checked; at the end everything converges.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::simulator::World;
use crate::identity::ordinal;
use crate::spec::Spec;
use crate::{Action, Code, Plan, Step};

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    /// A plan is made, and as many of its steps carried out before the controller crashes.
    Plan(usize),
    /// Steps of an old plan are carried out after something else happened.
    StalePlan(Box<Event>),
    Kubelet(usize),
    Kubelets,
    Fail(usize),
    Crash(usize),
    Delete(usize),
    Pass(i64),
    Image(u8),
    Env(u8),
    Label(u8),
    Replicas(i64),
    Partition(i64),
    MaxUnavailable(i64),
    MaxSurge(i64),
    MinReady(i64),
    Strategy(&'static str),
    Paused(bool),
    Grace(i64),
    Bad,
}

fn event() -> impl Strategy<Value = Event> {
    let pod = 0..8_usize;
    let plain = prop_oneof![
        6 => (0..12_usize).prop_map(Event::Plan),
        6 => pod.clone().prop_map(Event::Kubelet),
        4 => Just(Event::Kubelets),
        1 => pod.clone().prop_map(Event::Fail),
        1 => pod.clone().prop_map(Event::Crash),
        1 => pod.prop_map(Event::Delete),
        2 => (0..20_i64).prop_map(Event::Pass),
        3 => (0..4_u8).prop_map(Event::Image),
        1 => (0..2_u8).prop_map(Event::Env),
        1 => (0..2_u8).prop_map(Event::Label),
        1 => (0..8_i64).prop_map(Event::Replicas),
        1 => (0..8_i64).prop_map(Event::Partition),
        1 => (1..5_i64).prop_map(Event::MaxUnavailable),
        1 => (0..4_i64).prop_map(Event::MaxSurge),
        1 => (0..15_i64).prop_map(Event::MinReady),
        1 => prop_oneof![
            2 => Just("InplaceUpdate"), 2 => Just("RollingUpdate"), 1 => Just("OnDelete"), 1 => Just("HotPatchUpdate"),
        ].prop_map(Event::Strategy),
        1 => any::<bool>().prop_map(Event::Paused),
        1 => (0..10_i64).prop_map(Event::Grace),
        1 => Just(Event::Bad),
    ];
    plain.prop_recursive(1, 2, 1, |inner| inner.prop_map(|event| Event::StalePlan(Box::new(event))))
}

fn happen(world: &mut World, event: &Event) -> Result<(), TestCaseError> {
    let bounds = |world: &mut World, field: &str, value: Value| {
        world.edit(|spec| spec["updateStrategy"]["rollingUpdate"][field] = value);
    };
    match event {
        Event::Plan(steps) => {
            let plan = world.plan();
            carry_out(world, &plan, *steps)?;
        }
        Event::StalePlan(between) => {
            let plan = world.plan();
            happen(world, between)?;
            // Its preconditions must hold off what no longer fits; what they let through must keep the promises that
            // do not depend on the spec of the moment.
            for step in &plan.steps {
                world.apply(step);
            }
        }
        Event::Kubelet(pod) => {
            world.kubelet(&format!("game-{pod}"));
        }
        Event::Kubelets => world.kubelets(),
        Event::Fail(pod) => world.fail(&format!("game-{pod}")),
        Event::Crash(pod) => world.crash(&format!("game-{pod}")),
        Event::Delete(pod) => world.delete(&format!("game-{pod}")),
        Event::Pass(seconds) => world.pass(*seconds),
        Event::Image(image) => world.set_image(&format!("game:{image}")),
        Event::Env(value) => {
            world.edit(|spec| {
                spec["template"]["spec"]["containers"][0]["env"] =
                    json!([{"name": "A", "value": value.to_string()}]);
            });
        }
        Event::Label(value) => {
            world.edit(|spec| spec["template"]["metadata"]["labels"]["tier"] = json!(value.to_string()));
        }
        Event::Replicas(replicas) => world.edit(|spec| spec["replicas"] = json!(replicas)),
        Event::Partition(partition) => bounds(world, "partition", json!(partition)),
        Event::MaxUnavailable(most) => bounds(world, "maxUnavailable", json!(most)),
        Event::MaxSurge(most) => bounds(world, "maxSurge", json!(most)),
        Event::MinReady(seconds) => world.edit(|spec| spec["minReadySeconds"] = json!(seconds)),
        Event::Strategy(strategy) => world.edit(|spec| spec["updateStrategy"]["type"] = json!(strategy)),
        Event::Paused(paused) => world.edit(|spec| spec["updateStrategy"]["paused"] = json!(paused)),
        Event::Grace(seconds) => world.edit(|spec| {
            spec["updateStrategy"]["inPlaceUpdateStrategy"] = json!({"gracePeriodSeconds": seconds});
        }),
        Event::Bad => world.edit(|spec| spec["replicas"] = json!(-1)),
    }
    Ok(())
}

fn spec(world: &World) -> Spec {
    Spec::read(&serde_json::from_value(world.set.clone()).unwrap())
}

/// Carries out the first steps of a plan and checks the promises after each.
fn carry_out(world: &mut World, plan: &Plan, steps: usize) -> Result<(), TestCaseError> {
    let spec = spec(world);
    let ordinals = spec.ordinals();
    let current = plan.status.current_revision.clone();
    for step in plan.steps.iter().take(steps) {
        let before = world.clone();
        world.apply(step);
        check_budget(world, before, &spec, ordinals.as_deref(), step)?;
        check_partition(&spec, current.as_deref(), step)?;
        if spec.strategy == Some(crate::spec::Strategy::InPlace) {
            prop_assert_ne!(step.reason.code, Code::Recreate, "{}", step);
        }
    }
    if steps >= plan.steps.len() {
        let plan = world.plan();
        let live = world.pods.values().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        if let Some(ordinals) = &ordinals {
            let live = live.filter(|pod| {
                let name = pod["metadata"]["name"].as_str().unwrap();
                ordinal("game", name).is_some_and(|ordinal| ordinals.contains(&ordinal))
            });
            prop_assert_eq!(plan.status.replicas, live.count() as i64);
        }
        world.record(&plan);
    }
    Ok(())
}

/// Who makes a serving pod of the set unavailable stays within the budget.
fn check_budget(
    world: &mut World,
    mut before: World,
    spec: &Spec,
    ordinals: Option<&[u32]>,
    step: &Step,
) -> Result<(), TestCaseError> {
    let disrupts = matches!(step.reason.code, Code::CloseGate | Code::Recreate | Code::UpdateInPlace);
    let Some(ordinals) = ordinals.filter(|_| disrupts) else { return Ok(()) };
    let (was, is) = (before.unavailable(ordinals), world.unavailable(ordinals));
    prop_assert!(is <= was || is <= spec.budget, "{}: {} unavailable, budget {}", step, is, spec.budget);
    Ok(())
}

/// Nothing below the partition gets another revision than the current one.
fn check_partition(spec: &Spec, current: Option<&str>, step: &Step) -> Result<(), TestCaseError> {
    let (Action::CreatePod { name, body, .. } | Action::PatchPod { name, body }) = &step.action else {
        return Ok(());
    };
    let revision = body["metadata"]["labels"]["controller-revision-hash"].as_str();
    let kept = ordinal("game", name.as_str()).is_some_and(|ordinal| ordinal < spec.partition);
    let bounded = spec.strategy != Some(crate::spec::Strategy::OnDelete);
    if kept && bounded && revision.is_some() {
        prop_assert_eq!(revision, current, "{}", step);
    }
    Ok(())
}

fn run(policy: &str, strategy: &str, events: &[Event]) -> Result<(), TestCaseError> {
    let mut world = World::new(
        4,
        policy,
        &json!({
            "type": strategy, "rollingUpdate": {}, "inPlaceUpdateStrategy": {"gracePeriodSeconds": 2},
        }),
    );
    world.converge();
    for event in events {
        happen(&mut world, event)?;
    }
    // A person repairs what was wrong and lets it go.
    world.edit(|spec| {
        spec["updateStrategy"]["paused"] = json!(false);
        if spec["replicas"] == -1 {
            spec["replicas"] = json!(5);
        }
    });
    let plan = world.converge();
    let spec = spec(&world);
    let ordinals = spec.ordinals().unwrap();
    prop_assert_eq!(world.ordinals(), ordinals.clone());
    prop_assert_eq!(world.unavailable(&ordinals), 0);
    let resting = [Code::OnDelete, Code::CannotUpdateInPlace, Code::UpdateRefused, Code::Partition];
    prop_assert!(plan.waits.iter().all(|wait| resting.contains(&wait.reason.code)), "{}", plan);
    if plan.waits.is_empty() && spec.partition == 0 {
        prop_assert_eq!(plan.status.updated_ready_replicas, ordinals.len() as i64);
        prop_assert_eq!(plan.status.current_revision, plan.status.update_revision);
    }
    // And then it is quiet.
    let mark = world.writes.len();
    world.pass(3600);
    world.converge();
    prop_assert_eq!(world.writes_since(mark), Vec::<&str>::new());
    Ok(())
}

proptest! {
    #![proptest_config(crate::tests::cases(100))]

    #[test]
    fn parallel_sets_keep_their_promises(
        strategy in prop_oneof![Just("InplaceUpdate"), Just("RollingUpdate")],
        events in prop::collection::vec(event(), 1..40),
    ) {
        run("Parallel", strategy, &events)?;
    }

    #[test]
    fn ordered_sets_keep_their_promises(
        strategy in prop_oneof![Just("InplaceUpdate"), Just("RollingUpdate")],
        events in prop::collection::vec(event(), 1..40),
    ) {
        run("OrderedReady", strategy, &events)?;
    }
}
