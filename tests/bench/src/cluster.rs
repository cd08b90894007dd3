//! The cluster that is worked on, and the controller that works on it: both as processes of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use muster_agent::{Agent, AgentConfig};
use muster_crds::ClusterName;
use muster_runtime::{Clock, Tasks, client, serve};
use muster_sandbox::manifests::Manifest;
use muster_sandbox::{Config as SandboxConfig, Sandbox};
use serde_json::json;

use crate::bars::BenchError;
use crate::counts::{self, Counter, Metrics};
use crate::process::Process;

/// How the controller calls itself.
pub(crate) const AGENT: &str = "muster-agent/bench";

/// The embedded cluster, and its context in the kubeconfig.
const CLUSTER: &str = "bench";

/// Arguments of the hidden command `server`.
#[derive(Args)]
pub(crate) struct ServerOptions {
    /// Where the kubeconfig is written, once it serves.
    #[arg(long)]
    ready: PathBuf,
    /// How many nodes there are; each takes 110 pods.
    #[arg(long)]
    nodes: usize,
}

/// Arguments of the hidden command `controller`.
#[derive(Args)]
pub(crate) struct ControllerOptions {
    /// Where its own address is written, once it serves.
    #[arg(long)]
    ready: PathBuf,
    /// The member.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The context of the member.
    #[arg(long)]
    context: String,
}

/// A cluster, and how its controller is started.
pub(crate) struct Bench {
    pub(crate) user: Client,
    pub(crate) counter: Counter,
    kubeconfig: PathBuf,
    context: String,
    scratch: Scratch,
    /// The server, where it is ours.
    _server: Option<Process>,
}

/// The controller as a process.
pub(crate) struct Controller {
    pub(crate) process: Process,
    metrics: Client,
}

/// A directory that goes with its owner.
struct Scratch(PathBuf);

/// An API server with nodes, until it is killed.
pub(crate) async fn serve(options: &ServerOptions) -> Result<ExitCode, BenchError> {
    let tasks = Tasks::new();
    let member = Manifest {
        origin: "bench".to_owned(),
        object: json!({
            "apiVersion": "core.kubefed.io/v1beta1",
            "kind": "KubeFedCluster",
            "metadata": {"name": CLUSTER, "namespace": muster_crds::keys::FEDERATION_NAMESPACE},
            "spec": {},
        }),
    };
    let mut config = SandboxConfig::new(vec![member], Clock::system());
    // What the controller takes is measured, not what containers take.
    config.pod_start = Duration::ZERO..=Duration::ZERO;
    config.nodes = options.nodes;
    config.in_process = false;
    let sandbox = Sandbox::start(config, &tasks).await?;
    if let Some(rejected) = sandbox.rejected().first() {
        return Err(rejected.to_string().into());
    }
    let listener = serve::listen(local()).await?;
    let base = format!("http://{}", listener.local_addr()?);
    sandbox.serve(listener);
    write(&options.ready, &sandbox.kubeconfig(&base).to_string())?;
    std::future::pending().await
}

/// An agent without a hub, until it is killed.
pub(crate) async fn control(options: &ControllerOptions) -> Result<ExitCode, BenchError> {
    let tasks = Tasks::new();
    let member = connect(&options.kubeconfig, &options.context, AGENT).await?;
    let cluster = ClusterName::new(CLUSTER)?;
    let agent = Agent::start(AgentConfig::new(cluster, None, member, Clock::system()), &tasks)?;
    let listener = serve::listen(local()).await?;
    let address = listener.local_addr()?;
    serve::serve(&tasks, listener, agent.router());
    write(&options.ready, &address.to_string())?;
    std::future::pending().await
}

impl Bench {
    /// An embedded cluster in another process.
    pub(crate) async fn embedded(nodes: usize) -> Result<Self, BenchError> {
        let scratch = Scratch::new()?;
        let kubeconfig = scratch.0.join("kubeconfig");
        let arguments = vec![
            "server".into(),
            "--ready".into(),
            kubeconfig.clone().into(),
            "--nodes".into(),
            nodes.to_string().into(),
        ];
        let server = Process::start(arguments, &kubeconfig).await?;
        let user = connect(&kubeconfig, CLUSTER, "bench/user").await?;
        let counter = Counter::Metrics(user.clone());
        Ok(Self { user, counter, kubeconfig, context: CLUSTER.to_owned(), scratch, _server: Some(server) })
    }

    /// A cluster that is there, whose API server writes this audit log.
    pub(crate) async fn existing(kubeconfig: &Path, context: &str, audit: &Path) -> Result<Self, BenchError> {
        let user = connect(kubeconfig, context, "bench/user").await?;
        Ok(Self {
            user,
            counter: Counter::Audit(audit.to_owned()),
            kubeconfig: kubeconfig.to_owned(),
            context: context.to_owned(),
            scratch: Scratch::new()?,
            _server: None,
        })
    }

    /// Starts a controller.
    pub(crate) async fn controller(&self) -> Result<Controller, BenchError> {
        let ready = self.scratch.0.join("controller");
        let arguments = vec![
            "controller".into(),
            "--ready".into(),
            ready.clone().into(),
            "--kubeconfig".into(),
            self.kubeconfig.clone().into(),
            "--context".into(),
            self.context.clone().into(),
        ];
        let process = Process::start(arguments, &ready).await?;
        let url = format!("http://{}", std::fs::read_to_string(&ready)?);
        let metrics = client::connect(Config::new(url.parse()?), "bench/metrics")?;
        Ok(Controller { process, metrics })
    }
}

impl Controller {
    /// What it counts.
    pub(crate) async fn metrics(&self) -> Result<Metrics, BenchError> {
        counts::metrics(&self.metrics).await
    }
}

impl Scratch {
    fn new() -> Result<Self, BenchError> {
        let path = std::env::temp_dir().join(format!("muster-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Writes a file that is there complete or not at all.
fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    let part = path.with_extension("part");
    std::fs::write(&part, text)?;
    Ok(std::fs::rename(&part, path)?)
}

async fn connect(kubeconfig: &Path, context: &str, agent: &str) -> Result<Client, BenchError> {
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &options).await?;
    Ok(client::connect(config, agent)?)
}
