//! Why a set does not move, as its status says it.

use jiff::SignedDuration;
use muster_crds::names::ObjectName;
use serde_json::{Value, json};

use super::simulator::World;
use crate::{Refusal, plan};

fn blocked(status: &Value) -> Vec<String> {
    let entries = status["blockedBy"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries.iter().map(|entry| format!("{} {}", text(&entry["pod"]), text(&entry["code"]))).collect()
}

#[test]
fn a_set_at_rest_lists_nothing() {
    let mut world = World::new(3, "Parallel", &json!({"type": "RollingUpdate"}));
    world.converge();
    assert_eq!(world.set["status"].get("blockedBy"), None);
    assert_eq!(world.set["status"].get("blockedByOmitted"), None);
}

#[test]
fn a_set_that_is_held_says_so_and_has_nothing_to_write_however_long_it_waits() {
    let mut world = World::new(3, "Parallel", &json!({"type": "RollingUpdate", "paused": true}));
    world.converge();
    world.set_image("game:2");
    world.converge();
    let status = world.set["status"].clone();
    assert_eq!(blocked(&status), [" Paused"]);
    world.pass(86_400);
    let plan = world.settle();
    assert_eq!(serde_json::to_value(&plan.status).unwrap(), status);
}

#[test]
fn a_pod_that_does_not_become_ready_is_named_since_it_first_was_not() {
    let mut world = World::new(3, "Parallel", &json!({"type": "RollingUpdate"}));
    world.converge();
    world.set_image("game:broken");
    world.converge();
    let first = world.set["status"].clone();
    assert!(blocked(&first).contains(&"game-2 PodNotReady".to_owned()), "{first}");
    world.pass(3600);
    world.converge();
    assert_eq!(world.set["status"]["blockedBy"], first["blockedBy"]);
}

#[test]
fn a_refused_write_names_its_pod_and_its_cause_until_it_is_not_wanted_any_more() {
    let mut world = World::new(2, "Parallel", &json!({"type": "RollingUpdate"}));
    world.converge();
    world.edit(|spec| spec["replicas"] = json!(4));
    let refusal = |write: &str, claim: Option<&str>, message: &str| Refusal {
        write: write.to_owned(),
        pod: write.strip_prefix("create pod ").map(|pod| ObjectName::new(pod).unwrap()),
        claim: claim.map(str::to_owned),
        message: message.to_owned(),
    };
    let refusals = vec![
        refusal("create pod game-2", None, "pods \"game-2\" is forbidden: exceeded quota: small"),
        refusal("create pod game-3", Some("data-game-3"), "storage class \"fast\" is forbidden"),
        refusal("create pod game-9", None, "not wanted any more"),
    ];
    let mut snapshot = world.snapshot();
    snapshot.refusals = refusals;
    let status = serde_json::to_value(plan(&snapshot, world.now).unwrap().status).unwrap();
    assert_eq!(blocked(&status), ["game-2 Quota", "game-3 ClaimNotReady"]);
    let message = status["blockedBy"][1]["message"].as_str().unwrap();
    assert!(message.contains("claim data-game-3") && message.contains("fast"), "{message}");

    world.edit(|spec| spec["replicas"] = json!(2));
    let refusals = snapshot.refusals;
    snapshot = world.snapshot();
    snapshot.refusals = refusals;
    let later = plan(&snapshot, world.now + SignedDuration::from_secs(60)).unwrap();
    assert!(later.status.blocked_by.is_empty(), "{later}");
}
