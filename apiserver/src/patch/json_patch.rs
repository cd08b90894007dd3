//! JSON patch (RFC 6902), with the leniencies that clients of Kubernetes have come to rely on.
//!
//! The crate `json-patch` follows the RFC to the letter. A kube-apiserver does not: `replace` sets a field
//! that is absent, `copy` of an absent field gives null, indices may be negative, and an unknown operation
//! is an error of applying (422) rather than of reading (400).

use serde_json::{Map, Value};

use super::{PatchError, go_format};

/// The most operations one patch may have.
pub const MAX_OPERATIONS: usize = 10_000;

/// The most bytes of JSON that the `copy` operations of one patch may add up to.
pub const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// The object with a JSON patch (the text of a list of operations) applied: all of it or nothing.
pub fn json(current: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let malformed = |problem: String| PatchError::Malformed(format!("error decoding patch: {problem}"));
    let operations: Value =
        serde_json::from_slice(patch).map_err(|error| malformed(go_format::json_error(&error)))?;
    let operations = match operations {
        Value::Null => Vec::new(),
        Value::Array(operations) => operations,
        other => return Err(malformed(go_format::cannot_unmarshal(&other, "[]handlers.jsonPatchOp"))),
    };
    let operations = operations.into_iter().map(|operation| match operation {
        Value::Object(operation) => Ok(operation),
        other => Err(malformed(go_format::cannot_unmarshal(&other, "handlers.jsonPatchOp"))),
    });
    let operations: Vec<Map<String, Value>> = operations.collect::<Result<_, _>>()?;
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations(operations.len()));
    }
    let mut document = current.clone();
    let mut copied = 0;
    for operation in &operations {
        Operation(operation).apply(&mut document, &mut copied).map_err(PatchError::DoesNotApply)?;
    }
    if !document.is_object() {
        let problem = "json: cannot unmarshal array into Go value of type map[string]interface {}".to_owned();
        return Err(PatchError::NotAnObject { document: document.to_string(), problem });
    }
    Ok(document)
}

/// One step of a patch.
struct Operation<'a>(&'a Map<String, Value>);

impl Operation<'_> {
    fn apply(&self, document: &mut Value, copied: &mut usize) -> Result<(), String> {
        match self.0.get("op").and_then(Value::as_str).unwrap_or("unknown") {
            "add" => self.add(document),
            "remove" => self.remove(document),
            "replace" => self.replace(document),
            "move" => self.rename(document),
            "copy" => self.copy(document, copied),
            "test" => self.test(document),
            kind => Err(format!("Unexpected kind: {kind}")),
        }
    }

    fn pointer(&self, field: &str, kind: &str) -> Result<&str, String> {
        self.0
            .get(field)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("{kind} operation failed to decode {field}: missing value"))
    }

    fn value(&self) -> Value {
        self.0.get("value").cloned().unwrap_or(Value::Null)
    }

    fn add(&self, document: &mut Value) -> Result<(), String> {
        let path = self.pointer("path", "add")?;
        let (mut parent, key) = find(document, path).ok_or_else(|| {
            format!("add operation does not apply: doc is missing path: \"{path}\": missing value")
        })?;
        parent.insert(key, self.value()).map_err(|e| format!("error in add for path: '{path}': {e}"))
    }

    fn remove(&self, document: &mut Value) -> Result<(), String> {
        let path = self.pointer("path", "remove")?;
        let (mut parent, key) = find(document, path).ok_or_else(|| {
            format!("remove operation does not apply: doc is missing path: \"{path}\": missing value")
        })?;
        parent.take(&key).map(drop).map_err(|e| format!("error in remove for path: '{path}': {e}"))
    }

    fn replace(&self, document: &mut Value) -> Result<(), String> {
        let path = self.pointer("path", "replace")?;
        if path.is_empty() {
            let value = self.value();
            if !value.is_object() && !value.is_array() {
                return Err("replace operation value must be object or array".to_owned());
            }
            *document = value;
            return Ok(());
        }
        let (mut parent, key) = find(document, path).ok_or_else(|| {
            format!("replace operation does not apply: doc is missing path: {path}: missing value")
        })?;
        parent.set(key, self.value()).map_err(|_| {
            format!("replace operation does not apply: doc is missing key: {path}: missing value")
        })
    }

    fn rename(&self, document: &mut Value) -> Result<(), String> {
        let from = self.pointer("from", "move")?;
        let (mut parent, key) = find(document, from).ok_or_else(|| {
            format!("move operation does not apply: doc is missing from path: {from}: missing value")
        })?;
        let value = parent.take(&key).map_err(|e| format!("error in move for path: '{key}': {e}"))?;
        let path = self.pointer("path", "move")?;
        let (mut parent, key) = find(document, path).ok_or_else(|| {
            format!("move operation does not apply: doc is missing destination path: {path}: missing value")
        })?;
        parent.insert(key, value).map_err(|e| format!("error in move for path: '{path}': {e}"))
    }

    fn copy(&self, document: &mut Value, copied: &mut usize) -> Result<(), String> {
        let from = self.pointer("from", "copy")?;
        let (parent, key) = find(document, from).ok_or_else(|| {
            format!("copy operation does not apply: doc is missing from path: {from}: missing value")
        })?;
        let value = parent
            .get(&key)
            .map_err(|e| format!("error in copy for from: '{from}': {e}"))?
            .cloned()
            .unwrap_or(Value::Null);
        *copied += value.to_string().len();
        if *copied > MAX_COPIED_BYTES {
            return Err(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding \
                 the limit {MAX_COPIED_BYTES}"
            ));
        }
        let path = self.pointer("path", "copy")?;
        let (mut parent, key) = find(document, path).ok_or_else(|| {
            format!("copy operation does not apply: doc is missing destination path: {path}: missing value")
        })?;
        parent.insert(key, value).map_err(|e| format!("error while adding value during copy: {e}"))
    }

    fn test(&self, document: &mut Value) -> Result<(), String> {
        let path = self.pointer("path", "test")?;
        let expected = self.value();
        let holds = if path.is_empty() {
            *document == expected
        } else {
            let (parent, key) = find(document, path).ok_or_else(|| {
                format!("test operation does not apply: is missing path: {path}: missing value")
            })?;
            let actual = parent.get(&key).map_err(|e| format!("error in test for path: '{path}': {e}"))?;
            *actual.unwrap_or(&Value::Null) == expected
        };
        if holds { Ok(()) } else { Err(format!("testing value {path} failed: test failed")) }
    }
}

