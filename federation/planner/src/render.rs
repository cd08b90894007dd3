//! From template and plan to the object a member gets.

use muster_crds::ObjectKey;
use muster_crds::keys::{annotation, label, view};
use serde_json::{Map, Value, json};

use crate::model::{FederatedObject, Target};
use crate::result::{ClusterPlan, Intent};

/// Fields of `metadata` that belong to one stored object and are never sent to members.
pub(crate) const NEVER_SENT_METADATA: [&str; 9] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "ownerReferences",
    "finalizers",
];
/// Fields of `metadata` that are set from the federated object, or that would contradict it.
pub(crate) const IDENTITY_METADATA: [&str; 3] = ["name", "namespace", "generateName"];

/// Why an object cannot be rendered for a cluster.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The plan does not ask the cluster to apply anything.
    #[error("the cluster is to {0} the object, not to apply it")]
    NotApplied(&'static str),
    /// The patch does not fit the template; plan and object are of different generations.
    #[error("the planned difference does not fit the template")]
    Patch(#[from] json_patch::PatchError),
}

/// The object as sent to one member: template, planned replicas and overrides, with the identity of the federated
/// object, and without anything that belongs to one stored object.
pub fn render(object: &FederatedObject, plan: &ClusterPlan) -> Result<Value, RenderError> {
    let Intent::Apply(patch) = &plan.intent else {
        return Err(RenderError::NotApplied(plan.intent.as_str()));
    };
    let mut body = object.template.clone();
    json_patch::patch_unsafe(&mut body, patch)?;
    // An override may have replaced all of metadata.
    finish(&mut body, &object.target, &object.key);
    Ok(body)
}

/// Strips what is never sent and forces the identity.
pub(crate) fn finish(body: &mut Value, target: &Target, key: &ObjectKey) {
    if !body.is_object() {
        *body = Value::Object(Map::new());
    }
    let Some(fields) = body.as_object_mut() else { return };
    fields.remove("status");
    fields.insert("apiVersion".into(), json!(target.api_version));
    fields.insert("kind".into(), json!(target.kind));
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    let Some(metadata) = metadata.as_object_mut() else { return };
    for field in NEVER_SENT_METADATA.into_iter().chain(IDENTITY_METADATA).chain(["selfLink"]) {
        metadata.remove(field);
    }
    metadata.insert("name".into(), json!(key.name));
    if let Some(namespace) = &key.namespace {
        metadata.insert("namespace".into(), json!(namespace));
    }
    // Marks of ownership are the agent's to write; a template must not forge them.
    strip_keys(metadata, "annotations", |key| {
        key == annotation::LAST_APPLIED || key == annotation::TRACKING || key.starts_with(view::PREFIX)
    });
    strip_keys(metadata, "labels", |key| key == label::HUB);
}

fn strip_keys(metadata: &mut Map<String, Value>, field: &str, stripped: impl Fn(&str) -> bool) {
    let Some(keys) = metadata.get_mut(field).and_then(Value::as_object_mut) else { return };
    let before = keys.len();
    keys.retain(|key, _| !stripped(key));
    if keys.is_empty() && before > 0 {
        metadata.remove(field);
    }
}
