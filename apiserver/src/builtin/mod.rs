//! The kinds every cluster has: their schemas, defaults and rules.
//!
//! Kubernetes implements these kinds in code rather than from a schema, so they have parts that custom
//! resources do not: OpenAPI components (`schemas.json`, generated, see `generate.rs`), defaults and rules.

mod defaults;
#[cfg(test)]
mod generate;
mod protobuf;
pub(crate) mod quantity;
mod typed;
mod validate;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use crate::schema::{Schema, parse_components};

pub use defaults::default;
pub use protobuf::{MEDIA_TYPE as PROTOBUF, ProtobufError, decode_protobuf};
pub use quantity::quantity;
pub(crate) use typed::json_kind;
pub use typed::{empty, mismatch, tidy};
pub(crate) use validate::container::image as validate_image;
pub use validate::validate;

/// A group, a version and a kind.
type GroupVersionKind = (String, String, String);

/// What `schemas.json` holds, parsed once.
struct Data {
    components: Map<String, Value>,
    schemas: BTreeMap<String, Arc<Schema>>,
    kinds: HashMap<GroupVersionKind, String>,
}

static DATA: LazyLock<Data> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the file is compiled in, and a test reads all of it")]
    let data = Data::parse(include_str!("schemas.json")).expect("schemas.json is valid");
    data
});

impl Data {
    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let components: Map<String, Value> = serde_json::from_str(text)?;
        let schemas = parse_components(&lenient(&components))?;
        let kinds = components.iter().flat_map(|(name, component)| {
            let kinds = component.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
            kinds.into_iter().flatten().filter_map(|kind| {
                let text = |key: &str| Some(kind.get(key)?.as_str()?.to_owned());
                Some(((text("group")?, text("version")?, text("kind")?), name.clone()))
            })
        });
        let kinds = kinds.collect();
        Ok(Self { components, schemas, kinds })
    }
}

/// The schema of a built-in kind; the core group is `""`.
///
/// It prunes, knows how lists merge and checks types. Nothing in it is required: the real API server fills
/// absent fields with zero values, and asks for what must be given in code ([`validate`] here).
pub fn schema(group: &str, version: &str, kind: &str) -> Option<Arc<Schema>> {
    DATA.schemas.get(component_name(group, version, kind)?).cloned()
}

/// The OpenAPI component that describes a built-in kind: `io.k8s.api.core.v1.Pod`.
pub fn component_name(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    DATA.kinds.get(&(group.to_owned(), version.to_owned(), kind.to_owned())).map(String::as_str)
}

/// Every OpenAPI component by name, as served in OpenAPI documents.
pub fn components() -> &'static Map<String, Value> {
    &DATA.components
}

/// The schema of one component, such as `io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta`.
pub fn component(name: &str) -> Option<Arc<Schema>> {
    DATA.schemas.get(name).cloned()
}

