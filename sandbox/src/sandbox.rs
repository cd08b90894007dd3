//! The whole: starts everything, applies manifests, obeys the controls.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource};
use muster_apiserver::{Cluster, Clusters};
use muster_crds::core_kubefed::KubeFedCluster;
use muster_crds::names::{ClusterName, NameError};
use muster_crds::{Condition, conditions, keys};
use muster_runtime::client::{self, ClientError};
use muster_runtime::{Clock, Tasks, serve};
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;

use crate::apply::{Applier, MANAGER, Rejected, Wave};
use crate::controls::{self, Command};
use crate::hub::{HubSlot, StartError};
use crate::kubeconfig;
use crate::manifests::Manifest;
use crate::member::{Member, MemberConfig, MemberError, SANDBOX, embedded};
use crate::nodes::Timing;

/// What a sandbox is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Applied in waves: namespaces, clusters, preferences, federated objects.
    pub manifests: Vec<Manifest>,
    /// What everything random is drawn from.
    pub seed: u64,
    /// From binding until every container of a pod is ready.
    pub pod_start: RangeInclusive<Duration>,
    /// Who places pods.
    pub scheduling: Scheduling,
    /// How many nodes each member has; each takes 110 pods.
    pub nodes: usize,
    /// Whether hub and agents run in this process. Without them there are only the clusters, for processes
    /// started elsewhere.
    pub in_process: bool,
    /// Where KubeFedClusters are.
    pub federation_namespace: String,
    /// Wall time.
    pub clock: Clock,
}

/// Who places pods on nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// The sandbox's scheduler.
    Embedded,
    /// Nobody: pods stay Pending until the user binds them.
    None,
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A client could not be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The definition of a kind was not accepted by the hub's API.
    #[error("cannot install the kinds of Muster: {0}")]
    Kinds(Rejected),
    /// The hub did not start.
    #[error(transparent)]
    Hub(#[from] StartError),
    /// A member did not start.
    #[error("member {name}: {source}")]
    Member {
        /// The member's name.
        name: String,
        /// Why.
        #[source]
        source: MemberError,
    },
    /// A cluster has a name that cannot be used here.
    #[error(
        "KubeFedCluster {name}: metadata.name is taken by a context of the sandbox's own; choose another"
    )]
    ReservedName {
        /// The name.
        name: String,
    },
    /// A cluster has a name that is none.
    #[error("KubeFedCluster: metadata.name: {0}")]
    Name(#[from] NameError),
    /// There is no such member.
    #[error("there is no member named {0}")]
    UnknownMember(String),
    /// A definition could not be written as JSON.
    #[error("cannot describe the kinds of Muster: {0}")]
    Describe(#[from] serde_json::Error),
}

/// A running hub with its members. Clones are handles to the same one.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    tasks: Tasks,
    clusters: Clusters,
    hub_api: Cluster,
    hub: HubSlot,
    members: Mutex<BTreeMap<String, Member>>,
    /// One member is added at a time.
    adding: tokio::sync::Mutex<()>,
    rejected: Mutex<Vec<Rejected>>,
}

// === impl Config ===

impl Config {
    /// The defaults of `muster sandbox`, with these manifests.
    pub fn new(manifests: Vec<Manifest>, clock: Clock) -> Self {
        Self {
            manifests,
            seed: 1,
            pod_start: Duration::from_millis(200)..=Duration::from_millis(1500),
            scheduling: Scheduling::Embedded,
            nodes: 10,
            in_process: true,
            federation_namespace: keys::FEDERATION_NAMESPACE.to_owned(),
            clock,
        }
    }

    fn timing(&self) -> Timing {
        Timing {
            start: self.pod_start.clone(),
            restart: Duration::from_millis(200)..=Duration::from_secs(1),
            stop: Duration::from_millis(50)..=Duration::from_millis(300),
            seed: self.seed,
        }
    }
}

// === impl Sandbox ===

impl Sandbox {
    /// Starts the hub's API, the members, the hub and the agents, and applies the manifests. Those
    /// that were not accepted are in [`rejected`](Sandbox::rejected); the others go on.
    pub async fn start(config: Config, tasks: &Tasks) -> Result<Self, SandboxError> {
        let tasks = tasks.child();
        let hub_api = embedded(kubeconfig::HUB, config.seed, &config.clock, &tasks);
        let clusters = Clusters::new();
        clusters.mount(kubeconfig::HUB, hub_api.router());
        let hub = HubSlot::new(
            hub_api.router(),
            config.clock.clone(),
            config.federation_namespace.clone(),
            tasks.clone(),
        );
        let sandbox = Self {
            inner: Arc::new(Inner {
                config,
                tasks,
                clusters,
                hub_api,
                hub,
                members: Mutex::default(),
                adding: tokio::sync::Mutex::default(),
                rejected: Mutex::default(),
            }),
        };
        sandbox.bring_up().await?;
        Ok(sandbox)
    }

