//! Objects and preferences that cannot be used.

use muster_crds::{FederatedGameStatefulSet, KubeFedCluster, ReplicaSchedulingPreference};
use muster_planner::{Contact, Problem, condition, input};
use serde_json::{Value, json};

use crate::world::{World, condition, intents, preference, recorded, weights};

#[test]
fn bad_objects_hold_every_placed_cluster_and_keep_their_seats() {
    let spec = |path: &[&str], value: Value| {
        let mut world = World::new(&["nanjing", "shanghai"]).seats(&[("nanjing", 80), ("shanghai", 120)]);
        let field = path.iter().fold(world.spec(), |spec, key| &mut spec[*key]);
        *field = value;
        world
    };
    let annotated = |key: &str, value: &str| {
        let mut world = World::new(&["nanjing", "shanghai"]).seats(&[("nanjing", 80), ("shanghai", 120)]);
        world.annotate(key, value);
        world
    };
    let replicas = ["template", "spec", "replicas"];
    let worlds = [
        spec(&replicas, json!(-1)),
        spec(&replicas, json!(1.5)),
        spec(&replicas, json!("many")),
        spec(&replicas, json!(2_147_483_648_i64)),
        spec(&replicas, json!(u64::MAX)),
        spec(&["template"], Value::Null),
        spec(&["template"], json!("x")),
        spec(&["template", "metadata"], json!([])),
        spec(&["template", "spec"], json!([1])),
        spec(&["retainReplicas"], json!("maybe")),
        annotated("muster.dev/division", "Duplicated"),
        annotated("muster.dev/adopt", "always"),
    ];
    let mut messages = String::new();
    for world in worlds {
        let world = world.prefer(&weights(&[("*", 1)]));
        let plan = world.plan();
        assert_eq!(intents(&plan), [("nanjing", "Hold"), ("shanghai", "Hold")]);
        assert_eq!(recorded(&plan), [("nanjing", 80), ("shanghai", 120)]);
        let (status, reason, message) = condition(&plan, condition::PLANNED);
        assert_eq!((status, reason), (false, "InvalidInput"));
        messages.push_str(message);
        messages.push('\n');
    }
    insta::assert_snapshot!(messages);
}

#[test]
fn bad_preferences_hold_every_placed_cluster_and_keep_their_seats() {
    let cases = [
        json!({"totalReplicas": -5}),
        json!({"totalReplicas": 3_000_000_000_i64}),
        json!({"totalReplicas": "all"}),
        json!({"clusters": {"shanghai": {"minReplicas": 10, "maxReplicas": 5}}}),
        json!({"clusters": {"shanghai": {"weight": -1}}}),
        json!({"clusters": {"shanghai": {"minReplicas": -1}}}),
        json!({"clusters": {"shanghai": {"maxReplicas": -1}}}),
        json!({"clusters": {"*": {"minReplicas": 2_147_483_648_i64}}}),
        json!({"clusters": {"shanghai": {"weight": "heavy"}}}),
        json!({"clusters": ["shanghai"]}),
        json!({"targetKind": "FederatedGameStatfulSet"}),
        json!({"targetKind": 7}),
    ];
    let mut messages = String::new();
    for case in cases {
        let world = World::new(&["nanjing", "shanghai"]).seats(&[("nanjing", 80), ("shanghai", 120)]);
        let plan = world.prefer(&case).plan();
        assert_eq!(intents(&plan), [("nanjing", "Hold"), ("shanghai", "Hold")], "{case}");
        assert_eq!(recorded(&plan), [("nanjing", 80), ("shanghai", 120)]);
        messages.push_str(condition(&plan, condition::PLANNED).2);
        messages.push('\n');
    }
    insta::assert_snapshot!(messages);
}

#[test]
fn limits_are_accepted_up_to_the_largest_numbers() {
    let read = preference(&json!({"totalReplicas": i32::MAX, "clusters": {
        "a": {"weight": i64::MAX, "minReplicas": i32::MAX, "maxReplicas": i64::MAX}}}));
    assert_eq!(read.errors, []);
    let share = read.share(&"a".parse().unwrap()).unwrap();
    assert_eq!((share.weight, share.max), (i64::MAX.cast_unsigned(), Some(i32::MAX.cast_unsigned())));
}

