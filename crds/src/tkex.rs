//! Group `tkex.tencent.com/v1alpha1`: GameStatefulSet, HookTemplate and HookRun.

pub mod hook;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lenient::{Malformed, lenient, null_as_default};
use crate::{Condition, IntOrPercent, schema};

/// Pods with stable names that can be updated in place and are asked before they are touched.
///
/// The fields are bk-bcs's; those of StatefulSet keep their meaning. Look at `malformed` before acting on a spec.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tkex.tencent.com",
    version = "v1alpha1",
    kind = "GameStatefulSet",
    plural = "gamestatefulsets",
    namespaced,
    status = "GameStatefulSetStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Pods with stable names that can be updated in place and are asked before they are touched.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.labelSelector"
    ),
    printcolumn = r#"{"name":"Replicas","type":"integer","jsonPath":".spec.replicas"}"#,
    printcolumn = r#"{"name":"Ready_Replicas","type":"integer","jsonPath":".status.readyReplicas"}"#,
    printcolumn = r#"{"name":"Current_Replicas","type":"integer","jsonPath":".status.currentReplicas"}"#,
    printcolumn = r#"{"name":"Updated_Replicas","type":"integer","jsonPath":".status.updatedReplicas"}"#,
    printcolumn = r#"{"name":"Updated_Ready_Replicas","type":"integer","jsonPath":".status.updatedReadyReplicas"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
#[schemars(description = "What the set is to be.")]
#[schemars(extend("required" = ["selector", "serviceName", "template"]))]
pub struct GameStatefulSetSpec {
    /// Desired pods; ordinals count from 0, those in reserveOrders are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count", extend("default" = 1))]
    pub replicas: Option<i64>,
    /// Which pods belong to the set; must match the template's labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub selector: Option<LabelSelector>,
    /// Pod template.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub template: Value,
    /// PersistentVolumeClaims of each ordinal, named like saves-battle-0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::opaque_objects")]
    pub volume_claim_templates: Vec<Value>,
    /// Service that gives the pods their DNS names; becomes their subdomain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// OrderedReady does one thing at a time and waits for readiness; Parallel does not wait, also in updates.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "OrderedReady"))]
    pub pod_management_policy: Option<PodManagementPolicy>,
    /// How a changed template reaches the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_strategy: Option<UpdateStrategy>,
    /// Hook that is asked before a pod is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_delete_update_strategy: Option<HookStrategy>,
    /// Hook that is asked before a pod is updated in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_inplace_update_strategy: Option<HookStrategy>,
    /// Hook that runs after a pod was updated in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_inplace_update_strategy: Option<HookStrategy>,
    /// How many old revisions are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count", extend("default" = 10))]
    pub revision_history_limit: Option<i64>,
    /// How a new set is filled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_strategy: Option<ScaleStrategy>,
    /// Leaves the readiness gate InPlaceUpdateReady out of new pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_readiness_gate: Option<bool>,
    /// Ordinals that no pod gets: 3 replicas with 1 reserved are 0, 2 and 3.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::integers")]
    pub reserve_orders: Vec<i64>,
    /// Seconds that a pod has to be ready before it counts as available.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub min_ready_seconds: Option<i64>,
    /// Which ordinals the set has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordinals: Option<Ordinals>,
    /// What becomes of the claims of pods that go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim_retention_policy: Option<ClaimRetentionPolicy>,
    /// Seconds without progress after which an update counts as stuck, and says so in the condition Progressing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count", extend("default" = 600))]
    pub progress_deadline_seconds: Option<i64>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(GameStatefulSetSpec);

/// Which ordinals a set has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Ordinals {
    /// The first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count", extend("default" = 0))]
    pub start: Option<i64>,
}

/// What becomes of the claims of pods that go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimRetentionPolicy {
    /// When the set is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Retain"))]
    pub when_deleted: Option<ClaimRetention>,
    /// When the set is scaled down.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Retain"))]
    pub when_scaled: Option<ClaimRetention>,
}

/// What becomes of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimRetention {
    /// It stays, and the next pod of that ordinal finds it.
    #[default]
    Retain,
    /// It goes with its pod or set.
    Delete,
    /// A word that is none of these.
    #[serde(untagged)]
    Unknown(String),
}

schema::words!(ClaimRetention, "Retain", "Delete");

/// In which order pods are created, deleted and updated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodManagementPolicy {
    /// One pod after the other, each ready before the next.
    #[default]
    OrderedReady,
    /// Without waiting.
    Parallel,
    /// A word that is none of these.
    #[serde(untagged)]
    Unknown(String),
}

schema::words!(PodManagementPolicy, "OrderedReady", "Parallel");

