//! A kind of object, known only at run time.

use std::fmt;

use kube::api::ApiResource;
use serde::{Deserialize, Serialize};

/// A kind as both the view and the member serve it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kind {
    /// API group; empty for the core group.
    #[serde(default)]
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// Lower case plural, as in paths.
    pub plural: String,
    /// Name of the kind, as in manifests.
    pub kind: String,
}

impl Kind {
    /// `group/version`, or the version alone in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// What kube's dynamic API takes.
    pub fn api_resource(&self) -> ApiResource {
        ApiResource {
            group: self.group.clone(),
            version: self.version.clone(),
            api_version: self.api_version(),
            kind: self.kind.clone(),
            plural: self.plural.clone(),
        }
    }

    /// Whether this is `kind` of `group`, in whatever version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

/// `plural.group`, as kubectl spells it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.plural)
        } else {
            write!(f, "{}.{}", self.plural, self.group)
        }
    }
}
