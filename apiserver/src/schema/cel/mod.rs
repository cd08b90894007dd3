//! Rules of definitions, written in CEL: `x-kubernetes-validations`.
//!
//! The crate `cel` reads and evaluates expressions. What is here makes them Kubernetes': the types that a schema gives
//! `self` ([`declare`]) and the checking of expressions against them ([`check`]), the functions that definitions may use
//! ([`signatures`], [`library`]), values with names escaped and lists compared by their identities ([`value`], [`lists`]), a
//! bound on what an evaluation costs ([`budget`]), and the errors, worded as an API server words them ([`rule`]).
//!
//! Not everything that Kubernetes knows is known here: comprehensions over two variables are refused when the definition is
//! written, so that no rule is taken and not held. The cost of a rule is not estimated in advance, only bounded when it runs.

mod budget;
mod check;
mod declare;
mod definition;
mod field_path;
mod library;
mod lists;
mod program;
mod rule;
mod signatures;
mod types;
mod value;
mod walk;

use std::sync::Arc;

use cel::common::value::Val;
use serde_json::Value;

pub(super) use definition::rule_errors;
pub(crate) use field_path::field_path;
pub(crate) use rule::Rule;

use super::{Additional, ErrorKind, FieldError, ListType, Schema, join};
use rule::Verdict;

/// The value that a rule is about.
const SELF: &str = "self";
/// What it was before the update.
const OLD_SELF: &str = "oldSelf";

/// What asking the rules of a schema found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What is refused.
    pub(crate) errors: Vec<FieldError>,
    /// Rules that do not hold for values that the update leaves as they were.
    pub(crate) warnings: Vec<String>,
}

impl Schema {
    /// Compiles the rules at this node and below; `ty` is that of the node where its parent has one.
    pub(super) fn compile_rules(&mut self, root: bool) {
        if !self.has_rules {
            return;
        }
        if !self.rules.is_empty()
            && let Some(ty) = declare::declare(self, root, SELF)
        {
            self.compiled = self.rules.iter().map(|rule| Arc::new(Rule::compile(rule, &ty, self))).collect();
        }
        let below = |schema: &mut Arc<Schema>| {
            if schema.has_rules {
                let embedded = schema.embedded;
                Arc::make_mut(schema).compile_rules(embedded);
            }
        };
        self.properties.values_mut().for_each(below);
        self.items.iter_mut().for_each(below);
        if let Additional::Schema(values) = &mut self.additional {
            below(values);
        }
    }

    /// Asks every rule about a value that fits the schema, and what it was before an update.
    pub(crate) fn ask_rules(&self, new: &Value, old: Option<&Value>) -> Findings {
        let mut asking =
            Asking { findings: Findings::default(), left: budget::PER_OBJECT, updating: old.is_some() };
        if self.has_rules {
            let place = Place { path: String::new(), root: true };
            asking.node(self, new, old, Correlation { old, above_equal: false }, &place);
        }
        asking.findings
    }
}

impl Schema {
    /// Like [`Schema::ask_rules`], unless the errors found so far are such that rules could not be asked: then that is
    /// said instead.
    pub(crate) fn rules_after(&self, found: &[FieldError], new: &Value, old: Option<&Value>) -> Findings {
        if !self.has_rules {
            return Findings::default();
        }
        let blocks = |error: &FieldError| {
            use ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
            matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
        };
        if !found.iter().any(blocks) {
            return self.ask_rules(new, old);
        }
        let message = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        let error = FieldError::new("<nil>", ErrorKind::Invalid, message, Some(Value::Null));
        Findings { errors: vec![error], warnings: Vec::new() }
    }
}

struct Asking {
    findings: Findings,
    /// What rules may still cost.
    left: u64,
    updating: bool,
}

struct Place {
    path: String,
    root: bool,
}

/// What an update left alone is not held against it.
#[derive(Clone, Copy)]
struct Correlation<'a> {
    /// The same value before the update, where it can be told which that is.
    old: Option<&'a Value>,
    /// Whether the nearest value above that can be told is as it was.
    above_equal: bool,
}

impl<'a> Correlation<'a> {
    fn is_unchanged(self, new: &Value) -> bool {
        self.old.map_or(self.above_equal, |old| old == new)
    }

    fn below(self, new: &Value, old: Option<&'a Value>) -> Self {
        let above_equal = self.is_unchanged(new);
        Self { old: self.old.and(old), above_equal }
    }
}

impl Asking {
    /// `false` when the budget is used up.
    fn node(
        &mut self,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        correlation: Correlation<'_>,
        place: &Place,
    ) -> bool {
        if !schema.has_rules || new.is_null() {
            return true;
        }
        let old = old.filter(|old| !old.is_null());
        if !schema.compiled.is_empty() && !self.rules(schema, new, old, correlation, place) {
            return false;
        }
        match new {
            Value::Object(map) => map.iter().all(|(key, value)| {
                let (child, path) = match (schema.properties.get(key), &schema.additional) {
                    (Some(property), _) => (property, join(&place.path, key)),
                    (None, Additional::Schema(values)) => (values, format!("{}[{key}]", place.path)),
                    _ => return true,
                };
                let old = old.and_then(|old| old.get(key));
                let place = Place { path, root: child.embedded };
                self.node(child, value, old, correlation.below(new, old), &place)
            }),
            Value::Array(list) => {
                let Some(items) = &schema.items else { return true };
                let olds = old.and_then(Value::as_array).filter(|_| schema.list_type == ListType::Map);
                list.iter().enumerate().all(|(index, element)| {
                    let same = |other: &&Value| {
                        schema.list_map_keys.iter().all(|key| other.get(key) == element.get(key))
                    };
                    let old = olds.and_then(|olds| olds.iter().find(same));
                    let place = Place { path: format!("{}[{index}]", place.path), root: items.embedded };
                    self.node(items, element, old, correlation.below(new, old), &place)
                })
            }
            _ => true,
        }
    }

    fn rules(
        &mut self,
        schema: &Schema,
        new: &Value,
        old: Option<&Value>,
        correlation: Correlation<'_>,
        place: &Place,
    ) -> bool {
        let this = value::to_val(new, schema, place.root);
        let needs_old = schema.compiled.iter().any(|rule| rule.uses_old());
        let before: Option<Arc<dyn Val>> =
            old.filter(|_| needs_old).map(|old| Arc::from(value::to_val(old, schema, place.root)));
        let ty = schema.ty.map_or("", |ty| ty.name());
        for rule in &schema.compiled {
            match rule.ask(this.as_ref(), before.as_ref(), &place.path, ty, &mut self.left) {
                Verdict::Holds => {}
                Verdict::Fails(error, true) if self.updating && correlation.is_unchanged(new) => {
                    self.findings.warnings.push(error.to_string());
                }
                Verdict::Fails(error, _) => self.findings.errors.push(error),
                Verdict::Exhausted(error) => {
                    self.findings.errors.push(error);
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
