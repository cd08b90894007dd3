//! The link: cuts, restarts of the hub, expired versions, views that do not add up.

use std::time::Duration;

use serde_json::json;

use crate::world::{World, spec};

/// Longer than it takes to notice that the hub does not answer.
const NOTICED: Duration = Duration::from_secs(40);

#[tokio::test(start_paused = true)]
async fn the_heartbeat_says_who_the_member_is() {
    let world = World::new().await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let (lease, beats) = world.view.lease();
    assert!((6..=8).contains(&beats), "{beats} in a minute");
    assert_eq!(lease["spec"]["holderIdentity"], "a");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 30);
    let member = lease["metadata"]["annotations"]["view.muster.dev/member"].as_str().unwrap();
    let member: serde_json::Value = serde_json::from_str(member).unwrap();
    assert!(member["uid"].is_string(), "{member}");
    assert!(member["version"].is_string(), "{member}");
}

#[tokio::test(start_paused = true)]
async fn without_its_hub_the_agent_creates_what_is_missing_and_touches_nothing_else() {
    let world = World::new().await;
    for name in ["missing", "drifted", "removed", "changed"] {
        world.view.apply(name, "h1", &spec(3));
    }
    world.settle().await;
    world.view.cut(true);
    tokio::time::sleep(NOTICED).await;
    let before = world.writes();

    // These changes happen at the hub and cannot be heard.
    world.view.remove("removed", "Delete");
    world.view.apply("changed", "h2", &spec(9));
    world.patch("drifted", json!({"spec": {"replicas": 8}})).await;
    world.delete("missing").await;
    tokio::time::sleep(Duration::from_hours(3)).await;

    assert_eq!(world.set("drifted").await.unwrap()["spec"]["replicas"], 8);
    assert_eq!(world.set("changed").await.unwrap()["spec"]["replicas"], 3);
    assert!(world.set("removed").await.is_some());
    assert_eq!(world.set("missing").await.unwrap()["spec"]["replicas"], 3);
    assert_eq!(world.writes(), before + 1, "one create");

    world.view.cut(false);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(world.set("drifted").await.unwrap()["spec"]["replicas"], 3);
    assert_eq!(world.set("changed").await.unwrap()["spec"]["replicas"], 9);
    assert_eq!(world.set("removed").await, None);
    assert!(world.view.word("removed").starts_with("Removed|"), "{}", world.view.word("removed"));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_hub_is_told_everything_again_and_nothing_is_written() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.view.apply("two", "h1", &spec(3));
    world.settle().await;
    let before = world.writes();
    let session = world.view.requests()[0]["session"].clone();
    world.view.forget_reports();

    world.view.restart(2);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(world.writes(), before);
    for name in ["one", "two"] {
        assert_eq!(world.view.report(name).unwrap()["appliedHash"], "h1", "{name}");
    }
    let requests = world.view.requests();
    let inventory = requests.iter().find(|request| !request["inventory"].is_null()).unwrap();
    assert_ne!(inventory["session"], session);

    world.view.apply("one", "h2", &spec(4));
    world.settle().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["replicas"], 4);
    assert_eq!(world.writes(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn expired_versions_are_listed_again_without_a_write() {
    let world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.settle().await;
    let before = world.writes();
    for _ in 0..3 {
        world.view.expire();
        world.settle().await;
    }
    assert_eq!(world.writes(), before);
    world.view.apply("one", "h2", &spec(4));
    world.settle().await;
    assert_eq!(world.set("one").await.unwrap()["spec"]["replicas"], 4);
}

#[tokio::test(start_paused = true)]
async fn what_a_complete_view_does_not_have_is_pruned() {
    let mut world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.view.apply("two", "h1", &spec(3));
    world.settle().await;
    world.create("theirs", &spec(1)).await;
    world.stop_agent().await;
    world.view.forget("two");
    world.view.restart(2);
    world.start_agent().await;
    world.settle().await;
    assert!(world.set("one").await.is_some());
    assert_eq!(world.set("two").await, None);
    assert!(world.set("theirs").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_view_that_does_not_add_up_removes_nothing() {
    let mut world = World::new().await;
    world.view.apply("one", "h1", &spec(3));
    world.view.apply("two", "h1", &spec(3));
    world.settle().await;
    world.stop_agent().await;
    world.view.forget("two");
    world.view.lie(true);
    world.view.restart(2);
    world.start_agent().await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(world.set("two").await.is_some());
    assert_eq!(world.view.word("two"), "|", "it is in the inventory");

    world.view.lie(false);
    world.settle().await;
    world.settle().await;
    assert_eq!(world.set("two").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_hub_restored_from_an_old_backup_removes_nothing() {
    let mut world = World::new().await;
    world.view.restart(5);
    world.view.apply("one", "h1", &spec(3));
    world.view.apply("two", "h1", &spec(3));
    world.settle().await;
    world.settle().await;
    let restored = |world: &World| {
        world.view.forget("two");
        world.view.restart(3);
    };
    restored(&world);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(world.set("two").await.is_some(), "known from memory");
    world.view.remove("one", "Delete");
    world.settle().await;
    assert!(world.set("one").await.is_some());

    world.stop_agent().await;
    world.start_agent().await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(world.set("two").await.is_some(), "known from the objects themselves");
    assert!(
        world.view.word("one").contains("behind what this member has obeyed"),
        "{}",
        world.view.word("one")
    );
}
