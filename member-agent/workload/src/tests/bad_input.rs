//! What cannot be meant: the condition names the field, what runs goes on, and taking it back leaves no trace.

use serde_json::{Value, json};

use super::canary::run;
use super::simulator::World;
use crate::Plan;

/// What is set, where, and the field that the condition has to name.
type Case = (&'static str, &'static str, Value);

fn cases() -> Vec<Case> {
    let container = |edit: fn(&mut Value)| {
        let mut containers = json!([{"name": "center", "image": "game:2"}]);
        edit(&mut containers);
        containers
    };
    let pod = "/template/spec";
    let steps = "spec.updateStrategy.canary.steps[0]";
    let canary = |step: Value| json!({"type": "InplaceUpdate", "canary": {"steps": [step]}});
    let in_place = |options: Value| json!({"type": "InplaceUpdate", "inPlaceUpdateStrategy": options});
    let bounds = |bounds: Value| json!({"type": "InplaceUpdate", "rollingUpdate": bounds});
    let unavailable = "spec.updateStrategy.rollingUpdate.maxUnavailable";
    vec![
        ("/replicas", "spec.replicas", json!(-1)),
        ("/replicas", "spec.replicas", json!("three")),
        ("/replicas", "spec.replicas", json!(10_000_000)),
        ("/selector", "spec.selector", json!({"matchLabels": {"app": "other"}})),
        ("/selector", "spec.selector", json!({})),
        ("/podManagementPolicy", "spec.podManagementPolicy", json!("Sideways")),
        ("/reserveOrders", "spec.reserveOrders", json!([7, 7])),
        ("/reserveOrders", "spec.reserveOrders", json!([-1])),
        ("/revisionHistoryLimit", "spec.revisionHistoryLimit", json!(-1)),
        ("/minReadySeconds", "spec.minReadySeconds", json!(-1)),
        ("/progressDeadlineSeconds", "spec.progressDeadlineSeconds", json!(-1)),
        ("/ordinals", "spec.ordinals.start", json!({"start": -1})),
        ("/scaleStrategy", "spec.scaleStrategy.createBatch", json!({"createBatch": "some"})),
        (
            "/persistentVolumeClaimRetentionPolicy",
            "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
            json!({"whenScaled": "Burn"}),
        ),
        ("/template", "spec.template.spec.containers", json!({"metadata": {"labels": {"app": "game"}}})),
        ("/template/spec/containers", "spec.template.spec.containers", json!([])),
        ("/template/spec/restartPolicy", "spec.template.spec.restartPolicy", json!("Never")),
        ("/template/spec/activeDeadlineSeconds", "spec.template.spec.activeDeadlineSeconds", json!(60)),
        ("/template/spec/ephemeralContainers", "spec.template.spec.ephemeralContainers", json!([])),
        (
            "/template/spec/terminationGracePeriodSeconds",
            "spec.template.spec.terminationGracePeriodSeconds",
            json!(-1),
        ),
        (
            "/template/spec/containers",
            "spec.template.spec.containers[1].name",
            container(|list| list.as_array_mut().unwrap().push(json!({"name": "center", "image": "x"}))),
        ),
        (
            "/template/spec/containers",
            "spec.template.spec.containers[0].name",
            container(|list| list[0]["name"] = Value::Null),
        ),
        (
            "/template/spec/containers",
            "spec.template.spec.containers[0].volumeMounts[0].name",
            container(|list| list[0]["volumeMounts"] = json!([{"name": "save", "mountPath": "/save"}])),
        ),
        (
            pod,
            "spec.template.spec.volumes[1].name",
            json!({
                "containers": [{"name": "center", "image": "game:1"}],
                "volumes": [{"name": "save", "emptyDir": {}}, {"name": "save", "emptyDir": {}}],
            }),
        ),
        ("/updateStrategy", "spec.updateStrategy.type", json!({"type": "Magic"})),
        ("/updateStrategy", "spec.updateStrategy", json!("now")),
        ("/updateStrategy", unavailable, bounds(json!({"maxUnavailable": 0}))),
        ("/updateStrategy", unavailable, bounds(json!({"maxUnavailable": "0%"}))),
        ("/updateStrategy", unavailable, bounds(json!({"maxUnavailable": -1}))),
        ("/updateStrategy", "spec.updateStrategy.rollingUpdate.maxSurge", bounds(json!({"maxSurge": "x"}))),
        ("/updateStrategy", "spec.updateStrategy.rollingUpdate.partition", bounds(json!({"partition": -1}))),
        ("/updateStrategy", "spec.updateStrategy.rollingUpdate.partition", bounds(json!({"partition": 40}))),
        (
            "/updateStrategy",
            "spec.updateStrategy.rollingUpdate.partition",
            bounds(json!({"partition": "200%"})),
        ),
        (
            "/updateStrategy",
            "spec.updateStrategy.inPlaceUpdateStrategy.gracePeriodSeconds",
            in_place(json!({"gracePeriodSeconds": -1})),
        ),
        (
            "/updateStrategy",
            "spec.updateStrategy.inPlaceUpdateStrategy.helperContainers",
            in_place(json!({"helperContainers": ["logs"]})),
        ),
        (
            "/updateStrategy",
            "spec.updateStrategy.inPlaceUpdateStrategy.policy",
            in_place(json!({"policy": "Backwards"})),
        ),
        (
            "/updateStrategy",
            "spec.updateStrategy.inPlaceUpdateStrategy.prePull.parallelism",
            in_place(json!({"prePull": {"parallelism": -1}})),
        ),
        (
            "/updateStrategy",
            "spec.updateStrategy.podDeadlineSeconds",
            json!({"type": "InplaceUpdate", "podDeadlineSeconds": -1}),
        ),
        (
            "/updateStrategy",
            "spec.updateStrategy.onPodDeadline",
            json!({"type": "InplaceUpdate", "onPodDeadline": "Panic"}),
        ),
        ("/updateStrategy", steps, canary(json!({"partition": 1, "pause": {}}))),
        (
            "/updateStrategy",
            steps,
            canary(json!({"hook": {"templateName": "ask"}, "pause": {"duration": 1}})),
        ),
        ("/updateStrategy", steps, canary(json!({}))),
        (
            "/updateStrategy",
            "spec.updateStrategy.canary.steps[0].partition",
            canary(json!({"partition": "x%"})),
        ),
    ]
}

