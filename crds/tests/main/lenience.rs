//! Objects that should not exist are still read.

use muster_crds::{FederatedGameStatefulSet, GameStatefulSet, ReplicaSchedulingPreference};
use serde_json::{Value, json};

use crate::schemas::{full_object, round_trip};

/// Values that are wrong almost everywhere.
fn wrong() -> [Value; 8] {
    [
        json!(null),
        json!("text"),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(true),
        json!([[], "a", null]),
        json!({"name": [], "type": {}}),
    ]
}

/// Pointers to every value below `/spec` and `/status`, these two included.
fn pointers(object: &Value) -> Vec<String> {
    fn walk(pointer: String, value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    walk(format!("{pointer}/{name}"), value, into);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    walk(format!("{pointer}/{index}"), value, into);
                }
            }
            _ => {}
        }
        into.push(pointer);
    }
    let mut into = Vec::new();
    for part in ["spec", "status"].into_iter().filter(|part| object.get(part).is_some()) {
        walk(format!("/{part}"), &object[part], &mut into);
    }
    into
}

#[test]
fn an_object_with_a_wrong_value_anywhere_is_read() {
    for definition in muster_crds::all() {
        let kind = &definition.spec.names.kind;
        let good = full_object(&definition);
        for pointer in pointers(&good) {
            for value in wrong() {
                let mut object = good.clone();
                *object.pointer_mut(&pointer).unwrap() = value.clone();
                if let Err(error) = round_trip(kind, &object) {
                    panic!("{kind} with {value} at {pointer}: {error}");
                }
            }
        }
    }
}

#[test]
fn an_object_without_spec_is_read() {
    for definition in muster_crds::all() {
        let kind = &definition.spec.names.kind;
        let read = round_trip(kind, &json!({"metadata": {"name": "a"}})).unwrap();
        assert_eq!(read["spec"], json!({}), "{kind}");
    }
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_kept() {
    let set: GameStatefulSet = serde_json::from_value(json!({
        "metadata": {"name": "a"},
        "spec": {
            "replicas": "three", "serviceName": "a", "selector": null, "podManagementPolicy": "OnDelete",
            "preDeleteUpdateStrategy": {"hook": {}}, "template": {"spec": {"containers": 5}},
            "updateStrategy": {"rollingUpdate": {"maxUnavailable": true}},
        },
    }))
    .unwrap();
    let named: Vec<String> = set.spec.malformed.iter().map(ToString::to_string).collect();
    assert_eq!(
        named,
        [
            "preDeleteUpdateStrategy: missing field `templateName`",
            "replicas: invalid type: string \"three\", expected i64",
            "updateStrategy: neither a number nor a percentage such as \"25%\"",
        ]
    );
    assert_eq!(set.spec.service_name.as_deref(), Some("a"));
    assert_eq!(set.spec.pod_management_policy.unwrap().to_string(), "OnDelete");
    assert_eq!(set.spec.template["spec"]["containers"], 5);
}

#[test]
fn numbers_out_of_range_are_kept_as_written() {
    let set: GameStatefulSet =
        serde_json::from_value(json!({"metadata": {}, "spec": {"replicas": -3}})).unwrap();
    assert_eq!(set.spec.replicas, Some(-3));
    let preference: ReplicaSchedulingPreference = serde_json::from_value(json!({
        "metadata": {},
        "spec": {"totalReplicas": -1, "clusters": {"a": {"minReplicas": 9, "maxReplicas": 1, "weight": -2}}},
    }))
    .unwrap();
    assert_eq!(preference.spec.total_replicas, Some(-1));
    assert_eq!(preference.spec.clusters.unwrap()["a"].weight, Some(-2));
}

#[test]
fn an_unreadable_placement_is_not_an_absent_one() {
    let object: FederatedGameStatefulSet = serde_json::from_value(json!({
        "metadata": {},
        "spec": {"template": {"spec": {"replicas": 2}}, "placement": {"clusters": "shanghai"}},
    }))
    .unwrap();
    assert_eq!(object.spec.placement, None);
    assert_eq!(object.spec.malformed[0].field, "placement");
    assert_eq!(object.spec.template["spec"]["replicas"], 2);
}

#[test]
fn an_override_with_null_is_not_one_without_a_value() {
    let item = |value: Value| -> Option<Value> {
        let object: FederatedGameStatefulSet = serde_json::from_value(json!({
            "metadata": {},
            "spec": {"overrides": [{"clusterName": "a", "clusterOverrides": [value]}]},
        }))
        .unwrap();
        object.spec.overrides[0].cluster_overrides[0].value.clone()
    };
    assert_eq!(item(json!({"path": "/a"})), None);
    assert_eq!(item(json!({"path": "/a", "value": null})), Some(Value::Null));
}
