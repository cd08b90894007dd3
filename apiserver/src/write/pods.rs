//! Binding and eviction of pods.

use serde_json::{Value, json};

use super::{
    Target,
    delete::{DeleteOptions, check_preconditions},
    stamp,
};
use crate::{Status, cluster::Inner, http::query::Params, registry::text};

impl Inner {
    /// Places a pod on a node.
    pub(crate) fn bind(&self, target: &Target<'_>, binding: &Value) -> Result<(), Status> {
        let named = crate::GroupResource::new("", "pods/binding");
        let (kind, node) = (text(binding, "/target/kind"), text(binding, "/target/name"));
        let given = text(binding, "/metadata/name");
        if !given.is_empty() && given != &*target.key.name {
            return Err(Status::bad_request("name in URL does not match name in Binding object"));
        }
        // Kubernetes answers these as they are, without a reason.
        let refused =
            |problem: String| Err(Status::new(http::StatusCode::INTERNAL_SERVER_ERROR, "", problem));
        if !matches!(kind, "" | "Node") {
            return refused(format!(
                "target.kind: Unsupported value: {kind:?}: supported values: \"Node\", \"<empty>\""
            ));
        }
        if node.is_empty() {
            return refused("target.name: Required value".to_owned());
        }
        let (object, live) = self.live(target.resource, &target.key)?.ok_or_else(|| target.not_found())?;
        let name = &target.key.name;
        let uid = text(binding, "/metadata/uid");
        if !uid.is_empty() && uid != &*object.uid {
            let namespace = target.key.namespace.as_deref().unwrap_or_default();
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/pods/{namespace}/{name}, ResourceVersion: 0, \
                 AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                object.uid
            );
            return Err(Status::conflict(&target.resource.group_resource(), name, &why));
        }
        if object.deleting {
            return Err(Status::conflict(
                &named,
                name,
                &format!("pod {name} is being deleted, cannot be assigned to a host"),
            ));
        }
        let placed = text(&live, "/spec/nodeName");
        if !placed.is_empty() {
            let why = format!("pod {name} is already assigned to node {placed:?}");
            return Err(Status::conflict(&named, name, &why));
        }
        let gated =
            live.pointer("/spec/schedulingGates").and_then(Value::as_array).is_some_and(|g| !g.is_empty());
        if gated {
            return Err(Status::conflict(
                &named,
                name,
                &format!("pod {name} has non-empty .spec.schedulingGates"),
            ));
        }
        self.place(target, &object, live, binding, node)
    }

    fn place(
        &self,
        target: &Target<'_>,
        object: &crate::Object,
        mut pod: Value,
        binding: &Value,
        node: &str,
    ) -> Result<(), Status> {
        let now = self.time();
        pod["spec"]["nodeName"] = node.into();
        for field in ["annotations", "labels"] {
            for (key, value) in binding["metadata"][field].as_object().into_iter().flatten() {
                if !pod["metadata"][field].is_object() {
                    pod["metadata"][field] = json!({});
                }
                pod["metadata"][field][key] = value.clone();
            }
        }
        let mut status = pod["status"].take();
        if !status.is_object() {
            status = json!({"phase": "Pending"});
        }
        crate::registry::set_condition(&mut status, "PodScheduled", ("True", "", ""), &stamp(now));
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            if condition["type"] == "PodScheduled"
                && let Some(condition) = condition.as_object_mut()
            {
                condition.remove("reason");
                condition.remove("message");
                condition.insert("lastProbeTime".to_owned(), Value::Null);
            }
        }
        pod["status"] = status;
        let main = Target { subresource: None, key: target.key.clone(), ..*target };
        self.put(&main, crate::Expect::Version(object.version), pod).map(|_| ())
    }

    /// Says in a pod's status why it is about to go.
    fn mark_disrupted(&self, target: &Target<'_>, options: &mut DeleteOptions) -> Result<(), Status> {
        let (object, mut pod) = self.live(target.resource, &target.key)?.ok_or_else(|| target.not_found())?;
        check_preconditions(target.resource, &object, options)?;
        let mut status = pod["status"].take();
        let condition = ("True", "EvictionByEvictionAPI", "Eviction API: evicting");
        crate::registry::set_condition(&mut status, "DisruptionTarget", condition, &stamp(self.time()));
        pod["status"] = status;
        target.apply_defaults(&mut pod);
        let main = Target { subresource: None, key: target.key.clone(), ..*target };
        let marked = self.put(&main, crate::Expect::Version(object.version), pod)?;
        if options.version.is_some() {
            options.version = Some(marked.version.to_string());
        }
        Ok(())
    }

    /// Deletes a pod on behalf of somebody who drains its node, where its disruption budget lets it go.
    pub(crate) fn evict(&self, target: &Target<'_>, eviction: &Value) -> Result<(), Status> {
        let kind = text(eviction, "/kind");
        if !matches!(kind, "" | "Eviction") {
            return Err(Status::bad_request(format!("the body is a {kind}, not an Eviction")));
        }
        let given = text(eviction, "/metadata/name");
        if !given.is_empty() && given != &*target.key.name {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let mut options = DeleteOptions::parse(&Params::default(), eviction.get("deleteOptions"))?;
        options.dry_run |= target.options.dry_run;
        let (object, pod) = self.live(target.resource, &target.key)?.ok_or_else(|| target.not_found())?;
        let _turn = self.turns.lock();
        self.eviction_refused(target.key.namespace.as_deref().unwrap_or_default(), &object, &pod)?;
        if !options.dry_run {
            self.mark_disrupted(target, &mut options)?;
        }
        self.delete(target.resource, &target.key, &options).map(|_| ())
    }
}
