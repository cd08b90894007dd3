//! What `muster hub` and `muster agent` have in common as processes: signals, an orderly end, identity.

use std::process::ExitCode;
use std::time::Duration;

use muster_runtime::Tasks;
use rand::Rng;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;

/// How long everything may take to stop. With the end of the async runtime the process is gone in 2 s.
const STOP: Duration = Duration::from_millis(1700);

/// The exit code of a process that a second signal ended.
const INTERRUPTED: i32 = 130;

/// SIGINT and SIGTERM.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

// === impl Signals ===

impl Signals {
    /// Takes them from now on.
    pub(crate) fn new() -> Result<Self, CliError> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(CliError::Signals)?,
            terminate: signal(SignalKind::terminate()).map_err(CliError::Signals)?,
        })
    }

    /// Waits for either; returns its name.
    pub(crate) async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Runs until a signal, or until a part of the process failed, then stops `tasks`. A second signal ends the
/// process at once.
pub(crate) async fn run_until_stopped(mut signals: Signals, tasks: &Tasks) -> Result<ExitCode, CliError> {
    let failed = tokio::select! {
        name = signals.stop() => {
            tracing::info!(signal = name, "stopping");
            false
        }
        // Nothing but a panic stops them.
        () = tasks.token().cancelled_owned() => true,
    };
    tokio::select! {
        stopped = tokio::time::timeout(STOP, tasks.stop()) => {
            if stopped.is_err() {
                tracing::warn!("some tasks did not stop in time");
            }
        }
        name = signals.stop() => {
            tracing::warn!(signal = name, "ended at once");
            std::process::exit(INTERRUPTED);
        }
    }
    if failed { Err(CliError::Panicked) } else { Ok(ExitCode::SUCCESS) }
}

/// A name that no other process has, nor this one after a restart: the host's and something random.
pub(crate) fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "muster-hub".to_owned());
    format!("{host}_{:016x}", rand::rng().random::<u64>())
}
