//! CustomResourceDefinitions.

mod validate;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::validate::validate;
use super::{PLAIN, Rules, claims::keep_other_half};
use crate::schema::FieldError;

/// Keeps a definition that is being deleted until its objects are gone.
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
    let stored = stored_version(object);
    object["status"] =
        json!({"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored});
}

fn stored_version(object: &Value) -> Vec<Value> {
    let versions = object.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    versions.filter(|version| version["storage"] == true).map(|version| version["name"].clone()).collect()
}

/// Names that other definitions of a group have: those of resources, and those of kinds.
#[derive(Debug, Default)]
pub(crate) struct TakenNames {
    pub(crate) resources: BTreeSet<String>,
    pub(crate) kinds: BTreeSet<String>,
}

/// The status of a definition beside others: the names it gets, and whether it is served.
pub(crate) fn accepted(object: &Value, taken: &TakenNames, now: &str) -> Value {
    let mut status = object["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    let wanted = &object["spec"]["names"];
    let mut names = status["acceptedNames"].clone();
    let mut conflict: Option<(&str, String)> = None;
    let used = |name: &str| format!("{name:?} is already in use");
    let fields = [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("shortNames", "ShortNamesConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ];
    for (field, reason, taken) in fields {
        let clash: Vec<String> = match &wanted[field] {
            Value::Array(list) => {
                let had = names[field].as_array().cloned().unwrap_or_default();
                let fresh = list.iter().filter(|name| !had.contains(name)).filter_map(Value::as_str);
                fresh.filter(|name| taken.contains(*name)).map(used).collect()
            }
            Value::String(name) if names[field] != *name && taken.contains(name) => vec![used(name)],
            _ => Vec::new(),
        };
        match clash.as_slice() {
            [] => super::keep(&mut names, wanted, field),
            [one] => conflict = Some((reason, one.clone())),
            many => conflict = Some((reason, format!("[{}]", many.join(", ")))),
        }
    }
    super::keep(&mut names, wanted, "categories");
    status["acceptedNames"] = names;
    let established = status["conditions"].as_array().into_iter().flatten().any(is_established);
    match &conflict {
        None => {
            set_condition(&mut status, "NamesAccepted", ("True", "NoConflicts", "no conflicts found"), now)
        }
        Some((reason, message)) => {
            set_condition(&mut status, "NamesAccepted", ("False", reason, message), now)
        }
    }
    // A definition that was established once stays so.
    if !established {
        let condition = match conflict {
            None => ("True", "InitialNamesAccepted", "the initial names have been accepted"),
            Some(_) => ("False", "NotAccepted", "not all names are accepted"),
        };
        set_condition(&mut status, "Established", condition, now);
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

fn is_established(condition: &Value) -> bool {
    condition["type"] == "Established" && condition["status"] == "True"
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

fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (path, pointer) in [("spec.group", "/spec/group"), ("spec.names.plural", "/spec/names/plural")] {
        if new.pointer(pointer) != old.pointer(pointer) {
            let value = new.pointer(pointer).cloned().unwrap_or_default();
            errors.push(FieldError::invalid(path, value, "field is immutable"));
        }
    }
    let established = old.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let established = established.into_iter().any(is_established);
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
                "group": "example.com", "scope": "Namespaced", "conversion": {"strategy": "None"},
                "names": {"plural": "games", "singular": "game", "kind": "Game", "listKind": "GameList"},
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
        assert_eq!(accepted(&object, &TakenNames::default(), "now")["acceptedNames"]["kind"], "Game");
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
                "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields"
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
            [
                "metadata.name",
                "spec.scope",
                "spec.versions[0].schema.openAPIV3Schema",
                "spec.versions",
                "status.storedVersions"
            ]
        );
    }
}
