use super::*;
use crate::schema::structural_errors;
use serde_json::json;

/// A kind whose `spec` has a little of everything, with these rules on `spec`.
fn schema(rules: &Value) -> Value {
    json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "f": {"type": "number"},
            "s": {"type": "string"},
            "maybe": {"type": "string", "nullable": true},
            "port": {"x-kubernetes-int-or-string": true},
            "when": {"type": "string", "format": "date-time"},
            "every": {"type": "string", "format": "duration"},
            "list": {"type": "array", "items": {"type": "string"}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "named": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "v": {"type": "integer"}}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "opaque": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "in": {"type": "integer"},
            "a-b.c": {"type": "integer"},
        },
        "x-kubernetes-validations": rules,
    }}})
}

#[expect(clippy::needless_pass_by_value, reason = "literals read better without borrows")]
fn ask(rules: Value, new: Value, old: Option<Value>) -> Vec<String> {
    let document = schema(&rules);
    let problems: Vec<String> = structural_errors(&document, "s").iter().map(ToString::to_string).collect();
    assert_eq!(problems, [] as [&str; 0]);
    let schema = Schema::custom_resource(&document).unwrap();
    let wrap =
        |spec: Value| json!({"apiVersion": "e/v1", "kind": "E", "metadata": {"name": "e"}, "spec": spec});
    let findings = schema.ask_rules(&wrap(new), old.map(wrap).as_ref());
    findings.errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_holds(rule: &str, spec: Value) {
    assert_eq!(ask(json!([{"rule": rule}]), spec, None), [] as [&str; 0], "{rule}");
}

#[track_caller]
fn assert_fails(rule: &str, spec: Value) {
    let expected = format!("spec: Invalid value: \"object\": failed rule: {rule}");
    assert_eq!(ask(json!([{"rule": rule}]), spec, None), [expected], "{rule}");
}

#[test]
fn rules_see_values_as_their_schema_types_them() {
    let spec = || {
        json!({
            "n": 3, "f": 2, "s": "abc", "maybe": null, "port": "80%", "when": "2026-01-02T03:04:05Z", "every": "90s",
            "list": ["a", "b"], "set": ["x", "y"], "labels": {"k-1": "v"}, "in": 1, "a-b.c": 2,
            "named": [{"name": "one", "v": 1}, {"name": "two", "v": 2}], "opaque": {"x": 1},
        })
    };
    for rule in [
        "self.n == 3 && self.f == 2.0 && self.f > self.n - 2",
        "!has(self.maybe)",
        "has(self.s) && self.s.startsWith('a') && size(self.s) == 3",
        "type(self.port) == string && self.port.endsWith('%')",
        "type(self.port) == int ? self.port < 5 : int(self.port.replace('%', '')) > 5",
        "self.when > timestamp('2026-01-01T00:00:00Z') && self.when.getFullYear() == 2026",
        "self.every == duration('1m30s') && self.every.getSeconds() == 90",
        "self.list.all(x, x.size() == 1) && self.list.exists_one(x, x == 'a') && 'b' in self.list",
        "self.list.map(x, x + x) == ['aa', 'bb'] && self.list.filter(x, x > 'a').size() == 1",
        "self.set == ['y', 'x'] && ['y', 'x'] == self.set && self.set != ['x']",
        "(self.set + ['y', 'z']).size() == 3 && self.set[0] == 'x'",
        "self.named.exists(e, e.name == 'two' && e.v == 2) && self.named.map(e, e.v).sum() == 3",
        "self.labels['k-1'] == 'v' && self.labels.all(k, k.startsWith('k')) && !('z' in self.labels)",
        "self.__in__ == 1 && self.a__dash__b__dot__c == 2",
        "self.?s.orValue('') == 'abc' && !self.?maybe.hasValue() && self.labels[?'none'].orValue('d') == 'd'",
        "self.list.join(',') == 'a,b' && 'a,b'.split(',') == self.list && '%s-%d'.format(['x', 1]) == 'x-1'",
        "self.list.isSorted() && self.list.indexOf('b') == 1 && self.list.max() == 'b' && [3, 1].min() == 1",
        "sets.contains(self.list, ['a']) && sets.equivalent(self.set, ['y', 'x']) && !sets.intersects(self.list, ['q'])",
        "self.s.find('[bc]+') == 'bc' && self.s.matches('^a') && 'a1b2'.findAll('[0-9]') == ['1', '2']",
        "quantity('1Gi').isGreaterThan(quantity('500Mi')) && quantity('2').asInteger() == 2 && isQuantity('1m') && !isQuantity('x')",
        "quantity('1').add(1).sub(quantity('500m')).compareTo(quantity('1500m')) == 0 && quantity('-1').sign() == -1",
        "url('https://a.example:80/p?q=1').getHost() == 'a.example:80' && url('/x').getScheme() == '' && !isURL('x y')",
        "url('https://a.example/p?q=1').getQuery()['q'][0] == '1'",
        "ip('10.0.0.1').family() == 4 && isIP('::1') && cidr('10.0.0.0/8').containsIP('10.2.3.4') && !isCIDR('10.0.0.0/33')",
        "cidr('10.1.0.0/16').masked().prefixLength() == 16 && ip.isCanonical('::1') && string(ip('::1')) == '::1'",
        "!format.dns1123Label().validate('abc').hasValue() && format.dns1123Label().validate('A').value().size() == 1",
        "semver('1.10.0').isGreaterThan(semver('1.9.0')) && isSemver('1.0.0') && !isSemver('1.0') && semver('v1.2', true).minor() == 2",
        "[1, 2, 2].distinct().size() == 2 && [[1], [2]].flatten() == [1, 2] && ['b', 'a'].sort()[0] == 'a'",
        "1 < 1.5 && 2u > 1 && double(3) == 3.0 && string(1) == '1' && dyn(1) == 1.0",
        "(1 / 0 == 1) || true",
    ] {
        assert_holds(rule, spec());
    }
    assert_fails("self.n > 5", spec());
}

#[test]
fn what_goes_wrong_in_an_evaluation_is_told() {
    let spec = || json!({"list": [], "port": true, "labels": {}});
    let table = [
        ("self.s == 'x'", "no such key: s evaluating rule: self.s == 'x'"),
        ("self.list[0] == 'x'", "index out of bounds: 0 evaluating rule: self.list[0] == 'x'"),
        ("1 / size(self.list) == 1", "division by zero evaluating rule: 1 / size(self.list) == 1"),
        (
            "self.port < 5",
            "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self.port < 5",
        ),
    ];
    for (rule, expected) in table {
        let expected = format!("spec: Invalid value: \"object\": {expected}");
        assert_eq!(ask(json!([{"rule": rule}]), spec(), None), [expected], "{rule}");
    }
}

#[test]
fn messages_reasons_and_paths_are_the_authors() {
    let rules = json!([
        {"rule": "self.n > 5", "message": " too small "},
        {"rule": "self.n > 5", "messageExpression": "'got ' + string(self.n)", "reason": "FieldValueForbidden"},
        {"rule": "self.n > 5", "message": "m", "messageExpression": "self.s", "fieldPath": ".n", "reason": "FieldValueRequired"},
        {"rule": "self.n > 5", "reason": "FieldValueDuplicate", "fieldPath": ".labels['k']"},
    ]);
    assert_eq!(
        ask(rules, json!({"n": 1}), None),
        [
            "spec: Invalid value: \"object\": too small",
            "spec: Forbidden: got 1",
            "spec.n: Required value: m",
            "spec.labels[k]: Duplicate value: \"object\"",
        ]
    );
}

#[test]
fn transition_rules_ask_about_changes_only() {
    let rules = json!([{"rule": "self.n == oldSelf.n", "message": "immutable"}]);
    assert_eq!(ask(rules.clone(), json!({"n": 1}), None), [] as [&str; 0]);
    let changed = ask(rules, json!({"n": 2}), Some(json!({"n": 1})));
    assert_eq!(changed, ["spec: Invalid value: \"object\": immutable"]);
    let rules =
        json!([{"rule": "!oldSelf.hasValue() || self.n >= oldSelf.value().n", "optionalOldSelf": true}]);
    assert_eq!(ask(rules.clone(), json!({"n": 2}), None), [] as [&str; 0]);
    assert_eq!(ask(rules, json!({"n": 1}), Some(json!({"n": 2}))).len(), 1);
    let rules = json!([{"rule": "self.opaque == oldSelf.opaque && self.set == oldSelf.set"}]);
    let old = json!({"opaque": {"deep": [1]}, "set": ["a", "b"]});
    assert_eq!(
        ask(rules.clone(), json!({"opaque": {"deep": [1]}, "set": ["b", "a"]}), Some(old.clone())),
        [] as [&str; 0]
    );
    assert_eq!(ask(rules, json!({"opaque": {"deep": [2]}, "set": ["a", "b"]}), Some(old)).len(), 1);
}

#[test]
fn elements_of_list_maps_are_compared_with_what_they_were() {
    let document = json!({"type": "object", "properties": {"named": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "v": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v"}]},
    }}});
    assert!(structural_errors(&document, "s").is_empty());
    let schema = Schema::custom_resource(&document).unwrap();
    let old = json!({"named": [{"name": "a", "v": 1}, {"name": "b", "v": 5}]});
    let new = json!({"named": [{"name": "b", "v": 4}, {"name": "c", "v": 0}, {"name": "a", "v": 1}]});
    let errors: Vec<String> =
        schema.ask_rules(&new, Some(&old)).errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["named[0]: Invalid value: \"object\": failed rule: self.v >= oldSelf.v"]);
}

