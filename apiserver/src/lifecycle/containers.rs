//! The end of what contains other things: namespaces, and definitions of custom resources.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{ObjectId, collect::finalizers};
use crate::{
    GroupResource, Key, ListQuery, Object, Resource, Status,
    cluster::Inner,
    registry::{CLEANUP_FINALIZER, set_condition},
    write::{DeleteOptions, Propagation, stamp},
};

/// What keeps a namespace until it is empty.
const NAMESPACE_FINALIZER: &str = "kubernetes";

impl Inner {
    /// Deletes what is in a namespace that goes away; lets it go when nothing is left.
    pub(super) fn empty_namespace(&self, name: &Arc<str>) -> Result<(), Status> {
        let catalog = self.store.catalog();
        let Some(namespaces) = catalog.find("", "v1", "namespaces") else { return Ok(()) };
        let key = Key::cluster(name.clone());
        let Some((object, live)) = self.live(namespaces, &key)? else { return Ok(()) };
        if !object.deleting {
            return Ok(());
        }
        // Events go last: what is deleted may still say something.
        let stored: BTreeMap<(bool, &GroupResource), &Arc<Resource>> = catalog
            .all()
            .filter(|resource| resource.namespaced)
            .map(|resource| ((&*resource.stored_as.resource == "events", &resource.stored_as), resource))
            .collect();
        let mut remaining = Remaining::default();
        for resource in stored.into_values() {
            let left = self.delete_all(resource, Some(name))?;
            remaining.add(&resource.group_resource().to_string(), &left);
        }
        let mut status = live["status"].clone();
        for (ty, condition) in remaining.conditions() {
            let (value, reason, message) = condition;
            set_condition(&mut status, ty, (value, reason, &message), &stamp(self.time()));
        }
        if status != live["status"] {
            self.merge(namespaces, &key, &json!({"status": status}), Some("status"))?;
        }
        if !remaining.resources.is_empty() {
            return Ok(());
        }
        let finalizers = live["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
        let kept: Vec<Value> = finalizers.into_iter().filter(|name| name != NAMESPACE_FINALIZER).collect();
        let kept = if kept.is_empty() { Value::Null } else { json!(kept) };
        self.merge(namespaces, &key, &json!({"spec": {"finalizers": kept}}), Some("finalize"))
    }

    /// Deletes the objects of a definition that goes away; lets it go when none is left.
    pub(super) fn empty_definition(&self, defined: &GroupResource) -> Result<(), Status> {
        let catalog = self.store.catalog();
        let definitions = catalog.find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        let Some(definitions) = definitions else { return Ok(()) };
        let key = Key::cluster(format!("{}.{}", defined.resource, defined.group));
        let Some((object, live)) = self.live(definitions, &key)? else { return Ok(()) };
        if !object.deleting {
            return Ok(());
        }
        let remaining = match catalog.stored(defined) {
            Some(resource) => self.delete_all(resource, None)?.len(),
            None => 0,
        };
        if remaining > 0 {
            let mut status = live["status"].clone();
            let condition = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress");
            set_condition(&mut status, "Terminating", condition, &stamp(self.time()));
            return self.merge(definitions, &key, &json!({"status": status}), Some("status"));
        }
        let id = ObjectId { resource: definitions.stored_as.clone(), key };
        self.drop_finalizer(&id, definitions, CLEANUP_FINALIZER)
    }

    /// Deletes all objects of a resource; answers with those that are still there after that.
    fn delete_all(
        &self,
        resource: &Arc<Resource>,
        namespace: Option<&str>,
    ) -> Result<Vec<Arc<Object>>, Status> {
        let options =
            DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        let mut remaining = Vec::new();
        for object in self.store.list(&resource.stored_as, &ListQuery::latest(namespace))?.objects {
            if object.deleting {
                remaining.push(object);
                continue;
            }
            match self.delete(resource, &object.key, &options) {
                Ok(deleted) if deleted.gone => {}
                Ok(deleted) => remaining.push(deleted.object),
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status),
            }
        }
        Ok(remaining)
    }
}

/// What a namespace that goes away still holds.
#[derive(Default)]
struct Remaining {
    /// How many objects there are of each resource.
    resources: BTreeMap<String, usize>,
    /// How many objects each finalizer holds.
    finalizers: BTreeMap<String, usize>,
}

/// A condition's status, reason and message.
type Condition = (&'static str, &'static str, String);

impl Remaining {
    fn add(&mut self, resource: &str, objects: &[Arc<Object>]) {
        if objects.is_empty() {
            return;
        }
        // The core group's names end in a dot.
        let resource = if resource.contains('.') { resource.to_owned() } else { format!("{resource}.") };
        self.resources.insert(resource, objects.len());
        for object in objects {
            let body: Value = serde_json::from_slice(&object.body.bytes()).unwrap_or_default();
            for finalizer in finalizers(&body) {
                *self.finalizers.entry(finalizer.to_owned()).or_default() += 1;
            }
        }
    }

    /// The conditions of the namespace, in the words of the namespace controller.
    fn conditions(&self) -> [(&'static str, Condition); 5] {
        let counted = |counts: &BTreeMap<String, usize>, verb: &str| -> String {
            let parts: Vec<String> = counts
                .iter()
                .map(|(name, count)| format!("{name} {verb} {count} resource instances"))
                .collect();
            parts.join(", ")
        };
        let content = if self.resources.is_empty() {
            ("False", "ContentRemoved", "All content successfully removed".to_owned())
        } else {
            let message = format!("Some resources are remaining: {}", counted(&self.resources, "has"));
            ("True", "SomeResourcesRemain", message)
        };
        let held = if self.finalizers.is_empty() {
            ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
        } else {
            let which = counted(&self.finalizers, "in");
            let message = format!("Some content in the namespace has finalizers remaining: {which}");
            ("True", "SomeFinalizersRemain", message)
        };
        let fine = |reason, message: &str| ("False", reason, message.to_owned());
        [
            (
                "NamespaceDeletionDiscoveryFailure",
                fine("ResourcesDiscovered", "All resources successfully discovered"),
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                fine("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            ),
            (
                "NamespaceDeletionContentFailure",
                fine("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
            ),
            ("NamespaceContentRemaining", content),
            ("NamespaceFinalizersRemaining", held),
        ]
    }
}
