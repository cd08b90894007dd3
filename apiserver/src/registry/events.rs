//! Events.

use serde_json::Value;

use super::{PLAIN, Rules, text};
use crate::schema::FieldError;

pub(super) const RULES: Rules = Rules { create_on_update: true, validate, ..PLAIN };

/// An event lies in the namespace of what it is about; about things without a namespace it lies in `default`.
fn validate(object: &Value) -> Vec<FieldError> {
    let field = if object.get("regarding").is_some() { "regarding" } else { "involvedObject" };
    let about = object[field]["namespace"].as_str().unwrap_or_default();
    let namespace = text(object, "/metadata/namespace");
    let fits = about == namespace || (about.is_empty() && matches!(namespace, "default" | "kube-system"));
    let mut errors = Vec::new();
    if !fits {
        errors.push(FieldError::invalid(
            format!("{field}.namespace"),
            about,
            "does not match event.namespace",
        ));
    }
    errors
}
