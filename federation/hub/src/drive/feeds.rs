//! Watches of the hub API, as events for the model.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use muster_crds::keys::group;
use muster_crds::names::{ClusterName, Namespace, ObjectKey, ObjectName};
use muster_crds::types_kubefed::FederatedSpec;
use muster_crds::{FederatedTypeConfig, KubeFedCluster, ReplicaSchedulingPreference, Tombstone};
use muster_planner::{Placement, Preference};
use muster_runtime::Tasks;
use serde::de::DeserializeOwned;

use super::explained;
use crate::engine::Engine;
use crate::model::{
    ClusterInput, Event, FederatedKind, Feed, ObjectInput, TombstoneInput, TypeConfigInput, lenient,
};

/// How long a watch waits at first before it asks again for a kind that is not defined; twice as long each time.
const ABSENT_PAUSE: Duration = Duration::from_secs(1);

/// What is said of a kind that must be defined.
const UNDEFINED: &str = "the kind is not defined on the hub; install Muster's definitions: muster crds apply";

/// The longest such wait.
const MAX_ABSENT_PAUSE: Duration = Duration::from_secs(30);

/// Starts every watch of a term.
pub(crate) fn start(
    tasks: &Tasks,
    client: &Client,
    namespace: &str,
    kinds: &[FederatedKind],
    engine: &Arc<Engine>,
) {
    let api: Api<KubeFedCluster> = Api::namespaced(client.clone(), namespace);
    Watch::of("clusters", api, engine).start(
        tasks,
        |object| ClusterInput::of(&object),
        |object| ClusterName::new(object.name_any()).ok(),
        Event::Clusters,
    );
    let api: Api<FederatedTypeConfig> = Api::namespaced(client.clone(), namespace);
    Watch::of("type configs", api, engine).optional().start(
        tasks,
        |object| Some(TypeConfigInput::of(&object)),
        |object| Some(object.name_any()),
        Event::TypeConfigs,
    );
    let api: Api<ReplicaSchedulingPreference> = Api::all(client.clone());
    Watch::of("preferences", api, engine).optional().start(
        tasks,
        |object| preference(&object),
        |object| ObjectKey::of(object).ok(),
        Event::Preferences,
    );
    let api: Api<Tombstone> = Api::namespaced(client.clone(), namespace);
    Watch::of("tombstones", api, engine).optional().start(
        tasks,
        |object| TombstoneInput::of(&object),
        |object| Some(object.name_any()),
        Event::Tombstones,
    );
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &federated_namespace());
    Watch::of("federated namespaces", api, engine).optional().start(
        tasks,
        |object| namespace_placement(&object),
        |object| Namespace::new(object.name_any()).ok(),
        Event::Namespaces,
    );
    for kind in kinds {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind.federated.api_resource());
        let id = kind.id();
        let unreadable = kind.id();
        Watch::of("federated objects", api, engine)
            .or_else(move |why| Event::Unreadable(unreadable.clone(), why))
            .start(
                tasks,
                |object| ObjectInput::of(&object),
                key_of,
                move |feed| Event::Objects(id.clone(), feed),
            );
    }
}

/// One watch.
struct Watch<K> {
    name: &'static str,
    api: Api<K>,
    engine: Arc<Engine>,
    optional: bool,
    on_error: Box<dyn FnMut(String) -> Option<Event> + Send>,
}

