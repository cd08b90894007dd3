//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use muster_crds::keys::FEDERATION_NAMESPACE;
use muster_runtime::telemetry;
use muster_sandbox::Scheduling;
use muster_sandbox::data_dir::DEFAULT_LISTEN;

/// Game servers in many Kubernetes clusters.
#[derive(Debug, Parser)]
#[command(name = "muster", version, about, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) logs: Logs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which cluster, which namespace, and how to print.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// Kubeconfig file [default: $KUBECONFIG, then .muster/kubeconfig, then ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: for hub commands the context "hub" where there is one, else the current one]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace [default: all, or the context's where one object is named]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// How to print
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

/// What is logged, to standard error.
#[derive(Clone, Debug, Args)]
pub(crate) struct Logs {
    /// What is logged: a level, or levels of parts such as info,muster_agent=debug [default: $MUSTER_LOG, then
    /// $RUST_LOG, then info for hub and agent, warn for others]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How it is written
    #[arg(long = "log-format", global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// For both
    Yaml,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a hub and its member clusters in this process, with simulated nodes
    Sandbox(SandboxOptions),
    /// Show what the planner makes of manifests, without any cluster
    Plan(PlanOptions),
    /// Show each federated object: planned, replicas, ready, updated in every cluster
    Status(StatusOptions),
    /// Show why each cluster of a federated object has its number, and what it waits for
    Explain(ExplainOptions),
    /// Show, pause, resume, undo or restart the update of a set
    Rollout(RolloutOptions),
    /// Run the hub: plan what the hub's cluster holds, and serve every member its view
    Hub(HubOptions),
    /// Run the agent of one member cluster: make it hold what its view says
    Agent(AgentOptions),
    /// Print the CustomResourceDefinitions of Muster's kinds, or apply them
    Crds(CrdsOptions),
}

#[derive(Debug, Args)]
pub(crate) struct SandboxOptions {
    /// Manifests to apply: files or folders; may be given several times [default: the talk's example]
    #[arg(long, value_name = "PATH")]
    pub(crate) apply: Vec<PathBuf>,
    /// Where the kubeconfig is written
    #[arg(long, value_name = "DIR", default_value = ".muster")]
    pub(crate) data_dir: PathBuf,
    /// Where to listen; port 0 takes the last port of the data directory if it is free, else any
    #[arg(long, value_name = "ADDR", default_value_t = DEFAULT_LISTEN)]
    pub(crate) listen: SocketAddr,
    /// Exit when every applied federated object is Ready: 0 then, 1 at the timeout
    #[arg(long)]
    pub(crate) once: bool,
    /// How long --once waits
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// What everything random is drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// From a pod's binding until it is ready
    #[arg(long, value_name = "MIN..MAX", default_value = "200ms..1500ms", value_parser = duration_range)]
    pub(crate) pod_start: DurationRange,
    /// Who places pods on nodes
    #[arg(long, value_name = "WHO", default_value = "embedded")]
    pub(crate) scheduler: SchedulerChoice,
}

