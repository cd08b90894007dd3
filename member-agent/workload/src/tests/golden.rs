//! What plans say, word by word.

use serde_json::json;

use super::simulator::World;
use crate::Action;

#[test]
fn a_new_pod_has_its_identity() {
    let mut world = World::new(1, "Parallel", &json!({"type": "InplaceUpdate"}));
    world.edit(|spec| {
        spec["template"]["spec"]["volumes"] =
            json!([{"name": "save", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]);
        spec["volumeClaimTemplates"] = json!([{
            "metadata": {"name": "save", "labels": {"kind": "save"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }]);
    });
    let plan = world.plan();
    insta::assert_json_snapshot!("stored_revision", body(&plan.steps[0].action));
    world.apply(&plan.steps[0]);
    let plan = world.plan();
    let Action::CreatePod { claims, body, .. } = &plan.steps[0].action else { panic!("{plan}") };
    insta::assert_json_snapshot!("new_pod", body);
    insta::assert_json_snapshot!("new_claims", claims);
}

#[test]
fn an_update_in_place_writes_gate_images_and_gate() {
    let mut world = World::new(
        1,
        "Parallel",
        &json!({
            "type": "InplaceUpdate", "inPlaceUpdateStrategy": {"gracePeriodSeconds": 5},
        }),
    );
    world.converge();
    world.set_image("game:2");
    let mut writes = Vec::new();
    for _ in 0..20 {
        let plan = world.plan();
        for step in &plan.steps {
            writes.push(json!({"step": step.to_string(), "body": body(&step.action)}));
            world.apply(step);
        }
        world.record(&plan);
        world.kubelets();
        world.pass(1);
    }
    insta::assert_json_snapshot!("update_in_place", writes);
}

#[test]
fn a_plan_reads_as_a_list_of_reasons() {
    let mut world = World::new(
        4,
        "Parallel",
        &json!({"type": "InplaceUpdate", "inPlaceUpdateStrategy": {"gracePeriodSeconds": 5}}),
    );
    world.converge();
    world.set_image("game:2");
    world.settle();
    world.delete("game-0");
    insta::assert_snapshot!("plan_in_words", world.plan());
    insta::assert_json_snapshot!("status_in_an_update", world.plan().status);
}

fn body(action: &Action) -> &serde_json::Value {
    match action {
        Action::CreateRevision { body, .. }
        | Action::PatchRevision { body, .. }
        | Action::CreatePod { body, .. }
        | Action::PatchPod { body, .. }
        | Action::PatchPodStatus { body, .. } => body,
        _ => &serde_json::Value::Null,
    }
}
