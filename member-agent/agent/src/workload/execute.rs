//! Carrying out steps: one request each, with a deadline, and what it returned goes into the world at once.

use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod as CorePod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use kube::{Api, Client, Resource};
use muster_crds::keys::manager;
use muster_crds::{GameStatefulSet, HookRun};
use muster_runtime::Clock;
use muster_runtime::watch::Key;
use muster_workload::{Action, Claim, Code, Pod, Revision, Step};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::hooks::slim_run;
use super::world::World;

/// How many requests for one set are under way at once. It begins with one and may have one more for each that was
/// answered well, as StatefulSet doubles its batches: what every request would meet is met by one.
pub const PARALLEL_WRITES: usize = 16;

/// How long one request may take.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(15);

/// Why a step was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// What the step was planned on has changed.
    #[error("outdated: {0}")]
    Outdated(String),
    /// The API server does not allow it.
    #[error("{0}")]
    Refused(String),
    /// The API server does not allow a claim of the pod.
    #[error("claim {claim}: {message}")]
    ClaimRefused {
        /// The claim.
        claim: String,
        /// Why.
        message: String,
    },
    /// The API server could not be asked, or is not able to answer.
    #[error("{0}")]
    Failed(#[source] Box<kube::Error>),
    /// No answer in time.
    #[error("no answer within {WRITE_DEADLINE:?}")]
    Deadline,
    /// The set is not the one the step was planned for.
    #[error("the set was deleted or replaced")]
    SetGone,
}

/// What became of one step.
pub(super) struct Outcome<'a> {
    pub(super) step: &'a Step,
    pub(super) result: Result<(), WriteError>,
    /// How long it took.
    pub(super) took: Duration,
}

/// Who carries out steps.
#[derive(Clone)]
pub(super) struct Executor {
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) world: World,
}

