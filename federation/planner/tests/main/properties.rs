//! What must hold for any input.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_crds::{FederatedGameStatefulSet, ReplicaSchedulingPreference};
use muster_planner::{
    Capacity, Contact, Fleet, Intent, Inventory, Member, Observed, Plan, Settings, condition, input, plan,
    render,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::world::{World, manifest, name, placed, preference};

/// Most reasons any cluster is given.
const MOST_REASONS: usize = 8;
/// Names of clusters in the generated fleets.
const NAMES: [&str; 6] = ["beijing", "hangzhou", "nanjing", "shanghai", "wuhan", "xian"];

#[derive(Clone, Debug)]
struct Cluster {
    weight: i64,
    min: i64,
    span: Option<i64>,
    seats: Option<u32>,
    capacity: Option<u32>,
    contact: Contact,
}

prop_compose! {
    fn any_cluster()(
        weight in 0..8_i64,
        min in prop_oneof![Just(0_i64), 0..20_i64],
        span in proptest::option::of(0..50_i64),
        seats in proptest::option::weighted(0.8, 0..60_u32),
        capacity in proptest::option::weighted(0.3, 0..60_u32),
        contact in prop_oneof![6 => Just(Contact::Ready), 1 => Just(Contact::Unknown), 2 => Just(Contact::Lost)],
    ) -> Cluster {
        Cluster { weight, min, span, seats, capacity, contact }
    }
}

fn clusters() -> impl Strategy<Value = Vec<Cluster>> {
    proptest::collection::vec(any_cluster(), 1..=NAMES.len())
}

fn world(clusters: &[Cluster], total: u32) -> World {
    let names = &NAMES[..clusters.len()];
    let entries: Map<String, Value> = names
        .iter()
        .zip(clusters)
        .map(|(name, cluster)| {
            let mut entry = json!({"weight": cluster.weight, "minReplicas": cluster.min});
            if let Some(span) = cluster.span {
                entry["maxReplicas"] = json!(cluster.min + span);
            }
            ((*name).to_owned(), entry)
        })
        .collect();
    let mut world = World::new(names).prefer(&json!({"clusters": entries})).seats(&[]);
    world.replicas(i64::from(total));
    let seats = world.observed.seats.get_or_insert_default();
    for (cluster, text) in clusters.iter().zip(names) {
        seats.extend(cluster.seats.map(|seats| (name(text), seats)));
    }
    for (cluster, text) in clusters.iter().zip(names) {
        world.member(text).contact = cluster.contact;
        if let Some(capacity) = cluster.capacity {
            world.capacity(text, capacity, 0, 0);
        }
    }
    world
}

fn assert_explained(plan: &Plan) {
    for (name, cluster) in &plan.clusters {
        assert!(!cluster.reasons.is_empty() && cluster.reasons.len() <= MOST_REASONS, "{name}: {cluster:?}");
    }
    assert!(plan.condition(condition::PLANNED).is_some());
}

/// Any JSON, with the words that matter here among its keys and strings.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        proptest::sample::select(
            &[
                "shanghai",
                "nanjing",
                "*",
                "",
                "/spec/replicas",
                "/spec",
                "/metadata/name",
                "",
                "add",
                "remove",
                "replace",
                "true",
                "FederatedGameStatefulSet",
                "In",
                "{}",
                "Ж",
                "~",
                "/a~1b",
            ][..]
        )
        .prop_map(str::to_owned),
        "[ -~]{0,8}",
    ];
    let key = proptest::sample::select(
        &[
            "name",
            "namespace",
            "annotations",
            "template",
            "placement",
            "clusters",
            "clusterSelector",
            "matchLabels",
            "matchExpressions",
            "key",
            "operator",
            "values",
            "overrides",
            "clusterName",
            "clusterOverrides",
            "op",
            "path",
            "value",
            "retainReplicas",
            "replicas",
            "spec",
            "metadata",
            "weight",
            "minReplicas",
            "maxReplicas",
            "totalReplicas",
            "targetKind",
            "rebalance",
            "*",
            "shanghai",
            "muster.dev/division",
            "kubefed.io/deleteoption",
        ][..],
    );
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![any::<i64>(), -3..300_i64].prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..5).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

