//! What Muster wrote to a real API server, from that server's audit log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;

use super::pool::Plane;
use crate::support::writes::{Write, Writes, is_write, ours};

/// An audit log, read as far as it goes.
pub(super) struct Audit {
    path: PathBuf,
    /// How far it was read.
    offset: u64,
    /// The beginning of a line that was not whole yet.
    rest: Vec<u8>,
    writes: Writes,
}

/// A line of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
}

#[derive(Default, Deserialize)]
struct ObjectRef {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
}

// === impl Audit ===

impl Audit {
    /// The log of a control plane, from now on.
    pub(super) fn of(plane: &Plane) -> Self {
        let path = plane.audit_log();
        let size = std::fs::metadata(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; bring the control planes up with --audit", path.display())
        });
        Self { path, offset: size.len(), rest: Vec::new(), writes: Writes::default() }
    }

    /// Every write so far.
    pub(super) fn writes(&mut self) -> Writes {
        let mut file = File::open(&self.path).expect("the audit log is there");
        if file.metadata().expect("it has a size").len() < self.offset {
            // It was rotated.
            self.offset = 0;
        }
        file.seek(SeekFrom::Start(self.offset)).expect("it can be read from there");
        let mut text = std::mem::take(&mut self.rest);
        self.offset += file.read_to_end(&mut text).expect("it can be read") as u64;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.rest = text.split_off(whole);
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let entry: Entry = serde_json::from_slice(line).expect("a line of an audit log");
            self.count(entry);
        }
        self.writes.clone()
    }

    fn count(&mut self, entry: Entry) {
        if entry.stage == "ResponseComplete" && ours(&entry.user_agent) && is_write(&entry.verb) {
            let write = Write {
                user_agent: entry.user_agent,
                verb: entry.verb,
                resource: entry.object_ref.resource,
                subresource: entry.object_ref.subresource,
            };
            *self.writes.0.entry(write).or_default() += 1;
        }
    }
}
