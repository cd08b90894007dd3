//! What a user did at an API server, and what it was refused, from the server's audit log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::rights::Right;

/// The audit log of one control plane, from a point in time on.
pub(crate) struct Audit {
    path: PathBuf,
    begin: usize,
    user: String,
}

impl Audit {
    /// What a ServiceAccount does from now on.
    pub(crate) fn of(path: &Path, namespace: &str, name: &str) -> Self {
        let begin = std::fs::metadata(path)
            .unwrap_or_else(|error| {
                panic!("{}: {error}; it takes control planes with --audit", path.display())
            })
            .len();
        let user = format!("system:serviceaccount:{namespace}:{name}");
        Self { path: path.to_owned(), begin: begin as usize, user }
    }

    fn entries(&self) -> Vec<Value> {
        let bytes = std::fs::read(&self.path).unwrap();
        let text = String::from_utf8_lossy(bytes.get(self.begin..).unwrap_or_default());
        let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.filter(|entry| entry["user"]["username"] == self.user.as_str()).collect()
    }

    /// Every answer of 401 or 403, as verb and path.
    pub(crate) fn refused(&self) -> Vec<String> {
        let refused = |entry: &&Value| matches!(entry["responseStatus"]["code"].as_u64(), Some(401 | 403));
        let all = self.entries();
        all.iter().filter(refused).map(|entry| format!("{} {}", entry["verb"], entry["requestURI"])).collect()
    }

    /// Every right that was used.
    pub(crate) fn used(&self) -> BTreeSet<Right> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = self.entries();
        let objects = all.iter().filter(|entry| entry["objectRef"].is_object());
        objects
            .map(|entry| {
                let object = &entry["objectRef"];
                let resource = match text(&object["subresource"]) {
                    sub if sub.is_empty() => text(&object["resource"]),
                    sub => format!("{}/{sub}", text(&object["resource"])),
                };
                Right { group: text(&object["apiGroup"]), resource, verb: text(&entry["verb"]) }
            })
            .collect()
    }
}
