//! What is ours, what is not, and how it changes hands.

use serde_json::json;

use crate::view::{CLUSTER, HUB};
use crate::world::{World, spec};

const RETAIN: &str = "[\"/spec/replicas\"]";

#[tokio::test(start_paused = true)]
async fn a_removed_object_is_deleted_and_reported_gone() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    world.view.remove("one", "Delete");
    world.settle().await;
    assert_eq!(world.set("one").await, None);
    assert!(world.view.word("one").starts_with("Removed|"), "{}", world.view.word("one"));
    assert!(world.view.report("one").unwrap()["viewVersion"].is_string());

    let before = world.writes();
    world.view.drop_entry("one");
    world.settle().await;
    assert_eq!(world.writes(), before, "nothing is left to do when the entry leaves");
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_waits_for_a_finalizer_says_so_and_is_sent_once() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    world.patch("one", json!({"metadata": {"finalizers": ["example.com/keep"]}})).await;
    world.settle().await;
    let before = world.writes();
    world.view.remove("one", "Delete");
    world.settle().await;
    assert!(world.view.word("one").starts_with("WaitingForRemoval|"), "{}", world.view.word("one"));
    assert_eq!(world.writes(), before + 1);
    world.patch("one", json!({"metadata": {"finalizers": null}})).await;
    world.settle().await;
    assert!(world.view.word("one").starts_with("Removed|"), "{}", world.view.word("one"));
    assert_eq!(world.writes(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn an_orphaned_object_stays_without_our_marks() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    world.view.remove("one", "Orphan");
    world.settle().await;
    let set = world.set("one").await.unwrap();
    assert_eq!(set["spec"]["replicas"], 3);
    assert!(set["metadata"]["labels"].get("muster.dev/hub").is_none());
    assert!(set["metadata"]["labels"].get("kubefed.io/managed").is_none());
    assert!(set["metadata"].get("annotations").is_none_or(|all| all.get("muster.dev/tracking").is_none()));
    assert!(world.view.word("one").starts_with("Removed|"), "{}", world.view.word("one"));
}

#[tokio::test(start_paused = true)]
async fn a_removal_of_what_is_not_ours_touches_nothing() {
    let world = World::new().await;
    world.create("theirs", &spec(2)).await;
    let before = world.writes();
    world.view.remove("theirs", "Delete");
    world.view.remove("never", "Delete");
    world.settle().await;
    assert!(world.set("theirs").await.is_some());
    assert_eq!(world.writes(), before);
    assert!(world.view.word("theirs").starts_with("Removed|"), "{}", world.view.word("theirs"));
    assert!(world.view.word("never").starts_with("Removed|"), "{}", world.view.word("never"));
}

#[tokio::test(start_paused = true)]
async fn a_member_opts_an_object_out_with_a_label() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    world.patch("one", json!({"metadata": {"labels": {"kubefed.io/managed": "false"}}})).await;
    world.settle().await;
    let before = world.writes();
    world.view.apply("one", "h2", &spec(9));
    world.settle().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["replicas"], 3);
    assert!(world.view.word("one").starts_with("ManagedLabelFalse|"), "{}", world.view.word("one"));
    world.view.remove("one", "Delete");
    world.settle().await;
    assert!(world.set("one").await.is_some(), "and it stays when the hub lets go of it");
    assert!(world.view.word("one").starts_with("Removed|"), "{}", world.view.word("one"));
    assert_eq!(world.writes(), before);
}

