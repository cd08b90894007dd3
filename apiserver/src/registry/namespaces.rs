//! Namespaces.

use serde_json::{Value, json};

use super::{PLAIN, Rules, keep, spec};
use crate::{names::NameRule, schema::FieldError};

pub(super) const RULES: Rules = Rules {
    name: NameRule::Label,
    returns_deleted: true,
    validate,
    prepare_create,
    prepare_update,
    validate_update,
    ..PLAIN
};

fn prepare_create(object: &mut Value, _: u64) {
    let finalizers = &mut spec(object)["finalizers"];
    let names = finalizers.as_array_mut().map(std::mem::take).unwrap_or_default();
    let mut names: Vec<Value> = names.into_iter().filter(|name| name != "kubernetes").collect();
    names.push("kubernetes".into());
    object["spec"]["finalizers"] = names.into();
    object["status"] = json!({"phase": "Active"});
}

/// Finalizers change through the finalize sub-resource, the status through its own.
fn prepare_update(object: &mut Value, old: &Value, subresource: Option<&str>) {
    match subresource {
        None => {
            keep(object, old, "spec");
            keep(object, old, "status");
        }
        Some("status") => keep(object, old, "spec"),
        Some(_) => keep(object, old, "status"),
    }
}

/// A finalizer is one of Kubernetes' own or carries a domain.
fn validate(object: &Value) -> Vec<FieldError> {
    let finalizers = object["spec"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let bad = finalizers
        .enumerate()
        .filter(|(_, name)| !matches!(*name, "kubernetes" | "orphan") && !name.contains('/'));
    bad.map(|(index, name)| {
        let message = "name is neither a standard finalizer name nor is it fully qualified";
        FieldError::invalid(format!("spec.finalizers[{index}]"), name, message)
    })
    .collect()
}

fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let phase = &new["status"]["phase"];
    let (expected, message) = if new["metadata"]["deletionTimestamp"].is_null() {
        ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
    } else {
        ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
    };
    let mut errors = Vec::new();
    if phase != expected && phase != &old["status"]["phase"] {
        errors.push(FieldError::invalid("status.Phase", phase.clone(), message));
    }
    errors
}
