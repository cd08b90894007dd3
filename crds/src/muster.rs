//! Group `muster.dev/v1alpha1`: what none of the other groups has.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lenient::{Malformed, lenient};
use crate::schema;

/// What is still to be removed from clusters that were away when a federated object was deleted.
///
/// The hub writes it, then lets the federated object go, and removes it when every cluster has confirmed or when it
/// expires.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "Tombstone",
    plural = "tombstones",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    doc = "What is still to be removed from clusters that were away when a federated object was deleted.",
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".spec.target"}"#,
    printcolumn = r#"{"name":"Namespace","type":"string","jsonPath":".spec.namespace"}"#,
    printcolumn = r#"{"name":"Object","type":"string","jsonPath":".spec.name"}"#,
    printcolumn = r#"{"name":"Clusters","type":"string","jsonPath":".spec.clusters"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".spec.expires"}"#
)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
#[schemars(
    description = "What is removed from which clusters, and how.",
    extend("required" = ["name", "policy", "sourceUID", "target"])
)]
pub struct TombstoneSpec {
    /// Kind that the clusters hold, as plural.group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Namespace of the object; none for cluster-scoped kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// UID of the federated object.
    #[serde(rename = "sourceUID", skip_serializing_if = "Option::is_none")]
    pub source_uid: Option<String>,
    /// Delete, or Orphan: then the cluster's object stays and is no longer ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// DeleteOptions for the clusters' objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub options: Option<Value>,
    /// Clusters that have not confirmed yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<String>,
    /// When this is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(TombstoneSpec);
