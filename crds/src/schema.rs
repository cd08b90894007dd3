//! Pieces of schemas, for what types cannot say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use schemars::{Schema, SchemaGenerator, json_schema};

/// A whole number of 32 bits, zero or more.
pub(crate) fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 0})
}

/// A whole number of 64 bits, zero or more.
pub(crate) fn long_count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 0})
}

/// A count or a percentage.
pub(crate) fn int_or_percent() -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true})
}

/// An object that is kept as it was written.
pub(crate) fn opaque_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A list of objects that are kept as they were written.
pub(crate) fn opaque_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    })
}

/// Any JSON value at all.
pub(crate) fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true, "nullable": true})
}

/// A label selector.
pub(crate) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
            "matchExpressions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string"},
                        "operator": {"type": "string"},
                        "values": {"type": "array", "items": {"type": "string"}},
                    },
                },
            },
        },
    })
}

/// Conditions: a map by type, so that several managers can each apply their own.
pub(crate) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<crate::Condition>();
    json_schema!({
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

/// A whole number of 32 bits.
pub(crate) fn int32(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32"})
}

/// A list of whole numbers, zero or more.
pub(crate) fn integers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "integer", "minimum": 0}})
}

/// A whole number of 64 bits.
pub(crate) fn long(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64"})
}

/// A template kept as it was written, of a kind with `spec.replicas`. That field is declared, because the scale
/// sub-resource needs it to be an integer.
pub(crate) fn scalable_template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "spec": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "replicas": {
                        "description": "Replicas of all clusters together, or of each one where nothing divides them.",
                        "type": "integer",
                        "format": "int32",
                        "minimum": 0,
                    },
                },
            },
        },
    })
}

/// Seats by cluster.
pub(crate) fn seats(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {"type": "integer", "format": "int64", "minimum": 0},
    })
}

/// Bytes, in base64.
pub(crate) fn bytes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "byte"})
}

/// TLS checks that can be left out.
pub(crate) fn tls_validations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {"type": "string", "enum": ["*", "SubjectName", "ValidityPeriod"]},
    })
}

/// Gives a type the schema of these words. Its `Unknown` variant, which reads any other word, stays out of it.
macro_rules! words {
    ($type:ident, $($word:literal),+) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "enum": [$($word),+]})
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    Self::Unknown(word) => f.pad(word),
                    known => write!(f, "{known:?}"),
                }
            }
        }
    };
}
pub(crate) use words;

/// Completes a derived definition.
///
/// The derive makes every optional field nullable and gives every status field a default. The kinds of bk-bcs and
/// kubefed have neither: there the API server drops a `null`, and a status says only what was observed.
pub(crate) fn finish(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let names = &mut definition.spec.names;
    names.list_kind = Some(format!("{}List", names.kind));
    for version in &mut definition.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        root.title = None;
        tidy(root);
        if let Some(status) = root.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            each(status, &mut |schema| schema.default = None);
        }
    }
    definition
}

/// Takes the traces of Rust away: of `Option`, and of wrapped doc comments. What is nullable without being optional
/// stays so.
fn tidy(root: &mut JSONSchemaProps) {
    each(root, &mut |schema| {
        if schema.type_.is_some() || schema.x_kubernetes_int_or_string.is_some() {
            schema.nullable = None;
        }
        if let Some(values) = &mut schema.enum_ {
            values.retain(|value| !value.0.is_null());
        }
        // Doc comments are wrapped for the source; kubectl wraps for the terminal.
        if let Some(description) = &mut schema.description {
            *description = description.replace('\n', " ");
        }
    });
}

/// Visits a schema and all schemas below it.
fn each(schema: &mut JSONSchemaProps, visit: &mut impl FnMut(&mut JSONSchemaProps)) {
    visit(schema);
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        each(property, visit);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => each(items, visit),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(|item| each(item, visit)),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        each(values, visit);
    }
}