/// How a changed template reaches the pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateStrategy {
    /// RollingUpdate replaces pods, InplaceUpdate changes their images, HotPatchUpdate needs a patched kubelet,
    /// OnDelete waits for someone to delete them.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "RollingUpdate"))]
    pub type_: Option<UpdateStrategyType>,
    /// Bounds of the update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
    /// Options of InplaceUpdate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_place_update_strategy: Option<InPlaceUpdateStrategy>,
    /// Steps of the update; they replace the partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Setting it to false ends a pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Seconds that the update of one pod may take before it counts as failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count", extend("default" = 600))]
    pub pod_deadline_seconds: Option<i64>,
    /// What follows when the update of a pod failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Pause"))]
    pub on_pod_deadline: Option<PodDeadlinePolicy>,
}

/// What follows when the update of a pod takes too long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodDeadlinePolicy {
    /// No further update begins while the pod has not come good.
    #[default]
    Pause,
    /// The pod goes back to the revision it came from, and no further update begins.
    RollbackPod,
    /// Every pod goes back to the revision it came from, and stays there until the template changes.
    RollbackSet,
    /// A word that is none of these.
    #[serde(untagged)]
    Unknown(String),
}

schema::words!(PodDeadlinePolicy, "Pause", "RollbackPod", "RollbackSet");

/// Kind of update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateStrategyType {
    /// Pods are replaced.
    #[default]
    RollingUpdate,
    /// A pod is replaced when someone deletes it.
    OnDelete,
    /// Images are changed in the running pod.
    InplaceUpdate,
    /// Images are changed under the running process, by a patched kubelet.
    HotPatchUpdate,
    /// A word that is none of these.
    #[serde(untagged)]
    Unknown(String),
}

schema::words!(UpdateStrategyType, "RollingUpdate", "OnDelete", "InplaceUpdate", "HotPatchUpdate");

/// Bounds of an update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    /// Ordinals below it keep the old revision; percentages round down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<IntOrPercent>,
    /// Most pods that may be unavailable at once; percentages round up. Without it: 25% when Parallel, 1 when
    /// OrderedReady.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrPercent>,
    /// Most pods above replicas during an update, when Parallel; percentages round up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrPercent>,
}

/// Options of an update in place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InPlaceUpdateStrategy {
    /// Seconds between "pod not ready" and the change of its images.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub grace_period_seconds: Option<i64>,
    /// Order of the containers when several images change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<InPlacePolicy>,
    /// Containers that serve no player, such as log shippers: the pod stays in traffic while they restart.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub helper_containers: Vec<String>,
    /// Pulling of new images before any container is stopped for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_pull: Option<PrePull>,
    /// What follows when a node has no room for a pod's new size.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Wait"))]
    pub on_resize_deferred: Option<ResizeDeferredPolicy>,
}

/// What follows when a node has no room for a pod's new size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResizeDeferredPolicy {
    /// The pod serves as it is until there is room.
    #[default]
    Wait,
    /// The pod is replaced, and its successor may find room on another node.
    Recreate,
    /// A word that is none of these.
    #[serde(untagged)]
    Unknown(String),
}

schema::words!(ResizeDeferredPolicy, "Wait", "Recreate");

/// Pulling of images on the nodes that will need them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PrePull {
    /// Whether images are pulled beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
    /// Nodes that pull at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count", extend("default" = 10))]
    pub parallelism: Option<i64>,
}

/// Order of the containers of one pod in an update in place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InPlacePolicy {
    /// All at once.
    #[default]
    DisOrdered,
    /// One after the other, each ready before the next.
    OrderedReady,
    /// One after the other, each updated before the next.
    OrderedUpdated,
    /// A word that is none of these.
    #[serde(untagged)]
    Unknown(String),
}

schema::words!(InPlacePolicy, "DisOrdered", "OrderedReady", "OrderedUpdated");

/// Steps of an update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Canary {
    /// The steps, in order.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<CanaryStep>,
}

/// One step of an update; sets one of its fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStep {
    /// Ordinals below it keep the old revision during this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<IntOrPercent>,
    /// Waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<CanaryPause>,
    /// Goes on when the hook succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookStep>,
}

/// A wait between steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryPause {
    /// Seconds; without it someone has to resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub duration: Option<i64>,
}

/// A hook point of a set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HookStrategy {
    /// What is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookStep>,
    /// Asks again, once for each change to true, where the hook did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<bool>,
    /// Most pods of the set that are asked at once. Without it: as many as an update may make unavailable, and 100 before deletions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub max_concurrent_hooks: Option<i64>,
}

