//! Writes to the member: each action is one request, with a deadline, a field manager and, where an
//! object exists, its uid as precondition.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{
    DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::core::Status;
use kube::{Api, Client};
use muster_crds::keys::manager;
use muster_runtime::watch::Key;
use serde_json::{Map, Value, json};

use super::Target;
use super::decide::{Action, NamespaceState, Want};
use super::desired::Intent;
use super::ownership::{self, HANDOVER_MANAGER, Identity};
use crate::wire::Word;

/// How long one request to the member may take, its body included.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(15);

/// Writes to one member.
#[derive(Clone)]
pub(super) struct Writer {
    member: Client,
}

/// What a write left behind.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The object as the member now holds it.
    Object(Arc<DynamicObject>),
    /// Nothing to look at.
    Nothing,
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// No answer.
    #[error("the member did not answer within {} s", WRITE_DEADLINE.as_secs())]
    TimedOut,
    /// An answer that refuses.
    #[error("the member answered {}: {}", .0.code, .0.message)]
    Refused(Box<Status>),
    /// No way to ask.
    #[error("cannot reach the member: {0}")]
    Unreachable(#[source] Box<kube::Error>),
    /// An action without what it needs, which deciding never asks for.
    #[error("nothing to apply")]
    NothingToApply,
}

// === impl Writer ===

impl Writer {
    /// A writer through `member`.
    pub(super) fn new(member: Client) -> Self {
        Self { member }
    }

    /// The client it writes through.
    pub(super) fn client(&self) -> Client {
        self.member.clone()
    }

    /// How the namespace of an object stands.
    pub(super) async fn namespace_state(&self, key: &Key) -> Result<NamespaceState, WriteError> {
        if key.namespace.is_empty() {
            return Ok(NamespaceState::Irrelevant);
        }
        let api: Api<Namespace> = Api::all(self.member.clone());
        let namespace = answer(api.get_metadata_opt(&key.namespace)).await?;
        Ok(match namespace {
            None => NamespaceState::Missing,
            Some(namespace) if namespace.metadata.deletion_timestamp.is_some() => NamespaceState::Terminating,
            Some(_) => NamespaceState::Present,
        })
    }

    /// Executes one action.
    pub(super) async fn execute(
        &self,
        action: &Action,
        target: &Target,
        want: Want<'_>,
        me: &Identity,
    ) -> Result<Outcome, WriteError> {
        let apply = match want {
            Want::Intent(Intent::Apply(apply)) => Some(apply),
            _ => None,
        };
        match action {
            Action::None => Ok(Outcome::Nothing),
            Action::CreateNamespace => self.create_namespace(&target.key.namespace).await,
            Action::Create => {
                let apply = apply.ok_or(WriteError::NothingToApply)?;
                let body = ownership::marked(apply.body.clone(), apply, &target.kind, &target.key, me);
                // Without force: an object that appeared meanwhile keeps its values, and says so.
                self.apply(target, &body, &PatchParams::apply(manager::MIRROR)).await
            }
            Action::Apply { uid, .. } => {
                let apply = apply.ok_or(WriteError::NothingToApply)?;
                let body = apply.body_without_retained();
                let mut body = ownership::marked(body, apply, &target.kind, &target.key, me);
                body["metadata"]["uid"] = json!(uid);
                self.apply(target, &body, &PatchParams::apply(manager::MIRROR).force()).await
            }
            Action::HandOver { uid, values } => {
                let body = handover_body(target, uid, values);
                // Without force: who wrote another value meanwhile owns the field already.
                self.apply(target, &body, &PatchParams::apply(HANDOVER_MANAGER)).await
            }
            Action::Release { uid, resource_version } => {
                let patch = ownership::release_patch(uid, resource_version);
                let params =
                    PatchParams { field_manager: Some(manager::MIRROR.to_owned()), ..PatchParams::default() };
                let api = self.api(target);
                let answered = answer(api.patch(&target.key.name, &params, &Patch::Merge(patch))).await;
                gone_is_fine(answered.map(|object| Outcome::Object(Arc::new(object))))
            }
            Action::Delete { uid, resource_version, options } => {
                let params = delete_params(uid, resource_version, options);
                let answered = answer(self.api(target).delete(&target.key.name, &params)).await;
                gone_is_fine(answered.map(|either| match either.left() {
                    // Still there: something must end first. An object without the mark is gone.
                    Some(object) if object.metadata.deletion_timestamp.is_some() => {
                        Outcome::Object(Arc::new(object))
                    }
                    _ => Outcome::Nothing,
                }))
            }
        }
    }

    async fn apply(
        &self,
        target: &Target,
        body: &Value,
        params: &PatchParams,
    ) -> Result<Outcome, WriteError> {
        let api = self.api(target);
        let object = answer(api.patch(&target.key.name, params, &Patch::Apply(body))).await?;
        Ok(Outcome::Object(Arc::new(object)))
    }

