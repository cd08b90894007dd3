//! The `FieldsV1` format: a set of paths as nested JSON objects.
//!
//! Each key is one step, told apart by its first letter: `f:` a field, `k:` the keys of a list element (a
//! JSON object), `v:` an element of a set (a JSON value), `i:` an index. `"."` says that the path to this
//! point is itself in the set; a step with nothing below it needs no dot.

use serde_json::{Map, Value};

use super::element::{Element, Scalar};
use super::set::{Node, PathSet};

/// How deep a set may nest; a deeper one is refused. No object that can be decoded is as deep.
const MAX_DEPTH: usize = 200;

/// Why a stored `fieldsV1` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// A level of the set is no JSON object.
    #[error("a level of fieldsV1 is not an object: {0}")]
    NotAnObject(String),
    /// A key is no step of a path.
    #[error("{0:?} is not a step of a path: {1}")]
    BadStep(String, String),
    /// The set nests deeper than any object.
    #[error("fieldsV1 nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// The set in `FieldsV1` form.
pub fn encode(set: &PathSet) -> Value {
    let mut fields = Map::new();
    for node in set.nodes() {
        fields.insert(encode_element(&node.element), encode_node(node));
    }
    Value::Object(fields)
}

/// Reads a set. Steps of a kind unknown here are left out, as Kubernetes does with later versions of the
/// format.
pub fn decode(fields: &Value) -> Result<PathSet, FieldsError> {
    decode_level(fields, 0).map(|(set, _)| set)
}

fn encode_node(node: &Node) -> Value {
    let mut value = encode(&node.children);
    if let (Value::Object(fields), true) = (&mut value, node.member && !node.children.is_empty()) {
        fields.insert(".".to_owned(), Value::Object(Map::new()));
    }
    value
}

fn encode_element(element: &Element) -> String {
    match element {
        Element::Field(name) => format!("f:{name}"),
        Element::Key(fields) => {
            let mut out = String::from("k:{");
            for (index, (name, value)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&json_text(&Value::String(name.to_string())));
                out.push(':');
                out.push_str(&json_text(&value.0));
            }
            out.push('}');
            out
        }
        Element::Value(value) => format!("v:{}", json_text(&value.0)),
        Element::Index(index) => format!("i:{index}"),
    }
}

/// JSON text with `<`, `>`, `&` and line separators escaped, as Go writes it, so that keys compare equal.
fn json_text(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

/// The set at one level, and whether the path to it is a member.
fn decode_level(fields: &Value, depth: usize) -> Result<(PathSet, bool), FieldsError> {
    if depth > MAX_DEPTH {
        return Err(FieldsError::TooDeep);
    }
    let fields = match fields {
        Value::Object(fields) => fields,
        Value::Null => return Ok((PathSet::new(), true)),
        other => return Err(FieldsError::NotAnObject(other.to_string())),
    };
    let mut set = PathSet::new();
    let mut dot = false;
    for (key, value) in fields {
        if key == "." {
            dot = true;
        } else if let Some(element) = decode_element(key)? {
            let (children, member) = decode_level(value, depth + 1)?;
            set.add(element, member, children);
        }
    }
    let member = dot || set.is_empty();
    Ok((set, member))
}

fn decode_element(key: &str) -> Result<Option<Element>, FieldsError> {
    let bad = |why: &str| FieldsError::BadStep(key.to_owned(), why.to_owned());
    let (kind, rest) = key.split_at_checked(2).ok_or_else(|| bad("key must be 2 characters long"))?;
    if !kind.ends_with(':') {
        return Err(bad("missing colon"));
    }
    let json = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| bad(&e.to_string()));
    Ok(Some(match kind {
        "f:" => Element::field(rest),
        "k:" => match json(rest)? {
            Value::Object(fields) => {
                Element::key(fields.iter().map(|(name, value)| (name.as_str(), value.clone())))
            }
            _ => return Err(bad("keys must be an object")),
        },
        "v:" => Element::Value(Scalar(json(rest)?)),
        "i:" => Element::Index(rest.parse().map_err(|_| bad("an index must be a number"))?),
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{object, path_set};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_pod_s_fields_survive_a_round_trip() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {".": {}, "v:\"a/b\"": {}}},
            "f:spec": {"f:containers": {
                "k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:ports": {
                    ".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}},
            }},
            "f:list": {"i:0": {}, "v:1.5": {}},
        });
        let set = decode(&fields).unwrap();
        assert_eq!(encode(&set), fields);
        assert_eq!(
            set.to_string().lines().collect::<Vec<_>>(),
            [
                ".list[=1.5]",
                ".list[0]",
                ".metadata.finalizers",
                ".metadata.labels",
                ".metadata.finalizers[=\"a/b\"]",
                ".metadata.labels.app",
                ".spec.containers[name=\"web\"]",
                ".spec.containers[name=\"web\"].image",
                ".spec.containers[name=\"web\"].ports",
                ".spec.containers[name=\"web\"].ports[containerPort=80,protocol=\"TCP\"]",
                ".spec.containers[name=\"web\"].ports[containerPort=80,protocol=\"TCP\"].containerPort",
            ]
        );
    }

    #[test]
    fn text_in_keys_is_escaped_as_go_escapes_it() {
        let set = decode(&json!({"f:a": {"v:\"<&>\"": {}}})).unwrap();
        assert_eq!(encode(&set), json!({"f:a": {"v:\"\\u003c\\u0026\\u003e\"": {}}}));
    }

    #[test]
    fn later_steps_are_left_out_and_bad_ones_refused() {
        assert_eq!(encode(&decode(&json!({"f:a": {}, "q:later": {"f:b": {}}})).unwrap()), json!({"f:a": {}}));
        for bad in ["x", "f", "fx", "k:1", "k:{", "v:", "i:x"] {
            assert!(decode(&json!({ bad: {} })).is_err(), "{bad}");
        }
        assert!(decode(&json!({"f:a": 3})).is_err());
        assert!(decode(&json!([])).is_err());
    }

    #[test]
    fn a_bottomless_set_is_refused() {
        let mut fields = json!({});
        for _ in 0..300 {
            fields = json!({ "f:a": fields });
        }
        assert_eq!(decode(&fields).unwrap_err(), FieldsError::TooDeep);
    }

    proptest! {
        #[test]
        fn every_set_survives_a_round_trip(set in path_set()) {
            prop_assert_eq!(decode(&encode(&set)).unwrap(), set);
        }

        #[test]
        fn any_json_gives_a_set_or_an_error(value in object()) {
            let _ = decode(&value);
        }
    }
}
