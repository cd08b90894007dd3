//! Random histories: members come and go, hubs and agents restart, people change and spoil things. Whatever the order,
//! nothing is lost, nothing is doubled, and when it is quiet again everything is as wanted.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::*;
use crate::model::tests::world::kind;

const CLUSTERS: [&str; 4] = ["a", "b", "c", "d"];
const OBJECTS: [&str; 2] = ["game", "lobby"];
const STEPS: usize = 120;

/// A few, or as many as asked for.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("MUSTER_TEST_SEEDS").ok().and_then(|count| count.parse().ok());
    0..asked.unwrap_or(6)
}

/// What an agent has made real.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    hash: String,
    replicas: i64,
    generation: i64,
}

/// One member: what it holds, and whether its agent reaches the hub.
#[derive(Default)]
struct Agent {
    held: BTreeMap<String, Held>,
    cut: bool,
    sessions: usize,
    /// The epoch it last reported everything to.
    epoch: u64,
}

struct Chaos {
    world: World,
    agents: BTreeMap<&'static str, Agent>,
    random: StdRng,
    log: Vec<String>,
    /// How often something happened that these histories are for.
    counts: BTreeMap<&'static str, usize>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut world = World::empty();
        for cluster in CLUSTERS {
            world.register(cluster, json!({}));
        }
        world.start();
        let agents = CLUSTERS.map(|cluster| (cluster, Agent::default())).into();
        let mut chaos = Self {
            world,
            agents,
            random: StdRng::seed_from_u64(seed),
            log: Vec::new(),
            counts: BTreeMap::new(),
        };
        for object in OBJECTS {
            chaos.world.prefer(object, json!({"targetKind": "FederatedGameStatefulSet"}));
            chaos.world.put(super::object(object, 20, &["a", "b"]));
        }
        chaos
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.random).unwrap()
    }

    /// An agent that reaches the hub brings its member in line with its view, as far as it gets.
    fn work(&mut self, cluster: &'static str, everything: bool) {
        let epoch = self.world.model.versions().epoch();
        let agent = self.agents.get_mut(cluster).unwrap();
        if agent.cut {
            return;
        }
        if agent.epoch != epoch {
            agent.epoch = epoch;
            agent.sessions += 1;
            self.report_all(cluster);
        }
        for object in OBJECTS {
            if !everything && self.random.random_bool(0.4) {
                continue;
            }
            self.mirror(cluster, object);
        }
    }

    fn mirror(&mut self, cluster: &'static str, object: &str) {
        let Some(view) = self.world.view(cluster, object) else {
            // What a complete view does not name the agent would prune, with no policy to go by.
            let held = self.agents[cluster].held.contains_key(object);
            assert!(
                !held || self.world.current(cluster)["synced"] != true,
                "{object} in {cluster}: {}",
                self.story()
            );
            return;
        };
        let annotations = &view["metadata"]["annotations"];
        let version = view["metadata"]["resourceVersion"].clone();
        match annotations["view.muster.dev/intent"].as_str().unwrap() {
            "Apply" => {
                let hash = annotations["view.muster.dev/hash"].as_str().unwrap().to_owned();
                let replicas = view["spec"]["replicas"].as_i64().unwrap();
                let held = &mut self.agents.get_mut(cluster).unwrap().held;
                let generation = match held.get(object) {
                    Some(before) if before.hash == hash => before.generation,
                    before => before.map_or(1, |before| before.generation + 1),
                };
                held.insert(object.to_owned(), Held { hash, replicas, generation });
                self.report(cluster, object, &version);
            }
            "Remove" => {
                self.count("removals", 1);
                self.agents.get_mut(cluster).unwrap().held.remove(object);
                self.world.report(cluster, object, json!({"word": "Removed", "viewVersion": version}));
            }
            _ => self.count("holds", 1),
        }
    }

    fn count(&mut self, what: &'static str, times: usize) {
        *self.counts.entry(what).or_default() += times;
    }

    fn report(&mut self, cluster: &'static str, object: &str, version: &Value) {
        let Some(held) = self.agents[cluster].held.get(object).cloned() else { return };
        let Held { hash, replicas, generation } = held;
        let status = json!({
            "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas, "observedGeneration": generation,
        });
        let report = json!({
            "word": "", "appliedHash": hash, "memberGeneration": generation, "replicas": replicas, "status": status,
            "viewVersion": version,
        });
        self.world.report(cluster, object, report);
    }

    fn report_all(&mut self, cluster: &'static str) {
        let session = format!("{cluster}-{}", self.agents[cluster].sessions);
        let objects: Vec<String> = self.agents[cluster].held.keys().cloned().collect();
        let key = |object: &str| {
            json!({
                "group": "tkex.tencent.com", "plural": "gamestatefulsets", "namespace": "center", "name": object,
            })
        };
        let items: Vec<Value> = objects
            .iter()
            .map(|object| {
                let Held { hash, replicas, generation } = &self.agents[cluster].held[object];
                let status = json!({
                    "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas,
                    "observedGeneration": generation,
                });
                json!({
                    "key": key(object), "appliedHash": hash, "memberGeneration": generation, "replicas": replicas,
                    "status": status,
                })
            })
            .collect();
        let inventory = json!({"group": "tkex.tencent.com", "plural": "gamestatefulsets", "complete": true});
        self.world.report_list(cluster, json!({"items": items, "inventory": inventory, "session": session}));
    }

    fn pass(&mut self, seconds: i64) {
        for second in 0..seconds {
            if second % 10 == 0 {
                for cluster in CLUSTERS {
                    if !self.agents[cluster].cut {
                        self.world.heartbeat(cluster);
                    }
                }
            }
            self.world.pass(1);
        }
    }

    fn step(&mut self) {
        let cluster = self.pick(&CLUSTERS);
        let object = self.pick(&OBJECTS);
        let exists = self.world.objects.contains_key(object);
        let deleting = exists && self.world.objects[object]["metadata"]["deletionTimestamp"].is_string();
        let what = self.random.random_range(0..14);
        self.log.push(format!("{what}: {cluster} {object}"));
        match what {
            0 | 1 if exists => {
                let replicas = self.random.random_range(0..60);
                self.world.edit(object, |one| one["spec"]["template"]["spec"]["replicas"] = json!(replicas));
            }
            2 if exists => {
                let placed: Vec<Value> = CLUSTERS
                    .iter()
                    .filter(|_| self.random.random_bool(0.6))
                    .map(|name| json!({"name": name}))
                    .collect();
                self.world.edit(object, |one| one["spec"]["placement"] = json!({"clusters": placed}));
            }
            3 if exists => {
                let image = format!("center:v{}", self.random.random_range(0..9));
                self.world.edit(object, |one| one["spec"]["overrides"] = json!([set_image(cluster, &image)]));
            }
            4 => {
                let weight = self.random.random_range(1..9);
                let clusters = json!({cluster: {"weight": weight}, "*": {"weight": 2}});
                self.world
                    .prefer(object, json!({"targetKind": "FederatedGameStatefulSet", "clusters": clusters}));
            }
            5 => self.agents.get_mut(cluster).unwrap().cut ^= true,
            6 => {
                self.count("restarts of the hub", 1);
                self.world.restart();
            }
            7 => {
                let agent = self.agents.get_mut(cluster).unwrap();
                agent.epoch = 0;
            }
            8 if exists && !deleting => {
                self.world.delete(object);
            }
            9 if !exists => {
                let mut again = super::object(object, 15, &["a", "c"]);
                again["metadata"]["uid"] = json!(format!("uid-{object}-{}", self.log.len()));
                self.world.put(again);
            }
            10 if exists => {
                // Somebody spoils it; sometimes it stays so for a while.
                self.world.edit(object, |one| {
                    one["spec"]["overrides"] =
                        json!([{"clusterName": cluster, "clusterOverrides": [{"path": "/no/such", "value": 1}]}]);
                });
            }
            11 if exists && self.random.random_bool(0.5) => {
                self.world.edit(object, |one| one["spec"]["template"]["spec"]["replicas"] = json!(-5));
            }
            12 => self.pass(35),
            _ => {
                for cluster in CLUSTERS {
                    self.work(cluster, false);
                }
                self.pass(1);
            }
        }
        self.count("tombstones", self.world.tombstones.len());
        self.check();
    }

    /// What holds at any time.
    fn check(&self) {
        for (cluster, member) in self.world.model.members() {
            for entry in member.view.kind(&kind()).unwrap().entries() {
                let object = entry.key.name.as_str();
                if entry.intent.word() != "Apply" {
                    continue;
                }
                // Nothing is shown that is not recorded.
                let shown = self.world.replicas(cluster.as_str(), object);
                let seats = self.world.status(object).plan.unwrap_or_default().seats;
                assert_eq!(
                    shown,
                    seats.get(cluster.as_str()).copied(),
                    "{object} in {cluster}\n{}",
                    self.story()
                );
            }
        }
    }

    /// A member that cannot be reached does nothing; what was in it stays.
    fn story(&self) -> String {
        self.log.iter().rev().take(40).rev().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Everybody is there, nothing is wrong, and nobody changes anything any more.
    fn settle(&mut self) {
        for cluster in CLUSTERS {
            self.agents.get_mut(cluster).unwrap().cut = false;
        }
        for object in OBJECTS {
            if self.world.objects.contains_key(object) {
                self.world.edit(object, |one| {
                    one["spec"]["overrides"] = json!([]);
                    one["spec"]["template"]["spec"]["replicas"] = json!(30);
                });
            }
            self.world.prefer(object, json!({"targetKind": "FederatedGameStatefulSet"}));
        }
        for _ in 0..12 {
            for cluster in CLUSTERS {
                self.work(cluster, true);
            }
            self.pass(3);
        }
    }

    fn assert_settled(&mut self, seed: u64) {
        let story = format!("seed {seed}\n{}", self.story());
        assert!(self.world.tombstones.is_empty(), "{story}");
        for object in OBJECTS {
            let mut held = 0;
            for cluster in CLUSTERS {
                let mine = self.agents[cluster].held.get(object);
                let shown = self.world.view(cluster, object);
                let hash = shown
                    .as_ref()
                    .map(|view| view["metadata"]["annotations"]["view.muster.dev/hash"].clone());
                assert_eq!(mine.map(|held| json!(held.hash)), hash, "{object} in {cluster}: {story}");
                held += mine.map_or(0, |held| held.replicas);
            }
            if !self.world.objects.contains_key(object) {
                assert_eq!(held, 0, "{story}");
                continue;
            }
            let placed =
                self.world.objects[object]["spec"]["placement"]["clusters"].as_array().unwrap().len();
            assert_eq!(held, if placed > 0 { 30 } else { 0 }, "{object}: {story}");
            if placed > 0 {
                let ready = self.world.condition(object, "Ready");
                assert!(ready.starts_with("True"), "{object} is not ready: {ready}\n{story}");
            }
        }
        self.world.writes.clear();
        let before = self.world.versions();
        self.pass(60);
        assert!(self.world.writes.is_empty(), "{:?}: {story}", self.world.writes);
        assert!(self.world.changed_since(&before).is_empty(), "{story}");
    }
}