/// A HookTemplate and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookStep {
    /// Name of a HookTemplate in the namespace of the set.
    pub template_name: String,
    /// Arguments of the template.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<HookArgument>,
}

/// One argument of a HookTemplate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookArgument {
    /// Name.
    pub name: String,
    /// Value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// How a new set is filled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleStrategy {
    /// Pods created at once when the set is new, if Parallel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_batch: Option<IntOrPercent>,
}

/// What the controller of a set observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
pub struct GameStatefulSetStatus {
    /// Generation the numbers belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pods that are to live.
    #[schemars(schema_with = "schema::int32")]
    pub replicas: i64,
    /// Of those, ready ones.
    #[schemars(schema_with = "schema::int32")]
    pub ready_replicas: i64,
    /// Of those, ones at currentRevision.
    #[schemars(schema_with = "schema::int32")]
    pub current_replicas: i64,
    /// Of those, ones at updateRevision.
    #[schemars(schema_with = "schema::int32")]
    pub updated_replicas: i64,
    /// Of those, ready ones at updateRevision.
    #[schemars(schema_with = "schema::int32")]
    pub updated_ready_replicas: i64,
    /// Of those, ones that have been ready for minReadySeconds.
    #[schemars(schema_with = "schema::int32")]
    pub available_replicas: i64,
    /// Pods on their way out.
    #[schemars(schema_with = "schema::int32")]
    pub draining_replicas: i64,
    /// Revision the pods come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,
    /// Revision the pods go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_revision: Option<String>,
    /// Hash collisions of revision names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub collision_count: Option<i64>,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Selector of the pods as text, for the scale sub-resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// Why the update is paused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pause_conditions: Vec<PauseCondition>,
    /// Index of the running canary step; the number of steps when all are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub current_step_index: Option<i64>,
    /// Hash of the canary steps the index belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_step_hash: Option<String>,
    /// State of the canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryStatus>,
    /// Pods that wait for the pre-delete hook.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pre_delete_hook_condition: Vec<HookCondition>,
    /// Pods that wait for the pre-in-place hook.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pre_inplace_hook_condition: Vec<HookCondition>,
    /// Pods whose post-in-place hook runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_inplace_hook_condition: Vec<HookCondition>,
    /// The scale-down under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScaleDownStatus>,
    /// Ordinals that were chosen to go while later ones stayed; they come back when the set grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_ordinals: Option<RemovedOrdinals>,
    /// While a new set is filled in batches, how many of its first pods may exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub filling_replicas: Option<i64>,
    /// What does not move and why, the pods with the longest waits first.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<BlockedBy>,
    /// How many more than those in blockedBy do not move.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub blocked_by_omitted: Option<i64>,
    /// The update that failed, while it has consequences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_update: Option<FailedUpdate>,
    /// When the update under way last got a pod further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_progress_time: Option<Time>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(GameStatefulSetStatus);

/// An update that failed in one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FailedUpdate {
    /// The revision that did not come good.
    pub revision: String,
    /// The first pod in which it did not.
    pub pod: String,
    /// Why, as one word.
    pub code: String,
    /// Why, in a sentence.
    pub message: String,
    /// Since when it counts as failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// A scale-down under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleDownStatus {
    /// How many pods are to be left.
    #[schemars(schema_with = "schema::int32")]
    pub requested: i64,
    /// Pods that are to go and are still there, at most twenty of them.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub draining: Vec<String>,
    /// Why they are still there.
    pub reason: String,
}

/// Ordinals that a set does without.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RemovedOrdinals {
    /// The ordinals, ascending.
    #[serde(deserialize_with = "null_as_default")]
    #[schemars(schema_with = "schema::integers")]
    pub ordinals: Vec<i64>,
    /// The spec.replicas they were chosen for.
    #[schemars(schema_with = "schema::int32")]
    pub replicas: i64,
}

/// A pod, or the set, that does not move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockedBy {
    /// The pod; empty for the set as a whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// Why, as one word.
    pub code: String,
    /// Why, in a sentence.
    pub message: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// One reason for a pause.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PauseCondition {
    /// PausedByCanaryPauseStep or PausedByStepBasedHook.
    pub reason: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// What spec.updateStrategy.paused said when it was last looked at; that it becomes false ends the pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec_paused: Option<bool>,
}

/// State of a canary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStatus {
    /// Last revision that was rolled out completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Since when the canary is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_start_time: Option<Time>,
    /// HookRun of the current step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_step_hook_run: Option<String>,
}

/// A pod and its hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HookCondition {
    /// The pod.
    pub pod_name: String,
    /// Since when the hook is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// Phase of the HookRun.
    pub phase: String,
}
