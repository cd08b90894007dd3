//! Structural schemas: what a kind's objects may hold, and what an API server does with that.
//!
//! A [`Schema`] is parsed once, from the OpenAPI v3 form that a CustomResourceDefinition carries (or from
//! the data of the built-in kinds), and is then shared. It answers three questions for the write path
//! ([`Schema::prune`], [`Schema::apply_defaults`], [`Schema::validate`]) and one for patches and server-side
//! apply: how lists and maps merge ([`Schema::list_type`], [`Schema::map_type`], [`Schema::patch_strategy`]).
//!
//! ```
//! use muster_apiserver::schema::Schema;
//! use serde_json::json;
//!
//! let schema = Schema::parse(&json!({
//!     "type": "object",
//!     "properties": {"replicas": {"type": "integer", "minimum": 0, "default": 1}}
//! }))?;
//! let mut object = json!({"colour": "blue"});
//! assert_eq!(schema.prune(&mut object), ["colour"]);
//! schema.apply_defaults(&mut object);
//! assert_eq!(object, json!({"replicas": 1}));
//! assert!(schema.validate(&json!({"replicas": -1}), None)[0].to_string().starts_with("replicas: Invalid value: -1"));
//! # Ok::<(), muster_apiserver::schema::SchemaError>(())
//! ```

pub(crate) mod cel;
mod decode;
mod defaults;
mod field_error;
mod meta;
mod parse;
mod prune;
mod structural;
mod validate;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

pub(crate) use cel::field_path;
pub use decode::{Decoded, decode};
pub(crate) use field_error::go_json;
pub use field_error::{ErrorKind, FieldError};
pub use meta::object_meta;
pub use parse::{SchemaError, parse_components};
pub use structural::structural_errors;

/// How deep a schema may nest; deeper ones are refused when parsed.
pub const MAX_SCHEMA_DEPTH: usize = 64;

/// The JSON type a node demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
    /// A JSON string.
    String,
    /// A number without a fraction.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
}

/// How a list is owned and merged (`x-kubernetes-list-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListType {
    /// One owner for the whole list; it is replaced as one value.
    #[default]
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Objects told apart by [`Schema::list_map_keys`].
    Map,
}

/// How an object is owned and merged (`x-kubernetes-map-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MapType {
    /// Every field has its own owner.
    #[default]
    Granular,
    /// One owner for the whole object.
    Atomic,
}

/// What a strategic merge patch does with a field (`x-kubernetes-patch-strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PatchStrategy {
    /// List elements are merged (by [`Schema::merge_key`], or as a set of scalars) rather than replaced.
    pub merge: bool,
    /// Fields absent from the patch's `$retainKeys` are dropped (unions such as `spec.strategy`).
    pub retain_keys: bool,
    /// The object is replaced rather than merged.
    pub replace: bool,
}

/// What an object may hold beside its named properties.
#[derive(Debug, Clone, Default)]
pub(crate) enum Additional {
    /// Nothing: other fields are unknown and pruned.
    #[default]
    None,
    /// Anything (`additionalProperties: true`).
    Any,
    /// Values of one schema.
    Schema(Arc<Schema>),
}

/// One node of a schema; the root describes a whole object.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the flags are independent in the format itself")]
pub struct Schema {
    pub(crate) ty: Option<Type>,
    pub(crate) format: Option<String>,
    pub(crate) nullable: bool,
    pub(crate) int_or_string: bool,
    pub(crate) preserve_unknown: bool,
    pub(crate) embedded: bool,
    pub(crate) properties: BTreeMap<String, Arc<Schema>>,
    pub(crate) additional: Additional,
    pub(crate) items: Option<Arc<Schema>>,
    pub(crate) list_type: ListType,
    pub(crate) list_map_keys: Vec<String>,
    pub(crate) map_type: MapType,
    pub(crate) patch_strategy: PatchStrategy,
    pub(crate) merge_key: Option<String>,
    pub(crate) default: Option<Value>,
    /// Whether this node or anything below it has a default, so that most subtrees are skipped.
    pub(crate) has_defaults: bool,
    pub(crate) validations: Option<Box<validate::Validations>>,
    /// At the root: whether sets and list maps must hold nothing twice. Kubernetes asks that of custom
    /// resources only; the list types of built-in kinds just say how lists merge.
    pub(crate) unique_lists: bool,
    /// `x-kubernetes-validations` as written.
    pub(crate) rules: Vec<Value>,
    /// The same rules, compiled; only in the schemas of custom resources.
    pub(crate) compiled: Vec<Arc<cel::Rule>>,
    /// Whether this node or anything below it has rules.
    pub(crate) has_rules: bool,
}

