//! `find` and `findAll`, and functions that the crate has only one spelling of.

use cel::common::types::{CelList, CelString, INT_TYPE, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::{answer, failed, int, text, words};

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_member_overload("find", "string_find_string", STRING_TYPE, vec![STRING_TYPE], |arguments| {
        let found =
            regex(text(&arguments, 1)?)?.find(text(&arguments, 0)?).map(|found| found.as_str().to_owned());
        words(found.unwrap_or_default())
    })?;
    env.add_member_overload(
        "findAll",
        "string_find_all_string",
        STRING_TYPE,
        vec![STRING_TYPE],
        |arguments| find_all(&arguments, usize::MAX),
    )?;
    let parameters = vec![STRING_TYPE, INT_TYPE];
    env.add_member_overload("findAll", "string_find_all_string_int", STRING_TYPE, parameters, |arguments| {
        // A negative limit is none.
        find_all(&arguments, usize::try_from(int(&arguments, 2)?).unwrap_or(usize::MAX))
    })
}

fn regex(pattern: &str) -> Result<regex::Regex, ExecutionError> {
    regex::Regex::new(pattern).map_err(|error| failed("find", format!("Illegal regex: {error}")))
}

fn find_all<'b, 'v>(arguments: &[CowVal<'b, 'v>], limit: usize) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (this, pattern) = (text(arguments, 0)?, regex(text(arguments, 1)?)?);
    let found = pattern.find_iter(this).take(limit);
    let found: Vec<Box<dyn Val + 'v>> = found
        .map(|found| Box::new(CelString::from(found.as_str().to_owned())) as Box<dyn Val + 'v>)
        .collect();
    answer(CelList::from(found))
}
