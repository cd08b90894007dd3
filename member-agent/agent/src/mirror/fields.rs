//! Which fields of a body the mirror still owns, by the member's own record: managedFields.
//!
//! Whoever changes a field that the mirror applied takes it out of the mirror's entry in
//! `metadata.managedFields` (server-side apply's rule, KEP-555). So drift is seen without sending
//! anything, by a restarted agent too, and fields that others add beside ours are no drift.

use kube::api::DynamicObject;
use serde_json::{Map, Value};

/// The fields of `body` that `manager` no longer owns in `live`, as readable paths, in order.
///
/// Everything is lost when `manager` has no entry at all.
pub fn lost(body: &Value, live: &DynamicObject, manager: &str) -> Vec<String> {
    let mut lost = Vec::new();
    let owned = entry(live, manager);
    walk_root(body, owned, &mut lost);
    lost
}

/// Whether `manager` applied the field at the JSON pointer, and whether anybody else owns it too.
pub fn owners(live: &DynamicObject, pointer: &str, manager: &str) -> Owners {
    let mut owners = Owners::default();
    for entry in live.metadata.managed_fields.iter().flatten() {
        if entry.subresource.as_deref().is_some_and(|sub| sub == "status") {
            continue;
        }
        let Some(fields) = &entry.fields_v1 else { continue };
        if !names(&fields.0, pointer) {
            continue;
        }
        if entry.manager.as_deref() == Some(manager) && entry.operation.as_deref() == Some("Apply") {
            owners.mirror = true;
        } else {
            owners.others = true;
        }
    }
    owners
}

/// Who owns one field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// The mirror does.
    pub mirror: bool,
    /// Somebody else does.
    pub others: bool,
}

/// The fields of `body` whose value in `live` is another one, as readable paths, in order. What
/// `live` has beyond `body` (defaults, status) is no difference.
pub fn differing(body: &Value, live: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    compare(body, live, &mut String::new(), &mut paths);
    paths
}

fn entry<'a>(live: &'a DynamicObject, manager: &str) -> Option<&'a Value> {
    live.metadata
        .managed_fields
        .iter()
        .flatten()
        .find(|entry| {
            entry.manager.as_deref() == Some(manager)
                && entry.operation.as_deref() == Some("Apply")
                && entry.subresource.as_deref().unwrap_or_default().is_empty()
        })
        .and_then(|entry| entry.fields_v1.as_ref())
        .map(|fields| &fields.0)
}

/// Identity is not a field that can be owned.
fn walk_root(body: &Value, owned: Option<&Value>, lost: &mut Vec<String>) {
    let Value::Object(body) = body else { return };
    for (key, value) in body {
        match (key.as_str(), value) {
            ("apiVersion" | "kind", _) => {}
            ("metadata", Value::Object(metadata)) => {
                let node = owned.and_then(|owned| owned.get("f:metadata"));
                for (key, value) in metadata.iter().filter(|(key, _)| !is_identity(key)) {
                    walk_field("metadata", key, value, node, lost);
                }
            }
            _ => walk_field("", key, value, owned, lost),
        }
    }
}

fn is_identity(key: &str) -> bool {
    matches!(key, "name" | "namespace" | "uid" | "resourceVersion" | "generateName")
}

fn walk_field(parent: &str, key: &str, value: &Value, owned: Option<&Value>, lost: &mut Vec<String>) {
    let path = join(parent, key);
    match owned.and_then(|owned| owned.get(format!("f:{key}"))) {
        Some(node) => walk(&path, value, node, lost),
        // Null asks for nothing, so nobody owns it.
        None => missing(&path, value, lost),
    }
}

fn walk(path: &str, value: &Value, node: &Value, lost: &mut Vec<String>) {
    let Value::Object(children) = node else { return };
    // A leaf or an atomic list or map: owned as a whole.
    if children.keys().all(|key| key == ".") {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                walk_field(path, key, value, Some(node), lost);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                match element(children, item, index) {
                    Some((key, node)) => walk(&format!("{path}[{key}]"), item, node, lost),
                    None => lost.push(format!("{path}[{index}]")),
                }
            }
        }
        _ => {}
    }
}

/// The leaves of a subtree that is not owned at all. Arrays count as one field.
fn missing(path: &str, value: &Value, lost: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                missing(&join(path, key), value, lost);
            }
        }
        _ => lost.push(path.to_owned()),
    }
}

