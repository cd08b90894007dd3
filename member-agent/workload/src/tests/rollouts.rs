//! Creating, scaling and updating by the rules of StatefulSet.

use std::collections::BTreeSet;

use serde_json::json;

use super::simulator::World;
use crate::{Code, Plan};

fn ordered(replicas: i64) -> World {
    World::new(replicas, "OrderedReady", &json!({"type": "RollingUpdate"}))
}

fn parallel(replicas: i64) -> World {
    World::new(replicas, "Parallel", &json!({"type": "RollingUpdate"}))
}

fn pod_writes(world: &World, verb: &str) -> Vec<String> {
    let verb = format!("{verb} pod ");
    let writes = world.writes.iter().filter_map(|write| write.strip_prefix(&verb));
    writes.map(|write| write.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn ordered_ready_creates_one_after_the_other() {
    let mut world = ordered(3);
    let plan = world.settle();
    assert_eq!(world.ordinals(), [0]);
    assert!(World::codes(&plan).contains(&Code::OrderedReady), "{plan}");
    world.converge();
    assert_eq!(pod_writes(&world, "create"), ["game-0", "game-1", "game-2"]);
}

#[test]
fn parallel_creates_all_at_once() {
    let mut world = parallel(10);
    world.settle();
    assert_eq!(world.ordinals().len(), 10);
    let plan = world.converge();
    assert_eq!(
        (plan.status.replicas, plan.status.ready_replicas, plan.status.updated_replicas),
        (10, 10, 10)
    );
    assert_eq!(plan.waits, []);
}

#[test]
fn a_settled_set_is_not_written() {
    let mut world = parallel(10);
    world.converge();
    let status = world.set["status"].clone();
    world.pass(3600);
    let plan = world.plan();
    assert_eq!(plan.steps, []);
    assert_eq!(serde_json::to_value(plan.status).unwrap(), status);
}

#[test]
fn ordered_ready_scales_down_from_the_top_one_at_a_time() {
    let mut world = ordered(4);
    world.converge();
    world.edit(|spec| spec["replicas"] = json!(1));
    let plan = world.settle();
    assert_eq!(pod_writes(&world, "delete"), ["game-3"]);
    assert_eq!((plan.status.replicas, plan.status.draining_replicas), (1, 3));
    world.converge();
    assert_eq!(pod_writes(&world, "delete"), ["game-3", "game-2", "game-1"]);
    assert_eq!(world.ordinals(), [0]);
}

#[test]
fn ordered_ready_takes_away_a_broken_pod_although_an_earlier_one_waits_for_its_update() {
    let mut world = ordered(3);
    world.converge();
    world.set_image("game:broken");
    world.converge();
    world.delete("game-0");
    world.converge();
    // Both the last and the first are broken, and the next revision is good.
    world.set_image("game:2");
    world.edit(|spec| spec["replicas"] = json!(2));
    world.converge();
    assert_eq!(world.ordinals(), [0, 1]);
    assert_eq!(world.images(), ["game:2"; 2]);
}

#[test]
fn ordered_ready_takes_away_pods_that_ended_although_earlier_ones_are_down() {
    let mut world = ordered(3);
    world.converge();
    world.edit(|spec| spec["replicas"] = json!(0));
    world.fail("game-2");
    world.fail("game-0");
    world.converge();
    assert_eq!(world.ordinals(), [0; 0]);
}

#[test]
fn parallel_scales_down_at_once_and_up_again() {
    let mut world = parallel(6);
    world.converge();
    world.edit(|spec| spec["replicas"] = json!(2));
    world.settle();
    assert_eq!(pod_writes(&world, "delete"), ["game-5", "game-4", "game-3", "game-2"]);
    world.edit(|spec| spec["replicas"] = json!(4));
    let plan = world.converge();
    assert_eq!(world.ordinals(), [0, 1, 2, 3]);
    assert_eq!(plan.status.ready_replicas, 4);
}

#[test]
fn a_failed_pod_is_deleted_and_created_anew_later() {
    let mut world = parallel(3);
    world.converge();
    world.fail("game-1");
    let plan = world.settle();
    assert_eq!(pod_writes(&world, "delete"), ["game-1"]);
    assert!(World::codes(&plan).contains(&Code::PodTerminating));
    let plan = world.converge();
    assert_eq!(plan.status.ready_replicas, 3);
    assert_eq!(pod_writes(&world, "delete"), ["game-1"]);
}

#[test]
fn reserved_ordinals_get_no_pod_and_lose_the_one_they_have() {
    let mut world = parallel(3);
    world.converge();
    world.edit(|spec| spec["reserveOrders"] = json!([1]));
    world.converge();
    assert_eq!(world.ordinals(), [0, 2, 3]);
}

#[test]
fn rolling_update_goes_down_within_the_budget() {
    let mut world = parallel(8);
    world.converge();
    world.set_image("game:2");
    world.settle();
    // 25 % of 8.
    assert_eq!(pod_writes(&world, "delete"), ["game-7", "game-6"]);
    let plan = world.converge();
    assert_eq!(world.images(), ["game:2"; 8]);
    assert_eq!(plan.status.current_revision, plan.status.update_revision);
    assert_eq!(pod_writes(&world, "delete").len(), 8);
}

#[test]
fn ordered_rolling_update_takes_one_at_a_time_from_the_top() {
    let mut world = ordered(3);
    world.converge();
    world.set_image("game:2");
    world.converge();
    assert_eq!(pod_writes(&world, "delete"), ["game-2", "game-1", "game-0"]);
    assert_eq!(world.images(), ["game:2"; 3]);
}

#[test]
fn a_broken_update_stops_at_the_budget_and_is_replaced_by_the_next() {
    for mut world in [ordered(4), parallel(4)] {
        world.converge();
        world.set_image("game:broken");
        let plan = world.converge();
        assert!(World::codes(&plan).contains(&Code::PodNotReady), "{plan}");
        assert_eq!(world.images(), ["game:1", "game:1", "game:1", "game:broken"]);
        world.set_image("game:3");
        world.converge();
        assert_eq!(world.images(), ["game:3"; 4]);
    }
}

#[test]
fn a_pod_that_is_down_already_costs_no_budget() {
    let mut world = parallel(4);
    world.set_image("game:broken");
    world.converge();
    world.set_image("game:2");
    world.settle();
    // None of the four serves, so all are replaced at once although the budget is 1.
    assert_eq!(pod_writes(&world, "delete").len(), 4);
    let mut world = ordered(4);
    world.converge();
    world.crash("game-0");
    world.pods.get_mut("game-0").unwrap()["spec"]["containers"][0]["image"] = json!("game:broken");
    world.set_image("game:2");
    world.settle();
    assert_eq!(pod_writes(&world, "delete"), ["game-0"]);
}

#[test]
fn a_pod_that_got_ready_meanwhile_is_not_replaced_at_no_budget() {
    let mut world = parallel(4);
    world.settle();
    world.set_image("game:2");
    let revision = world.plan();
    world.apply(&revision.steps[0]);
    let plan = world.plan();
    assert_eq!(plan.steps.len(), 4, "{plan}");
    world.kubelets();
    for step in &plan.steps {
        assert!(!world.apply(step), "{step}");
    }
}

#[test]
fn an_ordered_set_replaces_a_broken_low_pod_with_the_new_revision() {
    let mut world = ordered(4);
    world.converge();
    world.fail("game-0");
    world.set_image("game:2");
    world.converge();
    assert_eq!(world.images(), ["game:2"; 4]);
    let creations = pod_writes(&world, "create").into_iter().filter(|pod| pod == "game-0").count();
    assert_eq!(creations, 2);
}

#[test]
fn partition_keeps_the_lower_ordinals_also_when_they_are_created_anew() {
    for mut world in [ordered(5), parallel(5)] {
        world.edit(|spec| spec["updateStrategy"]["rollingUpdate"] = json!({"partition": 2}));
        world.converge();
        world.set_image("game:2");
        world.converge();
        assert_eq!(world.images(), ["game:1", "game:1", "game:2", "game:2", "game:2"]);
        world.delete("game-0");
        world.delete("game-4");
        let plan = world.converge();
        assert_eq!(world.images(), ["game:1", "game:1", "game:2", "game:2", "game:2"]);
        assert_ne!(plan.status.current_revision, plan.status.update_revision);
        assert_eq!((plan.status.current_replicas, plan.status.updated_replicas), (2, 3));
        assert_eq!(
            progressing(&plan),
            "False Partition set: Partition: 2 outdated pods stay below partition 2"
        );
        // Lowered to zero it completes.
        world.edit(|spec| spec["updateStrategy"]["rollingUpdate"] = json!({"partition": 0}));
        let plan = world.converge();
        assert_eq!(world.images(), ["game:2"; 5]);
        assert_eq!(plan.status.current_revision, plan.status.update_revision);
        assert_eq!(progressing(&plan), "False UpToDate ");
    }
}

/// Status, reason and message of the condition.
fn progressing(plan: &Plan) -> String {
    let condition = plan.status.conditions.iter().find(|condition| condition.type_ == "Progressing").unwrap();
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    format!("{} {} {}", condition.status, text(&condition.reason), text(&condition.message))
}

#[test]
fn a_raised_partition_moves_pods_back() {
    let mut world = parallel(4);
    world.edit(|spec| spec["updateStrategy"]["rollingUpdate"] = json!({"partition": "50%"}));
    world.converge();
    world.set_image("game:2");
    world.converge();
    assert_eq!(world.images(), ["game:1", "game:1", "game:2", "game:2"]);
    world.edit(|spec| spec["updateStrategy"]["rollingUpdate"] = json!({"partition": 3}));
    world.converge();
    assert_eq!(world.images(), ["game:1", "game:1", "game:1", "game:2"]);
}

#[test]
fn on_delete_waits_for_somebody_to_delete() {
    let mut world = World::new(3, "Parallel", &json!({"type": "OnDelete"}));
    world.converge();
    world.set_image("game:2");
    let plan = world.converge();
    assert_eq!(World::codes(&plan), BTreeSet::from([Code::OnDelete]));
    assert_eq!(world.images(), ["game:1"; 3]);
    world.delete("game-1");
    world.converge();
    assert_eq!(world.images(), ["game:1", "game:2", "game:1"]);
}

#[test]
fn a_rollback_reuses_the_revision() {
    let mut world = parallel(2);
    world.converge();
    let first = world.plan().status.update_revision;
    world.set_image("game:2");
    world.converge();
    world.set_image("game:1");
    let plan = world.converge();
    assert_eq!(plan.status.update_revision, first);
    assert_eq!(world.revisions.len(), 2);
    assert_eq!(world.revisions[first.as_deref().unwrap()]["revision"], 3);
}

#[test]
fn history_is_kept_to_its_limit() {
    let mut world = parallel(1);
    world.edit(|spec| spec["revisionHistoryLimit"] = json!(2));
    for image in 1..=6 {
        world.set_image(&format!("game:{image}"));
        world.converge();
    }
    // The one in use, and two more.
    assert_eq!(world.revisions.len(), 3);
    let numbers: BTreeSet<i64> =
        world.revisions.values().map(|revision| revision["revision"].as_i64().unwrap()).collect();
    assert_eq!(numbers, BTreeSet::from([4, 5, 6]));
}

#[test]
fn a_taken_revision_name_is_avoided_and_counted() {
    let mut world = parallel(1);
    let plan = world.plan();
    let crate::Action::CreateRevision { name, body } = &plan.steps[0].action else { panic!("{plan}") };
    let mut taken = body.clone();
    taken["metadata"]["uid"] = json!("other");
    taken["metadata"]["ownerReferences"][0]["uid"] = json!("another set");
    world.revisions.insert(name.to_string(), taken);
    let plan = world.converge();
    assert_eq!(plan.status.collision_count, Some(1));
    assert_ne!(plan.status.update_revision.as_deref(), Some(name.as_str()));
    assert_eq!(plan.status.ready_replicas, 1);
}

#[test]
fn orphans_that_fit_are_adopted_and_strangers_left_alone() {
    let mut world = parallel(2);
    world.converge();
    let mut orphan = world.pods["game-1"].clone();
    orphan["metadata"]["ownerReferences"] = json!([]);
    world.pods.insert("game-1".into(), orphan);
    world.settle();
    assert_eq!(world.pods["game-1"]["metadata"]["ownerReferences"][0]["uid"], "set-uid");

    let mut stranger = world.pods["game-0"].clone();
    stranger["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Robot", "name": "r2", "uid": "other", "controller": true}]);
    world.pods.insert("game-0".into(), stranger);
    let plan = world.converge();
    assert_eq!(World::codes(&plan), BTreeSet::from([Code::NameTaken]));
}

