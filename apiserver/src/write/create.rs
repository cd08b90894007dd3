//! Create.

use serde_json::Value;

use super::{Input, Target, Written, meta, stamp, storage, strict};
use crate::{
    Cause, Expect, GroupResource, Key, Resource, Status, builtin,
    cluster::Inner,
    registry::{self, pods::admission, text},
};

/// How many generated names are tried before one is found to be free.
const NAME_ATTEMPTS: usize = 8;

impl Inner {
    /// Creates an object from a request body.
    pub(crate) fn create(&self, target: &Target<'_>, input: Input) -> Result<Written, Status> {
        let Input { mut value, duplicates } = input;
        check_kind(target.resource, &mut value)?;
        let resource = target.resource;
        let (kind, version) = (&resource.kind, &resource.version);
        let warnings = strict(target, &mut value, &duplicates, |_, problem| {
            Status::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: {problem}"
            ))
        })?;
        target.check_types(&value)?;
        check_namespace(target, &mut value)?;
        let given = text(&value, "/metadata/name");
        if !target.key.name.is_empty() && !given.is_empty() && given != &*target.key.name {
            return Err(name_mismatch(given, &target.key.name));
        }
        if !target.key.name.is_empty() {
            value["metadata"]["name"] = (*target.key.name).into();
        }
        if !matches!(text(&value, "/metadata/resourceVersion"), "" | "0") {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(Status::new(http::StatusCode::INTERNAL_SERVER_ERROR, "", message));
        }
        let mut written =
            self.insert(target, value, false).map_err(|status| status.warning(warnings.clone()))?;
        written.warnings = warnings;
        Ok(written)
    }

    /// Creates an object: what an apply made of nothing, or a decoded body. `tracked` says that managed fields are done.
    pub(crate) fn insert(
        &self,
        target: &Target<'_>,
        mut value: Value,
        tracked: bool,
    ) -> Result<Written, Status> {
        let resource = target.resource;
        let rules = target.rules();
        let now = self.time();
        let now_text = stamp(now);
        let name = match text(&value, "/metadata/name") {
            "" => text(&value, "/metadata/generateName"),
            name => name,
        };
        self.admit(resource, target.key.namespace.as_deref(), name)?;
        meta::normalize(&mut value);
        target.tidy(&mut value);
        if let Some(metadata) = value["metadata"].as_object_mut() {
            for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "uid"] {
                metadata.remove(field);
            }
        }
        target.apply_defaults(&mut value);
        if !tracked {
            let empty = (!resource.custom).then(|| builtin::empty(&resource.group, &resource.kind));
            target.track(empty.as_ref(), &mut value, now);
        }
        if resource.group.is_empty() && &*resource.plural == "pods" {
            self.admit_pod(target, &mut value)?;
        }
        self.admit_storage(resource, &mut value)?;
        if resource.custom && resource.status {
            value.as_object_mut().map(|object| object.remove("status"));
        }
        (rules.prepare_create)(&mut value, self.unique());
        date_conditions(resource, &mut value, &now_text);
        storage::date_phase(resource, &mut value, None, &now_text);
        if &*resource.plural == "customresourcedefinitions" && !resource.custom {
            value["status"] = self.accept_definition(&value, &now_text);
        }
        value["metadata"]["uid"] = self.uid().into();
        value["metadata"]["creationTimestamp"] = now_text.as_str().into();
        if rules.generation {
            value["metadata"]["generation"] = 1.into();
        }
        let generate = text(&value, "/metadata/generateName").to_owned();
        let attempts =
            if text(&value, "/metadata/name").is_empty() && !generate.is_empty() { NAME_ATTEMPTS } else { 1 };
        let mut last = None;
        for _ in 0..attempts {
            let mut value = value.clone();
            if text(&value, "/metadata/name").is_empty() && !generate.is_empty() {
                value["metadata"]["name"] =
                    format!("{}{}", meta::generated_base(&generate), self.suffix()).into();
            }
            match self.insert_named(target, value) {
                Err(status) if status.reason == "AlreadyExists" && attempts > 1 => last = Some(status),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| Status::internal("no name was tried")))
    }

    fn insert_named(&self, target: &Target<'_>, value: Value) -> Result<Written, Status> {
        let name = text(&value, "/metadata/name").to_owned();
        let (problems, _) = target.problems(&value, None);
        target.check(&name, &problems)?;
        let pods = target.resource.group.is_empty() && &*target.resource.plural == "pods";
        let namespace = target.key.namespace.as_deref().filter(|_| pods);
        let _turn = match namespace.map(|namespace| self.admit_to_quota(namespace, &value)) {
            Some(Ok(turn)) => turn,
            Some(Err(why)) => {
                return Err(Status::forbidden(&target.resource.group_resource(), &name, &why));
            }
            None => None,
        };
        let key = Key { namespace: target.key.namespace.clone(), name: name.as_str().into() };
        let named = Target { key, ..*target };
        let object = self
            .put(&named, Expect::Absent, value)
            .map_err(|status| if status.reason == "Conflict" { self.taken(&named) } else { status })?;
        Ok(Written { object, created: true, warnings: Vec::new() })
    }

    /// That the name of a new object is taken, perhaps by one that is on its way out.
    fn taken(&self, target: &Target<'_>) -> Status {
        let status = Status::already_exists(&target.resource.group_resource(), &target.key.name);
        let found = self.store.get(&target.resource.stored_as, &target.key).ok().flatten();
        if found.is_some_and(|object| object.deleting) {
            return Status { message: format!("object is being deleted: {}", status.message), ..status };
        }
        status
    }

    /// Completes a pod as admission does, or refuses it.
    fn admit_pod(&self, target: &Target<'_>, pod: &mut Value) -> Result<(), Status> {
        let name = text(pod, "/metadata/name").to_owned();
        let forbidden = |why: &str| Status::forbidden(&target.resource.group_resource(), &name, why);
        admission::admit(pod).map_err(|why| forbidden(&why))?;
        let account = text(pod, "/spec/serviceAccountName");
        let namespace = target.key.namespace.as_deref().unwrap_or_default();
        let accounts = GroupResource::new("", "serviceaccounts");
        if account != admission::DEFAULT_ACCOUNT
            && self.store.get(&accounts, &Key::namespaced(namespace, account))?.is_none()
        {
            return Err(forbidden(&format!(
                "error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
            )));
        }
        Ok(())
    }

    /// Nothing is created in a namespace that does not exist or is going away, nor of a kind that is.
    fn admit(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> Result<(), Status> {
        if resource.custom && self.lifecycle.is_definition_terminating(&resource.stored_as) {
            let message = "create not allowed while custom resource definition is terminating";
            return Err(Status { message: message.to_owned(), ..Status::method_not_allowed() });
        }
        let Some(namespace) = namespace else { return Ok(()) };
        let namespaces = GroupResource::new("", "namespaces");
        let Some(found) = self.store.get(&namespaces, &Key::cluster(namespace))? else {
            return Err(Status::not_found(&namespaces, namespace));
        };
        if found.deleting {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            let mut status = Status::forbidden(&resource.group_resource(), name, &why);
            status.details.causes.push(Cause {
                reason: "NamespaceTerminating".to_owned(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".to_owned(),
            });
            return Err(status);
        }
        Ok(())
    }

    /// The status of a definition that is about to be stored: whether its names are free.
    pub(super) fn accept_definition(&self, value: &Value, now: &str) -> Value {
        registry::accepted(value, &self.taken_names(value), now)
    }
}

/// Conditions with which a built-in kind begins are as old as the object.
fn date_conditions(resource: &Resource, value: &mut Value, now: &str) {
    let conditions = value.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        if !resource.custom && condition["lastTransitionTime"].is_null() && condition.is_object() {
            condition["lastTransitionTime"] = now.into();
        }
    }
}

