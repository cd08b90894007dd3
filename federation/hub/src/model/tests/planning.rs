//! From objects to seats and views.

use serde_json::json;

use super::*;

#[test]
fn the_talk_is_divided_as_preferred_and_shown_to_both_clusters() {
    let mut world = World::with(&["nanjing", "shanghai"]);
    world.prefer(
        "game",
        json!({"targetKind": "FederatedGameStatefulSet",
        "clusters": {"shanghai": {"weight": 3}, "nanjing": {"weight": 2}}}),
    );
    world.writes.clear();
    let mut game = object("game", 200, &["shanghai", "nanjing"]);
    game["spec"]["overrides"] = json!([set_image("shanghai", "center:v2")]);
    world.put(game);
    assert_eq!(world.seats("game"), "nanjing=80 shanghai=120");
    let shanghai = world.view("shanghai", "game").unwrap();
    assert_eq!(shanghai["spec"]["replicas"], 120);
    assert_eq!(shanghai["spec"]["template"]["spec"]["containers"][0]["image"], "center:v2");
    assert_eq!(
        world.view("nanjing", "game").unwrap()["spec"]["template"]["spec"]["containers"][0]["image"],
        "center:v1"
    );
    assert_eq!(world.writes[..2], ["status game", "finalizers game kubefed.io/sync-controller"]);
}

#[test]
fn an_object_without_a_preference_waits_for_one_and_then_is_repeated() {
    let mut world = World::with(&["a", "b"]);
    world.put(object("game", 10, &["a", "b"]));
    assert_eq!(world.intent("a", "game"), "Hold");
    assert!(
        world.condition("game", "Planned").starts_with("False PlanDelay"),
        "{}",
        world.condition("game", "Planned")
    );
    world.pass(3);
    assert_eq!(world.replicas("a", "game"), Some(10));
    assert_eq!(world.replicas("b", "game"), Some(10));
    assert_eq!(world.seats("game"), "a=10 b=10");
}

#[test]
fn a_preference_that_comes_within_the_delay_divides_at_once() {
    let mut world = World::with(&["a", "b"]);
    world.put(object("game", 10, &["a", "b"]));
    world.pass(1);
    world.prefer("game", json!({"targetKind": "FederatedGameStatefulSet"}));
    assert_eq!(world.replicas("a", "game"), Some(5));
    assert_eq!(world.replicas("b", "game"), Some(5));
}

#[test]
fn a_division_asked_for_by_annotation_does_not_wait() {
    let mut world = World::with(&["a", "b"]);
    let mut game = object("game", 10, &["a", "b"]);
    game["metadata"]["annotations"] = json!({"muster.dev/division": "Duplicate"});
    world.put(game);
    assert_eq!((world.replicas("a", "game"), world.replicas("b", "game")), (Some(10), Some(10)));
}

#[test]
fn nothing_is_shown_before_its_seats_are_recorded() {
    let mut world = World::with(&["a"]);
    world.writable = false;
    world.put(object("game", 10, &["a"]));
    assert_eq!(world.intent("a", "game"), "-", "the member holds nothing, so that nothing need be held");
    world.writable = true;
    world.edit("game", |_| {});
    assert_eq!(world.replicas("a", "game"), Some(10));

    world.writable = false;
    world.pass(5);
    world.edit("game", |object| object["spec"]["template"]["spec"]["replicas"] = json!(12));
    assert_eq!(world.replicas("a", "game"), Some(10), "what is recorded goes on");
    world.writable = true;
    world.pass(1);
    world.edit("game", |_| {});
    assert_eq!(world.replicas("a", "game"), Some(12));
}

#[test]
fn an_api_that_does_not_keep_seats_is_shown_nothing_and_not_asked_all_the_time() {
    let mut world = World::with(&["a"]);
    world.drops_plans = true;
    world.put(object("game", 10, &["a"]));
    world.pass_with(20, &["a"]);
    assert_eq!(world.intent("a", "game"), "-");
    assert_eq!(world.writes.iter().filter(|write| *write == "status game").count(), 1);
    world.drops_plans = false;
    world.pass_with(20, &["a"]);
    assert_eq!(world.replicas("a", "game"), Some(10), "tried again after a while");
}

#[test]
fn a_change_of_the_template_alone_is_shown_without_a_write_first() {
    let mut world = World::with(&["a"]);
    world.put(object("game", 10, &["a"]));
    world.settle("a", "game");
    world.pass(3);
    world.writable = false;
    world.edit("game", |object| {
        object["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("center:v9");
    });
    assert_eq!(
        world.view("a", "game").unwrap()["spec"]["template"]["spec"]["containers"][0]["image"],
        "center:v9"
    );
}

#[test]
fn growing_changes_seats_and_shrinks_nobody() {
    let mut world = World::with(&["a", "b"]);
    world.prefer("game", json!({"targetKind": "FederatedGameStatefulSet", "clusters": {"a": {"weight": 3}, "b": {"weight": 2}}}));
    world.put(object("game", 200, &["a", "b"]));
    world.pass(2);
    world.edit("game", |object| object["spec"]["template"]["spec"]["replicas"] = json!(250));
    assert_eq!((world.replicas("a", "game"), world.replicas("b", "game")), (Some(150), Some(100)));
}

#[test]
fn a_cluster_without_records_is_held_until_it_has_reported() {
    let mut world = World::empty();
    world.register("a", json!({}));
    world.register("b", json!({}));
    world.start();
    world.prefer("game", json!({"targetKind": "FederatedGameStatefulSet"}));
    world.put(object("game", 10, &["a", "b"]));
    assert_eq!((world.intent("a", "game"), world.intent("b", "game")), ("Hold", "Hold"));
    world.report("b", "game", json!({"replicas": 8, "status": {"replicas": 8}}));
    world.inventory("a");
    world.pass(1);
    assert_eq!(world.seats("game"), "a=2 b=8", "what runs stays where it runs");
    assert_eq!((world.replicas("a", "game"), world.replicas("b", "game")), (Some(2), Some(8)));
}

#[test]
fn an_unknown_cluster_is_named_and_the_others_go_on() {
    let mut world = World::with(&["a"]);
    world.put(object("game", 4, &["a", "atlantis"]));
    assert_eq!(world.replicas("a", "game"), Some(4));
    assert!(world.condition("game", "UnknownClusters").contains("atlantis"));
    world.settle("a", "game");
    world.pass(1);
    let ready = world.condition("game", "Ready");
    assert_eq!(
        ready,
        "False UnknownClusters no such cluster is registered: center/game spec.placement.clusters: atlantis"
    );
    world.register("atlantis", json!({}));
    world.inventory("atlantis");
    world.pass(1);
    assert_eq!(world.replicas("atlantis", "game"), Some(4));
}

#[test]
fn selectors_follow_the_labels_of_clusters() {
    let mut world = World::with(&["a", "b"]);
    world.register("a", json!({"labels": {"tier": "1"}}));
    let mut game = object("game", 4, &[]);
    game["spec"]["placement"] = json!({"clusterSelector": {"matchLabels": {"tier": "1"}}});
    world.put(game);
    assert_eq!((world.intent("a", "game"), world.intent("b", "game")), ("Apply", "-"));
    world.register("b", json!({"labels": {"tier": "1"}}));
    world.pass(1);
    assert_eq!(world.intent("b", "game"), "Apply");
}