impl Executor {
    /// Carries out the steps of a plan. After a failure that others would share, no further one begins.
    pub(super) async fn carry_out<'a>(
        &self,
        set: &GameStatefulSet,
        key: &Key,
        steps: &'a [Step],
    ) -> Vec<Outcome<'a>> {
        let adopts =
            steps.iter().any(|step| matches!(step.reason.code, Code::AdoptPod | Code::AdoptRevision));
        if adopts && let Err(error) = self.confirm(set, key).await {
            let outcome = |step| Outcome { step, result: Err(error), took: Duration::ZERO };
            return steps.first().map(outcome).into_iter().collect();
        }
        let mut outcomes = Vec::with_capacity(steps.len());
        let mut left = steps.iter();
        let mut running = FuturesUnordered::new();
        let (mut window, mut stopped) = (1, false);
        loop {
            while running.len() < window && !stopped {
                let Some(step) = left.next() else { break };
                running.push(self.attempt(&key.namespace, step));
            }
            let Some(outcome) = running.next().await else { return outcomes };
            let shared =
                outcome.result.as_ref().is_err_and(|error| !matches!(error, WriteError::Outdated(_)));
            stopped |= shared;
            window = (window + 1).min(PARALLEL_WRITES);
            outcomes.push(outcome);
        }
    }

    /// Carries out one step.
    async fn attempt<'a>(&self, namespace: &str, step: &'a Step) -> Outcome<'a> {
        let began = Instant::now();
        let result = within_deadline(self.write(namespace, &step.action)).await;
        Outcome { step, result, took: began.elapsed() }
    }

    /// Whether the set is there and not being deleted, asked of the API server itself: who adopts by a cache that lags
    /// takes pods for a set that is gone.
    async fn confirm(&self, set: &GameStatefulSet, key: &Key) -> Result<(), WriteError> {
        let api: Api<GameStatefulSet> = Api::namespaced(self.client.clone(), &key.namespace);
        let live = within_deadline(async { api.get_opt(&key.name).await.map_err(sort) }).await?;
        let same = |live: &GameStatefulSet| {
            live.metadata.uid == set.metadata.uid && live.metadata.deletion_timestamp.is_none()
        };
        if live.as_ref().is_some_and(same) { Ok(()) } else { Err(WriteError::SetGone) }
    }

    async fn write(&self, namespace: &str, action: &Action) -> Result<(), WriteError> {
        match action {
            Action::CreateRevision { name, body } => {
                self.create::<ControllerRevision>(namespace, name.as_str(), body).await
            }
            Action::PatchRevision { name, body } => {
                let request = requests::<ControllerRevision>(namespace).patch(
                    name.as_str(),
                    &patch_params(),
                    &Patch::Merge(body),
                );
                self.send::<ControllerRevision>(namespace, name.as_str(), request).await
            }
            Action::DeleteRevision { name, uid } => {
                self.delete::<ControllerRevision>(namespace, name.as_str(), uid.as_str(), None).await
            }
            Action::CreateClaims { claims } => self.create_claims(namespace, claims).await,
            Action::CreatePod { name, claims, body } => {
                self.create_claims(namespace, claims).await?;
                self.create::<CorePod>(namespace, name.as_str(), body).await
            }
            Action::PatchPod { name, body } => {
                let request = requests::<CorePod>(namespace).patch(
                    name.as_str(),
                    &patch_params(),
                    &Patch::Strategic(body),
                );
                self.send::<CorePod>(namespace, name.as_str(), request).await
            }
            Action::PatchPodStatus { name, body } => {
                let request = requests::<CorePod>(namespace).patch_subresource(
                    "status",
                    name.as_str(),
                    &patch_params(),
                    &Patch::Strategic(body),
                );
                self.send::<CorePod>(namespace, name.as_str(), request).await
            }
            Action::ResizePod { name, body } => {
                let request = requests::<CorePod>(namespace).patch_subresource(
                    "resize",
                    name.as_str(),
                    &patch_params(),
                    &Patch::Strategic(body),
                );
                self.send::<CorePod>(namespace, name.as_str(), request).await
            }
            Action::DeletePod { name, uid } => {
                self.delete::<CorePod>(namespace, name.as_str(), uid.as_str(), None).await
            }
            Action::ReplacePod { name, uid, version } => {
                self.delete_at::<CorePod>(namespace, name.as_str(), uid.as_str(), Some(version), None).await
            }
            Action::ForceDeletePod { name, uid } => {
                self.delete::<CorePod>(namespace, name.as_str(), uid.as_str(), Some(0)).await
            }
            Action::PatchClaim { name, body } => {
                let request = requests::<PersistentVolumeClaim>(namespace).patch(
                    name.as_str(),
                    &patch_params(),
                    &Patch::Merge(body),
                );
                self.send::<PersistentVolumeClaim>(namespace, name.as_str(), request).await
            }
            Action::PatchSet { name, body } => {
                let request = requests::<GameStatefulSet>(namespace).patch(
                    name.as_str(),
                    &patch_params(),
                    &Patch::Merge(body),
                );
                self.send::<GameStatefulSet>(namespace, name.as_str(), request).await
            }
            Action::CreateHookRun { name, body } => {
                self.create::<HookRun>(namespace, name.as_str(), body).await
            }
            Action::PatchHookRun { name, body } => {
                let request =
                    requests::<HookRun>(namespace).patch(name.as_str(), &patch_params(), &Patch::Merge(body));
                self.send::<HookRun>(namespace, name.as_str(), request).await
            }
            Action::DeleteHookRun { name, uid } => {
                self.delete::<HookRun>(namespace, name.as_str(), uid.as_str(), None).await
            }
        }
    }

    async fn create_claims(&self, namespace: &str, claims: &[(String, Value)]) -> Result<(), WriteError> {
        for (name, body) in claims {
            match self.create::<PersistentVolumeClaim>(namespace, name, body).await {
                // It was read, and the next plan knows it.
                Ok(()) | Err(WriteError::Outdated(_)) => {}
                Err(WriteError::Refused(message)) => {
                    return Err(WriteError::ClaimRefused { claim: name.clone(), message });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn create<K: Kept>(&self, namespace: &str, name: &str, body: &Value) -> Result<(), WriteError> {
        let parameters =
            PostParams { field_manager: Some(manager::WORKLOAD.to_owned()), ..PostParams::default() };
        let request = requests::<K>(namespace).create(&parameters, body.to_string().into_bytes());
        match self.send::<K>(namespace, name, request).await {
            Err(WriteError::Outdated(message)) => {
                // It exists, and the watch has not told of it yet.
                let request = requests::<K>(namespace).get(name, &kube::api::GetParams::default());
                let request = request.map_err(|error| WriteError::Refused(error.to_string()))?;
                match self.client.request::<K>(request).await {
                    Ok(object) => object.found(&self.world, &Key::new(namespace, name), self.clock.now()),
                    // It is gone again.
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    Err(error) => return Err(sort(error)),
                }
                Err(WriteError::Outdated(message))
            }
            result => result,
        }
    }

    async fn send<K: Kept>(
        &self,
        namespace: &str,
        name: &str,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(), WriteError> {
        let key = Key::new(namespace, name);
        let request = request.map_err(|error| WriteError::Refused(error.to_string()))?;
        match self.client.request::<K>(request).await {
            Ok(object) => {
                object.keep(&self.world, &key, self.clock.now());
                Ok(())
            }
            // Patched and gone: the watch will say so too.
            Err(kube::Error::Api(status)) if status.code == 404 && names_an_object(&status) => {
                Err(WriteError::Outdated(status.message.clone()))
            }
            Err(error) => Err(sort(error)),
        }
    }

    /// Deletes an object, which gets `grace` seconds to end, or what its kind usually gets.
    async fn delete<K: Kept>(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        grace: Option<u32>,
    ) -> Result<(), WriteError> {
        self.delete_at::<K>(namespace, name, uid, None, grace).await
    }

    /// Deletes an object, which must still be at this version, if one is given.
    async fn delete_at<K: Kept>(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        version: Option<&String>,
        grace: Option<u32>,
    ) -> Result<(), WriteError> {
        let key = Key::new(namespace, name);
        let parameters = DeleteParams {
            grace_period_seconds: grace,
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: version.cloned(),
            }),
            ..DeleteParams::default()
        };
        let request = requests::<K>(namespace)
            .delete(name, &parameters)
            .map_err(|error| WriteError::Refused(error.to_string()))?;
        match self.client.request_status::<K>(request).await {
            Ok(answer) => {
                match answer.left().filter(Kept::lives_on) {
                    Some(object) => object.keep(&self.world, &key, self.clock.now()),
                    None => K::forget(&self.world, &key, uid),
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                K::forget(&self.world, &key, uid);
                Ok(())
            }
            Err(error) => Err(sort(error)),
        }
    }
}

/// A kind whose objects the world keeps.
trait Kept: Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug + Send {
    /// Takes the object that a write returned.
    fn keep(&self, world: &World, key: &Key, now: Timestamp);

    /// Takes the object that was there when it was asked for.
    fn found(&self, world: &World, key: &Key, now: Timestamp) {
        self.keep(world, key, now);
    }

    /// The object of this uid is gone.
    fn forget(world: &World, key: &Key, uid: &str);

    /// Whether an object that was deleted is still there, on its way out.
    fn lives_on(&self) -> bool {
        let meta = self.meta();
        let held = meta.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty());
        meta.deletion_timestamp.is_some() && (held || meta.deletion_grace_period_seconds != Some(0))
    }
}

impl Kept for CorePod {
    fn keep(&self, world: &World, key: &Key, now: Timestamp) {
        let Ok(pod) = Pod::read(self, now, None) else { return };
        world.update(|state| {
            let pod = state.remember(key, pod, now);
            state.pods.wrote(key, pod);
        });
    }

    fn found(&self, world: &World, key: &Key, now: Timestamp) {
        world.update(|state| state.pods.trust(self.meta().uid.as_deref().unwrap_or_default()));
        self.keep(world, key, now);
    }

    fn forget(world: &World, key: &Key, uid: &str) {
        world.update(|state| state.pods.found_gone(key, uid));
    }
}

impl Kept for GameStatefulSet {
    fn keep(&self, world: &World, key: &Key, _: Timestamp) {
        world.update(|state| state.sets.wrote(key, self.clone()));
    }

    fn forget(world: &World, key: &Key, uid: &str) {
        world.update(|state| state.sets.found_gone(key, uid));
    }
}

impl Kept for ControllerRevision {
    fn keep(&self, world: &World, key: &Key, _: Timestamp) {
        let Ok(revision) = Revision::read(self) else { return };
        world.update(|state| state.revisions.wrote(key, revision));
    }

    fn found(&self, world: &World, key: &Key, now: Timestamp) {
        world.update(|state| state.revisions.trust(self.meta().uid.as_deref().unwrap_or_default()));
        self.keep(world, key, now);
    }

    fn forget(world: &World, key: &Key, uid: &str) {
        world.update(|state| state.revisions.found_gone(key, uid));
    }
}

impl Kept for HookRun {
    fn keep(&self, world: &World, key: &Key, _: Timestamp) {
        let Some(run) = slim_run(self) else { return };
        world.update(|state| state.hooks.runs.wrote(key, run));
    }

    fn forget(world: &World, key: &Key, uid: &str) {
        world.update(|state| state.hooks.runs.found_gone(key, uid));
    }
}

impl Kept for PersistentVolumeClaim {
    fn keep(&self, world: &World, key: &Key, _: Timestamp) {
        let claim = Claim::read(&self.metadata);
        world.update(|state| state.claims.wrote(key, claim));
    }

    fn found(&self, world: &World, key: &Key, now: Timestamp) {
        world.update(|state| state.claims.trust(self.meta().uid.as_deref().unwrap_or_default()));
        self.keep(world, key, now);
    }

    fn forget(world: &World, key: &Key, uid: &str) {
        world.update(|state| state.claims.found_gone(key, uid));
    }
}

fn requests<K: Resource<DynamicType = ()>>(namespace: &str) -> Request {
    Request::new(K::url_path(&(), Some(namespace)))
}

/// Whether an API server misses an object. Where it names none, it does not know the kind or the sub-resource, as one
/// before 1.33 does not know a pod's `resize`.
fn names_an_object(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}

fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(manager::WORKLOAD.to_owned()), ..PatchParams::default() }
}

async fn within_deadline<T>(write: impl Future<Output = Result<T, WriteError>>) -> Result<T, WriteError> {
    tokio::time::timeout(WRITE_DEADLINE, write).await.unwrap_or(Err(WriteError::Deadline))
}

impl WriteError {
    /// What the API server said against the step and will say again; none for what passes. A server error that comes
    /// from the server itself is among it: so speak admission webhooks that are down.
    pub(super) fn refusal(&self) -> Option<(Option<&str>, String)> {
        match self {
            Self::Refused(message) => Some((None, message.clone())),
            Self::ClaimRefused { claim, message } => Some((Some(claim), message.clone())),
            Self::Failed(error) => match error.as_ref() {
                kube::Error::Api(status) if status.code == 500 => Some((None, status.message.clone())),
                _ => None,
            },
            Self::Outdated(_) | Self::Deadline | Self::SetGone => None,
        }
    }
}

pub(super) fn sort(error: kube::Error) -> WriteError {
    match error {
        kube::Error::Api(status) if status.code == 409 => WriteError::Outdated(status.message.clone()),
        kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
            WriteError::Refused(status.message.clone())
        }
        error => WriteError::Failed(Box::new(error)),
    }
}