/// A node that says nothing: granular maps, atomic lists, every field kept.
static UNTYPED: LazyLock<Schema> = LazyLock::new(|| Schema { preserve_unknown: true, ..Schema::default() });

impl Schema {
    /// The schema that allows everything: what lies below `x-kubernetes-preserve-unknown-fields`.
    pub fn untyped() -> &'static Schema {
        &UNTYPED
    }

    /// The JSON type demanded here; `None` for int-or-string and for nodes that accept anything.
    pub fn json_type(&self) -> Option<Type> {
        self.ty
    }

    /// The schema of a field: its named property, else that of additional properties.
    pub fn property(&self, field: &str) -> Option<&Schema> {
        match (self.properties.get(field), &self.additional) {
            (Some(property), _) => Some(property),
            (None, Additional::Schema(schema)) => Some(schema),
            (None, Additional::Any) => Some(Schema::untyped()),
            (None, Additional::None) => None,
        }
    }

    /// Like [`Schema::property`], with [`Schema::untyped`] for fields the schema does not know.
    pub fn child(&self, field: &str) -> &Schema {
        self.property(field).unwrap_or_else(|| Schema::untyped())
    }

    /// The schema of a list's elements; [`Schema::untyped`] where none is given.
    pub fn items(&self) -> &Schema {
        self.items.as_deref().unwrap_or_else(|| Schema::untyped())
    }

    /// The named properties, in order of name.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &Schema)> {
        self.properties.iter().map(|(name, schema)| (name.as_str(), schema.as_ref()))
    }

    /// How a list at this node is owned and merged by server-side apply.
    pub fn list_type(&self) -> ListType {
        self.list_type
    }

    /// The fields that tell the elements of a [`ListType::Map`] apart, in declared order.
    pub fn list_map_keys(&self) -> &[String] {
        &self.list_map_keys
    }

    /// How an object at this node is owned and merged by server-side apply.
    pub fn map_type(&self) -> MapType {
        self.map_type
    }

    /// What a strategic merge patch does with a value at this node.
    pub fn patch_strategy(&self) -> PatchStrategy {
        self.patch_strategy
    }

    /// The field by which a strategic merge patch tells list elements apart.
    pub fn merge_key(&self) -> Option<&str> {
        self.merge_key.as_deref()
    }

    /// The default of this node, if it has one (a list-map key such as `protocol` may be left out).
    pub fn default_value(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// Whether fields without a schema are kept (`x-kubernetes-preserve-unknown-fields`).
    pub fn preserves_unknown_fields(&self) -> bool {
        self.preserve_unknown
    }

    /// `x-kubernetes-int-or-string`.
    pub fn is_int_or_string(&self) -> bool {
        self.int_or_string
    }

    /// `x-kubernetes-embedded-resource`.
    pub fn is_embedded_resource(&self) -> bool {
        self.embedded
    }

    /// Calls with every embedded resource in a value, and where it stands.
    pub(crate) fn embedded(&self, value: &Value, path: &str, each: &mut dyn FnMut(&str, &Value)) {
        match value {
            Value::Object(map) => {
                if self.embedded {
                    each(path, value);
                }
                for (key, value) in map {
                    match (self.properties.get(key), &self.additional) {
                        (Some(schema), _) => schema.embedded(value, &join(path, key), each),
                        (None, Additional::Schema(schema)) => {
                            schema.embedded(value, &format!("{path}[{key}]"), each);
                        }
                        _ => {}
                    }
                }
            }
            Value::Array(list) => {
                for (index, element) in list.iter().enumerate() {
                    self.items().embedded(element, &format!("{path}[{index}]"), each);
                }
            }
            _ => {}
        }
    }

    /// `nullable`.
    pub fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// The rules of `x-kubernetes-validations` at this node, as written.
    pub fn validation_rules(&self) -> &[Value] {
        &self.rules
    }
}

/// `parent.field`, or the field alone at the root.
pub(crate) fn join(parent: &str, field: &str) -> String {
    if parent.is_empty() { field.to_owned() } else { format!("{parent}.{field}") }
}
