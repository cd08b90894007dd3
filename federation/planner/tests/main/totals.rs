//! Which number of replicas counts, and when.

use jiff::SignedDuration;
use muster_crds::FederatedGameStatefulSet;
use muster_planner::{Settings, Target, condition, input, plan, render};
use serde_json::json;

use crate::world::{START, World, condition, intents, recorded, replicas, show, weights};

const TALK: [(&str, i64); 2] = [("shanghai", 3), ("nanjing", 2)];

#[test]
fn a_preference_divides_the_replicas_of_the_template() {
    let mut world = World::new(&["nanjing", "shanghai"]).prefer(&weights(&TALK));
    let first = world.step();
    insta::assert_snapshot!("first_plan", show(&first));
    world.replicas(250);
    let grown = world.step();
    insta::assert_snapshot!("scaled_to_250", show(&grown));
    world.replicas(100);
    assert_eq!(replicas(&world.step()), [("nanjing", 40), ("shanghai", 60)]);
}

#[test]
fn a_changed_weight_moves_nothing() {
    let mut world = World::new(&["nanjing", "shanghai"]).prefer(&weights(&TALK));
    world.step();
    world = world.prefer(&weights(&[("shanghai", 1), ("nanjing", 1)]));
    assert_eq!(replicas(&world.step()), [("nanjing", 80), ("shanghai", 120)]);
    world.replicas(230);
    assert_eq!(replicas(&world.step()), [("nanjing", 110), ("shanghai", 120)]);
}

#[test]
fn the_total_of_the_preference_wins_and_says_so() {
    let mut spec = weights(&TALK);
    spec["totalReplicas"] = json!(50);
    let plan = World::new(&["nanjing", "shanghai"]).prefer(&spec).plan();
    assert_eq!(replicas(&plan), [("nanjing", 20), ("shanghai", 30)]);
    assert_eq!(
        condition(&plan, condition::PLANNED),
        (
            true,
            "TotalFromPreference",
            "50 replicas over 2 clusters: totalReplicas of the preference counts, not the template's 200"
        )
    );
}

#[test]
fn without_a_preference_every_cluster_gets_all_replicas_after_a_delay() {
    let mut world = World::new(&["nanjing", "shanghai"]);
    world.now = START + SignedDuration::from_millis(1999);
    let waiting = world.step();
    insta::assert_snapshot!("plan_delay", show(&waiting));
    world.now = START + SignedDuration::from_secs(2);
    let plan = world.step();
    assert_eq!(plan.wait, None);
    assert_eq!(replicas(&plan), [("nanjing", 200), ("shanghai", 200)]);
    assert_eq!(condition(&plan, condition::PLANNED).1, "Duplicated");
    assert_eq!(plan.total, 400);
}

#[test]
fn a_preference_that_arrives_in_time_ends_the_delay() {
    let mut world = World::new(&["nanjing", "shanghai"]);
    world.now = START;
    assert!(world.step().wait.is_some());
    let plan = world.prefer(&weights(&TALK)).step();
    assert_eq!((plan.wait.is_none(), replicas(&plan)), (true, vec![("nanjing", 80), ("shanghai", 120)]));
}

#[test]
fn one_cluster_duplicates_and_earlier_plans_do_not_wait() {
    let now = |mut world: World| {
        world.now = START;
        world.plan()
    };
    assert_eq!(replicas(&now(World::new(&["nanjing"]))), [("nanjing", 200)]);
    let mut asked = World::new(&["nanjing", "shanghai"]).prefer(&weights(&TALK));
    asked.annotate("muster.dev/division", "Duplicate");
    assert_eq!(
        replicas(&now(asked)),
        [("nanjing", 200), ("shanghai", 200)],
        "the preference is not looked at"
    );
    let planned = World::new(&["nanjing", "shanghai"]).seats(&[("nanjing", 100)]);
    assert_eq!(replicas(&now(planned)), [("nanjing", 200), ("shanghai", 200)]);
}