/// A manifest in which some parts were replaced by anything.
fn damaged(seed: &Value, part: usize, with: &Value) -> Value {
    let paths = [
        "/spec",
        "/spec/template",
        "/spec/template/spec",
        "/spec/template/spec/replicas",
        "/spec/placement",
        "/spec/placement/clusters",
        "/spec/overrides",
        "/spec/overrides/0/clusterOverrides",
        "/spec/overrides/0/clusterOverrides/0",
        "/metadata/annotations",
        "/spec/template/metadata",
    ];
    let mut damaged = seed.clone();
    if let Some(place) = damaged.pointer_mut(paths[part % paths.len()]) {
        *place = with.clone();
    }
    damaged
}

fn seed_manifest() -> Value {
    let mut spec = placed(&["nanjing", "shanghai"]);
    spec["overrides"] = json!([{"clusterName": "shanghai", "clusterOverrides": [
        {"path": "/spec/template/spec/containers/0/image", "value": "lobby:v2"}]}]);
    let mut seed = manifest(&spec);
    seed["metadata"]["annotations"] = json!({});
    seed
}

proptest! {
    #![proptest_config(crate::seeds::cases(300))]

    #[test]
    fn sums_limits_and_reasons_hold(clusters in clusters(), total in 0..250_u32) {
        let plan = world(&clusters, total).plan();
        assert_explained(&plan);
        let frozen: u64 = clusters.iter().filter(|cluster| cluster.contact == Contact::Lost)
            .map(|cluster| u64::from(cluster.seats.unwrap_or(0))).sum();
        let placed = plan.placed_replicas();
        prop_assert!(placed <= u64::from(total).max(frozen));
        prop_assert!(placed + plan.shortage >= u64::from(total));
        for (text, cluster) in NAMES.iter().zip(&clusters) {
            let given = &plan.clusters[*text];
            if cluster.contact == Contact::Lost {
                prop_assert_eq!(given.replicas, cluster.seats.unwrap_or(0));
                continue;
            }
            if let Some(span) = cluster.span {
                prop_assert!(i64::from(given.replicas) <= cluster.min + span);
            }
            if let Some(capacity) = cluster.capacity {
                prop_assert!(given.replicas <= capacity.max(cluster.seats.unwrap_or(0)));
            }
        }
    }

    #[test]
    fn nothing_moves_without_need(clusters in clusters(), total in 0..250_u32) {
        let mut world = world(&clusters, total);
        let first = world.step();
        let again = world.step();
        prop_assert_eq!(&first.seats, &again.seats, "planning what was planned changes nothing");
        let more = {
            world.replicas(i64::from(total) + 37);
            world.step()
        };
        for (name, seats) in &again.seats {
            prop_assert!(more.seats[name] >= *seats, "growth shrinks no cluster");
        }
    }

    #[test]
    fn the_same_input_gives_the_same_plan(clusters in clusters(), total in 0..250_u32) {
        let world = world(&clusters, total);
        prop_assert_eq!(world.plan(), world.clone().plan());
    }

    #[test]
    fn the_order_of_names_and_entries_does_not_matter(clusters in clusters(), total in 0..250_u32) {
        let mut world = world(&clusters, total);
        let before = world.plan();
        let list = world.spec()["placement"]["clusters"].as_array_mut().unwrap();
        list.reverse();
        prop_assert_eq!(before.seats, world.plan().seats);
    }

    #[test]
    fn the_way_to_a_total_does_not_matter(
        clusters in clusters(),
        path in proptest::collection::vec(0..250_u32, 1..6),
    ) {
        let ready: Vec<Cluster> = clusters.iter()
            .map(|cluster| Cluster { seats: Some(0), contact: Contact::Ready, ..cluster.clone() }).collect();
        let mut walked = world(&ready, 0);
        for total in &path {
            walked.replicas(i64::from(*total));
            walked.step();
        }
        let direct = world(&ready, path[path.len() - 1]).step();
        prop_assert_eq!(walked.observed.seats, Some(direct.seats));
    }

    #[test]
    fn no_object_makes_it_panic(part in 0..11_usize, with in any_json(), rest in any_json(), seats in any::<Option<u32>>()) {
        let source = damaged(&damaged(&seed_manifest(), part, &with), part / 2, &rest);
        let Ok(typed) = serde_json::from_value::<FederatedGameStatefulSet>(source) else { return Ok(()) };
        let Ok(object) = input::federated(&typed) else { return Ok(()) };
        let world = World::new(&["nanjing", "shanghai"]);
        let observed = Observed {
            seats: seats.map(|seats| [(name("shanghai"), seats)].into()),
            inventory: [(name("nanjing"), Inventory::Holds { replicas: u32::MAX })].into(),
            ..Observed::default()
        };
        for preference in [None, Some(preference(&json!({"clusters": {"*": {"weight": 1}}})))] {
            let plan = plan(&world.fleet, &object, preference.as_ref(), &observed, &Settings::default(), Timestamp::MAX);
            assert_explained(&plan);
            for cluster in plan.clusters.values().filter(|cluster| matches!(cluster.intent, Intent::Apply(_))) {
                let body = render(&object, cluster).unwrap();
                prop_assert_eq!(&body["metadata"]["name"], &json!("lobby"));
                prop_assert_eq!(&body["spec"]["replicas"], &json!(cluster.replicas));
            }
        }
    }

    #[test]
    fn no_preference_makes_it_panic(spec in any_json(), seats in any::<u32>(), kubefed in any::<bool>()) {
        let annotations = if kubefed { json!({"muster.dev/planner": "kubefed"}) } else { json!({}) };
        let source = json!({
            "apiVersion": "scheduling.kubefed.io/v1alpha1", "kind": "ReplicaSchedulingPreference",
            "metadata": {"name": "lobby", "namespace": "games", "annotations": annotations}, "spec": spec,
        });
        let Ok(typed) = serde_json::from_value::<ReplicaSchedulingPreference>(source) else { return Ok(()) };
        let mut world = World::new(&["nanjing", "shanghai"]).seats(&[("nanjing", seats)]);
        world.preference = Some(input::preference(&typed).unwrap());
        world.capacity("shanghai", seats, u32::MAX - seats, u32::MAX);
        assert_explained(&world.plan());
    }
}

