//! The functions that Kubernetes adds to CEL.

mod format;
mod ip;
mod lists;
mod quantity;
mod semver;
mod strings;
mod url;

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, CelInt, CelString, DYN_TYPE};
use cel::common::value::{CowVal, FromVal, Val};
use cel::{DeclarationError, Env, ExecutionError, extensions};

use super::budget;

/// The environment that every rule is read and evaluated in.
pub(super) static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    if let Err(error) = extend(&mut env) {
        // Tests build the environment: a name that is declared twice does not get past them.
        tracing::error!(%error, "some functions of rules are missing");
    }
    Arc::new(env)
});

fn extend(env: &mut Env) -> Result<(), DeclarationError> {
    extensions::strings(env)?;
    extensions::lists(env)?;
    budget::register(env)?;
    strings::register(env)?;
    lists::register(env)?;
    url::register(env)?;
    ip::register(env)?;
    quantity::register(env)?;
    semver::register(env)?;
    format::register(env)
}

/// Whether a literal argument is one that the function can do nothing with.
pub(super) fn literal_problem(function: &str, text: &str) -> bool {
    if function == "matches" {
        return regex::Regex::new(text).is_err();
    }
    let arguments = vec![CowVal::owned(CelString::from(text.to_owned()))];
    ENV.find_overload(function, &arguments).is_some_and(|function| function(arguments).is_err())
}

/// What a function was given at a place, as the type that it was declared for.
fn given<'a, 'v, T: FromVal<'a, 'v>>(
    arguments: &'a [CowVal<'_, 'v>],
    at: usize,
) -> Result<&'a T, ExecutionError> {
    let argument = arguments.get(at).ok_or(ExecutionError::MissingArgumentOrTarget)?;
    argument.as_ref().downcast_ref::<T>().ok_or_else(|| ExecutionError::UnexpectedType {
        got: argument.get_type().name().to_owned(),
        want: std::any::type_name::<T>().to_owned(),
    })
}

fn text<'a>(arguments: &'a [CowVal<'_, '_>], at: usize) -> Result<&'a str, ExecutionError> {
    Ok(given::<CelString<'_>>(arguments, at)?.inner())
}

fn int(arguments: &[CowVal<'_, '_>], at: usize) -> Result<i64, ExecutionError> {
    Ok(*given::<CelInt>(arguments, at)?.inner())
}

#[expect(clippy::unnecessary_wraps, reason = "what every function of a rule returns")]
fn answer<'b, 'v>(value: impl Val + 'v) -> Result<CowVal<'b, 'v>, ExecutionError> {
    Ok(CowVal::owned(value))
}

fn yes<'b, 'v>(flag: bool) -> Result<CowVal<'b, 'v>, ExecutionError> {
    answer(CelBool::from(flag))
}

fn number<'b, 'v>(number: i64) -> Result<CowVal<'b, 'v>, ExecutionError> {
    answer(CelInt::from(number))
}

fn words<'b, 'v>(text: impl Into<String>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    answer(CelString::from(text.into()))
}

fn failed(function: &str, message: impl ToString) -> ExecutionError {
    ExecutionError::function_error(function, message)
}

/// Makes a plain Rust type a value that only its own functions can handle.
macro_rules! opaque {
    ($ty:ty, $name:literal, $constant:ident) => {
        static $constant: cel::common::types::Type = cel::common::types::Type::new_unspecified_type($name);

        impl cel::common::value::Val for $ty {
            fn get_type(&self) -> &cel::common::types::Type {
                &$constant
            }

            fn cel_type() -> &'static cel::common::types::Type {
                &$constant
            }

            fn equals(&self, other: &dyn cel::common::value::Val) -> bool {
                other.downcast_ref::<Self>().is_some_and(|other| self == other)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn cel::common::value::Val + 'v> {
                Box::new(self.clone())
            }

            fn as_any(&self) -> Option<&dyn std::any::Any> {
                Some(self)
            }
        }

        impl cel::common::value::StaticVal for $ty {}
    };
}
use opaque;

/// A parameter of any type.
const ANY: cel::common::types::Type = DYN_TYPE;
