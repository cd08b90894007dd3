//! What a view shows, and to whom a change is an event.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::model::tests::world::{kind, name};
use crate::model::view::ViewKind;
use crate::model::{Event, Feed};

fn kind_of<'a>(world: &'a World, cluster: &str) -> &'a ViewKind {
    world.model.members()[&name(cluster)].view.kind(&kind()).unwrap()
}

/// Two clusters with one object each pod of which is up.
fn settled() -> World {
    let mut world = World::with(&["a", "b"]);
    let mut game = object("game", 4, &["a", "b"]);
    game["metadata"]["annotations"] =
        json!({"muster.dev/division": "Duplicate", "muster.dev/adopt": "IfNoDiff"});
    world.put(game);
    for cluster in ["a", "b"] {
        world.settle(cluster, "game");
    }
    world.pass(3);
    world
}

#[test]
fn an_object_says_what_its_agent_needs_and_nothing_of_the_hub_reaches_the_body() {
    let world = settled();
    let view = world.view("a", "game").unwrap();
    let annotations = &view["metadata"]["annotations"];
    assert_eq!(annotations["view.muster.dev/intent"], "Apply");
    assert_eq!(annotations["view.muster.dev/adopt"], "IfNoDiff");
    assert_eq!(annotations["view.muster.dev/source-uid"], "uid-game");
    assert_eq!(
        annotations["view.muster.dev/source"],
        "types.kubefed.io/FederatedGameStatefulSet/center/game"
    );
    assert_eq!(annotations["view.muster.dev/hash"].as_str().unwrap().len(), 32);
    assert_eq!(view["apiVersion"], "tkex.tencent.com/v1alpha1");
    assert_eq!(view["kind"], "GameStatefulSet");
    assert_eq!(view["metadata"]["namespace"], "center");
    assert_eq!(view["status"]["readyReplicas"], 4, "the status is the member's");
    let version: u64 = view["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert_eq!(version >> 40, 1, "the epoch");
    assert_eq!(view["metadata"]["generation"], json!(version));
}

#[test]
fn a_change_for_one_cluster_is_an_event_in_its_view_only() {
    let mut world = settled();
    let before = world.versions();
    world.edit("game", |object| object["spec"]["overrides"] = json!([set_image("b", "center:v7")]));
    assert_eq!(world.changed_since(&before), ["b"]);
    assert_eq!(
        world.view("b", "game").unwrap()["spec"]["template"]["spec"]["containers"][0]["image"],
        "center:v7"
    );
}

#[test]
fn a_report_is_no_event_and_is_seen_by_a_get() {
    let mut world = settled();
    let before = world.versions();
    world.report("a", "game", json!({"appliedHash": "x", "status": {"replicas": 4, "readyReplicas": 1}}));
    assert!(world.changed_since(&before).is_empty());
    assert_eq!(world.view("a", "game").unwrap()["status"]["readyReplicas"], 1);
}

#[test]
fn an_annotation_that_changes_no_body_changes_no_view() {
    let mut world = settled();
    let before = world.versions();
    world.edit("game", |object| object["metadata"]["annotations"]["team"] = json!("blue"));
    assert!(world.changed_since(&before).is_empty());
}

#[test]
fn the_same_body_keeps_its_generation_through_a_hold() {
    let mut world = settled();
    let first = world.view("a", "game").unwrap();
    world.edit("game", |object| object["metadata"]["annotations"]["muster.dev/suspend"] = json!("true"));
    let held = world.view("a", "game").unwrap();
    assert_eq!(held["metadata"]["annotations"]["view.muster.dev/intent"], "Hold");
    assert_eq!(held.get("spec"), None, "metadata only");
    assert!(
        held["metadata"]["annotations"]["view.muster.dev/reason"].as_str().unwrap().starts_with("Suspended")
    );
    world.edit("game", |object| {
        object["metadata"]["annotations"].as_object_mut().unwrap().remove("muster.dev/suspend");
    });
    let again = world.view("a", "game").unwrap();
    assert_eq!(again["metadata"]["generation"], first["metadata"]["generation"]);
    assert_ne!(again["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
}

#[test]
fn current_describes_the_list_it_belongs_to() {
    let mut world = settled();
    world.put(object("other", 1, &["a"]));
    let current = world.current("a");
    assert_eq!(current["synced"], true);
    assert_eq!(current["count"], 2);
    let listed = kind_of(&world, "a").collection().list(&muster_apiserver::ListQuery::latest(None)).unwrap();
    assert_eq!(current["resourceVersion"], listed.version.to_string());

    // The rule by which an agent computes the hash of what it has listed.
    let mut root = [0_u8; 16];
    for object in &listed.objects {
        let view: Value = serde_json::from_slice(&object.body.bytes()).unwrap();
        let annotations = &view["metadata"]["annotations"];
        let line = format!(
            "{}/{} {} {}",
            view["metadata"]["namespace"].as_str().unwrap(),
            view["metadata"]["name"].as_str().unwrap(),
            annotations["view.muster.dev/intent"].as_str().unwrap(),
            annotations["view.muster.dev/hash"].as_str().unwrap_or("-"),
        );
        for (byte, digest) in root.iter_mut().zip(Sha256::digest(line.as_bytes())) {
            *byte ^= digest;
        }
    }
    assert_eq!(current["rootHash"], super::super::view::hex(&root));
}

#[test]
fn clusters_with_the_same_body_share_it() {
    let world = settled();
    let desired = |cluster: &str| match &world.entry(cluster, "game").unwrap().intent {
        crate::model::Intent::Apply(desired) => std::sync::Arc::clone(desired),
        other => panic!("{other:?}"),
    };
    assert!(std::sync::Arc::ptr_eq(&desired("a"), &desired("b")));
}

#[test]
fn a_kind_that_is_not_read_yet_is_not_served_and_never_pruned() {
    let mut world = World::empty();
    world.register("a", json!({}));
    for event in [
        Event::Clusters(Feed::Reset(Vec::new())),
        Event::TypeConfigs(Feed::Reset(Vec::new())),
        Event::Preferences(Feed::Reset(Vec::new())),
        Event::Namespaces(Feed::Reset(Vec::new())),
        Event::Tombstones(Feed::Reset(Vec::new())),
    ] {
        world.apply(event);
    }
    world.register("a", json!({}));
    world.apply(Event::Unreadable(kind(), "404 page not found".to_owned()));
    let resource = muster_apiserver::GroupResource::new("tkex.tencent.com", "gamestatefulsets");
    assert!(matches!(world.model.served(&name("a"), &resource), crate::model::Served::NotSynced));
    assert_eq!(world.current("a")["synced"], false);
    assert_eq!(world.model.pending(), ["gamestatefulsets.tkex.tencent.com: 404 page not found"]);
}

#[test]
fn retained_replicas_are_left_to_the_member() {
    let mut world = World::with(&["a"]);
    let mut game = object("game", 4, &["a"]);
    game["spec"]["retainReplicas"] = json!(true);
    world.put(game);
    let view = world.view("a", "game").unwrap();
    assert_eq!(view["metadata"]["annotations"]["view.muster.dev/retain"], r#"["/spec/replicas"]"#);
    assert_eq!(view["spec"]["replicas"], 4, "for its creation");
}
