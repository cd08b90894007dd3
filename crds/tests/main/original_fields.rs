//! Every field of the originals is in our schemas, so that nothing a user wrote for them is pruned.

use serde_json::Value;

use crate::schemas::schema_of;

/// Leaves of bk-bcs's GameStatefulSet, over all versions that were published.
const GAME_STATEFUL_SET: &str = "
    spec.disableReadinessGate
    spec.podManagementPolicy
    spec.postInplaceUpdateStrategy.hook.args[].name
    spec.postInplaceUpdateStrategy.hook.args[].value
    spec.postInplaceUpdateStrategy.hook.templateName
    spec.postInplaceUpdateStrategy.retry
    spec.preDeleteUpdateStrategy.hook.args[].name
    spec.preDeleteUpdateStrategy.hook.args[].value
    spec.preDeleteUpdateStrategy.hook.templateName
    spec.preDeleteUpdateStrategy.retry
    spec.preInplaceUpdateStrategy.hook.args[].name
    spec.preInplaceUpdateStrategy.hook.args[].value
    spec.preInplaceUpdateStrategy.hook.templateName
    spec.preInplaceUpdateStrategy.retry
    spec.replicas
    spec.reserveOrders
    spec.revisionHistoryLimit
    spec.scaleStrategy.createBatch
    spec.selector.matchExpressions[].key
    spec.selector.matchExpressions[].operator
    spec.selector.matchExpressions[].values
    spec.selector.matchLabels
    spec.serviceName
    spec.template
    spec.updateStrategy.canary.steps[].hook.args[].name
    spec.updateStrategy.canary.steps[].hook.args[].value
    spec.updateStrategy.canary.steps[].hook.templateName
    spec.updateStrategy.canary.steps[].partition
    spec.updateStrategy.canary.steps[].pause.duration
    spec.updateStrategy.inPlaceUpdateStrategy.gracePeriodSeconds
    spec.updateStrategy.inPlaceUpdateStrategy.policy
    spec.updateStrategy.paused
    spec.updateStrategy.rollingUpdate.maxSurge
    spec.updateStrategy.rollingUpdate.maxUnavailable
    spec.updateStrategy.rollingUpdate.partition
    spec.updateStrategy.type
    spec.volumeClaimTemplates
    status.canary.currentStepHookRun
    status.canary.pauseStartTime
    status.canary.revision
    status.collisionCount
    status.conditions[].lastTransitionTime
    status.conditions[].message
    status.conditions[].reason
    status.conditions[].status
    status.conditions[].type
    status.currentReplicas
    status.currentRevision
    status.currentStepHash
    status.currentStepIndex
    status.labelSelector
    status.observedGeneration
    status.pauseConditions[].reason
    status.pauseConditions[].startTime
    status.postInplaceHookCondition[].phase
    status.postInplaceHookCondition[].podName
    status.postInplaceHookCondition[].startTime
    status.preDeleteHookCondition[].phase
    status.preDeleteHookCondition[].podName
    status.preDeleteHookCondition[].startTime
    status.preInplaceHookCondition[].phase
    status.preInplaceHookCondition[].podName
    status.preInplaceHookCondition[].startTime
    status.readyReplicas
    status.replicas
    status.updateRevision
    status.updatedReadyReplicas
    status.updatedReplicas
";

/// Leaves of bk-bcs's HookTemplate, which its HookRun has too.
const HOOK: &str = "
    spec.args[].name
    spec.args[].value
    spec.metrics[].consecutiveErrorLimit
    spec.metrics[].consecutiveSuccessfulLimit
    spec.metrics[].count
    spec.metrics[].failureCondition
    spec.metrics[].failureLimit
    spec.metrics[].inconclusiveLimit
    spec.metrics[].initialDelay
    spec.metrics[].interval
    spec.metrics[].name
    spec.metrics[].provider.exec.command
    spec.metrics[].provider.exec.container
    spec.metrics[].provider.kubernetes.fields[].path
    spec.metrics[].provider.kubernetes.fields[].value
    spec.metrics[].provider.kubernetes.function
    spec.metrics[].provider.prometheus.address
    spec.metrics[].provider.prometheus.query
    spec.metrics[].provider.web.headers[].key
    spec.metrics[].provider.web.headers[].value
    spec.metrics[].provider.web.jsonPath
    spec.metrics[].provider.web.timeoutSeconds
    spec.metrics[].provider.web.url
    spec.metrics[].successCondition
    spec.metrics[].successfulLimit
    spec.policy
";

