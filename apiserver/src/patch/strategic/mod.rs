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

mod lists;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use self::lists::{Kind, check_order, in_order, list_kind, merge_lists};
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
        return Err(PatchError::Malformed(go_format::cannot_unmarshal(patch, "map[string]interface {}")));
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
