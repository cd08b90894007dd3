//! What admission does with claims and volumes: their class, their protection, and whether they may grow.

use serde_json::{Value, json};

use super::{Target, meta};
use crate::{
    GroupResource, Key, ListQuery, Resource, Status,
    cluster::Inner,
    registry::{expansion, storage_protection, text},
};

/// What marks the class of claims that name none.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Says of a volume since when it has been in its phase.
pub(super) fn date_phase(resource: &Resource, volume: &mut Value, old: Option<&Value>, now: &str) {
    let volumes = !resource.custom && resource.group.is_empty() && &*resource.plural == "persistentvolumes";
    if !volumes || !volume["status"].is_object() {
        return;
    }
    let since = |volume: &Value| volume["status"]["lastPhaseTransitionTime"].clone();
    let kept = old.map(since).unwrap_or_default();
    let same = old.is_some_and(|old| old["status"]["phase"] == volume["status"]["phase"]);
    let given = since(volume);
    if same && given.is_null() && !kept.is_null() {
        volume["status"]["lastPhaseTransitionTime"] = kept;
    } else if !same && (given.is_null() || given == kept) {
        volume["status"]["lastPhaseTransitionTime"] = now.into();
    }
}

impl Inner {
    /// Completes a new claim or volume: claims get the default class, and both are kept while they are in use.
    pub(super) fn admit_storage(&self, resource: &Resource, object: &mut Value) -> Result<(), Status> {
        let Some(finalizer) = storage_protection(&resource.stored_as).filter(|_| !resource.custom) else {
            return Ok(());
        };
        let annotation = object.pointer("/metadata/annotations/volume.beta.kubernetes.io~1storage-class");
        let classless = object["spec"]["storageClassName"].is_null() && annotation.is_none();
        if resource.namespaced
            && classless
            && object["spec"].is_object()
            && let Some(class) = self.default_class()?
        {
            object["spec"]["storageClassName"] = class.into();
        }
        let mut finalizers: Vec<String> = meta::finalizers(object).into_iter().map(str::to_owned).collect();
        if !finalizers.iter().any(|held| held == finalizer) {
            finalizers.push(finalizer.to_owned());
        }
        meta::set_finalizers(object, &finalizers);
        Ok(())
    }

    /// The youngest of the default classes; of several of one age the first by name.
    fn default_class(&self) -> Result<Option<String>, Status> {
        let classes = GroupResource::new("storage.k8s.io", "storageclasses");
        let mut found: Option<(String, String)> = None;
        for class in self.store.list(&classes, &ListQuery::latest(None))?.objects {
            let value: Value = serde_json::from_slice(&class.body.bytes()).map_err(Status::internal)?;
            if value["metadata"]["annotations"][DEFAULT_CLASS] != "true" {
                continue;
            }
            let age = text(&value, "/metadata/creationTimestamp").to_owned();
            if found.as_ref().is_none_or(|(youngest, _)| age > *youngest) {
                found = Some((age, class.key.name.to_string()));
            }
        }
        Ok(found.map(|(_, name)| name))
    }

    /// A claim may grow where its class says so.
    pub(super) fn admit_expansion(
        &self,
        target: &Target<'_>,
        new: &Value,
        old: &Value,
    ) -> Result<(), Status> {
        let resource = target.resource;
        let claims =
            !resource.custom && resource.group.is_empty() && &*resource.plural == "persistentvolumeclaims";
        if !claims || target.subresource.is_some() {
            return Ok(());
        }
        let forbidden = |why: &str| Err(Status::forbidden(&resource.group_resource(), &target.key.name, why));
        let class = match expansion(new, old) {
            Ok(None) => return Ok(()),
            Ok(Some(class)) => class,
            Err(why) => return forbidden(why),
        };
        let classes = GroupResource::new("storage.k8s.io", "storageclasses");
        let class = match self.store.get(&classes, &Key::cluster(class))? {
            Some(class) => serde_json::from_slice(&class.body.bytes()).map_err(Status::internal)?,
            None => json!({}),
        };
        if class["allowVolumeExpansion"] == true {
            return Ok(());
        }
        forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
             support resize",
        )
    }
}
