//! Every label, annotation, finalizer, field manager and condition type that Muster reads or writes.
//!
//! bk-bcs's and kubefed's own keys keep their names and meaning. Where a value has a fixed spelling, it stands beside
//! its key.

/// API groups and versions.
pub mod group {
    /// Group of GameStatefulSet, HookTemplate and HookRun.
    pub const TKEX: &str = "tkex.tencent.com";
    /// Group of the federated kinds.
    pub const TYPES_KUBEFED: &str = "types.kubefed.io";
    /// Group of KubeFedCluster and FederatedTypeConfig.
    pub const CORE_KUBEFED: &str = "core.kubefed.io";
    /// Group of ReplicaSchedulingPreference.
    pub const SCHEDULING_KUBEFED: &str = "scheduling.kubefed.io";
    /// Group of the kinds that are Muster's own.
    pub const MUSTER: &str = "muster.dev";
    /// Group of what only exists inside a member's view.
    pub const VIEW: &str = "view.muster.dev";
}

/// Namespace of KubeFedClusters, FederatedTypeConfigs and Leases, unless `--federation-namespace` says otherwise.
pub const FEDERATION_NAMESPACE: &str = "kube-federation-system";

/// Field managers of server-side apply and of managedFields.
pub mod manager {
    /// The agent's mirror: desired objects written to the member.
    pub const MIRROR: &str = "muster-mirror";
    /// The GameStatefulSet controller.
    pub const WORKLOAD: &str = "muster-workload";
    /// The HookRun controller.
    pub const HOOK: &str = "muster-hook";
    /// The Ingress controller.
    pub const INGRESS: &str = "muster-ingress";
    /// The command line, for what it changes on a person's behalf.
    pub const CLI: &str = "muster-cli";
    /// The hub: status of federated objects, clusters and preferences.
    pub const HUB: &str = "muster-hub";
}

/// Finalizers.
pub mod finalizer {
    /// On a federated object: its member objects go first. The name is kubefed's.
    pub const SYNC: &str = "kubefed.io/sync-controller";
    /// On a set with a pre-delete hook: it drains through the hook before it goes.
    pub const DRAIN: &str = "muster.dev/drain";
}

/// Labels of kubefed and Muster on objects that Muster owns.
pub mod label {
    /// On a member object, which hub it belongs to.
    pub const HUB: &str = "muster.dev/hub";
    /// On a member object: `true` is kubefed's mark of ownership and proves nothing here, `false` is the member's
    /// opt-out.
    pub const MANAGED: &str = "kubefed.io/managed";
    /// On a short-lived pod that pulls an image on a node before a set's pod there is updated: the set's name. No pod of a
    /// set has it.
    pub const PULLER: &str = "muster.dev/puller";
    /// On a node: its kubelet can replace an image without restarting the container. Value `true`.
    pub const HOTPATCH: &str = "muster.dev/hotpatch";
    /// On a set or a definition, bk-bcs's deletion protection: [`DELETION_ALWAYS`] or [`DELETION_CASCADING`].
    pub const DELETION_ALLOW: &str = "io.tencent.bcs.dev/deletion-allow";
    /// Value of [`DELETION_ALLOW`]: may be deleted at any time.
    pub const DELETION_ALWAYS: &str = "Always";
    /// Value of [`DELETION_ALLOW`]: may be deleted when nothing is left in it.
    pub const DELETION_CASCADING: &str = "Cascading";
}

/// Annotations on federated objects, preferences, clusters and member objects.
pub mod annotation {
    /// On a preference: which algorithm divides. Value [`PLANNER_KUBEFED`].
    pub const PLANNER: &str = "muster.dev/planner";
    /// Value of [`PLANNER`]: kubefed's own algorithm.
    pub const PLANNER_KUBEFED: &str = "kubefed";
    /// On a federated object: how replicas become seats. Value [`DIVISION_DUPLICATE`].
    pub const DIVISION: &str = "muster.dev/division";
    /// Value of [`DIVISION`]: every cluster gets all replicas, at once.
    pub const DIVISION_DUPLICATE: &str = "Duplicate";
    /// On a federated object: what happens to objects that exist in members, one of [`ADOPT_NEVER`] (the default),
    /// [`ADOPT_IF_NO_DIFF`] and [`ADOPT_ALWAYS`].
    pub const ADOPT: &str = "muster.dev/adopt";
    /// Value of [`ADOPT`]: they are left alone.
    pub const ADOPT_NEVER: &str = "Never";
    /// Value of [`ADOPT`]: they are taken over when they already are as wanted.
    pub const ADOPT_IF_NO_DIFF: &str = "IfNoDiff";
    /// Value of [`ADOPT`]: they are taken over and changed.
    pub const ADOPT_ALWAYS: &str = "Always";
    /// On a federated object or a cluster: nothing is written to members, and that is shown. Value `true`.
    pub const SUSPEND: &str = "muster.dev/suspend";
    /// On a federated object or a cluster: gives up the seats of a lost cluster.
    pub const RELEASE_SEATS: &str = "muster.dev/release-seats";
    /// On a member object: which object of which hub it is, written by the mirror.
    pub const TRACKING: &str = "muster.dev/tracking";
    /// On a federated object: keep the member objects when it is deleted. Value `true`.
    pub const ORPHAN: &str = "kubefed.io/orphan";
    /// On a federated object: DeleteOptions for its member objects, as JSON.
    pub const DELETE_OPTION: &str = "kubefed.io/deleteoption";
    /// kubectl's record of a client-side apply; never sent to members.
    pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    /// When a rollout restart was asked for, on a pod template.
    pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
}

