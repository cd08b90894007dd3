//! Rules that need more than a table: caps, schema changes, client-side apply, refusals.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Op::{Apply, Refused, Update};
use super::{Script, pod};
use crate::apply::testing::pod_schema;
use crate::apply::{ANCIENT, ApplyRequest, Endpoint, LAST_APPLIED, MAX_UPDATE_MANAGERS, apply, keep_times};
use crate::schema::Schema;

#[test]
fn what_the_server_sets_is_owned_by_nobody() {
    let mut script = Script::new();
    let metadata = json!({
        "namespace": "d", "uid": "u", "resourceVersion": "7", "generation": 3, "creationTimestamp": "1970-01-01T00:00:00Z",
    });
    script.update(None, "ctl", &json!({ "metadata": metadata }));
    assert_eq!(script.owners(), Vec::<String>::new());
    assert_eq!(script.live.unwrap().pointer("/metadata/managedFields"), None);
}

#[test]
fn an_eleventh_updater_makes_the_oldest_ancient() {
    let mut script = Script::new();
    script.run(&Apply("ann", json!({"spec": {"replicas": 1}})));
    let mut labels = json!({});
    for n in 0..12 {
        labels[format!("l{n}")] = json!("x");
        let manager: &'static str = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"][n];
        script.run(&Update(manager, json!({"metadata": {"labels": labels}, "spec": {"replicas": 1}})));
    }
    let owners = script.owners();
    assert_eq!(owners.len(), 1 + MAX_UPDATE_MANAGERS);
    assert_eq!(owners[0], "ann applies @1: .spec.replicas");
    assert_eq!(
        owners[1],
        format!(
            "{ANCIENT} updates @4: .metadata.labels .metadata.labels.l0 .metadata.labels.l1 .metadata.labels.l2"
        )
    );
    assert_eq!(owners[2], "d updates @5: .metadata.labels.l3");
}

#[test]
fn ownership_inside_what_became_atomic_is_ownership_of_the_whole() {
    let granular = Schema::parse(&json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        "spec": {"type": "object", "properties": {"map": {"type": "object", "additionalProperties": {"type": "string"}}}},
    }}))
    .unwrap();
    let atomic = Schema::parse(&json!({"type": "object", "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        "spec": {"type": "object", "properties": {"map": {
            "type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}}}},
    }}))
    .unwrap();
    let mut script = Script { schema: granular.into(), live: None, second: 0 };
    script.run(&Apply("ann", json!({"spec": {"map": {"a": "1", "b": "1"}}})));
    assert_eq!(script.owners(), ["ann applies @1: .spec.map.a .spec.map.b"]);
    script.schema = atomic.into();
    script.run(&Update(
        "ctl",
        json!({"metadata": {"labels": {"x": "1"}}, "spec": {"map": {"a": "1", "b": "1"}}}),
    ));
    assert_eq!(script.owners()[0], "ann applies @1: .spec.map");
}

#[test]
fn kubectl_takes_over_what_client_side_apply_left() {
    let manifest = json!({"spec": {"replicas": 1, "paused": true}});
    let mut created = pod(&manifest);
    created["metadata"]["annotations"] = json!({ LAST_APPLIED: pod(&manifest).to_string() });
    let mut script = Script::new();
    script.run(&Update("kubectl-client-side-apply", created));

    // A field that somebody changed since is still a conflict, and the only one.
    let mut drifted = script.live.clone().unwrap();
    drifted["spec"]["paused"] = json!(false);
    script.run(&Update("kubectl-edit", drifted));
    script.run(&Refused(
        "kubectl",
        json!({"spec": {"replicas": 2, "paused": true}}),
        r#"Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .spec.paused"#,
    ));
    assert!(
        script.apply(None, "ann", &json!({"spec": {"replicas": 2}}), false).is_err(),
        "for kubectl alone"
    );
    script.run(&Apply("kubectl", json!({"spec": {"replicas": 2, "paused": false}})));
    let live = script.live.as_ref().unwrap();
    let annotation = live["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(annotation).unwrap(),
        pod(&json!({"spec": {"replicas": 2, "paused": false}}))
    );
    assert!(annotation.ends_with("}\n"));
}

