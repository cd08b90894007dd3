//! Strategic merge patch: merge patch that knows, from the schema, which lists are merged and by which key.
//!
//! Directives inside the patch:
//!
//! | directive | where | meaning |
//! |---|---|---|
//! | `$patch: replace` | object | the object becomes what else the patch says |
//! | `$patch: replace` | element of a merged list | the list becomes the other elements of the patch |
//! | `$patch: delete` | object, element | empties the object; removes the element with that key |
//! | `$deleteFromPrimitiveList/<field>` | object | removes values from a list of scalars |
//! | `$setElementOrder/<field>` | object | the order in which the list is to be |
//! | `$retainKeys` | object | fields of the stored object not named here are removed |

use serde_json::{Map, Value};

use super::{PatchError, go_format};
use crate::schema::Schema;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";

type Object = Map<String, Value>;

/// The object with a strategic merge patch applied. Only for built-in kinds: for others Kubernetes answers
/// 415, since their schemas have no merge keys.
pub fn strategic(current: &Value, patch: &Value, schema: &Schema) -> Result<Value, PatchError> {
    let (Value::Object(current), Value::Object(patch)) = (current, patch) else {
        return Err(PatchError::Malformed("invalid JSON document".to_owned()));
    };
    merge_objects(current.clone(), patch.clone(), schema).map(Value::Object)
}

fn merge_objects(mut target: Object, mut patch: Object, schema: &Schema) -> Result<Object, PatchError> {
    match patch.remove(PATCH) {
        None => {}
        Some(Value::String(directive)) if directive == "replace" => return Ok(patch),
        Some(Value::String(directive)) if directive == "delete" => return Ok(Object::new()),
        Some(other) => return Err(unknown_directive(&other, &with_directive(patch, &other))),
    }
    retain_keys(&mut target, &mut patch)?;
    order_lists(&mut target, &mut patch, schema)?;
    for (name, value) in patch {
        if let Some(field) = directive_field(&name, DELETE_FROM_LIST, BAD_PRIMITIVE_LIST)? {
            delete_from_list(&mut target, field, value)?;
            continue;
        }
        merge_field(&mut target, name, value, schema)?;
    }
    Ok(target)
}

fn merge_field(target: &mut Object, name: String, value: Value, schema: &Schema) -> Result<(), PatchError> {
    let field = schema.child(&name);
    let merged = match (target.remove(&name), value) {
        (_, Value::Null) => return Ok(()),
        (Some(Value::Object(target)), Value::Object(patch)) if !field.patch_strategy().replace => {
            Some(Value::Object(merge_objects(target, patch, field)?))
        }
        (Some(Value::Object(_)), Value::Object(patch)) => Some(Value::Object(patch)),
        (Some(Value::Array(target)), Value::Array(patch)) if field.patch_strategy().merge => {
            Some(Value::Array(merge_lists(target, patch, field)?))
        }
        (Some(Value::Array(_)), Value::Array(patch)) => Some(Value::Array(patch)),
        (_, value) => without_directives(without_null_fields(value)),
    };
    if let Some(merged) = merged {
        target.insert(name, merged);
    }
    Ok(())
}

/// Merges a list into one of the same kind: scalars as a set, objects by the merge key of the schema.
fn merge_lists(target: Vec<Value>, patch: Vec<Value>, list: &Schema) -> Result<Vec<Value>, PatchError> {
    let Some(kind) = list_kind(&[&target, &patch])? else { return Ok(target) };
    match kind {
        Kind::Scalars => {
            let mut merged = target.clone();
            merged.extend(patch.iter().cloned());
            in_order(without_repetitions(merged), &patch, &target, None)
        }
        Kind::Objects => {
            let key = list.merge_key().filter(|key| !key.is_empty()).ok_or_else(no_key_declared)?;
            let (target, patch) = apply_element_directives(target, patch, key)?;
            let merged = merge_elements(target.clone(), &patch, key, list.items())?;
            in_order(merged, &patch, &target, Some(key))
        }
    }
}