/// Labels and annotations of sets, pods and HookRuns.
pub mod workload {
    /// Label of pods and ControllerRevisions: name of the revision.
    pub const REVISION: &str = "controller-revision-hash";
    /// bk-bcs's label of a pod: its name.
    pub const POD_NAME: &str = "gamestatefulset.kubernetes.io/pod-name";
    /// bk-bcs's label of a pod: its ordinal.
    pub const POD_ORDINAL: &str = "gamestatefulset.kubernetes.io/pod-ordinal";
    /// StatefulSet's label of a pod: its name.
    pub const STATEFULSET_POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
    /// StatefulSet's label of a pod: its ordinal.
    pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

    /// Annotation of a pod: the in-place update under way, as JSON.
    pub const INPLACE_STATE: &str = "inplace-update-state";
    /// Annotation of a pod: the in-place update that waits for its grace, as JSON.
    pub const INPLACE_GRACE: &str = "inplace-update-grace";
    /// Annotation of a pod: the hot patch under way, as JSON.
    pub const HOTPATCH_STATE: &str = "hotpatch-update-state";
    /// Annotation of a pod that tells a patched kubelet to hot patch. Value `true`.
    pub const HOTPATCH_CONTAINER: &str = "io.kubernetes.hotpatch.container";
    /// Annotation of a pod: it is force deleted when its node is lost. Value `true`.
    pub const NODE_LOST_FORCE_DELETE: &str = "pod.gamestatefulset.bkbcs.tencent.com/node-lost-force-delete";
    /// Annotation of a pod: a hook that may end it was asked. Value `true`.
    pub const GAME_POD_DELETING: &str = "io.tencent.bcs.dev/game-pod-deleting";

    /// Annotation of a set: ends the pause at the named step.
    pub const RESUME: &str = "muster.dev/resume";
    /// Annotation of a set: ordinals that go first on scale-down, as in `3,7`.
    pub const DELETE_FIRST: &str = "muster.dev/delete-first";
    /// Kubernetes' annotation of a pod: on scale-down, pods with lower numbers go first.
    pub const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
    /// Annotation of a set or pod: hooks also gate deletions from outside. Value `true`.
    pub const PROTECT: &str = "muster.dev/protect";
    /// Annotation of a set or pod: the way around its hooks; the value is the reason.
    pub const BREAK_GLASS: &str = "muster.dev/break-glass";

    /// Label of a HookRun: which hook point, one of [`HOOK_CANARY`], [`HOOK_PRE_DELETE`], [`HOOK_PRE_INPLACE`] and
    /// [`HOOK_POST_INPLACE`].
    pub const HOOKRUN_TYPE: &str = "hookrun-type";
    /// Value of [`HOOKRUN_TYPE`]: a canary step.
    pub const HOOK_CANARY: &str = "canary-step";
    /// Value of [`HOOKRUN_TYPE`]: before a pod is deleted.
    pub const HOOK_PRE_DELETE: &str = "pre-delete-step";
    /// Value of [`HOOKRUN_TYPE`]: before a pod is updated in place.
    pub const HOOK_PRE_INPLACE: &str = "pre-inplace-step";
    /// Value of [`HOOKRUN_TYPE`]: after a pod was updated in place.
    pub const HOOK_POST_INPLACE: &str = "post-inplace-step";
    /// Label of a HookRun: revision of the pod, or of the canary step.
    pub const HOOKRUN_REVISION: &str = "workload-revision";
    /// Label of a HookRun: ordinal of the pod.
    pub const HOOKRUN_INSTANCE: &str = "instance-id";
    /// Label of a HookRun: index of the canary step.
    pub const HOOKRUN_STEP: &str = "canary-step-index";
    /// Label of a HookRun: name of the set that asks.
    pub const HOOKRUN_WORKLOAD: &str = "muster.dev/workload";
    /// Label of a HookRun: uid of the pod that is asked.
    pub const HOOKRUN_POD: &str = "muster.dev/pod-uid";
    /// Label of a HookRun: how often the same was asked before.
    pub const HOOKRUN_ATTEMPT: &str = "muster.dev/attempt";
    /// Label of a HookRun: what `retry` of its hook point last said. A change of it to true asks again.
    pub const HOOKRUN_RETRY: &str = "muster.dev/retry";
    /// Label of a HookRun: nobody wants its answer any more. Value `true`.
    pub const HOOKRUN_TAKEN_BACK: &str = "muster.dev/taken-back";
    /// Annotation of a HookTemplate and label of its HookRuns: a deletion can be taken back also after the game was told
    /// of it. Value `true`.
    pub const CANCELLABLE: &str = "muster.dev/cancellable";
}