#[test]
fn seats_stay_when_the_preference_goes_until_replicas_or_placement_change() {
    let mut world = World::new(&["nanjing", "shanghai"]).prefer(&weights(&TALK));
    world.step();
    world.preference = None;
    for _ in 0..2 {
        let plan = world.step();
        assert_eq!(intents(&plan), [("nanjing", "Apply"), ("shanghai", "Apply")]);
        assert_eq!(recorded(&plan), [("nanjing", 80), ("shanghai", 120)]);
        let (status, reason, _) = condition(&plan, condition::PLANNED);
        assert_eq!((status, reason), (false, "PreferenceRemoved"));
    }
    world.spec()["template"]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("lobby:v2");
    assert_eq!(recorded(&world.step()), [("nanjing", 80), ("shanghai", 120)], "an image is neither");
    let mut scaled = world.clone();
    scaled.replicas(201);
    assert_eq!(recorded(&scaled.step()), [("nanjing", 201), ("shanghai", 201)]);
    world.spec()["placement"] = json!({"clusters": [{"name": "shanghai"}]});
    assert_eq!(recorded(&world.step()), [("shanghai", 200)]);
}

#[test]
fn a_preference_that_comes_back_divides_from_the_seats_there_are() {
    let mut world = World::new(&["nanjing", "shanghai"]).prefer(&weights(&TALK));
    world.step();
    let preference = world.preference.take();
    world.step();
    world.preference = preference;
    assert_eq!(recorded(&world.step()), [("nanjing", 80), ("shanghai", 120)]);
}

#[test]
fn a_preference_after_duplication_takes_the_surplus_back() {
    let mut world = World::new(&["nanjing", "shanghai"]);
    world.step();
    let plan = world.prefer(&weights(&TALK)).step();
    assert_eq!(recorded(&plan), [("nanjing", 80), ("shanghai", 120)]);
}

#[test]
fn a_cluster_that_joins_after_the_preference_went_changes_nothing() {
    let mut world = World::new(&["nanjing", "shanghai"]).prefer(&weights(&TALK));
    world.spec()["placement"] = json!({"clusterSelector": {}});
    world.step();
    world.preference = None;
    let newcomer = World::new(&["wuhan"]);
    world.fleet.clusters.extend(newcomer.fleet.clusters);
    world.observed.inventory.extend(newcomer.observed.inventory);
    assert_eq!(recorded(&world.step()), [("nanjing", 80), ("shanghai", 120), ("wuhan", 0)]);
}

#[test]
fn kinds_without_replicas_go_to_every_placed_cluster() {
    let mut world = World::new(&["nanjing", "shanghai"]).prefer(&weights(&TALK));
    world.now = START;
    let target = Target {
        api_version: "tkex.tencent.com/v1alpha1".into(),
        kind: "HookTemplate".into(),
        default_replicas: None,
    };
    let typed: FederatedGameStatefulSet = serde_json::from_value(world.manifest.clone()).unwrap();
    let object = input::object("FederatedHookTemplate", target, &typed.metadata, &typed.spec).unwrap();
    let plan = plan(&world.fleet, &object, None, &world.observed, &Settings::default(), world.now);
    assert_eq!(intents(&plan), [("nanjing", "Apply"), ("shanghai", "Apply")]);
    assert_eq!(recorded(&plan), [("nanjing", 0), ("shanghai", 0)], "who has it is recorded all the same");
    let body = render(&object, &plan.clusters["nanjing"]).unwrap();
    assert_eq!((&body["kind"], &body["spec"]["replicas"]), (&json!("HookTemplate"), &json!(200)));
}

#[test]
fn kubefeds_planner_is_used_where_it_is_asked_for() {
    let mut world = World::new(&["a", "b", "c"]).prefer(&weights(&[("*", 1)])).seats(&[("a", 15), ("b", 15)]);
    world.preference.as_mut().unwrap().algorithm = muster_planner::Algorithm::Kubefed;
    world.preference.as_mut().unwrap().rebalance = true;
    world.replicas(9);
    assert_eq!(replicas(&world.plan()), [("a", 3), ("b", 3), ("c", 3)]);
    world.capacity("a", 1, 0, 0);
    let plan = world.plan();
    insta::assert_snapshot!("kubefed", show(&plan));
}
