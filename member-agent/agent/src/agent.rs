//! The agent of one member: what it needs, and how its parts are started.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use kube::Client;
use muster_crds::ClusterName;
use muster_crds::keys::FEDERATION_NAMESPACE;
use muster_runtime::error::Said;
use muster_runtime::initialized::{Handle, Initialized};
use muster_runtime::{Clock, Tasks};
use muster_workload::Hooks;

use crate::definitions;
use crate::link::Link;
use crate::link::reporter::Reporter;
use crate::member::Member;
use crate::metrics::Metrics;
use crate::mirror::Mirror;
use crate::workload::{self, WorkloadConfig, WorkloadMetrics};

/// How often the heartbeat is sent, unless told otherwise.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// Least time between two report requests, unless told otherwise.
pub const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// How many objects are worked on at once, unless told otherwise.
pub const MIRROR_WORKERS: usize = 8;

/// The longest pause between two attempts to prepare the member.
const PREPARE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What an agent needs.
#[derive(Clone)]
pub struct AgentConfig {
    /// Name of the member, which is the name of its KubeFedCluster.
    pub cluster: ClusterName,
    /// The hub, rooted at this member's view. Without it only the controllers run.
    pub hub: Option<Client>,
    /// The member.
    pub member: Client,
    /// Wall time.
    pub clock: Clock,
    /// Namespace of the heartbeat Lease in the view.
    pub federation_namespace: String,
    /// How often the heartbeat is sent.
    pub heartbeat_interval: Duration,
    /// Least time between two report requests.
    pub report_interval: Duration,
    /// How many objects are mirrored at once.
    pub mirror_workers: usize,
    /// Whether the definitions of the agent's kinds are installed in the member.
    pub install_definitions: bool,
    /// Whether sets ask their hooks. Where nothing measures HookRuns, no answer would ever come.
    pub hooks: Hooks,
    /// Whether the controllers run. Without them the agent only mirrors, beside operators of one's own.
    pub run_controllers: bool,
}

/// Why an agent cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A setting that cannot work.
    #[error("agent of {cluster}: {field} {reason}")]
    Setting {
        /// The member.
        cluster: ClusterName,
        /// Which one.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A running agent. It ends with the tasks it was started on.
#[derive(Clone)]
pub struct Agent {
    initialized: Initialized,
    metrics: Metrics,
}

// === impl AgentConfig ===

impl AgentConfig {
    /// The usual settings.
    pub fn new(cluster: ClusterName, hub: Option<Client>, member: Client, clock: Clock) -> Self {
        Self {
            cluster,
            hub,
            member,
            clock,
            federation_namespace: FEDERATION_NAMESPACE.to_owned(),
            heartbeat_interval: HEARTBEAT_INTERVAL,
            report_interval: REPORT_INTERVAL,
            mirror_workers: MIRROR_WORKERS,
            install_definitions: true,
            hooks: Hooks::NotEnforced,
            run_controllers: true,
        }
    }

    fn check(&self) -> Result<(), AgentError> {
        let wrong = |field, reason| Err(AgentError::Setting { cluster: self.cluster.clone(), field, reason });
        if self.heartbeat_interval.is_zero() {
            return wrong("heartbeat interval", "must not be zero");
        }
        if self.report_interval.is_zero() {
            return wrong("report interval", "must not be zero: it bounds the load on the hub");
        }
        if self.mirror_workers == 0 {
            return wrong("number of mirror workers", "must not be zero");
        }
        Ok(())
    }
}

// === impl Agent ===

impl Agent {
    /// Starts an agent on `tasks`. It returns at once; a member that is out of reach is asked again
    /// until it answers.
    pub fn start(config: AgentConfig, tasks: &Tasks) -> Result<Self, AgentError> {
        config.check()?;
        let agent = Self { initialized: Initialized::new(), metrics: Metrics::new() };
        let prepared = agent.initialized.handle("member");
        let (metrics, initialized, group) = (agent.metrics.clone(), agent.initialized.clone(), tasks.clone());
        tasks.spawn("agent-start", async move {
            if config.install_definitions {
                prepare(&config, &prepared).await;
            }
            if config.run_controllers {
                let mut workload = WorkloadConfig::new(config.member.clone(), config.clock.clone());
                workload.initialized = initialized.clone();
                workload.hooks = config.hooks;
                workload.metrics = WorkloadMetrics::registered(&mut metrics.registry().lock());
                workload::run_alone(workload, &group);
            }
            start_parts(config, metrics, &initialized, &group);
            drop(prepared);
        });
        Ok(agent)
    }

    /// The parts that are not ready; empty means ready. A member or a hub that was reached and is not any more is among
    /// them again.
    pub fn pending(&self) -> Vec<&'static str> {
        self.initialized.pending()
    }

    /// What the agent counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// `/healthz`, `/livez`, `/readyz` and `/metrics`.
    pub fn router(&self) -> Router {
        let initialized = self.initialized.clone();
        let metrics = self.metrics.clone();
        Router::new()
            .route("/healthz", get(async || "ok"))
            .route("/livez", get(async || "ok"))
            .route("/readyz", get(async move || readyz(&initialized)))
            .route("/metrics", get(async move || metrics.text()))
    }
}

fn readyz(initialized: &Initialized) -> (StatusCode, String) {
    let reasons = initialized.reasons();
    if reasons.is_empty() {
        (StatusCode::OK, "ok".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", reasons.join("; ")))
    }
}

/// Installs the definitions, however long that takes.
async fn prepare(config: &AgentConfig, member: &Handle) {
    let definitions = definitions::own();
    let mut pause = Duration::from_millis(200);
    let mut said = Said::new();
    while let Err(error) = definitions::install(&config.member, &definitions).await {
        let error = error.advised();
        member.because(&error);
        if said.is_news(&error) {
            tracing::warn!(cluster = %config.cluster, error, "cannot prepare the member yet");
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(PREPARE_PAUSE_MAX);
    }
}

fn start_parts(config: AgentConfig, metrics: Metrics, initialized: &Initialized, tasks: &Tasks) {
    let Some(hub) = config.hub else { return };
    let reporter = Reporter::new(metrics.clone(), config.clock.now());
    let mirror = Mirror::new(
        config.cluster.as_str(),
        config.member.clone(),
        config.clock.clone(),
        reporter.clone(),
        metrics.clone(),
    );
    mirror.start(tasks, config.mirror_workers);
    let link = Link {
        hub,
        member: Member::new(config.member),
        cluster: config.cluster.to_string(),
        federation_namespace: config.federation_namespace,
        heartbeat_interval: config.heartbeat_interval,
        report_interval: config.report_interval,
        clock: config.clock,
        mirror,
        reporter,
        metrics,
        initialized: initialized.clone(),
    };
    link.start(tasks);
}
