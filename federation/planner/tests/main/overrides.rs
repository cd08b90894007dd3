//! What differs in single clusters.

use muster_planner::{Problem, condition, render};
use serde_json::{Value, json};

use crate::world::{World, condition, intents, replicas, weights};

fn world(overrides: Value) -> World {
    let mut world = World::new(&["nanjing", "shanghai"]).seats(&[]).prefer(&weights(&[("*", 1)]));
    world.spec()["overrides"] = overrides;
    world
}

fn shanghai(operations: &Value) -> World {
    world(json!([{"clusterName": "shanghai", "clusterOverrides": operations}]))
}

fn rendered(world: &World) -> Value {
    render(&world.object(), &world.plan().clusters["shanghai"]).unwrap()
}

#[test]
fn an_operation_that_is_not_named_replaces() {
    let world = shanghai(&json!([{"path": "/spec/template/spec/containers/0/image", "value": "lobby:v2"}]));
    assert_eq!(rendered(&world)["spec"]["template"]["spec"]["containers"][0]["image"], "lobby:v2");
    let plan = world.plan();
    let other = render(&world.object(), &plan.clusters["nanjing"]).unwrap();
    assert_eq!(other["spec"]["template"]["spec"]["containers"][0]["image"], "lobby:v1");
}

#[test]
fn operations_apply_in_their_order() {
    let world = shanghai(&json!([
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {"op": "add", "path": "/metadata/annotations/a~1b~0c", "value": "x"},
        {"op": "add", "path": "/spec/template/spec/containers/0", "value": {"name": "side"}},
        {"op": "remove", "path": "/spec/template/spec/containers/1/image"},
        {"op": "replace", "path": "/spec/selector", "value": null},
    ]));
    let body = rendered(&world);
    assert_eq!(body["metadata"]["annotations"], json!({"a/b~c": "x"}));
    assert_eq!(body["spec"]["template"]["spec"]["containers"], json!([{"name": "side"}, {"name": "lobby"}]));
    assert_eq!(body["spec"]["selector"], Value::Null);
}

#[test]
fn mistakes_name_object_and_field_and_hold_that_cluster_only() {
    let image = "/spec/template/spec/containers/0/image";
    let cases = [
        json!([{"path": "/spec/nothing/here", "value": 1}]),
        json!([{"path": "/spec/serviceName", "value": "lobby"}]),
        json!([{"op": "remove", "path": "/spec/serviceName"}]),
        json!([{"op": "add", "path": "/spec/template/spec/containers/7", "value": {}}]),
        json!([{"path": image, "value": "a"}, {"path": image, "value": "b"}]),
        json!([{"path": image}]),
        json!([{"path": ""}]),
        json!([{"path": "spec/replicas", "value": 1}]),
        json!([{"path": "/spec/~2", "value": 1}]),
        json!([{"op": "move", "path": image, "value": "a"}]),
        json!([{"path": "/metadata/name", "value": "other"}]),
        json!([{"path": "/metadata/namespace", "value": "other"}]),
        json!([{"op": "add", "path": "/metadata/generateName", "value": "other"}]),
        json!([{"path": "/kind", "value": "Pod"}]),
        json!([{"path": "/apiVersion", "value": "apps/v1"}]),
        json!([{"op": "add", "path": "/metadata/finalizers", "value": ["x"]}]),
        json!([{"op": "add", "path": "/status", "value": {}}]),
        json!([{"path": "/spec/replicas", "value": -1}]),
        json!([{"path": "/spec/replicas", "value": "seven"}]),
        json!([{"path": "/spec/replicas", "value": 3_000_000_000_u64}]),
        json!([{"op": "remove", "path": "/spec/replicas"}]),
        json!([{"path": "/spec", "value": {}}]),
    ];
    let mut messages = String::new();
    for operations in cases {
        let world = shanghai(&operations).seats(&[("nanjing", 110), ("shanghai", 90)]);
        let plan = world.plan();
        assert_eq!(intents(&plan), [("nanjing", "Apply"), ("shanghai", "Hold")]);
        assert_eq!(replicas(&plan), [("nanjing", 110), ("shanghai", 90)], "what runs goes on");
        let (status, reason, message) = condition(&plan, condition::PLANNED);
        assert_eq!((status, reason), (false, "InvalidInput"));
        assert_eq!(plan.clusters["shanghai"].reasons[0].message, message);
        messages.push_str(message);
        messages.push('\n');
    }
    insta::assert_snapshot!(messages);
}

