//! Volumes and claims on them.

use serde_json::{Value, json};

use super::{PLAIN, Rules, keep};
use crate::schema::FieldError;

pub(super) const CLAIM_RULES: Rules = Rules {
    returns_deleted: true,
    prepare_create: prepare,
    prepare_update: keep_other_half,
    validate_update: validate_claim_update,
    ..PLAIN
};

pub(super) const VOLUME_RULES: Rules =
    Rules { returns_deleted: true, prepare_create: prepare, prepare_update: keep_other_half, ..PLAIN };

fn prepare(object: &mut Value, _: u64) {
    object["status"] = json!({"phase": "Pending"});
}

/// An update of the object leaves its status alone, and the other way round.
pub(super) fn keep_other_half(object: &mut Value, old: &Value, subresource: Option<&str>) {
    let kept = if subresource == Some("status") { "spec" } else { "status" };
    keep(object, old, kept);
}

/// A claim's spec may change in what it requests once it is bound, and in the volume while it is not.
fn validate_claim_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let settled = |object: &Value, like: &Value| {
        let mut spec = object["spec"].clone();
        if like["status"]["phase"] == "Bound" {
            spec["resources"]["requests"] = like["spec"]["resources"]["requests"].clone();
        }
        if like["spec"]["volumeName"].is_null() {
            spec["volumeName"] = Value::Null;
        }
        spec["volumeAttributesClassName"] = Value::Null;
        if like["spec"]["storageClassName"].is_null() {
            spec["storageClassName"] = Value::Null;
        }
        spec
    };
    let mut errors = Vec::new();
    if settled(new, old) != settled(old, old) {
        errors.push(FieldError::forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
    errors
}
