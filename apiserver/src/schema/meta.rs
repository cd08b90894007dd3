//! The schema of `metadata`, which every object has.

use std::sync::{Arc, LazyLock};

use serde_json::json;

use super::{ListType, Schema};

static OBJECT_META: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let string = json!({"type": "string"});
    let time = json!({"type": "string", "format": "date-time"});
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let schema = Schema::parse(&json!({"type": "object", "properties": {
        "name": string, "generateName": string, "namespace": string, "selfLink": string, "uid": string,
        "resourceVersion": string, "creationTimestamp": {"type": "string", "format": "date-time", "nullable": true},
        "deletionTimestamp": time, "deletionGracePeriodSeconds": {"type": "integer", "format": "int64"},
        "generation": {"type": "integer", "format": "int64"},
        "labels": strings, "annotations": strings,
        "finalizers": {"type": "array", "items": string, "x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"},
        "ownerReferences": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
            "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "uid",
            "items": {"type": "object", "x-kubernetes-map-type": "atomic", "required": ["apiVersion", "kind", "name", "uid"],
                "properties": {"apiVersion": string, "kind": string, "name": string, "uid": string,
                    "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"}}},
        },
        "managedFields": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "object", "properties": {
            "manager": string, "operation": string, "apiVersion": string, "time": time, "fieldsType": string,
            "subresource": string, "fieldsV1": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
    }}));
    debug_assert_eq!(schema.as_ref().map(|s| s.child("finalizers").list_type()), Ok(ListType::Set));
    Arc::new(schema.unwrap_or_default())
});

/// The schema of `metadata`: owner references are a map by uid, finalizers a set, managed fields atomic.
pub fn object_meta() -> Arc<Schema> {
    OBJECT_META.clone()
}
