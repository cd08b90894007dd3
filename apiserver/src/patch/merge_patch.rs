//! JSON merge patch (RFC 7396).

use serde_json::{Map, Value};

use super::{PatchError, go_format};

/// The object with a merge patch applied: null removes a field, objects merge, anything else replaces.
///
/// As in Kubernetes, null fields of objects inside a new list are dropped too, unless the list replaces an
/// object. The RFC would keep them.
pub fn merge(current: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else {
        let problem = go_format::cannot_unmarshal(patch, "map[string]interface {}");
        return Err(PatchError::Malformed(format!("error decoding patch: {problem}")));
    };
    let Value::Object(current) = current else {
        return Err(PatchError::Malformed("Invalid JSON Document".to_owned()));
    };
    let mut merged = current.clone();
    merge_objects(&mut merged, patch);
    Ok(Value::Object(merged))
}

fn merge_objects(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match (value, target.get_mut(name)) {
            (Value::Null, _) => {
                target.remove(name);
            }
            (Value::Object(patch), Some(Value::Object(target))) => merge_objects(target, patch),
            (value, Some(target @ Value::Object(_))) => *target = value.clone(),
            (value, _) => {
                target.insert(name.clone(), without_nulls(value));
            }
        }
    }
}

/// A copy in which no object, however deep, has a null field; nulls that are list elements stay.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_examples_of_the_rfc_hold() {
        let cases = [
            ("replace", json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            ("add", json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            ("remove", json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            ("remove what is absent", json!({"a": "b"}), json!({"c": null}), json!({"a": "b"})),
            ("list replaced by scalar", json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            ("scalar replaced by list", json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                "nested",
                json!({"a": {"b": "c", "d": 1}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d", "d": 1}}),
            ),
            ("lists are replaced", json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            ("object over list", json!({"e": [1]}), json!({"e": {"a": 1}}), json!({"e": {"a": 1}})),
            (
                "nulls in a new object",
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
            (
                "nulls of objects in a list",
                json!({"a": [{"b": 1}]}),
                json!({"a": [{"b": null, "c": 2}, null]}),
                json!({"a": [{"c": 2}, null]}),
            ),
            ("list over object", json!({"a": {}}), json!({"a": [{"b": null}]}), json!({"a": [{"b": null}]})),
        ];
        for (name, current, patch, expected) in cases {
            assert_eq!(merge(&current, &patch).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn a_patch_that_is_no_object_is_refused() {
        assert_eq!(merge(&json!({}), &json!(null)).unwrap_err().code(), 400);
        assert_eq!(
            merge(&json!({}), &json!("x")).unwrap_err().to_string(),
            "error decoding patch: json: cannot unmarshal string into Go value of type map[string]interface {}"
        );
        assert_eq!(merge(&json!({}), &json!([1])).unwrap_err().code(), 400);
    }

    proptest! {
        #[test]
        fn merging_twice_changes_nothing_more(current in crate::apply::testing::object(), patch in crate::apply::testing::object()) {
            let once = merge(&current, &patch).unwrap();
            let twice = merge(&once, &patch).unwrap();
            prop_assert_eq!(without_nulls(&twice), without_nulls(&once));
        }
    }
}
