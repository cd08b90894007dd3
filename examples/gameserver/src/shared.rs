//! The shared memory: one small record in a file that server and sidecar write in turn.
//!
//! In a volume of medium `Memory` the file is memory of the pod. It is written in place, never replaced, and under the
//! file's lock, which the system takes back from a process that dies.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::{Identity, now, random_name};

/// Size of the record: always the same, so that a longer one never leaves a tail behind.
const SIZE: usize = 1024;

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Drawn when the record was made: the same as long as the memory is.
    pub(crate) memory: String,
    /// How often it was written.
    pub(crate) counter: u64,
    /// How often by whom: by role.
    pub(crate) writes: BTreeMap<String, u64>,
    /// Who wrote last.
    pub(crate) last: Identity,
    /// When.
    pub(crate) at: Timestamp,
}

/// Why the shared file could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SharedError {
    #[error("shared file {path}: {source}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("shared file {path}: a record of {size} bytes does not fit into {SIZE}")]
    TooLarge { path: PathBuf, size: usize },
}

/// The shared file, open.
#[derive(Debug)]
pub(crate) struct Shared {
    path: PathBuf,
    file: File,
}

impl Shared {
    /// Opens the file; makes it where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, SharedError> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|source| SharedError::Io { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Counts up once more in the name of `who`, and answers what the file holds then.
    pub(crate) fn write(&self, who: &Identity) -> Result<Record, SharedError> {
        self.file.lock().map_err(|source| self.io(source))?;
        let written = self.write_locked(who);
        self.file.unlock().map_err(|source| self.io(source))?;
        written
    }

    fn write_locked(&self, who: &Identity) -> Result<Record, SharedError> {
        let mut record = self.read()?.unwrap_or_else(|| Record {
            memory: random_name(),
            counter: 0,
            writes: BTreeMap::new(),
            last: who.clone(),
            at: now(),
        });
        record.counter += 1;
        *record.writes.entry(who.role.clone()).or_default() += 1;
        record.last = who.clone();
        record.at = now();
        let mut bytes = serde_json::to_vec(&record).map_err(|error| self.io(error.into()))?;
        if bytes.len() >= SIZE {
            return Err(SharedError::TooLarge { path: self.path.clone(), size: bytes.len() });
        }
        bytes.resize(SIZE - 1, b' ');
        bytes.push(b'\n');
        self.file.write_all_at(&bytes, 0).map_err(|source| self.io(source))?;
        Ok(record)
    }

    /// The record; none in a file that is new or holds something else.
    fn read(&self) -> Result<Option<Record>, SharedError> {
        let mut bytes = vec![0; SIZE];
        let mut filled = 0;
        while filled < SIZE {
            let read = self.file.read_at(&mut bytes[filled..], filled as u64);
            match read.map_err(|source| self.io(source))? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(serde_json::from_slice(&bytes[..filled]).ok())
    }

    fn io(&self, source: io::Error) -> SharedError {
        SharedError::Io { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_writers_count_on_in_one_memory_and_a_new_process_goes_on() {
        let path = std::env::temp_dir().join(format!("gameserver-shared-{}", random_name()));
        let (server, sidecar) = (Identity::new("server", "v1"), Identity::new("sidecar", "a-longer-version"));
        let first = Shared::open(&path).unwrap().write(&server).unwrap();
        std::thread::scope(|scope| {
            for who in [&server, &sidecar] {
                let shared = Shared::open(&path).unwrap();
                scope.spawn(move || (0..500).for_each(|_| drop(shared.write(who).unwrap())));
            }
        });
        let last = Shared::open(&path).unwrap().write(&Identity::new("sidecar", "v2")).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(last.memory, first.memory);
        assert_eq!(last.counter, 1002);
        assert_eq!(last.writes, BTreeMap::from([("server".into(), 501), ("sidecar".into(), 501)]));
        assert_eq!(last.last.version, "v2");
    }

    #[test]
    fn what_is_no_record_is_begun_anew() {
        let path = std::env::temp_dir().join(format!("gameserver-shared-{}", random_name()));
        std::fs::write(&path, "not a record").unwrap();
        let record = Shared::open(&path).unwrap().write(&Identity::new("server", "v1")).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(record.counter, 1);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let error = Shared::open(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