/// The object or list that a pointer's last step selects from.
enum Container<'a> {
    Object(&'a mut Map<String, Value>),
    List(&'a mut Vec<Value>),
}

impl Container<'_> {
    /// The value at `key`; none where an object has no such field.
    fn get(&self, key: &str) -> Result<Option<&Value>, String> {
        match self {
            Self::Object(fields) => Ok(fields.get(key)),
            Self::List(items) => existing_index(key, items.len()).map(|index| items.get(index)),
        }
    }

    /// Removes and returns the value at `key`.
    fn take(&mut self, key: &str) -> Result<Value, String> {
        match self {
            Self::Object(fields) => fields
                .remove(key)
                .ok_or_else(|| format!("Unable to remove nonexistent key: {key}: missing value")),
            Self::List(items) => existing_index(key, items.len()).map(|index| items.remove(index)),
        }
    }

    /// Overwrites the value at `key`: a field whether present or not, an element that exists.
    fn set(&mut self, key: String, value: Value) -> Result<(), String> {
        match self {
            Self::Object(fields) => {
                fields.insert(key, value);
            }
            Self::List(items) => {
                let index = existing_index(&key, items.len())?;
                items[index] = value;
            }
        }
        Ok(())
    }

    /// Sets a field, or inserts an element before the one at `key` (`-` is the end).
    fn insert(&mut self, key: String, value: Value) -> Result<(), String> {
        match self {
            Self::Object(fields) => {
                fields.insert(key, value);
            }
            Self::List(items) if key == "-" => items.push(value),
            Self::List(items) => {
                let index = parse_index(&key).ok_or_else(|| {
                    format!("value was not a proper array index: '{key}': {}", no_number(&key))
                })?;
                let position = resolve(index, items.len() + 1).ok_or_else(|| invalid_index(index))?;
                items.insert(position, value);
            }
        }
        Ok(())
    }
}

