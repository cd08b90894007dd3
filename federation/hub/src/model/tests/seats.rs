//! Status: numbers, words, conditions, and how often it is written.

use serde_json::json;

use super::*;

fn divided() -> World {
    let mut world = World::with(&["a", "b"]);
    world.prefer("game", json!({"targetKind": "FederatedGameStatefulSet", "clusters": {"a": {"weight": 3}, "b": {"weight": 2}}}));
    world.put(object("game", 10, &["a", "b"]));
    world
}

#[test]
fn an_object_is_ready_when_every_planned_pod_is_ready_and_updated() {
    let mut world = divided();
    assert!(
        world.condition("game", "Ready").starts_with("False Progressing"),
        "{}",
        world.condition("game", "Ready")
    );
    assert!(world.condition("game", "Propagation").starts_with("False CheckClusters"));
    world.settle("a", "game");
    world.pass(1);
    assert!(world.condition("game", "Ready").starts_with("False"));
    world.settle("b", "game");
    world.pass(1);
    assert!(world.condition("game", "Ready").starts_with("True"), "{}", world.condition("game", "Ready"));
    assert!(world.condition("game", "Propagation").starts_with("True"));
    assert!(world.condition("game", "Planned").starts_with("True Divided"));
    assert!(world.condition("game", "Degraded").starts_with("False"));
    let status = world.status("game");
    assert_eq!((status.replicas, status.ready_replicas, status.updated_replicas), (10, 10, 10));
    assert_eq!((status.planned_replicas, status.cluster_count), (10, Some(2)));
    assert_eq!(status.label_selector.as_deref(), Some("app=game"));
    assert_eq!(status.observed_generation, Some(1));
    let row = world.row("game", "a");
    assert_eq!(
        (row.status, row.planned, row.replicas, row.observed_generation),
        (None, Some(6), Some(6), Some(1))
    );
}

#[test]
fn a_new_template_is_not_ready_until_its_hash_was_applied_and_observed() {
    let mut world = divided();
    world.settle("a", "game");
    world.settle("b", "game");
    world.pass(2);
    world.edit("game", |object| {
        object["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("center:v9");
    });
    world.pass(2);
    assert!(world.condition("game", "Ready").starts_with("False"));
    assert_eq!(world.row("game", "a").status.as_deref(), Some("Pending"));
    assert_eq!(world.row("game", "a").observed_generation, Some(1));
    let hash = world.view("a", "game").unwrap()["metadata"]["annotations"]["view.muster.dev/hash"].clone();
    let numbers = json!({"replicas": 6, "readyReplicas": 6, "updatedReplicas": 6, "observedGeneration": 1});
    world.report("a", "game", json!({"appliedHash": hash, "memberGeneration": 2, "status": numbers}));
    world.settle("b", "game");
    world.pass(2);
    let ready = world.condition("game", "Ready");
    assert!(
        ready.starts_with("False Progressing a:"),
        "the member's own status is of an older generation: {ready}"
    );
}

#[test]
fn words_of_agents_are_shown_and_degrade() {
    let mut world = divided();
    world.settle("b", "game");
    world.report(
        "a",
        "game",
        json!({"word": "AlreadyExists", "message": "a GameStatefulSet that is not ours is there"}),
    );
    world.pass(2);
    assert_eq!(world.row("game", "a").status.as_deref(), Some("AlreadyExists"));
    assert!(world.condition("game", "Degraded").starts_with("True CheckClusters a: AlreadyExists"));
}

#[test]
fn an_agent_that_does_not_answer_is_called_a_timeout() {
    let mut world = divided();
    world.settle("b", "game");
    world.pass_with(35, &["a", "b"]);
    assert_eq!(world.row("game", "a").status.as_deref(), Some("CreationTimedOut"));
}

#[test]
fn status_is_written_at_most_once_a_second_and_not_for_age() {
    let mut world = divided();
    world.settle("a", "game");
    world.settle("b", "game");
    world.pass(2);
    world.writes.clear();
    for ready in 0..20 {
        let status =
            json!({"replicas": 6, "readyReplicas": ready % 6, "updatedReplicas": 6, "observedGeneration": 1});
        world.report("a", "game", json!({"appliedHash": "x", "memberGeneration": 1, "status": status}));
    }
    assert_eq!(world.writes, ["status game"]);
    world.pass(1);
    assert_eq!(world.writes.len(), 2);
    world.pass(3);
    world.writes.clear();
    for _ in 0..5 {
        let status =
            json!({"replicas": 6, "readyReplicas": 1, "updatedReplicas": 6, "observedGeneration": 1});
        world.report("a", "game", json!({"appliedHash": "x", "memberGeneration": 1, "status": status}));
        world.pass(1);
    }
    assert!(world.writes.is_empty(), "{:?}", world.writes);
}

#[test]
fn an_idle_hub_writes_nothing() {
    let mut world = divided();
    world.settle("a", "game");
    world.settle("b", "game");
    world.pass_with(5, &["a", "b"]);
    world.writes.clear();
    let before = world.versions();
    world.pass_with(60, &["a", "b"]);
    assert!(world.writes.is_empty(), "{:?}", world.writes);
    assert!(world.changed_since(&before).is_empty());
}

#[test]
fn many_clusters_are_counted_where_they_are_not_listed() {
    let names: Vec<String> = (0..130).map(|number| format!("c-{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::with(&names);
    let mut game = object("game", 1, &names);
    game["metadata"]["annotations"] = json!({"muster.dev/division": "Duplicate"});
    world.put(game);
    let status = world.status("game");
    assert_eq!((status.clusters.len(), status.clusters_omitted), (100, Some(30)));
    assert_eq!(status.plan.unwrap().seats.len(), 130, "seats are never cut");
}

#[test]
fn a_preference_that_is_deleted_leaves_the_seats() {
    use crate::model::tests::world::key;
    use crate::model::{Event, Feed};
    let mut world = divided();
    world.apply(Event::Preferences(Feed::Deleted(key("game"))));
    world.pass(5);
    assert_eq!(world.seats("game"), "a=6 b=4");
    assert!(world.condition("game", "Planned").starts_with("False PreferenceRemoved"));
    world.settle("a", "game");
    world.settle("b", "game");
    world.pass(1);
    assert!(world.condition("game", "Ready").starts_with("True"));
}
