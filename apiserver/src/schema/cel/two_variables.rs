//! Comprehensions that name the index or the key beside the element: `self.ports.all(i, p, p.number > i)`.
//!
//! The crate reads and evaluates comprehensions over one variable. These are read by macros of ours, checked with both
//! variables, and then lowered: they go over pairs, and what named a variable takes its half of the pair.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators};
use cel::common::types::{CelInt, CelList, CelMap, DYN_TYPE};
use cel::common::value::{CowVal, Val};
use cel::parser::{Macro, MacroExprHelper, ParseError};
use cel::{DeclarationError, Env, ExecutionError};

use super::lists::elements;
use super::walk;

/// What no expression can be written with.
const RESULT: &str = "@result";
const PAIR: &str = "@pair";
const ENTRIES: &str = "@entries";

/// How a macro folds its elements.
#[derive(Clone, Copy)]
enum Fold {
    All,
    Exists,
    ExistsOne,
    TransformList,
}

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    let macros = [
        ("all", 3, Fold::All),
        ("exists", 3, Fold::Exists),
        ("existsOne", 3, Fold::ExistsOne),
        ("exists_one", 3, Fold::ExistsOne),
        ("transformList", 3, Fold::TransformList),
        ("transformList", 4, Fold::TransformList),
    ];
    for (name, arguments, fold) in macros {
        env.add_macro(Macro::receiver(name, arguments, move |helper, target, args| {
            let Some(range) = target.take() else { return Ok(None) };
            expand(helper, range, std::mem::take(args), fold).map(Some)
        }))?;
    }
    env.add_overload(ENTRIES, "entries", vec![DYN_TYPE], |arguments| entries(arguments[0].as_ref()))
}

/// Makes parts of an expression, each with a number of its own: types are kept by number.
struct Maker<'a, 'h>(&'a mut MacroExprHelper<'h>);

impl Maker<'_, '_> {
    fn make(&mut self, expr: Expr) -> IdedExpr {
        self.0.next_expr(expr)
    }

