//! The type of `self`: what an expression may touch of a value, by its schema.

use std::borrow::Cow;
use std::sync::Arc;

use super::types::{ObjectTy, Ty};
use crate::schema::{Additional, Schema, Type};

/// Words that CEL keeps for itself.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The type of a value of this schema, or `None` where expressions see nothing: there is no schema for it. The root
/// of a resource shows its name, kind and version whatever its schema says.
pub(super) fn declare(schema: &Schema, root: bool, name: &str) -> Option<Ty> {
    if schema.int_or_string {
        return Some(Ty::Dyn);
    }
    Some(match schema.ty? {
        Type::Array => Ty::list(declare_child(schema.items.as_deref()?, &format!("{name}.@idx"))?),
        Type::Object => {
            if !root && let Additional::Schema(values) = &schema.additional {
                return Some(Ty::map(Ty::String, declare_child(values, &format!("{name}.@elem"))?));
            }
            object(schema, root, name)
        }
        Type::String => match schema.format.as_deref() {
            Some("byte") => Ty::Bytes,
            Some("duration") => Ty::Duration,
            Some("date" | "date-time") => Ty::Timestamp,
            _ => Ty::String,
        },
        Type::Boolean => Ty::Bool,
        Type::Number => Ty::Double,
        Type::Integer => Ty::Int,
    })
}

fn declare_child(schema: &Schema, name: &str) -> Option<Ty> {
    declare(schema, schema.embedded, name)
}

fn object(schema: &Schema, root: bool, name: &str) -> Ty {
    let mut fields: Vec<(String, Ty)> = Vec::new();
    for (field, property) in &schema.properties {
        // What identifies an object is declared below.
        if root && matches!(field.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        if let Some(escaped) = escape(field)
            && let Some(ty) = declare_child(property, &format!("{name}.{escaped}"))
        {
            fields.push((escaped.into_owned(), ty));
        }
    }
    if root {
        let names = ["name", "generateName"].map(|field| (field.to_owned(), Ty::String));
        let metadata = ObjectTy { name: format!("{name}.metadata"), fields: names.into() };
        fields.push(("apiVersion".into(), Ty::String));
        fields.push(("kind".into(), Ty::String));
        fields.push(("metadata".into(), Ty::Object(Arc::new(metadata))));
    }
    Ty::Object(Arc::new(ObjectTy { name: name.to_owned(), fields }))
}

/// The name that expressions know a field by, or `None` where no expression can name it.
pub(super) fn escape(field: &str) -> Option<Cow<'_, str>> {
    if field.is_empty() || field.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if RESERVED.contains(&field) {
        return Some(format!("__{field}__").into());
    }
    if !field.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')) {
        return None;
    }
    if !field.contains("__") && !field.contains(['-', '.', '/']) {
        return Some(field.into());
    }
    let escaped = field.replace("__", "\0").replace('.', "__dot__").replace('-', "__dash__");
    Some(escaped.replace('/', "__slash__").replace('\0', "__underscores__").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_escaped() {
        let table = [
            ("plain", Some("plain")),
            ("a_b", Some("a_b")),
            ("a__b", Some("a__underscores__b")),
            ("a-b.c/d", Some("a__dash__b__dot__c__slash__d")),
            ("namespace", Some("__namespace__")),
            ("int", Some("int")),
            ("1st", None),
            ("a b", None),
            ("", None),
        ];
        for (field, expected) in table {
            assert_eq!(escape(field).as_deref(), expected, "{field}");
        }
    }

    #[test]
    fn what_has_no_schema_is_not_seen() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "free": {"x-kubernetes-preserve-unknown-fields": true},
            "opaque": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "port": {"x-kubernetes-int-or-string": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "when": {"type": "string", "format": "date-time"},
        }}))
        .unwrap();
        let Some(Ty::Object(object)) = declare(&schema, true, "self") else { panic!("an object") };
        assert!(object.field("free").is_none());
        let shown = |field: &str| object.field(field).map(ToString::to_string).unwrap_or_default();
        assert_eq!(shown("opaque"), "self.opaque");
        assert_eq!(shown("port"), "dyn");
        assert_eq!(shown("labels"), "map(string, string)");
        assert_eq!(shown("when"), "timestamp");
        assert_eq!(shown("kind"), "string");
        assert_eq!(shown("metadata"), "self.metadata");
    }
}
