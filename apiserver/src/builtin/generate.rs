//! Makes `schemas.json` from the Kubernetes types of k8s-openapi, and holds it against them.
//!
//! To write the file anew after an upgrade of k8s-openapi or a change of the tables below:
//! `MUSTER_REGENERATE=1 cargo test -p muster-apiserver builtin::generate`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::{apps, autoscaling, coordination, core, events, policy, storage};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/builtin/schemas.json");

/// A description is cut after its first sentence, or here.
const MAX_DESCRIPTION: usize = 200;

/// Lists and objects that do not merge as OpenAPI assumes: lists are atomic and objects granular otherwise.
///
/// A line is `Component.field: type(keys) strategy(merge key)`. Components are named without their package,
/// which is unambiguous among those we have.
const MERGING: &str = "
Container.env: map(name) merge(name)
Container.ports: map(containerPort,protocol) merge(containerPort)
Container.volumeDevices: map(devicePath) merge(devicePath)
Container.volumeMounts: map(mountPath) merge(mountPath)
HorizontalPodAutoscalerStatus.conditions: map(type) merge(type)
PodDisruptionBudgetStatus.conditions: map(type) merge(type)
ContainerStatus.allocatedResourcesStatus: map(name) merge(name)
ContainerStatus.volumeMounts: map(mountPath) merge(mountPath)
EphemeralContainer.env: map(name) merge(name)
EphemeralContainer.ports: map(containerPort,protocol) merge(containerPort)
EphemeralContainer.volumeDevices: map(devicePath) merge(devicePath)
EphemeralContainer.volumeMounts: map(mountPath) merge(mountPath)
NamespaceStatus.conditions: map(type) merge(type)
NodeSpec.podCIDRs: set merge
NodeStatus.addresses: map(type) merge(type)
NodeStatus.conditions: map(type) merge(type)
PersistentVolumeClaimStatus.conditions: map(type) merge(type)
PodSpec.containers: map(name) merge(name)
PodSpec.ephemeralContainers: map(name) merge(name)
PodSpec.hostAliases: map(ip) merge(ip)
PodSpec.imagePullSecrets: map(name) merge(name)
PodSpec.initContainers: map(name) merge(name)
PodSpec.resourceClaims: map(name) merge,retainKeys(name)
PodSpec.schedulingGates: map(name) merge(name)
PodSpec.topologySpreadConstraints: map(topologyKey,whenUnsatisfiable) merge(topologyKey)
PodSpec.volumes: map(name) merge,retainKeys(name)
PodStatus.conditions: map(type) merge(type)
PodStatus.hostIPs: atomic merge(ip)
PodStatus.podIPs: map(ip) merge(ip)
PodStatus.resourceClaimStatuses: map(name) merge,retainKeys(name)
ResourceRequirements.claims: map(name)
ResourceStatus.resources: map(resourceID)
ServiceAccount.secrets: map(name) merge(name)
ServiceSpec.ports: map(port,protocol) merge(port)
ServiceStatus.conditions: map(type) merge(type)
CustomResourceDefinitionStatus.conditions: map(type)
ObjectMeta.finalizers: set merge
ObjectMeta.ownerReferences: map(uid) merge(uid)
";

/// Objects that have one owner as a whole.
const ATOMIC: &[&str] = &[
    "ConfigMapKeySelector",
    "EndpointAddress",
    "EndpointPort",
    "LabelSelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ObjectReference",
    "OwnerReference",
    "PodSpec.nodeSelector",
    "ResourceFieldSelector",
    "SecretKeySelector",
    "ScopeSelector",
    "ScopedResourceSelectorRequirement",
    "SecretReference",
    "ServiceSpec.selector",
    "TopologySelectorTerm",
    "TypedLocalObjectReference",
];

/// Places whose fields have owners of their own, though their type has one as a whole.
const GRANULAR: &[&str] = &["PersistentVolumeSpec.claimRef"];

/// Objects that a strategic merge patch replaces.
const REPLACED: &[&str] = &["PodDisruptionBudgetSpec.selector"];

/// Defaults that are part of the schema because list-map keys need them.
const DEFAULTS: &[(&str, &str)] = &[("ContainerPort.protocol", "TCP"), ("ServicePort.protocol", "TCP")];

