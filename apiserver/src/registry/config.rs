//! Configmaps, secrets and controller revisions: data.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{PLAIN, Rules};
use crate::{names, schema::FieldError};

/// The most bytes of data in one configmap or secret.
const MAX_DATA: usize = 1024 * 1024;

pub(super) const CONFIGMAP_RULES: Rules =
    Rules { validate: validate_configmap, validate_update: validate_immutable, ..PLAIN };

pub(super) const SECRET_RULES: Rules =
    Rules { validate: validate_secret, validate_update: validate_secret_update, ..PLAIN };

pub(super) const REVISION_RULES: Rules =
    Rules { validate: validate_revision, validate_update: validate_revision_update, ..PLAIN };

fn validate_configmap(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    let binary = object["binaryData"].as_object();
    for field in ["data", "binaryData"] {
        for (key, value) in object[field].as_object().into_iter().flatten() {
            size += value.as_str().map_or(0, str::len);
            if let Err(problem) = names::config_key(key) {
                errors.push(FieldError::invalid(format!("{field}[{key}]"), key.as_str(), problem));
            }
            if field == "data" && binary.is_some_and(|binary| binary.contains_key(key)) {
                errors.push(FieldError::invalid(
                    format!("data[{key}]"),
                    key.as_str(),
                    "duplicate of key present in binaryData",
                ));
            }
        }
    }
    if size > MAX_DATA {
        // Kubernetes spells the path of the whole object like this.
        errors.push(FieldError::too_long("[]", MAX_DATA as u64));
    }
    errors
}

/// `immutable: true` cannot be taken back, and freezes the data.
fn validate_immutable(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if old["immutable"] == true {
        if new["immutable"] != true {
            errors.push(FieldError::forbidden("immutable", "field is immutable when `immutable` is set"));
        }
        for field in ["data", "binaryData"] {
            if new[field] != old[field] {
                errors.push(FieldError::forbidden(field, "field is immutable when `immutable` is set"));
            }
        }
    }
    errors
}

fn validate_secret(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        size += value.len() / 4 * 3;
        if let Err(problem) = names::config_key(key) {
            errors.push(FieldError::invalid(format!("data[{key}]"), key.as_str(), problem));
        }
        if STANDARD.decode(value).is_err() {
            errors.push(FieldError::invalid(format!("data[{key}]"), value, "illegal base64 data"));
        }
    }
    if size > MAX_DATA {
        errors.push(FieldError::too_long("data", MAX_DATA as u64));
    }
    errors.extend(missing_keys(object));
    errors
}

/// Keys that a secret of its type must have.
fn missing_keys(secret: &Value) -> Vec<FieldError> {
    let absent = |key: &&&str| secret["data"][**key].as_str().is_none_or(str::is_empty);
    let (keys, any): (&[&str], bool) = match secret["type"].as_str().unwrap_or_default() {
        "kubernetes.io/basic-auth" => (&["username", "password"], true),
        "kubernetes.io/ssh-auth" => (&["ssh-privatekey"], false),
        "kubernetes.io/tls" => (&["tls.crt", "tls.key"], false),
        "kubernetes.io/dockercfg" => (&[".dockercfg"], false),
        "kubernetes.io/dockerconfigjson" => (&[".dockerconfigjson"], false),
        _ => (&[], false),
    };
    let missing: Vec<&&str> = keys.iter().filter(absent).collect();
    if any && missing.len() < keys.len() {
        return Vec::new();
    }
    missing.into_iter().map(|key| FieldError::required(format!("data[{key}]"), "")).collect()
}

fn validate_secret_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = validate_immutable(new, old);
    if new["type"] != old["type"] {
        errors.push(FieldError::invalid("type", new["type"].clone(), "field is immutable"));
    }
    errors
}

fn validate_revision(object: &Value) -> Vec<FieldError> {
    if object["data"].is_null() {
        return vec![FieldError::required("data", "data is mandatory")];
    }
    Vec::new()
}

fn validate_revision_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if new["data"] != old["data"] {
        errors.push(FieldError::invalid("data", new["data"].clone(), "field is immutable"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_hold_base64_under_good_keys() {
        assert!(validate_secret(&json!({"data": {"a": "eA==", "b.c": ""}})).is_empty());
        assert_eq!(validate_secret(&json!({"data": {"../x": "%"}})).len(), 2);
    }

    #[test]
    fn immutable_data_stays() {
        let old = json!({"immutable": true, "data": {"a": "1"}});
        assert_eq!(validate_immutable(&json!({"immutable": true, "data": {"a": "2"}}), &old).len(), 1);
        assert_eq!(validate_immutable(&json!({"data": {"a": "1"}}), &old).len(), 1);
        assert!(validate_immutable(&old, &old).is_empty());
    }
}
