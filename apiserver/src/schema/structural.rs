//! Whether a schema is structural: what a CustomResourceDefinition must hold to be served.
//!
//! A structural schema says at every place what type stands there, and uses `allOf`, `anyOf`, `oneOf` and
//! `not` only to restrict values: without that neither pruning nor merging has a meaning.

mod lists;

use regex::Regex;
use serde_json::{Map, Value};

use super::{FieldError, Schema, SchemaError};

/// Keywords of JSON Schema that a definition may not use.
const UNSUPPORTED: &[&str] =
    &["$ref", "additionalItems", "definitions", "dependencies", "id", "patternProperties"];
/// What stands for nothing but a type or text, and is refused where only values are restricted.
const FORBIDDEN_IN_NESTED: &[(&str, &str)] = &[
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];
const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// Where a schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What keeps a schema from being served; `path` is where it stands, such as
/// `spec.versions[0].schema.openAPIV3Schema`.
pub fn structural_errors(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match Schema::parse(schema) {
        Ok(_) | Err(SchemaError::UnknownType { .. } | SchemaError::UnknownReference { .. }) => {
            node(schema, path, Level::Root, &mut errors);
        }
        // What nests too deeply is not walked.
        Err(error) => errors.push(FieldError::invalid(path, "", error.to_string())),
    }
    // Rules are asked about once the types are clear.
    if errors.is_empty()
        && let Ok(compiled) = Schema::custom_resource(schema)
    {
        errors.extend(super::cel::rule_errors(schema, &compiled, path));
    }
    errors.sort_by_cached_key(ToString::to_string);
    errors.dedup();
    errors
}

/// Checks a node that says what stands at its place.
fn node(schema: &Value, path: &str, level: Level, errors: &mut Vec<FieldError>) {
    let Some(map) = schema.as_object() else { return };
    let flag = |key: &str| map.get(key) == Some(&Value::Bool(true));
    let at = |key: &str| format!("{path}.{key}");
    if map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let at = at("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(at, false, "must be true or undefined"));
    }
    for key in UNSUPPORTED.iter().filter(|key| map.get(**key).is_some_and(|value| !is_empty(value))) {
        errors.push(FieldError::forbidden(at(key), format!("{key} is not supported")));
    }
    if flag("uniqueItems") {
        let message = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(at("uniqueItems"), message));
    }
    type_rules(map, path, level, errors);
    embedded(map, path, level, errors);
    if flag("x-kubernetes-int-or-string") {
        for key in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
            if flag(key) {
                let message = "must be false if x-kubernetes-int-or-string is true";
                errors.push(FieldError::invalid(at(key), true, message));
            }
        }
    }
    additional(map, path, level, errors);
    lists::check(map, path, errors);
    default(schema, path, level, errors);
    if let Some(items) = map.get("items") {
        node(items, &at("items"), Level::Item, errors);
    }
    for (name, property) in properties(map) {
        let at = format!("{path}.properties[{name}]");
        node(property, &at, Level::Field, errors);
        if level == Level::Root && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            no_defaults(property, &at, name, errors);
        }
    }
    values(map, path, exempt(map), errors);
    // What is below the root is not asked, as in Kubernetes.
    if level == Level::Root {
        complete(map, map, path, path, errors);
    }
}

fn type_rules(map: &Map<String, Value>, path: &str, level: Level, errors: &mut Vec<FieldError>) {
    let flag = |key: &str| map.get(key) == Some(&Value::Bool(true));
    let ty = map.get("type").and_then(Value::as_str).unwrap_or_default();
    let at = format!("{path}.type");
    if flag("x-kubernetes-embedded-resource") && ty != "object" {
        let message = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match ty {
            "" => FieldError::required(at, message),
            _ => FieldError::invalid(at, ty, message),
        });
    } else if ty.is_empty() {
        if !flag("x-kubernetes-int-or-string") && !flag("x-kubernetes-preserve-unknown-fields") {
            let message = match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            };
            errors.push(FieldError::required(at, message));
        }
    } else if !TYPES.contains(&ty) {
        errors.push(FieldError::not_supported(&at, ty, TYPES));
        if ty == "null" {
            let message = "type cannot be set to null, use nullable as an alternative";
            errors.push(FieldError::forbidden(at, message));
        }
    } else if level == Level::Root && ty != "object" {
        errors.push(FieldError::invalid(at, ty, "must be object at the root"));
    }
    if ty == "array" && map.get("items").is_none() {
        errors.push(FieldError::required(format!("{path}.items"), "must be specified"));
    }
}

