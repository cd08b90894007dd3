//! The hub's place in the sandbox: it can be killed and started again.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::StatusCode;
use muster_hub::{Hub, HubConfig, HubError};
use muster_runtime::client::{self, ClientError};
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;
use std::sync::Arc;
use tower::ServiceExt;

use crate::link::Link;

/// The user agent of the hub.
const HUB: &str = concat!("muster-hub/", env!("CARGO_PKG_VERSION"));

/// Who the hub is in its Lease. The same at each start, so that a new hub need not wait until the
/// Lease of a killed one has run out.
const IDENTITY: &str = "sandbox";

/// Starts, kills and reaches the hub.
#[derive(Clone)]
pub(crate) struct HubSlot {
    /// The API server that the hub works on.
    api: Router,
    clock: Clock,
    namespace: String,
    /// The tasks that every hub's tasks are children of.
    tasks: Tasks,
    running: Arc<Mutex<Running>>,
    /// One restart at a time.
    restart: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Running {
    router: Option<Router>,
    tasks: Option<Tasks>,
    /// Between the hub and its API server.
    api: Option<Link>,
    /// Between each agent and the hub.
    agents: Vec<Link>,
}

/// Why the hub did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A client could not be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The hub refused its configuration.
    #[error(transparent)]
    Hub(#[from] HubError),
}

// === impl HubSlot ===

impl HubSlot {
    pub(crate) fn new(api: Router, clock: Clock, namespace: String, tasks: Tasks) -> Self {
        let running = Arc::new(Mutex::new(Running::default()));
        Self { api, clock, namespace, tasks, running, restart: Arc::default() }
    }

    /// A link to whichever hub runs.
    pub(crate) fn link(&self) -> Link {
        let link = Link::new("the hub");
        let mut running = self.running.lock();
        if let Some(router) = &running.router {
            link.attach(router.clone());
        }
        running.agents.push(link.clone());
        link
    }

    /// Starts a hub. One that runs is killed first: its tasks are dropped where they are, as a crash
    /// would leave them.
    pub(crate) async fn start(&self) -> Result<(), StartError> {
        let _one_at_a_time = self.restart.lock().await;
        self.kill_running().await;
        let tasks = self.tasks.child();
        let api = Link::to("the hub's API", self.api.clone());
        let mut config = HubConfig::new(client::over(api.clone(), "", HUB)?, IDENTITY);
        config.clock = self.clock.clone();
        config.federation_namespace.clone_from(&self.namespace);
        let hub = Hub::start(config, &tasks)?;
        let mut running = self.running.lock();
        let router = hub.router();
        running.agents.iter().for_each(|link| link.attach(router.clone()));
        running.router = Some(router);
        running.tasks = Some(tasks);
        running.api = Some(api);
        Ok(())
    }

    /// Kills the hub; nobody answers until the next start.
    pub(crate) async fn kill(&self) {
        let _one_at_a_time = self.restart.lock().await;
        self.kill_running().await;
    }

    async fn kill_running(&self) {
        let tasks = {
            let mut running = self.running.lock();
            running.agents.iter().for_each(Link::detach);
            running.router = None;
            // What it still wants to write does not arrive: a killed process says no goodbye.
            if let Some(api) = running.api.take() {
                api.set_up(false);
            }
            running.tasks.take()
        };
        if let Some(tasks) = tasks {
            tasks.stop().await;
        }
    }

    /// The views of whichever hub runs.
    pub(crate) fn router(&self) -> Router {
        Router::new().route("/views/{*rest}", any(forward)).with_state(self.clone())
    }
}

async fn forward(State(hub): State<HubSlot>, request: Request) -> Response {
    let router = hub.running.lock().router.clone();
    match router {
        Some(router) => match router.oneshot(request.map(Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => (StatusCode::SERVICE_UNAVAILABLE, "the hub is not running\n").into_response(),
    }
}