#[test]
fn the_largest_numbers_divide() {
    let huge = json!({"totalReplicas": i32::MAX, "rebalance": true, "clusters": {
        "nanjing": {"weight": i64::MAX, "minReplicas": i32::MAX},
        "shanghai": {"weight": i64::MAX, "minReplicas": i32::MAX, "maxReplicas": i64::MAX},
    }});
    for kubefed in [false, true] {
        let mut world = World::new(&["nanjing", "shanghai"]).prefer(&huge).seats(&[("nanjing", u32::MAX)]);
        if kubefed {
            world.preference.as_mut().unwrap().algorithm = muster_planner::Algorithm::Kubefed;
        }
        let plan = world.plan();
        assert_eq!(plan.placed_replicas(), i32::MAX as u64);
        assert_explained(&plan);
    }
}

#[test]
fn a_million_replicas_over_a_thousand_clusters() {
    let mut fleet = Fleet::default();
    let mut entries = Map::new();
    let mut observed = Observed { seats: Some(BTreeMap::new()), ..Observed::default() };
    for at in 0..1000 {
        let cluster = name(&format!("cluster-{at}"));
        fleet.clusters.insert(cluster.clone(), Member::new(Contact::Ready));
        observed.inventory.insert(cluster.clone(), Inventory::Nothing);
        let unlimited = Capacity { replicas: 1_000_000, ..Capacity::default() };
        observed.capacity.insert(cluster.clone(), unlimited);
        entries.insert(cluster.to_string(), json!({"weight": at % 17 + 1, "minReplicas": at % 5}));
    }
    let mut world = World::new(&[]);
    world.spec()["placement"] = json!({"clusterSelector": {}});
    world.replicas(1_000_000);
    world.fleet = fleet;
    world.observed = observed;
    let mut world = world.prefer(&json!({"clusters": entries}));
    assert_eq!(world.step().placed_replicas(), 1_000_000);
    world.replicas(999_999);
    assert_eq!(world.step().placed_replicas(), 999_999);
    world.replicas(10);
    assert_eq!(world.step().placed_replicas(), 10);
}
