//! The object one member gets.

use muster_planner::{Adopt, Policies, RenderError, content_hash, render};
use serde_json::json;

use crate::world::{World, weights};

#[test]
fn identity_is_forced_and_what_belongs_to_one_stored_object_is_stripped() {
    let mut world = World::new(&["nanjing"]).seats(&[]);
    let template = &mut world.spec()["template"];
    template["apiVersion"] = json!("apps/v1");
    template["kind"] = json!("StatefulSet");
    template["status"] = json!({"replicas": 3});
    template["metadata"] = json!({
        "name": "other", "namespace": "elsewhere", "generateName": "other-", "selfLink": "/x",
        "uid": "1", "resourceVersion": "2", "generation": 3, "creationTimestamp": "2021-05-01T00:00:00Z",
        "deletionTimestamp": "2021-05-01T00:00:00Z", "deletionGracePeriodSeconds": 1,
        "managedFields": [], "ownerReferences": [], "finalizers": ["x"],
        "labels": {"app": "lobby", "muster.dev/hub": "forged"},
        "annotations": {
            "team": "games", "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "muster.dev/tracking": "forged", "view.muster.dev/intent": "forged",
        },
    });
    let plan = world.plan();
    let body = render(&world.object(), &plan.clusters["nanjing"]).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap());
}

#[test]
fn metadata_replaced_as_a_whole_gets_its_identity_back() {
    let mut world = World::new(&["nanjing"]).seats(&[]);
    world.spec()["overrides"] = json!([{"clusterName": "nanjing", "clusterOverrides": [
        {"path": "/metadata", "value": {"name": "other", "finalizers": ["x"], "labels": {"app": "x"}}},
    ]}]);
    let body = render(&world.object(), &world.plan().clusters["nanjing"]).unwrap();
    assert_eq!(body["metadata"], json!({"name": "lobby", "namespace": "games", "labels": {"app": "x"}}));
}

#[test]
fn a_template_without_spec_gets_one_for_its_replicas() {
    let mut world = World::new(&["nanjing"]).seats(&[]);
    world.spec()["template"] = json!({});
    let body = render(&world.object(), &world.plan().clusters["nanjing"]).unwrap();
    assert_eq!(
        body,
        json!({"apiVersion": "tkex.tencent.com/v1alpha1", "kind": "GameStatefulSet",
            "metadata": {"name": "lobby", "namespace": "games"}, "spec": {"replicas": 1}})
    );
}

#[test]
fn only_what_is_to_be_applied_is_rendered() {
    let mut world = World::new(&["nanjing"]);
    world.annotate("muster.dev/suspend", "true");
    let error = render(&world.object(), &world.plan().clusters["nanjing"]).unwrap_err();
    assert!(matches!(error, RenderError::NotApplied("Hold")), "{error}");
}

#[test]
fn the_content_hash_covers_body_and_policies_and_nothing_else() {
    let world = World::new(&["nanjing", "shanghai"]).seats(&[]).prefer(&weights(&[("*", 1)]));
    let hash = |world: &World| {
        let plan = world.plan();
        let body = render(&world.object(), &plan.clusters["nanjing"]).unwrap();
        content_hash(&body, &Policies { adopt: plan.adopt, retain: plan.clusters["nanjing"].retain })
    };
    let before = hash(&world);
    let mut elsewhere = world.clone();
    elsewhere.spec()["overrides"] = json!([{"clusterName": "shanghai", "clusterOverrides": [
        {"op": "add", "path": "/spec/serviceName", "value": "x"}]}]);
    elsewhere.manifest["metadata"]["generation"] = json!(9);
    assert_eq!(hash(&elsewhere), before, "a change for one cluster writes to that cluster only");
    let mut adopting = world.clone();
    adopting.annotate("muster.dev/adopt", "IfNoDiff");
    assert_eq!(adopting.plan().adopt, Adopt::IfNoDiff);
    assert_ne!(hash(&adopting), before);
    let mut retaining = world.clone();
    retaining.spec()["retainReplicas"] = json!(true);
    assert_ne!(hash(&retaining), before);
}

#[test]
fn members_own_replicas_where_they_are_retained_unless_an_override_pins_them() {
    let mut world = World::new(&["nanjing", "shanghai"]).seats(&[]).prefer(&weights(&[("*", 1)]));
    world.spec()["retainReplicas"] = json!(true);
    world.spec()["overrides"] = json!([{"clusterName": "shanghai", "clusterOverrides": [
        {"path": "/spec/replicas", "value": 7}]}]);
    let plan = world.plan();
    assert_eq!(plan.clusters["nanjing"].retain, ["/spec/replicas"]);
    assert_eq!(plan.clusters["shanghai"].retain, [""; 0]);
    assert!(plan.condition(muster_planner::condition::REPLICAS_RETAINED).is_some());
}
