//! One rule of `x-kubernetes-validations`: its compilation and its evaluation.

use std::sync::Arc;

use cel::common::types::{CelBool, CelString};
use cel::common::value::Val;
use serde_json::Value;

use super::budget::{Budget, PER_CALL};
use super::field_path;
use super::program::{Failure, Program};
use super::types::Ty;
use super::{OLD_SELF, SELF};
use crate::schema::{ErrorKind, FieldError, Schema};

/// The longest message that a rule may make up.
const MAX_MESSAGE_BYTES: usize = 5 * 1024;

/// A rule as it is written, and what compiling it gave.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(super) text: String,
    message: String,
    reason: ErrorKind,
    /// Where its errors are shown, below the value it is about.
    field_path: Option<String>,
    pub(super) optional_old: Option<bool>,
    /// `None` for an empty rule.
    program: Option<Result<Program, String>>,
    message_program: Option<Result<Program, String>>,
}

/// What evaluating a rule came to.
pub(super) enum Verdict {
    Holds,
    /// The error, and whether it is the rule itself that fails: a value that an update leaves alone is let off then.
    Fails(FieldError, bool),
    /// The budget is used up: no further rules are asked.
    Exhausted(FieldError),
}

impl Rule {
    /// Reads and compiles a rule for values of a type.
    pub(super) fn compile(rule: &Value, ty: &Ty, schema: &Schema) -> Self {
        let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        let optional_old = rule["optionalOldSelf"].as_bool();
        let old = if optional_old == Some(true) { Ty::optional(ty.clone()) } else { ty.clone() };
        let variables = [(SELF, ty.clone()), (OLD_SELF, old)];
        let compile = |source: &str, wanted: &Ty, wrong: &str| -> Result<Program, String> {
            let program = Program::compile(source, &variables)
                .map_err(|issues| format!("compilation failed: {issues}"))?;
            if program.ty.same(wanted) { Ok(program) } else { Err(wrong.to_owned()) }
        };
        let source = text("rule");
        let program = (!source.trim().is_empty())
            .then(|| compile(&source, &Ty::Bool, "cel expression must evaluate to a bool"));
        let message_source = text("messageExpression");
        let message_program = (!message_source.is_empty() && matches!(program, Some(Ok(_)))).then(|| {
            let wrong = "messageExpression must evaluate to a string";
            compile(&message_source, &Ty::String, wrong)
                .map_err(|error| if error == wrong { error } else { format!("messageExpression {error}") })
        });
        Self {
            text: source.trim().to_owned(),
            message: text("message").trim().to_owned(),
            reason: match rule["reason"].as_str() {
                Some("FieldValueForbidden") => ErrorKind::Forbidden,
                Some("FieldValueRequired") => ErrorKind::Required,
                Some("FieldValueDuplicate") => ErrorKind::Duplicate,
                _ => ErrorKind::Invalid,
            },
            field_path: rule["fieldPath"]
                .as_str()
                .and_then(|path| field_path(path, schema).ok().map(|(shown, _)| shown)),
            optional_old,
            program,
            message_program,
        }
    }

    /// What keeps the rule from being evaluated.
    pub(super) fn compile_error(&self) -> Option<&str> {
        self.program.as_ref().and_then(|program| program.as_ref().err()).map(String::as_str)
    }

    /// What keeps the message from being made up.
    pub(super) fn message_error(&self) -> Option<&str> {
        self.message_program.as_ref().and_then(|program| program.as_ref().err()).map(String::as_str)
    }

    /// Whether the rule is about a change.
    pub(super) fn uses_old(&self) -> bool {
        matches!(&self.program, Some(Ok(program)) if program.uses_old)
    }

    fn wants_optional_old(&self) -> bool {
        self.optional_old == Some(true)
    }

    /// What the rule is called in errors.
    fn name(&self) -> &str {
        if self.message.is_empty() { &self.text } else { &self.message }
    }

