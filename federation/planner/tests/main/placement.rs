//! Where objects go.

use muster_planner::condition;
use serde_json::{Value, json};

use crate::world::{World, condition, intents, replicas};

fn world() -> World {
    let mut world = World::new(&["shanghai", "nanjing", "wuhan"]).seats(&[]);
    world.member("shanghai").labels = [("zone".to_owned(), "east".to_owned())].into();
    world.member("nanjing").labels =
        [("zone".to_owned(), "east".to_owned()), ("gpu".into(), "yes".into())].into();
    world
}

fn placed(placement: Value) -> Vec<String> {
    let mut world = world();
    world.spec()["placement"] = placement;
    replicas(&world.plan()).into_iter().map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_truth_table_of_names_and_selectors() {
    assert_eq!(placed(Value::Null), [""; 0]);
    assert_eq!(placed(json!({})), [""; 0]);
    assert_eq!(placed(json!({"clusterSelector": {}})), ["nanjing", "shanghai", "wuhan"]);
    assert_eq!(
        placed(json!({"clusterSelector": {"matchLabels": {"zone": "east"}}})),
        ["nanjing", "shanghai"]
    );
    assert_eq!(placed(json!({"clusters": [], "clusterSelector": {}})), [""; 0]);
    assert_eq!(placed(json!({"clusters": [{"name": "wuhan"}], "clusterSelector": {}})), ["wuhan"]);
    assert_eq!(placed(json!({"clusters": [{"name": "wuhan"}, {"name": "wuhan"}]})), ["wuhan"]);
}

#[test]
fn expressions_select_as_in_kubernetes() {
    let by = |key: &str, operator: &str, values: &[&str]| {
        placed(json!({"clusterSelector": {"matchExpressions": [
            {"key": key, "operator": operator, "values": values}]}}))
    };
    assert_eq!(by("zone", "In", &["east", "west"]), ["nanjing", "shanghai"]);
    assert_eq!(by("zone", "NotIn", &["east"]), ["wuhan"], "a label that is absent is in no list");
    assert_eq!(by("gpu", "Exists", &[]), ["nanjing"]);
    assert_eq!(by("gpu", "DoesNotExist", &[]), ["shanghai", "wuhan"]);
}

#[test]
fn names_nobody_registered_are_reported_and_the_others_go_on() {
    let mut world = world();
    world.spec()["placement"] =
        json!({"clusters": [{"name": "wuhan"}, {"name": "wuhann"}, {"name": "Not a name"}]});
    world.spec()["overrides"] = json!([{"clusterName": "nanking", "clusterOverrides": []}, {"clusterName": "", "clusterOverrides": []}]);
    let world = world.prefer(&json!({"clusters": {"*": {"weight": 1}, "beijing": {"weight": 1}}}));
    let plan = world.plan();
    assert_eq!(replicas(&plan), [("wuhan", 200)]);
    assert_eq!(
        condition(&plan, condition::UNKNOWN_CLUSTERS),
        (
            true,
            "NotRegistered",
            "no such cluster is registered: spec.placement.clusters: wuhann, Not a name; \
             spec.overrides: nanking, \"\"; spec.clusters of the preference: beijing"
        )
    );
}

#[test]
fn a_placement_that_cannot_be_read_is_hold_in_every_view() {
    let bad = [
        json!({"clusterSelector": {"matchLabels": {"zone": "not a value"}}}),
        json!({"clusterSelector": {"matchLabels": {"-zone": "east"}}}),
        json!({"clusterSelector": {"matchExpressions": [{"key": "zone", "operator": "Near", "values": ["x"]}]}}),
        json!({"clusterSelector": {"matchExpressions": [{"key": "zone", "operator": "In"}]}}),
        json!({"clusterSelector": {"matchExpressions": [{"key": "zone", "operator": "Exists", "values": ["x"]}]}}),
        json!({"clusterSelector": "east"}),
        json!({"clusters": [{"name": ""}]}),
        json!({"clusters": "shanghai"}),
        json!("everywhere"),
    ];
    let mut messages = String::new();
    for placement in bad {
        let mut world = world().seats(&[("shanghai", 120)]);
        world.spec()["placement"] = placement;
        let plan = world.plan();
        assert_eq!(intents(&plan), [("nanjing", "Hold"), ("shanghai", "Hold"), ("wuhan", "Hold")]);
        assert_eq!(plan.seats.len(), 1, "the record stays");
        let (status, reason, message) = condition(&plan, condition::PLANNED);
        assert_eq!((status, reason), (false, "InvalidInput"));
        messages.push_str(message);
        messages.push('\n');
    }
    insta::assert_snapshot!(messages);
}

#[test]
fn the_placement_of_the_namespace_restricts_where_there_is_one() {
    let mut world = world();
    world.spec()["placement"] = json!({"clusterSelector": {}});
    let only = muster_planner::Placement { clusters: Some(vec!["wuhan".into()]), selector: None };
    world.fleet.namespaces.insert("games".parse().unwrap(), only);
    let world = world.seats(&[("wuhan", 200), ("nanjing", 200)]);
    let plan = world.plan();
    assert_eq!(intents(&plan), [("nanjing", "Remove"), ("wuhan", "Apply")]);
    assert_eq!(plan.clusters["nanjing"].reasons[0].code.as_str(), "NamespacePlacement");
}