#[test]
fn random_histories_end_as_wanted() {
    let mut totals: BTreeMap<&'static str, usize> = BTreeMap::new();
    for seed in seeds() {
        println!("seed {seed}");
        let mut chaos = Chaos::new(seed);
        for _ in 0..STEPS {
            chaos.step();
        }
        chaos.settle();
        chaos.assert_settled(seed);
        for (what, count) in chaos.counts {
            *totals.entry(what).or_default() += count;
        }
    }
    println!("{totals:?}");
    for what in ["tombstones", "removals", "restarts of the hub", "holds"] {
        assert!(
            totals.get(what).is_some_and(|count| *count > 0),
            "these histories have no {what}: {totals:?}"
        );
    }
}

#[test]
fn no_loss_of_contact_or_memory_takes_anything_from_a_member() {
    for seed in seeds() {
        let mut chaos = Chaos::new(seed);
        for cluster in CLUSTERS {
            chaos.work(cluster, true);
        }
        chaos.pass(3);
        for cluster in CLUSTERS {
            chaos.work(cluster, true);
        }
        let held: BTreeMap<&str, BTreeMap<String, Held>> =
            chaos.agents.iter().map(|(name, agent)| (*name, agent.held.clone())).collect();
        assert_eq!(held["a"].len(), 2, "seed {seed}");
        for _ in 0..40 {
            let cluster = chaos.pick(&CLUSTERS);
            match chaos.random.random_range(0..4) {
                0 => chaos.agents.get_mut(cluster).unwrap().cut ^= true,
                1 => chaos.world.restart(),
                2 => chaos.agents.get_mut(cluster).unwrap().epoch = 0,
                _ => chaos.pass(20),
            }
            for cluster in CLUSTERS {
                chaos.work(cluster, true);
                assert_eq!(chaos.agents[cluster].held, held[cluster], "seed {seed}, {cluster}");
            }
        }
    }
}