#[test]
fn a_broken_annotation_helps_nobody() {
    for text in ["", "{", "[]", r#"{"apiVersion": "v2"}"#, r#"{"apiVersion": "v1", "spec": 3}"#] {
        let mut script = Script::new();
        script.run(&Update(
            "x",
            json!({"metadata": {"annotations": { LAST_APPLIED: text }}, "spec": {"replicas": 1}}),
        ));
        assert!(script.apply(None, "kubectl", &json!({"spec": {"replicas": 2}}), false).is_err(), "{text}");
    }
}

#[test]
fn an_apply_that_makes_no_sense_is_refused() {
    let schema = pod_schema();
    let refused = |live: Option<&Value>, applied: Value| {
        let endpoint = Endpoint { version: "v1", subresource: None, schema: &schema, ignored: &[] };
        apply(&ApplyRequest {
            endpoint,
            live,
            applied: &applied,
            manager: "ann",
            force: true,
            now: Timestamp::UNIX_EPOCH,
        })
        .unwrap_err()
    };
    let mut with_owners = pod(&json!({}));
    with_owners["metadata"]["managedFields"] = json!([]);
    let mut other_version = pod(&json!({}));
    other_version["apiVersion"] = json!("v2");
    let mut live = pod(&json!({}));
    live["metadata"]["managedFields"] = json!([{"operation": "Apply"}]);
    let mut in_namespace = pod(&json!({"spec": {"replicas": "x"}}));
    in_namespace["metadata"]["namespace"] = json!("d");
    let cases = [
        (refused(None, with_owners), 400, "BadRequest", "metadata.managedFields must be nil"),
        (
            refused(None, other_version),
            400,
            "BadRequest",
            "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1",
        ),
        (
            refused(None, in_namespace),
            500,
            "",
            "failed to create typed patch object (d/a; /v1, Kind=Pod): .spec.replicas: expected numeric (int or float), got string",
        ),
        (
            refused(Some(&pod(&json!({"spec": []}))), pod(&json!({}))),
            500,
            "",
            "failed to create typed live object (/a; /v1, Kind=Pod): .spec: expected map, got &{[]}",
        ),
        (
            refused(Some(&live), pod(&json!({}))),
            500,
            "",
            "failed to decode managed fields: apiVersion must not be empty",
        ),
    ];
    for (error, code, reason, message) in cases {
        assert_eq!((error.code(), error.reason(), error.to_string().as_str()), (code, reason, message));
        assert!(error.causes().is_empty());
    }
}

#[test]
fn conflicts_are_causes_too() {
    let mut script = Script::new();
    script.run(&Update("kubectl-edit", json!({"spec": {"replicas": 1}})));
    let error = script.apply(None, "ann", &json!({"spec": {"replicas": 2}}), false).unwrap_err();
    assert_eq!((error.code(), error.reason()), (409, "Conflict"));
    assert_eq!(
        error.causes(),
        [
            json!({"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using v1", "field": ".spec.replicas"})
        ]
    );
}

#[test]
fn times_alone_are_no_change() {
    let mut script = Script::new();
    script.run(&Apply("ann", json!({"spec": {"replicas": 1}})));
    let old = script.live.clone().unwrap();
    let mut later = old.clone();
    later["metadata"]["managedFields"][0]["time"] = json!("1970-01-01T00:01:00Z");
    let mut new = later.clone();
    keep_times(&old, &mut new);
    assert_eq!(new, old);
    later["spec"]["replicas"] = json!(2);
    let mut new = later.clone();
    keep_times(&old, &mut new);
    assert_eq!(new, later);
}