/// Rules of the root and of embedded resources, whose identity is implied.
fn embedded(map: &Map<String, Value>, path: &str, level: Level, errors: &mut Vec<FieldError>) {
    let flag = |key: &str| map.get(key) == Some(&Value::Bool(true));
    let embedded = flag("x-kubernetes-embedded-resource");
    if !embedded && level != Level::Root {
        return;
    }
    let property = |name: &str| map.get("properties").and_then(|properties| properties.get(name));
    for name in ["apiVersion", "kind"] {
        if let Some(found) = property(name).filter(|schema| schema["type"] != "string") {
            let at = format!("{path}.properties[{name}].type");
            errors.push(FieldError::invalid(at, found["type"].clone(), "must be string"));
        }
    }
    if let Some(metadata) = property("metadata") {
        let at = format!("{path}.properties[metadata]");
        if metadata["type"] != "object" {
            errors.push(FieldError::invalid(
                format!("{at}.type"),
                metadata["type"].clone(),
                "must be object",
            ));
        }
        let rules = metadata.as_object().into_iter().flatten();
        let mut others =
            rules.filter(|(key, _)| !matches!(key.as_str(), "type" | "properties" | "description"));
        let names = metadata.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut foreign = names.filter(|(name, _)| !matches!(name.as_str(), "name" | "generateName"));
        if level == Level::Root && (others.next().is_some() || foreign.next().is_some()) {
            let message = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(FieldError::forbidden(at, message));
        }
    }
    if embedded && !flag("x-kubernetes-preserve-unknown-fields") && properties(map).next().is_none() {
        let message = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(format!("{path}.properties"), message));
    }
}

fn additional(map: &Map<String, Value>, path: &str, level: Level, errors: &mut Vec<FieldError>) {
    let Some(additional) = map.get("additionalProperties") else { return };
    let at = format!("{path}.additionalProperties");
    if level == Level::Root {
        errors.push(FieldError::forbidden(&at, "must not be used at the root"));
    }
    if map.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true)) {
        let message = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&at, message));
    }
    if *additional != Value::Bool(true) && properties(map).next().is_some() {
        let message = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(&at, message));
    }
    if additional.is_object() {
        node(additional, &at, Level::Field, errors);
    }
}

/// What every object has is filled in by nobody but its client.
fn no_defaults(schema: &Value, path: &str, root: &str, errors: &mut Vec<FieldError>) {
    let Some(map) = schema.as_object() else { return };
    if map.get("default").is_some_and(|default| !default.is_null()) {
        let message = format!("must not be set in top-level {root}");
        errors.push(FieldError::forbidden(format!("{path}.default"), message));
    }
    for (name, property) in properties(map) {
        no_defaults(property, &format!("{path}.properties[{name}]"), root, errors);
    }
}

/// A default must itself fit the schema.
fn default(schema: &Value, path: &str, level: Level, errors: &mut Vec<FieldError>) {
    let Some(default) = schema.get("default").filter(|default| !default.is_null()) else { return };
    let at = format!("{path}.default");
    if level == Level::Root {
        errors.push(FieldError::forbidden(at, "must not be set at the root"));
        return;
    }
    let Ok(schema) = Schema::parse(schema) else { return };
    let mut value = default.clone();
    if !schema.prune(&mut value).is_empty() {
        errors.push(FieldError::invalid(&at, default.clone(), "must not have unknown fields"));
    }
    for error in schema.validate(&value, None) {
        let dot = if error.path.is_empty() { "" } else { "." };
        errors.push(FieldError { path: format!("{at}{dot}{}", error.path), ..error });
    }
}