#[test]
fn a_preference_without_clusters_weighs_all_alike() {
    for spec in [json!({}), json!({"clusters": {}})] {
        assert_eq!(preference(&spec).every.unwrap().weight, 1);
    }
}

#[test]
fn a_preference_for_another_kind_is_not_about_this_object() {
    let object = World::new(&["a"]).object();
    assert!(object.is_target_of(&preference(&json!({}))));
    assert!(!object.is_target_of(&preference(&json!({"targetKind": "FederatedDeployment"}))));
    // A misspelt kind must not read as "no preference", which would start all replicas everywhere.
    assert!(object.is_target_of(&preference(&json!({"targetKind": "FederatedGameStatefullSet"}))));
    let mut other = preference(&json!({}));
    other.key.name = "elsewhere".parse().unwrap();
    assert!(!object.is_target_of(&other));
}

#[test]
fn an_unknown_planner_is_an_error() {
    let typed: ReplicaSchedulingPreference = serde_json::from_value(json!({
        "apiVersion": "scheduling.kubefed.io/v1alpha1", "kind": "ReplicaSchedulingPreference",
        "metadata": {"name": "lobby", "annotations": {"muster.dev/planner": "karmada"}},
        "spec": {"targetKind": "FederatedGameStatefulSet"},
    }))
    .unwrap();
    let errors = input::preference(&typed).unwrap().errors;
    assert_eq!(errors[0].field, "metadata.annotations[muster.dev/planner]");
    assert!(matches!(&errors[0].problem, Problem::UnknownWord { found, .. } if found == "karmada"));
}

#[test]
fn an_object_without_a_name_is_no_object() {
    let typed: FederatedGameStatefulSet = serde_json::from_value(json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedGameStatefulSet", "metadata": {}, "spec": {},
    }))
    .unwrap();
    assert_eq!(input::federated(&typed).unwrap_err().field, "metadata.name");
}

#[test]
fn clusters_say_whether_they_are_there() {
    let cluster = |conditions: Value, annotations: Value| {
        let typed: KubeFedCluster = serde_json::from_value(json!({
            "apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster",
            "metadata": {"name": "shanghai", "labels": {"zone": "east"}, "annotations": annotations},
            "spec": {}, "status": {"conditions": conditions},
        }))
        .unwrap();
        input::member(&typed, input::contact(&typed))
    };
    let said = |type_: &str, status: &str| json!([{"type": type_, "status": status}]);
    assert_eq!(cluster(json!([]), json!({})).contact, Contact::Ready);
    assert_eq!(cluster(said("Ready", "True"), json!({})).contact, Contact::Ready);
    assert_eq!(cluster(said("Ready", "Unknown"), json!({})).contact, Contact::Lost);
    assert_eq!(cluster(said("Ready", "False"), json!({})).contact, Contact::Lost);
    assert_eq!(cluster(said("Offline", "True"), json!({})).contact, Contact::Lost);
    assert_eq!(cluster(said("Offline", "False"), json!({})).contact, Contact::Ready);
    let annotated =
        cluster(json!([]), json!({"muster.dev/suspend": "true", "muster.dev/release-seats": "false"}));
    assert_eq!((annotated.suspended, annotated.release_seats), (true, false));
    assert_eq!(annotated.labels["zone"], "east");
}

#[test]
fn the_recorded_plan_is_read_back_as_it_was_written() {
    let mut world = World::new(&["nanjing", "shanghai"]).prefer(&weights(&[("*", 1)]));
    let plan = world.step();
    let status = serde_json::from_value(json!({
        "plan": {"generation": 3, "seats": plan.seats, "basis": plan.basis.unwrap().to_string()},
        "clusters": [{"name": "wuhan", "status": "WaitingForRemoval"}, {"name": "shanghai"}],
    }))
    .unwrap();
    let read = input::recorded(&status);
    assert_eq!((read.seats, read.basis), (Some(plan.seats), plan.basis));
    assert_eq!(read.removing.iter().map(ToString::to_string).collect::<Vec<_>>(), ["wuhan"]);
    let nonsense =
        json!({"plan": {"generation": 3, "seats": {"A b": 3, "nanjing": -1, "shanghai": 5}, "basis": "x"}});
    let read = input::recorded(&serde_json::from_value(nonsense).unwrap());
    assert_eq!(read.seats.unwrap().into_values().collect::<Vec<_>>(), [5]);
    assert_eq!(read.basis, None);
}