/// Checks apiVersion and kind. Built-in kinds may leave them out, as in Kubernetes.
pub(super) fn check_kind(resource: &Resource, value: &mut Value) -> Result<(), Status> {
    // Go reads null as an object without fields.
    if value.is_null() {
        *value = Value::Object(serde_json::Map::new());
    }
    if !value.is_object() {
        return Err(Status::bad_request(format!("the body is not a {}", resource.kind)));
    }
    let expected = resource.api_version();
    for (field, expected) in [("kind", &*resource.kind), ("apiVersion", expected.as_str())] {
        match text(value, &format!("/{field}")) {
            "" if resource.custom => {
                let missing = if field == "kind" { "Kind" } else { "apiVersion" };
                return Err(Status::bad_request(format!("Object '{missing}' is missing in '{value}'")));
            }
            "" => value[field] = expected.into(),
            given if given == expected => {}
            given if field == "kind" && resource.custom => {
                let cause = Cause {
                    reason: "FieldValueInvalid".to_owned(),
                    message: format!("Invalid value: {given:?}: must be {expected}"),
                    field: field.to_owned(),
                };
                let name = text(value, "/metadata/name");
                return Err(Status::invalid(&resource.group, given, name, vec![cause]));
            }
            given if field == "kind" => {
                return Err(Status::bad_request(format!(
                    "{given} in version {:?} cannot be handled as a {expected}: the kind in the data does not match",
                    resource.version
                )));
            }
            given => {
                return Err(Status::bad_request(format!(
                    "the API version in the data ({given}) does not match the expected API version ({expected})"
                )));
            }
        }
    }
    Ok(())
}

/// The namespace of the body is that of the URL; a body without one takes it from there.
pub(super) fn check_namespace(target: &Target<'_>, value: &mut Value) -> Result<(), Status> {
    if !value["metadata"].is_object() {
        value["metadata"] = serde_json::json!({});
    }
    match (target.key.namespace.as_deref(), text(value, "/metadata/namespace")) {
        (Some(namespace), "") => value["metadata"]["namespace"] = namespace.into(),
        (Some(namespace), given) if given != namespace => {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        (None, given) if !given.is_empty() => {
            value["metadata"].as_object_mut().map(|metadata| metadata.remove("namespace"));
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn name_mismatch(given: &str, url: &str) -> Status {
    Status::bad_request(format!(
        "the name of the object ({given}) does not match the name on the URL ({url})"
    ))
}