/// Whether `anyOf`, or the first of `allOf`, is the one place where types may stand in alternatives:
/// integer or string, as generators write it beside `x-kubernetes-int-or-string`.
fn exempt(map: &Map<String, Value>) -> (bool, bool) {
    let pattern =
        |any: Option<&Value>| any == Some(&serde_json::json!([{"type": "integer"}, {"type": "string"}]));
    let first = map.get("allOf").and_then(|all| all.get(0));
    (pattern(map.get("anyOf")), pattern(first.and_then(|first| first.get("anyOf"))))
}

/// Checks what restricts values: `allOf`, `anyOf`, `oneOf`, `not` and the pattern.
fn values(
    map: &Map<String, Value>,
    path: &str,
    (skip_any, skip_first_all): (bool, bool),
    errors: &mut Vec<FieldError>,
) {
    for (key, index, schema) in alternatives(map) {
        if key == "anyOf" && skip_any {
            continue;
        }
        let skip = key == "allOf" && index == Some(0) && skip_first_all;
        nested(schema, &place(path, key, index), skip, errors);
    }
    if let Some(pattern) = map.get("pattern").and_then(Value::as_str)
        && let Err(error) = Regex::new(pattern)
    {
        let message = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(format!("{path}.pattern"), pattern, message));
    }
}

/// Checks a schema that only restricts values.
fn nested(schema: &Value, path: &str, skip_any: bool, errors: &mut Vec<FieldError>) {
    let Some(map) = schema.as_object() else { return };
    for (key, message) in FORBIDDEN_IN_NESTED {
        if map.get(*key).is_some_and(|value| !is_empty(value)) {
            errors.push(FieldError::forbidden(format!("{path}.{key}"), *message));
        }
    }
    values(map, path, (skip_any, false), errors);
    if let Some(items) = map.get("items") {
        nested(items, &format!("{path}.items"), false, errors);
    }
    for (name, property) in properties(map) {
        let at = format!("{path}.properties[{name}]");
        if name == "metadata" {
            errors.push(FieldError::forbidden(&at, "must not be specified in a nested context"));
        }
        nested(property, &at, false, errors);
    }
}

/// What alternatives name must also be named outside of them.
fn complete(
    restricting: &Map<String, Value>,
    structure: &Map<String, Value>,
    path: &str,
    from: &str,
    errors: &mut Vec<FieldError>,
) {
    for (key, index, schema) in alternatives(restricting) {
        if let Some(schema) = schema.as_object() {
            let from = place(from, key, index);
            complete_below(schema, structure, path, &from, errors);
            complete(schema, structure, path, &from, errors);
        }
    }
}

fn complete_below(
    restricting: &Map<String, Value>,
    structure: &Map<String, Value>,
    path: &str,
    from: &str,
    errors: &mut Vec<FieldError>,
) {
    let items = restricting.get("items").map(|items| ("items".to_owned(), items, structure.get("items")));
    let named = properties(restricting).map(|(name, property)| {
        let known = structure.get("properties").and_then(|known| known.get(name));
        (format!("properties[{name}]"), property, known)
    });
    for (step, restricting, known) in named.chain(items) {
        let (path, from) = (format!("{path}.{step}"), format!("{from}.{step}"));
        match (restricting.as_object(), known.and_then(Value::as_object)) {
            (Some(restricting), Some(known)) => {
                complete_below(restricting, known, &path, &from, errors);
                complete(restricting, known, &path, &from, errors);
            }
            (Some(_), None) => {
                errors.push(FieldError::required(path, format!("because it is defined in {from}")));
            }
            (None, _) => {}
        }
    }
}

fn alternatives(map: &Map<String, Value>) -> impl Iterator<Item = (&'static str, Option<usize>, &Value)> {
    let lists = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(move |key| {
        let list = map.get(key).and_then(Value::as_array).into_iter().flatten();
        list.enumerate().map(move |(index, schema)| (key, Some(index), schema))
    });
    lists.chain(map.get("not").map(|schema| ("not", None, schema)))
}

fn place(path: &str, key: &str, index: Option<usize>) -> String {
    index.map_or_else(|| format!("{path}.{key}"), |index| format!("{path}.{key}[{index}]"))
}