#[derive(Debug, Args)]
pub(crate) struct PlanOptions {
    /// Manifests: files, folders, or - for standard input
    #[arg(short, long, value_name = "PATH", required = true, num_args = 1..)]
    pub(crate) filename: Vec<PathBuf>,
    /// What clusters hold now: JSON {cluster: {replicas?, capacity?}}
    #[arg(long, value_name = "FILE")]
    pub(crate) observed: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusOptions {
    /// Name of one federated object
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainOptions {
    /// What to explain, such as federatedgamestatefulset/gamecenter or gamestatefulset/gamecenter
    #[arg(value_name = "KIND/NAME")]
    pub(crate) target: String,
}

#[derive(Debug, Args)]
pub(crate) struct RolloutOptions {
    #[command(subcommand)]
    pub(crate) action: RolloutAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutAction {
    /// Wait until an update is complete, and say how far it is: 0 when complete, 1 when it cannot complete or time is up
    Status {
        #[command(flatten)]
        target: RolloutTarget,
        /// Wait for the end; with false, say how far it is and exit with 0
        #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
        watch: bool,
        /// How long to wait; 0s for as long as it takes
        #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
        timeout: Duration,
    },
    /// Let no further pod be updated (sets spec.updateStrategy.paused)
    Pause(RolloutTarget),
    /// Go on: after a pause, or past the canary step that waits
    Resume(RolloutTarget),
    /// Go back to an older template
    Undo {
        #[command(flatten)]
        target: RolloutTarget,
        /// Number of the revision, as history shows it [default: the one before the newest]
        #[arg(long, value_name = "N")]
        to_revision: Option<i64>,
        /// For a federated object: context of the member whose history has the template
        #[arg(long, value_name = "CONTEXT")]
        from: Option<String>,
    },
    /// Replace all pods by new ones of the same template, as the update strategy says
    Restart(RolloutTarget),
    /// Show the revisions there are
    History {
        #[command(flatten)]
        target: RolloutTarget,
        /// Show the template of this one
        #[arg(long, value_name = "N")]
        revision: Option<i64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RolloutTarget {
    /// What it is about, such as gamestatefulset/gamecenter or federatedgamestatefulset/gamecenter
    #[arg(value_name = "KIND/NAME")]
    pub(crate) target: String,
}

#[derive(Debug, Args)]
pub(crate) struct HubOptions {
    /// Where to serve views, health and metrics
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8443")]
    pub(crate) listen: SocketAddr,
    /// Certificate of this hub (PEM, intermediates after it); read again when it changes
    #[arg(long, value_name = "FILE", required_unless_present = "insecure")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key of this hub's certificate (PEM)
    #[arg(long, value_name = "FILE", required_unless_present = "insecure")]
    pub(crate) tls_key: Option<PathBuf>,
    /// CA that agents' certificates are signed by (PEM)
    #[arg(long, value_name = "FILE", required_unless_present = "insecure")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Serve every view to everybody over plain HTTP; only on a loopback address, for trying things out
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key", "client_ca"])]
    pub(crate) insecure: bool,
    /// Namespace of KubeFedClusters and of the hub's Lease
    #[arg(long, value_name = "NAME", default_value = FEDERATION_NAMESPACE)]
    pub(crate) federation_namespace: String,
}

#[derive(Debug, Args)]
pub(crate) struct AgentOptions {
    /// The hub, such as https://hub.example.com:8443; without it only the controllers run [default: none]
    #[arg(long, value_name = "URL")]
    pub(crate) hub: Option<String>,
    /// Name of this member's KubeFedCluster, which is also the common name of its certificate
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: String,
    /// Certificate that is shown to the hub (PEM); read again at each new connection
    #[arg(long, value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// Private key of that certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
    /// CA that the hub's certificate is signed by (PEM); no other is trusted
    #[arg(long, value_name = "FILE")]
    pub(crate) hub_ca: Option<PathBuf>,
    /// Where to serve health and metrics, over plain HTTP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Namespace of the heartbeat, the same as the hub's
    #[arg(long, value_name = "NAME", default_value = FEDERATION_NAMESPACE)]
    pub(crate) federation_namespace: String,
}

#[derive(Debug, Args)]
pub(crate) struct CrdsOptions {
    #[command(subcommand)]
    pub(crate) action: Option<CrdsAction>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum CrdsAction {
    /// Apply them to the cluster of the context
    Apply,
}

/// Who places pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchedulerChoice {
    /// The sandbox's own scheduler
    Embedded,
    /// Nobody; pods stay Pending until they are bound by hand
    None,
}

/// Two durations, the first not longer than the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DurationRange(pub(crate) std::ops::RangeInclusive<Duration>);

// === impl Command ===

impl Command {
    /// What is logged where the user does not say. The sandbox's own output tells what happens; logs
    /// of its parts would hide it.
    pub(crate) fn log_filter(&self) -> &'static str {
        match self {
            Self::Sandbox(_) => "error",
            // The client library logs each request that fails; who asked says so, once and with the cause.
            Self::Hub(_) | Self::Agent(_) => "info,kube_client=off",
            _ => "warn",
        }
    }
}

impl From<LogFormat> for telemetry::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

impl From<SchedulerChoice> for Scheduling {
    fn from(choice: SchedulerChoice) -> Self {
        match choice {
            SchedulerChoice::Embedded => Self::Embedded,
            SchedulerChoice::None => Self::None,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| {
        format!("{text:?} is not a duration; write a number and a unit, such as 500ms, 3s or 2m")
    })?;
    Duration::try_from(parsed).map_err(|_| format!("{text:?} is negative"))
}

fn duration_range(text: &str) -> Result<DurationRange, String> {
    let (low, high) = text.split_once("..").ok_or_else(|| {
        format!("{text:?} is not a range of durations; write the least and the most, such as 200ms..1500ms")
    })?;
    let (low, high) = (duration(low)?, duration(high)?);
    if low > high {
        return Err(format!("{text:?}: the least is longer than the most"));
    }
    Ok(DurationRange(low..=high))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_and_ranges_say_what_is_wrong_with_them() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("3s"), Ok(Duration::from_secs(3)));
        assert!(duration("3").unwrap_err().contains("such as 500ms"));
        assert!(duration_range("2s..1s").unwrap_err().contains("longer"));
        assert_eq!(duration_range("0s..1s"), Ok(DurationRange(Duration::ZERO..=Duration::from_secs(1))));
    }
}
