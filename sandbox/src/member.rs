//! One member cluster of the sandbox: an API server, simulated nodes, and an agent on a link that can be cut.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use muster_agent::{Agent, AgentConfig, AgentError};
use muster_apiserver::{Cluster, ClusterConfig};
use muster_crds::names::ClusterName;
use muster_runtime::client::{self, ClientError};
use muster_runtime::{Clock, Tasks};
use serde_json::json;

use crate::apply::MANAGER;
use crate::link::Link;
use crate::nodes::kubelet::Nodes;
use crate::nodes::{Timing, kubelet, lost, node, scheduler, volumes};
use crate::sandbox::Scheduling;

/// The user agent of the agents.
pub(crate) const AGENT: &str = concat!("muster-agent/", env!("CARGO_PKG_VERSION"));

/// The user agent of the sandbox's own parts: schedulers, kubelets, controls.
pub(crate) const SANDBOX: &str = concat!("muster-sandbox/", env!("CARGO_PKG_VERSION"));

/// A member cluster that runs.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) cluster: Cluster,
    pub(crate) link: Link,
    name: ClusterName,
    clock: Clock,
    /// The tasks of the cluster; the agent's are children of them.
    tasks: Tasks,
    agent: std::sync::Arc<tokio::sync::Mutex<Option<Tasks>>>,
}

/// What a member cluster is made from.
pub(crate) struct MemberConfig {
    pub(crate) name: ClusterName,
    pub(crate) index: usize,
    pub(crate) nodes: usize,
    pub(crate) scheduling: Scheduling,
    pub(crate) timing: Timing,
    pub(crate) clock: Clock,
    pub(crate) link: Link,
}

/// Why a member cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// A client could not be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A simulated node could not be registered.
    #[error("cannot register node {name}: {source}")]
    Node {
        /// The node's name.
        name: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The class of simulated volumes could not be registered.
    #[error("cannot register the class of simulated volumes: {0}")]
    Class(#[source] Box<kube::Error>),
    /// A node's object could not be written down.
    #[error("cannot describe a node: {0}")]
    Describe(#[from] serde_json::Error),
    /// The agent did not start.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

// === impl Member ===

impl Member {
    /// Starts the cluster, without its agent.
    pub(crate) async fn start(config: MemberConfig, tasks: &Tasks) -> Result<Self, MemberError> {
        let MemberConfig { name, index, nodes, scheduling, timing, clock, link } = config;
        let tasks = tasks.child();
        let cluster = embedded(name.as_str(), timing.seed, &clock, &tasks);
        let api = client::in_process(cluster.router(), SANDBOX)?;
        for number in 0..nodes {
            register(&api, name.as_str(), number).await?;
        }
        let own = Nodes { cluster: name.to_string(), index, count: nodes };
        register_class(&api).await?;
        volumes::start(&api, &clock, timing.clone(), &tasks);
        lost::start(&api, &clock, &tasks);
        kubelet::start(&api, &clock, timing, &own, &tasks);
        match scheduling {
            Scheduling::Embedded => scheduler::start(&api, &clock, &tasks),
            Scheduling::None => {}
        }
        Ok(Self { cluster, link, name, clock, tasks, agent: std::sync::Arc::default() })
    }

    /// Starts the agent; one that runs is killed first.
    pub(crate) async fn start_agent(&self) -> Result<(), MemberError> {
        let mut running = self.agent.lock().await;
        if let Some(tasks) = running.take() {
            tasks.stop().await;
        }
        let tasks = self.tasks.child();
        let view = format!("/views/{}", self.name);
        let hub = client::over(self.link.clone(), &view, AGENT)?;
        let member = client::in_process(self.cluster.router(), AGENT)?;
        let config = AgentConfig::new(self.name.clone(), Some(hub), member, self.clock.clone());
        Agent::start(config, &tasks)?;
        *running = Some(tasks);
        Ok(())
    }

    /// Kills the agent where it is.
    pub(crate) async fn stop_agent(&self) {
        if let Some(tasks) = self.agent.lock().await.take() {
            tasks.stop().await;
        }
    }
}

/// An embedded API server with its background work.
pub(crate) fn embedded(name: &str, seed: u64, clock: &Clock, tasks: &Tasks) -> Cluster {
    let time = clock.clone();
    let cluster = Cluster::new(ClusterConfig::new(name, seed, std::sync::Arc::new(move || time.now())));
    tasks.spawn_until("embedded-cluster", cluster.clone().run(tasks.token()));
    cluster
}

async fn register_class(api: &Client) -> Result<(), MemberError> {
    let classes: Api<StorageClass> = Api::all(api.clone());
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    classes
        .create(&params, &volumes::class())
        .await
        .map_err(|source| MemberError::Class(Box::new(source)))?;
    Ok(())
}

async fn register(api: &Client, cluster: &str, index: usize) -> Result<(), MemberError> {
    let object = node::node(cluster, index)?;
    let name = node::node_name(cluster, index);
    let failed = |source| MemberError::Node { name: name.clone(), source: Box::new(source) };
    let nodes: Api<Node> = Api::all(api.clone());
    let manager = Some(MANAGER.to_owned());
    let params = PostParams { field_manager: manager.clone(), ..PostParams::default() };
    nodes.create(&params, &object).await.map_err(failed)?;
    let params = PatchParams { field_manager: manager, ..PatchParams::default() };
    let status = json!({"status": object.status});
    nodes.patch_status(&name, &params, &Patch::Merge(status)).await.map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests;
