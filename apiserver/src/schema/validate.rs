//! Checking values against a schema, with the wording of a Kubernetes API server.

mod format;
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
        let duplicates = self.duplicates(new);
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
        let valid = results.iter().filter(|r| r.is_valid()).count();
        if valid != results.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            outcome.errors.push(whole(format!("{path:?} must validate all the schemas (allOf){none}")));
        }
        for result in results {
            outcome.merge(result);
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
