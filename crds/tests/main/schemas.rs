//! Schemas and types, held against each other.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use muster_apiserver::schema::Schema;
use muster_crds::{
    FederatedGameStatefulSet, FederatedTypeConfig, GameStatefulSet, HookRun, HookTemplate, KubeFedCluster,
    ReplicaSchedulingPreference, Tombstone,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

/// The schema of a kind's one version, as JSON.
pub(crate) fn schema_of(kind: &str) -> Value {
    let definition =
        muster_crds::all().into_iter().find(|definition| definition.spec.names.kind == kind).unwrap();
    version_of(&definition)["schema"]["openAPIV3Schema"].clone()
}

fn version_of(definition: &CustomResourceDefinition) -> Value {
    serde_json::to_value(&definition.spec.versions[0]).unwrap()
}

/// The schema as the API server understands it.
pub(crate) fn parsed(kind: &str) -> Schema {
    Schema::custom_resource(&schema_of(kind)).unwrap_or_else(|error| panic!("{kind}: {error}"))
}

/// Reads an object into its type and writes it again.
pub(crate) fn round_trip(kind: &str, object: &Value) -> Result<Value, serde_json::Error> {
    fn through<T: Serialize + DeserializeOwned>(object: &Value) -> Result<Value, serde_json::Error> {
        serde_json::to_value(serde_json::from_value::<T>(object.clone())?)
    }
    match kind {
        "GameStatefulSet" => through::<GameStatefulSet>(object),
        "HookTemplate" => through::<HookTemplate>(object),
        "HookRun" => through::<HookRun>(object),
        "FederatedGameStatefulSet" => through::<FederatedGameStatefulSet>(object),
        "ReplicaSchedulingPreference" => through::<ReplicaSchedulingPreference>(object),
        "KubeFedCluster" => through::<KubeFedCluster>(object),
        "FederatedTypeConfig" => through::<FederatedTypeConfig>(object),
        "Tombstone" => through::<Tombstone>(object),
        other => panic!("no type for {other}"),
    }
}

/// An object with every field that the schema of a kind declares.
pub(crate) fn full_object(definition: &CustomResourceDefinition) -> Value {
    let kind = &definition.spec.names.kind;
    let mut object = sample(&schema_of(kind));
    object["apiVersion"] =
        Value::from(format!("{}/{}", definition.spec.group, definition.spec.versions[0].name));
    object["kind"] = Value::from(kind.as_str());
    object["metadata"] = json!({"name": "a", "namespace": "b"});
    object
}

fn sample(schema: &Value) -> Value {
    if let Some(words) = schema["enum"].as_array() {
        return words[0].clone();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return json!("25%");
    }
    match schema["type"].as_str() {
        Some("integer") => json!(7),
        Some("boolean") => json!(true),
        Some("string") if schema["format"] == "date-time" => json!("2024-05-06T07:08:09Z"),
        Some("string") => json!("d29yZA=="),
        Some("array") => json!([sample(&schema["items"])]),
        Some("object") if schema["additionalProperties"].is_object() => {
            json!({"one": sample(&schema["additionalProperties"])})
        }
        Some("object") => {
            let mut object: Map<String, Value> = schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, schema)| (name.clone(), sample(schema)))
                .collect();
            if schema["x-kubernetes-preserve-unknown-fields"] == true {
                object.insert("anything".into(), json!([{"at": ["all"]}, null]));
            }
            Value::Object(object)
        }
        None if schema["x-kubernetes-preserve-unknown-fields"] == true => json!(null),
        other => panic!("no sample for type {other:?} in {schema}"),
    }
}

#[test]
fn schemas_are_structural() {
    for definition in muster_crds::all() {
        parsed(&definition.spec.names.kind);
    }
}

#[test]
fn types_hold_every_field_of_their_schema() {
    for definition in muster_crds::all() {
        let object = full_object(&definition);
        let kind = &definition.spec.names.kind;
        assert_eq!(round_trip(kind, &object).unwrap(), object, "{kind}");
    }
}

