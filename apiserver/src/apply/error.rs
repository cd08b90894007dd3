//! Why an apply was refused, worded as a kube-apiserver words it.

use std::fmt::Write;

use serde_json::{Value, json};

use super::check::TypeErrors;
use super::managed::{ManagerId, Operation};
use super::ownership::Clashes;
use super::set::Path;
use crate::patch::go_format;

/// A field that another manager owns and that an apply would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The owner as messages show it: `"kubectl-edit" using apps/v1`, with its sub-resource if it has one.
    pub owner: String,
    /// The name of the owner alone.
    pub manager: String,
    /// The field.
    pub path: Path,
}

/// Why an apply was refused. [`ApplyError::code`], [`ApplyError::reason`], the `Display` text and
/// [`ApplyError::causes`] make up the Status that a client is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields that would change, and `force` was not given (409).
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// The applied configuration sets `metadata.managedFields` (400).
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsSet,
    /// The applied configuration has another version than the endpoint (400).
    #[error(
        "Incorrect version specified in apply patch. Specified patch version: {applied}, expected: {expected}"
    )]
    WrongVersion {
        /// The version in the configuration.
        applied: String,
        /// The version of the endpoint.
        expected: String,
    },
    /// The applied configuration does not fit the schema (500, as in Kubernetes).
    #[error("failed to create typed patch object ({object}): {errors}")]
    BadApplied {
        /// Namespace, name and kind.
        object: String,
        /// What does not fit, by path.
        errors: TypeErrors,
    },
    /// The stored object does not fit the schema (500).
    #[error("failed to create typed live object ({object}): {errors}")]
    BadLive {
        /// Namespace, name and kind.
        object: String,
        /// What does not fit, by path.
        errors: TypeErrors,
    },
    /// The stored object's `managedFields` cannot be read (500).
    #[error("failed to decode managed fields: {0}")]
    BadManagedFields(String),
}

impl ApplyError {
    /// The HTTP status.
    pub fn code(&self) -> u16 {
        match self {
            Self::Conflicts(_) => 409,
            Self::ManagedFieldsSet | Self::WrongVersion { .. } => 400,
            Self::BadApplied { .. } | Self::BadLive { .. } | Self::BadManagedFields(_) => 500,
        }
    }

    /// The `reason` of the Status; empty where Kubernetes gives none.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Conflicts(_) => "Conflict",
            Self::ManagedFieldsSet | Self::WrongVersion { .. } => "BadRequest",
            Self::BadApplied { .. } | Self::BadLive { .. } | Self::BadManagedFields(_) => "",
        }
    }

    /// `details.causes` of the Status: one of type `FieldManagerConflict` for each conflict.
    pub fn causes(&self) -> Vec<Value> {
        let Self::Conflicts(conflicts) = self else { return Vec::new() };
        conflicts
            .iter()
            .map(|conflict| {
                json!({
                    "reason": "FieldManagerConflict",
                    "message": format!("conflict with {}", conflict.owner),
                    "field": conflict.path.to_string(),
                })
            })
            .collect()
    }
}

/// The conflicts in order of owner, then of path.
pub(crate) fn conflicts(clashes: &Clashes) -> Vec<Conflict> {
    clashes
        .iter()
        .flat_map(|(id, fields)| {
            fields.paths().into_iter().map(|path| Conflict {
                owner: owner(id),
                manager: id.manager.clone(),
                path,
            })
        })
        .collect()
}

fn owner(id: &ManagerId) -> String {
    let mut owner = go_format::quoted(&id.manager);
    if !id.subresource.is_empty() {
        let _ = write!(owner, " with subresource {}", go_format::quoted(&id.subresource));
    }
    if id.operation == Operation::Update {
        let _ = write!(owner, " using {}", id.version);
    }
    owner
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [conflict] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", conflict.owner, conflict.path);
    }
    let mut message = format!("Apply failed with {} conflicts: ", conflicts.len());
    for (index, same) in conflicts.chunk_by(|left, right| left.owner == right.owner).enumerate() {
        let _ = write!(message, "{}conflicts with {}:", if index == 0 { "" } else { "\n" }, same[0].owner);
        for conflict in same {
            let _ = write!(message, "\n- {}", conflict.path);
        }
    }
    message
}
