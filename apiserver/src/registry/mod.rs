//! What the API server knows about each kind beyond its schema.

mod builtin;
mod claims;
mod config;
mod definitions;
mod events;
mod namespaces;
pub(crate) mod pods;
pub(crate) mod policy;
mod services;

use serde_json::Value;

pub(crate) use builtin::resources;
pub(crate) use claims::{expansion, storage_protection};
pub(crate) use definitions::{CLEANUP_FINALIZER, TakenNames, accepted, set_condition};

use crate::{Resource, names::NameRule, schema::FieldError};

/// How objects of one kind are created and changed.
#[derive(Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question that Kubernetes' strategies answer on their own"
)]
pub(crate) struct Rules {
    pub(crate) name: NameRule,
    /// `metadata.generation` counts changes of anything but metadata and status.
    pub(crate) generation: bool,
    /// Deletion waits for a grace period.
    pub(crate) graceful: bool,
    /// A PUT may create.
    pub(crate) create_on_update: bool,
    /// A PUT without resourceVersion replaces whatever is there.
    pub(crate) unconditional_update: bool,
    /// A deletion answers with the object rather than with a Status.
    pub(crate) returns_deleted: bool,
    /// Fills in what the server sets on creation. The number is one that no other write of this cluster has.
    pub(crate) prepare_create: fn(&mut Value, u64),
    /// Keeps what an update may not touch, without an error.
    pub(crate) prepare_update: fn(&mut Value, &Value, Option<&str>),
    /// What is wrong with an object.
    pub(crate) validate: fn(&Value) -> Vec<FieldError>,
    /// What is wrong with a change from old to new.
    pub(crate) validate_update: fn(&Value, &Value) -> Vec<FieldError>,
}

/// The rules of kinds that have none of their own: ConfigMap-like data.
const PLAIN: Rules = Rules {
    name: NameRule::Subdomain,
    generation: false,
    graceful: false,
    create_on_update: false,
    unconditional_update: true,
    returns_deleted: false,
    prepare_create: |_, _| {},
    prepare_update: |_, _, _| {},
    validate: |_| Vec::new(),
    validate_update: |_, _| Vec::new(),
};

/// The rules of custom resources. Everything else about them is in their schema.
const CUSTOM: Rules = Rules { generation: true, unconditional_update: false, ..PLAIN };

impl Rules {
    /// The rules of a resource.
    pub(crate) fn of(resource: &Resource) -> Self {
        if resource.custom {
            return CUSTOM;
        }
        match (&*resource.group, &*resource.plural) {
            ("", "namespaces") => namespaces::RULES,
            ("", "pods") => pods::RULES,
            ("", "services") => services::RULES,
            ("", "persistentvolumeclaims") => claims::CLAIM_RULES,
            ("", "persistentvolumes") => claims::VOLUME_RULES,
            ("", "resourcequotas") => policy::QUOTA_RULES,
            ("policy", "poddisruptionbudgets") => policy::BUDGET_RULES,
            ("autoscaling", "horizontalpodautoscalers") => policy::AUTOSCALER_RULES,
            ("", "configmaps") => config::CONFIGMAP_RULES,
            ("", "secrets") => config::SECRET_RULES,
            ("" | "events.k8s.io", "events") => events::RULES,
            ("", "nodes") => Rules { prepare_update: claims::keep_other_half, ..PLAIN },
            ("", "endpoints") => Rules { create_on_update: true, ..PLAIN },
            ("", "serviceaccounts") => Rules { returns_deleted: true, ..PLAIN },
            ("coordination.k8s.io", "leases") => {
                Rules { create_on_update: true, unconditional_update: false, ..PLAIN }
            }
            ("apps", "controllerrevisions") => config::REVISION_RULES,
            ("apiextensions.k8s.io", "customresourcedefinitions") => definitions::RULES,
            _ => PLAIN,
        }
    }
}

/// The text at a JSON pointer; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Sets a field of an object unless it is there already.
fn default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        let entry = map.entry(field).or_insert(Value::Null);
        if entry.is_null() {
            *entry = value.into();
        }
    }
}

/// Makes a field what it was in the old object, or absent if it was absent.
pub(crate) fn keep(object: &mut Value, old: &Value, field: &str) {
    let Some(map) = object.as_object_mut() else { return };
    match old.get(field) {
        Some(value) => map.insert(field.to_owned(), value.clone()),
        None => map.remove(field),
    };
}

/// The object's `spec`, made if it is missing.
fn spec(object: &mut Value) -> &mut Value {
    default(object, "spec", serde_json::json!({}));
    &mut object["spec"]
}
