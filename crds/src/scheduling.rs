//! Group `scheduling.kubefed.io/v1alpha1`: ReplicaSchedulingPreference.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{Malformed, lenient};
use crate::{Condition, schema};

/// Key of [`ReplicaSchedulingPreferenceSpec::clusters`] that stands for every cluster without an entry of its own.
pub const EVERY_CLUSTER: &str = "*";

/// How the replicas of the federated object of the same namespace and name are divided.
///
/// Look at `malformed` before acting on a spec.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "scheduling.kubefed.io",
    version = "v1alpha1",
    kind = "ReplicaSchedulingPreference",
    plural = "replicaschedulingpreferences",
    shortname = "rsp",
    namespaced,
    status = "ReplicaSchedulingPreferenceStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "How the replicas of the federated object of the same name are divided over its clusters.",
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".spec.targetKind"}"#,
    printcolumn = r#"{"name":"Total","type":"integer","jsonPath":".spec.totalReplicas"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
#[schemars(description = "How replicas are divided.")]
#[schemars(extend("required" = ["targetKind"]))]
pub struct ReplicaSchedulingPreferenceSpec {
    /// Kind of the federated object, such as FederatedGameStatefulSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub target_kind: Option<String>,
    /// Replicas of all clusters together; without it the federated object's own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub total_replicas: Option<i64>,
    /// Whether running replicas may move to come closer to the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<bool>,
    /// Takes only clusters that the selectors of the object and of its namespace match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intersect_with_cluster_selector: Option<bool>,
    /// Share of each cluster, by name; "*" is every other cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<BTreeMap<String, ClusterPreferences>>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(ReplicaSchedulingPreferenceSpec);

/// Share of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterPreferences {
    /// Fewest replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::long_count")]
    pub min_replicas: Option<i64>,
    /// Most replicas; no bound without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::long_count")]
    pub max_replicas: Option<i64>,
    /// Share of the replicas beyond the fewest; 0 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::long_count")]
    pub weight: Option<i64>,
}

/// What the hub made of a preference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
pub struct ReplicaSchedulingPreferenceStatus {
    /// Generation the conditions belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(ReplicaSchedulingPreferenceStatus);
