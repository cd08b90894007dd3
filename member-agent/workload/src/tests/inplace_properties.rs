//! Random lives of a set whose pods have a game, a log shipper that helps, and a native sidecar: nothing is stopped for
//! an image that is not on its node, no container that serves is stopped behind an open gate, and no more pods are down
//! than the budget.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::inplace_suite::ordinals;
use super::simulator::World;
use crate::{Action, Code, Plan, Step};

const PODS: u32 = 4;
const BUDGET: usize = 2;

#[derive(Clone, Debug)]
enum Event {
    /// A plan is made, and as many of its steps carried out before the controller crashes and forgets.
    Plan(usize),
    Kubelet(u32),
    Kubelets,
    Crash(u32),
    Delete(u32),
    Pass(i64),
    /// A container and the version of its image.
    Image(usize, u8),
    Size(u8),
    Toleration,
    Label(u8),
    Partition(u32),
    Paused(bool),
    Policy(&'static str),
    Deadline(&'static str),
    NoRoom(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..12_usize).prop_map(Event::Plan),
        6 => (0..PODS).prop_map(Event::Kubelet),
        6 => Just(Event::Kubelets),
        1 => (0..PODS).prop_map(Event::Crash),
        1 => (0..PODS).prop_map(Event::Delete),
        2 => prop_oneof![3 => 0..20_i64, 1 => 100..200_i64].prop_map(Event::Pass),
        4 => (0..3_usize, 0..5_u8).prop_map(|(container, version)| Event::Image(container, version)),
        2 => (1..4_u8).prop_map(Event::Size),
        1 => Just(Event::Toleration),
        1 => (0..2_u8).prop_map(Event::Label),
        1 => (0..PODS).prop_map(Event::Partition),
        1 => any::<bool>().prop_map(Event::Paused),
        1 => prop_oneof![Just("DisOrdered"), Just("OrderedReady"), Just("OrderedUpdated")].prop_map(Event::Policy),
        1 => prop_oneof![Just("Pause"), Just("RollbackPod"), Just("RollbackSet")].prop_map(Event::Deadline),
        1 => any::<bool>().prop_map(Event::NoRoom),
    ]
}

fn world(policy: &str, grace: i64) -> World {
    let mut world = World::new(
        PODS.into(),
        policy,
        &json!({
            "type": "InplaceUpdate",
            "rollingUpdate": {"maxUnavailable": BUDGET},
            "podDeadlineSeconds": 100,
            "inPlaceUpdateStrategy": {"gracePeriodSeconds": grace, "helperContainers": ["log"]},
        }),
    );
    world.machines.count = 2;
    // The fourth version of the game is not in the registry.
    world.machines.missing.insert("game:4".into());
    world.edit(|spec| {
        spec["template"]["spec"]["containers"] = json!([
            {"name": "center", "image": "game:1", "resources": {"requests": {"cpu": "1"}}},
            {"name": "log", "image": "log:1"},
        ]);
        spec["template"]["spec"]["initContainers"] =
            json!([{"name": "mesh", "image": "mesh:1", "restartPolicy": "Always"}]);
    });
    world.converge();
    world
}

fn happen(world: &mut World, event: &Event) -> Result<(), TestCaseError> {
    match event {
        Event::Plan(steps) => {
            let plan = world.plan();
            carry_out(world, &plan, *steps)?;
        }
        Event::Kubelet(pod) => {
            world.kubelet(&format!("game-{pod}"));
        }
        Event::Kubelets => world.kubelets(),
        Event::Crash(pod) => world.crash(&format!("game-{pod}")),
        Event::Delete(pod) => world.delete(&format!("game-{pod}")),
        Event::Pass(seconds) => world.pass(*seconds),
        Event::Image(container, version) => world.edit(|spec| {
            let pod = &mut spec["template"]["spec"];
            match container {
                0 => pod["containers"][0]["image"] = json!(format!("game:{version}")),
                1 => pod["containers"][1]["image"] = json!(format!("log:{version}")),
                _ => pod["initContainers"][0]["image"] = json!(format!("mesh:{version}")),
            }
        }),
        Event::Size(cpu) => world.edit(|spec| {
            spec["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] =
                json!(cpu.to_string());
        }),
        Event::Toleration => world.edit(|spec| {
            spec["template"]["spec"]["tolerations"] = json!([{"key": "spot", "operator": "Exists"}]);
        }),
        Event::Label(value) => {
            world.edit(|spec| spec["template"]["metadata"]["labels"]["tier"] = json!(value.to_string()));
        }
        Event::Partition(partition) => {
            world.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(partition));
        }
        Event::Paused(paused) => world.edit(|spec| spec["updateStrategy"]["paused"] = json!(paused)),
        Event::Policy(policy) => {
            world.edit(|spec| spec["updateStrategy"]["inPlaceUpdateStrategy"]["policy"] = json!(policy));
        }
        Event::Deadline(policy) => {
            world.edit(|spec| spec["updateStrategy"]["onPodDeadline"] = json!(policy));
        }
        Event::NoRoom(no_room) => world.machines.no_room = no_room.then_some("Deferred"),
    }
    Ok(())
}

fn carry_out(world: &mut World, plan: &Plan, steps: usize) -> Result<(), TestCaseError> {
    for step in plan.steps.iter().take(steps) {
        let mut before = world.clone();
        check_stops(&before, step)?;
        if !world.apply(step) {
            continue;
        }
        prop_assert_ne!(step.reason.code, Code::Recreate, "{}", step);
        let (was, is) = (before.unavailable(&ordinals(PODS)), world.unavailable(&ordinals(PODS)));
        let costs = matches!(
            step.reason.code,
            Code::CloseGate | Code::UpdateInPlace | Code::RollBack | Code::Resize | Code::EndHelp
        );
        prop_assert!(!costs || is <= was || is <= BUDGET, "{}: {} down", step, is);
    }
    if steps < plan.steps.len() {
        world.restart();
    } else {
        world.record(plan);
    }
    Ok(())
}

/// What a patch stops must have its image on the node, and must be out of traffic unless it is a helper.
fn check_stops(world: &World, step: &Step) -> Result<(), TestCaseError> {
    let Action::PatchPod { name, body } = &step.action else { return Ok(()) };
    let Some(pod) = world.pods.get(name.as_str()) else { return Ok(()) };
    for (list, statuses) in [("containers", "containerStatuses"), ("initContainers", "initContainerStatuses")]
    {
        for new in body["spec"][list].as_array().into_iter().flatten() {
            let find = |all: &Value| -> Option<Value> {
                all.as_array()?.iter().find(|one| one["name"] == new["name"]).cloned()
            };
            let status = find(&pod["status"][statuses]).unwrap_or_default();
            let same = find(&pod["spec"][list]).is_some_and(|old| old["image"] == new["image"]);
            if same || !status["state"]["running"].is_object() {
                continue;
            }
            let there = world.pods.values().any(|other| {
                let statuses = other["status"][statuses].as_array().into_iter().flatten();
                let pulled = other["status"]["containerStatuses"].as_array().into_iter().flatten();
                other["spec"]["nodeName"] == pod["spec"]["nodeName"]
                    && statuses.chain(pulled).any(|status| status["spec"] == new["image"])
            });
            prop_assert!(there, "{}: {} is not on its node", step, new["image"]);
            let ready = pod["status"]["conditions"].as_array().into_iter().flatten();
            let open =
                ready.into_iter().any(|one| one["type"] == "InPlaceUpdateReady" && one["status"] == "True");
            prop_assert!(!open || new["name"] == "log", "{}: {} serves", step, new["name"]);
        }
    }
    Ok(())
}

fn run(policy: &str, grace: i64, events: &[Event]) -> Result<(), TestCaseError> {
    let mut world = world(policy, grace);
    for event in events {
        happen(&mut world, event)?;
    }
    world.machines.no_room = None;
    world.edit(|spec| {
        spec["updateStrategy"]["paused"] = json!(false);
        spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(0);
        spec["template"]["spec"]["containers"][0]["image"] = json!("game:9");
        spec["template"]["spec"]["tolerations"] = json!([{"key": "spot", "operator": "Exists"}]);
    });
    let plan = world.converge();
    prop_assert_eq!(plan.waits.len(), 0, "{}", plan);
    prop_assert_eq!(world.pods.len(), PODS as usize);
    prop_assert_eq!(plan.status.updated_ready_replicas, i64::from(PODS));
    let template = &world.set["spec"]["template"]["spec"];
    for pod in world.pods.values() {
        for list in ["containers", "initContainers"] {
            let fields = |all: &Value, field: &str| -> Vec<Value> {
                all[list].as_array().unwrap().iter().map(|one| one[field].clone()).collect()
            };
            prop_assert_eq!(fields(&pod["spec"], "image"), fields(template, "image"));
        }
        let cpu = "/containers/0/resources/requests/cpu";
        prop_assert_eq!(pod["spec"].pointer(cpu), template.pointer(cpu));
    }
    let mark = world.writes.len();
    world.restart();
    world.pass(3600);
    world.converge();
    prop_assert_eq!(world.writes_since(mark), Vec::<&str>::new());
    Ok(())
}

proptest! {
    #![proptest_config(crate::tests::cases(60))]

    #[test]
    fn updates_in_place_stop_nothing_that_cannot_start_again(
        ordered in any::<bool>(),
        grace in 0..10_i64,
        events in prop::collection::vec(event(), 1..60),
    ) {
        run(if ordered { "OrderedReady" } else { "Parallel" }, grace, &events)?;
    }
}
