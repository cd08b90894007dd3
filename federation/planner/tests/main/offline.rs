//! Planning from manifests.

use muster_planner::offline::{Manifests, ObservedFile, Outcome, PlannedCluster, plan_manifests};
use serde_json::{Value, json};

const TALK: &str = "
apiVersion: types.kubefed.io/v1beta1
kind: FederatedGameStatefulSet
metadata: {name: gamecenter, namespace: center-system}
spec:
  template:
    metadata: {labels: {app: gamecenter}}
    spec:
      replicas: 200
      serviceName: gamecenter
      selector: {matchLabels: {app: gamecenter}}
      template:
        metadata: {labels: {app: gamecenter}}
        spec:
          containers:
          - {name: center, image: 'registry.com/registry/gamcenter:latest', imagePullPolicy: IfNotPresent}
      preDeleteUpdateStrategy: {hook: {templateName: controller-hook}}
      preInplaceUpdateStrategy: {hook: {templateName: inplace-hook}}
      updateStrategy: {type: InplaceUpdate, inPlaceUpdateStrategy: {gracePeriodSeconds: 5}}
  placement:
    clusters: [{name: shanghai-cluster}, {name: nanjing-cluster}]
  overrides:
  - clusterName: shanghai-cluster
    clusterOverrides:
    - {path: /spec/template/spec/containers/0/image, value: 'registry.com/registry/gamcenter:v1.20.11'}
  - clusterName: nanjing-cluster
    clusterOverrides:
    - {path: /spec/template/spec/containers/0/image, value: 'registry.com/registry/gamcenter:v1.20.12'}
";

fn preference(spec: &Value) -> Value {
    let mut preference = json!({
        "apiVersion": "scheduling.kubefed.io/v1alpha1", "kind": "ReplicaSchedulingPreference",
        "metadata": {"name": "gamecenter", "namespace": "center-system"}, "spec": spec,
    });
    preference["spec"]["targetKind"] = json!("FederatedGameStatefulSet");
    preference
}

fn three_to_two() -> Value {
    preference(&json!({"clusters": {"shanghai-cluster": {"weight": 3}, "nanjing-cluster": {"weight": 2}}}))
}

fn cluster(name: &str, ready: &str) -> Value {
    json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster", "metadata": {"name": name},
        "spec": {}, "status": {"conditions": [{"type": "Ready", "status": ready}]}})
}

fn manifests(clusters: &[Value], preferences: &[Value]) -> Manifests {
    let read = |values: &[Value]| values.to_vec();
    Manifests {
        clusters: serde_json::from_value(json!(read(clusters))).unwrap(),
        objects: vec![serde_saphyr::from_str(TALK).unwrap()],
        preferences: serde_json::from_value(json!(read(preferences))).unwrap(),
        namespace: None,
    }
}

fn observed(file: Value) -> ObservedFile {
    serde_json::from_value(file).unwrap()
}

fn numbers(outcome: &Outcome) -> Vec<(String, u32)> {
    outcome.plans[0].clusters.iter().map(|cluster| (cluster.name.clone(), cluster.replicas)).collect()
}

fn two(nanjing: u32, shanghai: u32) -> Vec<(String, u32)> {
    vec![("nanjing-cluster".into(), nanjing), ("shanghai-cluster".into(), shanghai)]
}

#[test]
fn the_manifest_of_the_talk_divides_three_to_two() {
    let clusters = [cluster("shanghai-cluster", "True"), cluster("nanjing-cluster", "True")];
    let outcome = plan_manifests(&manifests(&clusters, &[three_to_two()]), &ObservedFile::new());
    assert_eq!((&outcome.errors[..], &outcome.warnings[..]), (&[][..], &[][..]));
    insta::assert_snapshot!(serde_json::to_string_pretty(&outcome.plans).unwrap());
}

#[test]
fn placed_clusters_count_as_registered_where_no_cluster_is_given() {
    let outcome = plan_manifests(&manifests(&[], &[three_to_two()]), &ObservedFile::new());
    assert_eq!(numbers(&outcome), two(80, 120));
    let outcome = plan_manifests(&manifests(&[], &[]), &ObservedFile::new());
    assert_eq!(numbers(&outcome), two(200, 200), "nothing waits for a preference");
}

