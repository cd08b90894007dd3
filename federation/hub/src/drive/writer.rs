//! Executes writes to the hub API. What to write was decided; nothing is chosen here.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::ApiResource;
use kube::{Api, Client, Resource};
use muster_crds::names::{Namespace, ObjectKey};
use muster_crds::{FederatedTypeConfig, KubeFedCluster, Tombstone, keys};
use muster_runtime::Tasks;
use muster_runtime::queue::Next;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::metrics::WriteLabels;
use crate::model::{Event, KindNames, NextWrite, ObjectInput, Outcome, Write, WriteKey};

/// How many writes are under way at once.
const WORKERS: usize = 8;

/// How long one write may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Writes what the model wants to have written.
#[derive(Clone)]
struct Writer {
    client: Client,
    namespace: String,
    engine: Arc<Engine>,
}

/// Why a write was not made.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Deadline,
    #[error("the answer is not the object that was written")]
    Answer,
    #[error("the body cannot be made: {0}")]
    Body(#[from] serde_json::Error),
}

/// Starts writing.
pub(crate) fn start(tasks: &Tasks, client: &Client, namespace: &str, engine: &Arc<Engine>) {
    let writer =
        Writer { client: client.clone(), namespace: namespace.to_owned(), engine: Arc::clone(engine) };
    engine.queue().run(tasks, "hub writes", WORKERS, move |key| {
        let writer = writer.clone();
        async move { writer.work(key).await }
    });
}

impl Writer {
    async fn work(&self, key: WriteKey) -> Next {
        let now = self.engine.now();
        let write = match self.engine.read(|model| model.next_write(&key, now)) {
            NextWrite::Nothing => return Next::Done,
            NextWrite::At(at) => return Next::After(until(at, now)),
            NextWrite::Now(write) => write,
        };
        let kind = name_of(&write);
        let result = match tokio::time::timeout(DEADLINE, self.execute(write)).await {
            Ok(result) => result,
            Err(_) => Err(WriteError::Deadline),
        };
        let (word, next) = match result {
            Ok(outcome) => {
                self.engine.apply(Event::Written(key, outcome));
                ("ok", Next::Done)
            }
            Err(WriteError::Api(kube::Error::Api(status)))
                if status.is_not_found() && kind != "tombstone" =>
            {
                self.engine.apply(Event::Written(key, Outcome::Gone));
                ("gone", Next::Done)
            }
            Err(WriteError::Api(kube::Error::Api(status))) if status.is_conflict() => {
                // Somebody wrote meanwhile: the watch brings it, and the write is thought over.
                tracing::debug!(?key, message = %status.message, "write conflicts");
                ("conflict", Next::Retry)
            }
            Err(error) => {
                tracing::warn!(?key, %error, "write failed");
                ("failed", Next::Retry)
            }
        };
        self.engine.metrics().writes.get_or_create(&WriteLabels { kind, result: word }).inc();
        next
    }

