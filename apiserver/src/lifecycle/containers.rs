//! The end of what contains other things: namespaces, and definitions of custom resources.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::ObjectId;
use crate::{
    GroupResource, Key, ListQuery, Resource, Status,
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
        let mut remaining = Vec::new();
        for resource in stored.into_values() {
            if self.delete_all(resource, Some(name))? > 0 {
                remaining.push(resource.group_resource().to_string());
            }
        }
        if remaining.is_empty() {
            let finalizers = live["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
            let kept: Vec<Value> =
                finalizers.into_iter().filter(|name| name != NAMESPACE_FINALIZER).collect();
            let kept = if kept.is_empty() { Value::Null } else { json!(kept) };
            return self.merge(namespaces, &key, &json!({"spec": {"finalizers": kept}}), Some("finalize"));
        }
        let message = format!("Some resources are remaining: {}", remaining.join(", "));
        let mut status = live["status"].clone();
        let condition = ("True", "SomeResourcesRemain", message.as_str());
        set_condition(&mut status, "NamespaceContentRemaining", condition, &stamp(self.time()));
        self.merge(namespaces, &key, &json!({"status": status}), Some("status"))
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
            Some(resource) => self.delete_all(resource, None)?,
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

    /// Deletes all objects of a resource; answers how many are still there after that.
    fn delete_all(&self, resource: &Arc<Resource>, namespace: Option<&str>) -> Result<usize, Status> {
        let options =
            DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        let mut remaining = 0;
        for object in self.store.list(&resource.stored_as, &ListQuery::latest(namespace))?.objects {
            if object.deleting {
                remaining += 1;
                continue;
            }
            match self.delete(resource, &object.key, &options) {
                Ok(deleted) if deleted.gone => {}
                Ok(_) => remaining += 1,
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status),
            }
        }
        Ok(remaining)
    }
}
