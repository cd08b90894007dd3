//! What the hub wants of one object: a view object, read.

use std::sync::Arc;

use kube::api::DynamicObject;
use muster_crds::keys::view;
use serde_json::{Map, Value, json};

use crate::wire::{Adoption, Deletion};

/// One object of the view.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The intent as the hub spelled it, for the root hash.
    pub intent_text: String,
    /// The hash as the hub spelled it, for the root hash.
    pub hash_text: String,
    /// Version of the view at which it last changed.
    pub version: u64,
    /// What to do.
    pub intent: Intent,
}

/// What to do with one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// Make it so.
    Apply(Arc<Apply>),
    /// Leave whatever is there.
    Hold {
        /// Why.
        reason: String,
    },
    /// Take it away.
    Remove(Deletion),
}

/// A desired object and its policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Apply {
    /// Hash of body and policies.
    pub hash: String,
    /// UID of the federated object it was rendered from.
    pub source_uid: String,
    /// Version of the view at which it last changed.
    pub version: u64,
    /// May an existing object be taken over?
    pub adopt: Adoption,
    /// JSON pointers of the fields that belong to the member once the object exists.
    pub retain: Vec<String>,
    /// The object as the member is to hold it, without the marks of ownership.
    pub body: Value,
}

// === impl Desired ===

impl Desired {
    /// Reads a view object. What cannot be read is held, and says why: a hub that speaks a newer
    /// dialect must not make this agent guess.
    pub fn read(object: &DynamicObject) -> Self {
        let annotation = |key: &str| object.metadata.annotations.as_ref().and_then(|all| all.get(key));
        let version = object
            .metadata
            .resource_version
            .as_deref()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        let intent_text = annotation(view::INTENT).cloned().unwrap_or_default();
        let hash_text = annotation(view::HASH).cloned().unwrap_or_default();
        let intent = match intent_text.as_str() {
            view::INTENT_APPLY => read_apply(object, version).map(|apply| Intent::Apply(Arc::new(apply))),
            view::INTENT_HOLD => {
                Ok(Intent::Hold { reason: annotation(view::REASON).cloned().unwrap_or_default() })
            }
            view::INTENT_REMOVE => annotation(view::DELETION)
                .ok_or_else(|| format!("annotation {} is missing", view::DELETION))
                .and_then(|text| json_annotation(view::DELETION, text))
                .map(Intent::Remove),
            other => Err(format!("annotation {} is {other:?}, which this agent does not know", view::INTENT)),
        };
        let intent = intent.unwrap_or_else(|reason| Intent::Hold { reason });
        Self { intent_text, hash_text, version, intent }
    }
}

// === impl Apply ===

impl Apply {
    /// The body without the fields that belong to the member.
    pub fn body_without_retained(&self) -> Value {
        let mut body = self.body.clone();
        for pointer in &self.retain {
            remove(&mut body, pointer);
        }
        body
    }
}

fn read_apply(object: &DynamicObject, version: u64) -> Result<Apply, String> {
    let empty = std::collections::BTreeMap::new();
    let annotations = object.metadata.annotations.as_ref().unwrap_or(&empty);
    let hash = annotations
        .get(view::HASH)
        .filter(|hash| !hash.is_empty())
        .ok_or_else(|| format!("annotation {} is missing", view::HASH))?;
    let adopt = match annotations.get(view::ADOPT) {
        None => Adoption::default(),
        Some(text) => serde_json::from_value(Value::String(text.clone()))
            .map_err(|error| format!("annotation {}: {error}", view::ADOPT))?,
    };
    let retain: Vec<String> = match annotations.get(view::RETAIN) {
        None => Vec::new(),
        Some(text) => json_annotation(view::RETAIN, text)?,
    };
    if let Some(bad) = retain.iter().find(|pointer| !pointer.starts_with("/spec/")) {
        return Err(format!("annotation {}: {bad:?} is not a path below /spec", view::RETAIN));
    }
    Ok(Apply {
        hash: hash.clone(),
        source_uid: annotations.get(view::SOURCE_UID).cloned().unwrap_or_default(),
        version,
        adopt,
        retain,
        body: body_of(object)?,
    })
}

