//! A member's view as a [`Source`]: what the API server crate serves.

use std::sync::Arc;
use std::time::Duration;

use muster_apiserver::{
    Catalog, Collection, Cursor, GroupResource, Key, ListQuery, Object, Resource, Snapshot, Source,
    SourceError, WatchQuery,
};
use muster_crds::names::ClusterName;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::model::view::VIEW_GROUP;
use crate::model::{KindNames, Served};

/// When to ask again for a kind that is not synced.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The view of one member.
pub(crate) struct ViewSource {
    engine: Arc<Engine>,
    cluster: ClusterName,
}

// === impl ViewSource ===

impl ViewSource {
    /// The view of `cluster`.
    pub(crate) fn new(engine: Arc<Engine>, cluster: ClusterName) -> Self {
        Self { engine, cluster }
    }

    fn collection(&self, resource: &GroupResource) -> Result<Collection, SourceError> {
        match self.engine.read(|model| model.served(&self.cluster, resource)) {
            Served::Collection(collection) => Ok(collection),
            Served::NotSynced => {
                Err(SourceError::NotSynced { resource: resource.clone(), retry_after: RETRY_AFTER })
            }
            Served::NotServed => Err(SourceError::NotServed(resource.clone())),
            Served::Closed => Err(SourceError::Closed(resource.clone())),
        }
    }
}

impl Source for ViewSource {
    fn catalog(&self) -> Arc<Catalog> {
        self.engine.catalog()
    }

    fn get(&self, resource: &GroupResource, key: &Key) -> Result<Option<Arc<Object>>, SourceError> {
        Ok(self.collection(resource)?.get(key))
    }

    fn list(&self, resource: &GroupResource, query: &ListQuery<'_>) -> Result<Snapshot, SourceError> {
        self.collection(resource)?.list(query)
    }

    fn watch(
        &self,
        resource: &GroupResource,
        query: &WatchQuery<'_>,
    ) -> Result<Box<dyn Cursor>, SourceError> {
        self.collection(resource)?.watch(query.namespace, query.after)
    }
}

/// The resources of every view: the target kinds, and what views have of their own.
pub(crate) fn catalog<'a>(kinds: impl Iterator<Item = &'a KindNames>) -> Catalog {
    let definitions: Vec<Value> = muster_crds::all()
        .into_iter()
        .filter_map(|definition| serde_json::to_value(definition).ok())
        .collect();
    let targets = kinds.filter_map(|names| defined(&definitions, names).or_else(|| plain(names, &json!([]))));
    let view = KindNames {
        group: VIEW_GROUP.to_owned(),
        version: "v1alpha1".to_owned(),
        kind: "View".to_owned(),
        plural: "views".to_owned(),
        namespaced: false,
    };
    let lease = KindNames {
        group: "coordination.k8s.io".to_owned(),
        version: "v1".to_owned(),
        kind: "Lease".to_owned(),
        plural: "leases".to_owned(),
        namespaced: true,
    };
    let view_columns = json!([
        {"name": "Hub", "type": "string", "jsonPath": ".hub.uid"},
        {"name": "Epoch", "type": "integer", "jsonPath": ".hub.epoch"},
    ]);
    let lease_columns = json!([
        {"name": "Holder", "type": "string", "jsonPath": ".spec.holderIdentity"},
        {"name": "Renewed", "type": "date", "jsonPath": ".spec.renewTime"},
    ]);
    let own = [plain(&view, &view_columns), plain(&lease, &lease_columns)];
    Catalog::new(targets.chain(own.into_iter().flatten()).map(Arc::new))
}

/// A kind as its definition has it, with columns and schema.
fn defined(definitions: &[Value], names: &KindNames) -> Option<Resource> {
    let definition = definitions.iter().find(|definition| {
        definition.pointer("/spec/group").and_then(Value::as_str) == Some(names.group.as_str())
            && definition.pointer("/spec/names/plural").and_then(Value::as_str) == Some(names.plural.as_str())
    })?;
    let mut resources = Resource::from_crd(definition).ok()?;
    let at = resources.iter().position(|resource| *resource.version == *names.version)?;
    let mut resource = resources.swap_remove(at);
    // A view is computed: nobody scales or sets the status of what it shows.
    resource.status = false;
    resource.scale = None;
    Some(resource)
}

/// A kind without a definition, as one that would give it these columns.
fn plain(names: &KindNames, columns: &Value) -> Option<Resource> {
    let definition = json!({
        "metadata": { "name": format!("{}.{}", names.plural, names.group) },
        "spec": {
            "group": names.group,
            "scope": if names.namespaced { "Namespaced" } else { "Cluster" },
            "names": { "plural": names.plural, "kind": names.kind, "singular": names.kind.to_lowercase() },
            "versions": [{
                "name": names.version,
                "served": true,
                "storage": true,
                "additionalPrinterColumns": columns,
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                } },
            }],
        },
    });
    Resource::from_crd(&definition).ok()?.pop()
}
