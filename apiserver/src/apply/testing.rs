//! Schemas and generators that tests of patches and apply share.

use std::sync::{Arc, LazyLock};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::element::{Element, Scalar};
use super::set::PathSet;
use crate::schema::Schema;

/// Something like a pod and its owner: every kind of list and map.
pub(crate) fn pod_schema() -> Arc<Schema> {
    POD_SCHEMA.clone()
}

static POD_SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let string = json!({"type": "string"});
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let ports = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
        "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "containerPort",
        "items": {"type": "object", "properties": {
            "containerPort": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": string,
        }},
    });
    let environment = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name",
        "items": {"type": "object", "properties": {"name": string, "value": string}},
    });
    let containers = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name",
        "items": {"type": "object", "properties": {
            "name": string, "image": string, "args": {"type": "array", "items": string}, "ports": ports, "env": environment,
            "resources": {"type": "object", "properties": {"limits": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": true}}}},
        }},
    });
    let finalizers = json!({"type": "array", "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge", "items": string});
    let schema = Schema::parse(&json!({"type": "object", "properties": {
        "apiVersion": string, "kind": string,
        "metadata": {"type": "object", "properties": {
            "name": string, "namespace": string, "uid": string, "resourceVersion": string, "generation": {"type": "integer"},
            "creationTimestamp": {"type": "string", "format": "date-time"},
            "labels": strings, "annotations": strings, "finalizers": finalizers,
            "ownerReferences": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
                "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "uid",
                "items": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"uid": string, "name": string}},
            },
        }},
        "spec": {"type": "object", "properties": {
            "replicas": {"type": "integer"}, "paused": {"type": "boolean"}, "nodeName": string, "ratio": {"type": "number"},
            "selector": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
            "strategy": {"type": "object", "x-kubernetes-patch-strategy": "retainKeys", "properties": {
                "type": string, "rollingUpdate": {"type": "object", "properties": {"maxSurge": {"x-kubernetes-int-or-string": true}}}}},
            "containers": containers,
            "tolerations": {"type": "array", "items": {"type": "object", "properties": {"key": string, "value": string}}},
            "template": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }},
        "status": {"type": "object", "properties": {
            "replicas": {"type": "integer"},
            "conditions": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
                "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "type",
                "items": {"type": "object", "properties": {"type": string, "status": string}},
            },
        }},
    }}))
    .unwrap();
    Arc::new(schema)
});

/// Any JSON, from a few names and values so that two of them have something in common.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..4).prop_map(Value::from),
        Just(json!(1.5)),
        prop_oneof![Just("a"), Just("b"), Just("TCP"), Just("")].prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(field_name(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Any JSON object.
pub(crate) fn object() -> impl Strategy<Value = Value> {
    btree_map(field_name(), any_json(), 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

/// Part of an object that fits [`pod_schema`].
pub(crate) fn pod_part() -> impl Strategy<Value = Value> {
    let word = || proptest::sample::select(vec!["a", "b", "c"]);
    let port = (
        1i64..3,
        proptest::option::of(proptest::sample::select(vec!["TCP", "UDP"])),
        proptest::option::of(word()),
    );
    let ports = vec(port, 0..3).prop_map(|ports| {
        let mut seen = std::collections::BTreeSet::new();
        ports
            .into_iter()
            .filter(|(port, protocol, _)| seen.insert((*port, protocol.unwrap_or("TCP"))))
            .map(|(port, protocol, name)| {
                without_nulls(json!({"containerPort": port, "protocol": protocol, "name": name}))
            })
            .collect::<Value>()
    });
    let container =
        (proptest::option::of(word()), proptest::option::of(vec(word(), 0..3)), proptest::option::of(ports));
    let containers = vec((word(), container), 0..4).prop_map(|containers| {
        let mut seen = std::collections::BTreeSet::new();
        containers
            .into_iter()
            .filter(|(name, _)| seen.insert(*name))
            .map(|(name, (image, args, ports))| {
                without_nulls(json!({"name": name, "image": image, "args": args, "ports": ports}))
            })
            .collect::<Value>()
    });
    let words = || btree_map(word(), word(), 0..3);
    let finalizers = proptest::sample::subsequence(vec!["a", "b", "c"], 0..3).prop_shuffle();
    let metadata = (proptest::option::of(words()), proptest::option::of(finalizers))
        .prop_map(|(labels, finalizers)| without_nulls(json!({"labels": labels, "finalizers": finalizers})));
    let spec = (
        proptest::option::of(0i64..3),
        proptest::option::of(words()),
        proptest::option::of(containers),
        proptest::option::of(any_json()),
        proptest::option::of(word()),
    )
        .prop_map(|(replicas, selector, containers, template, strategy)| {
            without_nulls(json!({
                "replicas": replicas, "selector": selector, "containers": containers,
                "template": template.map(|any| json!({ "any": any })), "strategy": strategy.map(|kind| json!({"type": kind})),
            }))
        });
    (proptest::option::of(metadata), proptest::option::of(spec))
        .prop_map(|(metadata, spec)| without_nulls(json!({"metadata": metadata, "spec": spec})))
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}

/// The name of a field, often one that [`pod_schema`] knows, sometimes a directive of a patch.
fn field_name() -> impl Strategy<Value = String> {
    let names = [
        "metadata",
        "spec",
        "status",
        "labels",
        "finalizers",
        "ownerReferences",
        "uid",
        "containers",
        "ports",
        "name",
        "containerPort",
        "protocol",
        "env",
        "image",
        "selector",
        "template",
        "replicas",
        "a",
        "b",
        "f:a",
        ".",
        "k:{}",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
        "strategy",
    ];
    proptest::sample::select(names.to_vec()).prop_map(str::to_owned)
}

/// A list of operations that mostly could be a JSON patch.
pub(crate) fn json_patch() -> impl Strategy<Value = Value> {
    let kind = proptest::sample::select(vec!["add", "remove", "replace", "move", "copy", "test", "x"]);
    let step = prop_oneof![
        field_name(),
        (-3i64..4).prop_map(|n| n.to_string()),
        Just("-".to_owned()),
        Just("~1~0".to_owned())
    ];
    let pointer =
        vec(step, 0..4).prop_map(|steps| steps.iter().flat_map(|step| ["/", step]).collect::<String>());
    let operation = (kind, pointer.clone(), pointer, any_json())
        .prop_map(|(op, from, path, value)| json!({"op": op, "from": from, "path": path, "value": value}));
    vec(operation, 0..6).prop_map(Value::from)
}

/// Any set of paths.
pub(crate) fn path_set() -> impl Strategy<Value = PathSet> {
    let scalar = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-1i64..3).prop_map(Value::from),
        Just(json!(1.5)),
        prop_oneof![Just("a"), Just("<b>"), Just("\"")].prop_map(Value::from),
    ];
    let name = proptest::sample::select(vec!["a", "b", "c", "."]);
    let element = prop_oneof![
        4 => name.clone().prop_map(Element::field),
        1 => btree_map(name, scalar.clone(), 1..3).prop_map(Element::key),
        1 => scalar.prop_map(|value| Element::Value(Scalar(value))),
        1 => (0i64..3).prop_map(Element::Index),
    ];
    vec(vec(element, 1..5), 0..12).prop_map(|paths| {
        let mut set = PathSet::new();
        for path in paths {
            set.insert(&path);
        }
        set
    })
}