#[tokio::test(start_paused = true)]
async fn an_existing_object_is_adopted_only_as_far_as_allowed() {
    let world = World::new().await;
    for name in ["never", "same", "differs", "always"] {
        world.create(name, &spec(2)).await;
    }
    let before = world.writes();
    let adopt = |mode: &str| json!({"view.muster.dev/adopt": mode});
    world.view.apply_with("never", "h1", &spec(2), &adopt("Never"));
    world.view.apply_with("differs", "h1", &spec(5), &adopt("IfNoDiff"));
    world.settle().await;
    assert_eq!(world.writes(), before);
    assert!(world.view.word("never").starts_with("AlreadyExists|"), "{}", world.view.word("never"));
    let word = world.view.word("differs");
    assert!(word.starts_with("AlreadyExists|") && word.contains("spec.replicas"), "{word}");

    let uid = world.set("same").await.unwrap()["metadata"]["uid"].clone();
    world.view.apply_with("same", "h1", &json!({"replicas": 2}), &adopt("IfNoDiff"));
    world.view.apply_with("always", "h1", &spec(5), &adopt("Always"));
    world.settle().await;
    let set = world.set("same").await.unwrap();
    assert_eq!(set["metadata"]["uid"], uid);
    assert_eq!(set["metadata"]["labels"]["muster.dev/hub"], HUB);
    assert_eq!(world.set("always").await.unwrap()["spec"]["replicas"], 5);
    assert_eq!(world.view.word("same"), "|");
    assert_eq!(world.view.word("always"), "|");

    world.delete("never").await;
    world.settle().await;
    assert_eq!(world.view.word("never"), "|", "once the other one is gone ours is created");
}

#[tokio::test(start_paused = true)]
async fn replicas_are_handed_over_and_taken_back_without_a_jump() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(100));
    world.settle().await;

    // The member's own scaler is told that replicas are now its own; the plan says another number.
    world.view.apply_with("one", "h2", &spec(80), &json!({"view.muster.dev/retain": RETAIN}));
    world.settle().await;
    let set = world.set("one").await.unwrap();
    assert_eq!(set["spec"]["replicas"], 100);
    assert_eq!(set["metadata"]["generation"], 1, "no write changed the spec");

    world.patch("one", json!({"spec": {"replicas": 120}})).await;
    world.settle().await;
    let before = world.writes();
    world.view.apply_with("one", "h3", &spec(60), &json!({"view.muster.dev/retain": RETAIN}));
    world.settle().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["replicas"], 120);
    assert_eq!(world.writes(), before + 1);

    world.view.apply("one", "h4", &spec(60));
    world.settle().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["replicas"], 60, "the hub owns it again");
}

#[tokio::test(start_paused = true)]
async fn retained_replicas_begin_at_the_planned_number() {
    let world = World::new().await;
    world.view.apply_with("one", "h1", &spec(40), &json!({"view.muster.dev/retain": RETAIN}));
    world.settle().await;
    let set = world.set("one").await.unwrap();
    assert_eq!(set["spec"]["replicas"], 40);
    world.patch("one", json!({"spec": {"replicas": 41}})).await;
    world.settle().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["replicas"], 41);
    assert_eq!(world.view.word("one"), "|");
}

#[tokio::test(start_paused = true)]
async fn an_object_of_another_hub_is_left_alone() {
    let mut world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    world.stop_agent().await;
    let before = world.writes();
    world.view.rename("another-hub", CLUSTER);
    world.view.restart(2);
    world.view.apply("one", "h2", &spec(9));
    world.start_agent().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["replicas"], 3);
    let word = world.view.word("one");
    assert!(word.starts_with("AlreadyExists|") && word.contains(HUB), "{word}");
    assert_eq!(world.writes(), before);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_registered_anew_keeps_what_it_holds() {
    let mut world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.view.apply("two", "h1", &spec(3));
    world.settle().await;
    world.stop_agent().await;
    world.view.forget("two");
    world.view.rename(HUB, "another-registration");
    world.view.restart(2);
    world.start_agent().await;
    let one = world.set("one").await.unwrap();
    let tracking = one["metadata"]["annotations"]["muster.dev/tracking"].as_str().unwrap();
    assert!(tracking.contains("another-registration"), "{tracking}");
    assert!(world.set("two").await.is_some(), "what the hub does not name is its to decide about");
    assert_eq!(world.view.word("two"), "|", "and is in the inventory");
}