/// The object that the member is to hold: what the hub rendered, less what belongs to the view.
fn body_of(object: &DynamicObject) -> Result<Value, String> {
    let types = object.types.as_ref().ok_or("apiVersion and kind are missing")?;
    let name = object.metadata.name.as_deref().ok_or("metadata.name is missing")?;
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(name));
    if let Some(namespace) = &object.metadata.namespace {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    if let Some(labels) = object.metadata.labels.as_ref().filter(|labels| !labels.is_empty()) {
        metadata.insert("labels".to_owned(), json!(labels));
    }
    let annotations: Map<String, Value> = object
        .metadata
        .annotations
        .iter()
        .flatten()
        .filter(|(key, _)| !key.starts_with(view::PREFIX))
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    if !annotations.is_empty() {
        metadata.insert("annotations".to_owned(), Value::Object(annotations));
    }
    let mut body = Map::new();
    body.insert("apiVersion".to_owned(), json!(types.api_version));
    body.insert("kind".to_owned(), json!(types.kind));
    body.insert("metadata".to_owned(), Value::Object(metadata));
    if let Value::Object(data) = &object.data {
        for (key, value) in data {
            // The view shows the member's own status here.
            if key != "status" {
                body.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(Value::Object(body))
}

fn json_annotation<T: serde::de::DeserializeOwned>(key: &str, text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("annotation {key}: {error}"))
}

/// Removes what `pointer` names, if it is there and in an object.
fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(map)) = value.pointer_mut(parent) {
        map.remove(&last.replace("~1", "/").replace("~0", "~"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn view_object(annotations: &Value) -> DynamicObject {
        object(json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "games", "uid": "u", "resourceVersion": "1099511627777",
                "generation": 7, "labels": {"app": "web"}, "annotations": annotations
            },
            "spec": {"replicas": 3, "paused": false},
            "status": {"replicas": 1}
        }))
    }

    #[test]
    fn the_body_is_the_object_less_what_belongs_to_the_view() {
        let desired = Desired::read(&view_object(&json!({
            "view.muster.dev/intent": "Apply",
            "view.muster.dev/hash": "h1",
            "view.muster.dev/retain": "[\"/spec/replicas\"]",
            "note": "kept"
        })));
        assert_eq!(desired.version, 1_099_511_627_777);
        let Intent::Apply(apply) = desired.intent else { panic!("{desired:?}") };
        assert_eq!(
            apply.body,
            json!({
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {
                    "name": "web", "namespace": "games",
                    "labels": {"app": "web"}, "annotations": {"note": "kept"}
                },
                "spec": {"replicas": 3, "paused": false}
            })
        );
        assert_eq!(apply.body_without_retained()["spec"], json!({"paused": false}));
    }

    #[test]
    fn what_cannot_be_read_is_held_with_a_reason() {
        let cases = [
            (json!({}), "intent is \"\""),
            (json!({"view.muster.dev/intent": "Replace"}), "\"Replace\""),
            (json!({"view.muster.dev/intent": "Apply"}), "view.muster.dev/hash is missing"),
            (json!({"view.muster.dev/intent": "Remove"}), "view.muster.dev/deletion is missing"),
            (
                json!({"view.muster.dev/intent": "Remove", "view.muster.dev/deletion": "{\"options\":{}}"}),
                "missing field `policy`",
            ),
            (
                json!({
                    "view.muster.dev/intent": "Apply", "view.muster.dev/hash": "h",
                    "view.muster.dev/adopt": "Sometimes"
                }),
                "view.muster.dev/adopt",
            ),
            (
                json!({
                    "view.muster.dev/intent": "Apply", "view.muster.dev/hash": "h",
                    "view.muster.dev/retain": "[\"/metadata/name\"]"
                }),
                "not a path below /spec",
            ),
        ];
        for (annotations, expected) in cases {
            let desired = Desired::read(&view_object(&annotations));
            let Intent::Hold { reason } = desired.intent else { panic!("{annotations}: {desired:?}") };
            assert!(reason.contains(expected), "{annotations}: {reason}");
        }
    }
}