/// The components without what the API server does not enforce by schema.
fn lenient(components: &Map<String, Value>) -> Map<String, Value> {
    let mut components = components.clone();
    for (name, component) in &mut components {
        if let Some(component) = component.as_object_mut() {
            component.remove("required");
            if name.ends_with(".meta.v1.Time") || name.ends_with(".meta.v1.MicroTime") {
                component.insert("nullable".into(), true.into());
            }
            if name.ends_with(".v2.HorizontalPodAutoscalerStatus") {
                component["properties"]["currentMetrics"]["nullable"] = true.into();
            }
            if name.ends_with(".resource.Quantity") {
                component.insert("format".into(), "quantity".into());
            }
            // What a raw extension holds is nobody's but its owner's: `data` of a ControllerRevision is one
            // field to server-side apply.
            if name.ends_with(".runtime.RawExtension") {
                component.insert("x-kubernetes-map-type".into(), "atomic".into());
            }
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{ListType, MapType};
    use serde_json::json;

    fn pod() -> Arc<Schema> {
        schema("", "v1", "Pod").unwrap()
    }

    #[test]
    fn every_kind_has_a_schema_with_full_metadata() {
        let kinds = [
            ("", "v1", "Namespace"),
            ("", "v1", "Pod"),
            ("", "v1", "PersistentVolumeClaim"),
            ("", "v1", "PersistentVolume"),
            ("", "v1", "Service"),
            ("", "v1", "Endpoints"),
            ("", "v1", "Node"),
            ("", "v1", "Event"),
            ("", "v1", "ConfigMap"),
            ("", "v1", "Secret"),
            ("", "v1", "ServiceAccount"),
            ("", "v1", "Binding"),
            ("", "v1", "ResourceQuota"),
            ("policy", "v1", "PodDisruptionBudget"),
            ("autoscaling", "v2", "HorizontalPodAutoscaler"),
            ("apps", "v1", "ControllerRevision"),
            ("autoscaling", "v1", "Scale"),
            ("coordination.k8s.io", "v1", "Lease"),
            ("events.k8s.io", "v1", "Event"),
            ("storage.k8s.io", "v1", "StorageClass"),
            ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        ];
        for (group, version, kind) in kinds {
            let schema = schema(group, version, kind).unwrap_or_else(|| panic!("{group}/{version} {kind}"));
            let owners = schema.child("metadata").child("ownerReferences");
            assert_eq!(owners.list_type(), ListType::Map, "{kind}");
            assert_eq!(owners.list_map_keys(), ["uid"], "{kind}");
        }
        assert!(schema("", "v1", "Nothing").is_none());
    }

    #[test]
    fn lists_of_a_pod_merge_as_kubernetes_declares() {
        let spec = pod();
        let spec = spec.child("spec");
        let containers = spec.child("containers");
        assert_eq!((containers.list_type(), containers.merge_key()), (ListType::Map, Some("name")));
        assert!(containers.patch_strategy().merge);
        let ports = containers.items().child("ports");
        assert_eq!(ports.list_map_keys(), ["containerPort", "protocol"]);
        assert_eq!(ports.merge_key(), Some("containerPort"));
        assert_eq!(ports.items().child("protocol").default_value(), Some(&json!("TCP")));
        assert_eq!(spec.child("tolerations").list_type(), ListType::Atomic);
        assert_eq!(spec.child("nodeSelector").map_type(), MapType::Atomic);
        let volumes = spec.child("volumes");
        assert!(volumes.patch_strategy().merge && volumes.patch_strategy().retain_keys);
        let revision = schema("apps", "v1", "ControllerRevision").unwrap();
        assert_eq!(revision.child("data").map_type(), MapType::Atomic);
        let finalizers = pod();
        assert_eq!(finalizers.child("metadata").child("finalizers").list_type(), ListType::Set);
    }

    #[test]
    fn an_unknown_field_of_a_pod_is_pruned_and_a_wrong_type_found() {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labls": {}},
            "spec": {"containers": [{"name": "a", "image": "i", "imagePullPolice": "x",
                "resources": {"limits": {"cpu": 0.5, "memory": "1Gi", "bad": "1 Gi"}},
                "livenessProbe": {"httpGet": {"port": "http"}}}],
                "terminationGracePeriodSeconds": "soon"},
        });
        assert_eq!(pod().prune(&mut object), ["metadata.labls", "spec.containers[0].imagePullPolice"]);
        let errors: Vec<String> = pod().validate(&object, None).iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 2, "{errors:#?}");
        assert!(errors[0].contains("spec.containers[0].resources.limits.bad"), "{errors:#?}");
        assert!(
            errors[1].starts_with("spec.terminationGracePeriodSeconds: Invalid value: \"string\""),
            "{errors:#?}"
        );
    }

    #[test]
    fn list_types_of_built_in_kinds_forbid_no_repetition() {
        let object = json!({"spec": {"containers": [{"name": "a", "env": [{"name": "X"}, {"name": "X"}]}]}});
        assert_eq!(pod().validate(&object, None), []);
    }

    #[test]
    fn a_definition_keeps_any_schema_it_carries() {
        let definition = schema("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
        let mut object = json!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": {"type": "object", "properties": {"replicas": {"type": "integer", "default": 1}},
            "x-kubernetes-preserve-unknown-fields": true}}}}}]}});
        let before = object.clone();
        assert_eq!(definition.prune(&mut object), [] as [&str; 0]);
        definition.apply_defaults(&mut object);
        assert_eq!(object, before);
        assert_eq!(definition.validate(&object, None), []);
    }
}