#[test]
fn schemas_accept_every_field_of_their_type() {
    for definition in muster_crds::all() {
        let kind = &definition.spec.names.kind;
        let mut object = full_object(&definition);
        let schema = parsed(kind);
        assert_eq!(schema.prune(&mut object), Vec::<String>::new(), "{kind}");
        let errors: Vec<String> = schema.validate(&object, None).iter().map(ToString::to_string).collect();
        assert_eq!(errors, Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn every_field_is_described_in_few_words() {
    fn walk(path: &str, schema: &Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            // What Kubernetes itself declares needs no words of ours.
            let selector = path.ends_with("elector.matchLabels") || path.contains("elector.matchExpressions");
            let status_or_template = path.ends_with(".status") || path.ends_with(".template.spec");
            if !selector && !status_or_template {
                let words = property["description"].as_str().unwrap_or_default();
                assert!(!words.is_empty() && words.len() < 160, "{path}: {words:?}");
            }
            walk(&path, property);
            walk(&path, &property["items"]);
            walk(&path, &property["additionalProperties"]);
        }
    }
    for definition in muster_crds::all() {
        let kind = &definition.spec.names.kind;
        walk(kind, &schema_of(kind));
    }
}

#[test]
fn scale_and_status_are_sub_resources() {
    for definition in muster_crds::all() {
        let version = version_of(&definition);
        // A tombstone has nothing to observe: what is left to do is its spec.
        assert_eq!(version["subresources"]["status"].is_object(), definition.spec.names.kind != "Tombstone");
        let scale = &version["subresources"]["scale"];
        match definition.spec.names.kind.as_str() {
            "GameStatefulSet" => assert_eq!(scale["specReplicasPath"], ".spec.replicas"),
            "FederatedGameStatefulSet" => {
                assert_eq!(scale["specReplicasPath"], ".spec.template.spec.replicas");
                assert_eq!(scale["statusReplicasPath"], ".status.replicas");
                assert_eq!(scale["labelSelectorPath"], ".status.labelSelector");
            }
            _ => assert!(scale.is_null()),
        }
    }
}

#[test]
fn lists_that_people_share_merge_by_their_keys() {
    let schema = schema_of("FederatedGameStatefulSet");
    let list = |pointer: &str| {
        let list = schema.pointer(pointer).unwrap();
        (list["x-kubernetes-list-type"].clone(), list["x-kubernetes-list-map-keys"].clone())
    };
    let spec = "/properties/spec/properties";
    assert_eq!(list(&format!("{spec}/placement/properties/clusters")), (json!("map"), json!(["name"])));
    assert_eq!(list(&format!("{spec}/overrides")), (json!("map"), json!(["clusterName"])));
    assert_eq!(
        list(&format!("{spec}/overrides/items/properties/clusterOverrides")),
        (json!("atomic"), Value::Null)
    );
    for definition in muster_crds::all() {
        let schema = schema_of(&definition.spec.names.kind);
        let Some(conditions) = schema.pointer("/properties/status/properties/conditions") else { continue };
        assert_eq!(conditions["x-kubernetes-list-type"], "map");
        assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]));
    }
}

#[test]
fn negative_and_unknown_values_are_refused_with_their_field() {
    let refused = |kind: &str, object: Value| -> Vec<String> {
        let mut paths: Vec<String> =
            parsed(kind).validate(&object, None).into_iter().map(|error| error.path).collect();
        paths.sort();
        paths
    };
    assert_eq!(
        refused(
            "GameStatefulSet",
            json!({"spec": {"replicas": -1, "selector": {}, "serviceName": "a", "template": {},
                "podManagementPolicy": "OnDelete", "updateStrategy": {"type": "Recreate"}}}),
        ),
        ["spec.podManagementPolicy", "spec.replicas", "spec.updateStrategy.type"]
    );
    assert_eq!(
        refused(
            "FederatedGameStatefulSet",
            json!({"spec": {"template": {"spec": {"replicas": -1}},
                "placement": {"clusters": [{"name": "a"}, {"name": "a"}]},
                "overrides": [{"clusterName": "a", "clusterOverrides": [{"op": "move", "path": "/a"}]}]}}),
        ),
        [
            "spec.overrides[0].clusterOverrides[0].op",
            "spec.placement.clusters[1]",
            "spec.template.spec.replicas"
        ]
    );
    assert_eq!(
        refused(
            "ReplicaSchedulingPreference",
            json!({"spec": {"targetKind": "", "totalReplicas": -1, "clusters": {"a": {"weight": -1}}}}),
        ),
        ["spec.clusters.a.weight", "spec.targetKind", "spec.totalReplicas"]
    );
    assert_eq!(
        refused(
            "FederatedTypeConfig",
            json!({"spec": {"propagation": "On", "targetType": {}, "federatedType":
                {"version": "v1", "kind": "A", "pluralName": "as", "scope": "World"}}}),
        ),
        [
            "spec.federatedType.scope",
            "spec.propagation",
            "spec.targetType.kind",
            "spec.targetType.pluralName",
            "spec.targetType.scope",
            "spec.targetType.version"
        ]
    );
}