impl<K> Watch<K>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    fn of(name: &'static str, api: Api<K>, engine: &Arc<Engine>) -> Self {
        Self { name, api, engine: Arc::clone(engine), optional: false, on_error: Box::new(|_| None) }
    }

    /// Nothing is there while the kind is not defined.
    fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Says it to the model when the kind cannot be read.
    fn or_else(mut self, event: impl Fn(String) -> Event + Send + 'static) -> Self {
        self.on_error = Box::new(move |why| Some(event(why)));
        self
    }

    fn start<T, Key>(
        self,
        tasks: &Tasks,
        read: impl Fn(K) -> Option<T> + Send + 'static,
        key: impl Fn(&K) -> Option<Key> + Send + 'static,
        event: impl Fn(Feed<Key, T>) -> Event + Send + 'static,
    ) where
        T: Send + 'static,
        Key: Send + 'static,
    {
        let Self { name, api, engine, optional, mut on_error } = self;
        tasks.spawn(name, async move {
            let stream = watcher(api, watcher::Config::default()).default_backoff();
            let mut stream = std::pin::pin!(stream);
            let mut listed = Vec::new();
            let mut absent = None;
            while let Some(next) = stream.next().await {
                if !matches!(next, Err(_) | Ok(watcher::Event::Init)) && engine.trouble(name, None) {
                    tracing::info!(watch = name, "watching again");
                }
                match next {
                    Ok(watcher::Event::Init) => listed.clear(),
                    Ok(watcher::Event::InitApply(object)) => listed.extend(read(object)),
                    Ok(watcher::Event::InitDone) => {
                        absent = None;
                        engine.apply(event(Feed::Reset(std::mem::take(&mut listed))));
                    }
                    Ok(watcher::Event::Apply(object)) => {
                        let deleted = key(&object);
                        match (read(object), deleted) {
                            (Some(object), _) => engine.apply(event(Feed::Applied(object))),
                            // What cannot be read any more counts as gone only for kinds whose reading can fail.
                            (None, Some(key)) => engine.apply(event(Feed::Deleted(key))),
                            (None, None) => {}
                        }
                    }
                    Ok(watcher::Event::Delete(object)) => {
                        if let Some(key) = key(&object) {
                            engine.apply(event(Feed::Deleted(key)));
                        }
                    }
                    Err(error) if is_absent(&error) => {
                        let pause = absent.unwrap_or(ABSENT_PAUSE);
                        if optional && absent.is_none() {
                            tracing::info!(
                                watch = name,
                                "the kind is not defined on this hub; there are none"
                            );
                            engine.apply(event(Feed::Reset(Vec::new())));
                        }
                        if !optional && engine.trouble(name, Some(UNDEFINED)) {
                            tracing::warn!(watch = name, reason = UNDEFINED, "waiting for a definition");
                            if let Some(event) = on_error(UNDEFINED.to_owned()) {
                                engine.apply(event);
                            }
                        }
                        // The watch's own backoff begins anew with every list that it tries.
                        tokio::time::sleep(pause).await;
                        absent = Some((pause * 2).min(MAX_ABSENT_PAUSE));
                    }
                    Err(error) => {
                        let error = said(&error);
                        if engine.trouble(name, Some(&error)) {
                            tracing::warn!(watch = name, error, "watch interrupted");
                        }
                        if let Some(event) = on_error(error) {
                            engine.apply(event);
                        }
                    }
                }
            }
        });
    }
}

fn said(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause) => {
            explained(cause)
        }
        other => muster_runtime::error::watch(other),
    }
}

/// Whether a list failed because the kind is not defined.
fn is_absent(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

fn key_of(object: &DynamicObject) -> Option<ObjectKey> {
    let namespace = object.metadata.namespace.as_deref().map(Namespace::new).transpose().ok()?;
    Some(ObjectKey { namespace, name: ObjectName::new(object.metadata.name.as_deref()?).ok()? })
}

fn preference(object: &ReplicaSchedulingPreference) -> Option<Arc<Preference>> {
    match muster_planner::input::preference(object) {
        Ok(preference) => Some(Arc::new(preference)),
        Err(error) => {
            tracing::warn!(%error, "preference refused");
            None
        }
    }
}

/// kubefed's FederatedNamespace, which Muster reads where it is defined.
fn federated_namespace() -> ApiResource {
    ApiResource {
        group: group::TYPES_KUBEFED.to_owned(),
        version: "v1beta1".to_owned(),
        api_version: format!("{}/v1beta1", group::TYPES_KUBEFED),
        kind: "FederatedNamespace".to_owned(),
        plural: "federatednamespaces".to_owned(),
    }
}

/// The placement of a namespace. It counts only where the object is named as its namespace is; one that cannot be read
/// restricts nothing, which is said in the log.
fn namespace_placement(object: &DynamicObject) -> Option<(Namespace, Placement)> {
    let key = key_of(object)?;
    let namespace = key.namespace.clone().filter(|namespace| namespace.as_str() == key.name.as_str())?;
    let spec: FederatedSpec = lenient(object.data.get("spec"));
    if let Some(malformed) =
        spec.malformed.iter().find(|field| field.field == "placement" || field.field == ".")
    {
        tracing::warn!(%namespace, error = %malformed, "placement of a namespace refused");
        return None;
    }
    match muster_planner::input::placement("FederatedNamespace", &key, spec.placement.as_ref()) {
        Ok(placement) => Some((namespace, placement)),
        Err(error) => {
            tracing::warn!(%error, "placement of a namespace refused");
            None
        }
    }
}
