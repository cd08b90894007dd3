//! What is wrong with the rules of a definition.

use serde_json::{Map, Value};

use super::rule::Rule;
use crate::schema::field_error::go_json;
use crate::schema::{Additional, ErrorKind, FieldError, Schema};

const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What is wrong with the rules at any place of a schema that is otherwise in order; `path` is where the schema stands.
///
/// How a rule is written is told before what it means: no rule is compiled while any is badly written.
pub(in crate::schema) fn rule_errors(document: &Value, schema: &Schema, path: &str) -> Vec<FieldError> {
    let (mut written, mut meant) = (Vec::new(), Vec::new());
    walk(document, schema, path, None, &mut |rules, node, path, uncorrelated| {
        for (index, rule) in rules.iter().enumerate() {
            let at = format!("{path}.x-kubernetes-validations[{index}]");
            how_written(rule, node, &at, &mut written);
            if let Some(compiled) = node.compiled.get(index) {
                what_meant(rule, compiled, &at, uncorrelated, &mut meant);
            }
        }
    });
    if written.is_empty() { meant } else { written }
}

type Visit<'a> = dyn FnMut(&[Value], &Schema, &str, Option<&str>) + 'a;

/// Visits every node with rules. `uncorrelated` is the list whose elements cannot be told apart, where there is one above.
fn walk(document: &Value, schema: &Schema, path: &str, uncorrelated: Option<&str>, visit: &mut Visit<'_>) {
    if !schema.has_rules {
        return;
    }
    let Some(map) = document.as_object() else { return };
    if let Some(rules) = map.get("x-kubernetes-validations").and_then(Value::as_array) {
        visit(rules, schema, path, uncorrelated);
    }
    for (name, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let Some(child) = schema.properties.get(name) {
            walk(property, child, &format!("{path}.properties[{name}]"), uncorrelated, visit);
        }
    }
    if let (Some(document), Additional::Schema(values)) =
        (map.get("additionalProperties"), &schema.additional)
    {
        walk(document, values, &format!("{path}.additionalProperties"), uncorrelated, visit);
    }
    if let (Some(document), Some(items)) = (map.get("items"), &schema.items) {
        let keyed = map.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("map");
        let uncorrelated = uncorrelated.or((!keyed).then_some(path));
        walk(document, items, &format!("{path}.items"), uncorrelated, visit);
    }
}

fn how_written(rule: &Value, schema: &Schema, at: &str, errors: &mut Vec<FieldError>) {
    let text = |key: &str| rule[key].as_str().unwrap_or_default();
    let breaks = |text: &str| text.contains(['\n', '\r']);
    let (source, message) = (text("rule"), text("message"));
    let trimmed = message.trim();
    if source.trim().is_empty() {
        errors.push(FieldError::required(format!("{at}.rule"), "rule is not specified"));
    } else if !message.is_empty() && trimmed.is_empty() {
        errors.push(FieldError::invalid(format!("{at}.message"), message, "must be non-empty if specified"));
    } else if breaks(trimmed) {
        errors.push(FieldError::invalid(format!("{at}.message"), message, "must not contain line breaks"));
    } else if breaks(source.trim()) && trimmed.is_empty() {
        let problem = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(format!("{at}.message"), problem));
    }
    let expression = text("messageExpression");
    if !expression.is_empty() && expression.trim().is_empty() {
        let problem = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(format!("{at}.messageExpression"), problem));
    }
    if let Some(reason) = rule["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(format!("{at}.reason"), reason, REASONS));
    }
    let field_path = text("fieldPath");
    let mut wrong_path =
        |problem: &str| errors.push(FieldError::invalid(format!("{at}.fieldPath"), field_path, problem));
    if !field_path.is_empty() && field_path.trim().is_empty() {
        wrong_path("must be non-empty if specified");
    }
    if breaks(field_path) {
        wrong_path("must not contain line breaks");
    }
    if !field_path.is_empty() && super::field_path(field_path, schema).is_err() {
        wrong_path("must be a valid path");
    }
}

fn what_meant(
    rule: &Value,
    compiled: &Rule,
    at: &str,
    uncorrelated: Option<&str>,
    errors: &mut Vec<FieldError>,
) {
    let whole = |field: &str, problem: &str| {
        FieldError::new(format!("{at}.{field}"), ErrorKind::Invalid, problem, None).showing(shown(rule))
    };
    errors.extend(compiled.compile_error().map(|problem| whole("rule", problem)));
    errors.extend(compiled.message_error().map(|problem| whole("messageExpression", problem)));
    if compiled.compile_error().is_some() {
        // What was not understood mentions nothing.
        if let Some(flag) = compiled.optional_old {
            errors.push(unused_old(at, flag));
        }
        return;
    }
    if !compiled.uses_old() {
        errors.extend(compiled.optional_old.map(|flag| unused_old(at, flag)));
    } else if let Some(list) = uncorrelated {
        let problem =
            format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
        let source = rule["rule"].as_str().unwrap_or_default();
        errors.push(FieldError::invalid(format!("{at}.rule"), source, problem));
    }
}

fn unused_old(at: &str, flag: bool) -> FieldError {
    let problem = "may not be set if oldSelf is not used in rule";
    FieldError::invalid(format!("{at}.optionalOldSelf"), flag, problem)
}

/// A rule as an API server prints it in errors: its own names for the fields, in its own order.
fn shown(rule: &Value) -> String {
    let empty = Map::new();
    let map = rule.as_object().unwrap_or(&empty);
    let field = |name: &str, key: &str, absent: Value| {
        format!("{:?}:{}", name, go_json(map.get(key).unwrap_or(&absent)))
    };
    let parts = [
        field("Rule", "rule", "".into()),
        field("Message", "message", "".into()),
        field("MessageExpression", "messageExpression", "".into()),
        field("Reason", "reason", Value::Null),
        field("FieldPath", "fieldPath", "".into()),
        field("OptionalOldSelf", "optionalOldSelf", Value::Null),
    ];
    format!("{{{}}}", parts.join(","))
}