    async fn execute(&self, write: Write) -> Result<Outcome, WriteError> {
        match write {
            Write::Finalizers { kind, key, resource_version, finalizers } => {
                let releases = !finalizers.iter().any(|one| one == keys::finalizer::SYNC);
                let patch = json!({
                    "metadata": { "resourceVersion": resource_version, "finalizers": finalizers },
                });
                let params = PatchParams {
                    field_manager: Some(keys::manager::HUB.to_owned()),
                    ..PatchParams::default()
                };
                let api = self.objects(&kind, &key);
                let object = api.patch(key.name.as_str(), &params, &Patch::Merge(patch)).await?;
                if releases {
                    return Ok(Outcome::Gone);
                }
                let input = ObjectInput::of(&object).ok_or(WriteError::Answer)?;
                Ok(Outcome::Object { input: Box::new(input), sent: None })
            }
            Write::Status { kind, key, uid, resource_version, status } => {
                let mut metadata = json!({ "name": key.name.as_str(), "uid": uid });
                if let Some(version) = resource_version {
                    metadata["resourceVersion"] = Value::from(version);
                }
                if let Some(namespace) = &key.namespace {
                    metadata["namespace"] = Value::from(namespace.as_str());
                }
                let patch = json!({
                    "apiVersion": kind.api_version(),
                    "kind": kind.kind,
                    "metadata": metadata,
                    "status": serde_json::to_value(&*status)?,
                });
                let api = self.objects(&kind, &key);
                let object = api.patch_status(key.name.as_str(), &apply(), &Patch::Apply(patch)).await?;
                let input = ObjectInput::of(&object).ok_or(WriteError::Answer)?;
                Ok(Outcome::Object { input: Box::new(input), sent: Some(status) })
            }
            Write::ClusterStatus { name, status } => {
                let api: Api<KubeFedCluster> = Api::namespaced(self.client.clone(), &self.namespace);
                let patch = status_patch::<KubeFedCluster>(name.as_str(), &serde_json::to_value(&*status)?);
                let stored = api.patch_status(name.as_str(), &apply(), &Patch::Apply(patch)).await?;
                Ok(Outcome::Cluster(Box::new(stored.status.unwrap_or_default())))
            }
            Write::TypeConfigStatus { name, status } => {
                let api: Api<FederatedTypeConfig> = Api::namespaced(self.client.clone(), &self.namespace);
                let patch = status_patch::<FederatedTypeConfig>(&name, &serde_json::to_value(&*status)?);
                let stored = api.patch_status(&name, &apply(), &Patch::Apply(patch)).await?;
                Ok(Outcome::TypeConfig(Box::new(stored.status.unwrap_or_default())))
            }
            Write::PutTombstone { name, spec } => {
                let api: Api<Tombstone> = Api::namespaced(self.client.clone(), &self.namespace);
                let patch = json!({
                    "apiVersion": Tombstone::api_version(&()),
                    "kind": Tombstone::kind(&()),
                    "metadata": { "name": name, "namespace": self.namespace },
                    "spec": serde_json::to_value(&*spec)?,
                });
                let stored = api.patch(&name, &apply(), &Patch::Apply(patch)).await?;
                Ok(Outcome::Tombstone(Some(Box::new(stored.spec))))
            }
            Write::DeleteTombstone { name } => {
                let api: Api<Tombstone> = Api::namespaced(self.client.clone(), &self.namespace);
                let Some(stored) = api.get_opt(&name).await? else { return Ok(Outcome::Tombstone(None)) };
                let preconditions = Preconditions { uid: stored.metadata.uid, resource_version: None };
                match api.delete(&name, &DeleteParams::default().preconditions(preconditions)).await {
                    Ok(_) => Ok(Outcome::Tombstone(None)),
                    Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Outcome::Tombstone(None)),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    fn objects(&self, kind: &KindNames, key: &ObjectKey) -> Api<DynamicObject> {
        let resource: ApiResource = kind.api_resource();
        match &key.namespace {
            Some(namespace) => {
                Api::namespaced_with(self.client.clone(), Namespace::as_str(namespace), &resource)
            }
            None => Api::all_with(self.client.clone(), &resource),
        }
    }
}

fn apply() -> PatchParams {
    PatchParams::apply(keys::manager::HUB).force()
}

fn status_patch<K: Resource<DynamicType = ()>>(name: &str, status: &Value) -> Value {
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": name },
        "status": status,
    })
}

fn name_of(write: &Write) -> &'static str {
    match write {
        Write::Finalizers { .. } => "finalizers",
        Write::Status { .. } => "status",
        Write::ClusterStatus { .. } => "clusterstatus",
        Write::TypeConfigStatus { .. } => "typeconfigstatus",
        Write::PutTombstone { .. } | Write::DeleteTombstone { .. } => "tombstone",
    }
}

/// The pause until a time; a millisecond more, since timers are coarser than stamps.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default() + Duration::from_millis(1)
}
