//! Writes in order, and what they leave: the object, and who owns what.

use serde_json::{Value, json};

use super::Op::{Apply, ApplyStatus, Force, Refused, Update, UpdateStatus};
use super::{Op, Script};

fn containers(containers: &Value) -> Value {
    json!({"spec": {"containers": containers}})
}

#[test]
fn writes_leave_objects_and_owners_as_a_kube_apiserver_does() {
    let a = |image: &str| json!({"name": "a", "image": image});
    let cases: Vec<(&str, Vec<Op>, Value, Vec<&str>)> = vec![
        (
            "an apply creates and owns leaves",
            vec![Apply("ann", json!({"metadata": {"labels": {"x": "1"}}, "spec": {"replicas": 1}}))],
            json!({"metadata": {"labels": {"x": "1"}}, "spec": {"replicas": 1}}),
            vec!["ann applies @1: .metadata.labels.x .spec.replicas"],
        ),
        (
            "an update owns leaves and the maps it made",
            vec![Update("ann", json!({"metadata": {"labels": {"x": "1"}}, "spec": {"replicas": 1}}))],
            json!({"metadata": {"labels": {"x": "1"}}, "spec": {"replicas": 1}}),
            vec!["ann updates @1: .spec .metadata.labels .metadata.labels.x .spec.replicas"],
        ),
        (
            "a field no longer applied goes",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1, "paused": true}})),
                Apply("ann", json!({"spec": {"paused": true}})),
            ],
            json!({"spec": {"paused": true}}),
            vec!["ann applies @2: .spec.paused"],
        ),
        (
            "a field no longer applied stays for another applier",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1, "paused": true}})),
                Apply("bob", json!({"spec": {"replicas": 1}})),
                Apply("ann", json!({"spec": {"paused": true}})),
            ],
            json!({"spec": {"paused": true, "replicas": 1}}),
            vec!["bob applies @never: .spec.replicas", "ann applies @1: .spec.paused"],
        ),
        (
            "a field no longer applied stays for an updater of the same value",
            vec![
                Update("ctl", json!({"spec": {"replicas": 1}})),
                Apply("ann", json!({"spec": {"replicas": 1, "paused": true}})),
                Apply("ann", json!({"spec": {"paused": true}})),
            ],
            json!({"spec": {"paused": true, "replicas": 1}}),
            vec!["ann applies @2: .spec.paused", "ctl updates @1: .spec .spec.replicas"],
        ),
        (
            "what nobody applied stays when its neighbours go",
            vec![
                Apply("ann", json!({"spec": {"strategy": {"type": "x"}}})),
                Update("ctl", json!({"spec": {"strategy": {"type": "x", "rollingUpdate": {"maxSurge": 1}}}})),
                Apply("ann", json!({"spec": {"paused": true}})),
            ],
            json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 1}}, "paused": true}}),
            vec![
                "ann applies @3: .spec.paused",
                "ctl updates @2: .spec.strategy.rollingUpdate .spec.strategy.rollingUpdate.maxSurge",
            ],
        ),
        (
            "a changed value of another manager is a conflict",
            vec![
                Update("kubectl-edit", json!({"spec": {"replicas": 1}})),
                Refused(
                    "ann",
                    json!({"spec": {"replicas": 2}}),
                    r#"Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .spec.replicas"#,
                ),
            ],
            json!({"spec": {"replicas": 1}}),
            vec!["kubectl-edit updates @1: .spec .spec.replicas"],
        ),
        (
            "the same value is shared without conflict",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1}})),
                Apply("bob", json!({"spec": {"replicas": 1}})),
            ],
            json!({"spec": {"replicas": 1}}),
            vec!["bob applies @never: .spec.replicas", "ann applies @1: .spec.replicas"],
        ),
        (
            "force takes fields, and an empty entry goes",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1}})),
                Apply("bob", json!({"spec": {"paused": false}})),
                Force("bob", json!({"spec": {"replicas": 2, "paused": true}})),
            ],
            json!({"spec": {"replicas": 2, "paused": true}}),
            vec!["bob applies @3: .spec.paused .spec.replicas"],
        ),
        (
            "several conflicts are listed by manager",
            vec![
                Apply("zoe", json!({"spec": {"paused": true}})),
                Update("ctl", json!({"spec": {"paused": true, "replicas": 1, "nodeName": "n"}})),
                Refused(
                    "ann",
                    json!({"spec": {"paused": false, "replicas": 2, "nodeName": "m"}}),
                    "Apply failed with 3 conflicts: conflicts with \"ctl\" using v1:\n- .spec.nodeName\n- .spec.replicas\nconflicts with \"zoe\":\n- .spec.paused",
                ),
            ],
            json!({"spec": {"paused": true, "replicas": 1, "nodeName": "n"}}),
            vec!["zoe applies @1: .spec.paused", "ctl updates @2: .spec.nodeName .spec.replicas"],
        ),
        (
            "an apply that changes nothing leaves the time",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1, "selector": {"x": "1"}}})),
                Apply("ann", json!({"spec": {"replicas": 1, "selector": {"x": "1"}}})),
            ],
            json!({"spec": {"replicas": 1, "selector": {"x": "1"}}}),
            vec!["ann applies @1: .spec.replicas .spec.selector"],
        ),
        (
            "an update that changes nothing leaves everything",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1}})),
                Update("ctl", json!({"spec": {"replicas": 1}})),
            ],
            json!({"spec": {"replicas": 1}}),
            vec!["ann applies @1: .spec.replicas"],
        ),
        (
            "an updater's entries of one version are one",
            vec![
                Update("ctl", json!({"spec": {"replicas": 1}})),
                Update("ctl", json!({"spec": {"replicas": 1, "paused": true}})),
                Update("ctl", json!({"spec": {"replicas": 2, "paused": true}})),
            ],
            json!({"spec": {"replicas": 2, "paused": true}}),
            vec!["ctl updates @3: .spec .spec.paused .spec.replicas"],
        ),
        (
            "one name applies and updates apart",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1}})),
                Update("ann", json!({"spec": {"replicas": 2}})),
            ],
            json!({"spec": {"replicas": 2}}),
            vec!["ann updates @2: .spec.replicas"],
        ),
        (
            "an update takes what it changes and removes",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1, "paused": true, "nodeName": "n"}})),
                Update("ctl", json!({"spec": {"replicas": 2, "paused": true}})),
            ],
            json!({"spec": {"replicas": 2, "paused": true}}),
            vec!["ann applies @1: .spec.paused", "ctl updates @2: .spec.replicas"],
        ),
        (
            "list elements merge by key",
            vec![
                Apply("ann", containers(&json!([a("1"), {"name": "b"}]))),
                Apply("bob", containers(&json!([{"name": "c"}, {"name": "a", "args": ["x"]}]))),
                Apply("ann", containers(&json!([a("2")]))),
            ],
            containers(&json!([{"name": "c"}, {"name": "a", "image": "2", "args": ["x"]}])),
            vec![
                r#"bob applies @2: .spec.containers[name="a"] .spec.containers[name="c"] .spec.containers[name="a"].args .spec.containers[name="a"].name .spec.containers[name="c"].name"#,
                r#"ann applies @3: .spec.containers[name="a"] .spec.containers[name="a"].image .spec.containers[name="a"].name"#,
            ],
        ),
        (
            "applied order wins, others keep their place",
            vec![
                Update(
                    "ctl",
                    containers(&json!([{"name": "a"}, {"name": "s"}, {"name": "b"}, {"name": "c"}])),
                ),
                Apply("ann", containers(&json!([{"name": "c"}, {"name": "n"}, {"name": "a"}]))),
            ],
            containers(&json!([{"name": "s"}, {"name": "b"}, {"name": "c"}, {"name": "n"}, {"name": "a"}])),
            vec![
                r#"ann applies @2: .spec.containers[name="a"] .spec.containers[name="c"] .spec.containers[name="n"] .spec.containers[name="a"].name .spec.containers[name="c"].name .spec.containers[name="n"].name"#,
                r#"ctl updates @1: .spec .spec.containers .spec.containers[name="a"] .spec.containers[name="b"] .spec.containers[name="c"] .spec.containers[name="s"] .spec.containers[name="a"].name .spec.containers[name="b"].name .spec.containers[name="c"].name .spec.containers[name="s"].name"#,
            ],
        ),
        (
            "a key left out counts with its default",
            vec![
                Apply("ann", containers(&json!([{"name": "a", "ports": [{"containerPort": 80}]}]))),
                Apply(
                    "bob",
                    containers(
                        &json!([{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "x"}, {"containerPort": 80, "protocol": "UDP"}]}]),
                    ),
                ),
            ],
            containers(
                &json!([{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "x"}, {"containerPort": 80, "protocol": "UDP"}]}]),
            ),
            vec![
                r#"ann applies @1: .spec.containers[name="a"] .spec.containers[name="a"].name .spec.containers[name="a"].ports[containerPort=80,protocol="TCP"] .spec.containers[name="a"].ports[containerPort=80,protocol="TCP"].containerPort"#,
                r#"bob applies @2: .spec.containers[name="a"] .spec.containers[name="a"].name .spec.containers[name="a"].ports[containerPort=80,protocol="TCP"] .spec.containers[name="a"].ports[containerPort=80,protocol="UDP"] .spec.containers[name="a"].ports[containerPort=80,protocol="TCP"].containerPort .spec.containers[name="a"].ports[containerPort=80,protocol="TCP"].name .spec.containers[name="a"].ports[containerPort=80,protocol="TCP"].protocol .spec.containers[name="a"].ports[containerPort=80,protocol="UDP"].containerPort .spec.containers[name="a"].ports[containerPort=80,protocol="UDP"].protocol"#,
            ],
        ),
        (
            "sets merge by value",
            vec![
                Apply("ann", json!({"metadata": {"finalizers": ["x", "y"]}})),
                Apply("bob", json!({"metadata": {"finalizers": ["y", "z"]}})),
                Apply("ann", json!({"metadata": {"finalizers": []}})),
            ],
            json!({"metadata": {"finalizers": ["y", "z"]}}),
            vec![r#"bob applies @2: .metadata.finalizers[="y"] .metadata.finalizers[="z"]"#],
        ),
        (
            "atomic lists and maps have one owner",
            vec![
                Apply("ann", json!({"spec": {"tolerations": [{"key": "a"}], "selector": {"x": "1"}}})),
                Refused(
                    "bob",
                    json!({"spec": {"tolerations": [{"key": "b"}], "selector": {"y": "1"}}}),
                    "Apply failed with 2 conflicts: conflicts with \"ann\":\n- .spec.selector\n- .spec.tolerations",
                ),
                Force("bob", json!({"spec": {"tolerations": [{"key": "b"}]}})),
            ],
            json!({"spec": {"tolerations": [{"key": "b"}], "selector": {"x": "1"}}}),
            vec!["ann applies @1: .spec.selector", "bob applies @3: .spec.tolerations"],
        ),
        (
            "elements may be atomic",
            vec![
                Apply("ann", json!({"metadata": {"ownerReferences": [{"uid": "1", "name": "x"}]}})),
                Apply("bob", json!({"metadata": {"ownerReferences": [{"uid": "2", "name": "y"}]}})),
                Refused(
                    "bob",
                    json!({"metadata": {"ownerReferences": [{"uid": "1", "name": "z"}]}}),
                    r#"Apply failed with 1 conflict: conflict with "ann": .metadata.ownerReferences[uid="1"]"#,
                ),
            ],
            json!({"metadata": {"ownerReferences": [{"uid": "1", "name": "x"}, {"uid": "2", "name": "y"}]}}),
            vec![
                r#"ann applies @1: .metadata.ownerReferences[uid="1"]"#,
                r#"bob applies @2: .metadata.ownerReferences[uid="2"]"#,
            ],
        ),
        (
            "unknown fields are granular maps and atomic lists",
            vec![
                Apply("ann", json!({"spec": {"template": {"spec": {"list": [1], "map": {"a": 1}}}}})),
                Apply("bob", json!({"spec": {"template": {"spec": {"map": {"b": {}}}}}})),
                Refused(
                    "bob",
                    json!({"spec": {"template": {"spec": {"list": [2]}}}}),
                    r#"Apply failed with 1 conflict: conflict with "ann": .spec.template.spec.list"#,
                ),
            ],
            json!({"spec": {"template": {"spec": {"list": [1], "map": {"a": 1, "b": {}}}}}}),
            vec![
                "ann applies @1: .spec.template.spec .spec.template.spec.list .spec.template.spec.map .spec.template.spec.map.a",
                "bob applies @2: .spec.template.spec .spec.template.spec.map .spec.template.spec.map.b",
            ],
        ),
        (
            "null and {} are owned and empty nothing",
            vec![
                Update("ctl", json!({"metadata": {"labels": {"x": "1"}}, "spec": {"paused": true}})),
                Apply("ann", json!({"metadata": {"labels": {}}, "spec": {"strategy": {}, "nodeName": null}})),
            ],
            json!({"metadata": {"labels": {"x": "1"}}, "spec": {"paused": true, "strategy": {}, "nodeName": null}}),
            vec![
                "ann applies @2: .metadata.labels .spec.nodeName .spec.strategy",
                "ctl updates @1: .spec .metadata.labels .metadata.labels.x .spec.paused",
            ],
        ),
        (
            "the main resource owns no status, the sub-resource no spec",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1}, "status": {"replicas": 9}})),
                UpdateStatus("ctl", json!({"spec": {"replicas": 7}, "status": {"replicas": 1}})),
            ],
            json!({"spec": {"replicas": 7}, "status": {"replicas": 1}}),
            vec!["ann applies @1: .spec.replicas", "ctl updates/status @2: .status.replicas"],
        ),
        (
            "conflicts name the sub-resource",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1}})),
                ApplyStatus("ctl", json!({"metadata": {"labels": {"x": "1"}}, "status": {"replicas": 1}})),
                Refused(
                    "ann",
                    json!({"metadata": {"labels": {"x": "2"}}, "spec": {"replicas": 1}}),
                    r#"Apply failed with 1 conflict: conflict with "ctl" with subresource "status": .metadata.labels.x"#,
                ),
            ],
            json!({"metadata": {"labels": {"x": "1"}}, "spec": {"replicas": 1}, "status": {"replicas": 1}}),
            vec![
                "ann applies @1: .spec.replicas",
                "ctl applies/status @2: .metadata.labels.x .status.replicas",
            ],
        ),
        (
            "an empty list of owners forgets them, and stays so",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1}})),
                Update("ctl", json!({"metadata": {"managedFields": []}, "spec": {"replicas": 1}})),
                Update("ctl", json!({"spec": {"replicas": 2}})),
            ],
            json!({"spec": {"replicas": 2}}),
            vec![],
        ),
        (
            "the first apply after that finds an owner of all there was",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1}})),
                Update("ctl", json!({"metadata": {"managedFields": [{}]}, "spec": {"replicas": 1}})),
                Refused(
                    "ann",
                    json!({"spec": {"replicas": 2}}),
                    r#"Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .spec.replicas"#,
                ),
                Apply("ann", json!({"spec": {"paused": true}})),
            ],
            json!({"spec": {"replicas": 1, "paused": true}}),
            vec!["ann applies @4: .spec.paused", "before-first-apply updates @4: .spec .spec.replicas"],
        ),
        (
            "owners can be edited",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1, "paused": true}})),
                Update(
                    "ctl",
                    json!({"metadata": {"managedFields": [{
                    "manager": "ann", "operation": "Apply", "apiVersion": "v1", "time": "1970-01-01T00:00:01Z",
                    "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:paused": {}}},
                }]}, "spec": {"replicas": 1, "paused": true}}),
                ),
                Apply("ann", json!({"spec": {"paused": true}})),
            ],
            json!({"spec": {"replicas": 1, "paused": true}}),
            vec!["ann applies @1: .spec.paused"],
        ),
        (
            "entries that cannot be read count as absent",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1}})),
                Update(
                    "ctl",
                    json!({"metadata": {"managedFields": [{"manager": "x", "operation": "Guess"}]}, "spec": {"replicas": 1}}),
                ),
            ],
            json!({"spec": {"replicas": 1}}),
            vec!["ann applies @1: .spec.replicas"],
        ),
        (
            "an object that does not fit keeps its owners",
            vec![
                Apply("ann", json!({"spec": {"replicas": 1}})),
                Update("ctl", json!({"spec": {"replicas": "many"}})),
            ],
            json!({"spec": {"replicas": "many"}}),
            vec!["ann applies @1: .spec.replicas"],
        ),
        (
            "elements that occur twice are owned as one",
            vec![
                Update("ctl", json!({"metadata": {"finalizers": ["x", "x", "y"]}})),
                Apply("ann", json!({"metadata": {"finalizers": ["z"]}})),
            ],
            json!({"metadata": {"finalizers": ["x", "x", "y", "z"]}}),
            vec![
                r#"ann applies @2: .metadata.finalizers[="z"]"#,
                r#"ctl updates @1: .metadata.finalizers .metadata.finalizers[="x"] .metadata.finalizers[="y"]"#,
            ],
        ),
        (
            "whole numbers are the same however written",
            vec![Apply("ann", json!({"spec": {"ratio": 1}})), Apply("bob", json!({"spec": {"ratio": 1.0}}))],
            json!({"spec": {"ratio": 1.0}}),
            vec!["bob applies @never: .spec.ratio", "ann applies @1: .spec.ratio"],
        ),
    ];
    for (name, ops, object, owners) in cases {
        let mut script = Script::new();
        for op in &ops {
            script.run(op);
        }
        assert_eq!(script.object(), object, "{name}");
        assert_eq!(script.owners(), owners, "{name}");
    }
}
