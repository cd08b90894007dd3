//! Who a process is: what tells it from the one before it in the same container.

use std::hash::{BuildHasher, Hasher, RandomState};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A process.
///
/// In a container every process has pid 1, so that a pid alone proves nothing; `instance` is drawn anew at each start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// `server` or `sidecar`.
    pub(crate) role: String,
    /// What the build calls itself.
    pub(crate) version: String,
    /// Its process id, as it sees it.
    pub(crate) pid: u32,
    /// Sixteen hexadecimal digits that no other start shares.
    pub(crate) instance: String,
    /// When it started.
    pub(crate) started: Timestamp,
}

impl Identity {
    /// This process.
    pub(crate) fn new(role: &str, version: &str) -> Self {
        Self {
            role: role.to_owned(),
            version: version.to_owned(),
            pid: std::process::id(),
            instance: random_name(),
            started: now(),
        }
    }
}

/// Sixteen hexadecimal digits that are drawn anew in each process.
pub(crate) fn random_name() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// The time.
#[expect(clippy::disallowed_methods, reason = "a program of its own, without Muster's clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