/// Carries out `$patch` directives among the elements; returns what is left of both lists to merge.
fn apply_element_directives(
    mut target: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for element in patch {
        match element.get(PATCH) {
            None => rest.push(element),
            Some(Value::String(directive)) if directive == "delete" => {
                let value = element.get(key).ok_or_else(|| no_merge_key(&element, key))?;
                target.retain(|other| other.get(key) != Some(value));
            }
            Some(Value::String(directive)) if directive == "replace" => replace = true,
            Some(Value::String(directive)) if directive == "merge" => {
                return Err(PatchError::Inconsistent(
                    "merging lists cannot yet be specified in the patch".to_owned(),
                ));
            }
            Some(other) => return Err(unknown_directive(other, &element)),
        }
    }
    Ok(if replace { (rest, Vec::new()) } else { (target, rest) })
}

fn merge_elements(
    mut target: Vec<Value>,
    patch: &[Value],
    key: &str,
    items: &Schema,
) -> Result<Vec<Value>, PatchError> {
    for element in patch {
        let Value::Object(fields) = element else { continue };
        let value = fields.get(key).ok_or_else(|| no_merge_key(element, key))?;
        match target.iter_mut().find(|other| other.get(key) == Some(value)) {
            Some(Value::Object(existing)) => {
                *existing = merge_objects(std::mem::take(existing), fields.clone(), items)?;
            }
            _ => target.push(element.clone()),
        }
    }
    Ok(target)
}

/// Handles every `$setElementOrder/<field>`: merges that field's list, if the patch has one, and puts it in
/// order. Both are taken out of the patch.
fn order_lists(target: &mut Object, patch: &mut Object, schema: &Schema) -> Result<(), PatchError> {
    let directives: Vec<String> =
        patch.keys().filter(|name| name.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let order = patch.remove(&directive).unwrap_or_default();
        let Value::Array(order) = order else { return Err(wrong_type("[]interface {}", &order)) };
        let Some(field) = directive_field(&directive, SET_ELEMENT_ORDER, BAD_ELEMENT_ORDER)? else {
            continue;
        };
        let list = |object: &Object| match object.get(field) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items.clone())),
            Some(other) => Err(wrong_type("[]interface {}", other)),
        };
        let (live, patched) = (list(target)?, list(patch)?);
        let node = schema.child(field);
        let key = node.merge_key().filter(|key| !key.is_empty());
        check_order(patched.as_deref().unwrap_or_default(), &order, key)?;
        let before = live.clone().unwrap_or_default();
        let merged = match (live, patched) {
            (None, None) => continue,
            (Some(live), None) => live,
            (None, Some(patched)) => patched.into_iter().filter_map(without_directives).collect(),
            (Some(live), Some(patched)) if node.patch_strategy().merge => merge_lists(live, patched, node)?,
            (Some(_), Some(patched)) => patched,
        };
        let ordered = in_order(merged, &order, &before, key)?;
        target.insert(field.to_owned(), Value::Array(ordered));
        patch.remove(field);
    }
    Ok(())
}

/// Checks that what the patch adds or changes is in the order list, in that order.
fn check_order(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    if order.is_empty() || patch.is_empty() {
        return Ok(());
    }
    let kept: Vec<&Value> = patch.iter().filter(|element| !is_deletion(element)).collect();
    let (mut next, mut place) = (0, 0);
    while next < kept.len() && place < order.len() {
        if kept[next].get(PATCH).is_some() {
            next += 1;
            continue;
        }
        if same_key(kept[next], &order[place], key)? {
            next += 1;
        }
        place += 1;
    }
    if next < kept.len() {
        return Err(PatchError::Inconsistent(format!(
            "The order in patch list:\n{}\n doesn't match {SET_ELEMENT_ORDER} list:\n{}\n",
            go_format::plain(&Value::Array(patch.to_vec())),
            go_format::plain(&Value::Array(order.to_vec())),
        )));
    }
    Ok(())
}

fn is_deletion(element: &Value) -> bool {
    element.get(PATCH).and_then(Value::as_str) == Some("delete")
}

fn same_key(left: &Value, right: &Value, key: Option<&str>) -> Result<bool, PatchError> {
    let Some(key) = key else { return Ok(left == right) };
    let of = |value: &Value| value.get(key).cloned().ok_or_else(|| no_merge_key(value, key));
    Ok(of(left)? == of(right)?)
}