    async fn bring_up(&self) -> Result<(), SandboxError> {
        let inner = &self.inner;
        let client = client::in_process(inner.hub_api.router(), SANDBOX)?;
        let mut applier = Applier::new(client.clone());
        for manifest in definitions()? {
            applier.apply(&manifest).await.map_err(SandboxError::Kinds)?;
        }
        let mut manifests = inner.config.manifests.clone();
        manifests.sort_by_key(Wave::of);
        let rejected = applier.namespaces(&self.with_federation_namespace(&manifests)).await;
        inner.rejected.lock().extend(rejected);

        let fleet = manifests.iter().take_while(|manifest| Wave::of(manifest) <= Wave::Fleet).count();
        let (fleet, rest) = manifests.split_at(fleet);
        self.apply_all(&mut applier, fleet).await;
        let refused: Vec<String> =
            inner.rejected.lock().iter().map(|rejected| rejected.manifest.to_string()).collect();
        for cluster in fleet.iter().filter(|manifest| manifest.kind() == "KubeFedCluster") {
            if !refused.contains(&cluster.to_string()) {
                self.add_member(cluster.name()).await?;
            }
        }
        if inner.config.in_process {
            inner.hub.start().await?;
        }
        self.obey(controls::watch(&client, &inner.config.federation_namespace, &inner.tasks));
        self.apply_all(&mut applier, rest).await;
        Ok(())
    }

    fn with_federation_namespace(&self, manifests: &[Manifest]) -> Vec<Manifest> {
        let namespace = &self.inner.config.federation_namespace;
        let object = serde_json::json!({"metadata": {"namespace": namespace}});
        let mut all = manifests.to_vec();
        all.push(Manifest { origin: String::new(), object });
        all
    }

    async fn apply_all(&self, applier: &mut Applier, manifests: &[Manifest]) {
        for manifest in manifests {
            if let Err(rejected) = applier.apply(manifest).await {
                tracing::warn!(manifest = %rejected.manifest, reason = rejected.message, "not accepted");
                self.inner.rejected.lock().push(rejected);
            }
        }
    }

    /// Starts a member of this name, unless there is one; a member whose agent was stopped because
    /// its cluster was no longer registered gets a new agent.
    async fn add_member(&self, name: &str) -> Result<(), SandboxError> {
        let _one_at_a_time = self.inner.adding.lock().await;
        if self.inner.members.lock().contains_key(name) {
            return Ok(());
        }
        if !kubeconfig::allowed(name) {
            return Err(SandboxError::ReservedName { name: name.to_owned() });
        }
        let config = &self.inner.config;
        let index = self.inner.members.lock().len();
        let failed = |source| SandboxError::Member { name: name.to_owned(), source };
        let member = Member::start(
            MemberConfig {
                name: ClusterName::new(name)?,
                index,
                nodes: config.nodes,
                scheduling: config.scheduling,
                timing: config.timing(),
                clock: config.clock.clone(),
                link: self.inner.hub.link(),
            },
            &self.inner.tasks,
        )
        .await
        .map_err(failed)?;
        if config.in_process {
            member.start_agent().await.map_err(failed)?;
        }
        self.inner.clusters.mount(name, member.cluster.router());
        self.inner.members.lock().insert(name.to_owned(), member);
        Ok(())
    }

    fn obey(&self, mut commands: tokio::sync::mpsc::Receiver<Command>) {
        let sandbox = self.clone();
        self.inner.tasks.spawn("sandbox-controls", async move {
            while let Some(command) = commands.recv().await {
                if let Err(error) = sandbox.carry_out(&command).await {
                    tracing::warn!(?command, %error, "cannot be done");
                    if let Command::Cluster { name, .. } = &command {
                        sandbox.complain(name, &error).await;
                    }
                }
            }
        });
    }

    async fn carry_out(&self, command: &Command) -> Result<(), SandboxError> {
        match command {
            Command::Cluster { name, link_up } => {
                self.add_member(name).await?;
                self.set_link(name, *link_up)
            }
            Command::ClusterGone { name } => {
                tracing::info!(cluster = name, "no longer registered; its link is cut and its pods go on");
                self.set_link(name, false)
            }
            Command::RestartHub => self.restart_hub().await,
        }
    }

