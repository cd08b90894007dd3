//! What patches do, and what they refuse.

use super::*;
use crate::apply::testing::{object, pod_schema};
use proptest::prelude::*;
use serde_json::json;

fn spec(containers: &Value) -> Value {
    json!({"spec": {"containers": containers}})
}

fn finalizers(values: &Value) -> Value {
    json!({"metadata": {"finalizers": values}})
}

#[test]
fn patches_do_what_a_kube_apiserver_does() {
    let (a, b, c) = (json!({"name": "a", "image": "1"}), json!({"name": "b"}), json!({"name": "c"}));
    let cases = [
        (
            "maps merge and null removes",
            json!({"metadata": {"labels": {"x": "1", "y": "2"}}}),
            json!({"metadata": {"labels": {"y": null, "z": null, "w": "3"}}}),
            json!({"metadata": {"labels": {"x": "1", "w": "3"}}}),
        ),
        (
            "elements merge by key",
            spec(&json!([a, b])),
            spec(&json!([{"name": "a", "args": ["x"]}])),
            spec(&json!([{"name": "a", "image": "1", "args": ["x"]}, b])),
        ),
        ("new elements go last", spec(&json!([a])), spec(&json!([c])), spec(&json!([c, a]))),
        (
            "a null field in an element",
            spec(&json!([a])),
            spec(&json!([{"name": "a", "image": null}])),
            spec(&json!([{"name": "a"}])),
        ),
        (
            "delete an element",
            spec(&json!([a, b])),
            spec(&json!([{"name": "a", "$patch": "delete"}])),
            spec(&json!([b])),
        ),
        (
            "delete all of a key",
            spec(&json!([a, b, a])),
            spec(&json!([{"name": "a", "$patch": "delete"}])),
            spec(&json!([b])),
        ),
        (
            "replace a list",
            spec(&json!([a, b])),
            spec(&json!([{"$patch": "replace"}, c, a])),
            spec(&json!([c, a])),
        ),
        (
            "replace an object",
            json!({"spec": {"strategy": {"type": "a", "rollingUpdate": {}}}}),
            json!({"spec": {"strategy": {"$patch": "replace", "type": "b"}}}),
            json!({"spec": {"strategy": {"type": "b"}}}),
        ),
        (
            "delete an object",
            json!({"spec": {"strategy": {"type": "a"}, "paused": true}}),
            json!({"spec": {"strategy": {"$patch": "delete"}}}),
            json!({"spec": {"strategy": {}, "paused": true}}),
        ),
        (
            "directives about nothing",
            json!({}),
            json!({"spec": {"strategy": {"$patch": "delete"}, "containers": [{"name": "a", "$patch": "delete"}, b]}}),
            spec(&json!([b])),
        ),
        (
            "atomic lists are replaced",
            json!({"spec": {"tolerations": [{"key": "a"}]}}),
            json!({"spec": {"tolerations": [{"key": "b"}]}}),
            json!({"spec": {"tolerations": [{"key": "b"}]}}),
        ),
        (
            "sets grow",
            finalizers(&json!(["a", "b"])),
            finalizers(&json!(["c", "a"])),
            finalizers(&json!(["c", "a", "b"])),
        ),
        (
            "sets shrink",
            finalizers(&json!(["a", "b", "c"])),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "c", "x"]}}),
            finalizers(&json!(["b"])),
        ),
        (
            "shrinking nothing",
            json!({"metadata": {}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
            json!({"metadata": {}}),
        ),
        (
            "order alone",
            spec(&json!([a, b, c])),
            json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}}),
            spec(&json!([b, c, a])),
        ),
        (
            "order with a new element",
            spec(&json!([a, b])),
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}], "containers": [c]}}),
            spec(&json!([b, c, a])),
        ),
        (
            "what only the server has keeps its place",
            spec(&json!([a, b, c])),
            json!({"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "c"}]}}),
            spec(&json!([a, b, c])),
        ),
        (
            "order of a set",
            finalizers(&json!(["a", "b"])),
            json!({"metadata": {"$setElementOrder/finalizers": ["b", "a", "c"], "finalizers": ["c"]}}),
            finalizers(&json!(["b", "a", "c"])),
        ),
        (
            "order of a new list",
            json!({}),
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [b, a]}}),
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [b, a]}}),
        ),
        (
            "retained keys",
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
        ),
        (
            "nulls in what is new",
            json!({}),
            json!({"spec": {"paused": null, "strategy": {"type": null, "rollingUpdate": {}}}}),
            json!({"spec": {"strategy": {"rollingUpdate": {}}}}),
        ),
        (
            "nested merge keys",
            spec(
                &json!([{"name": "a", "ports": [{"containerPort": 80, "name": "x"}, {"containerPort": 81}]}]),
            ),
            spec(&json!([{"name": "a", "ports": [{"containerPort": 80, "name": "y"}]}])),
            spec(
                &json!([{"name": "a", "ports": [{"containerPort": 80, "name": "y"}, {"containerPort": 81}]}]),
            ),
        ),
        (
            "another type replaces",
            spec(&json!([a])),
            spec(&json!({"name": "b"})),
            spec(&json!({"name": "b"})),
        ),
    ];
    let schema = pod_schema();
    for (name, current, patch, expected) in cases {
        assert_eq!(strategic(&current, &patch, &schema).unwrap(), expected, "{name}");
    }
}

#[test]
fn contradictions_are_errors() {
    let cases = [
        (
            json!({"spec": {"containers": [{"image": "x"}]}}),
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"containers": [{"$patch": "delete"}]}}),
            500,
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        (
            json!({"spec": {"containers": [{"$patch": "explode"}]}}),
            500,
            "unknown patch type: explode in map: map[$patch:explode]",
        ),
        (
            json!({"spec": {"$patch": "explode", "a": 1}}),
            500,
            "unknown patch type: explode in map: map[$patch:explode a:1]",
        ),
        (
            json!({"spec": {"containers": [["a"]]}}),
            500,
            "list element types are not identical: map[string]interface {}, []interface {}",
        ),
        (json!({"metadata": {"finalizers": [[1]]}}), 422, "lists of lists are not supported"),
        (json!({"spec": {"strategy": {"$retainKeys": "type"}}}), 400, "invalid patch format of retainKeys"),
        (
            json!({"spec": {"strategy": {"$retainKeys": [], "type": "x"}}}),
            400,
            "invalid patch format of retainKeys",
        ),
        (
            json!({"metadata": {"$deleteFromPrimitiveList": ["a"]}}),
            400,
            "invalid patch format of primitive list",
        ),
        (
            json!({"metadata": {"$setElementOrder": ["a"]}}),
            400,
            "invalid patch format of setElementOrder list",
        ),
        (
            json!({"spec": {"$setElementOrder/containers": {}}}),
            500,
            "expected a []interface {}, but received a map[string]interface {}",
        ),
        (
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a"}, {"name": "b"}]}}),
            500,
            "The order in patch list:\n[map[name:a] map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:b] map[name:a]]\n",
        ),
    ];
    let current = json!({"metadata": {"finalizers": []}, "spec": {"containers": [{"name": "a"}], "strategy": {"type": "a"}}});
    let schema = pod_schema();
    for (patch, code, expected) in cases {
        let error = strategic(&current, &patch, &schema).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.code()), (expected, code));
    }
    assert_eq!(strategic(&current, &json!([]), &schema).unwrap_err().code(), 400);
}

proptest! {
    #[test]
    fn any_patch_gives_an_answer(current in object(), patch in object()) {
        let _ = strategic(&current, &patch, &pod_schema());
    }
}
