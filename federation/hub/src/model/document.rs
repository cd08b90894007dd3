//! A view object as JSON, made when it is sent: memory holds one template and small differences.

use std::sync::Arc;

use bytes::Bytes;
use muster_apiserver::Render;
use muster_crds::keys::view;
use muster_planner::{ClusterPlan, FederatedObject};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::intent::{Intent, Removal};
use super::kind::KindNames;
use super::view::Entry;

/// The last status a member reported of one object. Shared by all versions of its entry, so that a get shows the newest
/// one although a report is no change of the view.
pub(super) type StatusCell = Arc<Mutex<Option<Arc<RawValue>>>>;

/// Makes the body of a desired object: the template of the federated object and the difference for one cluster.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// Shared by all clusters.
    pub object: Arc<FederatedObject>,
    /// What differs in one cluster; shared by clusters in which nothing differs.
    pub plan: Arc<ClusterPlan>,
}

/// One entry at one version.
pub(super) struct Document {
    /// Names of the target kind.
    pub names: Arc<KindNames>,
    /// The entry.
    pub entry: Arc<Entry>,
    /// The resource version: that of the entry, or that of its removal.
    pub version: u64,
    /// The member's status.
    pub status: StatusCell,
}

// === impl Rendering ===

impl Rendering {
    /// The body as members get it. The same call was made when the plan was taken over, so it only fails if the planner
    /// is not deterministic.
    pub fn body(&self) -> Result<Value, muster_planner::RenderError> {
        muster_planner::render(&self.object, &self.plan)
    }
}

// === impl Document ===

impl Document {
    fn value(&self) -> Value {
        let mut annotations = Map::new();
        let mut say = |key: &str, value: &str| {
            annotations.insert(key.to_owned(), Value::from(value));
        };
        say(view::INTENT, self.entry.intent.word());
        say(view::SOURCE_UID, &self.entry.source.uid);
        say(view::SOURCE, &self.entry.source.path);
        let mut value = json!({});
        match &self.entry.intent {
            Intent::Apply(desired) => match desired.rendering.body() {
                Ok(body) => {
                    value = body;
                    say(view::HASH, &desired.hash);
                    say(view::ADOPT, &desired.adopt);
                    if !desired.retain.is_empty() {
                        say(view::RETAIN, &json!(desired.retain).to_string());
                    }
                }
                Err(error) => {
                    tracing::error!(key = %self.entry.key, %error, "a body that was rendered before cannot be rendered");
                    say(view::INTENT, view::INTENT_HOLD);
                    say(view::REASON, &error.to_string());
                }
            },
            Intent::Hold(hold) => say(view::REASON, &format!("{}: {}", hold.code, hold.message)),
            Intent::Remove(removal) => say(view::DELETION, &deletion(removal).to_string()),
        }
        value["apiVersion"] = Value::from(self.names.api_version());
        value["kind"] = Value::from(self.names.kind.as_str());
        if !value["metadata"].is_object() {
            value["metadata"] = json!({});
        }
        let metadata = &mut value["metadata"];
        metadata["name"] = Value::from(self.entry.key.name.as_str());
        if let Some(namespace) = &self.entry.key.namespace {
            metadata["namespace"] = Value::from(namespace.as_str());
        }
        metadata["uid"] = Value::from(self.entry.uid.as_str());
        if let Some(created) = &self.entry.source.created {
            metadata["creationTimestamp"] = json!(created);
        }
        metadata["resourceVersion"] = Value::from(self.version.to_string());
        metadata["generation"] = Value::from(self.entry.generation());
        match metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            Some(own) => own.extend(annotations),
            None => metadata["annotations"] = Value::Object(annotations),
        }
        value
    }
}

impl Render for Document {
    fn render(&self) -> Bytes {
        let mut text = self.value().to_string();
        let status = self.status.lock().clone();
        if let Some(status) = status
            && text.pop().is_some()
        {
            // The status is kept as text and never parsed: it is spliced in as the last field.
            text.push_str(",\"status\":");
            text.push_str(status.get());
            text.push('}');
        }
        Bytes::from(text)
    }
}

/// The annotation that says how to remove.
pub(super) fn deletion(removal: &Removal) -> Value {
    let mut deletion = json!({ "policy": removal.policy.word() });
    if let Some(options) = &removal.options {
        deletion["options"] = Value::Object(options.clone());
    }
    deletion
}