/// The entry of a list's owned elements that stands for `item`: by key fields, by value or by index.
fn element<'a>(children: &'a Map<String, Value>, item: &Value, index: usize) -> Option<(&'a str, &'a Value)> {
    children.iter().find_map(|(name, node)| {
        let (mark, text) = name.split_once(':')?;
        let matches = match mark {
            "k" => serde_json::from_str::<Map<String, Value>>(text).is_ok_and(|keys| {
                // A key field that the item leaves out was defaulted by the server.
                keys.iter().all(|(key, value)| item.get(key).is_none_or(|own| own == value))
            }),
            "v" => serde_json::from_str::<Value>(text).is_ok_and(|value| value == *item),
            "i" => text.parse::<usize>().is_ok_and(|at| at == index),
            _ => false,
        };
        matches.then_some((text, node))
    })
}

/// Whether a field set has the field at a JSON pointer, or an atomic parent of it.
fn names(set: &Value, pointer: &str) -> bool {
    let mut node = set;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        match node.get(format!("f:{part}")) {
            Some(next) => node = next,
            None => return false,
        }
        if node.as_object().is_none_or(Map::is_empty) {
            return true;
        }
    }
    true
}

fn compare(body: &Value, live: &Value, path: &mut String, paths: &mut Vec<String>) {
    match (body, live) {
        (Value::Null, _) => {}
        (Value::Object(body), Value::Object(live)) => {
            for (key, value) in body {
                let length = path.len();
                *path = join(path, key);
                match live.get(key) {
                    Some(live) => compare(value, live, path, paths),
                    None => missing(path, value, paths),
                }
                path.truncate(length);
            }
        }
        (Value::Array(body), Value::Array(live)) if body.len() == live.len() => {
            for (index, (body, live)) in body.iter().zip(live).enumerate() {
                let length = path.len();
                *path = format!("{path}[{index}]");
                compare(body, live, path, paths);
                path.truncate(length);
            }
        }
        _ if body == live => {}
        _ => paths.push(path.clone()),
    }
}

fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(entries: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "managedFields": entries},
        }))
        .unwrap()
    }

    fn applied(fields: &Value) -> DynamicObject {
        live(&json!([{"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields}]))
    }

    #[test]
    fn fields_that_others_took_are_named_and_the_rest_is_not() {
        let body = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "labels": {"app": "web", "tier": "front"}},
            "spec": {
                "type": "ClusterIP",
                "selector": {"app": "web"},
                "externalIPs": ["10.0.0.1"],
                "ports": [{"port": 80, "targetPort": 8080}, {"port": 81}],
                "unset": null
            }
        });
        let fields = json!({
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {
                "f:selector": {},
                "f:externalIPs": {},
                "f:ports": {
                    "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}
                }
            }
        });
        assert_eq!(
            lost(&body, &applied(&fields), "m"),
            [
                "metadata.labels.tier",
                "spec.ports[{\"port\":80,\"protocol\":\"TCP\"}].targetPort",
                "spec.ports[1]",
                "spec.type",
            ]
        );
    }

    #[test]
    fn sets_are_owned_value_by_value() {
        let body = json!({"metadata": {"finalizers": ["a", "b"]}});
        let fields = json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"a\"": {}}}});
        assert_eq!(lost(&body, &applied(&fields), "m"), ["metadata.finalizers[1]"]);
    }

    #[test]
    fn an_object_without_our_entry_has_lost_everything() {
        let body = json!({"spec": {"replicas": 3, "selector": {}}});
        let other = live(&json!([
            {"manager": "m", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        ]));
        assert_eq!(lost(&body, &other, "m"), ["spec.replicas", "spec.selector"]);
    }

    #[test]
    fn owners_of_one_field_are_told_apart() {
        let object = live(&json!([
            {"manager": "m", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {}}}},
            {"manager": "hpa", "operation": "Update", "subresource": "scale",
             "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "x", "operation": "Update", "subresource": "status",
             "fieldsV1": {"f:status": {"f:replicas": {}}}}
        ]));
        assert_eq!(owners(&object, "/spec/replicas", "m"), Owners { mirror: true, others: true });
        assert_eq!(owners(&object, "/spec/template/x", "m"), Owners { mirror: true, others: false });
        assert_eq!(owners(&object, "/spec/paused", "m"), Owners::default());
    }

    #[test]
    fn what_the_live_object_has_beyond_the_body_is_no_difference() {
        let body = json!({"spec": {"replicas": 3, "list": [{"a": 1}], "empty": {}, "gone": {"x": 1}}});
        let live =
            json!({"spec": {"replicas": 4, "list": [{"a": 1, "b": 2}], "empty": {"y": 1}}, "status": {}});
        assert_eq!(differing(&body, &live), ["spec.gone.x", "spec.replicas"]);
        assert_eq!(differing(&json!({"l": [1]}), &json!({"l": [1, 2]})), ["l"]);
    }
}
