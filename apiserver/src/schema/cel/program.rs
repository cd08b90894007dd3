//! From the text of an expression to something that can be evaluated.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SourceInfo};
use cel::common::value::Val;
use cel::{Context, ExecutionError, Value};

use super::budget::{self, Budget};
use super::check::{self, Problem};
use super::library::{ENV, literal_problem};
use super::types::Ty;
use super::walk;

/// Lines longer than this are not shown below a problem.
const MAX_SHOWN_LINE: usize = 16384;

/// An expression that has been read and checked.
#[derive(Debug)]
pub(super) struct Program {
    expression: IdedExpr,
    pub(super) ty: Ty,
    /// Whether it mentions `oldSelf`.
    pub(super) uses_old: bool,
}

/// Why an evaluation has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// It cost too much.
    Cost,
    /// An operator or function was given what it does not take.
    Overload,
    /// Anything else, in words.
    Other(String),
}

impl Program {
    /// Reads and checks an expression. The error is what a compiler prints: each problem with its line.
    pub(super) fn compile(source: &str, variables: &[(&str, Ty)]) -> Result<Self, String> {
        let (mut expression, info) = match ENV.parser().parse_with_source_info(source) {
            Ok(parsed) => parsed,
            Err(errors) => {
                let mut shown: Vec<String> = Vec::new();
                for error in errors.errors {
                    shown.push(show(
                        source,
                        usize::try_from(error.pos.0).unwrap_or(1),
                        column(error.pos.1),
                        &error.msg,
                    ));
                }
                return Err(shown.join("\n"));
            }
        };
        let checked =
            check::check(&expression, variables).map_err(|problems| list(source, &info, problems))?;
        let mut problems = Vec::new();
        literals(&expression, &mut problems);
        if !problems.is_empty() {
            return Err(list(source, &info, problems));
        }
        budget::instrument(&mut expression, &checked.types);
        Ok(Self { expression, ty: checked.ty, uses_old: checked.uses_old })
    }

    /// Evaluates the expression with these variables, and hands the result on.
    pub(super) fn evaluate<T>(
        &self,
        variables: &[(&str, Box<dyn Val>)],
        budget: &Budget,
        read: impl FnOnce(&dyn Val) -> Option<T>,
    ) -> Result<T, Failure> {
        let mut context = Context::with_env(ENV.clone());
        budget.bind(&mut context);
        for (name, value) in variables {
            context.add_variable_as_val(*name, value.clone_as_boxed());
        }
        let result = Value::resolve_val(&self.expression, &context);
        if budget.is_overdrawn() {
            return Err(Failure::Cost);
        }
        match result {
            Ok(value) => read(value.as_ref()).ok_or(Failure::Overload),
            Err(error) => Err(failure(error)),
        }
    }
}

/// The words of Kubernetes for what goes wrong in an evaluation.
fn failure(error: ExecutionError) -> Failure {
    Failure::Other(match error {
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::UnsupportedTargetType { .. }
        | ExecutionError::NotSupportedAsMethod { .. } => return Failure::Overload,
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::IndexOutOfBounds(Value::Int(index)) => format!("index out of bounds: {index}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(_, Value::UInt(_), _) => "unsigned integer overflow".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::FunctionError { message, .. } => message,
        other => other.to_string(),
    })
}

/// Arguments that can be told to be wrong before anything is evaluated.
fn literals(expression: &IdedExpr, problems: &mut Vec<Problem>) {
    if let Expr::Call(call) = &expression.expr {
        let argument = match (call.func_name.as_str(), &call.target, call.args.as_slice()) {
            ("matches", Some(_), [pattern]) | ("matches", None, [_, pattern]) => Some(pattern),
            ("duration" | "timestamp", None, [text]) => Some(text),
            _ => None,
        };
        if let Some(IdedExpr { id, expr: Expr::Literal(LiteralValue::String(text)) }) = argument
            && literal_problem(&call.func_name, text.inner())
        {
            problems.push(Problem { at: *id, message: format!("invalid {} argument", call.func_name) });
        }
    }
    walk::children(expression, &mut |child| literals(child, problems));
}

fn list(source: &str, info: &SourceInfo, problems: Vec<Problem>) -> String {
    let place = |problem: &Problem| info.offset_for(problem.at).map_or(0, |(start, _)| start as usize);
    let mut placed: Vec<(usize, String)> = problems.into_iter().map(|p| (place(&p), p.message)).collect();
    placed.sort_by_key(|(offset, _)| *offset);
    placed.dedup();
    let shown = placed.iter().map(|(offset, message)| {
        let before: Vec<char> = source.chars().take(*offset).collect();
        let line = before.iter().filter(|c| **c == '\n').count() + 1;
        let column = before.iter().rev().take_while(|c| **c != '\n').count();
        show(source, line, column, message)
    });
    shown.collect::<Vec<_>>().join("\n")
}

fn column(position: isize) -> usize {
    usize::try_from(position.saturating_sub(1)).unwrap_or_default()
}

/// A problem with the line it is in and a mark below its place; lines count from one, columns from nought.
fn show(source: &str, line: usize, column: usize, message: &str) -> String {
    let mut shown = format!("ERROR: <input>:{line}:{}: {message}", column + 1);
    if let Some(text) = source.lines().nth(line.saturating_sub(1)).filter(|text| text.len() <= MAX_SHOWN_LINE)
    {
        let text = text.replace('\t', " ");
        let dots: String = text.chars().take(column).map(|c| if c.is_ascii() { '.' } else { '．' }).collect();
        let mark = if text.chars().nth(column).is_some_and(|c| !c.is_ascii()) { '＾' } else { '^' };
        shown = format!("{shown}\n | {text}\n | {dots}{mark}");
    }
    shown
}