/// What bk-bcs's HookRun has beyond its HookTemplate.
const HOOK_RUN: &str = "
    spec.terminate
    status.message
    status.phase
    status.startedAt
    status.metricResults[].consecutiveError
    status.metricResults[].consecutiveSuccessful
    status.metricResults[].count
    status.metricResults[].error
    status.metricResults[].failed
    status.metricResults[].inconclusive
    status.metricResults[].measurements[].finishedAt
    status.metricResults[].measurements[].message
    status.metricResults[].measurements[].phase
    status.metricResults[].measurements[].resumeAt
    status.metricResults[].measurements[].startedAt
    status.metricResults[].measurements[].value
    status.metricResults[].message
    status.metricResults[].name
    status.metricResults[].phase
    status.metricResults[].successful
";

/// Leaves of what kubefed generates for a federated kind with replicas.
const FEDERATED: &str = "
    spec.template
    spec.placement.clusters[].name
    spec.placement.clusterSelector.matchLabels
    spec.placement.clusterSelector.matchExpressions[].key
    spec.placement.clusterSelector.matchExpressions[].operator
    spec.placement.clusterSelector.matchExpressions[].values
    spec.overrides[].clusterName
    spec.overrides[].clusterOverrides[].op
    spec.overrides[].clusterOverrides[].path
    spec.overrides[].clusterOverrides[].value
    spec.retainReplicas
    status.observedGeneration
    status.conditions[].type
    status.conditions[].status
    status.conditions[].reason
    status.conditions[].lastUpdateTime
    status.conditions[].lastTransitionTime
    status.clusters[].name
    status.clusters[].status
    status.clusters[].remoteStatus
";

/// Leaves of kubefed's KubeFedCluster.
const KUBE_FED_CLUSTER: &str = "
    spec.apiEndpoint
    spec.caBundle
    spec.secretRef.name
    spec.disabledTLSValidations
    spec.proxyURL
    status.conditions[].type
    status.conditions[].status
    status.conditions[].reason
    status.conditions[].message
    status.conditions[].lastProbeTime
    status.conditions[].lastTransitionTime
    status.kubernetesVersion
    status.zones
    status.region
";

/// Leaves of kubefed's FederatedTypeConfig.
const FEDERATED_TYPE_CONFIG: &str = "
    spec.targetType.group
    spec.targetType.version
    spec.targetType.kind
    spec.targetType.pluralName
    spec.targetType.scope
    spec.federatedType.group
    spec.federatedType.version
    spec.federatedType.kind
    spec.federatedType.pluralName
    spec.federatedType.scope
    spec.statusType.group
    spec.statusType.version
    spec.statusType.kind
    spec.statusType.pluralName
    spec.statusType.scope
    spec.propagation
    spec.statusCollection
    status.observedGeneration
    status.propagationController
    status.statusController
";

/// Leaves of kubefed's ReplicaSchedulingPreference.
const REPLICA_SCHEDULING_PREFERENCE: &str = "
    spec.targetKind
    spec.totalReplicas
    spec.rebalance
    spec.intersectWithClusterSelector
    spec.clusters{}.minReplicas
    spec.clusters{}.maxReplicas
    spec.clusters{}.weight
";

/// The schema at a path: `[]` is the items of a list, `{}` the values of a map.
fn at<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(schema, |schema, step| {
        let name = step.trim_end_matches("[]").trim_end_matches("{}");
        let property = &schema["properties"][name];
        match step.strip_prefix(name) {
            Some("[]") => &property["items"],
            Some("{}") => &property["additionalProperties"],
            _ => property,
        }
    })
}

fn holds(kind: &str, paths: &str) {
    let schema = schema_of(kind);
    let missing: Vec<&str> = paths.split_whitespace().filter(|path| at(&schema, path).is_null()).collect();
    assert_eq!(missing, Vec::<&str>::new(), "fields that {kind} does not have");
}

#[test]
fn game_stateful_set_has_the_fields_of_bk_bcs() {
    holds("GameStatefulSet", GAME_STATEFUL_SET);
}

#[test]
fn hooks_have_the_fields_of_bk_bcs() {
    holds("HookTemplate", HOOK);
    holds("HookRun", HOOK);
    holds("HookRun", HOOK_RUN);
}

#[test]
fn federated_kinds_have_the_fields_of_kubefed() {
    holds("FederatedGameStatefulSet", FEDERATED);
    holds("KubeFedCluster", KUBE_FED_CLUSTER);
    holds("FederatedTypeConfig", FEDERATED_TYPE_CONFIG);
    holds("ReplicaSchedulingPreference", REPLICA_SCHEDULING_PREFERENCE);
}

#[test]
fn game_stateful_set_shows_the_columns_of_bk_bcs() {
    let definition = &muster_crds::all()[0];
    let columns = definition.spec.versions[0].additional_printer_columns.clone().unwrap();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "Replicas",
            "Ready_Replicas",
            "Current_Replicas",
            "Updated_Replicas",
            "Updated_Ready_Replicas",
            "Age"
        ]
    );
}
