//! Checking values against a schema, with the wording of a Kubernetes API server.

pub(crate) mod format;
mod lists;
mod number;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value};

use super::{Additional, ErrorKind, FieldError, ListType, Schema, Type, join};

/// Memory one compiled pattern may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The rules of a node beyond its type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Validations {
    pub(crate) required: Vec<String>,
    /// `enum`
    pub(crate) values: Vec<Value>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) limits: Limits,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
}

/// Bounds of numbers, lengths and counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Limits {
    pub(crate) minimum: Option<Number>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) maximum: Option<Number>,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<Number>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) unique_items: bool,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
}

/// A regular expression; one that does not compile matches nothing and says so.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    source: String,
    regex: Result<Regex, String>,
}

/// What checking one value found.
#[derive(Default)]
struct Outcome {
    errors: Vec<FieldError>,
    /// Checks made: of several alternatives that fail, the errors of the one that got furthest are shown.
    checks: usize,
}

impl Schema {
    /// Every way in which `new` breaks the schema, worst first by position in the schema.
    ///
    /// With `old`, values that an update leaves as they were are not held against it (Kubernetes'
    /// validation ratcheting): a rule added later never blocks an unrelated change.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut outcome = self.check(new, old, "");
        let duplicates = if self.unique_lists { self.duplicates(new) } else { Vec::new() };
        if !duplicates.is_empty() && old.is_none_or(|old| self.duplicates(old).is_empty()) {
            outcome.errors.extend(duplicates);
        }
        outcome.errors
    }

    fn check(&self, value: &Value, old: Option<&Value>, path: &str) -> Outcome {
        if old == Some(value) {
            return Outcome { errors: Vec::new(), checks: 1 };
        }
        let mut outcome = Outcome::default();
        outcome.extend(self.type_error(value, path));
        if !value.is_null() {
            if let Some(validations) = &self.validations {
                outcome.merge(validations.alternatives(value, path));
            }
            match value {
                Value::String(text) => outcome.extend(format::check(self.format.as_deref(), text, path)),
                Value::Number(number) => {
                    outcome.extend(number::range(self.format.as_deref(), self.ty, number, path));
                }
                Value::Array(list) => self.check_list(list, old, path, &mut outcome),
                Value::Object(map) => self.check_map(map, old, path, &mut outcome),
                _ => {}
            }
        }
        if let Some(validations) = &self.validations {
            validations.check(value, path, &mut outcome);
        }
        outcome
    }

    fn type_error(&self, value: &Value, path: &str) -> Option<FieldError> {
        let wanted = match self.ty {
            _ if self.int_or_string => "integer,string",
            Some(ty) => ty.name(),
            None => return None,
        };
        let found = match value {
            Value::Null if self.nullable => return None,
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let integral = found == "integer" || value.as_f64().is_some_and(|f| f.fract() == 0.0);
        let fits = match self.ty {
            _ if self.int_or_string => integral || found == "string",
            Some(Type::Integer) => integral,
            Some(Type::Number) => found == "number" || found == "integer",
            Some(ty) => ty.name() == found,
            None => true,
        };
        (!fits).then(|| {
            let message = about(path, format_args!("must be of type {wanted}: {found:?}"));
            FieldError::new(path, ErrorKind::TypeInvalid, message, Some(found.into()))
        })
    }

    fn check_list(&self, list: &[Value], old: Option<&Value>, path: &str, outcome: &mut Outcome) {
        let Some(items) = &self.items else { return };
        // Only the elements of list maps can be told apart, so only they are compared one by one.
        let old = old.and_then(Value::as_array).filter(|_| self.list_type == ListType::Map);
        for (index, element) in list.iter().enumerate() {
            let old =
                old.and_then(|old| old.iter().find(|o| lists::same_key(&self.list_map_keys, element, o)));
            outcome.merge(items.check(element, old, &format!("{path}[{index}]")));
        }
    }

    fn check_map(&self, map: &Map<String, Value>, old: Option<&Value>, path: &str, outcome: &mut Outcome) {
        for (key, value) in map {
            let ((Some(schema), _) | (None, Additional::Schema(schema))) =
                (self.properties.get(key), &self.additional)
            else {
                continue;
            };
            outcome.merge(schema.check(value, old.and_then(|old| old.get(key)), &join(path, key)));
        }
    }
}

