//! Which hub leads: one Lease, raised epochs, and a deadline after which a hub that cannot renew stops serving.
//!
//! Expiry is judged by how long the record was not seen to change on our own monotonic clock, never by comparing the
//! stamp in it with our wall clock (the rule of client-go).

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use muster_crds::keys;
use muster_runtime::Clock;
use muster_runtime::error::Said;
use serde_json::json;
use tokio::time::Instant;

use super::explained;
use crate::model::Versions;

/// Name of the Lease in the federation namespace.
pub(crate) const LEASE_NAME: &str = "muster-hub";

/// Annotation with the epoch of the present or last term.
pub(crate) const EPOCH_ANNOTATION: &str = "muster.dev/epoch";

/// Annotation with the counter of versions at the last renewal.
pub(crate) const COUNTER_ANNOTATION: &str = "muster.dev/counter";

/// Field manager of everything the hub writes.
const MANAGER: &str = keys::manager::HUB;

/// How long a record must stay unchanged before another hub takes over.
const LEASE_DURATION: Duration = Duration::from_secs(15);

/// A hub that could not renew for this long stops serving. Shorter than [`LEASE_DURATION`], so that it has stopped before another one starts.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// The pause between renewals.
const RENEW_PERIOD: Duration = Duration::from_secs(5);

/// The pause between attempts, to acquire or to renew after a failure.
const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// Takes and keeps the hub's Lease.
#[derive(Clone)]
pub(crate) struct Leases {
    api: Api<Lease>,
    identity: String,
    clock: Clock,
}

/// A term that was won.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    /// The epoch, higher than that of every term before.
    pub(crate) epoch: u64,
    resource_version: String,
}

/// Why a term ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    /// Another hub took the Lease.
    #[error("{0:?} holds the lease now")]
    TakenBy(String),
    /// The Lease says another epoch than ours.
    #[error("the lease is at epoch {0} now")]
    Epoch(u64),
    /// The Lease was deleted.
    #[error("the lease was deleted")]
    Deleted,
    /// The API could not be reached before the deadline.
    #[error("the lease could not be renewed in time: {0}")]
    Deadline(String),
}

/// What came of one attempt to take the Lease.
enum Attempt {
    /// It is ours.
    Won(Term),
    /// It is another hub's.
    HeldBy(String),
}

/// The record of another holder, and since when it has not changed.
struct Seen {
    resource_version: Option<String>,
    since: Instant,
}

impl Leases {
    /// The Lease of the hub in a namespace.
    pub(crate) fn new(client: Client, namespace: &str, identity: &str, clock: Clock) -> Self {
        Self { api: Api::namespaced(client, namespace), identity: identity.to_owned(), clock }
    }

    /// Waits until the Lease is ours and its epoch is raised. Failures are tried again; why it is not ours yet is
    /// logged once for each cause, and given to `waiting`.
    pub(crate) async fn acquire(&self, at_least: u64, waiting: impl Fn(&str)) -> Term {
        let mut seen: Option<Seen> = None;
        let mut said = Said::new();
        loop {
            match self.try_acquire(at_least, &mut seen).await {
                Ok(Attempt::Won(term)) => return term,
                Ok(Attempt::HeldBy(holder)) => {
                    let why = format!("{holder} leads");
                    if said.is_news(&why) {
                        tracing::info!(holder, "another hub leads; standing by");
                    }
                    waiting(&why);
                }
                Err(error) => {
                    let error = explained(&error);
                    if said.is_news(&error) {
                        tracing::warn!(error, "cannot take the lease");
                    }
                    waiting(&error);
                }
            }
            tokio::time::sleep(RETRY_PERIOD).await;
        }
    }