/// The merged list in its final order: elements of `order` as listed there, all others (which only the
/// server knows) where they were relative to those before them.
fn in_order(
    merged: Vec<Value>,
    order: &[Value],
    before: &[Value],
    key: Option<&str>,
) -> Result<Vec<Value>, PatchError> {
    let position = |element: &Value, list: &[Value]| -> Result<Option<usize>, PatchError> {
        match key {
            None => Ok(list.iter().position(|other| other == element)),
            Some(key) => {
                let value = element.get(key).ok_or_else(|| no_merge_key(element, key))?;
                Ok(list.iter().position(|other| other.get(key) == Some(value)))
            }
        }
    };
    let mut listed = Vec::new();
    let mut others = Vec::new();
    for element in merged {
        match position(&element, order)? {
            Some(place) => listed.push((place, position(&element, before)?, element)),
            None => others.push((position(&element, before)?, element)),
        }
    }
    listed.sort_by_key(|(place, ..)| *place);
    others.sort_by_key(|(place, _)| place.unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(listed.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, was_at, element) in listed {
        while let Some((Some(other_at), _)) = others.peek()
            && was_at.is_some_and(|was_at| *other_at < was_at)
        {
            out.extend(others.next().map(|(_, element)| element));
        }
        out.push(element);
    }
    out.extend(others.map(|(_, element)| element));
    Ok(out)
}

/// Carries out `$retainKeys`: what the stored object has beyond the named fields is removed.
fn retain_keys(target: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || PatchError::Malformed("invalid patch format of retainKeys".to_owned());
    let Value::Array(keys) = keys else { return Err(bad()) };
    let retained = |name: &str| keys.iter().any(|key| key.as_str() == Some(name));
    let unnamed = patch.iter().any(|(name, value)| {
        !value.is_null()
            && !name.starts_with(DELETE_FROM_LIST)
            && !name.starts_with(SET_ELEMENT_ORDER)
            && !retained(name)
    });
    if unnamed {
        return Err(bad());
    }
    target.retain(|name, _| retained(name));
    Ok(())
}

fn delete_from_list(target: &mut Object, field: &str, values: Value) -> Result<(), PatchError> {
    match (target.get_mut(field), values) {
        (Some(Value::Array(items)), Value::Array(values)) => {
            if matches!(list_kind(&[items, &values])?, Some(Kind::Objects)) {
                return Err(no_key_declared());
            }
            items.retain(|item| !values.contains(item));
        }
        (_, Value::Null) => {
            target.remove(field);
        }
        _ => {}
    }
    Ok(())
}

const BAD_PRIMITIVE_LIST: &str = "invalid patch format of primitive list";
const BAD_ELEMENT_ORDER: &str = "invalid patch format of setElementOrder list";

/// The field that a directive such as `$setElementOrder/containers` is about; none for other names.
fn directive_field<'a>(name: &'a str, prefix: &str, problem: &str) -> Result<Option<&'a str>, PatchError> {
    match name.strip_prefix(prefix) {
        None => Ok(None),
        Some(rest) => {
            rest.strip_prefix('/').map(Some).ok_or_else(|| PatchError::Malformed(problem.to_owned()))
        }
    }
}

/// What the elements of a list are.
enum Kind {
    Scalars,
    Objects,
}

/// The one kind of all elements; none if there are no elements.
fn list_kind(lists: &[&[Value]]) -> Result<Option<Kind>, PatchError> {
    let mut types = lists.iter().copied().flatten().map(|element| match element {
        Value::Number(_) => "number",
        other => go_format::type_name(other),
    });
    let Some(first) = types.next() else { return Ok(None) };
    if first == "[]interface {}" {
        return Err(PatchError::DoesNotApply("lists of lists are not supported".to_owned()));
    }
    if let Some(other) = types.find(|other| *other != first) {
        return Err(PatchError::Inconsistent(format!(
            "list element types are not identical: {first}, {other}"
        )));
    }
    Ok(Some(if first == "map[string]interface {}" { Kind::Objects } else { Kind::Scalars }))
}

fn without_repetitions(values: Vec<Value>) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::with_capacity(values.len());
    for value in values {
        if !out.contains(&value) {
            out.push(value);
        }
    }
    out
}

fn without_null_fields(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_null_fields(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_null_fields).collect()),
        scalar => scalar,
    }
}

/// The value without objects that are directives, which mean nothing where there is nothing to patch.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(PATCH) => None,
        Value::Object(fields) => Some(Value::Object(
            fields.into_iter().filter_map(|(name, value)| Some((name, without_directives(value)?))).collect(),
        )),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        scalar => Some(scalar),
    }
}

