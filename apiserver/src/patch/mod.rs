//! The patch types of the Kubernetes API, as functions from a current object and a patch to a new object.
//!
//! | content type | function | lists |
//! |---|---|---|
//! | `application/json-patch+json` | [`json`] (RFC 6902) | by index |
//! | `application/merge-patch+json` | [`merge`] (RFC 7396) | replaced |
//! | `application/strategic-merge-patch+json` | [`strategic`] | by the merge keys of the schema |
//!
//! Server-side apply is in [`crate::apply`]. Nothing here knows field managers, validation or storage: the
//! result goes on to defaulting, validation and [`crate::apply::track_update`] like the body of an update.
//!
//! ```
//! use muster_apiserver::patch;
//! use serde_json::json;
//!
//! let current = json!({"spec": {"replicas": 1, "paused": true}});
//! let patched = patch::json(&current, br#"[{"op": "replace", "path": "/spec/replicas", "value": 3}]"#)?;
//! assert_eq!(patched["spec"]["replicas"], 3);
//! let patched = patch::merge(&current, &json!({"spec": {"paused": null}}))?;
//! assert_eq!(patched, json!({"spec": {"replicas": 1}}));
//! # Ok::<(), patch::PatchError>(())
//! ```

pub(crate) mod go_format;
mod json_patch;
mod merge_patch;
mod strategic;

pub use self::json_patch::{MAX_COPIED_BYTES, MAX_OPERATIONS, json};
pub use self::merge_patch::merge;
pub use self::strategic::strategic;

/// Why a patch was not applied. [`PatchError::code`] and [`PatchError::message`] are what a client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself cannot be read (400).
    #[error("{0}")]
    Malformed(String),
    /// The patch has more operations than [`MAX_OPERATIONS`] (413).
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooManyOperations(usize),
    /// The patch can be read and does not fit the object (422).
    #[error("{0}")]
    DoesNotApply(String),
    /// The patched document is not an object (422).
    #[error("patch: Invalid value: {document:?}: {problem}")]
    NotAnObject {
        /// The document that came out, as JSON.
        document: String,
        /// What a decoder says of it.
        problem: String,
    },
    /// A strategic merge patch contradicts the schema or itself in a way for which Kubernetes has no error
    /// of its own (500 there, and here).
    #[error("{0}")]
    Inconsistent(String),
}

impl PatchError {
    /// The HTTP status.
    pub fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooManyOperations(_) => 413,
            Self::DoesNotApply(_) | Self::NotAnObject { .. } => 422,
            Self::Inconsistent(_) => 500,
        }
    }

    /// The `reason` of the Status; empty where Kubernetes gives none.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "BadRequest",
            Self::TooManyOperations(_) => "RequestEntityTooLarge",
            Self::DoesNotApply(_) | Self::NotAnObject { .. } => "Invalid",
            Self::Inconsistent(_) => "",
        }
    }

    /// The `message` of the Status, worded as a kube-apiserver words it.
    ///
    /// For a patch that does not fit that is a sentence which says nothing, as in Kubernetes.
    pub fn message(&self) -> String {
        match self {
            Self::TooManyOperations(_) => format!("Request entity too large: {self}"),
            Self::DoesNotApply(_) => {
                "the server rejected our request due to an error in our request".to_owned()
            }
            Self::NotAnObject { .. } => format!(" \"\" is invalid: {self}"),
            Self::Malformed(_) | Self::Inconsistent(_) => self.to_string(),
        }
    }

    /// An entry for `details.causes` of the Status, where the message alone would not help.
    pub fn cause(&self) -> Option<serde_json::Value> {
        match self {
            Self::NotAnObject { document, problem } => Some(serde_json::json!({
                "reason": "FieldValueInvalid", "field": "patch",
                "message": format!("Invalid value: {document:?}: {problem}"),
            })),
            _ => None,
        }
    }
}
