//! What an agent is to do about one object.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::document::Rendering;

/// What the agent is to do about one object.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Make the member's object equal to the body.
    Apply(std::sync::Arc<Desired>),
    /// Leave the member's object as it is, whether it exists or not.
    Hold(Hold),
    /// Remove the member's object.
    Remove(Removal),
}

/// The desired object of an [`Intent::Apply`], and the policies its agent needs.
#[derive(Debug)]
pub struct Desired {
    /// Content hash of body and policies. The agent writes only when it changes.
    pub hash: String,
    /// Makes the body.
    pub rendering: Rendering,
    /// Labels of the body, for selectors.
    pub labels: BTreeMap<String, String>,
    /// What to do when the member already has an object of that name that is not ours.
    pub adopt: String,
    /// Paths that the hub does not own, as JSON pointers.
    pub retain: Vec<String>,
}

/// Why an object is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// A CamelCase code.
    pub code: String,
    /// The sentence for a person.
    pub message: String,
}

/// How an object is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Delete it, or only give it up.
    pub policy: RemovalPolicy,
    /// DeleteOptions as JSON, of `kubefed.io/deleteoption`.
    pub options: Option<Map<String, Value>>,
}

/// The two ways to remove an object from a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalPolicy {
    /// The member's object is deleted.
    Delete,
    /// The member's object stays and is no longer ours.
    Orphan,
}

// === impl Intent ===

impl Intent {
    /// A hold.
    pub fn hold(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Hold(Hold { code: code.into(), message: message.into() })
    }

    /// The word of `view.muster.dev/intent`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Apply(_) => "Apply",
            Self::Hold(_) => "Hold",
            Self::Remove(_) => "Remove",
        }
    }

    /// Content hash, of an Apply.
    pub fn hash(&self) -> Option<&str> {
        match self {
            Self::Apply(desired) => Some(&desired.hash),
            Self::Hold(_) | Self::Remove(_) => None,
        }
    }

    /// Whether an agent would do the same for both.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            // The hash covers body and policies.
            (Self::Apply(a), Self::Apply(b)) => a.hash == b.hash,
            (Self::Hold(a), Self::Hold(b)) => a == b,
            (Self::Remove(a), Self::Remove(b)) => a == b,
            _ => false,
        }
    }
}

// === impl RemovalPolicy ===

impl RemovalPolicy {
    /// The word in `view.muster.dev/deletion`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Orphan => "Orphan",
        }
    }

    /// The policy of a word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "Delete" => Some(Self::Delete),
            "Orphan" => Some(Self::Orphan),
            _ => None,
        }
    }
}