#[test]
fn a_value_that_an_update_leaves_alone_is_warned_about() {
    let document = schema(&json!([{"rule": "self.n > 5"}]));
    let schema = Schema::custom_resource(&document).unwrap();
    let old = json!({"spec": {"n": 1}});
    let findings = schema.ask_rules(&json!({"spec": {"n": 1}, "metadata": {}}), Some(&old));
    assert!(findings.errors.is_empty());
    assert_eq!(findings.warnings, ["spec: Invalid value: \"object\": failed rule: self.n > 5"]);
    assert_eq!(schema.ask_rules(&json!({"spec": {"n": 2}}), Some(&old)).errors.len(), 1);
}

#[test]
fn an_evaluation_that_costs_too_much_is_refused() {
    let list: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    for rule in [
        "self.list.all(a, self.list.all(b, self.list.all(c, true)))",
        "self.list.map(a, self.list.map(b, a + b)).size() > 0",
        "self.list.exists(a, self.list.exists(b, a == 'x' && b == 'y'))",
    ] {
        let errors = ask(json!([{"rule": rule}, {"rule": "false"}]), json!({"list": list}), None);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("actual cost limit exceeded"), "{errors:?}");
    }
}

#[test]
fn rules_that_make_no_sense_are_refused_where_they_stand() {
    let problem = |rule: Value| {
        let errors = structural_errors(&schema(&json!([rule])), "s");
        errors.iter().map(|error| (error.path.clone(), error.message.clone())).collect::<Vec<_>>()
    };
    let at = |field: &str| format!("s.properties[spec].x-kubernetes-validations[0].{field}");
    let table = [
        ("self.x", "1:5: undefined field 'x'\n | self.x\n | ....^"),
        (
            "self.n + 'a' == ''",
            "1:8: found no matching overload for '_+_' applied to '(int, string)'\n | self.n + 'a' == ''\n | .......^",
        ),
        (
            "self.list.all(x, x)",
            "1:18: expected type 'bool' but found 'string'\n | self.list.all(x, x)\n | .................^",
        ),
        ("nope(self)", "1:5: undeclared reference to 'nope' (in container '')\n | nope(self)\n | ....^"),
        (
            "self.s.contains(1)",
            "1:16: found no matching overload for 'contains' applied to 'string.(int)'\n | self.s.contains(1)\n | ...............^",
        ),
        (
            "self.s.matches('(')",
            "1:16: invalid matches argument\n | self.s.matches('(')\n | ...............^",
        ),
        (
            "[1, 'a'].size() > 0",
            "1:5: expected type 'int' but found 'string'\n | [1, 'a'].size() > 0\n | ....^",
        ),
        ("\n self.x", "2:6: undefined field 'x'\n |  self.x\n | .....^"),
        (
            "self.n.all(x, true)",
            "1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | self.n.all(x, true)\n | ....^",
        ),
        ("self.list.all(i, v, true)", "1:14: undeclared reference to 'all' (in container '')"),
    ];
    for (rule, expected) in table {
        let found = problem(json!({"rule": rule, "message": "m"}));
        assert_eq!(found[0].0, at("rule"), "{rule}: {found:?}");
        assert!(
            found[0].1.starts_with(&format!("compilation failed: ERROR: <input>:{expected}")),
            "{rule}: {found:?}"
        );
    }
    assert_eq!(
        problem(json!({"rule": "self.n"})),
        [(at("rule"), "cel expression must evaluate to a bool".to_owned())]
    );
    assert_eq!(problem(json!({"rule": " "})), [(at("rule"), "rule is not specified".to_owned())]);
    assert_eq!(
        problem(json!({"rule": "true", "messageExpression": "self.n"})),
        [(at("messageExpression"), "messageExpression must evaluate to a string".to_owned())]
    );
    assert_eq!(
        problem(json!({"rule": "true", "fieldPath": ".x"})),
        [(at("fieldPath"), "must be a valid path".to_owned())]
    );
    assert_eq!(
        problem(json!({"rule": "true", "optionalOldSelf": true})),
        [(at("optionalOldSelf"), "may not be set if oldSelf is not used in rule".to_owned())]
    );
}
