//! The hub as a whole: terms of leadership, one after the other, and the router that serves them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use muster_runtime::Tasks;
use muster_runtime::error::Said;

use crate::HubConfig;
use crate::drive::lease::{Leases, Term};
use crate::drive::{explained, feeds, writer};
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::model::{Event, FederatedKind, Model};
use crate::serve::{self, Front};

/// The pause between attempts to read the federation namespace.
const NAMESPACE_RETRY: Duration = Duration::from_secs(1);

/// How long a stopping hub tries to give its Lease back.
const RELEASE_DEADLINE: Duration = Duration::from_secs(1);

/// Why a hub cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Without an identity two hubs would take each other for themselves.
    #[error("identity: must not be empty")]
    NoIdentity,
    /// The federation namespace is no namespace.
    #[error("federation namespace: {0}")]
    Namespace(#[from] muster_crds::names::NameError),
}

/// A running hub.
///
/// It serves views only while it holds the Lease `muster-hub`; until then, and after losing it, views are 503.
#[derive(Clone)]
pub struct Hub {
    front: Arc<Front>,
}

// === impl Hub ===

impl Hub {
    /// Starts a hub. It runs until `tasks` is stopped.
    pub fn start(config: HubConfig, tasks: &Tasks) -> Result<Self, HubError> {
        if config.identity.is_empty() {
            return Err(HubError::NoIdentity);
        }
        muster_crds::names::Namespace::new(&config.federation_namespace)?;
        let metrics = Metrics::new();
        let front = Arc::new(Front::new(&config.federation_namespace, config.clock.clone(), metrics.clone()));
        let runner = Runner { config, front: Arc::clone(&front), metrics, tasks: tasks.clone() };
        tasks.spawn_until("hub", runner.run());
        Ok(Self { front })
    }

    /// Serves `/views/<cluster>/...`, `/livez`, `/healthz`, `/readyz` and `/metrics`.
    pub fn router(&self) -> Router {
        serve::router(Arc::clone(&self.front))
    }

    /// The same for clients that the network brings: each view is served to its own agent only, who shows a
    /// certificate with the cluster's name and the organization [`AGENTS`](crate::AGENTS).
    pub fn authorized_router(&self) -> Router {
        serve::by_certificate(self.router())
    }

    /// What is missing until every view can be served, in words; empty when they are.
    pub fn pending(&self) -> Vec<String> {
        self.front.pending()
    }
}

/// Runs terms.
struct Runner {
    config: HubConfig,
    front: Arc<Front>,
    metrics: Metrics,
    tasks: Tasks,
}

impl Runner {
    async fn run(self) {
        let stopped = self.tasks.token();
        let leases = Leases::new(
            self.config.client.clone(),
            &self.config.federation_namespace,
            &self.config.identity,
            self.config.clock.clone(),
        );
        let mut epoch = 0;
        loop {
            let term = stopped.run_until_cancelled(async {
                let hub_uid = self.namespace_uid().await;
                let waiting = |why: &str| self.front.idle(why);
                (hub_uid, leases.acquire(epoch, waiting).await)
            });
            let Some((hub_uid, term)) = term.await else { return };
            epoch = term.epoch;
            tracing::info!(epoch, identity = self.config.identity, "leading");
            self.lead(&hub_uid, term, &leases).await;
            if stopped.is_cancelled() {
                // The next hub then need not wait for the Lease to expire.
                let _ = tokio::time::timeout(RELEASE_DEADLINE, leases.release(epoch)).await;
                return;
            }
        }
    }

    /// Serves one term, until it is lost or the hub is stopped.
    async fn lead(&self, hub_uid: &str, term: Term, leases: &Leases) {
        let HubConfig { client, federation_namespace, clock, settings, .. } = &self.config;
        let kinds = FederatedKind::built_in();
        let group = self.tasks.child();
        // Watches begin after the Lease was taken: what an earlier hub wrote is in their lists.
        let model = Model::new(settings, kinds.clone(), hub_uid, term.epoch, clock.now());
        let engine = Arc::new(Engine::new(model, clock.clone(), self.metrics.clone()));
        feeds::start(&group, client, federation_namespace, &kinds, &engine);
        writer::start(&group, client, federation_namespace, &engine);
        let ticker = Arc::clone(&engine);
        group.spawn("hub clock", async move {
            loop {
                ticker.tick().await;
                ticker.apply(Event::Tick);
            }
        });
        self.front.open(Arc::clone(&engine), hub_uid, term.epoch);
        tokio::select! {
            lost = leases.keep(term, || engine.read(Model::versions)) => {
                tracing::error!(reason = %lost, "leadership lost; views are closed");
                self.front.idle(&lost.to_string());
            }
            () = group.token().cancelled_owned() => {}
        }
        self.front.close();
        group.stop().await;
    }

    /// uid of the federation namespace, which names this hub: it lives as long as the registrations in it.
    async fn namespace_uid(&self) -> String {
        let api: Api<Namespace> = Api::all(Client::clone(&self.config.client));
        let name = &self.config.federation_namespace;
        let mut said = Said::new();
        loop {
            let why = match api.get_opt(name).await {
                Ok(Some(namespace)) => {
                    if let Some(uid) = namespace.metadata.uid {
                        return uid;
                    }
                    format!("the namespace {name} has no uid")
                }
                Ok(None) => format!("the federation namespace {name} does not exist; create it"),
                Err(error) => format!("cannot read the namespace {name}: {}", explained(&error)),
            };
            self.front.idle(&why);
            if said.is_news(&why) {
                tracing::warn!(reason = why, "cannot lead yet");
            }
            tokio::time::sleep(NAMESPACE_RETRY).await;
        }
    }
}