/// The container a pointer leads into, and the unescaped last step. `None` where a step is absent, null or
/// a scalar, and for a pointer without any slash.
fn find<'a>(document: &'a mut Value, pointer: &str) -> Option<(Container<'a>, String)> {
    let (_, steps) = pointer.split_once('/')?;
    let (parents, last) =
        steps.rsplit_once('/').map_or((None, steps), |(parents, last)| (Some(parents), last));
    let mut value = document;
    for step in parents.into_iter().flat_map(|parents| parents.split('/')) {
        let step = unescape(step);
        value = match value {
            Value::Object(fields) => fields.get_mut(&step)?,
            Value::Array(items) => {
                let index = existing_index(&step, items.len()).ok()?;
                items.get_mut(index)?
            }
            _ => return None,
        };
    }
    let container = match value {
        Value::Object(fields) => Container::Object(fields),
        Value::Array(items) => Container::List(items),
        _ => return None,
    };
    Some((container, unescape(last)))
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn existing_index(key: &str, len: usize) -> Result<usize, String> {
    let index = parse_index(key).ok_or_else(|| no_number(key))?;
    resolve(index, len).ok_or_else(|| invalid_index(index))
}

fn no_number(key: &str) -> String {
    format!("strconv.Atoi: parsing {key:?}: invalid syntax")
}

fn invalid_index(index: i64) -> String {
    format!("Unable to access invalid index: {index}: invalid index referenced")
}

fn parse_index(key: &str) -> Option<i64> {
    key.parse().ok()
}

/// The position an index names in a list of `len`; negative ones count from the end.
fn resolve(index: i64, len: usize) -> Option<usize> {
    let position = if index < 0 {
        len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(index).ok()?
    };
    (position < len).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn patch(current: &Value, operations: &Value) -> Result<Value, PatchError> {
        json(current, operations.to_string().as_bytes())
    }

    #[test]
    fn operations_do_what_a_kube_apiserver_does() {
        let pod = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [1, 2, 3]}});
        let cases = [
            (
                "add a field",
                json!([{"op": "add", "path": "/metadata/labels/b", "value": "2"}]),
                json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"list": [1, 2, 3]}}),
            ),
            (
                "add replaces",
                json!([{"op": "add", "path": "/metadata/labels/a", "value": "2"}]),
                json!({"metadata": {"labels": {"a": "2"}}, "spec": {"list": [1, 2, 3]}}),
            ),
            (
                "escaped key",
                json!([{"op": "add", "path": "/metadata/labels/x~1y~0z", "value": "2"}]),
                json!({"metadata": {"labels": {"a": "1", "x/y~z": "2"}}, "spec": {"list": [1, 2, 3]}}),
            ),
            (
                "insert in a list",
                json!([{"op": "add", "path": "/spec/list/1", "value": 9}]),
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [1, 9, 2, 3]}}),
            ),
            (
                "append",
                json!([{"op": "add", "path": "/spec/list/-", "value": 9}]),
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [1, 2, 3, 9]}}),
            ),
            (
                "append at the length",
                json!([{"op": "add", "path": "/spec/list/3", "value": 9}]),
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [1, 2, 3, 9]}}),
            ),
            (
                "negative index",
                json!([{"op": "remove", "path": "/spec/list/-1"}]),
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [1, 2]}}),
            ),
            (
                "remove from a list",
                json!([{"op": "remove", "path": "/spec/list/0"}]),
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [2, 3]}}),
            ),
            (
                "replace",
                json!([{"op": "replace", "path": "/spec/list", "value": []}]),
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": []}}),
            ),
            (
                "replace sets an absent field",
                json!([{"op": "replace", "path": "/spec/x", "value": 1}]),
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [1, 2, 3], "x": 1}}),
            ),
            ("replace everything", json!([{"op": "replace", "path": "", "value": {}}]), json!({})),
            (
                "move",
                json!([{"op": "move", "from": "/spec/list", "path": "/x"}]),
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {}, "x": [1, 2, 3]}),
            ),
            (
                "move within a list",
                json!([{"op": "move", "from": "/spec/list/0", "path": "/spec/list/-"}]),
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [2, 3, 1]}}),
            ),
            (
                "copy",
                json!([{"op": "copy", "from": "/metadata/labels", "path": "/x"}]),
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [1, 2, 3]}, "x": {"a": "1"}}),
            ),
            (
                "copy of nothing is null",
                json!([{"op": "copy", "from": "/nothing", "path": "/x"}]),
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {"list": [1, 2, 3]}, "x": null}),
            ),
            (
                "tests that hold",
                json!([{"op": "test", "path": "/spec/list/2", "value": 3}, {"op": "test", "path": "/absent", "value": null}]),
                pod.clone(),
            ),
            ("nothing", json!([]), pod.clone()),
        ];
        for (name, operations, expected) in cases {
            assert_eq!(patch(&pod, &operations).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn failures_name_operation_and_path() {
        let pod = json!({"spec": {"list": [1]}, "null": null});
        let cases = [
            (
                json!([{"op": "add", "path": "/no/where", "value": 1}]),
                "add operation does not apply: doc is missing path: \"/no/where\": missing value",
            ),
            (
                json!([{"op": "add", "path": "/null/x", "value": 1}]),
                "add operation does not apply: doc is missing path: \"/null/x\": missing value",
            ),
            (
                json!([{"op": "add", "path": "noslash", "value": 1}]),
                "add operation does not apply: doc is missing path: \"noslash\": missing value",
            ),
            (
                json!([{"op": "add", "path": "/spec/list/7", "value": 1}]),
                "error in add for path: '/spec/list/7': Unable to access invalid index: 7: invalid index referenced",
            ),
            (
                json!([{"op": "remove", "path": "/spec/x"}]),
                "error in remove for path: '/spec/x': Unable to remove nonexistent key: x: missing value",
            ),
            (
                json!([{"op": "replace", "path": "/x/y", "value": 1}]),
                "replace operation does not apply: doc is missing path: /x/y: missing value",
            ),
            (
                json!([{"op": "replace", "path": "/spec/list/1", "value": 1}]),
                "replace operation does not apply: doc is missing key: /spec/list/1: missing value",
            ),
            (
                json!([{"op": "test", "path": "/spec/list/0", "value": 2}]),
                "testing value /spec/list/0 failed: test failed",
            ),
            (
                json!([{"op": "move", "from": "/spec/x", "path": "/y"}]),
                "error in move for path: 'x': Unable to remove nonexistent key: x: missing value",
            ),
            (json!([{"op": "frobnicate", "path": "/x"}]), "Unexpected kind: frobnicate"),
            (json!([{"op": "add", "value": 1}]), "add operation failed to decode path: missing value"),
            (
                json!([{"op": "replace", "path": "", "value": 3}]),
                "replace operation value must be object or array",
            ),
        ];
        for (operations, expected) in cases {
            let error = patch(&pod, &operations).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert_eq!((error.code(), error.reason()), (422, "Invalid"), "{expected}");
            assert_eq!(error.message(), "the server rejected our request due to an error in our request");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_patch_that_cannot_be_read_is_a_bad_request() {
        for text in ["{}", "[1]", "nonsense"] {
            let error = json(&json!({}), text.as_bytes()).unwrap_err();
            assert_eq!((error.code(), error.reason()), (400, "BadRequest"), "{text}");
            assert!(error.message().starts_with("error decoding patch: "), "{text}");
        }
    }

    #[test]
    fn an_object_turned_into_a_list_is_refused() {
        let error = patch(&json!({}), &json!([{"op": "replace", "path": "", "value": [1]}])).unwrap_err();
        assert_eq!(error.code(), 422);
        assert_eq!(
            error.to_string(),
            "patch: Invalid value: \"[1]\": json: cannot unmarshal array into Go value of type map[string]interface {}"
        );
    }

    #[test]
    fn operations_and_copies_are_bounded() {
        let operations =
            Value::Array(vec![json!({"op": "test", "path": "/a", "value": null}); MAX_OPERATIONS + 1]);
        let error = patch(&json!({}), &operations).unwrap_err();
        assert_eq!(error.code(), 413);
        assert_eq!(
            error.message(),
            "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
        );

        // Each copy doubles the document: without a bound thirty operations would fill the memory.
        let doubling = Value::Array(vec![json!({"op": "copy", "from": "/a", "path": "/a/x"}); 40]);
        let doubling = doubling
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(i, _)| json!({"op": "copy", "from": "/a", "path": format!("/a/x{i}")}))
            .collect();
        let error = patch(&json!({"a": {"text": "x".repeat(100)}}), &Value::Array(doubling)).unwrap_err();
        assert!(error.to_string().starts_with("Unable to complete the copy"), "{error}");
    }

    proptest! {
        #[test]
        fn any_patch_gives_an_answer(current in crate::apply::testing::object(), patch in crate::apply::testing::json_patch()) {
            let _ = json(&current, patch.to_string().as_bytes());
        }
    }
}