    /// Asks the rule about a value and what it was; `ty` is the JSON type that the schema gives it.
    pub(super) fn ask(
        &self,
        new: &(dyn Val + 'static),
        old: Option<&Arc<dyn Val>>,
        at: &str,
        ty: &str,
        left: &mut u64,
    ) -> Verdict {
        let fails = |message: String| FieldError::invalid(at, ty, message);
        let program = match &self.program {
            None => return Verdict::Holds,
            Some(Err(error)) => return Verdict::Fails(fails(format!("rule compile error: {error}")), false),
            Some(Ok(program)) => program,
        };
        if program.uses_old && old.is_none() && !self.wants_optional_old() {
            return Verdict::Holds;
        }
        if *left == 0 {
            return Verdict::Exhausted(fails(OUT_OF_BUDGET.to_owned()));
        }
        let mut variables: Vec<(&str, Box<dyn Val>)> = vec![(SELF, new.clone_as_boxed())];
        let old = old.map(|old| old.clone_as_boxed());
        if self.wants_optional_old() {
            variables.push((OLD_SELF, Box::new(cel::common::types::CelOptional::from(old))));
        } else if let Some(old) = old {
            variables.push((OLD_SELF, old));
        }
        let budget = Budget::new((*left).min(PER_CALL));
        let truth = |value: &dyn Val| value.downcast_ref::<CelBool>().map(|flag| *flag.inner());
        let result = program.evaluate(&variables, &budget, truth);
        let spent = budget.spent() + 1;
        if spent > *left {
            return Verdict::Exhausted(fails(OUT_OF_BUDGET.to_owned()));
        }
        *left -= spent;
        let name = self.name();
        match result {
            Ok(true) => Verdict::Holds,
            Ok(false) => self.failed(&variables, at, ty, left),
            Err(Failure::Cost) => Verdict::Exhausted(fails(format!(
                "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: {name}"
            ))),
            Err(Failure::Overload) => Verdict::Fails(
                fails(format!(
                    "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {name}"
                )),
                false,
            ),
            Err(Failure::Other(problem)) => {
                Verdict::Fails(fails(format!("{problem} evaluating rule: {name}")), false)
            }
        }
    }

    /// The error of a rule that does not hold.
    fn failed(&self, variables: &[(&str, Box<dyn Val>)], at: &str, ty: &str, left: &mut u64) -> Verdict {
        let mut message = if self.message.is_empty() {
            format!("failed rule: {}", self.text)
        } else {
            self.message.clone()
        };
        if let Some(Ok(program)) = &self.message_program {
            let budget = Budget::new((*left).min(PER_CALL));
            let text = |value: &dyn Val| {
                value.downcast_ref::<CelString>().map(|text| text.inner().trim().to_owned())
            };
            let made = program.evaluate(variables, &budget, text);
            *left = left.saturating_sub(budget.spent() + 1);
            match made {
                Ok(made) if !made.is_empty() && !made.contains('\n') && made.len() <= MAX_MESSAGE_BYTES => {
                    message = made;
                }
                // A message that cannot be made up gives way to the one that is written.
                Ok(_) | Err(Failure::Overload | Failure::Other(_)) => {}
                Err(Failure::Cost) => {
                    let problem = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run";
                    return Verdict::Exhausted(FieldError::invalid(at, ty, problem));
                }
            }
        }
        let path = match &self.field_path {
            Some(path) if at.is_empty() => path.clone(),
            Some(path) if path.starts_with('[') => format!("{at}{path}"),
            Some(path) => format!("{at}.{path}"),
            None => at.to_owned(),
        };
        let value = matches!(self.reason, ErrorKind::Invalid | ErrorKind::Duplicate).then(|| Value::from(ty));
        if self.reason == ErrorKind::Duplicate {
            message.clear();
        }
        Verdict::Fails(FieldError::new(path, self.reason, message, value), !self.uses_old())
    }
}

const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";