/// Annotations of the objects in a view. They are for the agent and never reach the member.
pub mod view {
    /// Prefix of all of them.
    pub const PREFIX: &str = "view.muster.dev/";
    /// What the agent is to do: [`INTENT_APPLY`], [`INTENT_HOLD`] or [`INTENT_REMOVE`].
    pub const INTENT: &str = "view.muster.dev/intent";
    /// Value of [`INTENT`]: make the member's object as this one.
    pub const INTENT_APPLY: &str = "Apply";
    /// Value of [`INTENT`]: leave whatever is there as it is.
    pub const INTENT_HOLD: &str = "Hold";
    /// Value of [`INTENT`]: remove the member's object, as [`DELETION`] says.
    pub const INTENT_REMOVE: &str = "Remove";
    /// Why an object is held or removed.
    pub const REASON: &str = "view.muster.dev/reason";
    /// How to remove: `{"policy": "Delete" or "Orphan", "options": DeleteOptions}`.
    pub const DELETION: &str = "view.muster.dev/deletion";
    /// Hash of body and policies.
    pub const HASH: &str = "view.muster.dev/hash";
    /// UID of the federated object.
    pub const SOURCE_UID: &str = "view.muster.dev/source-uid";
    /// The federated object, as `<group>/<kind>/<namespace>/<name>`.
    pub const SOURCE: &str = "view.muster.dev/source";
    /// What happens to an object that exists already: the values of [`super::annotation::ADOPT`].
    pub const ADOPT: &str = "view.muster.dev/adopt";
    /// JSON list of the paths that the member owns, such as `["/spec/replicas"]`.
    pub const RETAIN: &str = "view.muster.dev/retain";
    /// On a member's Lease: UID, version and capacity of the member, as JSON.
    pub const MEMBER: &str = "view.muster.dev/member";
}

/// Annotations that only the sandbox reads.
pub mod sandbox {
    /// On a KubeFedCluster: [`LINK_DOWN`] cuts that member's link to the hub.
    pub const LINK: &str = "sandbox.muster.dev/link";
    /// Value of [`LINK`].
    pub const LINK_DOWN: &str = "down";
    /// On the hub's Lease: a new value restarts the hub.
    pub const RESTART: &str = "sandbox.muster.dev/restart";
    /// On a Node of a member: `true` keeps its kubelet from being heard of.
    pub const SILENT: &str = "sandbox.muster.dev/silent";
    /// On a pod template: scripted answers of its hooks, as JSON.
    pub const ANSWERS: &str = "sandbox.muster.dev/answers";
}

/// Condition types.
pub mod condition {
    /// Federated object: every cluster accepted its object. The name is kubefed's.
    pub const PROPAGATION: &str = "Propagation";
    /// Federated object or cluster: it is up.
    pub const READY: &str = "Ready";
    /// Federated object: every replica has a cluster.
    pub const PLANNED: &str = "Planned";
    /// Federated object: something is wrong that does not stop the rest.
    pub const DEGRADED: &str = "Degraded";
    /// Cluster: nothing was heard from it for too long.
    pub const OFFLINE: &str = "Offline";
    /// Cluster: its KubeFedCluster cannot be used as written.
    pub const CONFIG_MALFORMED: &str = "ConfigMalformed";
    /// FederatedTypeConfig: this kind is not federated by this version of Muster.
    pub const NOT_YET_FEDERATED: &str = "NotYetFederated";
    /// GameStatefulSet: it names hooks, and runs without them.
    pub const HOOKS_NOT_ENFORCED: &str = "HooksNotEnforced";
    /// GameStatefulSet: the last change of the template cannot be made in place and is not followed.
    pub const UPDATE_REFUSED: &str = "UpdateRefused";
    /// GameStatefulSet: the spec names something that cannot be done; the message names the field.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// GameStatefulSet: the rollout is paused.
    pub const PAUSED: &str = "Paused";
    /// GameStatefulSet: pods are being created, updated or deleted.
    pub const PROGRESSING: &str = "Progressing";
    /// Pod: readiness gate that an in-place update closes.
    pub const INPLACE_UPDATE_READY: &str = "InPlaceUpdateReady";
}

