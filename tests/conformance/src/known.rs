//! `differences.yaml`: where our server is known to differ, and why.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use crate::{case::Case, compare::Difference, pointer::Pointer};

/// Of a hundred cases, so many may be listed.
pub const MAX_PERCENT: usize = 5;

/// The listed cases, by their ids.
#[derive(Debug, Clone, Default)]
pub struct Known(BTreeMap<String, Entry>);

/// One listed case.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The reason.
    pub why: String,
    /// Which places differ, with the step counted from 1; empty for any.
    at: Vec<(usize, Pointer)>,
}

/// What is wrong with the list.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    /// The file.
    #[error("{0}: {1}")]
    File(String, String),
    /// Too many.
    #[error("{listed} of {cases} cases are listed as differing; {MAX_PERCENT} % may be")]
    TooMany {
        /// How many are listed.
        listed: usize,
        /// Of how many.
        cases: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFile {
    case: String,
    why: String,
    #[serde(default)]
    at: Vec<PlaceFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceFile {
    step: usize,
    pointer: String,
}

impl Known {
    /// Reads a list. A file that is not there lists nothing.
    pub fn read(path: &Path) -> Result<Self, KnownError> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let wrong = |problem: String| KnownError::File(path.display().to_string(), problem);
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let entries: Vec<EntryFile> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let mut known = BTreeMap::new();
        for entry in entries {
            if entry.why.trim().is_empty() {
                return Err(format!("{}: why is empty", entry.case));
            }
            let mut at = Vec::new();
            for place in entry.at {
                let pointer =
                    Pointer::parse(&place.pointer).map_err(|error| format!("{}: {error}", entry.case))?;
                at.push((place.step, pointer));
            }
            if known.insert(entry.case.clone(), Entry { why: entry.why, at }).is_some() {
                return Err(format!("{}: listed twice", entry.case));
            }
        }
        Ok(Self(known))
    }

    /// Holds the list against the cases: all are there, and they are few.
    pub fn check(&self, cases: &[Case]) -> Result<(), KnownError> {
        let missing = self.0.keys().find(|id| !cases.iter().any(|case| case.id == **id));
        if let Some(id) = missing {
            return Err(KnownError::File("differences.yaml".into(), format!("there is no case {id}")));
        }
        if self.0.len() * 100 > cases.len() * MAX_PERCENT {
            return Err(KnownError::TooMany { listed: self.0.len(), cases: cases.len() });
        }
        Ok(())
    }

    /// What is known of a case.
    pub fn of(&self, id: &str) -> Option<&Entry> {
        self.0.get(id)
    }
}

impl Entry {
    /// Whether a difference is among those that are known.
    pub fn explains(&self, difference: &Difference) -> bool {
        self.at.is_empty()
            || self
                .at
                .iter()
                .any(|(step, pointer)| *step == difference.step + 1 && pointer.covers(&difference.pointer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str) -> Case {
        Case::parse(id, "about: x\nsteps:\n- request: GET /version\n").expect("a case")
    }

    #[test]
    fn a_listed_place_explains_what_lies_below_it_and_no_more() {
        let known =
            Known::parse("- {case: a/b, why: x, at: [{step: 2, pointer: /body/details}]}").expect("a list");
        let entry = known.of("a/b").expect("an entry");
        let difference =
            |step, pointer: &str| Difference { step, pointer: pointer.into(), real: None, ours: None };
        assert!(entry.explains(&difference(1, "/body/details/kind")));
        assert!(!entry.explains(&difference(0, "/body/details/kind")));
        assert!(!entry.explains(&difference(1, "/body/message")));
    }

    #[test]
    fn more_than_a_twentieth_is_too_many() {
        let known = Known::parse("- {case: a/0, why: x}").expect("a list");
        let cases: Vec<Case> = (0..20).map(|n| case(&format!("a/{n}"))).collect();
        assert!(known.check(&cases).is_ok());
        assert!(known.check(&cases[..19]).is_err());
        assert!(known.check(&cases[1..]).expect_err("a/0 is missing").to_string().contains("no case a/0"));
    }

    #[test]
    fn an_entry_has_a_reason_and_is_listed_once() {
        assert!(Known::parse("- {case: a/b, why: ''}").is_err());
        assert!(Known::parse("- {case: a/b}").is_err());
        assert!(Known::parse("- {case: a/b, why: x}\n- {case: a/b, why: y}").is_err());
    }
}
