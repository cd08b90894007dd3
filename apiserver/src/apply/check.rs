//! Whether an object has the types that merging relies on.
//!
//! This is the check that server-side apply makes before anything else; full validation comes later, on the
//! merged object.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::element::Element;
use super::shape::{Form, Shape};
use crate::patch::go_format;

/// A value that the schema does not allow, displayed as `.spec.replicas: expected numeric (int or float), got string`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeError {
    /// The path of the value; empty for the object itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// All that is wrong with an object's types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeErrors(pub Vec<TypeError>);

/// Whether an element may occur twice in an associative list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// In stored objects, since older versions of a schema may have allowed them.
    Allowed,
    /// In applied configurations.
    Refused,
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl fmt::Display for TypeErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [error] => error.fmt(f),
            errors => {
                f.write_str("errors:")?;
                errors.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
        }
    }
}

/// Checks that every value has a form its node takes, that fields are declared, and that elements of
/// associative lists can be told apart.
pub(crate) fn check(shape: Shape<'_>, value: &Value, duplicates: Duplicates) -> Result<(), TypeErrors> {
    let mut check = Check { duplicates, path: Vec::new(), errors: Vec::new() };
    check.value(shape, value);
    if check.errors.is_empty() { Ok(()) } else { Err(TypeErrors(check.errors)) }
}

/// One step on the way to the value that is being checked; borrowed, since most values are fine.
enum Step<'v> {
    Field(&'v str),
    Element(Element),
}

struct Check<'v> {
    duplicates: Duplicates,
    path: Vec<Step<'v>>,
    errors: Vec<TypeError>,
}

impl<'v> Check<'v> {
    fn error(&mut self, message: String) {
        let path = self
            .path
            .iter()
            .map(|step| match step {
                Step::Field(name) => format!(".{name}"),
                Step::Element(element) => element.to_string(),
            })
            .collect();
        self.errors.push(TypeError { path, message });
    }

    fn value(&mut self, shape: Shape<'_>, value: &'v Value) {
        match (shape.form(value), value) {
            (Form::Scalar, value) => {
                if let Err(message) = shape.check_scalar(value) {
                    self.error(message);
                }
            }
            (_, Value::Null) => {}
            (Form::Map, Value::Object(fields)) => {
                for (name, child) in fields {
                    self.path.push(Step::Field(name));
                    match shape.field(name) {
                        Some(field) => self.value(field, child),
                        None => self.error("field not declared in schema".to_owned()),
                    }
                    self.path.pop();
                }
            }
            (Form::List, Value::Array(items)) => self.items(shape, items),
            (Form::Map, other) => self.error(format!("expected map, got &{{{}}}", go_format::plain(other))),
            (Form::List, other) => self.error(format!("expected list, got &{{{}}}", go_format::plain(other))),
        }
    }

    fn items(&mut self, shape: Shape<'_>, items: &'v [Value]) {
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let element = if shape.atomic_list() {
                Element::Index(i64::try_from(index).unwrap_or(i64::MAX))
            } else {
                match shape.element(item) {
                    Ok(element) => element,
                    Err(problem) => {
                        self.error(format!("element {index}: {problem}"));
                        return;
                    }
                }
            };
            if !shape.atomic_list() && !seen.insert(element.clone()) && self.duplicates == Duplicates::Refused
            {
                self.error(format!("duplicate entries for key {element}"));
            }
            self.path.push(Step::Element(element));
            self.value(shape.items(), item);
            self.path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::pod_schema;
    use super::*;
    use serde_json::json;

    fn problem(object: &Value) -> String {
        check(Shape::new(&pod_schema()), object, Duplicates::Refused).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_path_and_what_was_expected() {
        let cases = [
            (
                json!({"spec": {"replicas": "3"}}),
                ".spec.replicas: expected numeric (int or float), got string",
            ),
            (json!({"spec": {"paused": 1}}), ".spec.paused: expected boolean, got &{1}"),
            (
                json!({"spec": {"nodeName": 1}}),
                ".spec.nodeName: expected string, got &value.valueUnstructured{Value:1}",
            ),
            (json!({"spec": {"colour": "blue"}}), ".spec.colour: field not declared in schema"),
            (json!({"spec": []}), ".spec: expected map, got &{[]}"),
            (
                json!({"spec": {"containers": {"name": "a"}}}),
                ".spec.containers: expected list, got &{map[name:a]}",
            ),
            (
                json!({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}),
                ".spec.containers: duplicate entries for key [name=\"a\"]",
            ),
            (
                json!({"spec": {"containers": [{"image": "a"}]}}),
                ".spec.containers: element 0: associative list with keys has an element that omits all key fields [\"name\"] (and doesn't have default values for any key fields)",
            ),
            (
                json!({"spec": {"containers": [null]}}),
                ".spec.containers: element 0: associative list with keys may not have a null element",
            ),
            (
                json!({"spec": {"containers": ["a"]}}),
                ".spec.containers: element 0: associative list with keys may not have non-map elements",
            ),
            (
                json!({"spec": {"containers": [{"name": "a", "args": [1]}]}}),
                ".spec.containers[name=\"a\"].args[0]: expected string, got &value.valueUnstructured{Value:1}",
            ),
            (
                json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]}]}}),
                ".spec.containers[name=\"a\"].ports: duplicate entries for key [containerPort=1,protocol=\"TCP\"]",
            ),
            (
                json!({"metadata": {"finalizers": ["a", "a"]}}),
                ".metadata.finalizers: duplicate entries for key [=\"a\"]",
            ),
            (
                json!({"metadata": {"finalizers": [["a"]]}}),
                ".metadata.finalizers: element 0: not supported: associative list with lists as elements",
            ),
            (
                json!({"spec": {"paused": "x", "replicas": true}}),
                "errors:\n  .spec.paused: expected boolean, got &{x}\n  .spec.replicas: expected numeric (int or float), got bool",
            ),
        ];
        for (object, expected) in cases {
            assert_eq!(problem(&object), expected);
        }
    }

    #[test]
    fn nulls_open_fields_and_stored_duplicates_pass() {
        let object = json!({
            "spec": {"replicas": null, "containers": null, "template": {"any": [{"thing": 1}, 2]}},
            "metadata": {"labels": null, "finalizers": ["a", "a"]},
        });
        check(Shape::new(&pod_schema()), &object, Duplicates::Allowed).unwrap();
    }
}