    fn call(&mut self, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
        self.make(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
    }

    fn so_far(&mut self) -> IdedExpr {
        self.make(Expr::Ident(RESULT.to_owned()))
    }

    fn truth(&mut self, flag: bool) -> IdedExpr {
        self.make(Expr::Literal(LiteralValue::Boolean(flag.into())))
    }

    fn int(&mut self, number: i64) -> IdedExpr {
        self.make(Expr::Literal(LiteralValue::Int(CelInt::from(number))))
    }

    fn list(&mut self, elements: Vec<IdedExpr>) -> IdedExpr {
        self.make(Expr::List(ListExpr::new(elements)))
    }

    fn variable(&mut self, written: Option<IdedExpr>) -> Result<String, ParseError> {
        let written = written.unwrap_or_default();
        match written.expr {
            Expr::Ident(name) => Ok(name),
            _ => Err(self.0.new_error(written.id, "argument must be a simple name")),
        }
    }
}

fn expand(
    helper: &mut MacroExprHelper<'_>,
    iter_range: IdedExpr,
    args: Vec<IdedExpr>,
    fold: Fold,
) -> Result<IdedExpr, ParseError> {
    let (mut maker, mut args) = (Maker(helper), args.into_iter());
    let (iter_var, iter_var2) = (maker.variable(args.next())?, Some(maker.variable(args.next())?));
    let (first, second) = (args.next().unwrap_or_default(), args.next());
    let (accu_init, loop_cond, loop_step, result);
    match fold {
        Fold::All => {
            accu_init = maker.truth(true);
            let so_far = maker.so_far();
            loop_cond = maker.call(operators::NOT_STRICTLY_FALSE, vec![so_far]);
            let so_far = maker.so_far();
            loop_step = maker.call(operators::LOGICAL_AND, vec![so_far, first]);
            result = maker.so_far();
        }
        Fold::Exists => {
            accu_init = maker.truth(false);
            let so_far = maker.so_far();
            let none_yet = maker.call(operators::LOGICAL_NOT, vec![so_far]);
            loop_cond = maker.call(operators::NOT_STRICTLY_FALSE, vec![none_yet]);
            let so_far = maker.so_far();
            loop_step = maker.call(operators::LOGICAL_OR, vec![so_far, first]);
            result = maker.so_far();
        }
        Fold::ExistsOne => {
            accu_init = maker.int(0);
            loop_cond = maker.truth(true);
            let (so_far, one, same) = (maker.so_far(), maker.int(1), maker.so_far());
            let more = maker.call(operators::ADD, vec![so_far, one]);
            loop_step = maker.call(operators::CONDITIONAL, vec![first, more, same]);
            let (found, one) = (maker.so_far(), maker.int(1));
            result = maker.call(operators::EQUALS, vec![found, one]);
        }
        Fold::TransformList => {
            accu_init = maker.list(Vec::new());
            loop_cond = maker.truth(true);
            let (filter, made) = match second {
                Some(made) => (Some(first), made),
                None => (None, first),
            };
            let (so_far, made) = (maker.so_far(), maker.list(vec![made]));
            let more = maker.call(operators::ADD, vec![so_far, made]);
            loop_step = match filter {
                Some(filter) => {
                    let same = maker.so_far();
                    maker.call(operators::CONDITIONAL, vec![filter, more, same])
                }
                None => more,
            };
            result = maker.so_far();
        }
    }
    let accu_var = RESULT.to_owned();
    let comprehension = ComprehensionExpr {
        iter_range,
        iter_var,
        iter_var2,
        accu_var,
        accu_init,
        loop_cond,
        loop_step,
        result,
    };
    Ok(maker.make(Expr::Comprehension(Box::new(comprehension))))
}

/// Makes every comprehension over two variables one over pairs.
pub(super) fn lower(expression: &mut IdedExpr) {
    walk::children_mut(expression, &mut lower);
    let id = expression.id;
    let Expr::Comprehension(comprehension) = &mut expression.expr else { return };
    let Some(second) = comprehension.iter_var2.take() else { return };
    let pair = format!("{PAIR}{id}");
    let halves = [(comprehension.iter_var.clone(), 0), (second, 1)];
    for part in [&mut comprehension.loop_cond, &mut comprehension.loop_step] {
        for (variable, half) in &halves {
            replace(part, variable, &pair, *half);
        }
    }
    let range = std::mem::take(&mut comprehension.iter_range);
    let (of, call) = (range.id, CallExpr { func_name: ENTRIES.to_owned(), target: None, args: vec![range] });
    comprehension.iter_range = IdedExpr { id: of, expr: Expr::Call(call) };
    comprehension.iter_var = pair;
}

/// Puts half a pair where a variable is named, but where another variable has its name.
fn replace(expression: &mut IdedExpr, variable: &str, pair: &str, half: i64) {
    match &mut expression.expr {
        Expr::Ident(name) if name == variable => {
            let id = expression.id;
            let pair = IdedExpr { id, expr: Expr::Ident(pair.to_owned()) };
            let half = IdedExpr { id, expr: Expr::Literal(LiteralValue::Int(CelInt::from(half))) };
            let call =
                CallExpr { func_name: operators::INDEX.to_owned(), target: None, args: vec![pair, half] };
            expression.expr = Expr::Call(call);
        }
        Expr::Comprehension(inner) if inner.iter_var == variable => {
            replace(&mut inner.iter_range, variable, pair, half);
        }
        _ => walk::children_mut(expression, &mut |child| replace(child, variable, pair, half)),
    }
}

/// Index and element of a list, key and value of a map.
fn entries<'b, 'v>(of: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let pair = |one: Box<dyn Val + 'v>, other: Box<dyn Val + 'v>| -> Box<dyn Val + 'v> {
        Box::new(CelList::from(vec![one, other]))
    };
    let mut pairs = Vec::new();
    if let Some(map) = of.downcast_ref::<CelMap<'v>>() {
        for (key, value) in map.inner() {
            pairs.push(pair(key.inner().clone_as_boxed(), value.clone_as_boxed()));
        }
    } else {
        let (mut list, mut index) = (elements(of)?, 0);
        while let Some(element) = list.next() {
            pairs.push(pair(Box::new(CelInt::from(index)), element.clone_as_boxed()));
            index += 1;
        }
    }
    Ok(CowVal::owned(CelList::from(pairs)))
}
