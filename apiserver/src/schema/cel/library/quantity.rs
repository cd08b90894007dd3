//! Resource quantities.

use cel::common::types::{CelDouble, INT_TYPE, STRING_TYPE};
use cel::{DeclarationError, Env, ExecutionError};
use serde_json::Value;

use super::{answer, failed, given, int, number, opaque, text, yes};
use crate::builtin::quantity::quantity;

/// An amount in billionths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quantity(i128);

/// Billionths in one.
const ONE: i128 = 1_000_000_000;

opaque!(Quantity, "kubernetes.Quantity", TYPE);

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_type(TYPE.to_owned())?;
    env.add_overload("quantity", "string_to_quantity", vec![STRING_TYPE], |a| answer(parse(text(&a, 0)?)?))?;
    env.add_overload("isQuantity", "is_quantity_string", vec![STRING_TYPE], |a| {
        yes(parse(text(&a, 0)?).is_ok())
    })?;
    env.add_overload("sign", "quantity_sign", vec![TYPE.to_owned()], |a| {
        number(given::<Quantity>(&a, 0)?.sign())
    })?;
    env.add_member_overload("sign", "quantity_member_sign", TYPE.to_owned(), vec![], |a| {
        number(given::<Quantity>(&a, 0)?.sign())
    })?;
    let pair = || vec![TYPE.to_owned()];
    env.add_member_overload("isGreaterThan", "quantity_is_greater_than", TYPE.to_owned(), pair(), |a| {
        yes(given::<Quantity>(&a, 0)? > given::<Quantity>(&a, 1)?)
    })?;
    env.add_member_overload("isLessThan", "quantity_is_less_than", TYPE.to_owned(), pair(), |a| {
        yes(given::<Quantity>(&a, 0)? < given::<Quantity>(&a, 1)?)
    })?;
    env.add_member_overload("compareTo", "quantity_compare_to", TYPE.to_owned(), pair(), |a| {
        number(given::<Quantity>(&a, 0)?.cmp(given::<Quantity>(&a, 1)?) as i64)
    })?;
    env.add_member_overload("asApproximateFloat", "quantity_get_float", TYPE.to_owned(), vec![], |a| {
        answer(CelDouble::from(given::<Quantity>(&a, 0)?.0 as f64 / ONE as f64))
    })?;
    env.add_member_overload("asInteger", "quantity_get_int", TYPE.to_owned(), vec![], |a| {
        number(
            given::<Quantity>(&a, 0)?
                .whole()
                .ok_or_else(|| failed("asInteger", "cannot convert value to integer"))?,
        )
    })?;
    env.add_member_overload("isInteger", "quantity_is_integer", TYPE.to_owned(), vec![], |a| {
        yes(given::<Quantity>(&a, 0)?.whole().is_some())
    })?;
    env.add_member_overload("add", "quantity_add", TYPE.to_owned(), pair(), |a| {
        answer(Quantity(given::<Quantity>(&a, 0)?.0.saturating_add(given::<Quantity>(&a, 1)?.0)))
    })?;
    env.add_member_overload("add", "quantity_add_int", TYPE.to_owned(), vec![INT_TYPE], |a| {
        answer(Quantity(given::<Quantity>(&a, 0)?.0.saturating_add(i128::from(int(&a, 1)?) * ONE)))
    })?;
    env.add_member_overload("sub", "quantity_sub", TYPE.to_owned(), pair(), |a| {
        answer(Quantity(given::<Quantity>(&a, 0)?.0.saturating_sub(given::<Quantity>(&a, 1)?.0)))
    })?;
    env.add_member_overload("sub", "quantity_sub_int", TYPE.to_owned(), vec![INT_TYPE], |a| {
        answer(Quantity(given::<Quantity>(&a, 0)?.0.saturating_sub(i128::from(int(&a, 1)?) * ONE)))
    })
}

impl Quantity {
    fn sign(&self) -> i64 {
        self.0.signum() as i64
    }

    fn whole(&self) -> Option<i64> {
        if self.0 % ONE == 0 { i64::try_from(self.0 / ONE).ok() } else { None }
    }
}

fn parse(text: &str) -> Result<Quantity, ExecutionError> {
    let wrong = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    quantity(&Value::from(text)).map(Quantity).ok_or_else(|| failed("quantity", wrong))
}