fn no_key_declared() -> PatchError {
    PatchError::Inconsistent("cannot merge lists without merge key".to_owned())
}

fn no_merge_key(element: &Value, key: &str) -> PatchError {
    PatchError::Inconsistent(format!(
        "map: {} does not contain declared merge key: {key}",
        go_format::plain(element)
    ))
}

fn unknown_directive(directive: &Value, object: &Value) -> PatchError {
    PatchError::Inconsistent(format!(
        "unknown patch type: {} in map: {}",
        go_format::plain(directive),
        go_format::plain(object)
    ))
}

fn with_directive(mut patch: Object, directive: &Value) -> Value {
    patch.insert(PATCH.to_owned(), directive.clone());
    Value::Object(patch)
}

fn wrong_type(expected: &str, actual: &Value) -> PatchError {
    PatchError::Inconsistent(format!(
        "expected a {expected}, but received a {}",
        go_format::type_name(actual)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::testing::{object, pod_schema};
    use proptest::prelude::*;
    use serde_json::json;

    fn spec(containers: &Value) -> Value {
        json!({"spec": {"containers": containers}})
    }

    fn finalizers(values: &Value) -> Value {
        json!({"metadata": {"finalizers": values}})
    }

    #[test]
    fn patches_do_what_a_kube_apiserver_does() {
        let (a, b, c) = (json!({"name": "a", "image": "1"}), json!({"name": "b"}), json!({"name": "c"}));
        let cases = [
            (
                "maps merge and null removes",
                json!({"metadata": {"labels": {"x": "1", "y": "2"}}}),
                json!({"metadata": {"labels": {"y": null, "z": null, "w": "3"}}}),
                json!({"metadata": {"labels": {"x": "1", "w": "3"}}}),
            ),
            (
                "elements merge by key",
                spec(&json!([a, b])),
                spec(&json!([{"name": "a", "args": ["x"]}])),
                spec(&json!([{"name": "a", "image": "1", "args": ["x"]}, b])),
            ),
            ("new elements go last", spec(&json!([a])), spec(&json!([c])), spec(&json!([c, a]))),
            (
                "a null field in an element",
                spec(&json!([a])),
                spec(&json!([{"name": "a", "image": null}])),
                spec(&json!([{"name": "a"}])),
            ),
            (
                "delete an element",
                spec(&json!([a, b])),
                spec(&json!([{"name": "a", "$patch": "delete"}])),
                spec(&json!([b])),
            ),
            (
                "delete all of a key",
                spec(&json!([a, b, a])),
                spec(&json!([{"name": "a", "$patch": "delete"}])),
                spec(&json!([b])),
            ),
            (
                "replace a list",
                spec(&json!([a, b])),
                spec(&json!([{"$patch": "replace"}, c, a])),
                spec(&json!([c, a])),
            ),
            (
                "replace an object",
                json!({"spec": {"strategy": {"type": "a", "rollingUpdate": {}}}}),
                json!({"spec": {"strategy": {"$patch": "replace", "type": "b"}}}),
                json!({"spec": {"strategy": {"type": "b"}}}),
            ),
            (
                "delete an object",
                json!({"spec": {"strategy": {"type": "a"}, "paused": true}}),
                json!({"spec": {"strategy": {"$patch": "delete"}}}),
                json!({"spec": {"strategy": {}, "paused": true}}),
            ),
            (
                "directives about nothing",
                json!({}),
                json!({"spec": {"strategy": {"$patch": "delete"}, "containers": [{"name": "a", "$patch": "delete"}, b]}}),
                spec(&json!([b])),
            ),
            (
                "atomic lists are replaced",
                json!({"spec": {"tolerations": [{"key": "a"}]}}),
                json!({"spec": {"tolerations": [{"key": "b"}]}}),
                json!({"spec": {"tolerations": [{"key": "b"}]}}),
            ),
            (
                "sets grow",
                finalizers(&json!(["a", "b"])),
                finalizers(&json!(["c", "a"])),
                finalizers(&json!(["c", "a", "b"])),
            ),
            (
                "sets shrink",
                finalizers(&json!(["a", "b", "c"])),
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "c", "x"]}}),
                finalizers(&json!(["b"])),
            ),
            (
                "shrinking nothing",
                json!({"metadata": {}}),
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
                json!({"metadata": {}}),
            ),
            (
                "order alone",
                spec(&json!([a, b, c])),
                json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}}),
                spec(&json!([b, c, a])),
            ),
            (
                "order with a new element",
                spec(&json!([a, b])),
                json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}], "containers": [c]}}),
                spec(&json!([b, c, a])),
            ),
            (
                "what only the server has keeps its place",
                spec(&json!([a, b, c])),
                json!({"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "c"}]}}),
                spec(&json!([a, b, c])),
            ),
            (
                "order of a set",
                finalizers(&json!(["a", "b"])),
                json!({"metadata": {"$setElementOrder/finalizers": ["b", "a", "c"], "finalizers": ["c"]}}),
                finalizers(&json!(["b", "a", "c"])),
            ),
            (
                "order of a new list",
                json!({}),
                json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [b, a]}}),
                json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [b, a]}}),
            ),
            (
                "retained keys",
                json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
                json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
                json!({"spec": {"strategy": {"type": "Recreate"}}}),
            ),
            (
                "nulls in what is new",
                json!({}),
                json!({"spec": {"paused": null, "strategy": {"type": null, "rollingUpdate": {}}}}),
                json!({"spec": {"strategy": {"rollingUpdate": {}}}}),
            ),
            (
                "nested merge keys",
                spec(
                    &json!([{"name": "a", "ports": [{"containerPort": 80, "name": "x"}, {"containerPort": 81}]}]),
                ),
                spec(&json!([{"name": "a", "ports": [{"containerPort": 80, "name": "y"}]}])),
                spec(
                    &json!([{"name": "a", "ports": [{"containerPort": 80, "name": "y"}, {"containerPort": 81}]}]),
                ),
            ),
            (
                "another type replaces",
                spec(&json!([a])),
                spec(&json!({"name": "b"})),
                spec(&json!({"name": "b"})),
            ),
        ];
        let schema = pod_schema();
        for (name, current, patch, expected) in cases {
            assert_eq!(strategic(&current, &patch, &schema).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn contradictions_are_errors() {
        let cases = [
            (
                json!({"spec": {"containers": [{"image": "x"}]}}),
                500,
                "map: map[image:x] does not contain declared merge key: name",
            ),
            (
                json!({"spec": {"containers": [{"$patch": "delete"}]}}),
                500,
                "map: map[$patch:delete] does not contain declared merge key: name",
            ),
            (
                json!({"spec": {"containers": [{"$patch": "explode"}]}}),
                500,
                "unknown patch type: explode in map: map[$patch:explode]",
            ),
            (
                json!({"spec": {"$patch": "explode", "a": 1}}),
                500,
                "unknown patch type: explode in map: map[$patch:explode a:1]",
            ),
            (
                json!({"spec": {"containers": [["a"]]}}),
                500,
                "list element types are not identical: map[string]interface {}, []interface {}",
            ),
            (json!({"metadata": {"finalizers": [[1]]}}), 422, "lists of lists are not supported"),
            (
                json!({"spec": {"strategy": {"$retainKeys": "type"}}}),
                400,
                "invalid patch format of retainKeys",
            ),
            (
                json!({"spec": {"strategy": {"$retainKeys": [], "type": "x"}}}),
                400,
                "invalid patch format of retainKeys",
            ),
            (
                json!({"metadata": {"$deleteFromPrimitiveList": ["a"]}}),
                400,
                "invalid patch format of primitive list",
            ),
            (
                json!({"metadata": {"$setElementOrder": ["a"]}}),
                400,
                "invalid patch format of setElementOrder list",
            ),
            (
                json!({"spec": {"$setElementOrder/containers": {}}}),
                500,
                "expected a []interface {}, but received a map[string]interface {}",
            ),
            (
                json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a"}, {"name": "b"}]}}),
                500,
                "The order in patch list:\n[map[name:a] map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:b] map[name:a]]\n",
            ),
        ];
        let current = json!({"metadata": {"finalizers": []}, "spec": {"containers": [{"name": "a"}], "strategy": {"type": "a"}}});
        let schema = pod_schema();
        for (patch, code, expected) in cases {
            let error = strategic(&current, &patch, &schema).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.code()), (expected, code));
        }
        assert_eq!(strategic(&current, &json!([]), &schema).unwrap_err().code(), 400);
    }

    proptest! {
        #[test]
        fn any_patch_gives_an_answer(current in object(), patch in object()) {
            let _ = strategic(&current, &patch, &pod_schema());
        }
    }
}
