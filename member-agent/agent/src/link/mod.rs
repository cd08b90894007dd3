//! The link to the hub: follows the member's view, keeps the heartbeat, sends reports.
//!
//! The agent is an ordinary client of the view. When the link is cut everything that was wanted stays
//! in memory: the mirror creates again what goes missing, and touches nothing else, until the view is
//! heard again. A restart without a hub knows nothing of what was wanted: then the mirror leaves the
//! member alone, while the controllers go on with the sets the member holds.

pub mod follow;
pub mod heartbeat;
pub mod outbox;
pub mod reporter;

use std::sync::Arc;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use muster_crds::keys::group;
use muster_runtime::error::Said;
use muster_runtime::initialized::{Handle, Initialized};
use muster_runtime::{Clock, Tasks};
use tokio::sync::mpsc;

use self::follow::{Update, follow};
use self::heartbeat::{Beat, beat};
use self::reporter::Reporter;
use crate::member::Member;
use crate::metrics::Metrics;
use crate::mirror::Mirror;
use crate::mirror::ownership::Identity;
use crate::wire::{VERSION, View};

/// How soon a heartbeat that was not taken is tried again.
const HEARTBEAT_RETRY: Duration = Duration::from_secs(2);

/// How long the first heartbeat waits for what the member says of itself.
const FACTS_WAIT: Duration = Duration::from_secs(2);

/// How often the announcement is read again while some kind does not match it. Changes of it are
/// watched; this is for a hub whose announcement and list crossed.
const VERIFY_EVERY: Duration = Duration::from_secs(5);

/// Views that may wait to be handled; only the newest matters.
const VIEWS_WAITING: usize = 16;

/// How long one reading of the announcement may take.
const READ_DEADLINE: Duration = Duration::from_secs(15);

/// Everything the link works with.
pub struct Link {
    /// The hub, rooted at this member's view.
    pub hub: Client,
    /// The member.
    pub member: Member,
    /// Name of the member.
    pub cluster: String,
    /// Namespace of the heartbeat Lease.
    pub federation_namespace: String,
    /// How often the heartbeat is sent.
    pub heartbeat_interval: Duration,
    /// Least time between two report requests.
    pub report_interval: Duration,
    /// Wall time.
    pub clock: Clock,
    /// The mirror that is told what to hold.
    pub mirror: Mirror,
    /// What is said to the hub.
    pub reporter: Reporter,
    /// What is counted.
    pub metrics: Metrics,
    /// The hub is a part of it while it does not answer.
    pub initialized: Initialized,
}

impl Link {
    /// Starts following, heartbeat and reports.
    pub fn start(self, tasks: &Tasks) {
        let Self { hub, member, cluster, federation_namespace, heartbeat_interval, report_interval, .. } =
            self;
        let (mirror, reporter, clock, metrics) = (self.mirror, self.reporter, self.clock, self.metrics);
        let mut answers = Answers::new(self.initialized);

        let (client, said) = (hub.clone(), reporter.clone());
        tasks.spawn("link-reports", async move { said.run(client, report_interval).await });

        let (sender, views) = mpsc::channel(VIEWS_WAITING);
        let api = view_api(&hub);
        let name = format!("{cluster}/views");
        tasks.spawn("link-view", async move {
            follow(api, &name, |update| {
                for object in objects_of(update) {
                    match read_view(&object) {
                        // Full: newer ones follow, and the announcement is read again anyway.
                        Ok(view) => drop(sender.try_send(view)),
                        Err(error) => tracing::error!(%error, "cannot read the view's announcement"),
                    }
                }
            })
            .await;
        });

        let (client, followed, group) = (hub.clone(), mirror.clone(), tasks.clone());
        tasks.spawn("link-kinds", async move {
            kinds(views, client, followed, reporter, metrics, group).await;
        });

        let member = Arc::new(member);
        let facts = Arc::clone(&member);
        tasks.spawn("link-member", async move { facts.run().await });
        tasks.spawn("link-heartbeat", async move {
            // The first heartbeat should say who this is, but not wait for a member that is slow.
            let _ = tokio::time::timeout(FACTS_WAIT, member.refresh()).await;
            loop {
                let facts = member.facts();
                let result =
                    beat(&hub, &federation_namespace, &cluster, heartbeat_interval, &facts, clock.now())
                        .await;
                let pause = match &result {
                    Beat::Taken | Beat::Refused(_) => heartbeat_interval,
                    Beat::NoHub(_) => HEARTBEAT_RETRY.min(heartbeat_interval),
                };
                answers.told(&result);
                mirror.set_hub_answers(!matches!(result, Beat::NoHub(_)));
                tokio::time::sleep(pause).await;
            }
        });
    }
}