#[test]
fn observed_seats_and_room_are_where_it_starts() {
    let file = observed(
        json!({"shanghai-cluster": {"replicas": 150}, "nanjing-cluster": {"replicas": 10, "capacity": 30}}),
    );
    let outcome = plan_manifests(&manifests(&[], &[three_to_two()]), &file);
    assert_eq!(numbers(&outcome), two(30, 170));
    let file = observed(json!({"shanghai-cluster": {"capacity": 0}, "nanjing-cluster": {"capacity": 0}}));
    let outcome = plan_manifests(&manifests(&[], &[three_to_two()]), &file);
    assert_eq!((numbers(&outcome), outcome.plans[0].shortage), (two(0, 0), 200));
}

#[test]
fn a_cluster_that_is_not_ready_keeps_what_it_has() {
    let clusters = [cluster("shanghai-cluster", "True"), cluster("nanjing-cluster", "False")];
    let lost = manifests(&clusters, &[three_to_two()]);
    assert_eq!(numbers(&plan_manifests(&lost, &ObservedFile::new())), two(0, 200));
    let file = observed(json!({"nanjing-cluster": {"replicas": 80}}));
    assert_eq!(numbers(&plan_manifests(&lost, &file)), two(80, 120));
}

#[test]
fn kubefed_mode_counts_plan_and_overflow() {
    let mut kubefed = three_to_two();
    kubefed["metadata"]["annotations"] = json!({"muster.dev/planner": "kubefed"});
    kubefed["spec"]["rebalance"] = json!(true);
    let file = observed(json!({"shanghai-cluster": {"capacity": 100}}));
    let outcome = plan_manifests(&manifests(&[], &[kubefed]), &file);
    assert_eq!(numbers(&outcome), two(100, 120), "20 of shanghai's are requested, and also run in nanjing");
}

#[test]
fn mistakes_are_errors_and_leave_no_plan() {
    let bad = preference(&json!({"clusters": {"*": {"weight": 1, "minReplicas": 9, "maxReplicas": 3}}}));
    let outcome = plan_manifests(&manifests(&[], &[bad]), &ObservedFile::new());
    assert_eq!(outcome.plans, []);
    assert_eq!(
        outcome.errors[0].to_string(),
        "ReplicaSchedulingPreference center-system/gamecenter: spec.clusters[*].minReplicas: \
         minReplicas 9 is above maxReplicas 3"
    );
    let file = observed(json!({"shanghai-cluster": {"replicas": -1}, "Not a name": {}}));
    let outcome = plan_manifests(&manifests(&[], &[three_to_two()]), &file);
    let errors: Vec<String> = outcome.errors.iter().map(ToString::to_string).collect();
    assert!(
        errors.contains(&"observed file: shanghai-cluster.replicas: -1 is negative".into()),
        "{errors:?}"
    );
    assert_eq!(errors.len(), 2);
}

#[test]
fn a_mistake_for_one_cluster_plans_the_others() {
    let mut manifests = manifests(&[], &[three_to_two()]);
    manifests.objects[0].spec.overrides[0].cluster_overrides[0].path = "/spec/nowhere/image".into();
    let outcome = plan_manifests(&manifests, &ObservedFile::new());
    assert_eq!(outcome.errors.len(), 1);
    let held: Vec<bool> = outcome.plans[0].clusters.iter().map(PlannedCluster::is_held).collect();
    assert_eq!(held, [false, true]);
}

#[test]
fn preferences_and_names_that_lead_nowhere_are_warned_of() {
    let mut lonely = three_to_two();
    lonely["metadata"]["name"] = json!("gamecentre");
    let clusters = [cluster("shanghai-cluster", "True")];
    let outcome = plan_manifests(&manifests(&clusters, &[lonely]), &ObservedFile::new());
    assert_eq!(
        outcome.warnings,
        [
            "FederatedGameStatefulSet center-system/gamecenter: no such cluster is registered: \
             spec.placement.clusters: nanjing-cluster; spec.overrides: nanjing-cluster",
            "ReplicaSchedulingPreference center-system/gamecentre: there is no FederatedGameStatefulSet of this \
             name in the manifests",
        ]
    );
}
