//! What merging needs to know of a schema: which kinds of value a node takes, what is atomic, and how the
//! elements of lists are told apart.
//!
//! The rules are those by which Kubernetes turns OpenAPI into merge schemas: a node without a type takes
//! anything, an object without properties is an open map, and below `x-kubernetes-preserve-unknown-fields`
//! unknown fields are maps that merge and lists that do not.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::element::{Element, Scalar};
use super::set::PathSet;
use crate::patch::go_format;
use crate::schema::{Additional, ListType, MapType, Schema, Type};

/// A node of a schema as merging sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    schema: &'a Schema,
    /// An ancestor keeps unknown fields, which then holds for everything below.
    preserve: bool,
}

/// Which of the ways to merge applies to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Map,
    List,
    Scalar,
}

/// What scalars a node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScalarKind {
    Numeric,
    String,
    Boolean,
    Any,
}

impl<'a> Shape<'a> {
    pub(crate) fn new(schema: &'a Schema) -> Self {
        Self { schema, preserve: schema.preserves_unknown_fields() }
    }

    fn child(self, schema: &'a Schema) -> Self {
        Self { schema, preserve: self.preserve || schema.preserves_unknown_fields() }
    }

    /// How a value is merged here: as what it is if the node takes that, else as the first thing the node
    /// takes (null stands for any of them).
    pub(crate) fn form(self, value: &Value) -> Form {
        let own = match value {
            Value::Object(_) => Some(Form::Map),
            Value::Array(_) => Some(Form::List),
            Value::Null => None,
            _ => Some(Form::Scalar),
        };
        match self.schema.json_type() {
            Some(Type::Object) => Form::Map,
            Some(Type::Array) => Form::List,
            Some(_) => Form::Scalar,
            None => own.unwrap_or(Form::Map),
        }
    }

    /// Whether an object here has one owner and is replaced as a whole.
    pub(crate) fn atomic_map(self) -> bool {
        self.schema.map_type() == MapType::Atomic
    }

    /// Whether a list here has one owner and is replaced as a whole.
    pub(crate) fn atomic_list(self) -> bool {
        self.schema.list_type() == ListType::Atomic
    }

    /// Whether a field is declared by name rather than one of a map's open keys.
    pub(crate) fn declares(self, field: &str) -> bool {
        self.schema.properties.contains_key(field)
    }

    /// The node of a field; none where unknown fields are not allowed.
    pub(crate) fn field(self, name: &str) -> Option<Shape<'a>> {
        if let Some(property) = self.schema.properties.get(name) {
            return Some(self.child(property));
        }
        match &self.schema.additional {
            Additional::Schema(schema) => Some(self.child(schema)),
            Additional::Any => Some(Self::new(Schema::untyped())),
            Additional::None if self.preserve || self.schema.properties.is_empty() => {
                Some(Self::new(Schema::untyped()))
            }
            Additional::None => None,
        }
    }

    /// Like [`Shape::field`], with an open node for fields that are not allowed.
    pub(crate) fn field_or_open(self, name: &str) -> Shape<'a> {
        self.field(name).unwrap_or_else(|| Self::new(Schema::untyped()))
    }

    /// The node of a list's elements.
    pub(crate) fn items(self) -> Shape<'a> {
        self.child(self.schema.items())
    }

    /// Whether what is here is now atomic although somebody owns parts of it.
    pub(crate) fn is_atomic_now(self, owned: &PathSet) -> bool {
        let by_field = matches!(owned.nodes().first().map(|node| &node.element), Some(Element::Field(_)));
        match self.schema.json_type() {
            Some(Type::Array) => self.atomic_list(),
            Some(Type::Object) => self.atomic_map(),
            // Nothing says which of the two it is but what is owned.
            None => by_field && self.atomic_map(),
            Some(_) => false,
        }
    }

    /// The step that tells an element of a (not atomic) list apart, or why there is none.
    pub(crate) fn element(self, item: &Value) -> Result<Element, String> {
        match self.schema.list_type() {
            ListType::Atomic => Err("invalid indexing of non-associative list".to_owned()),
            ListType::Set => match item {
                Value::Object(_) => {
                    Err("associative list without keys has an element that's a map type".to_owned())
                }
                Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
                Value::Null => {
                    Err("associative list without keys has an element that's an explicit null".to_owned())
                }
                scalar => Ok(Element::Value(Scalar(scalar.clone()))),
            },
            ListType::Map => match item {
                Value::Object(fields) => self.key_element(fields),
                Value::Null => Err("associative list with keys may not have a null element".to_owned()),
                _ => Err("associative list with keys may not have non-map elements".to_owned()),
            },
        }
    }

    fn key_element(self, item: &Map<String, Value>) -> Result<Element, String> {
        let names = self.schema.list_map_keys();
        let mut keys: Vec<(Arc<str>, Scalar)> = Vec::with_capacity(names.len());
        for name in names {
            // A key that is left out counts with its default (`protocol: TCP`), or not at all.
            let value = item.get(name).or_else(|| self.schema.items().child(name).default_value());
            if let Some(value) = value {
                keys.push((Arc::from(name.as_str()), Scalar(value.clone())));
            }
        }
        if keys.is_empty() && !names.is_empty() {
            return Err(format!(
                "associative list with keys has an element that omits all key fields {} (and doesn't have \
                 default values for any key fields)",
                go_format::quoted_list(names)
            ));
        }
        keys.sort();
        Ok(Element::Key(keys.into()))
    }

    /// Why a value is no scalar this node takes; null is one everywhere.
    pub(crate) fn check_scalar(self, value: &Value) -> Result<(), String> {
        let fits = matches!(
            (self.scalar_kind(), value),
            (_, Value::Null)
                | (ScalarKind::Numeric | ScalarKind::Any, Value::Number(_))
                | (ScalarKind::String | ScalarKind::Any, Value::String(_))
                | (ScalarKind::Boolean | ScalarKind::Any, Value::Bool(_))
        );
        if fits {
            return Ok(());
        }
        Err(match self.scalar_kind() {
            ScalarKind::Numeric => {
                format!("expected numeric (int or float), got {}", go_format::type_name(value))
            }
            ScalarKind::String => {
                format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_format::syntax(value))
            }
            ScalarKind::Boolean => format!("expected boolean, got &{{{}}}", go_format::plain(value)),
            ScalarKind::Any => format!("expected any scalar, got &{{{}}}", go_format::plain(value)),
        })
    }

    fn scalar_kind(self) -> ScalarKind {
        match self.schema.json_type() {
            Some(Type::Integer | Type::Number) => ScalarKind::Numeric,
            Some(Type::Boolean) => ScalarKind::Boolean,
            // Strings of a format (quantities, times) are not checked by merging.
            Some(Type::String) if matches!(self.schema.format.as_deref(), None | Some("" | "byte")) => {
                ScalarKind::String
            }
            _ => ScalarKind::Any,
        }
    }
}
