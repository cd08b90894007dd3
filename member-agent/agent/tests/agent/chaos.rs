//! Whatever happens between hub, agent and member: in the end the member holds what its view shows,
//! and nothing of anybody else's was touched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::world::{World, spec};

const SEEDS: u64 = 6;
const ROUNDS: usize = 40;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What the view shows of one set at the end.
#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Replicas(i64),
    Gone,
}

/// Faults between the agent and its member, and how many there were.
#[derive(Clone)]
pub(crate) struct Faults(Arc<Mutex<FaultState>>);

struct FaultState {
    random: StdRng,
    on: bool,
    counts: BTreeMap<&'static str, u32>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        let state = FaultState { random: StdRng::seed_from_u64(seed), on: true, counts: BTreeMap::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The member as the agent sees it.
    pub(crate) fn between(&self, member: Router) -> Router {
        member.layer(middleware::from_fn_with_state(self.clone(), disturb))
    }

    pub(crate) fn stop(&self) {
        self.0.lock().on = false;
    }

    /// How many faults of each kind struck.
    pub(crate) fn counts(&self) -> String {
        format!("{:?}", self.0.lock().counts)
    }

    /// Whether a fault of this kind happens now.
    fn strikes(&self, what: &'static str, percent: u32) -> bool {
        let mut state = self.0.lock();
        let strikes = state.on && state.random.random_ratio(percent, 100);
        if strikes {
            *state.counts.entry(what).or_default() += 1;
        }
        strikes
    }

    fn below(&self, limit: u64) -> u64 {
        self.0.lock().random.random_range(0..limit)
    }
}

async fn disturb(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    if faults.strikes("request lost", 8) {
        return unavailable();
    }
    if faults.strikes("request delayed", 10) {
        tokio::time::sleep(Duration::from_millis(faults.below(3000))).await;
    }
    let response = next.run(request).await;
    if faults.strikes("answer lost", 8) {
        return unavailable();
    }
    if faults.strikes("answer never comes", 2) {
        std::future::pending::<()>().await;
    }
    let (parts, body) = response.into_parts();
    let cut = faults.strikes("body cut", 8);
    let left = if cut { faults.below(4) as usize } else { usize::MAX };
    Response::from_parts(parts, Body::from_stream(body.into_data_stream().take(left)))
}

fn unavailable() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "a fault").into_response()
}

#[tokio::test(start_paused = true)]
async fn the_member_converges_to_its_view_whatever_happens() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        println!("{}", run(seed).await);
    }
}

/// Returns how many faults of each kind struck.
async fn run(seed: u64) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    let faults = Faults::new(seed);
    let mut world = World::without_agent();
    world.faults = Some(faults.clone());
    world.start_agent_somehow();
    let mut wanted: BTreeMap<&str, Wanted> = BTreeMap::new();
    let mut epoch = 1;
    let mut hash = 0;
    world.settle().await;
    for _ in 0..200 {
        if world.try_create("theirs", &spec(1)).await {
            break;
        }
        world.settle().await;
    }

    for _ in 0..ROUNDS {
        let name = NAMES[random.random_range(0..NAMES.len())];
        match random.random_range(0..12) {
            0..4 => {
                let replicas = random.random_range(0..100);
                hash += 1;
                world.view.apply(name, &format!("h{hash}"), &spec(replicas));
                wanted.insert(name, Wanted::Replicas(replicas));
            }
            4 => {
                world.view.remove(name, "Delete");
                wanted.insert(name, Wanted::Gone);
            }
            5 => {
                epoch += 1;
                world.view.restart(epoch);
            }
            6 => world.view.expire(),
            7 => {
                world.view.cut(true);
                tokio::time::sleep(Duration::from_secs(random.random_range(0..90))).await;
                world.view.cut(false);
            }
            8 => {
                world.stop_agent().await;
                world.start_agent_somehow();
            }
            9 => drop(world.try_delete(name).await),
            10 => drop(world.try_patch(name, json!({"spec": {"replicas": 777}})).await),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..8000))).await;
    }

    faults.stop();
    // Contention that the person's changes may have caused ends with the next desired object.
    for (name, wanted) in &wanted {
        if let Wanted::Replicas(replicas) = wanted {
            world.view.apply(name, "last", &spec(*replicas));
        }
    }
    tokio::time::sleep(Duration::from_mins(15)).await;

    let counts = faults.0.lock().counts.clone();
    for (name, wanted) in &wanted {
        let set = world.set(name).await;
        let is = set
            .as_ref()
            .map_or(Wanted::Gone, |set| Wanted::Replicas(set["spec"]["replicas"].as_i64().unwrap()));
        assert_eq!(is, *wanted, "seed {seed}: {name}, last report {}", world.view.word(name));
        let report = world.view.report(name).unwrap_or(Value::Null);
        match set {
            Some(set) => {
                assert_eq!(report["appliedHash"], "last", "seed {seed}: {name}");
                assert_eq!(report["memberUID"], set["metadata"]["uid"], "seed {seed}: {name}");
                assert_eq!(report["memberGeneration"], set["metadata"]["generation"], "seed {seed}: {name}");
            }
            None => assert_eq!(report["word"], "Removed", "seed {seed}: {name}"),
        }
    }
    let theirs = world.set("theirs").await.unwrap();
    assert_eq!(theirs["metadata"]["generation"], 1, "seed {seed}");
    let before = world.writes();
    tokio::time::sleep(Duration::from_mins(15)).await;
    assert_eq!(world.writes(), before, "seed {seed}: at rest nothing is written");
    format!("{counts:?}, {before} writes")
}
