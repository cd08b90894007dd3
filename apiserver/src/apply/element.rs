//! Steps of a path into an object, and their order.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde_json::{Number, Value};

use crate::patch::go_format;

/// One step of a path into an object.
///
/// The order is that of the Kubernetes fields format: field names, then keys, values and indices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// A field of an object: `.replicas`.
    Field(Arc<str>),
    /// The element of a list whose key fields have these values, in order of field name: `[name="a"]`.
    Key(Arc<[(Arc<str>, Scalar)]>),
    /// The element of a set that is this value: `[="a"]`.
    Value(Scalar),
    /// The element of a list at this position: `[3]`. Written by nobody today, and read.
    Index(i64),
}

/// A JSON value with a total order: numbers (by value), strings, booleans, lists, objects, null.
#[derive(Debug, Clone)]
pub struct Scalar(pub Value);

impl Element {
    /// The step to a field.
    pub fn field(name: &str) -> Self {
        Self::Field(Arc::from(name))
    }

    /// The step to the element of a list whose key fields have these values.
    pub fn key<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let mut fields: Vec<(Arc<str>, Scalar)> =
            fields.into_iter().map(|(name, value)| (Arc::from(name), Scalar(value))).collect();
        fields.sort();
        Self::Key(fields.into())
    }
}

/// As error messages show it: `.spec`, `[name="a",protocol="TCP"]`, `[="a"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                for (index, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{name}={value}", if index == 0 { '[' } else { ',' })?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// As error messages show it: strings quoted, `null`, lists as `[1,2]`.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn write(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
            match value {
                Value::Null => f.write_str("null"),
                Value::Bool(value) => write!(f, "{value}"),
                Value::Number(number) => f.write_str(&go_format::number(number)),
                Value::String(text) => f.write_str(&go_format::quoted(text)),
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        f.write_str(if index == 0 { "[" } else { "," })?;
                        write(f, item)?;
                    }
                    f.write_str(if items.is_empty() { "[]" } else { "]" })
                }
                Value::Object(fields) => {
                    for (name, value) in fields {
                        write!(f, "{name}=")?;
                        write(f, value)?;
                    }
                    Ok(())
                }
            }
        }
        write(f, &self.0)
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

/// Whether two values mean the same: 1 and 1.0 do.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right) == Ordering::Equal,
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| equal(left, right)))
        }
        (left, right) => left == right,
    }
}

fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            for (left, right) in left.iter().zip(right) {
                match compare(left, right) {
                    Ordering::Equal => {}
                    other => return other,
                }
            }
            left.len().cmp(&right.len())
        }
        (Value::Object(left), Value::Object(right)) => {
            let mut left: Vec<_> = left.iter().collect();
            let mut right: Vec<_> = right.iter().collect();
            left.sort_by_key(|(name, _)| *name);
            right.sort_by_key(|(name, _)| *name);
            for ((left_name, left), (right_name, right)) in left.iter().zip(&right) {
                match left_name.cmp(right_name).then_with(|| compare(left, right)) {
                    Ordering::Equal => {}
                    other => return other,
                }
            }
            left.len().cmp(&right.len())
        }
        (left, right) => rank(left).cmp(&rank(right)),
    }
}

fn compare_numbers(left: &Number, right: &Number) -> Ordering {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left.cmp(&right),
        // Numbers beyond i64 are floats in Kubernetes. A finite JSON number always has an order.
        _ => left.as_f64().unwrap_or(0.0).total_cmp(&right.as_f64().unwrap_or(0.0)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn elements_are_shown_as_in_conflicts() {
        let cases = [
            (Element::field("spec"), ".spec"),
            (
                Element::key([("protocol", json!("TCP")), ("containerPort", json!(80))]),
                r#"[containerPort=80,protocol="TCP"]"#,
            ),
            (Element::Value(Scalar(json!("a\"b"))), r#"[="a\"b"]"#),
            (Element::Value(Scalar(json!(1.5))), "[=1.5]"),
            (Element::Value(Scalar(json!([1, null, true]))), "[=[1,null,true]]"),
            (Element::Index(3), "[3]"),
        ];
        for (element, expected) in cases {
            assert_eq!(element.to_string(), expected);
        }
    }

    #[test]
    fn elements_are_ordered_by_kind_then_content() {
        let mut elements = vec![
            Element::Index(0),
            Element::Value(Scalar(json!("b"))),
            Element::Value(Scalar(json!(2))),
            Element::Value(Scalar(json!(1.5))),
            Element::key([("name", json!("b"))]),
            Element::key([("name", json!("a")), ("port", json!(1))]),
            Element::key([("name", json!("a"))]),
            Element::field("b"),
            Element::field("a"),
        ];
        elements.sort();
        let shown: Vec<String> = elements.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                ".a",
                ".b",
                "[name=\"a\"]",
                "[name=\"a\",port=1]",
                "[name=\"b\"]",
                "[=1.5]",
                "[=2]",
                "[=\"b\"]",
                "[0]"
            ]
        );
    }

    #[test]
    fn whole_numbers_are_equal_however_written() {
        assert!(equal(&json!({"a": [1, {"b": 2}]}), &json!({"a": [1.0, {"b": 2}]})));
        assert!(!equal(&json!({"a": 1}), &json!({"a": "1"})));
        assert!(!equal(&json!({"a": 1}), &json!({"b": 1})));
        assert!(!equal(&json!([1]), &json!([1, 1])));
        assert_eq!(Scalar(json!(80)), Scalar(json!(80.0)));
    }
}
