//! Merging, ordering and checking the lists of a strategic merge patch.

use serde_json::Value;

use super::{PATCH, SET_ELEMENT_ORDER, merge_objects, no_key_declared, no_merge_key, unknown_directive};
use crate::patch::{PatchError, go_format};
use crate::schema::Schema;

/// What the elements of a list are.
pub(super) enum Kind {
    Scalars,
    Objects,
}

/// Merges a list into one of the same kind: scalars as a set, objects by the merge key of the schema.
pub(super) fn merge_lists(
    target: Vec<Value>,
    patch: Vec<Value>,
    list: &Schema,
) -> Result<Vec<Value>, PatchError> {
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

/// Checks that what the patch adds or changes is in the order list, in that order.
pub(super) fn check_order(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
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
pub(super) fn in_order(
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

/// The one kind of all elements; none if there are no elements.
pub(super) fn list_kind(lists: &[&[Value]]) -> Result<Option<Kind>, PatchError> {
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