    async fn try_acquire(&self, at_least: u64, seen: &mut Option<Seen>) -> Result<Attempt, kube::Error> {
        let Some(mut lease) = self.api.get_opt(LEASE_NAME).await? else {
            return self.create(at_least).await.map(Attempt::Won);
        };
        let held = lease.spec.get_or_insert_default();
        let holder = held.holder_identity.clone().unwrap_or_default();
        if !holder.is_empty() && holder != self.identity && !expired(seen, &lease) {
            return Ok(Attempt::HeldBy(holder));
        }
        let epoch = annotation(&lease, EPOCH_ANNOTATION).max(at_least) + 1;
        let now = MicroTime(self.clock.now());
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(seconds(LEASE_DURATION));
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        spec.acquire_time = Some(now.clone());
        spec.renew_time = Some(now);
        let annotations = lease.metadata.annotations.get_or_insert_default();
        annotations.insert(EPOCH_ANNOTATION.to_owned(), epoch.to_string());
        annotations.insert(COUNTER_ANNOTATION.to_owned(), "0".to_owned());
        lease.metadata.managed_fields = None;
        // The resourceVersion that was read makes this a compare-and-swap: of two starting hubs one gets a conflict.
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match self.api.replace(LEASE_NAME, &params, &lease).await {
            Ok(lease) => Ok(Attempt::Won(Term {
                epoch,
                resource_version: lease.metadata.resource_version.unwrap_or_default(),
            })),
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                Ok(Attempt::HeldBy("another hub that was faster".to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    async fn create(&self, at_least: u64) -> Result<Term, kube::Error> {
        let epoch = at_least + 1;
        let now = MicroTime(self.clock.now());
        let mut lease = Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(seconds(LEASE_DURATION)),
                lease_transitions: Some(0),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        lease.metadata.name = Some(LEASE_NAME.to_owned());
        lease.metadata.annotations = Some(BTreeMap::from([
            (EPOCH_ANNOTATION.to_owned(), epoch.to_string()),
            (COUNTER_ANNOTATION.to_owned(), "0".to_owned()),
        ]));
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let lease = self.api.create(&params, &lease).await?;
        Ok(Term { epoch, resource_version: lease.metadata.resource_version.unwrap_or_default() })
    }

    /// Renews the Lease until that fails for good; returns why. `versions` says how far the term has come.
    pub(crate) async fn keep(&self, mut term: Term, versions: impl Fn() -> Versions) -> Lost {
        let mut renewed = Instant::now();
        let mut pause = RENEW_PERIOD;
        loop {
            tokio::time::sleep(pause).await;
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
            let failure = match tokio::time::timeout(left, self.renew(&mut term, versions())).await {
                Ok(Ok(())) => {
                    renewed = Instant::now();
                    pause = RENEW_PERIOD;
                    continue;
                }
                Ok(Err(Renewal::Lost(lost))) => return lost,
                Ok(Err(Renewal::Failed(error))) => explained(&error),
                Err(_) => "no answer".to_owned(),
            };
            if renewed.elapsed() + RETRY_PERIOD >= RENEW_DEADLINE {
                return Lost::Deadline(failure);
            }
            tracing::warn!(error = failure, "cannot renew the lease");
            pause = RETRY_PERIOD;
        }
    }

    async fn renew(&self, term: &mut Term, versions: Versions) -> Result<(), Renewal> {
        let patch = |resource_version: &str| {
            json!({
                "metadata": {
                    "resourceVersion": resource_version,
                    "annotations": { COUNTER_ANNOTATION: versions.counter().to_string() },
                },
                "spec": { "renewTime": MicroTime(self.clock.now()) },
            })
        };
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let answer = self.api.patch(LEASE_NAME, &params, &Patch::Merge(patch(&term.resource_version))).await;
        let lease = match answer {
            Ok(lease) => lease,
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                // Somebody wrote the Lease. It may have been a person with an annotation: only another holder or
                // epoch ends the term.
                let lease = self.api.get_opt(LEASE_NAME).await?.ok_or(Renewal::Lost(Lost::Deleted))?;
                self.still_ours(&lease, term.epoch)?;
                let version = lease.metadata.resource_version.unwrap_or_default();
                self.api.patch(LEASE_NAME, &params, &Patch::Merge(patch(&version))).await?
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                return Err(Renewal::Lost(Lost::Deleted));
            }
            Err(error) => return Err(error.into()),
        };
        self.still_ours(&lease, term.epoch)?;
        term.resource_version = lease.metadata.resource_version.unwrap_or_default();
        Ok(())
    }

    fn still_ours(&self, lease: &Lease, epoch: u64) -> Result<(), Renewal> {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if holder != self.identity {
            return Err(Renewal::Lost(Lost::TakenBy(holder.to_owned())));
        }
        let found = annotation(lease, EPOCH_ANNOTATION);
        if found == epoch { Ok(()) } else { Err(Renewal::Lost(Lost::Epoch(found))) }
    }

    /// Gives the Lease back, so that the next hub need not wait for it to expire.
    pub(crate) async fn release(&self, epoch: u64) {
        let Ok(Some(lease)) = self.api.get_opt(LEASE_NAME).await else { return };
        if self.still_ours(&lease, epoch).is_err() {
            return;
        }
        let patch = json!({
            "metadata": { "resourceVersion": lease.metadata.resource_version },
            "spec": { "holderIdentity": "" },
        });
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        if let Err(error) = self.api.patch(LEASE_NAME, &params, &Patch::Merge(patch)).await {
            tracing::debug!(%error, "cannot release the lease; it will expire");
        }
    }
}

/// Why one renewal did not happen.
enum Renewal {
    Lost(Lost),
    Failed(Box<kube::Error>),
}

impl From<kube::Error> for Renewal {
    fn from(error: kube::Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// Whether the record has not changed for its whole duration.
fn expired(seen: &mut Option<Seen>, lease: &Lease) -> bool {
    let duration = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    let duration = Duration::from_secs(u64::try_from(duration).unwrap_or(0));
    let version = &lease.metadata.resource_version;
    match seen {
        Some(seen) if seen.resource_version == *version => seen.since.elapsed() >= duration,
        _ => {
            *seen = Some(Seen { resource_version: version.clone(), since: Instant::now() });
            false
        }
    }
}

/// A number in an annotation; 0 when it is missing or no number.
fn annotation(lease: &Lease, key: &str) -> u64 {
    let annotations = lease.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(key)).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
