//! The sandbox's data directory: the kubeconfig, the port it last had, and a lock.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another sandbox runs on it.
    #[error(
        "another sandbox uses the data directory {path}; stop it, or name another one with --data-dir",
        path = .0.display()
    )]
    InUse(PathBuf),
    /// A file in it cannot be made or written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// An open data directory. It is free for another sandbox when this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held for as long as the sandbox runs.
    _lock: File,
}

// === impl DataDir ===

impl DataDir {
    /// Opens the directory, making it where it is missing.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Write { path, source }
        };
        std::fs::create_dir_all(path).map_err(failed(path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(&lock_path)(source)),
        }
    }

    /// Where the kubeconfig is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    /// Writes the kubeconfig; a reader sees the old one or the new one.
    pub fn write_kubeconfig(&self, config: &Value) -> Result<(), DataDirError> {
        // JSON is YAML, and every client reads it.
        let text = format!("{config:#}\n");
        replace(&self.kubeconfig(), &text)
    }

    /// The address to listen on: `asked`, with the last port of this directory where it asks for
    /// any port and that one is free.
    pub fn address(&self, asked: SocketAddr) -> SocketAddr {
        if asked.port() != 0 {
            return asked;
        }
        let last = std::fs::read_to_string(self.port_file()).ok().and_then(|text| text.trim().parse().ok());
        match last.map(|port| SocketAddr::new(asked.ip(), port)) {
            Some(last) if std::net::TcpListener::bind(last).is_ok() => last,
            _ => asked,
        }
    }

    /// Remembers the port for the next sandbox on this directory.
    pub fn remember_port(&self, port: u16) -> Result<(), DataDirError> {
        replace(&self.port_file(), &format!("{port}\n"))
    }

    fn port_file(&self) -> PathBuf {
        self.path.join("port")
    }
}

/// Writes a file so that a reader sees the old text or the new one.
fn replace(path: &Path, text: &str) -> Result<(), DataDirError> {
    let temporary = path.with_extension("new");
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|source| DataDirError::Write { path: path.to_owned(), source })
}

/// Where a sandbox listens when it is not told: loopback, any port.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("muster-data-dir-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn a_second_sandbox_on_one_directory_is_refused_until_the_first_has_ended() {
        let path = scratch("lock");
        let first = DataDir::open(&path).unwrap();
        let error = DataDir::open(&path).unwrap_err().to_string();
        assert!(error.contains("another sandbox uses the data directory"), "{error}");
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn the_last_port_is_taken_again_if_it_is_free_and_none_was_asked_for() {
        let dir = DataDir::open(&scratch("port")).unwrap();
        let held = std::net::TcpListener::bind(DEFAULT_LISTEN).unwrap();
        let port = held.local_addr().unwrap().port();
        dir.remember_port(port).unwrap();
        assert_eq!(dir.address(DEFAULT_LISTEN).port(), 0);
        drop(held);
        assert_eq!(dir.address(DEFAULT_LISTEN).port(), port);
        let asked: SocketAddr = "127.0.0.1:9".parse().unwrap();
        assert_eq!(dir.address(asked), asked);
    }
}