    /// Says on a KubeFedCluster why there is no member for it.
    async fn complain(&self, name: &str, error: &SandboxError) {
        let inner = &self.inner;
        let said = async {
            let client = client::in_process(inner.hub_api.router(), SANDBOX)?;
            let clusters: Api<KubeFedCluster> = Api::namespaced(client, &inner.config.federation_namespace);
            let mut conditions = Vec::new();
            let condition =
                Condition::new(keys::condition::CONFIG_MALFORMED, true, "NoMember", error.to_string());
            conditions::set_condition(&mut conditions, condition, inner.config.clock.now());
            let patch = json!({
                "apiVersion": KubeFedCluster::api_version(&()),
                "kind": KubeFedCluster::kind(&()),
                "status": {"conditions": conditions},
            });
            let params = PatchParams::apply(MANAGER).force();
            clusters.patch_status(name, &params, &Patch::Apply(patch)).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        };
        if let Err(error) = said.await {
            tracing::warn!(cluster = name, error, "cannot say so on the KubeFedCluster");
        }
    }

    fn member(&self, name: &str) -> Result<Member, SandboxError> {
        let members = self.inner.members.lock();
        members.get(name).cloned().ok_or_else(|| SandboxError::UnknownMember(name.to_owned()))
    }

    /// Cuts a member's link to the hub, or mends it.
    pub fn set_link(&self, member: &str, up: bool) -> Result<(), SandboxError> {
        self.member(member)?.link.set_up(up);
        Ok(())
    }

    /// Kills the hub; nobody answers on its paths until [`restart_hub`](Sandbox::restart_hub).
    pub async fn kill_hub(&self) {
        self.inner.hub.kill().await;
    }

    /// Kills the hub, if it runs, and starts another.
    pub async fn restart_hub(&self) -> Result<(), SandboxError> {
        Ok(self.inner.hub.start().await?)
    }

    /// Kills a member's agent.
    pub async fn kill_agent(&self, member: &str) -> Result<(), SandboxError> {
        self.member(member)?.stop_agent().await;
        Ok(())
    }

    /// Kills a member's agent, if it runs, and starts another.
    pub async fn restart_agent(&self, member: &str) -> Result<(), SandboxError> {
        let failed = |source| SandboxError::Member { name: member.to_owned(), source };
        self.member(member)?.start_agent().await.map_err(failed)
    }

    /// The manifests that were not accepted.
    pub fn rejected(&self) -> Vec<Rejected> {
        self.inner.rejected.lock().clone()
    }

    /// The names of the members, in order.
    pub fn members(&self) -> Vec<String> {
        self.inner.members.lock().keys().cloned().collect()
    }

    /// The API server of the hub (`hub`) or of a member: its request counters, say.
    pub fn cluster(&self, name: &str) -> Result<Cluster, SandboxError> {
        if name == kubeconfig::HUB {
            return Ok(self.inner.hub_api.clone());
        }
        Ok(self.member(name)?.cluster)
    }

    /// A client with the user agent `user_agent` for a context of the kubeconfig: `hub`, a member, or
    /// `view-<member>`.
    pub fn client(&self, context: &str, user_agent: &str) -> Result<Client, SandboxError> {
        if let Some(member) = context.strip_prefix(kubeconfig::VIEW_PREFIX) {
            self.member(member)?;
            let prefix = format!("/views/{member}");
            return Ok(client::in_process_under(self.inner.hub.router(), &prefix, user_agent)?);
        }
        Ok(client::in_process(self.cluster(context)?.router(), user_agent)?)
    }

    /// Every path that kubectl may ask for: `/clusters/<name>/...`, `/views/<member>/...`.
    pub fn router(&self) -> Router {
        self.inner.hub.router().fallback_service(self.inner.clusters.router())
    }

    /// Opens the sandbox to the network, until it is stopped.
    pub fn serve(&self, listener: TcpListener) {
        serve::serve(&self.inner.tasks, listener, self.router());
    }

    /// The kubeconfig for a sandbox that is served on `base`.
    pub fn kubeconfig(&self, base: &str) -> serde_json::Value {
        let members = self.members();
        kubeconfig::kubeconfig(base, members.iter().map(String::as_str))
    }

    /// Stops everything.
    pub async fn stop(&self) {
        self.inner.tasks.stop().await;
    }
}

/// The definitions of every kind of Muster, as manifests.
fn definitions() -> Result<Vec<Manifest>, serde_json::Error> {
    let definitions = muster_crds::all();
    let manifest = |definition| {
        Ok(Manifest { origin: "built in".to_owned(), object: serde_json::to_value(definition)? })
    };
    definitions.iter().map(manifest).collect()
}
