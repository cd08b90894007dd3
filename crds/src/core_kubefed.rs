//! Group `core.kubefed.io/v1beta1`: KubeFedCluster and FederatedTypeConfig.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{Malformed, lenient};
use crate::{Condition, schema};

/// A registered member cluster.
///
/// Agents dial the hub, so everything kubefed needed to dial the member is optional and not read.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "core.kubefed.io",
    version = "v1beta1",
    kind = "KubeFedCluster",
    plural = "kubefedclusters",
    shortname = "kfc",
    namespaced,
    status = "KubeFedClusterStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A registered member cluster.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.kubernetesVersion"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
#[schemars(description = "How kubefed reaches the member; not needed here, because agents dial the hub.")]
pub struct KubeFedClusterSpec {
    /// URL of the member's API server. Kept for kubefed; agents dial the hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_endpoint: Option<String>,
    /// CA of the member's API server, base64 of PEM. Kept for kubefed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bytes")]
    pub ca_bundle: Option<String>,
    /// Secret with a token of the member. Kept for kubefed, never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalSecretReference>,
    /// TLS checks that kubefed leaves out: *, SubjectName, ValidityPeriod.
    #[serde(rename = "disabledTLSValidations", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::tls_validations")]
    pub disabled_tls_validations: Option<Vec<String>>,
    /// Proxy that kubefed uses.
    #[serde(rename = "proxyURL", skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<String>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(KubeFedClusterSpec);

/// A secret in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalSecretReference {
    /// Name.
    pub name: String,
}

/// What is known of a member cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
pub struct KubeFedClusterStatus {
    /// Conditions: Ready, Offline, ConfigMalformed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Kubernetes version of the member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
    /// UID of the member: that of its namespace kube-system.
    #[serde(rename = "memberUID", skip_serializing_if = "Option::is_none")]
    pub member_uid: Option<String>,
    /// Zones of the member's nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// Region of the member's nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(KubeFedClusterStatus);

/// Switches federation of one kind on.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "core.kubefed.io",
    version = "v1beta1",
    kind = "FederatedTypeConfig",
    plural = "federatedtypeconfigs",
    shortname = "ftc",
    namespaced,
    status = "FederatedTypeConfigStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Switches federation of one kind on. Its name is the plural of the kind, with or without its group.",
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".spec.targetType.kind"}"#,
    printcolumn = r#"{"name":"Propagation","type":"string","jsonPath":".spec.propagation"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
#[schemars(description = "Which kind is federated, and whether.")]
#[schemars(extend("required" = ["federatedType", "propagation", "targetType"]))]
pub struct FederatedTypeConfigSpec {
    /// Kind that members get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_type: Option<ApiResourceReference>,
    /// Kind that users write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub federated_type: Option<ApiResourceReference>,
    /// Kind that kubefed's status controllers write. Kept for kubefed, not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_type: Option<ApiResourceReference>,
    /// Enabled, or Disabled: then nothing is written and member objects stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Switch>,
    /// Enabled copies the status of member objects into the federated object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_collection: Option<Switch>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(FederatedTypeConfigSpec);

/// On or off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    #[default]
    Disabled,
    /// A word that is none of these.
    #[serde(untagged)]
    Unknown(String),
}

schema::words!(Switch, "Enabled", "Disabled");

/// A kind of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiResourceReference {
    /// Group; none for the core group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural, as in URLs.
    pub plural_name: String,
    /// Namespaced or Cluster.
    pub scope: Scope,
}

/// Where objects of a kind live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// In namespaces.
    #[default]
    Namespaced,
    /// Beside them.
    Cluster,
    /// A word that is none of these.
    #[serde(untagged)]
    Unknown(String),
}

schema::words!(Scope, "Namespaced", "Cluster");

/// What the hub made of a FederatedTypeConfig.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
pub struct FederatedTypeConfigStatus {
    /// Generation the rest belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether objects of the kind are written to members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation_controller: Option<ControllerState>,
    /// Whether their status is collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_controller: Option<ControllerState>,
    /// Conditions: NotYetFederated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(FederatedTypeConfigStatus);

/// State of a controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControllerState {
    /// It runs.
    Running,
    /// It does not.
    #[default]
    NotRunning,
    /// A word that is none of these.
    #[serde(untagged)]
    Unknown(String),
}

schema::words!(ControllerState, "Running", "NotRunning");