/// Whether the hub answers, as the heartbeat finds it: what the log and readiness say of it.
struct Answers {
    initialized: Initialized,
    /// Held while it does not.
    silent: Option<Handle>,
    said: Said,
}

impl Answers {
    fn new(initialized: Initialized) -> Self {
        let silent = Some(initialized.handle("hub"));
        Self { initialized, silent, said: Said::new() }
    }

    fn told(&mut self, beat: &Beat) {
        let reason = match beat {
            Beat::Taken => {
                if self.silent.take().is_some() {
                    tracing::info!("the hub takes the heartbeat");
                }
                self.said.is_over();
                return;
            }
            Beat::Refused(reason) | Beat::NoHub(reason) => reason,
        };
        let initialized = &self.initialized;
        self.silent.get_or_insert_with(|| initialized.handle("hub")).because(reason);
        if self.said.is_news(reason) {
            if matches!(beat, Beat::Refused(_)) {
                tracing::error!(reason, "the hub refuses the heartbeat");
            } else {
                tracing::warn!(reason, "the hub does not answer");
            }
        }
    }
}

/// Starts and ends the mirroring of kinds as the view announces them, and compares.
async fn kinds(
    mut views: mpsc::Receiver<View>,
    hub: Client,
    mirror: Mirror,
    reporter: Reporter,
    metrics: Metrics,
    tasks: Tasks,
) {
    let mut current: Option<View> = None;
    loop {
        let waits = mirror.has_unverified();
        let view = tokio::select! {
            view = views.recv() => match view {
                Some(view) => Some(view),
                None => return,
            },
            () = mirror.view_listed() => None,
            () = tokio::time::sleep(VERIFY_EVERY), if waits => read_current(&hub).await,
        };
        if let Some(view) = view {
            let me = Identity { hub: view.hub.uid.clone(), cluster: view.cluster.uid.clone() };
            mirror.set_kinds(&view.kinds, &me, &hub, &tasks).await;
            if current.as_ref().is_some_and(|old| old.hub != view.hub) {
                tracing::info!(epoch = view.hub.epoch, "the hub began anew; everything is reported again");
                reporter.repeat();
                mirror.look_at_everything();
            }
            metrics.hub_epoch.set(i64::try_from(view.hub.epoch).unwrap_or(i64::MAX));
            current = Some(view);
        }
        if let Some(view) = &current {
            mirror.announced(&view.kinds);
        }
    }
}

async fn read_current(hub: &Client) -> Option<View> {
    let api = view_api(hub);
    match tokio::time::timeout(READ_DEADLINE, api.get("current")).await {
        Ok(Ok(object)) => match read_view(&object) {
            Ok(view) => Some(view),
            Err(error) => {
                tracing::error!(%error, "cannot read the view's announcement");
                None
            }
        },
        Ok(Err(error)) => {
            tracing::debug!(%error, "cannot read the view's announcement");
            None
        }
        Err(_) => None,
    }
}

fn read_view(object: &DynamicObject) -> Result<View, serde_json::Error> {
    serde_json::from_value(object.data.clone())
}

fn objects_of(update: Update) -> Vec<DynamicObject> {
    match update {
        Update::Listed { objects, .. } => objects,
        Update::Changed(object) => vec![object],
        Update::Deleted(_) | Update::Connected | Update::Lost => Vec::new(),
    }
}

fn view_api(hub: &Client) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: group::VIEW.to_owned(),
        version: VERSION.to_owned(),
        api_version: format!("{}/{VERSION}", group::VIEW),
        kind: "View".to_owned(),
        plural: "views".to_owned(),
    };
    Api::all_with(hub.clone(), &resource)
}
