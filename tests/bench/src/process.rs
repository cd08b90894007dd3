//! Processes that are measured: started, ended, and what the kernel says of them.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::bars::BenchError;

/// How long a process may take until it is there.
const START: Duration = Duration::from_mins(1);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Ticks of a second in `/proc/<pid>/stat`; Linux has had no other number for user space for decades.
const TICKS: f64 = 100.0;

/// This binary again, as another process. It is killed with its owner.
pub(crate) struct Process {
    child: Child,
    pid: u32,
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident memory, in MiB.
    pub(crate) resident: f64,
    /// The most it was.
    pub(crate) most: f64,
    /// CPU time so far, in seconds.
    pub(crate) cpu: f64,
}

impl Process {
    /// Starts this binary with these arguments, and waits until it has written `ready`.
    pub(crate) async fn start(arguments: Vec<OsString>, ready: &Path) -> Result<Self, BenchError> {
        let _ = std::fs::remove_file(ready);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(&arguments).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child.id().ok_or("a process ended as it started")?;
        let began = Instant::now();
        while !ready.exists() {
            if let Some(status) = child.try_wait()? {
                return Err(
                    format!("{} {:?} ended: {status}", env!("CARGO_PKG_NAME"), arguments.first()).into()
                );
            }
            if began.elapsed() > START {
                return Err(format!("{:?} is not there after {START:?}", arguments.first()).into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(Self { child, pid })
    }

    /// Ends it.
    pub(crate) async fn end(mut self) -> Result<(), BenchError> {
        self.child.kill().await?;
        Ok(())
    }

    /// What it uses now.
    pub(crate) fn usage(&self) -> Result<Usage, BenchError> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let mebibytes = |field: &str| -> Option<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
        };
        // After the name, which may hold anything and ends with a parenthesis: state is field 3, utime 14, stime 15.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |field: usize| fields.get(field - 3).and_then(|ticks| ticks.parse::<f64>().ok());
        let usage = || {
            Some(Usage {
                resident: mebibytes("VmRSS:")?,
                most: mebibytes("VmHWM:")?,
                cpu: (ticks(14)? + ticks(15)?) / TICKS,
            })
        };
        usage().ok_or_else(|| format!("/proc/{} cannot be read", self.pid).into())
    }
}