fn properties(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    map.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// Whether a keyword says nothing: false, empty or null.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::schema::MAX_SCHEMA_DEPTH;

    fn errors(properties: &Value) -> Vec<String> {
        let schema = json!({"type": "object", "properties": properties});
        structural_errors(&schema, "s").iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn assert_refused(properties: &Value, expected: &str) {
        assert_eq!(errors(properties), [expected]);
    }

    #[test]
    fn usual_schemas_are_structural() {
        let table = [
            json!({"a": {"type": "string", "pattern": "^a$", "default": "a"}}),
            json!({"a": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "x"}}),
            json!({"a": {"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"minimum": 1}]}}),
            json!({"a": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}, "b": {"x-kubernetes-preserve-unknown-fields": true}}),
            json!({"a": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}),
            json!({"a": {"type": "object", "properties": {"b": {"type": "string"}, "c": {"type": "string"}},
                "oneOf": [{"required": ["b"]}, {"properties": {"c": {"enum": ["x"]}}}]}}),
            json!({"metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 10}}}}),
            json!({"a": {"type": "object", "additionalProperties": {"type": "string"}}}),
        ];
        for schema in table {
            assert_eq!(errors(&schema), [] as [&str; 0], "{schema}");
        }
    }

    #[test]
    fn every_place_needs_a_type() {
        assert_refused(
            &json!({"a": {}}),
            "s.properties[a].type: Required value: must not be empty for specified object fields",
        );
        assert_refused(
            &json!({"a": {"type": "array", "items": {}}}),
            "s.properties[a].items.type: Required value: must not be empty for specified array items",
        );
        assert_refused(
            &json!({"a": {"type": "array"}}),
            "s.properties[a].items: Required value: must be specified",
        );
        assert_refused(
            &json!({"a": {"type": "text"}}),
            "s.properties[a].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        );
        assert_eq!(
            structural_errors(&json!({}), "s")[0].to_string(),
            "s.type: Required value: must not be empty at the root"
        );
    }

    #[test]
    fn alternatives_only_restrict() {
        assert_refused(
            &json!({"a": {"type": "string", "anyOf": [{"type": "string"}]}}),
            "s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
        );
        assert_refused(
            &json!({"a": {"type": "object", "properties": {"b": {"type": "string"}}, "oneOf": [{"properties": {"c": {"pattern": "x"}}}]}}),
            "s.properties[a].properties[c]: Required value: because it is defined in s.properties[a].oneOf[0].properties[c]",
        );
        assert_refused(
            &json!({"a": {"type": "string", "not": {"description": "x"}}}),
            "s.properties[a].not.description: Forbidden: must be empty to be structural",
        );
    }

    #[test]
    fn what_kubernetes_does_not_serve_is_named() {
        assert_refused(
            &json!({"a": {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}}}),
            "s.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        );
        assert_refused(
            &json!({"a": {"type": "string", "$ref": "#/x"}}),
            "s.properties[a].$ref: Forbidden: $ref is not supported",
        );
        assert_refused(
            &json!({"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}),
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        );
        let pattern = errors(&json!({"a": {"type": "string", "pattern": "("}}));
        assert!(
            pattern[0].starts_with(
                "s.properties[a].pattern: Invalid value: \"(\": must be a valid regular expression"
            ),
            "{pattern:?}"
        );
    }

    #[test]
    fn a_default_fits_its_schema() {
        assert_refused(
            &json!({"a": {"type": "integer", "default": "x"}}),
            "s.properties[a].default: Invalid value: \"string\":  in body must be of type integer: \"string\"",
        );
        assert_refused(
            &json!({"a": {"type": "object", "properties": {"b": {"type": "integer", "minimum": 1}}, "default": {"b": 0}}}),
            "s.properties[a].default.b: Invalid value: 0: b in body should be greater than or equal to 1",
        );
    }

    #[test]
    fn a_schema_that_nests_too_deeply_is_refused() {
        let mut schema = json!({"type": "string"});
        for _ in 0..=MAX_SCHEMA_DEPTH {
            schema = json!({"type": "array", "items": schema});
        }
        let errors = structural_errors(&json!({"type": "object", "properties": {"a": schema}}), "s");
        assert!(errors[0].to_string().contains("nests deeper"), "{errors:?}");
    }
}
