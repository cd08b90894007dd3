//! Going through the parts of an expression.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// Calls with every part one level below, in the order of writing.
pub(super) fn children<'e>(expression: &'e IdedExpr, each: &mut dyn FnMut(&'e IdedExpr)) {
    match &expression.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(each),
        Expr::Select(select) => each(&select.operand),
        Expr::List(list) => list.elements.iter().for_each(each),
        Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                each(&entry.key);
                each(&entry.value);
            }
            EntryExpr::StructField(field) => each(&field.value),
        }),
        Expr::Comprehension(c) => {
            [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result].into_iter().for_each(each);
        }
        Expr::Struct(made) => made.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => each(&entry.value),
            EntryExpr::StructField(field) => each(&field.value),
        }),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

/// Like [`children`], to change them.
pub(super) fn children_mut(expression: &mut IdedExpr, each: &mut dyn FnMut(&mut IdedExpr)) {
    match &mut expression.expr {
        Expr::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.args).for_each(each),
        Expr::Select(select) => each(&mut select.operand),
        Expr::List(list) => list.elements.iter_mut().for_each(each),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| match &mut entry.expr {
            EntryExpr::MapEntry(entry) => {
                each(&mut entry.key);
                each(&mut entry.value);
            }
            EntryExpr::StructField(field) => each(&mut field.value),
        }),
        Expr::Comprehension(c) => {
            let parts =
                [&mut c.iter_range, &mut c.accu_init, &mut c.loop_cond, &mut c.loop_step, &mut c.result];
            parts.into_iter().for_each(each);
        }
        Expr::Struct(made) => made.entries.iter_mut().for_each(|entry| match &mut entry.expr {
            EntryExpr::MapEntry(entry) => each(&mut entry.value),
            EntryExpr::StructField(field) => each(&mut field.value),
        }),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}
