//! What a user wrote and the planner cannot use.

use std::fmt;

/// Bad input: which object, which field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {field}: {problem}")]
pub struct InputError {
    /// The object, as `Kind namespace/name`.
    pub object: String,
    /// Path of the field, such as `spec.overrides[0].clusterName`.
    pub field: String,
    /// What is wrong with the field.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The field cannot be read at all.
    #[error("{0}")]
    Malformed(String),
    /// The field is needed and absent.
    #[error("is missing{0}")]
    Missing(&'static str),
    /// A number that cannot be negative is.
    #[error("{0} is negative")]
    Negative(i64),
    /// A number is above the largest one supported.
    #[error("{value} is above the limit of {limit}")]
    TooLarge {
        /// What was written.
        value: String,
        /// The largest supported number.
        limit: i64,
    },
    /// Not of the type the field has.
    #[error("must be {expected}, not {found}")]
    WrongType {
        /// What the field takes.
        expected: &'static str,
        /// What was written.
        found: String,
    },
    /// A minimum that is above the maximum of the same entry.
    #[error("minReplicas {min} is above maxReplicas {max}")]
    MinAboveMax {
        /// The minimum.
        min: u32,
        /// The maximum.
        max: u32,
    },
    /// A word that is none of those the field takes.
    #[error("{found:?} is none of {expected}")]
    UnknownWord {
        /// What was written.
        found: String,
        /// The words it takes.
        expected: &'static str,
    },
    /// The same key twice.
    #[error("{what} {value:?} is already in {first}")]
    Duplicate {
        /// What kind of key.
        what: &'static str,
        /// The key.
        value: String,
        /// Where it was used first.
        first: String,
    },
    /// Text that is not a JSON pointer (RFC 6901).
    #[error("{0:?} is not a JSON pointer: it must begin with \"/\", and \"~\" is written \"~0\"")]
    InvalidPointer(String),
    /// An override of a field that identifies the object.
    #[error("{0:?} cannot be overridden: it identifies the object in every cluster")]
    Identity(String),
    /// An override of a field that members never get from the hub.
    #[error("{0:?} cannot be overridden: it is never sent to members")]
    NeverSent(String),
    /// An override takes the replicas away, and the member's default of 1 would end the others.
    #[error("{0:?} takes spec.replicas away, and the member would fall back to 1: give it a number")]
    RemovesReplicas(String),
    /// An override of something that the template does not have.
    #[error("{path:?} is not in the template{hint}")]
    PathNotFound {
        /// The path.
        path: String,
        /// How to write what was probably meant.
        hint: &'static str,
    },
    /// A selector that Kubernetes would refuse.
    #[error("{0}")]
    InvalidSelector(String),
}

/// Names an object in errors, as `Kind namespace/name`.
#[derive(Clone, Debug)]
pub(crate) struct Subject(String);

impl Subject {
    pub(crate) fn new(kind: &str, key: &impl fmt::Display) -> Self {
        Self(format!("{kind} {key}"))
    }

    pub(crate) fn error(&self, field: impl Into<String>, problem: Problem) -> InputError {
        InputError { object: self.0.clone(), field: field.into(), problem }
    }
}
