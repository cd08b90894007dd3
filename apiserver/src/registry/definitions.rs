//! CustomResourceDefinitions.

use serde_json::{Value, json};

use super::{PLAIN, Rules, claims::keep_other_half, text};
use crate::{
    Resource, names,
    schema::{FieldError, structural_errors},
};

/// Keeps a definition until its objects are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(super) const RULES: Rules = Rules {
    generation: true,
    unconditional_update: false,
    returns_deleted: true,
    prepare_create,
    prepare_update: |object, old, subresource| {
        keep_other_half(object, old, subresource);
    },
    validate,
    validate_update,
    ..PLAIN
};

fn prepare_create(object: &mut Value, _: u64) {
    let finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|name| name == CLEANUP_FINALIZER) {
        let mut finalizers = finalizers;
        finalizers.push(CLEANUP_FINALIZER.into());
        object["metadata"]["finalizers"] = finalizers.into();
    }
    let stored = stored_version(object);
    object["status"] =
        json!({"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored});
}

fn stored_version(object: &Value) -> Vec<Value> {
    let versions = object.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    versions.filter(|version| version["storage"] == true).map(|version| version["name"].clone()).collect()
}

/// The status of a definition whose names clash with none (`conflict` is `None`) or with that of another.
pub(crate) fn accepted(object: &Value, conflict: Option<&str>, now: &str) -> Value {
    let mut status = object["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    let (names, established) = match conflict {
        None => (
            ("True", "NoConflicts", "no conflicts found"),
            ("True", "InitialNamesAccepted", "the initial names have been accepted"),
        ),
        Some(problem) => {
            (("False", "NameConflict", problem), ("False", "NotAccepted", "not all names are accepted"))
        }
    };
    set_condition(&mut status, "NamesAccepted", names, now);
    set_condition(&mut status, "Established", established, now);
    if conflict.is_none() {
        status["acceptedNames"] = object["spec"]["names"].clone();
    }
    let mut stored = status["storedVersions"].as_array().cloned().unwrap_or_default();
    for version in stored_version(object) {
        if !stored.contains(&version) {
            stored.push(version);
        }
    }
    status["storedVersions"] = stored.into();
    status
}

/// Sets a condition in a status, keeping the time of the last change where nothing changes.
pub(crate) fn set_condition(
    status: &mut Value,
    ty: &str,
    (value, reason, message): (&str, &str, &str),
    now: &str,
) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    let mut condition = json!({
        "type": ty, "status": value, "reason": reason, "message": message, "lastTransitionTime": now,
    });
    match conditions.iter_mut().find(|condition| condition["type"] == ty) {
        Some(old) => {
            if old["status"] == value {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
}

fn validate(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (group, plural) = (text(object, "/spec/group"), text(object, "/spec/names/plural"));
    let name = text(object, "/metadata/name");
    if name != format!("{plural}.{group}") {
        errors.push(FieldError::invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group"));
    }
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if let Err(problem) = names::subdomain(group) {
        errors.push(FieldError::invalid("spec.group", group, problem));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid("spec.group", group, "should be a domain with at least one dot"));
    }
    let scope = text(object, "/spec/scope");
    if scope.is_empty() {
        errors.push(FieldError::required("spec.scope", ""));
    } else if !matches!(scope, "Namespaced" | "Cluster") {
        errors.push(FieldError::not_supported("spec.scope", scope, ["Cluster", "Namespaced"]));
    }
    for field in ["plural", "kind"] {
        let path = format!("spec.names.{field}");
        let value = object["spec"]["names"][field].as_str().unwrap_or_default();
        if value.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else if let Err(problem) = names::label(&value.to_lowercase()) {
            errors.push(FieldError::invalid(path, value, problem));
        }
    }
    errors.extend(validate_versions(object));
    if errors.is_empty()
        && let Err(error) = Resource::from_crd(object)
    {
        errors.push(FieldError::invalid("spec", Value::Null, error.to_string()));
    }
    errors
}

fn validate_versions(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let versions = object["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if versions.is_empty() {
        errors.push(FieldError::required("spec.versions", "must have at least one version"));
    }
    let stored = versions.iter().filter(|version| version["storage"] == true).count();
    if stored != 1 {
        let message = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", object["spec"]["versions"].clone(), message));
    }
    if text(object, "/spec/conversion/strategy") == "Webhook" {
        let message = "conversion webhooks are not supported by this server";
        errors.push(FieldError::forbidden("spec.conversion.strategy", message));
    }
    for (index, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{index}]");
        let name = text(version, "/name");
        if let Err(problem) = names::NameRule::Service.check(name) {
            errors.push(FieldError::invalid(format!("{path}.name"), name, problem));
        }
        if versions[..index].iter().any(|other| other["name"] == version["name"]) {
            errors.push(FieldError::invalid(format!("{path}.name"), name, "must be unique"));
        }
        match version.pointer("/schema/openAPIV3Schema") {
            None => errors
                .push(FieldError::required(format!("{path}.schema.openAPIV3Schema"), "schemas are required")),
            Some(schema) => {
                let field = format!("{path}.schema.openAPIV3Schema");
                errors.extend(structural_errors(schema, &field));
            }
        }
    }
    errors
}

fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (path, pointer) in [("spec.group", "/spec/group"), ("spec.names.plural", "/spec/names/plural")] {
        if new.pointer(pointer) != old.pointer(pointer) {
            let value = new.pointer(pointer).cloned().unwrap_or_default();
            errors.push(FieldError::invalid(path, value, "field is immutable"));
        }
    }
    let established = old.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let established = established.into_iter().any(|c| c["type"] == "Established" && c["status"] == "True");
    for (path, pointer) in [("spec.scope", "/spec/scope"), ("spec.names.kind", "/spec/names/kind")] {
        if established && new.pointer(pointer) != old.pointer(pointer) {
            let value = new.pointer(pointer).cloned().unwrap_or_default();
            errors.push(FieldError::invalid(path, value, "field is immutable"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        json!({
            "metadata": {"name": "games.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced", "names": {"plural": "games", "kind": "Game"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
            },
        })
    }

    #[test]
    fn a_good_definition_passes_and_its_names_are_accepted() {
        let mut object = definition();
        prepare_create(&mut object, 0);
        assert!(validate(&object).is_empty(), "{:?}", validate(&object));
        assert_eq!(object["status"]["storedVersions"], json!(["v1"]));
        assert_eq!(accepted(&object, None, "now")["acceptedNames"]["kind"], "Game");
    }

    #[test]
    fn a_schema_that_is_not_structural_is_refused_at_its_place() {
        let mut object = definition();
        prepare_create(&mut object, 0);
        object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] = json!({"spec": {}});
        let errors: Vec<String> = validate(&object).iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields"
            ]
        );
    }

    #[test]
    fn mistakes_are_named_by_field() {
        let mut object = definition();
        object["metadata"]["name"] = "game.example.com".into();
        object["spec"]["scope"] = "Everywhere".into();
        object["spec"]["versions"][0]["storage"] = false.into();
        object["spec"]["versions"][0].as_object_mut().map(|version| version.remove("schema"));
        let errors: Vec<String> = validate(&object).into_iter().map(|error| error.path).collect();
        assert_eq!(
            errors,
            ["metadata.name", "spec.scope", "spec.versions", "spec.versions[0].schema.openAPIV3Schema"]
        );
    }
}
