//! Bad input: what ran goes on, and the object and field are named.

use serde_json::{Value, json};

use super::*;
use crate::model::{Event, Feed, TypeConfigInput};

fn running() -> World {
    let mut world = World::with(&["a", "b"]);
    world.prefer("game", json!({"targetKind": "FederatedGameStatefulSet"}));
    world.put(object("game", 10, &["a", "b"]));
    world.settle("a", "game");
    world.settle("b", "game");
    world.pass(2);
    world
}

#[test]
fn a_good_object_made_bad_holds_keeps_its_seats_and_recovers() {
    type Spoil = fn(&mut Value);
    let cases: [(&str, Spoil); 5] = [
        ("spec.template.spec.replicas", |spec| spec["template"]["spec"]["replicas"] = json!(-1)),
        ("spec.template", |spec| spec["template"] = json!("text")),
        ("spec.placement", |spec| spec["placement"] = json!({"clusters": "everywhere"})),
        ("spec.placement.clusterSelector", |spec| {
            spec["placement"] =
                json!({"clusterSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}});
        }),
        ("spec.overrides", |spec| {
            spec["overrides"] =
                json!([set_image("a", "x"), set_image("a", "y"), set_image("b", "x"), set_image("b", "y")]);
        }),
    ];
    for (field, spoil) in cases {
        let mut world = running();
        let good = world.objects["game"].clone();
        world.edit("game", |object| spoil(&mut object["spec"]));
        world.pass(3);
        assert_eq!((world.intent("a", "game"), world.intent("b", "game")), ("Hold", "Hold"), "{field}");
        assert_eq!(world.seats("game"), "a=5 b=5", "{field}");
        let degraded = world.condition("game", "Degraded");
        assert!(degraded.starts_with("True InvalidInput") && degraded.contains(field), "{field}: {degraded}");
        assert!(degraded.contains("center/game"), "{degraded}");
        assert!(world.condition("game", "Ready").starts_with("False"), "{field}");
        assert!(world.condition("game", "Propagation").starts_with("False"), "{field}");
        assert_eq!(world.status("game").ready_replicas, 10, "{field}: what ran goes on");

        world.edit("game", |object| object["spec"] = good["spec"].clone());
        world.pass(2);
        assert_eq!((world.intent("a", "game"), world.intent("b", "game")), ("Apply", "Apply"), "{field}");
        assert!(
            world.condition("game", "Ready").starts_with("True"),
            "{field}: {}",
            world.condition("game", "Ready")
        );
    }
}

#[test]
fn a_bad_override_of_one_cluster_holds_that_cluster_only() {
    let mut world = running();
    let before = world.versions();
    world.edit("game", |object| {
        object["spec"]["overrides"] =
            json!([{"clusterName": "a", "clusterOverrides": [{"path": "/spec/nowhere/x", "value": 1}]}]);
    });
    world.pass(2);
    assert_eq!(world.changed_since(&before), ["a"]);
    assert_eq!(world.row("game", "a").status.as_deref(), Some("ApplyOverridesFailed"));
    assert!(world.row("game", "a").message.unwrap().contains("/spec/nowhere"));
    assert_eq!(world.row("game", "b").status, None);
}

#[test]
fn a_bad_preference_keeps_the_seats_and_names_the_field() {
    let mut world = running();
    world.prefer(
        "game",
        json!({"targetKind": "FederatedGameStatefulSet",
        "clusters": {"a": {"minReplicas": 9, "maxReplicas": 1, "weight": 1}}}),
    );
    world.pass(2);
    assert_eq!(world.seats("game"), "a=5 b=5");
    let planned = world.condition("game", "Planned");
    assert!(planned.starts_with("False InvalidInput") && planned.contains("minReplicas"), "{planned}");
}

#[test]
fn one_bad_object_does_not_hold_up_the_others() {
    let mut world = World::with(&["a"]);
    let mut bad = object("bad", 3, &["a"]);
    bad["spec"]["template"]["spec"]["replicas"] = json!("three");
    world.put(bad);
    world.put(object("good", 3, &["a"]));
    world.pass(1);
    assert_eq!(world.intent("a", "bad"), "Hold");
    assert_eq!(world.replicas("a", "good"), Some(3));
}

#[test]
fn reports_of_unknown_kinds_are_refused_one_by_one() {
    let mut world = running();
    let good = json!({"key": {"group": "tkex.tencent.com", "plural": "gamestatefulsets", "namespace": "center", "name": "x"}});
    let bad = json!({"key": {"group": "apps", "plural": "deployments", "name": "x"}});
    let answer = world.report_list("a", json!({"items": [bad, good, 3]}));
    assert_eq!((answer.accepted, answer.rejected.len()), (1, 2));
    assert!(answer.rejected[0].reason.contains("deployments.apps"));
}

fn type_config(target: &str, group: &str, propagation: &str) -> Value {
    let kind = |group: &str, plural: &str| json!({"group": group, "version": "v1", "kind": "K", "pluralName": plural, "scope": "Namespaced"});
    json!({
        "targetType": kind(group, target), "federatedType": kind("types.kubefed.io", "federatedthings"),
        "propagation": propagation,
    })
}

#[test]
fn a_type_config_of_another_kind_is_answered() {
    let mut world = running();
    world.configure("deployments.apps", type_config("deployments", "apps", "Enabled"));
    let status = world.configs["deployments.apps"].status.clone().unwrap();
    let condition = &status.conditions[0];
    assert_eq!((condition.type_.as_str(), condition.status.as_str()), ("NotYetFederated", "True"));
    assert!(condition.message.as_ref().unwrap().contains("deployments.apps"));
    assert_eq!(status.observed_generation, Some(3));
}

#[test]
fn a_disabled_kind_stops_being_mirrored_and_keeps_everything() {
    let mut world = running();
    let hash = world.view("a", "game").unwrap()["metadata"]["generation"].clone();
    world.configure("gamestatefulsets", type_config("gamestatefulsets", "tkex.tencent.com", "Disabled"));
    world.pass(2);
    assert_eq!(world.intent("a", "game"), "Hold");
    assert_eq!(world.current("a")["synced"], false);
    assert_eq!(world.seats("game"), "a=5 b=5");
    assert!(world.condition("game", "Propagation").starts_with("False PropagationDisabled"));
    world.edit("game", |object| object["spec"]["template"]["spec"]["replicas"] = json!(30));
    assert_eq!(world.seats("game"), "a=5 b=5");

    let name = "gamestatefulsets";
    world.configure(name, type_config(name, "tkex.tencent.com", "Enabled"));
    world.pass(2);
    assert_eq!(world.seats("game"), "a=15 b=15");
    assert_ne!(world.view("a", "game").unwrap()["metadata"]["generation"], hash);
    assert_eq!(world.current("a")["synced"], true);
    assert!(TypeConfigInput::of(&world.configs[name]).enabled);
    world.apply(Event::TypeConfigs(Feed::Deleted(name.to_owned())));
    assert_eq!(world.intent("a", "game"), "Apply", "the built-in kind is on without a FederatedTypeConfig");
}

#[test]
fn a_suspended_cluster_is_held_alone() {
    let mut world = running();
    world.register("a", json!({"annotations": {"muster.dev/suspend": "true"}}));
    assert_eq!((world.intent("a", "game"), world.intent("b", "game")), ("Hold", "Apply"));
    world.register("a", json!({}));
    assert_eq!(world.intent("a", "game"), "Apply");
}
