//! The operator of bk-bcs: the controller runs only where it does not.
//!
//! Two controllers of one set would undo each other's work. The original holds a lock while it runs, an Endpoints object
//! (or, in later versions, a Lease) that it renews every few seconds. While somebody renews it, nothing is watched and
//! nothing is written here, `/readyz` says why, and a controller that runs already is stopped.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Endpoints;
use kube::{Api, Client};
use muster_runtime::error::{Said, api};
use muster_runtime::initialized::Handle;
use muster_runtime::{Clock, Tasks};
use serde::Deserialize;
use tokio::time::Instant;

use super::{WorkloadConfig, WorkloadController};

/// Namespace of the original's lock, its default.
pub const LOCK_NAMESPACE: &str = "bcs-system";
/// Name of the original's lock, its default.
pub const LOCK_NAME: &str = "gamestatefulset";
/// Where client-go keeps the holder of a lock that is no Lease.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// How often the lock is looked at while it is held.
pub const LOOK_WAITING: Duration = Duration::from_secs(5);
/// How often the lock is looked at while the controller runs.
pub const LOOK_RUNNING: Duration = Duration::from_secs(30);
/// The original's lease, where its lock does not say how long that is.
const LEASE: Duration = Duration::from_secs(15);
/// Clocks of two machines of one cluster are not further apart than this. A lock that was last renewed earlier is dead;
/// of a younger one, only a whole lease without a renewal proves it.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

/// Runs the controller for as long as the original does not.
pub fn run_alone(config: WorkloadConfig, tasks: &Tasks) {
    let group = tasks.clone();
    // Taken at once: nobody is to think in between that all is ready.
    let handle = config.initialized.handle("workload");
    tasks.spawn("workload-alone", async move {
        let mut handle = handle;
        loop {
            until_gone(&config.client, &config.clock, &handle).await;
            let controller = group.child();
            // It runs on the tasks of the group; nothing is asked of it here.
            let _ = WorkloadController::start(config.clone(), &controller);
            drop(handle);
            let holder = until_live(&config.client, &config.clock).await;
            handle = config.initialized.handle("workload");
            handle.because(&holder.to_string());
            tracing::error!(reason = %holder, "the controller stops");
            controller.stop().await;
        }
    });
}

/// A lock that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    /// Kind of the object.
    kind: &'static str,
    holder: String,
    renewed: Option<Timestamp>,
    lease: Duration,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the bk-bcs operator {} runs and holds {} {LOCK_NAMESPACE}/{LOCK_NAME}",
            self.holder, self.kind
        )?;
        if let Some(renewed) = self.renewed {
            write!(f, ", renewed {renewed}")?;
        }
        f.write_str("; scale its Deployment to 0 first")
    }
}

impl Held {
    fn is_ancient(&self, now: Timestamp) -> bool {
        self.renewed.is_none_or(|renewed| now.duration_since(renewed) > SKEW)
    }
}

/// Waits until nobody renews the lock, and says meanwhile what is waited for.
async fn until_gone(client: &Client, clock: &Clock, handle: &Handle) {
    let mut said = Said::new();
    let mut last: Option<(Held, Instant)> = None;
    loop {
        let why = match held(client).await {
            Ok(None) => return,
            Ok(Some(held)) if held.is_ancient(clock.now()) => return,
            Ok(Some(held)) => {
                let since = match &last {
                    Some((before, since)) if *before == held => *since,
                    _ => Instant::now(),
                };
                if since.elapsed() > held.lease {
                    return;
                }
                let why = Held { renewed: None, ..held.clone() }.to_string();
                last = Some((held, since));
                why
            }
            Err(error) => format!(
                "cannot tell whether the bk-bcs operator runs: {error}; the right to read its lock is in deploy/agent/rbac.yaml"
            ),
        };
        handle.because(&why);
        if said.is_news(&why) {
            tracing::warn!(reason = why, "the controller does not start yet");
        }
        tokio::time::sleep(LOOK_WAITING).await;
    }
}

/// Waits until somebody renews the lock. A lock that cannot be read says nothing new.
async fn until_live(client: &Client, clock: &Clock) -> Held {
    let mut last: Option<Held> = None;
    loop {
        tokio::time::sleep(LOOK_RUNNING).await;
        let Ok(now) = held(client).await else { continue };
        if let (Some(held), Some(before)) = (&now, &last)
            && held != before
            && !held.is_ancient(clock.now())
        {
            return held.clone();
        }
        // The first look may find what was dead when the controller started.
        last = now.or_else(|| Some(Held::nobody()));
    }
}

impl Held {
    /// Whom every holder differs from.
    fn nobody() -> Self {
        Self { kind: "", holder: String::new(), renewed: None, lease: LEASE }
    }
}

/// The lock, if it names a holder.
async fn held(client: &Client) -> Result<Option<Held>, String> {
    let endpoints = Api::<Endpoints>::namespaced(client.clone(), LOCK_NAMESPACE);
    let endpoints = endpoints.get_opt(LOCK_NAME).await.map_err(|error| api(&error))?;
    let annotation = endpoints.and_then(|endpoints| endpoints.metadata.annotations?.remove(LEADER));
    if let Some(held) = annotation.as_deref().and_then(of_annotation) {
        return Ok(Some(held));
    }
    let lease = Api::<Lease>::namespaced(client.clone(), LOCK_NAMESPACE);
    let lease = lease.get_opt(LOCK_NAME).await.map_err(|error| api(&error))?;
    Ok(lease.and_then(of_lease))
}

/// What client-go writes into an annotation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Leader {
    #[serde(default)]
    holder_identity: String,
    lease_duration_seconds: Option<u64>,
    renew_time: Option<String>,
}

fn of_annotation(text: &str) -> Option<Held> {
    let leader: Leader = serde_json::from_str(text).ok()?;
    let renewed = leader.renew_time.and_then(|time| time.parse().ok());
    (!leader.holder_identity.is_empty()).then(|| Held {
        kind: "Endpoints",
        holder: leader.holder_identity,
        renewed,
        lease: leader.lease_duration_seconds.map_or(LEASE, Duration::from_secs),
    })
}

fn of_lease(lease: Lease) -> Option<Held> {
    let spec = lease.spec?;
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Some(Held {
        kind: "Lease",
        holder: spec.holder_identity.filter(|holder| !holder.is_empty())?,
        renewed: spec.renew_time.map(|time| time.0),
        lease: seconds.map_or(LEASE, Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_of_client_go_is_read() {
        let held = of_annotation(
            r#"{"holderIdentity":"op-7_x","leaseDurationSeconds":20,"acquireTime":"2022-03-04T05:00:00Z",
                "renewTime":"2022-03-04T05:06:07Z","leaderTransitions":3}"#,
        );
        let held = held.unwrap();
        assert_eq!((held.holder.as_str(), held.lease), ("op-7_x", Duration::from_secs(20)));
        assert!(held.is_ancient("2022-03-04T05:17:00Z".parse().unwrap()));
        assert!(!held.is_ancient("2022-03-04T05:06:00Z".parse().unwrap()));
        assert_eq!(of_annotation(r#"{"holderIdentity":""}"#), None);
        assert_eq!(of_annotation("what"), None);
    }
}