#[test]
fn a_pod_relabelled_away_is_released() {
    let mut world = parallel(2);
    world.converge();
    world.pods.get_mut("game-1").unwrap()["metadata"]["labels"]["app"] = json!("debug");
    world.settle();
    assert_eq!(world.pods["game-1"]["metadata"]["ownerReferences"], json!([]));
}

#[test]
fn a_changed_selector_holds_the_set_and_frees_no_pod() {
    let mut world = parallel(2);
    world.converge();
    world.edit(|spec| {
        spec["selector"] = json!({"matchLabels": {"app": "other"}});
        spec["template"]["metadata"]["labels"] = json!({"app": "other"});
    });
    let mark = world.writes.len();
    let plan = world.converge();
    assert_eq!(world.writes_since(mark), [""; 0]);
    assert_eq!(World::codes(&plan), BTreeSet::from([Code::InvalidSpec]));
}

#[test]
fn bad_input_holds_what_it_touches_and_the_rest_goes_on() {
    let mut world = parallel(3);
    world.converge();
    world.edit(|spec| spec["replicas"] = json!(-1));
    world.fail("game-2");
    let plan = world.converge();
    assert_eq!(world.ordinals(), [0, 1, 2]);
    assert_eq!(plan.status.ready_replicas, 3);
    let condition = plan.status.conditions.iter().find(|condition| condition.type_ == "InvalidSpec").unwrap();
    assert_eq!(condition.message.as_deref(), Some("spec.replicas: -1 is negative"));
    world.edit(|spec| spec["replicas"] = json!(2));
    let plan = world.converge();
    assert_eq!(world.ordinals(), [0, 1]);
    assert!(plan.status.conditions.iter().all(|condition| condition.type_ != "InvalidSpec"));
}