#[test]
fn the_generated_schemas_are_up_to_date() {
    let generated = generate();
    if std::env::var_os("MUSTER_REGENERATE").is_some() {
        std::fs::write(FILE, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(FILE).unwrap();
    assert!(committed == generated, "{FILE} is stale: run with MUSTER_REGENERATE=1");
}

fn generate() -> String {
    let mut components = components();
    for component in components.values_mut() {
        tidy(component);
    }
    annotate(&mut components);
    let mut text = String::from("{\n");
    for (index, (name, component)) in components.iter().enumerate() {
        let comma = if index + 1 == components.len() { "" } else { "," };
        writeln!(text, "{}:{component}{comma}", Value::from(name.as_str())).unwrap();
    }
    text + "}\n"
}

/// The components of every kind we serve and all they refer to.
fn components() -> BTreeMap<String, Value> {
    let mut settings = SchemaSettings::openapi3();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let mut kinds: Vec<(String, &str, &str)> = Vec::new();
    macro_rules! kinds {
        ($($group:literal $version:literal: $($kind:path),+;)*) => {$($(
            generator.subschema_for::<$kind>();
            kinds.push((<$kind as schemars::JsonSchema>::schema_name().into(), $group, $version));
        )+)*};
    }
    kinds! {
        "" "v1": core::v1::Namespace, core::v1::Pod, core::v1::PersistentVolumeClaim, core::v1::PersistentVolume,
            core::v1::Service, core::v1::Endpoints, core::v1::Node, core::v1::Event, core::v1::ConfigMap,
            core::v1::Secret, core::v1::ServiceAccount, core::v1::Binding, core::v1::ResourceQuota;
        "apps" "v1": apps::v1::ControllerRevision;
        "autoscaling" "v1": autoscaling::v1::Scale;
        "autoscaling" "v2": autoscaling::v2::HorizontalPodAutoscaler;
        "coordination.k8s.io" "v1": coordination::v1::Lease;
        "events.k8s.io" "v1": events::v1::Event;
        "policy" "v1": policy::v1::PodDisruptionBudget;
        "storage.k8s.io" "v1": storage::v1::StorageClass;
        "apiextensions.k8s.io" "v1": apiextensions::v1::CustomResourceDefinition;
        "" "meta": meta::v1::Status, meta::v1::DeleteOptions, meta::v1::ListMeta, meta::v1::LabelSelector;
    }
    let mut components: BTreeMap<String, Value> = generator.take_definitions(true).into_iter().collect();
    for (name, group, version) in kinds {
        if version != "meta" {
            let kind = name.rsplit('.').next().unwrap();
            let component = components.get_mut(&name).unwrap().as_object_mut().unwrap();
            // Generated from Rust, where metadata is no Option; the API does not ask for it.
            component.remove("required");
            component.insert(
                "x-kubernetes-group-version-kind".into(),
                json!([{"group": group, "kind": kind, "version": version}]),
            );
        }
    }
    components
}

/// Shortens descriptions, and writes a reference with siblings as Kubernetes does (`allOf`).
fn tidy(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(Value::String(description)) = map.get_mut("description") {
        *description = first_sentence(description);
    }
    for key in ["properties", "definitions"] {
        if let Some(Value::Object(properties)) = map.get_mut(key) {
            properties.values_mut().for_each(tidy);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = map.get_mut(key) {
            tidy(child);
        }
    }
    if map.len() > 1
        && let Some(reference) = map.remove("$ref")
    {
        map.insert("allOf".into(), json!([{ "$ref": reference }]));
    }
}

fn first_sentence(text: &str) -> String {
    let text = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let stop = text.find(". ").map_or(text.len(), |at| at + 1);
    let sentence = text[..stop].trim();
    if sentence.len() <= MAX_DESCRIPTION {
        return sentence.to_owned();
    }
    let cut = (0..=MAX_DESCRIPTION).rev().find(|at| sentence.is_char_boundary(*at)).unwrap_or_default();
    let cut = sentence[..cut].rfind(' ').unwrap_or(cut);
    format!("{} ...", &sentence[..cut])
}

/// Adds what the types do not say.
fn annotate(components: &mut BTreeMap<String, Value>) {
    for line in MERGING.lines().filter(|line| !line.is_empty()) {
        let (path, rest) = line.split_once(": ").unwrap();
        for node in find(components, path) {
            for (index, word) in rest.split(' ').enumerate() {
                let (name, argument) = match word.split_once('(') {
                    Some((name, argument)) => (name, Some(argument.trim_end_matches(')'))),
                    None => (word, None),
                };
                if index == 0 {
                    node.insert("x-kubernetes-list-type".into(), name.into());
                    if let Some(keys) = argument {
                        let keys: Vec<&str> = keys.split(',').collect();
                        node.insert("x-kubernetes-list-map-keys".into(), json!(keys));
                    }
                } else {
                    node.insert("x-kubernetes-patch-strategy".into(), name.into());
                    if let Some(key) = argument {
                        node.insert("x-kubernetes-patch-merge-key".into(), key.into());
                    }
                }
            }
        }
    }
    for path in ATOMIC {
        for node in find(components, path) {
            node.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
    }
    for path in GRANULAR {
        for node in find(components, path) {
            node.insert("x-kubernetes-map-type".into(), "granular".into());
        }
    }
    for path in REPLACED {
        for node in find(components, path) {
            node.insert("x-kubernetes-patch-strategy".into(), "replace".into());
        }
    }
    for (path, default) in DEFAULTS {
        for node in find(components, path) {
            node.insert("default".into(), (*default).into());
        }
    }
    // Values without a fixed shape.
    for name in ["FieldsV1", "RawExtension"] {
        for node in find(components, name) {
            node.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
        }
    }
    for name in ["JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray"] {
        for node in find(components, name) {
            node.retain(|key, _| key == "description");
            node.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
        }
    }
    for node in find(components, "Quantity") {
        node.retain(|key, _| key == "description");
        node.insert("oneOf".into(), json!([{"type": "string"}, {"type": "number"}]));
    }
    for node in find(components, "IntOrString") {
        node.insert("format".into(), "int-or-string".into());
    }
}

/// The nodes at `Component` or `Component.field`.
fn find<'a>(components: &'a mut BTreeMap<String, Value>, path: &str) -> Vec<&'a mut Map<String, Value>> {
    let (component, field) = path.split_once('.').unwrap_or((path, ""));
    let nodes: Vec<_> = components
        .iter_mut()
        .filter(|(name, _)| name.rsplit('.').next() == Some(component))
        .filter_map(|(_, schema)| match field {
            "" => schema.as_object_mut(),
            field => schema.get_mut("properties")?.get_mut(field)?.as_object_mut(),
        })
        .collect();
    assert!(!nodes.is_empty(), "{path} is in the tables but not in the schemas");
    nodes
}