    async fn create_namespace(&self, name: &str) -> Result<Outcome, WriteError> {
        let api: Api<Namespace> = Api::all(self.member.clone());
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        let params = PostParams { field_manager: Some(manager::MIRROR.to_owned()), ..PostParams::default() };
        match answer(api.create(&params, &namespace)).await {
            Err(WriteError::Refused(status)) if status.is_already_exists() => Ok(Outcome::Nothing),
            Err(error) => Err(error),
            Ok(_) => Ok(Outcome::Nothing),
        }
    }

    fn api(&self, target: &Target) -> Api<DynamicObject> {
        let resource = target.kind.api_resource();
        if target.key.namespace.is_empty() {
            Api::all_with(self.member.clone(), &resource)
        } else {
            Api::namespaced_with(self.member.clone(), &target.key.namespace, &resource)
        }
    }
}

// === impl WriteError ===

impl WriteError {
    /// Whether the write rested on a state that is no longer so; a look at the new one decides anew.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::Refused(status) if status.is_conflict())
    }

    /// kubefed's word for this failure of this action.
    pub(super) fn word(&self, action: &Action) -> Word {
        let timed_out = matches!(self, Self::TimedOut);
        match (action, timed_out) {
            (Action::CreateNamespace | Action::Create, false) => Word::CreationFailed,
            (Action::CreateNamespace | Action::Create, true) => Word::CreationTimedOut,
            (Action::None | Action::Apply { .. } | Action::HandOver { .. }, false) => Word::UpdateFailed,
            (Action::None | Action::Apply { .. } | Action::HandOver { .. }, true) => Word::UpdateTimedOut,
            (Action::Release { .. }, false) => Word::LabelRemovalFailed,
            (Action::Release { .. }, true) => Word::LabelRemovalTimedOut,
            (Action::Delete { .. }, false) => Word::DeletionFailed,
            (Action::Delete { .. }, true) => Word::DeletionTimedOut,
        }
    }
}

/// The answer to one request within its deadline.
async fn answer<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
    match tokio::time::timeout(WRITE_DEADLINE, request).await {
        Err(_) => Err(WriteError::TimedOut),
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) => Err(WriteError::Refused(status)),
        Ok(Err(kube::Error::Service(error))) if error.is::<tower::timeout::error::Elapsed>() => {
            Err(WriteError::TimedOut)
        }
        Ok(Err(error)) => Err(WriteError::Unreachable(Box::new(error))),
    }
}

fn gone_is_fine(result: Result<Outcome, WriteError>) -> Result<Outcome, WriteError> {
    match result {
        Err(WriteError::Refused(status)) if status.is_not_found() => Ok(Outcome::Nothing),
        other => other,
    }
}

fn handover_body(target: &Target, uid: &str, values: &[(String, Value)]) -> Value {
    let mut metadata = json!({"name": target.key.name, "uid": uid});
    if !target.key.namespace.is_empty() {
        metadata["namespace"] = json!(target.key.namespace);
    }
    let mut body =
        json!({"apiVersion": target.kind.api_version(), "kind": target.kind.kind, "metadata": metadata});
    for (pointer, value) in values {
        insert(&mut body, pointer, value.clone());
    }
    body
}

/// Puts a value where a JSON pointer says, making the objects on the way.
fn insert(body: &mut Value, pointer: &str, value: Value) {
    let mut node = body;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !node.is_object() {
            *node = Value::Object(Map::new());
        }
        node = &mut node[part];
    }
    *node = value;
}

/// The hub's options, with our own preconditions, and Background unless they say otherwise.
fn delete_params(uid: &str, resource_version: &str, options: &Value) -> DeleteParams {
    let policy = match options["propagationPolicy"].as_str() {
        Some("Foreground") => PropagationPolicy::Foreground,
        Some("Orphan") => PropagationPolicy::Orphan,
        _ => PropagationPolicy::Background,
    };
    DeleteParams {
        grace_period_seconds: options["gracePeriodSeconds"]
            .as_u64()
            .and_then(|seconds| seconds.try_into().ok()),
        propagation_policy: Some(policy),
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: Some(resource_version.to_owned()),
        }),
        ..DeleteParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletes_carry_our_preconditions_and_the_hubs_options() {
        let options = json!({
            "gracePeriodSeconds": 5, "propagationPolicy": "Foreground", "preconditions": {"uid": "other"}
        });
        let params = delete_params("u", "7", &options);
        assert_eq!(
            serde_json::to_value(&params).unwrap(),
            json!({
                "gracePeriodSeconds": 5, "propagationPolicy": "Foreground",
                "preconditions": {"uid": "u", "resourceVersion": "7"}
            })
        );
        let params = delete_params("u", "7", &Value::Null);
        assert_eq!(serde_json::to_value(&params).unwrap()["propagationPolicy"], "Background");
    }

    #[test]
    fn a_pointer_makes_the_objects_on_its_way() {
        let mut body = json!({"kind": "Thing"});
        insert(&mut body, "/spec/scale/a~1b", json!(3));
        assert_eq!(body, json!({"kind": "Thing", "spec": {"scale": {"a/b": 3}}}));
    }
}
