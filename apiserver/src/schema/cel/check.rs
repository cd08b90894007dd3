//! Checking an expression against the types of what it names, in the words of Kubernetes.

use std::collections::HashMap;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr,
    operators,
};

use super::signatures::{named_type, signatures};
use super::types::{Bindings, Ty};

/// Something wrong with an expression; the number is that of the part it is about.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) at: u64,
    pub(super) message: String,
}

/// What checking found out.
pub(super) struct Checked {
    /// The type of the whole.
    pub(super) ty: Ty,
    /// The types of the parts, by their numbers.
    pub(super) types: HashMap<u64, Ty>,
    /// Whether `oldSelf` is mentioned.
    pub(super) uses_old: bool,
}

/// Checks an expression whose variables have these types.
pub(super) fn check(expression: &IdedExpr, variables: &[(&str, Ty)]) -> Result<Checked, Vec<Problem>> {
    let scope = variables.iter().map(|(name, ty)| ((*name).to_owned(), ty.clone())).collect();
    let mut checker = Checker { scope, ..Checker::default() };
    checker.check(expression);
    checker.homogeneous(expression, false);
    if !checker.problems.is_empty() {
        return Err(checker.problems);
    }
    let types: HashMap<u64, Ty> =
        checker.types.iter().map(|(id, ty)| (*id, checker.bindings.settle(ty))).collect();
    let ty = types.get(&expression.id).cloned().unwrap_or(Ty::Dyn);
    Ok(Checked { ty, types, uses_old: checker.uses_old })
}

#[derive(Default)]
struct Checker {
    /// Variables, the innermost last.
    scope: Vec<(String, Ty)>,
    bindings: Bindings,
    types: HashMap<u64, Ty>,
    problems: Vec<Problem>,
    uses_old: bool,
}

impl Checker {
    fn problem(&mut self, at: u64, message: String) {
        self.problems.push(Problem { at, message });
    }

    fn undeclared(&mut self, at: u64, name: &str) -> Ty {
        self.problem(at, format!("undeclared reference to '{name}' (in container '')"));
        Ty::Error
    }

    fn mismatch(&mut self, at: u64, wanted: &Ty, found: &Ty) {
        self.problem(at, format!("expected type '{wanted}' but found '{found}'"));
    }

    fn variable(&mut self, name: &str) -> Option<Ty> {
        let found = self.scope.iter().rev().find(|(known, _)| known == name).map(|(_, ty)| ty.clone());
        if found.is_some() && name == super::OLD_SELF {
            self.uses_old = true;
        }
        found.or_else(|| named_type(name).map(|ty| Ty::Type(ty.into())))
    }

