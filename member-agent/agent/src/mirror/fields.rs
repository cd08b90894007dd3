//! Which fields of a body the mirror still owns, by the member's own record: managedFields.
//!
//! Whoever changes a field that the mirror applied takes it out of the mirror's entry in
//! `metadata.managedFields` (server-side apply's rule, KEP-555). So drift is seen without sending
//! anything, by a restarted agent too, and fields that others add beside ours are no drift.

use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

/// The fields of `body` that `manager` no longer owns in `live`, as readable paths, in order.
///
/// Everything is lost when `manager` has no entry at all. An entry that ends at an object stands for
/// an atomic map, or is what remains after somebody took all that was owned below it. The two look
/// alike, so there the values decide.
pub fn lost(body: &Value, live: &DynamicObject, manager: &str) -> Vec<String> {
    let mut lost = Vec::new();
    let owned = entry(live, manager);
    walk_root(body, live, owned, &mut lost);
    lost
}

/// Whether `manager` applied the field at the JSON pointer, and whether anybody else owns it too.
pub fn owners(live: &DynamicObject, pointer: &str, manager: &str) -> Owners {
    let mut owners = Owners::default();
    let sets = || live.metadata.managed_fields.iter().flatten().filter_map(|entry| entry.fields_v1.as_ref());
    // Nobody owns a part of an atomic map, so how far the deepest of all entries reaches tells an
    // atomic map from a remainder.
    let deepest = sets().map(|fields| depth(&fields.0, pointer)).max().unwrap_or_default();
    for entry in live.metadata.managed_fields.iter().flatten() {
        if entry.subresource.as_deref().is_some_and(|sub| sub == "status") {
            continue;
        }
        let Some(fields) = &entry.fields_v1 else { continue };
        if !names(&fields.0, pointer, deepest) {
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
fn walk_root(body: &Value, live: &DynamicObject, owned: Option<&Value>, lost: &mut Vec<String>) {
    let Value::Object(body) = body else { return };
    for (key, value) in body {
        match (key.as_str(), value) {
            ("apiVersion" | "kind", _) => {}
            ("metadata", Value::Object(metadata)) => {
                let node = owned.and_then(|owned| owned.get("f:metadata"));
                let live = json!({
                    "labels": live.metadata.labels,
                    "annotations": live.metadata.annotations,
                    "finalizers": live.metadata.finalizers,
                    "ownerReferences": live.metadata.owner_references,
                });
                for (key, value) in metadata.iter().filter(|(key, _)| !is_identity(key)) {
                    walk_field("metadata", key, value, Some(&live), node, lost);
                }
            }
            _ => walk_field("", key, value, Some(&live.data), owned, lost),
        }
    }
}

fn is_identity(key: &str) -> bool {
    matches!(key, "name" | "namespace" | "uid" | "resourceVersion" | "generateName")
}

/// One field of an object: `live` and `owned` are those of the object that it is in.
fn walk_field(
    parent: &str,
    key: &str,
    value: &Value,
    live: Option<&Value>,
    owned: Option<&Value>,
    lost: &mut Vec<String>,
) {
    let path = join(parent, key);
    match owned.and_then(|owned| owned.get(format!("f:{key}"))) {
        Some(node) => walk(&path, value, live.and_then(|live| live.get(key)), node, lost),
        // Null asks for nothing, so nobody owns it.
        None => missing(&path, value, lost),
    }
}

fn walk(path: &str, value: &Value, live: Option<&Value>, node: &Value, lost: &mut Vec<String>) {
    let Value::Object(children) = node else { return };
    if children.keys().all(|key| key == ".") {
        return walk_end(path, value, live, lost);
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                walk_field(path, key, value, live, Some(node), lost);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                match element(children, item, index) {
                    Some((name, node)) => {
                        let (mark, key) = name.split_once(':').unwrap_or_default();
                        let live = live.and_then(|live| live_element(live, mark, key));
                        walk(&format!("{path}[{key}]"), item, live, node, lost);
                    }
                    None => lost.push(format!("{path}[{index}]")),
                }
            }
        }
        _ => {}
    }
}

/// Where the entry goes no deeper: a leaf, an atomic list or an atomic map is owned as a whole. Of an
/// object or a list all of whose parts were taken by others, the same remains.
fn walk_end(path: &str, value: &Value, live: Option<&Value>, lost: &mut Vec<String>) {
    match (value, live) {
        (Value::Object(map), Some(live)) if !map.is_empty() => {
            compare(value, live, &mut path.to_owned(), lost);
        }
        (Value::Object(_), None) => missing(path, value, lost),
        // Which items an atomic list has is the member's to complete (admission); none is a loss.
        (Value::Array(items), live)
            if !items.is_empty() && live.and_then(Value::as_array).is_none_or(Vec::is_empty) =>
        {
            lost.push(path.to_owned());
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
        matches.then_some((name.as_str(), node))
    })
}

/// The live item that an owned element stands for.
fn live_element<'a>(live: &'a Value, mark: &str, key: &str) -> Option<&'a Value> {
    let items = live.as_array()?;
    match mark {
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(key).ok()?;
            items.iter().find(|item| keys.iter().all(|(key, value)| item.get(key) == Some(value)))
        }
        "v" => {
            let value: Value = serde_json::from_str(key).ok()?;
            items.iter().find(|item| **item == value)
        }
        _ => items.get(key.parse::<usize>().ok()?),
    }
}

