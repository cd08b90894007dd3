//! Living with client-side apply: what `kubectl apply` left in an annotation.
//!
//! Only the field manager `kubectl` is treated so; any other name opts out.

use serde_json::Value;

use super::check::{Duplicates, check};
use super::compare::Comparison;
use super::field_set::field_set;
use super::set::PathSet;
use super::shape::Shape;

/// The annotation in which client-side apply keeps the configuration it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manager for which the annotation counts.
pub(crate) const KUBECTL: &str = "kubectl";

/// The largest annotations an object may have, all keys and values together.
const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

/// The fields that client-side apply set and that still have the values it set: `kubectl apply
/// --server-side` may take them from whoever owns them.
pub(crate) fn fields(shape: Shape<'_>, live: &Value, version: &str) -> Option<PathSet> {
    let text = annotation(live)?;
    let last: Value = serde_json::from_str(text).ok()?;
    if last.get("apiVersion").and_then(Value::as_str) != Some(version) {
        return None;
    }
    check(shape, &last, Duplicates::Refused).ok()?;
    let changes = Comparison::of(shape, &last, live);
    Some(
        field_set(shape, &last)
            .difference(&changes.modified)
            .difference(&changes.added)
            .difference(&changes.removed),
    )
}

/// Brings the annotation up to date with what was just applied, if the object has it.
pub(crate) fn refresh(object: &mut Value, applied: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut applied = applied.clone();
    if let Some(Value::Object(annotations)) = applied.pointer_mut("/metadata/annotations") {
        annotations.remove(LAST_APPLIED);
    }
    if let Some(Value::Object(metadata)) = applied.get_mut("metadata")
        && metadata.get("annotations").is_some_and(Value::is_null)
    {
        metadata.remove("annotations");
    }
    let text = format!("{applied}\n");
    if let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") {
        let others: usize = annotations
            .iter()
            .filter(|(name, _)| *name != LAST_APPLIED)
            .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
            .sum();
        if others + LAST_APPLIED.len() + text.len() > MAX_ANNOTATIONS_BYTES {
            annotations.remove(LAST_APPLIED);
        } else {
            annotations.insert(LAST_APPLIED.to_owned(), Value::String(text));
        }
    }
}

fn annotation(object: &Value) -> Option<&str> {
    object.pointer("/metadata/annotations")?.get(LAST_APPLIED)?.as_str().filter(|text| !text.is_empty())
}
