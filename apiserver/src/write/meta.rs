//! `metadata`: what the server sets, what it keeps, and what it refuses.

use serde_json::{Value, json};

use crate::{
    Resource,
    names::{self, NameRule},
    registry::text,
    schema::{ErrorKind, FieldError},
};

/// The most bytes of all annotations together.
const MAX_ANNOTATIONS: usize = 256 * 1024;
/// The longest base of a generated name; the suffix takes the rest of a label's 63.
const MAX_GENERATED_BASE: usize = 58;

/// Finalizer of an object whose dependents go first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an object whose dependents stay.
pub(crate) const ORPHAN: &str = "orphan";

/// Makes sure that `metadata` is an object, and gives it its namespace and name.
pub(crate) fn normalize(object: &mut Value) {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    metadata.remove("selfLink");
    // Empty maps and lists are the same as none.
    for field in ["labels", "annotations", "ownerReferences", "finalizers", "generateName", "namespace"] {
        let empty = metadata.get(field).is_some_and(|value| match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        });
        if empty {
            metadata.remove(field);
        }
    }
}

/// The base that a generated name starts with, cut so that the suffix fits.
pub(crate) fn generated_base(generate_name: &str) -> &str {
    let mut end = generate_name.len().min(MAX_GENERATED_BASE);
    while !generate_name.is_char_boundary(end) {
        end -= 1;
    }
    &generate_name[..end]
}

/// What is wrong with the identity and the metadata of a resource inside another.
pub(crate) fn embedded(path: &str, resource: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["apiVersion", "kind"] {
        let at = format!("{path}.{field}");
        match &resource[field] {
            Value::Null => errors.push(FieldError::required(at, "")),
            Value::String(text) if text.is_empty() => {
                errors.push(FieldError::invalid(at, text.as_str(), "must not be empty"));
            }
            Value::String(text) if field == "kind" => {
                if let Err(problem) = NameRule::Service.check(&text.to_lowercase()) {
                    let message = format!("may have mixed case, but should otherwise match: {problem}");
                    errors.push(FieldError::invalid(at, text.as_str(), message));
                }
            }
            Value::String(text) if text.matches('/').count() > 1 => {
                let message = format!("unexpected GroupVersion string: {text}");
                errors.push(FieldError::invalid(at, text.as_str(), message));
            }
            Value::String(_) => {}
            other => errors.push(FieldError::invalid(at, other.clone(), "must be a string")),
        }
    }
    if resource["metadata"].is_object() {
        // Any name that can stand in a path will do.
        let mut metadata = resource["metadata"].clone();
        metadata["name"] = "any".into();
        let found = validate(&json!({"metadata": metadata}), NameRule::Subdomain);
        errors.extend(found.into_iter().map(|error| error.below(path)));
    }
    errors
}

/// Puts back what an update may not change.
pub(crate) fn preserve(new: &mut Value, old: &Value) {
    let old = &old["metadata"];
    // What an update leaves out stays; some of it may not be changed either (see `validate_update`).
    for field in ["uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let kept = old
            .get(field)
            .filter(|_| new["metadata"].get(field).is_none_or(|value| value.is_null() || value == ""));
        if let Some(kept) = kept {
            new["metadata"][field] = kept.clone();
        }
    }
    if !old["deletionTimestamp"].is_null() {
        new["metadata"]["deletionTimestamp"] = old["deletionTimestamp"].clone();
    }
    for field in ["creationTimestamp", "generateName", "generation"] {
        match old.get(field) {
            Some(value) => new["metadata"][field] = value.clone(),
            None => {
                new["metadata"].as_object_mut().map(|metadata| metadata.remove(field));
            }
        }
    }
}

/// Whether the spec, and whatever else is neither metadata nor status, differs.
pub(crate) fn desired_state_differs(resource: &Resource, new: &Value, old: &Value) -> bool {
    let (Value::Object(new), Value::Object(old)) = (new, old) else { return new != old };
    let counts =
        |key: &str| key != "metadata" && key != "apiVersion" && !(key == "status" && resource.status);
    new.keys().chain(old.keys()).any(|key| counts(key) && new.get(key) != old.get(key))
}

/// Names of `metadata.finalizers`.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Replaces `metadata.finalizers`; an empty list is none.
pub(crate) fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    if finalizers.is_empty() {
        object["metadata"].as_object_mut().map(|metadata| metadata.remove("finalizers"));
    } else {
        object["metadata"]["finalizers"] = json!(finalizers);
    }
}

