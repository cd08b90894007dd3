//! Group `types.kubefed.io/v1beta1`: federated kinds.
//!
//! A federated object wraps the template of one kind with a placement and overrides. [`FederatedSpec`] and
//! [`FederatedStatus`] serve every federated kind; FederatedGameStatefulSet is the one with its own definition here.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lenient::{Malformed, lenient, null_as_default, present};
use crate::{Condition, schema};

/// What a federated object asks for: a template, where it goes, and what differs there.
///
/// Look at `malformed` before acting on a spec: a placement that could not be read is not an absent one.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "types.kubefed.io",
    version = "v1beta1",
    kind = "FederatedGameStatefulSet",
    plural = "federatedgamestatefulsets",
    namespaced,
    status = "FederatedStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A GameStatefulSet that is divided over, or repeated in, many clusters.",
    scale(
        spec_replicas_path = ".spec.template.spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.labelSelector"
    ),
    printcolumn = r#"{"name":"Desired","type":"integer","jsonPath":".spec.template.spec.replicas"}"#,
    printcolumn = r#"{"name":"Planned","type":"integer","jsonPath":".status.plannedReplicas"}"#,
    printcolumn = r#"{"name":"Ready","type":"integer","jsonPath":".status.readyReplicas"}"#,
    printcolumn = r#"{"name":"Updated","type":"integer","jsonPath":".status.updatedReplicas"}"#,
    printcolumn = r#"{"name":"Clusters","type":"integer","jsonPath":".status.clusterCount"}"#,
    printcolumn = r#"{"name":"Propagated","type":"string","jsonPath":".status.conditions[?(@.type=='Propagation')].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
#[schemars(description = "What goes to which clusters.")]
pub struct FederatedSpec {
    /// The object as members get it, without apiVersion, kind, name and namespace.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "schema::scalable_template")]
    pub template: Value,
    /// Where it goes; nowhere without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// What differs in single clusters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["clusterName"]))]
    pub overrides: Vec<ClusterOverrides>,
    /// Leaves spec.replicas to the members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain_replicas: Option<bool>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(FederatedSpec);

/// Where a federated object goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// The clusters, by name. A list that is present wins over the selector, also when it is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub clusters: Option<Vec<ClusterReference>>,
    /// Clusters by their labels; an empty selector is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub cluster_selector: Option<LabelSelector>,
}

/// One placed cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReference {
    /// Name of a KubeFedCluster.
    pub name: String,
}

/// What differs in one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterOverrides {
    /// Name of a KubeFedCluster.
    pub cluster_name: String,
    /// JSON patch, applied in this order.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub cluster_overrides: Vec<OverrideItem>,
}

/// One operation of a JSON patch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverrideItem {
    /// add, remove or replace; replace without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<OverrideOperation>,
    /// JSON pointer into the template, such as /spec/replicas.
    pub path: String,
    /// Any value.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any")]
    pub value: Option<Value>,
}

impl OverrideItem {
    /// The operation, with kubefed's default.
    pub fn operation(&self) -> OverrideOperation {
        self.op.clone().unwrap_or_default()
    }
}

/// What an override does at its path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverrideOperation {
    /// Adds a field or list item.
    Add,
    /// Removes it.
    Remove,
    /// Replaces it.
    #[default]
    Replace,
    /// A word that is none of these.
    #[serde(untagged)]
    Unknown(String),
}

schema::words!(OverrideOperation, "add", "remove", "replace");

/// What the hub observed of a federated object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
pub struct FederatedStatus {
    /// Generation the numbers belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pods in all clusters.
    #[schemars(schema_with = "schema::long")]
    pub replicas: i64,
    /// Of those, ready ones.
    #[schemars(schema_with = "schema::long")]
    pub ready_replicas: i64,
    /// Of those, ones at the newest revision.
    #[schemars(schema_with = "schema::long")]
    pub updated_replicas: i64,
    /// Replicas that have a cluster.
    #[schemars(schema_with = "schema::long")]
    pub planned_replicas: i64,
    /// Selector of the pods as text, for the scale sub-resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// The division that is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Number of clusters in the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::long")]
    pub cluster_count: Option<i64>,
    /// The clusters one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<ClusterStatus>,
    /// Clusters that were left out of the list because it is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::long")]
    pub clusters_omitted: Option<i64>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(FederatedStatus);

/// The division that is in force. Seats are the truth: planning starts from them and never from what members report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanStatus {
    /// Generation of the federated object the plan was made for.
    #[schemars(schema_with = "schema::long")]
    pub generation: i64,
    /// Seats of every planned cluster, never shortened.
    #[serde(deserialize_with = "null_as_default")]
    #[schemars(schema_with = "schema::seats")]
    pub seats: BTreeMap<String, i64>,
    /// What the seats were planned from, as one short text that only the planner reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
}

/// What the hub knows of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["name"]))]
pub struct ClusterStatus {
    /// Name of the KubeFedCluster.
    pub name: String,
    /// kubefed's word for what is wrong; absent when in sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Why, as one CamelCase word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Seats of this cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::long")]
    pub planned: Option<i64>,
    /// Pods there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::long")]
    pub replicas: Option<i64>,
    /// Of those, ready ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::long")]
    pub ready_replicas: Option<i64>,
    /// Of those, ones at the newest revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::long")]
    pub updated_replicas: Option<i64>,
    /// Generation of the federated object that the cluster's numbers belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the cluster last reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_report_time: Option<Time>,
    /// Status of the member's object, where its collection is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub remote_status: Option<Value>,
}