/// Reasons of conditions that more than one part uses.
pub mod reason {
    /// Pod condition [`super::condition::INPLACE_UPDATE_READY`] is False: an update in place began.
    pub const START_INPLACE_UPDATE: &str = "StartInPlaceUpdate";
    /// Cluster condition Ready is True.
    pub const CLUSTER_READY: &str = "ClusterReady";
    /// Cluster condition Ready is False.
    pub const CLUSTER_NOT_READY: &str = "ClusterNotReady";
    /// Cluster condition Offline is True.
    pub const CLUSTER_NOT_REACHABLE: &str = "ClusterNotReachable";
    /// Propagation is False: a cluster is not in order.
    pub const CHECK_CLUSTERS: &str = "CheckClusters";
    /// Propagation is False: the placement cannot be read.
    pub const COMPUTE_PLACEMENT_FAILED: &str = "ComputePlacementFailed";
    /// Propagation is False: the namespace's own placement excludes every cluster.
    pub const NAMESPACE_NOT_FEDERATED: &str = "NamespaceNotFederated";
    /// Pause of a canary at a `pause` step.
    pub const PAUSED_BY_CANARY_STEP: &str = "PausedByCanaryPauseStep";
    /// Pause of a canary at a `hook` step that did not succeed.
    pub const PAUSED_BY_HOOK_STEP: &str = "PausedByStepBasedHook";
}

/// Words of `status.clusters[].status` on federated objects, all kubefed's; the empty word is "in sync".
pub mod word {
    /// In sync.
    pub const IN_SYNC: &str = "";
    /// The delete was sent, and the object is still there.
    pub const WAITING_FOR_REMOVAL: &str = "WaitingForRemoval";
    /// The cluster is selected and not ready.
    pub const CLUSTER_NOT_READY: &str = "ClusterNotReady";
    /// The member's object could not be read.
    pub const CACHED_RETRIEVAL_FAILED: &str = "CachedRetrievalFailed";
    /// The object could not be computed from its template.
    pub const COMPUTE_RESOURCE_FAILED: &str = "ComputeResourceFailed";
    /// The overrides could not be applied.
    pub const APPLY_OVERRIDES_FAILED: &str = "ApplyOverridesFailed";
    /// The member refused to create the object.
    pub const CREATION_FAILED: &str = "CreationFailed";
    /// The member refused to update the object.
    pub const UPDATE_FAILED: &str = "UpdateFailed";
    /// The member refused to delete the object.
    pub const DELETION_FAILED: &str = "DeletionFailed";
    /// The ownership labels could not be taken off.
    pub const LABEL_REMOVAL_FAILED: &str = "LabelRemovalFailed";
    /// The object could not be read.
    pub const RETRIEVAL_FAILED: &str = "RetrievalFailed";
    /// The member's API could not be reached.
    pub const CLIENT_RETRIEVAL_FAILED: &str = "ClientRetrievalFailed";
    /// An object of this name exists and is not ours.
    pub const ALREADY_EXISTS: &str = "AlreadyExists";
    /// What the member owns could not be kept.
    pub const FIELD_RETENTION_FAILED: &str = "FieldRetentionFailed";
    /// The version last written could not be read.
    pub const VERSION_RETRIEVAL_FAILED: &str = "VersionRetrievalFailed";
    /// The member opted out of this object.
    pub const MANAGED_LABEL_FALSE: &str = "ManagedLabelFalse";
    /// No answer to a create in time.
    pub const CREATION_TIMED_OUT: &str = "CreationTimedOut";
    /// No answer to an update in time.
    pub const UPDATE_TIMED_OUT: &str = "UpdateTimedOut";
    /// No answer to a delete in time.
    pub const DELETION_TIMED_OUT: &str = "DeletionTimedOut";
    /// No answer to the removal of labels in time.
    pub const LABEL_REMOVAL_TIMED_OUT: &str = "LabelRemovalTimedOut";
    /// In a report only: the object is gone from the member.
    pub const REMOVED: &str = "Removed";
}
