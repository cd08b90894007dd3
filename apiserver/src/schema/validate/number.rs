//! Bounds of numbers.

use std::cmp::Ordering;

use serde_json::Number;

use super::{Limits, about};
use crate::schema::{ErrorKind, FieldError, Type};

/// Whether the number fits its format; only the schemas of built-in kinds have number formats.
pub(super) fn range(
    format: Option<&str>,
    ty: Option<Type>,
    number: &Number,
    path: &str,
) -> Option<FieldError> {
    if ty != Some(Type::Integer) {
        return None;
    }
    let fits = match (format, number.as_i64()) {
        (Some("int32"), Some(n)) => i32::try_from(n).is_ok(),
        (Some("int32" | "int64"), None) => number.is_f64(),
        _ => true,
    };
    (!fits).then(|| {
        let format = format.unwrap_or_default();
        let message = about(path, format_args!("must be of type integer with format {format}"));
        FieldError::new(path, ErrorKind::TypeInvalid, message, Some(number.clone().into()))
    })
}

/// The bounds and the factor a number breaks.
pub(super) fn limits(limits: &Limits, number: &Number, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut fail = |rule: String| {
        errors.push(FieldError::invalid(path, number.clone(), about(path, format_args!("{rule}"))));
    };
    if let Some(factor) = &limits.multiple_of {
        // Of a factor with a fraction, whole numbers are held to its whole part, as in Kubernetes.
        let whole = number.as_i128().and(factor.as_f64()).map(|factor| factor.trunc() as i64);
        match whole {
            Some(factor) if factor <= 0 => {
                let message = format!("factor MultipleOf declared for {path} must be positive: {factor}");
                return vec![FieldError::invalid(path, factor, message)];
            }
            Some(whole) if !is_multiple(number, &whole.into()) => {
                fail(format!("should be a multiple of {whole}"));
            }
            None if !is_multiple(number, factor) => fail(format!("should be a multiple of {}", show(factor))),
            _ => {}
        }
    }
    if let Some(maximum) = &limits.maximum {
        match compare(number, maximum) {
            Ordering::Greater if !limits.exclusive_maximum => {
                fail(format!("should be less than or equal to {}", show(maximum)));
            }
            Ordering::Greater | Ordering::Equal if limits.exclusive_maximum => {
                fail(format!("should be less than {}", show(maximum)));
            }
            _ => {}
        }
    }
    if let Some(minimum) = &limits.minimum {
        match compare(number, minimum) {
            Ordering::Less if !limits.exclusive_minimum => {
                fail(format!("should be greater than or equal to {}", show(minimum)));
            }
            Ordering::Less | Ordering::Equal if limits.exclusive_minimum => {
                fail(format!("should be greater than {}", show(minimum)));
            }
            _ => {}
        }
    }
    errors
}

fn compare(a: &Number, b: &Number) -> Ordering {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
    }
}

fn is_multiple(number: &Number, factor: &Number) -> bool {
    if let (Some(number), Some(factor)) = (number.as_i128(), factor.as_i128()) {
        return factor > 0 && number % factor == 0;
    }
    let (number, factor) = (number.as_f64().unwrap_or_default(), factor.as_f64().unwrap_or_default());
    // Decimal factors have no exact binary form: 0.3 counts as a multiple of 0.1.
    let quotient = number / factor;
    factor > 0.0 && (quotient - quotient.round()).abs() < 1e-9
}

/// A bound without a trailing `.0`.
fn show(number: &Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