/// Whether a field set has the field at a JSON pointer, or an atomic parent of it. A set that ends at
/// a parent below which another one goes on, to `deepest`, has lost what it had there.
fn names(set: &Value, pointer: &str, deepest: usize) -> bool {
    let reached = nodes(set, pointer).count();
    reached == parts(pointer).count() || reached == deepest && nodes(set, pointer).last().is_some_and(ends)
}

/// How many parts of a JSON pointer a field set follows; one more where it goes on beside it.
fn depth(set: &Value, pointer: &str) -> usize {
    let beside = nodes(set, pointer).last().is_some_and(|node| !ends(node));
    nodes(set, pointer).count() + usize::from(beside)
}

/// The nodes of a field set along a JSON pointer, as far as it has them.
fn nodes<'a>(set: &'a Value, pointer: &'a str) -> impl Iterator<Item = &'a Value> {
    parts(pointer).scan(set, |node, part| {
        *node = node.get(format!("f:{part}"))?;
        Some(*node)
    })
}

fn parts(pointer: &str) -> impl Iterator<Item = String> + '_ {
    pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~"))
}

fn ends(node: &Value) -> bool {
    node.as_object().is_none_or(Map::is_empty)
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
        let data = json!({"spec": {"selector": {"app": "web"}, "externalIPs": ["10.0.0.1", "10.0.0.2"]}});
        assert_eq!(
            lost(&body, &with_live(applied(&fields), data), "m"),
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

    fn with_live(mut object: DynamicObject, data: Value) -> DynamicObject {
        object.data = data;
        object
    }

    #[test]
    fn an_object_all_of_whose_fields_were_taken_is_no_atomic_map() {
        let containers = |image| json!([{"name": "game", "image": image}]);
        let set = |image| {
            json!({"spec": {
                "selector": {"app": "game"},
                "template": {"metadata": {"labels": {"app": "game"}}, "spec": {"containers": containers(image)}}
            }})
        };
        let object = applied(&json!({"f:spec": {
            "f:selector": {},
            "f:template": {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {}}
        }}));
        let mut defaulted = set("game:1");
        defaulted["spec"]["selector"]["version"] = json!("added");
        defaulted["spec"]["template"]["spec"]["containers"][0]["tty"] = json!(false);
        let lost_in = |data| lost(&set("game:1"), &with_live(object.clone(), data), "m");
        assert_eq!(lost_in(defaulted), [""; 0]);
        assert_eq!(lost_in(set("hack:3")), ["spec.template.spec.containers[0].image"]);
        let two =
            json!({"spec": {"selector": {"app": "game"}, "template": {"spec": {"containers": [1, 2]}}}});
        assert_eq!(lost_in(two), ["spec.template.spec.containers"]);
        let gone = json!({"spec": {"selector": {"app": "game"}, "template": {}}});
        assert_eq!(lost_in(gone), ["spec.template.spec.containers"]);
    }

    #[test]
    fn labels_and_list_items_all_of_which_were_taken_are_lost() {
        let body = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"ports": [{"port": 80, "extra": {"a": 1}}], "empty": ["x"]}
        });
        let fields = json!({
            "f:metadata": {"f:labels": {}},
            "f:spec": {
                "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:extra": {}}},
                "f:empty": {}
            }
        });
        let data = json!({"spec": {
            "ports": [{"port": 80, "protocol": "UDP", "extra": {"a": 1}},
                {"port": 80, "protocol": "TCP", "extra": {"a": 2}}],
            "empty": []
        }});
        let mut object = with_live(applied(&fields), data);
        object.metadata.labels = Some([("app".to_owned(), "other".to_owned())].into());
        let taken =
            ["metadata.labels.app", "spec.empty", "spec.ports[{\"port\":80,\"protocol\":\"TCP\"}].extra.a"];
        assert_eq!(lost(&body, &object, "m"), taken);
    }

    #[test]
    fn a_remainder_of_a_taken_object_owns_nothing_below_it() {
        let remainder = json!({"manager": "m", "operation": "Apply", "fieldsV1": {"f:spec": {}}});
        let taker = |fields| {
            let taker = json!({"manager": "x", "operation": "Update", "fieldsV1": {"f:spec": fields}});
            owners(&live(&json!([remainder, taker])), "/spec/replicas", "m")
        };
        assert_eq!(taker(json!({"f:replicas": {}})), Owners { mirror: false, others: true });
        assert_eq!(taker(json!({"f:template": {}})), Owners::default());
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
