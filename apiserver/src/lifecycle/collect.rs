//! Garbage collection by owner references, as the garbage collector of Kubernetes does it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::ObjectId;
use crate::{
    Key, Resource, Status,
    cluster::Inner,
    http::query::WriteOptions,
    registry::text,
    write::{DeleteOptions, FOREGROUND, ORPHAN, PatchKind, Propagation, Target},
};

/// Under which name the collector changes objects: Kubernetes runs it in this process.
const MANAGER: &str = "kube-controller-manager";

/// What an owner reference points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// It exists and stays, or cannot be judged.
    Solid,
    /// It does not exist.
    Dangling,
    /// It waits for its dependents to go first.
    Waiting,
}

impl Inner {
    /// Looks at an object whose owners, dependents or own deletion changed.
    pub(super) fn collect(&self, id: &ObjectId) -> Result<(), Status> {
        let Some(resource) = self.served(id) else { return Ok(()) };
        let Some((object, live)) = self.live(&resource, &id.key)? else { return Ok(()) };
        let finalizers = finalizers(&live);
        if object.deleting && finalizers.contains(&ORPHAN) {
            return self.orphan(id, &resource, &object.uid);
        }
        if object.deleting && finalizers.contains(&FOREGROUND) {
            return self.delete_dependents_first(id, &resource, &object.uid);
        }
        if object.deleting || object.owners.is_empty() {
            return Ok(());
        }
        let owners = live["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let judged: Vec<(Value, Owner)> = owners
            .into_iter()
            .map(|reference| {
                let judgement = self.judge(&reference, &id.key);
                (reference, judgement)
            })
            .collect();
        let any = |wanted| judged.iter().any(|(_, judgement)| *judgement == wanted);
        let version = Some(object.version.to_string());
        let delete = |propagation| {
            let options = DeleteOptions {
                uid: Some(object.uid.to_string()),
                version,
                propagation,
                ..DeleteOptions::default()
            };
            self.delete(&resource, &id.key, &options).map(|_| ())
        };
        if any(Owner::Solid) {
            if any(Owner::Dangling) || any(Owner::Waiting) {
                let kept = judged.into_iter().filter(|(_, judgement)| *judgement == Owner::Solid);
                let kept: Vec<Value> = kept.map(|(reference, _)| reference).collect();
                return self.set_owners(&resource, &id.key, &object.uid, &kept);
            }
            return Ok(());
        }
        let dependents = self.lifecycle.state.lock().graph.dependents(&object.uid);
        if any(Owner::Waiting) && !dependents.is_empty() {
            if judged.iter().any(|(reference, _)| reference["blockOwnerDeletion"] == true)
                && dependents.iter().any(|dependent| self.waits_for_dependents(dependent))
            {
                // A circle, in which everyone would wait for the next: step out of it, then look again.
                let mut owners: Vec<Value> = judged.into_iter().map(|(reference, _)| reference).collect();
                for reference in &mut owners {
                    reference["blockOwnerDeletion"] = false.into();
                }
                self.set_owners(&resource, &id.key, &object.uid, &owners)?;
                self.lifecycle.state.lock().push(super::Work::Collect(id.clone()));
                return Ok(());
            }
            return delete(Some(Propagation::Foreground));
        }
        // An object that was to orphan or to wait for its own dependents keeps that.
        let own = finalizers.iter().any(|name| *name == FOREGROUND || *name == ORPHAN);
        delete(if own { None } else { Some(Propagation::Background) })
    }

    /// Whether an object is being deleted after its dependents.
    fn waits_for_dependents(&self, id: &ObjectId) -> bool {
        let found = self.served(id).and_then(|resource| self.live(&resource, &id.key).ok().flatten());
        found.is_some_and(|(object, live)| object.deleting && finalizers(&live).contains(&FOREGROUND))
    }

    /// Whether an owner holds its dependents.
    fn judge(&self, reference: &Value, dependent: &Key) -> Owner {
        let (api_version, kind) = (text(reference, "/apiVersion"), text(reference, "/kind"));
        if self.lifecycle.state.lock().graph.is_absent(text(reference, "/uid")) {
            return Owner::Dangling;
        }
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        if self.store.catalog().find_kind(group, kind).is_none() {
            // A kind that is not served, perhaps not yet: nobody can say that the owner is gone.
            return Owner::Solid;
        }
        let found = self.lifecycle.state.lock().graph.find(text(reference, "/uid")).cloned();
        let Some(id) =
            found.filter(|id| id.key.namespace.is_none() || id.key.namespace == dependent.namespace)
        else {
            return Owner::Dangling;
        };
        let owner = self.served(&id).and_then(|resource| self.live(&resource, &id.key).ok().flatten());
        match owner {
            None => Owner::Dangling,
            Some((object, live)) if object.deleting && finalizers(&live).contains(&FOREGROUND) => {
                Owner::Waiting
            }
            Some(_) => Owner::Solid,
        }
    }

    /// Sends the dependents of an object on their way, and lets the object go when none blocks it any more.
    fn delete_dependents_first(
        &self,
        id: &ObjectId,
        resource: &Arc<Resource>,
        uid: &str,
    ) -> Result<(), Status> {
        let dependents = self.lifecycle.state.lock().graph.dependents(uid);
        let mut blocked = false;
        for dependent in &dependents {
            blocked |= self
                .owner_reference(dependent, uid)?
                .is_some_and(|owner| owner["blockOwnerDeletion"] == true);
        }
        if !blocked {
            return self.drop_finalizer(id, resource, FOREGROUND);
        }
        let mut state = self.lifecycle.state.lock();
        for dependent in dependents {
            state.push(super::Work::Collect(dependent));
        }
        Ok(())
    }

    /// Takes an object's reference out of its dependents, then lets the object go.
    fn orphan(&self, id: &ObjectId, resource: &Arc<Resource>, uid: &str) -> Result<(), Status> {
        let dependents = self.lifecycle.state.lock().graph.dependents(uid);
        for dependent in dependents {
            let Some(of) = self.served(&dependent) else { continue };
            let Some((object, live)) = self.live(&of, &dependent.key)? else { continue };
            let owners = live["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            let kept: Vec<Value> = owners.into_iter().filter(|owner| owner["uid"] != uid).collect();
            self.set_owners(&of, &dependent.key, &object.uid, &kept)?;
        }
        self.drop_finalizer(id, resource, ORPHAN)
    }

    fn owner_reference(&self, dependent: &ObjectId, owner: &str) -> Result<Option<Value>, Status> {
        let Some(resource) = self.served(dependent) else { return Ok(None) };
        let Some((_, live)) = self.live(&resource, &dependent.key)? else { return Ok(None) };
        let owners = live["metadata"]["ownerReferences"].as_array();
        Ok(owners.into_iter().flatten().find(|reference| reference["uid"] == owner).cloned())
    }

    fn set_owners(
        &self,
        resource: &Arc<Resource>,
        key: &Key,
        uid: &str,
        owners: &[Value],
    ) -> Result<(), Status> {
        let owners = if owners.is_empty() { Value::Null } else { json!(owners) };
        self.merge(resource, key, &json!({"metadata": {"uid": uid, "ownerReferences": owners}}), None)
    }

    pub(super) fn drop_finalizer(
        &self,
        id: &ObjectId,
        resource: &Arc<Resource>,
        finalizer: &str,
    ) -> Result<(), Status> {
        let Some((object, live)) = self.live(resource, &id.key)? else { return Ok(()) };
        let kept: Vec<&str> = finalizers(&live).into_iter().filter(|name| *name != finalizer).collect();
        let kept = if kept.is_empty() { Value::Null } else { json!(kept) };
        let version = object.version.to_string();
        let patch = json!({"metadata": {"resourceVersion": version, "finalizers": kept}});
        self.merge(resource, &id.key, &patch, None)
    }

    /// A merge patch of our own.
    pub(super) fn merge(
        &self,
        resource: &Arc<Resource>,
        key: &Key,
        patch: &Value,
        subresource: Option<&str>,
    ) -> Result<(), Status> {
        let options = WriteOptions { manager: MANAGER.to_owned(), ..WriteOptions::default() };
        let target = Target { resource, key: key.clone(), subresource, options: &options };
        match self.patch(&target, PatchKind::Merge, patch.to_string().as_bytes()) {
            Err(status) if status.code == 404 => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// The resource that an object is served as; `None` once its definition is gone.
    pub(super) fn served(&self, id: &ObjectId) -> Option<Arc<Resource>> {
        self.store.catalog().stored(&id.resource).cloned()
    }
}

pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}
