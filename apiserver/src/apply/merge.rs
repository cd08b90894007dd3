//! Merging an applied configuration into an object, and taking paths out of one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::Element;
use super::set::PathSet;
use super::shape::{Form, Shape};

/// The object with an applied configuration merged in: maps by field, associative lists by element, all
/// else replaced. Both sides are valid for the shape.
pub(crate) fn merge(shape: Shape<'_>, live: &Value, applied: &Value) -> Value {
    match shape.form(applied) {
        Form::Map if !shape.atomic_map() => {
            let live = live.as_object().filter(|fields| !fields.is_empty());
            let new = applied.as_object().filter(|fields| !fields.is_empty());
            match (live, new) {
                // Null and {} do not empty a map: fields are given up by no longer applying them.
                (Some(live), None) => Value::Object(live.clone()),
                (Some(live), Some(new)) => merge_fields(shape, live, new),
                (None, _) => applied.clone(),
            }
        }
        Form::List if !shape.atomic_list() => {
            let live = live.as_array().filter(|items| !items.is_empty());
            let new = applied.as_array().filter(|items| !items.is_empty());
            match (live, new) {
                (Some(live), None) => Value::Array(live.clone()),
                (Some(live), Some(new)) => merge_items(shape, live, new),
                (None, _) => applied.clone(),
            }
        }
        _ => applied.clone(),
    }
}

fn merge_fields(shape: Shape<'_>, live: &Map<String, Value>, applied: &Map<String, Value>) -> Value {
    let merged = live.iter().map(|(name, old)| {
        let value = match applied.get(name) {
            Some(new) => merge(shape.field_or_open(name), old, new),
            None => old.clone(),
        };
        (name.clone(), value)
    });
    let added = applied.iter().filter(|(name, _)| !live.contains_key(*name));
    Value::Object(merged.chain(added.map(|(name, new)| (name.clone(), new.clone()))).collect())
}

/// Merges associative lists. Applied elements keep their order; elements that are live only keep their place
/// relative to the elements around them.
fn merge_items(shape: Shape<'_>, live: &[Value], applied: &[Value]) -> Value {
    if live == applied {
        return Value::Array(live.to_vec());
    }
    let identify = |items: &[Value]| -> Vec<Option<Element>> {
        items.iter().map(|item| shape.element(item).ok()).collect()
    };
    let live_elements = identify(live);
    let applied_elements = identify(applied);
    // An element that is live more than once is not merged with but replaced, all occurrences at once.
    let mut live_index: BTreeMap<&Element, Option<usize>> = BTreeMap::new();
    for (index, element) in live_elements.iter().enumerate() {
        if let Some(element) = element {
            live_index.entry(element).and_modify(|index| *index = None).or_insert(Some(index));
        }
    }
    let applied_index: BTreeMap<&Element, usize> = applied_elements
        .iter()
        .enumerate()
        .filter_map(|(index, element)| Some((element.as_ref()?, index)))
        .collect();
    // Where in the applied list the element at a position of the live list is, if it is there.
    let applied_position =
        |l: usize| live_elements[l].as_ref().and_then(|element| applied_index.get(element).copied());

    // Elements in both lists, in the order wanted. The live list is walked up to the next of them.
    let mut shared = applied_elements
        .iter()
        .enumerate()
        .filter(|(_, element)| element.as_ref().is_some_and(|element| live_index.contains_key(element)))
        .map(|(index, _)| index)
        .peekable();
    let mut merged = Vec::with_capacity(live.len().max(applied.len()));
    let (mut l, mut r) = (0, 0);
    while l < live.len() || r < applied.len() {
        let position = if l < live.len() { applied_position(l) } else { None };
        if l < live.len() && r < applied.len() && position != Some(r) && position.is_some() {
            let next = shared.peek().copied();
            if next.is_some() && next != position {
                // It is in both lists, and not the next one wanted: it comes when its turn in the applied list does.
                l += 1;
                continue;
            }
        }
        if l < live.len() && position != Some(r) {
            match position {
                None => {
                    merged.push(live[l].clone());
                    l += 1;
                    continue;
                }
                Some(position) if position < r => l += 1,
                Some(_) => {}
            }
        }
        if r < applied.len() {
            if position == Some(r) {
                l += 1;
            }
            let old =
                applied_elements[r].as_ref().and_then(|element| live_index.get(element)).copied().flatten();
            merged.push(match old {
                Some(old) => merge(shape.items(), &live[old], &applied[r]),
                None => applied[r].clone(),
            });
            if shared.peek() == Some(&r) {
                shared.next();
            }
            r += 1;
        }
    }
    Value::Array(merged)
}

/// The value without the paths of a set. Objects and lists that lose all they had become null, as in
/// Kubernetes.
pub(crate) fn remove(shape: Shape<'_>, value: &Value, paths: &PathSet) -> Value {
    match (shape.form(value), value) {
        (Form::Map, Value::Object(fields)) if !shape.atomic_map() && !fields.is_empty() => {
            let mut kept = Map::new();
            for (name, child) in fields {
                match paths.field(name) {
                    None => {
                        kept.insert(name.clone(), child.clone());
                    }
                    Some(node) if node.member => {}
                    Some(node) => {
                        kept.insert(name.clone(), remove(shape.field_or_open(name), child, &node.children));
                    }
                }
            }
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        (Form::List, Value::Array(items)) if !shape.atomic_list() && !items.is_empty() => {
            let kept: Vec<Value> = items.iter().filter_map(|item| remove_item(shape, item, paths)).collect();
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        _ => value.clone(),
    }
}

fn remove_item(shape: Shape<'_>, item: &Value, paths: &PathSet) -> Option<Value> {
    match shape.element(item).ok().and_then(|element| paths.node(&element)) {
        None => Some(item.clone()),
        Some(node) if node.member => None,
        Some(node) => Some(remove(shape.items(), item, &node.children)),
    }
}
