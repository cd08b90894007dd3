//! A bound on what one evaluation may cost.
//!
//! Before a program runs, every loop of it and every call that may be long is made to ask for leave: `x.matches(p)`
//! becomes `@charge(@budget, x).matches(p)`. When nothing is left the asking fails, which ends every loop around it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, operators};
use cel::common::types::{CelBytes, CelString, DYN_TYPE, Type as CelTy};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Env, ExecutionError};

use super::signatures::signatures;
use super::types::Ty;
use super::walk;

/// What one evaluation may cost, in the units of Kubernetes: about one for each step.
pub(super) const PER_CALL: u64 = 1_000_000;
/// What all evaluations for one object may cost together.
pub(super) const PER_OBJECT: u64 = 10_000_000;

/// Characters that cost as much as one step.
const CHARACTERS_PER_STEP: u64 = 10;
/// The name under which programs find their budget. No expression can be written with it.
const VARIABLE: &str = "@budget";
const CHARGE: &str = "@charge";
const EQUAL: &str = "@equal";

/// What an evaluation may still cost. Copies share one account.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    limit: u64,
    spent: AtomicU64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self(Arc::new(Account { limit, spent: AtomicU64::new(0) }))
    }

    pub(super) fn spent(&self) -> u64 {
        self.0.spent.load(Ordering::Relaxed)
    }

    pub(super) fn is_overdrawn(&self) -> bool {
        self.spent() > self.0.limit
    }

    fn charge(&self, cost: u64) -> bool {
        let spent = self.0.spent.fetch_add(cost, Ordering::Relaxed);
        spent.saturating_add(cost) <= self.0.limit
    }

    /// Makes the budget known to a program.
    pub(super) fn bind(&self, context: &mut cel::Context<'_, '_>) {
        context.add_variable_as_val(VARIABLE, Box::new(self.clone()));
    }
}

impl Val for Budget {
    fn get_type(&self) -> &CelTy {
        Self::cel_type()
    }

    fn cel_type() -> &'static CelTy {
        &DYN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Budget {}

/// Adds what instrumented programs call.
pub(super) fn register(env: &mut Env) -> Result<(), cel::DeclarationError> {
    env.add_overload(CHARGE, "charge", vec![DYN_TYPE, DYN_TYPE], charge)?;
    env.add_overload(EQUAL, "equal", vec![DYN_TYPE, DYN_TYPE], |arguments| {
        let equal = super::lists::equals(arguments[0].as_ref(), arguments[1].as_ref());
        Ok(CowVal::owned(cel::common::types::CelBool::from(equal)))
    })
}

fn charge<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    let afforded =
        arguments[0].downcast_ref::<Budget>().is_some_and(|budget| budget.charge(cost(value.as_ref())));
    if afforded {
        Ok(value)
    } else {
        Err(ExecutionError::function_error(CHARGE, "actual cost limit exceeded"))
    }
}

/// What it costs to look at a value.
fn cost(value: &dyn Val) -> u64 {
    let size = match (value.downcast_ref::<CelString>(), value.downcast_ref::<CelBytes>()) {
        (Some(text), _) => text.inner().len() as u64 / CHARACTERS_PER_STEP,
        (_, Some(bytes)) => bytes.inner().len() as u64 / CHARACTERS_PER_STEP,
        _ => value.as_sizer().map_or(0, |sizer| u64::try_from(*sizer.size().inner()).unwrap_or_default()),
    };
    size + 1
}

/// Makes a checked program ask for leave, and compare lists as their types want it.
pub(super) fn instrument(expression: &mut IdedExpr, types: &HashMap<u64, Ty>) {
    walk::children_mut(expression, &mut |child| instrument(child, types));
    match &mut expression.expr {
        Expr::Comprehension(comprehension) => charge_loop(comprehension),
        Expr::Call(call) => charge_call(call, types),
        _ => {}
    }
}

fn charged(expression: &mut IdedExpr) {
    let inner = std::mem::take(expression);
    let id = inner.id;
    let budget = IdedExpr { id, expr: Expr::Ident(VARIABLE.to_owned()) };
    let call = CallExpr { func_name: CHARGE.to_owned(), target: None, args: vec![budget, inner] };
    *expression = IdedExpr { id, expr: Expr::Call(call) };
}

/// A loop that only gathers elements is left in the shape that the interpreter knows to run fast.
fn charge_loop(comprehension: &mut ComprehensionExpr) {
    if matches!(comprehension.loop_cond.expr, Expr::Literal(_))
        && let Expr::Call(step) = &mut comprehension.loop_step.expr
    {
        match (step.func_name.as_str(), step.args.as_mut_slice()) {
            (operators::CONDITIONAL, [guard, ..]) => return charged(guard),
            (operators::ADD, [_, IdedExpr { expr: Expr::List(list), .. }]) => {
                return list.elements.iter_mut().for_each(charged);
            }
            _ => {}
        }
    }
    charged(&mut comprehension.loop_cond);
}

fn charge_call(call: &mut CallExpr, types: &HashMap<u64, Ty>) {
    match call.func_name.as_str() {
        operators::EQUALS | operators::NOT_EQUALS => {
            let ordered = |part: &IdedExpr| matches!(types.get(&part.id), Some(Ty::List(_) | Ty::Dyn));
            if call.args.iter().any(ordered) {
                let args = std::mem::take(&mut call.args);
                let id = args.first().map_or(0, |first| first.id);
                let equal = CallExpr { func_name: EQUAL.to_owned(), target: None, args };
                let equal = IdedExpr { id, expr: Expr::Call(equal) };
                let truth = cel::common::ast::LiteralValue::Boolean(true.into());
                // `a != b` becomes `@equal(a, b) != true`.
                call.args = vec![equal, IdedExpr { id, expr: Expr::Literal(truth) }];
            }
            charge_first(call);
        }
        operators::ADD | operators::IN => call.args.iter_mut().for_each(charged),
        name if name.starts_with(|c: char| c.is_ascii_alphabetic()) => match &mut call.target {
            Some(target) if !is_namespace(target, &call.func_name) => charged(target),
            _ => charge_first(call),
        },
        _ => {}
    }
}

fn charge_first(call: &mut CallExpr) {
    if let Some(first) = call.args.first_mut() {
        charged(first);
    }
}

/// Whether what looks like a receiver is the first half of a function's name: `optional` of `optional.of(x)`.
fn is_namespace(target: &IdedExpr, function: &str) -> bool {
    matches!(&target.expr, Expr::Ident(prefix) if signatures(&format!("{prefix}.{function}")).is_some())
}
