//! The schemas of a document.

use serde_json::{Map, Value, json};

use super::reference;
use crate::{Resource, builtin};

pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
pub(super) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(super) const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

// What a kube-apiserver puts into the schema of each definition, in its words: `kubectl explain` shows them.
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should \
    convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this \
    from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// Component schemas, each with all it refers to.
#[derive(Default)]
pub(super) struct Components {
    schemas: Map<String, Value>,
}

impl Components {
    /// Adds what the operations on a resource name.
    pub(super) fn add_resource(&mut self, resource: &Resource) {
        let name = component_name(&resource.group, &resource.version, &resource.kind);
        if builtin::components().contains_key(&name) {
            self.add_builtin(&name);
        } else {
            self.add_builtin(OBJECT_META);
            self.schemas.insert(name.clone(), custom(resource));
        }
        for name in [LIST_META, STATUS, DELETE_OPTIONS] {
            self.add_builtin(name);
        }
        if resource.scale.is_some() {
            self.add_builtin(SCALE);
        }
        self.schemas.insert(
            PATCH.into(),
            json!({"description": "Patch is a change to an object.", "type": "object"}),
        );
        self.schemas.insert(
            component_name(&resource.group, &resource.version, &resource.list_kind),
            list(resource, &name),
        );
    }

    /// Adds a built-in component and what it refers to.
    fn add_builtin(&mut self, name: &str) {
        let mut wanted = vec![name.to_owned()];
        while let Some(name) = wanted.pop() {
            if self.schemas.contains_key(&name) {
                continue;
            }
            if let Some(schema) = builtin::components().get(&name) {
                references(schema, &mut wanted);
                self.schemas.insert(name, schema.clone());
            }
        }
    }

    pub(super) fn into_map(self) -> Map<String, Value> {
        self.schemas
    }
}

/// The component that describes a kind: a built-in one's name, or the group reversed, version and kind,
/// such as `com.tencent.tkex.v1alpha1.GameStatefulSet`.
pub fn component_name(group: &str, version: &str, kind: &str) -> String {
    let builtin = |kind: &str| builtin::component_name(group, version, kind);
    if let Some(name) = builtin(kind) {
        return name.to_owned();
    }
    // The list of a built-in kind stands beside it.
    if let Some(name) = kind.strip_suffix("List").and_then(builtin) {
        return format!("{name}List");
    }
    let domain: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", domain.join("."))
}

fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                found.extend(reference.rsplit('/').next().map(str::to_owned));
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// The component of a custom resource: its schema with what every object has.
fn custom(resource: &Resource) -> Value {
    let mut schema = resource.document.as_deref().cloned().unwrap_or_else(|| json!({"type": "object"}));
    embed(&mut schema, resource.document.is_some());
    if let Some(map) = schema.as_object_mut() {
        map.insert("x-kubernetes-group-version-kind".into(), json!([kind_of(resource, &resource.kind)]));
    }
    schema
}

/// Documents apiVersion, kind and metadata of the root and of embedded resources.
fn embed(schema: &mut Value, is_object: bool) {
    let Some(map) = schema.as_object_mut() else { return };
    let embedded = map.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true));
    for key in ["items", "additionalProperties"] {
        if let Some(child) = map.get_mut(key) {
            embed(child, false);
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(|property| embed(property, false));
    }
    if is_object || embedded {
        let properties = map.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            identify(properties, &json!({"allOf": [reference(OBJECT_META)], "description": METADATA}));
        }
    }
}

fn identify(properties: &mut Map<String, Value>, metadata: &Value) {
    properties.insert("apiVersion".into(), json!({"type": "string", "description": API_VERSION}));
    properties.insert("kind".into(), json!({"type": "string", "description": KIND}));
    properties.insert("metadata".into(), metadata.clone());
}

fn list(resource: &Resource, item: &str) -> Value {
    let mut properties = Map::new();
    identify(
        &mut properties,
        &json!({"allOf": [reference(LIST_META)], "description": "Standard list metadata."}),
    );
    properties.insert(
        "items".into(),
        json!({"type": "array", "items": reference(item), "description": format!("List of {}.", resource.plural)}),
    );
    json!({
        "description": format!("{} is a list of {}", resource.list_kind, resource.kind),
        "type": "object",
        "required": ["items"],
        "properties": properties,
        "x-kubernetes-group-version-kind": [kind_of(resource, &resource.list_kind)],
    })
}

/// The extension that ties a schema or an operation to a kind.
pub(super) fn kind_of(resource: &Resource, kind: &str) -> Value {
    json!({"group": &*resource.group, "version": &*resource.version, "kind": kind})
}