impl Validations {
    pub(crate) fn is_empty(&self) -> bool {
        self.required.is_empty()
            && self.values.is_empty()
            && self.pattern.is_none()
            && self.limits == Limits::default()
            && [&self.all_of, &self.any_of, &self.one_of].iter().all(|list| list.is_empty())
            && self.not.is_none()
    }

    /// The rules on the value itself.
    fn check(&self, value: &Value, path: &str, outcome: &mut Outcome) {
        let limits = &self.limits;
        match value {
            Value::String(text) => {
                let length = text.chars().count() as u64;
                if let Some(max) = limits.max_length.filter(|max| length > *max) {
                    outcome.extend(Some(FieldError::too_long(path, max)));
                }
                if let Some(min) = limits.min_length.filter(|min| length < *min) {
                    let message = about(path, format_args!("should be at least {min} chars long"));
                    outcome.extend(Some(FieldError::invalid(path, value.clone(), message)));
                }
                outcome.extend(self.pattern.as_ref().and_then(|pattern| pattern.check(text, path)));
            }
            Value::Number(number) => outcome.errors.extend(number::limits(limits, number, path)),
            Value::Array(list) => {
                let length = list.len() as u64;
                if let Some(min) = limits.min_items.filter(|min| length < *min) {
                    let message = about(path, format_args!("should have at least {min} items"));
                    outcome.extend(Some(FieldError::invalid(path, length, message)));
                }
                if let Some(max) = limits.max_items.filter(|max| length > *max) {
                    outcome.extend(Some(FieldError::too_many(path, list.len(), max)));
                }
                if limits.unique_items && lists::has_duplicates(list) {
                    let message = about(path, format_args!("shouldn't contain duplicates"));
                    outcome.extend(Some(FieldError::invalid(path, "", message)));
                }
            }
            Value::Object(map) => {
                let length = map.len() as u64;
                if let Some(min) = limits.min_properties.filter(|min| length < *min) {
                    let message = about(path, format_args!("should have at least {min} properties"));
                    outcome.extend(Some(FieldError::invalid(path, length, message)));
                }
                if let Some(max) = limits.max_properties.filter(|max| length > *max) {
                    outcome.extend(Some(FieldError::too_many(path, map.len(), max)));
                }
                for field in self.required.iter().filter(|field| !map.contains_key(*field)) {
                    outcome.extend(Some(FieldError::required(join(path, field), "")));
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
        if !self.values.is_empty() {
            let known = self.values.iter().any(|allowed| lists::equal(allowed, value));
            outcome.extend((!known).then(|| {
                let allowed =
                    self.values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
                FieldError::not_supported(path, value.clone(), allowed)
            }));
        }
    }

    /// `anyOf`, `oneOf`, `allOf` and `not`.
    fn alternatives(&self, value: &Value, path: &str) -> Outcome {
        let mut outcome = Outcome::default();
        let whole = |message: String| FieldError::invalid("", "", message);
        let run = |schemas: &[Schema]| -> Vec<Outcome> {
            schemas.iter().map(|schema| schema.check(value, None, path)).collect()
        };
        if !self.any_of.is_empty() {
            let results = run(&self.any_of);
            if !results.iter().any(Outcome::is_valid) {
                outcome.errors.push(whole(format!("{path:?} must validate at least one schema (anyOf)")));
                outcome.merge_furthest(results);
            }
        }
        if !self.one_of.is_empty() {
            let results = run(&self.one_of);
            let valid = results.iter().filter(|r| r.is_valid()).count();
            if valid != 1 {
                let found = match valid {
                    0 => "Found none valid".to_owned(),
                    n => format!("Found {n} valid alternatives"),
                };
                let message = format!("{path:?} must validate one and only one schema (oneOf). {found}");
                outcome.errors.push(whole(message));
                if valid == 0 {
                    outcome.merge_furthest(results);
                }
            }
        }
        let results = run(&self.all_of);
        let (valid, all) = (results.iter().filter(|r| r.is_valid()).count(), results.len());
        for result in results {
            outcome.merge(result);
        }
        if valid != all {
            let none = if valid == 0 { ". None validated" } else { "" };
            outcome.errors.push(whole(format!("{path:?} must validate all the schemas (allOf){none}")));
        }
        if self.not.as_ref().is_some_and(|not| not.check(value, None, path).is_valid()) {
            outcome.errors.push(whole(format!("{path:?} must not validate the schema (not)")));
        }
        outcome
    }
}

impl Limits {
    pub(crate) fn parse(json: &Map<String, Value>) -> Self {
        let number = |key: &str| json.get(key).and_then(Value::as_number).cloned();
        let count = |key: &str| json.get(key).and_then(Value::as_u64);
        let flag = |key: &str| json.get(key).and_then(Value::as_bool).unwrap_or_default();
        Self {
            minimum: number("minimum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            maximum: number("maximum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            unique_items: flag("uniqueItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
        }
    }
}

impl Pattern {
    pub(crate) fn new(source: &str) -> Self {
        let regex = RegexBuilder::new(source).size_limit(MAX_PATTERN_BYTES).build();
        Self { source: source.to_owned(), regex: regex.map_err(|error| error.to_string()) }
    }

    fn check(&self, text: &str, path: &str) -> Option<FieldError> {
        let message = match &self.regex {
            Ok(regex) if regex.is_match(text) => return None,
            Ok(_) => about(path, format_args!("should match '{}'", self.source)),
            Err(error) => {
                let source = &self.source;
                about(path, format_args!("should match '{source}, but pattern is invalid: {error}'"))
            }
        };
        Some(FieldError::invalid(path, text, message))
    }
}

impl Outcome {
    fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// Counts one check, which failed or not.
    fn extend(&mut self, error: Option<FieldError>) {
        self.checks += 1;
        self.errors.extend(error);
    }

    fn merge(&mut self, other: Self) {
        self.checks += other.checks;
        self.errors.extend(other.errors);
    }

    /// Merges the first of the outcomes that made the most checks with the fewest errors.
    fn merge_furthest(&mut self, outcomes: Vec<Self>) {
        let passed = |o: &Self| o.checks.saturating_sub(o.errors.len());
        if let Some(furthest) = outcomes.into_iter().rev().max_by_key(passed) {
            self.merge(furthest);
        }
    }
}

/// `spec.replicas in body must ...`
fn about(path: &str, rule: std::fmt::Arguments<'_>) -> String {
    format!("{path} in body {rule}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn assert_errors(schema: &Value, value: &Value, expected: &[&str]) {
        let schema = Schema::parse(&json!({"type": "object", "properties": {"spec": schema}})).unwrap();
        let errors = schema.validate(&json!({"spec": value}), None);
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn types_are_held_in_the_words_of_kubernetes() {
        let table = [
            ("integer", json!("3"), "\"string\": spec in body must be of type integer: \"string\""),
            ("integer", json!(1.5), "\"number\": spec in body must be of type integer: \"number\""),
            ("string", json!(3), "\"integer\": spec in body must be of type string: \"integer\""),
            ("string", json!(null), "\"null\": spec in body must be of type string: \"null\""),
            ("boolean", json!("true"), "\"string\": spec in body must be of type boolean: \"string\""),
            ("array", json!({}), "\"object\": spec in body must be of type array: \"object\""),
            ("object", json!([]), "\"array\": spec in body must be of type object: \"array\""),
            ("number", json!(true), "\"boolean\": spec in body must be of type number: \"boolean\""),
        ];
        for (ty, value, expected) in table {
            assert_errors(&json!({"type": ty}), &value, &[&format!("spec: Invalid value: {expected}")]);
        }
        assert_errors(&json!({"type": "integer"}), &json!(3.0), &[]);
        assert_errors(&json!({"type": "number"}), &json!(3), &[]);
        assert_errors(&json!({"type": "string", "nullable": true}), &json!(null), &[]);
        assert_errors(&json!({"x-kubernetes-int-or-string": true}), &json!("25%"), &[]);
        assert_errors(
            &json!({"x-kubernetes-int-or-string": true}),
            &json!(true),
            &["spec: Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\""],
        );
    }

    #[test]
    fn numbers_are_bounded() {
        let schema = |rules: Value| {
            let mut schema = json!({"type": "number"});
            schema.as_object_mut().unwrap().append(&mut serde_json::from_value(rules).unwrap());
            schema
        };
        let table = [
            (json!({"minimum": 0}), json!(-1), "-1: spec in body should be greater than or equal to 0"),
            (
                json!({"minimum": 0, "exclusiveMinimum": true}),
                json!(0),
                "0: spec in body should be greater than 0",
            ),
            (json!({"maximum": 2.5}), json!(3), "3: spec in body should be less than or equal to 2.5"),
            (
                json!({"maximum": 2, "exclusiveMaximum": true}),
                json!(2),
                "2: spec in body should be less than 2",
            ),
            (json!({"multipleOf": 5}), json!(7), "7: spec in body should be a multiple of 5"),
            (json!({"multipleOf": 0.1}), json!(0.35), "0.35: spec in body should be a multiple of 0.1"),
        ];
        for (rules, value, expected) in table {
            assert_errors(&schema(rules), &value, &[&format!("spec: Invalid value: {expected}")]);
        }
        assert_errors(&schema(json!({"multipleOf": 0.1})), &json!(0.3), &[]);
        assert_errors(
            &schema(json!({"minimum": 1.0})),
            &json!(0),
            &["spec: Invalid value: 0: spec in body should be greater than or equal to 1"],
        );
    }

    #[test]
    fn strings_lists_and_maps_are_bounded() {
        assert_errors(
            &json!({"type": "string", "maxLength": 2, "pattern": "^[a-z]+$"}),
            &json!("ABC"),
            &[
                "spec: Too long: may not be more than 2 bytes",
                "spec: Invalid value: \"ABC\": spec in body should match '^[a-z]+$'",
            ],
        );
        assert_errors(
            &json!({"type": "string", "minLength": 1}),
            &json!(""),
            &["spec: Invalid value: \"\": spec in body should be at least 1 chars long"],
        );
        assert_errors(
            &json!({"type": "array", "maxItems": 1, "items": {"type": "string"}}),
            &json!(["a", "b"]),
            &["spec: Too many: 2: must have at most 1 item"],
        );
        assert_errors(
            &json!({"type": "array", "minItems": 2, "items": {"type": "string"}}),
            &json!(["a"]),
            &["spec: Invalid value: 1: spec in body should have at least 2 items"],
        );
        assert_errors(
            &json!({"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}}),
            &json!({"a": "", "b": 1}),
            &[
                "spec.b: Invalid value: \"integer\": spec.b in body must be of type string: \"integer\"",
                "spec: Too many: 2: must have at most 1 item",
            ],
        );
    }

    #[test]
    fn what_is_required_or_enumerated_is_named() {
        assert_errors(
            &json!({"type": "object", "required": ["a", "b"], "properties": {
                "a": {"type": "string", "enum": ["x", "y"]}, "b": {"type": "string"}}}),
            &json!({"a": "z"}),
            &["spec.a: Unsupported value: \"z\": supported values: \"x\", \"y\"", "spec.b: Required value"],
        );
    }

    #[test]
    fn every_error_is_reported_with_its_place() {
        assert_errors(
            &json!({"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"n": {"type": "integer"}}}}),
            &json!([{"name": "a", "n": "x"}, {}]),
            &[
                "spec[0].n: Invalid value: \"string\": spec[0].n in body must be of type integer: \"string\"",
                "spec[1].name: Required value",
            ],
        );
    }

    #[test]
    fn alternatives_explain_the_closest_one() {
        let either = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
        assert_errors(&either, &json!({"a": ""}), &[]);
        assert_errors(
            &either,
            &json!({"a": "", "b": ""}),
            &[
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ],
        );
        assert_errors(
            &either,
            &json!({}),
            &[
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid",
                "spec.a: Required value",
            ],
        );
        assert_errors(
            &json!({"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 1}]}),
            &json!(5),
            &[
                "<nil>: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf)",
                "spec: Invalid value: 5: spec in body should be greater than or equal to 10",
            ],
        );
        assert_errors(
            &json!({"type": "string", "not": {"enum": ["x"]}}),
            &json!("x"),
            &["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"],
        );
        assert_errors(
            &json!({"type": "integer", "allOf": [{"minimum": 3}, {"maximum": 9}]}),
            &json!(1),
            &[
                "<nil>: Invalid value: \"\": \"spec\" must validate all the schemas (allOf)",
                "spec: Invalid value: 1: spec in body should be greater than or equal to 3",
            ],
        );
    }

    #[test]
    fn sets_and_list_maps_hold_nothing_twice() {
        assert_errors(
            &json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            &json!(["a", "b", "a", "a"]),
            &["spec[2]: Duplicate value: \"a\""],
        );
        assert_errors(
            &json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "properties": {"port": {"type": "integer"}, "protocol": {"type": "string"}}}}),
            &json!([{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "UDP"}, {"port": 1, "protocol": "TCP"}]),
            &["spec[2]: Duplicate value: {\"port\":1,\"protocol\":\"TCP\"}"],
        );
    }

    #[test]
    fn metadata_merges_as_sets_and_maps_but_is_not_held_to_it() {
        let schema = Schema::custom_resource(&json!({"type": "object"})).unwrap();
        let object = json!({"metadata": {"finalizers": ["a.example/x", "a.example/x"]}});
        assert_eq!(schema.validate(&object, None), []);
    }

    #[test]
    fn an_update_is_not_blamed_for_what_it_leaves_alone() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "old": {"type": "string", "maxLength": 1},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
                "type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer", "maximum": 1}}}}}}))
        .unwrap();
        let old =
            json!({"old": "xx", "set": ["a", "a"], "list": [{"name": "a", "n": 5}, {"name": "b", "n": 5}]});
        let mut new = old.clone();
        new["list"] = json!([{"name": "b", "n": 6}, {"name": "a", "n": 5}]);
        let errors: Vec<String> = schema.validate(&new, Some(&old)).iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            ["list[0].n: Invalid value: 6: list[0].n in body should be less than or equal to 1"]
        );
        assert_eq!(schema.validate(&new, None).len(), 4);
    }

    #[test]
    fn a_pattern_that_does_not_compile_says_so() {
        let schema = Schema::parse(&json!({"type": "string", "pattern": "("})).unwrap();
        assert!(schema.validate(&json!("x"), None)[0].to_string().contains("but pattern is invalid"));
    }

    #[test]
    fn rules_are_carried_as_written() {
        let rules = json!([{"rule": "self.a > 1", "message": "m"}]);
        let schema = Schema::parse(&json!({"type": "object", "x-kubernetes-validations": rules})).unwrap();
        assert_eq!(Value::from(schema.validation_rules().to_vec()), rules);
    }
}