#[test]
fn two_entries_for_one_cluster_hold_it() {
    let image = json!([{"path": "/spec/template/spec/containers/0/image", "value": "a"}]);
    let world = world(json!([
        {"clusterName": "shanghai", "clusterOverrides": image},
        {"clusterName": "nanjing", "clusterOverrides": image},
        {"clusterName": "shanghai", "clusterOverrides": image},
    ]));
    let object = world.object();
    let error = object.overrides["shanghai"].as_ref().unwrap_err();
    assert_eq!(
        (error.object.as_str(), error.field.as_str()),
        ("FederatedGameStatefulSet games/lobby", "spec.overrides[2].clusterName")
    );
    assert!(matches!(&error.problem, Problem::Duplicate { value, .. } if value == "shanghai"));
    assert_eq!(intents(&world.plan()), [("nanjing", "Apply"), ("shanghai", "Hold")]);
}

#[test]
fn overrides_that_cannot_be_read_hold_every_placed_cluster() {
    let world = world(json!({"shanghai": []})).seats(&[("nanjing", 100), ("shanghai", 100)]);
    let plan = world.plan();
    assert_eq!(intents(&plan), [("nanjing", "Hold"), ("shanghai", "Hold")]);
    assert!(
        condition(&plan, condition::PLANNED)
            .2
            .starts_with("FederatedGameStatefulSet games/lobby: spec.overrides: ")
    );
}

#[test]
fn seats_are_kept_free_for_a_new_cluster_until_its_override_is_mended() {
    let mut world = shanghai(&json!([{"path": "/spec/nothing/here", "value": 1}]));
    let plan = world.step();
    assert_eq!(replicas(&plan), [("nanjing", 100), ("shanghai", 100)]);
    assert_eq!(intents(&plan), [("nanjing", "Apply"), ("shanghai", "Hold")]);
    world.spec()["overrides"] = json!([]);
    assert_eq!(replicas(&world.step()), [("nanjing", 100), ("shanghai", 100)]);
}

#[test]
fn replicas_set_by_an_override_are_pinned_and_come_off_the_total() {
    for operations in [
        json!([{"path": "/spec/replicas", "value": 7}]),
        json!([{"op": "add", "path": "/spec/replicas", "value": 7}]),
        json!([{"path": "/spec", "value": {"replicas": 7, "template": {}}}]),
        json!([{"op": "remove", "path": "/spec/replicas"}, {"op": "add", "path": "/spec", "value": {"replicas": 7}}]),
    ] {
        let world = shanghai(&operations);
        let plan = world.plan();
        assert_eq!(replicas(&plan), [("nanjing", 193), ("shanghai", 7)]);
        assert_eq!(plan.clusters["shanghai"].reasons[0].message, "pinned by override to 7");
        assert_eq!(rendered(&world)["spec"]["replicas"], 7);
    }
    // Each of the probes, and the template's own number, are pins like any other.
    for pin in [3, 4, 200] {
        let plan = shanghai(&json!([{"path": "/spec/replicas", "value": pin}])).plan();
        assert_eq!(replicas(&plan), [("nanjing", 200 - pin), ("shanghai", pin)]);
    }
}

#[test]
fn an_override_that_leaves_replicas_alone_is_no_pin() {
    let plan = shanghai(&json!([{"op": "add", "path": "/spec/replicasExtra", "value": 7}])).plan();
    assert_eq!(replicas(&plan), [("nanjing", 100), ("shanghai", 100)]);
}

#[test]
fn pins_beyond_the_total_are_reported() {
    let world = shanghai(&json!([{"path": "/spec/replicas", "value": 230}])).seats(&[("nanjing", 80)]);
    let plan = world.plan();
    assert_eq!(replicas(&plan), [("nanjing", 0), ("shanghai", 230)]);
    assert_eq!(
        condition(&plan, condition::PINS_EXCEED_TOTAL),
        (true, "PinSurplus", "clusters whose seats are pinned or frozen hold 30 more than the total of 200")
    );
}
