//! Semantic versions.

use std::cmp::Ordering;

use cel::common::types::{BOOL_TYPE, CelBool, STRING_TYPE};
use cel::{DeclarationError, Env, ExecutionError};

use super::{answer, failed, given, number, opaque, text, yes};

/// A version; what is built from the same version is the same.
#[derive(Debug, Clone)]
pub(super) struct Semver {
    numbers: [u64; 3],
    prerelease: Vec<Part>,
}

/// Numbers come before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

opaque!(Semver, "kubernetes.Semver", TYPE);

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_type(TYPE.to_owned())?;
    let loose = || vec![STRING_TYPE, BOOL_TYPE];
    env.add_overload("semver", "string_to_semver", vec![STRING_TYPE], |a| {
        answer(parse(text(&a, 0)?, false)?)
    })?;
    env.add_overload("semver", "string_bool_to_semver", loose(), |a| {
        answer(parse(text(&a, 0)?, *given::<CelBool>(&a, 1)?.inner())?)
    })?;
    env.add_overload("isSemver", "is_semver_string", vec![STRING_TYPE], |a| {
        yes(parse(text(&a, 0)?, false).is_ok())
    })?;
    env.add_overload("isSemver", "is_semver_string_bool", loose(), |a| {
        yes(parse(text(&a, 0)?, *given::<CelBool>(&a, 1)?.inner()).is_ok())
    })?;
    let pair = || vec![TYPE.to_owned()];
    env.add_member_overload("isGreaterThan", "semver_is_greater_than", TYPE.to_owned(), pair(), |a| {
        yes(given::<Semver>(&a, 0)? > given::<Semver>(&a, 1)?)
    })?;
    env.add_member_overload("isLessThan", "semver_is_less_than", TYPE.to_owned(), pair(), |a| {
        yes(given::<Semver>(&a, 0)? < given::<Semver>(&a, 1)?)
    })?;
    env.add_member_overload("compareTo", "semver_compare_to", TYPE.to_owned(), pair(), |a| {
        number(given::<Semver>(&a, 0)?.cmp(given::<Semver>(&a, 1)?) as i64)
    })?;
    env.add_member_overload("major", "semver_major", TYPE.to_owned(), vec![], |a| part(given(&a, 0)?, 0))?;
    env.add_member_overload("minor", "semver_minor", TYPE.to_owned(), vec![], |a| part(given(&a, 0)?, 1))?;
    env.add_member_overload("patch", "semver_patch", TYPE.to_owned(), vec![], |a| part(given(&a, 0)?, 2))
}

fn part<'b, 'v>(version: &Semver, at: usize) -> Result<cel::common::value::CowVal<'b, 'v>, ExecutionError> {
    number(i64::try_from(version.numbers[at]).unwrap_or(i64::MAX))
}

impl PartialEq for Semver {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Semver {}

impl PartialOrd for Semver {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Semver {
    fn cmp(&self, other: &Self) -> Ordering {
        let released = |version: &Self| version.prerelease.is_empty();
        self.numbers
            .cmp(&other.numbers)
            .then(released(self).cmp(&released(other)))
            .then_with(|| self.prerelease.cmp(&other.prerelease))
    }
}

/// Reads a version; a loose one may begin with `v`, lack parts and have leading noughts.
fn parse(text: &str, loose: bool) -> Result<Semver, ExecutionError> {
    let wrong = |why: String| failed("semver", why);
    let text = if loose { text.strip_prefix('v').unwrap_or(text) } else { text };
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, prerelease) = text.split_once('-').map_or((text, None), |(core, rest)| (core, Some(rest)));
    let mut parts: Vec<&str> = core.split('.').collect();
    while loose && parts.len() < 3 {
        parts.push("0");
    }
    if parts.len() != 3 {
        return Err(wrong("No Major.Minor.Patch elements found".to_owned()));
    }
    let mut numbers = [0; 3];
    for (number, part) in numbers.iter_mut().zip(&parts) {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong(format!("Invalid character(s) found in version number {part:?}")));
        }
        if !loose && part.len() > 1 && part.starts_with('0') {
            return Err(wrong(format!("Version number must not contain leading zeroes {part:?}")));
        }
        *number = part.parse().map_err(|_| wrong(format!("version number {part:?} is too large")))?;
    }
    let valid = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if let Some(part) = build.into_iter().flat_map(|build| build.split('.')).find(|part| !valid(part)) {
        return Err(wrong(format!("Invalid character(s) found in build meta data {part:?}")));
    }
    let read = |part: &str| match part.parse() {
        _ if !valid(part) => Err(wrong(format!("Invalid character(s) found in prerelease {part:?}"))),
        Ok(number) => Ok(Part::Number(number)),
        Err(_) => Ok(Part::Word(part.to_owned())),
    };
    let prerelease =
        prerelease.into_iter().flat_map(|text| text.split('.')).map(read).collect::<Result<_, _>>()?;
    Ok(Semver { numbers, prerelease })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_precedence() {
        let ordered =
            ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.10.0"];
        for pair in ordered.windows(2) {
            assert!(parse(pair[0], false).unwrap() < parse(pair[1], false).unwrap(), "{pair:?}");
        }
        assert_eq!(parse("1.0.0+a", false).unwrap(), parse("1.0.0+b", false).unwrap());
        assert!(parse("v1.2", false).is_err() && parse("01.0.0", false).is_err());
        assert_eq!(parse("v01.2", true).unwrap(), parse("1.2.0", false).unwrap());
    }
}
