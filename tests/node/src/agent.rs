//! `muster agent` as a process.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::args::Arguments;
use crate::failure::{Result, io, must};

/// How long the process may take to end.
const DEADLINE: Duration = Duration::from_mins(1);

/// The running agent; killed when it is dropped.
pub(crate) struct Agent {
    child: Child,
    log: String,
}

impl Agent {
    /// Starts it on the cluster of the arguments, without a hub.
    pub(crate) fn start(arguments: &Arguments) -> Result<Self> {
        let log = arguments.dir.join("agent.log");
        let file = File::create(&log).map_err(io(log.display().to_string()))?;
        let child = Command::new(&arguments.muster)
            .args(["agent", "--cluster", "node", "--context", &arguments.context, "--kubeconfig"])
            .arg(&arguments.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(io(arguments.muster.display().to_string()))?;
        Ok(Self { child, log: log.display().to_string() })
    }

    /// That it still runs.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        let ended = self.child.try_wait().map_err(io("muster agent"))?;
        must(ended.is_none(), || format!("muster agent ended ({ended:?}); its log is {}", self.log))
    }

    /// Ends it as a kubelet would.
    pub(crate) async fn end(&mut self) -> Result<()> {
        self.must_run()?;
        let pid = self.child.id().unwrap_or_default().to_string();
        let told = Command::new("kill").arg(&pid).status().await.map_err(io("kill"))?;
        must(told.success(), || format!("muster agent ({pid}) cannot be told to end"))?;
        let ended = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        let ended = ended.map(|status| status.is_ok_and(|status| status.success()));
        must(ended == Ok(true), || format!("muster agent did not end well within {DEADLINE:?}: {}", self.log))
    }
}