fn set(world: &mut World, path: &str, value: &Value) {
    world.edit(|spec| {
        let (parent, field) = path.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[field] = value.clone();
    });
}

fn invalid(plan: &Plan) -> String {
    let condition = plan.status.conditions.iter().find(|condition| condition.type_ == "InvalidSpec");
    condition.and_then(|condition| condition.message.clone()).unwrap_or_default()
}

#[test]
fn bad_input_names_its_field_and_changes_nothing_that_runs() {
    for (path, field, value) in cases() {
        let mut world = World::new(4, "Parallel", &json!({"type": "InplaceUpdate"}));
        world.converge();
        let (spec, status, mark) =
            (world.set["spec"].clone(), world.set["status"].clone(), world.writes.len());
        set(&mut world, path, &value);
        let plan = run(&mut world);
        let message = invalid(&plan);
        assert!(message.contains(&format!("{field}: ")), "{path} {value}: {message:?} names no {field}");
        assert_eq!(world.writes_since(mark), Vec::<&str>::new(), "{path} {value}");
        for count in ["replicas", "readyReplicas", "updatedReplicas", "currentRevision", "updateRevision"] {
            assert_eq!(world.set["status"][count], status[count], "{path} {value}: {count}");
        }
        assert!(world.set["status"]["labelSelector"].is_string(), "{path} {value}");

        world.edit(|now| *now = spec.clone());
        let plan = run(&mut world);
        assert_eq!(invalid(&plan), "", "{path} {value}");
        assert_eq!(world.writes_since(mark), Vec::<&str>::new(), "{path} {value}");
    }
}

#[test]
fn bad_input_while_an_update_is_under_way_lets_single_pods_finish_and_costs_none() {
    for (path, field, value) in cases() {
        let strategy = json!({"type": "InplaceUpdate", "rollingUpdate": {"maxUnavailable": 2}});
        let mut world = World::new(4, "Parallel", &strategy);
        world.converge();
        let uids = world.uids();
        world.set_image("game:2");
        for _ in 0..3 {
            world.settle();
            world.kubelets();
        }
        set(&mut world, path, &value);
        world.converge();
        assert_eq!(world.uids(), uids, "{path} {value}: a pod was replaced");
        assert_eq!(world.unavailable(&[0, 1, 2, 3]), 0, "{path} {value}");
        assert!(world.images().iter().all(|image| ["game:1", "game:2"].contains(image)), "{field} {value}");
    }
}

#[test]
fn a_template_that_cannot_run_is_not_followed_and_the_rest_of_the_spec_is() {
    for kind in ["RollingUpdate", "InplaceUpdate", "OnDelete"] {
        let mut world = World::new(3, "Parallel", &json!({"type": kind}));
        world.converge();
        world.edit(|spec| {
            spec["template"]["spec"]["restartPolicy"] = json!("Never");
            spec["template"]["spec"]["containers"][0]["image"] = json!("game:2");
            spec["replicas"] = json!(5);
        });
        run(&mut world);
        assert_eq!(world.images(), ["game:1"; 5], "{kind}");
        world.fail("game-1");
        run(&mut world);
        assert_eq!(world.images(), ["game:1"; 5], "{kind}");
        assert_eq!(world.revisions.len(), 1, "{kind}");
        world.edit(|spec| spec["replicas"] = json!(2));
        run(&mut world);
        assert_eq!(world.ordinals(), [0, 1], "{kind}");
    }
    // One that is new has nothing to stay on.
    let mut world = World::new(3, "Parallel", &json!({"type": "RollingUpdate"}));
    world.edit(|spec| spec["template"]["spec"]["containers"] = json!([]));
    let plan = run(&mut world);
    assert!(invalid(&plan).contains("spec.template.spec.containers"));
    assert!(world.pods.is_empty() && world.revisions.is_empty());
}

#[test]
fn a_template_that_the_original_ran_stays_the_one_in_use() {
    // bk-bcs ran pods of any restartPolicy.
    let mut world = World::new(2, "Parallel", &json!({"type": "InplaceUpdate"}));
    world.converge();
    world.set["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
    let revision = world.revisions.values_mut().next().unwrap();
    revision["data"]["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
    let mark = world.writes.len();
    run(&mut world);
    assert_eq!(world.writes_since(mark), Vec::<&str>::new());
    world.fail("game-0");
    run(&mut world);
    assert_eq!(world.ordinals(), [0, 1]);
    assert_eq!(world.set["status"]["readyReplicas"], 2);
}
