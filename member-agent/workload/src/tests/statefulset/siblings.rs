//! Two sets that select the same pods: the older one goes on, the newer one stands still.

use serde_json::{Value, json};

use super::POLICIES;
use crate::Code;
use crate::tests::simulator::World;

fn sibling(name: &str, created: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "GameStatefulSet",
        "metadata": {"name": name, "namespace": "fleet", "uid": name, "creationTimestamp": created},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "center", "image": "game:1"}]},
            },
        },
    })
}

fn world(policy: &str) -> World {
    let mut world = World::new(2, policy, &json!({"type": "RollingUpdate"}));
    world.set["metadata"]["creationTimestamp"] = json!("2026-01-02T00:00:00Z");
    world
}

#[test]
fn sts_c27_of_overlapping_sets_the_oldest_wins() {
    let app = json!({"app": "game"});
    let narrower = json!({"app": "game", "zone": "a"});
    let other = json!({"app": "other"});
    let cases = [
        (sibling("old", "2026-01-01T00:00:00Z", &app), true),
        (sibling("old", "2026-01-01T00:00:00Z", &narrower), true),
        (sibling("old", "2026-01-01T00:00:00Z", &other), false),
        (sibling("new", "2026-01-03T00:00:00Z", &app), false),
        // Of the same second: the name decides.
        (sibling("a", "2026-01-02T00:00:00Z", &app), true),
        (sibling("z", "2026-01-02T00:00:00Z", &app), false),
    ];
    for policy in POLICIES {
        for (sibling, held) in &cases {
            let mut world = world(policy);
            world.siblings.push(sibling.clone());
            let plan = world.converge();
            assert_eq!(world.ordinals().len(), if *held { 0 } else { 2 }, "{policy}, {sibling}");
            let name = sibling["metadata"]["name"].as_str().unwrap();
            let told = plan.waits.iter().any(|wait| {
                wait.reason.code == Code::InvalidSpec
                    && wait.reason.message.contains("spec.selector")
                    && wait.reason.message.contains(name)
            });
            assert_eq!(told, *held, "{plan}");
        }
    }
}

#[test]
fn sts_c27_what_runs_goes_on_while_the_selectors_overlap_and_moves_when_they_do_not() {
    for policy in POLICIES {
        let mut world = world(policy);
        world.converge();
        let uids = world.uids();
        world.siblings.push(sibling("old", "2026-01-01T00:00:00Z", &json!({"app": "game"})));
        world.edit(|spec| spec["replicas"] = json!(0));
        world.set_image("game:2");
        let mark = world.writes.len();
        let plan = world.converge();
        assert_eq!(world.writes_since(mark), [""; 0]);
        assert_eq!(world.uids(), uids);
        assert_eq!(plan.status.conditions.iter().filter(|one| one.type_ == "InvalidSpec").count(), 1);
        // The older one is on its way out.
        world.siblings[0]["metadata"]["deletionTimestamp"] = json!("2026-01-05T00:00:00Z");
        world.converge();
        assert_eq!(world.ordinals(), [0; 0]);
    }
}
