//! Rules on list and map types.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::schema::FieldError;

const LIST_TYPE: &str = "x-kubernetes-list-type";
const KEYS: &str = "x-kubernetes-list-map-keys";
const MAP_TYPE: &str = "x-kubernetes-map-type";

pub(super) fn check(map: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    let text = |key: &str| map.get(key).and_then(Value::as_str);
    let ty = text("type").unwrap_or_default();
    let at = |key: &str| format!("{path}.{key}");
    if let Some(map_type) = text(MAP_TYPE) {
        if ty != "object" {
            let message = "must be object if x-kubernetes-map-type is specified";
            errors.push(wrong_type(at("type"), ty, message));
        }
        if !matches!(map_type, "atomic" | "granular") {
            errors.push(FieldError::not_supported(at(MAP_TYPE), map_type, ["atomic", "granular"]));
        }
    }
    let keys: Vec<&str> =
        map.get(KEYS).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(list_type) = text(LIST_TYPE) else {
        if !keys.is_empty() {
            let message = "must be map if x-kubernetes-list-map-keys is non-empty";
            errors.push(FieldError::required(at(LIST_TYPE), message));
        }
        return;
    };
    if ty != "array" {
        let message = "must be array if x-kubernetes-list-type is specified";
        errors.push(wrong_type(at("type"), ty, message));
        return;
    }
    if !matches!(list_type, "atomic" | "set" | "map") {
        errors.push(FieldError::not_supported(at(LIST_TYPE), list_type, ["atomic", "set", "map"]));
    }
    if list_type != "map" && !keys.is_empty() {
        let message = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(FieldError::invalid(at(LIST_TYPE), list_type, message));
    }
    let Some(items) = map.get("items").and_then(Value::as_object) else { return };
    if matches!(list_type, "set" | "map") && items.get("nullable") == Some(&Value::Bool(true)) {
        let message = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(at("items.nullable"), message));
    }
    match list_type {
        "set" => set(items, path, errors),
        "map" => list_map(items, &keys, path, errors),
        _ => {}
    }
}

/// The elements of a set are compared whole, so they are owned whole.
fn set(items: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    let message = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let text = |key: &str| items.get(key).and_then(Value::as_str).unwrap_or_default();
    let (key, wrong) = match text("type") {
        "array" => (LIST_TYPE, !matches!(text(LIST_TYPE), "" | "atomic")),
        "object" => (MAP_TYPE, text(MAP_TYPE) != "atomic"),
        _ => return,
    };
    if wrong {
        // The value shown is that of the list type, whichever is wrong.
        let shown = items.get(LIST_TYPE).cloned().unwrap_or_default();
        errors.push(FieldError::invalid(format!("{path}.items.{key}"), shown, message));
    }
}

/// The keys of a list map are scalars that every element has.
fn list_map(items: &Map<String, Value>, keys: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    let at = format!("{path}.{KEYS}");
    if keys.is_empty() {
        errors.push(FieldError::required(&at, "must not be empty if x-kubernetes-list-type is map"));
    }
    let ty = items.get("type").and_then(Value::as_str).unwrap_or_default();
    if ty != "object" {
        let message = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(format!("{path}.items.type"), ty, message));
        return;
    }
    let required = items.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            errors.push(FieldError::invalid(&at, keys.to_vec(), "must not contain duplicate entries"));
        }
        let Some(property) = items.get("properties").and_then(|properties| properties.get(*key)) else {
            errors.push(FieldError::invalid(
                &at,
                keys.to_vec(),
                "entries must all be names of item properties",
            ));
            continue;
        };
        let at = format!("{path}.items.properties[{key}]");
        if matches!(property["type"].as_str(), Some("array" | "object")) {
            let message = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(format!("{at}.type"), property["type"].clone(), message));
        }
        if !required.iter().any(|name| name == key) && property["default"].is_null() {
            let message = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(format!("{at}.default"), message));
        }
        if property["nullable"] == true {
            let message = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(format!("{at}.nullable"), message));
        }
    }
}

fn wrong_type(at: String, found: &str, message: &str) -> FieldError {
    match found {
        "" => FieldError::required(at, message),
        _ => FieldError::invalid(at, found, message),
    }
}

#[cfg(test)]
mod tests {
    use super::super::structural_errors;
    use serde_json::{Value, json};

    fn errors(list: &Value) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {"l": list}});
        structural_errors(&schema, "s").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn list_maps_need_keys_that_every_element_has() {
        let item = |extra: Value| {
            let mut item = json!({"type": "object", "properties": {"name": {"type": "string"}}});
            item.as_object_mut().unwrap().append(&mut serde_json::from_value(extra).unwrap());
            item
        };
        let list = |items: Value| json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": items});
        assert_eq!(errors(&list(item(json!({"required": ["name"]})))), [] as [&str; 0]);
        assert_eq!(
            errors(&list(item(json!({})))),
            [
                "s.properties[l].items.properties[name].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            ]
        );
        assert_eq!(
            errors(&list(json!({"type": "string"}))),
            [
                "s.properties[l].items.type: Invalid value: \"string\": must be object if parent array's x-kubernetes-list-type is map"
            ]
        );
        assert_eq!(
            errors(&json!({"type": "array", "x-kubernetes-list-type": "map", "items": item(json!({}))})),
            [
                "s.properties[l].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"
            ]
        );
        assert_eq!(
            errors(
                &json!({"type": "array", "x-kubernetes-list-map-keys": ["name"], "items": item(json!({}))})
            ),
            [
                "s.properties[l].x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty"
            ]
        );
    }

    #[test]
    fn sets_hold_what_is_owned_whole() {
        let set = |items: Value| json!({"type": "array", "x-kubernetes-list-type": "set", "items": items});
        assert_eq!(errors(&set(json!({"type": "string"}))), [] as [&str; 0]);
        assert_eq!(
            errors(&set(json!({"type": "object", "x-kubernetes-map-type": "atomic", "properties": {}}))),
            [] as [&str; 0]
        );
        assert_eq!(
            errors(&set(json!({"type": "object", "properties": {}}))),
            [
                "s.properties[l].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set"
            ]
        );
        assert_eq!(
            errors(&set(json!({"type": "string", "nullable": true}))),
            [
                "s.properties[l].items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set"
            ]
        );
    }

    #[test]
    fn list_types_are_for_lists() {
        assert_eq!(
            errors(&json!({"type": "string", "x-kubernetes-list-type": "set"})),
            [
                "s.properties[l].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified"
            ]
        );
        assert_eq!(
            errors(&json!({"type": "string", "x-kubernetes-map-type": "atomic"})),
            [
                "s.properties[l].type: Invalid value: \"string\": must be object if x-kubernetes-map-type is specified"
            ]
        );
    }
}
