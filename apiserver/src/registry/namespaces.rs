//! Namespaces.

use serde_json::{Value, json};

use super::{PLAIN, Rules, keep, spec};
use crate::{names::NameRule, schema::FieldError};

pub(super) const RULES: Rules = Rules {
    name: NameRule::Label,
    returns_deleted: true,
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

fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let terminating = old["status"]["phase"] == "Terminating";
    let mut errors = Vec::new();
    if terminating && new["status"]["phase"] != "Terminating" {
        let phase = new["status"]["phase"].clone();
        errors.push(FieldError::invalid(
            "status.Phase",
            phase,
            "may only be 'Terminating' if `deletionTimestamp` is not empty",
        ));
    }
    errors
}