#[test]
fn a_pause_holds_updates_only() {
    let mut world = parallel(3);
    world.converge();
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(true));
    world.set_image("game:2");
    world.edit(|spec| spec["replicas"] = json!(4));
    let plan = world.converge();
    assert_eq!(World::codes(&plan), BTreeSet::from([Code::Paused]));
    assert_eq!(world.images(), ["game:1", "game:1", "game:1", "game:2"]);
    world.delete("game-0");
    world.converge();
    assert_eq!(world.images(), ["game:1", "game:1", "game:1", "game:2"]);
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(false));
    world.converge();
    assert_eq!(world.images(), ["game:2"; 4]);
}

#[test]
fn hooks_are_named_as_not_enforced() {
    let mut world = parallel(1);
    world.edit(|spec| spec["preDeleteUpdateStrategy"] = json!({"hook": {"templateName": "drain"}}));
    let plan = world.converge();
    let condition = plan.status.conditions.iter().find(|condition| condition.type_ == "HooksNotEnforced");
    assert!(
        condition.unwrap().message.as_deref().unwrap().contains("spec.preDeleteUpdateStrategy.hook (drain)")
    );
    assert_eq!(plan.status.ready_replicas, 1);
}

#[test]
fn a_set_that_is_being_deleted_is_left_alone() {
    let mut world = parallel(2);
    world.converge();
    world.set["metadata"]["deletionTimestamp"] = json!(world.now);
    world.delete("game-0");
    world.kubelets();
    let plan = world.plan();
    assert_eq!(plan.steps, []);
    assert_eq!(plan.status.replicas, 1);
}

#[test]
fn counters_never_drop_when_the_template_changes() {
    let mut world = parallel(5);
    world.converge();
    world.set_image("game:2");
    let plan = world.plan();
    assert_eq!((plan.status.replicas, plan.status.ready_replicas, plan.status.current_replicas), (5, 5, 5));
    assert!(plan.status.update_revision.is_some());
}

#[test]
fn claims_are_created_before_pods_and_again_for_pending_ones() {
    let mut world = parallel(2);
    world.edit(|spec| {
        spec["volumeClaimTemplates"] = json!([{"metadata": {"name": "save"}, "spec": {"accessModes": []}}]);
    });
    world.settle();
    assert_eq!(world.claims.keys().collect::<Vec<_>>(), ["save-game-0", "save-game-1"]);
    world.claims.remove("save-game-1");
    world.settle();
    assert!(world.claims.contains_key("save-game-1"));
    world.converge();
    world.edit(|spec| spec["replicas"] = json!(0));
    world.converge();
    assert_eq!(world.claims.len(), 2);
}