    fn check(&mut self, expression: &IdedExpr) -> Ty {
        let ty = match &expression.expr {
            Expr::Literal(literal) => literal_type(literal),
            Expr::Ident(name) => match self.variable(name) {
                Some(ty) => ty,
                None => self.undeclared(expression.id, name),
            },
            Expr::Select(select) => self.select(expression, select),
            Expr::Call(call) => self.call(expression.id, call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(comprehension) => self.comprehension(expression.id, comprehension),
            // Objects are read, not made: no expression can name a type that has fields.
            Expr::Struct(made) => self.undeclared(expression.id, &made.type_name),
            Expr::Unspecified => Ty::Error,
        };
        self.types.insert(expression.id, ty.clone());
        ty
    }

    fn select(&mut self, expression: &IdedExpr, select: &SelectExpr) -> Ty {
        if let Some(name) = qualified(expression)
            && let Some(ty) = self.variable(&name)
        {
            return ty;
        }
        let ty = self.field(expression.id, &select.operand, &select.field, false);
        if select.test { Ty::Bool } else { self.bindings.resolve(&ty) }
    }

    fn field(&mut self, at: u64, operand: &IdedExpr, field: &str, optional: bool) -> Ty {
        let operand = self.check(operand);
        let operand = self.bindings.resolve(&operand);
        let (target, is_optional) = operand.unwrap_optional();
        let ty = match target {
            Ty::Map(_, value) => Ty::clone(value),
            Ty::Object(object) => object.field(field).cloned().unwrap_or_else(|| {
                self.problem(at, format!("undefined field '{field}'"));
                Ty::Error
            }),
            Ty::Var(_) => {
                self.bindings.assign(&Ty::Dyn, target);
                Ty::Dyn
            }
            other => {
                if !other.is_dyn_or_error() {
                    self.problem(at, format!("type '{other}' does not support field selection"));
                }
                Ty::Dyn
            }
        };
        if optional || is_optional { Ty::optional(ty) } else { ty }
    }

    fn call(&mut self, at: u64, call: &CallExpr) -> Ty {
        if call.func_name == operators::OPT_SELECT {
            return self.optional_select(at, call);
        }
        let arguments: Vec<Ty> = call.args.iter().map(|argument| self.check(argument)).collect();
        let Some(target) = &call.target else {
            return self.resolve(at, &call.func_name, None, arguments, &call.args);
        };
        if let Some(prefix) = qualified(target) {
            let name = format!("{prefix}.{}", call.func_name);
            if signatures(&name).is_some() {
                return self.resolve(at, &name, None, arguments, &call.args);
            }
        }
        let target = self.check(target);
        self.resolve(at, &call.func_name, Some(target), arguments, &call.args)
    }

    fn optional_select(&mut self, at: u64, call: &CallExpr) -> Ty {
        let [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(field)), .. }] =
            call.args.as_slice()
        else {
            self.problem(at, "unsupported optional field selection: incorrect signature.".to_owned());
            return Ty::Error;
        };
        let ty = self.field(at, operand, field.inner(), true);
        self.bindings.resolve(&ty)
    }

    /// The type of a call, by the signatures that its arguments fit.
    fn resolve(
        &mut self,
        at: u64,
        name: &str,
        target: Option<Ty>,
        arguments: Vec<Ty>,
        written: &[IdedExpr],
    ) -> Ty {
        let Some(known) = signatures(name) else { return self.undeclared(at, name) };
        if matches!(name, operators::LOGICAL_AND | operators::LOGICAL_OR) {
            for (argument, written) in arguments.iter().zip(written) {
                if !self.bindings.assign(argument, &Ty::Bool) {
                    let argument = self.bindings.settle(argument);
                    self.mismatch(written.id, &Ty::Bool, &argument);
                }
            }
            return Ty::Bool;
        }
        let member = target.is_some();
        let given: Vec<Ty> = target.into_iter().chain(arguments).collect();
        let mut result: Option<Ty> = None;
        for signature in known.iter().filter(|s| s.member == member && s.parameters.len() == given.len()) {
            let first = self.bindings.reserve(signature.variables);
            let parameters: Vec<Ty> = signature.parameters.iter().map(|ty| ty.shifted(first)).collect();
            if !self.bindings.assign_all(given.iter().zip(&parameters)) {
                continue;
            }
            let ty = self.bindings.resolve(&signature.result.shifted(first));
            result = Some(match result {
                Some(known) if !matches!(known, Ty::Dyn) && !known.same(&ty) => Ty::Dyn,
                Some(known) => known,
                None => ty,
            });
        }
        result.unwrap_or_else(|| {
            let shown: Vec<String> = given.iter().map(|ty| self.bindings.settle(ty).to_string()).collect();
            let applied = match shown.split_first() {
                Some((target, rest)) if member => format!("{target}.({})", rest.join(", ")),
                _ => format!("({})", shown.join(", ")),
            };
            self.problem(at, format!("found no matching overload for '{name}' applied to '{applied}'"));
            Ty::Error
        })
    }

    fn list(&mut self, list: &ListExpr) -> Ty {
        let mut joined: Option<Ty> = None;
        for (index, element) in list.elements.iter().enumerate() {
            let mut ty = self.check(element);
            if list.optional_indices.contains(&index) {
                ty = self.unwrapped(element.id, &ty);
            }
            joined = Some(self.join(joined, ty));
        }
        Ty::list(joined.unwrap_or_else(|| self.bindings.fresh()))
    }

    fn map(&mut self, map: &MapExpr) -> Ty {
        let (mut keys, mut values) = (None, None);
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
            let key = self.check(&entry.key);
            keys = Some(self.join(keys, key));
            let mut value = self.check(&entry.value);
            if entry.optional {
                value = self.unwrapped(entry.value.id, &value);
            }
            values = Some(self.join(values, value));
        }
        let keys = keys.unwrap_or_else(|| self.bindings.fresh());
        Ty::map(keys, values.unwrap_or_else(|| self.bindings.fresh()))
    }

    fn unwrapped(&mut self, at: u64, ty: &Ty) -> Ty {
        let (inner, is_optional) = ty.unwrap_optional();
        if !is_optional && !matches!(inner, Ty::Dyn) {
            self.mismatch(at, &Ty::optional(inner.clone()), inner);
        }
        inner.clone()
    }

    /// The type of what has elements of these types: `dyn` where they differ, which [`Checker::homogeneous`] judges.
    fn join(&mut self, previous: Option<Ty>, current: Ty) -> Ty {
        let Some(previous) = previous else { return current };
        self.bindings.join(&previous, &current).unwrap_or(Ty::Dyn)
    }

    fn comprehension(&mut self, at: u64, comprehension: &ComprehensionExpr) -> Ty {
        let range = self.check(&comprehension.iter_range);
        let accumulator = self.check(&comprehension.accu_init);
        let range = self.bindings.resolve(&range);
        let outside = self.scope.len();
        self.scope.push((comprehension.accu_var.clone(), accumulator.clone()));
        let element = match &range {
            Ty::List(element) => Ty::clone(element),
            Ty::Map(key, _) => Ty::clone(key),
            Ty::Var(_) => {
                self.bindings.assign(&Ty::Dyn, &range);
                Ty::Dyn
            }
            other if other.is_dyn_or_error() => Ty::Dyn,
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.problem(comprehension.iter_range.id, message);
                Ty::Error
            }
        };
        if comprehension.iter_var2.is_some() {
            let message = "comprehensions over two variables are not supported by this server".to_owned();
            self.problem(at, message);
        }
        self.scope.push((comprehension.iter_var.clone(), element));
        self.check(&comprehension.loop_cond);
        self.expect(&comprehension.loop_cond, &Ty::Bool);
        self.check(&comprehension.loop_step);
        self.expect(&comprehension.loop_step, &accumulator);
        self.scope.truncate(outside + 1);
        let result = self.check(&comprehension.result);
        self.scope.truncate(outside);
        self.bindings.resolve(&result)
    }

    fn expect(&mut self, expression: &IdedExpr, wanted: &Ty) {
        let found = self.types.get(&expression.id).cloned().unwrap_or(Ty::Error);
        if !self.bindings.assign(wanted, &found) {
            let (wanted, found) = (self.bindings.settle(wanted), self.bindings.settle(&found));
            self.mismatch(expression.id, &wanted, &found);
        }
    }

    /// The elements of a literal list or map are of one type, but for what is formatted.
    fn homogeneous(&mut self, expression: &IdedExpr, exempt: bool) {
        let exempt = exempt || matches!(&expression.expr, Expr::Call(call) if call.func_name == "format");
        if !exempt && self.problems.is_empty() {
            let elements: Vec<Vec<&IdedExpr>> = match &expression.expr {
                Expr::List(list) => vec![list.elements.iter().collect()],
                Expr::Map(map) => {
                    let entries = map.entries.iter().filter_map(|entry| match &entry.expr {
                        EntryExpr::MapEntry(entry) => Some((&entry.key, &entry.value)),
                        EntryExpr::StructField(_) => None,
                    });
                    let (keys, values): (Vec<_>, Vec<_>) = entries.unzip();
                    vec![keys, values]
                }
                _ => Vec::new(),
            };
            for group in elements {
                self.one_type(&group);
            }
        }
        super::walk::children(expression, &mut |child| self.homogeneous(child, exempt));
    }

    fn one_type(&mut self, group: &[&IdedExpr]) {
        let ty = |checker: &Self, part: &IdedExpr| {
            let ty = checker.types.get(&part.id).cloned().unwrap_or(Ty::Dyn);
            checker.bindings.settle(&ty)
        };
        let Some((first, rest)) = group.split_first() else { return };
        let first = ty(self, first);
        let (first, _) = first.unwrap_optional();
        for part in rest {
            let found = ty(self, part);
            let (found, _) = found.unwrap_optional();
            if !first.same(found) {
                self.mismatch(part.id, first, found);
                return;
            }
        }
    }
}

/// The dotted name that an expression spells, if it does.
fn qualified(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified(&select.operand)?, select.field))
        }
        _ => None,
    }
}

fn literal_type(literal: &LiteralValue) -> Ty {
    match literal {
        LiteralValue::Boolean(_) => Ty::Bool,
        LiteralValue::Bytes(_) => Ty::Bytes,
        LiteralValue::Double(_) => Ty::Double,
        LiteralValue::Int(_) => Ty::Int,
        LiteralValue::Null => Ty::Null,
        LiteralValue::String(_) => Ty::String,
        LiteralValue::UInt(_) => Ty::Uint,
    }
}
