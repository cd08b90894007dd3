//! What a server keeps over a restart: written at SIGTERM, read at the next start.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The counters that go on after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// How many connections there have been.
    pub(crate) connections: u64,
    /// How many bytes were echoed.
    pub(crate) bytes: u64,
    /// How often `/reload` was asked for.
    pub(crate) reloads: u64,
    /// How often the state was loaded.
    pub(crate) restarts: u64,
}

/// Why state was not loaded or saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("state file {path}: {source}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Never overwritten: somebody may want what is in it.
    #[error("state file {path} holds something else ({source}); move it away to start with counters at zero")]
    Foreign {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl State {
    /// What was saved, with one restart more; all zero where nothing was.
    pub(crate) fn load(path: &Path) -> Result<Self, StateError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(StateError::Io { path: path.to_owned(), source }),
        };
        let saved: Self = serde_json::from_slice(&text)
            .map_err(|source| StateError::Foreign { path: path.to_owned(), source })?;
        Ok(Self { restarts: saved.restarts + 1, ..saved })
    }

    /// Saves it: a whole new file or none.
    pub(crate) fn save(&self, path: &Path) -> Result<(), StateError> {
        let failed = |source| StateError::Io { path: path.to_owned(), source };
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        let draft = path.with_extension("new");
        std::fs::write(&draft, text).map_err(failed)?;
        std::fs::rename(&draft, path).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::random_name;

    #[test]
    fn what_was_saved_is_loaded_and_counts_a_restart() {
        let path = std::env::temp_dir().join(format!("gameserver-state-{}", random_name()));
        assert_eq!(State::load(&path).unwrap(), State::default());
        let state = State { connections: 7, bytes: 100, reloads: 1, restarts: 2 };
        state.save(&path).unwrap();
        assert_eq!(State::load(&path).unwrap(), State { restarts: 3, ..state });
        std::fs::write(&path, "{").unwrap();
        let error = State::load(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("move it away"), "{error}");
    }
}