/// What is wrong with the metadata of an object.
pub(crate) fn validate(object: &Value, rule: NameRule) -> Vec<FieldError> {
    let metadata = &object["metadata"];
    let mut errors = Vec::new();
    let (name, prefix) = (text(metadata, "/name"), text(metadata, "/generateName"));
    if !prefix.is_empty()
        && let Err(problem) = rule.check_prefix(prefix)
    {
        errors.push(FieldError::invalid("metadata.generateName", prefix, problem));
    }
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else if let Err(problem) = rule.check(name) {
        errors.push(FieldError::invalid("metadata.name", name, problem));
    }
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        if let Err(problem) = names::qualified(key) {
            errors.push(FieldError::invalid("metadata.labels", key.as_str(), problem));
        }
        let value = value.as_str().unwrap_or_default();
        if let Err(problem) = names::label_value(value) {
            errors.push(FieldError::invalid("metadata.labels", value, problem));
        }
    }
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        if let Err(problem) = names::qualified(&key.to_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", key.as_str(), problem));
        }
    }
    if size > MAX_ANNOTATIONS {
        errors.push(FieldError::too_long("metadata.annotations", MAX_ANNOTATIONS as u64));
    }
    errors.extend(validate_owners(metadata));
    let finalizers = finalizers(object);
    for (index, finalizer) in finalizers.iter().enumerate() {
        if let Err(problem) = names::qualified(finalizer) {
            errors.push(FieldError::invalid(format!("metadata.finalizers[{index}]"), *finalizer, problem));
        }
    }
    if finalizers.contains(&FOREGROUND) && finalizers.contains(&ORPHAN) {
        let message = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid("metadata.finalizers", json!(finalizers), message));
    }
    errors
}

/// Finalizers that need no domain before their name, in the kinds that ask for one.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", ORPHAN, FOREGROUND];

/// Finalizers of a built-in kind that neither Kubernetes knows nor a domain qualifies.
pub(crate) fn validate_builtin_finalizers(object: &Value) -> Vec<FieldError> {
    let unqualified = |name: &&str| !name.contains('/') && !STANDARD_FINALIZERS.contains(name);
    let finalizers = finalizers(object).into_iter().enumerate().filter(|(_, name)| unqualified(name));
    let problem = "name is neither a standard finalizer name nor is it fully qualified";
    finalizers
        .map(|(index, name)| FieldError::invalid(format!("metadata.finalizers[{index}]"), name, problem))
        .collect()
}

fn validate_owners(metadata: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controllers = Vec::new();
    for owner in metadata["ownerReferences"].as_array().into_iter().flatten() {
        let path = "metadata.ownerReferences";
        for (field, message) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            let value = owner[field].as_str().unwrap_or_default();
            // A version of more than two parts cannot be read either.
            let unreadable = field == "apiVersion" && value.matches('/').count() > 1;
            if value.is_empty() || unreadable {
                errors.push(FieldError::invalid(format!("{path}.{field}"), value, message));
            }
        }
        if text(owner, "/kind") == "Event" && text(owner, "/apiVersion") == "v1" {
            let message = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(path, owner.clone(), message));
        }
        if owner["controller"] == true {
            controllers.push(text(owner, "/name"));
        }
    }
    if let [first, .., last] = controllers.as_slice() {
        let message = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {last}"
        );
        errors.push(FieldError::invalid(
            "metadata.ownerReferences",
            metadata["ownerReferences"].clone(),
            message,
        ));
    }
    errors
}

/// What is wrong with a change of metadata.
pub(crate) fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["name", "namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (after, before) = (&new["metadata"][field], &old["metadata"][field]);
        if after != before {
            let path = format!("metadata.{field}");
            errors.push(FieldError::new(path, ErrorKind::Invalid, "field is immutable", Some(after.clone())));
        }
    }
    if !old["metadata"]["deletionTimestamp"].is_null() {
        let known = finalizers(old);
        let added: Vec<&str> = finalizers(new).into_iter().filter(|name| !known.contains(name)).collect();
        if !added.is_empty() {
            let quoted: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
            let message = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                quoted.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", message));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(metadata: &Value) -> Vec<String> {
        validate(&json!({"metadata": metadata}), NameRule::Subdomain).iter().map(|e| e.path.clone()).collect()
    }

    #[test]
    fn metadata_is_checked_field_by_field() {
        assert!(problems(&json!({"name": "a", "labels": {"a/b": "c"}, "finalizers": ["x.io/y"]})).is_empty());
        assert_eq!(problems(&json!({"name": "A"})), ["metadata.name"]);
        assert_eq!(
            problems(&json!({"name": "a", "labels": {"a b": "c d"}})),
            ["metadata.labels", "metadata.labels"]
        );
        assert_eq!(
            problems(&json!({"name": "a", "finalizers": ["orphan", "foregroundDeletion"]})),
            ["metadata.finalizers"]
        );
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true});
        assert!(problems(&json!({"name": "a", "ownerReferences": [owner]})).is_empty());
        assert_eq!(
            problems(&json!({"name": "a", "ownerReferences": [owner, owner]})),
            ["metadata.ownerReferences"]
        );
        assert_eq!(
            problems(
                &json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]})
            ),
            ["metadata.ownerReferences.uid"]
        );
    }

    #[test]
    fn a_dying_object_takes_no_new_finalizers() {
        let old = json!({"metadata": {"name": "a", "deletionTimestamp": "x", "finalizers": ["a/b"]}});
        let new = json!({"metadata": {"name": "a", "deletionTimestamp": "x", "finalizers": ["a/b", "c/d"]}});
        let errors = validate_update(&new, &old);
        assert_eq!(
            errors[0].to_string(),
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, \
             found new finalizers []string{\"c/d\"}"
        );
    }

    #[test]
    fn a_long_base_leaves_room_for_the_suffix() {
        assert_eq!(generated_base(&"a".repeat(80)).len(), 58);
        assert_eq!(generated_base("web-"), "web-");
    }
}
