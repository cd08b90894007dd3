//! Everything at once, from a seed: links cut, hubs and agents killed, scales and image changes in between. What must
//! hold, holds throughout; and in the end everything is as asked.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use muster_runtime::Tasks;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::support::manifests::{image, with_image};
use crate::support::status::seats;
use crate::support::{CHENGDU, NANJING, SHANGHAI, Setup, World, game, merged, preference};

const MEMBERS: [&str; 3] = [SHANGHAI, NANJING, CHENGDU];
/// Updated in place, all at once as far as the budget goes.
const LOBBY: &str = "lobby";
/// Updated in place, in order.
const ARENA: &str = "arena";
/// Updated by replacing pods.
const MARKET: &str = "market";
const GAMES: [&str; 3] = [LOBBY, ARENA, MARKET];

/// Which seeds are run beside the usual ones.
const SEEDS: &str = "MUSTER_TEST_SEEDS";

/// How many things happen under one seed.
const STEPS: usize = 30;

/// Most pods of one set in one cluster that may be out at once by Muster's doing.
const BUDGET: usize = 2;

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Cut,
    Mend,
    KillHub,
    RestartHub,
    KillAgent,
    RestartAgent,
    Scale,
    Image,
    Weigh,
    Place,
}

/// How often each happens, in parts: mostly work to do, and mostly somebody there to do it.
const BLOWS: [(Blow, u32); 10] = [
    (Blow::Cut, 2),
    (Blow::Mend, 3),
    (Blow::KillHub, 1),
    (Blow::RestartHub, 4),
    (Blow::KillAgent, 1),
    (Blow::RestartAgent, 4),
    (Blow::Scale, 5),
    (Blow::Image, 5),
    (Blow::Weigh, 1),
    (Blow::Place, 2),
];

/// What was asked for last.
#[derive(Debug)]
struct Wanted {
    total: i64,
    tag: String,
    placed: Vec<&'static str>,
}

#[tokio::test(start_paused = true)]
async fn fed_c7_chaos_seed_1() {
    chaos(1).await;
}

#[tokio::test(start_paused = true)]
async fn fed_c7_chaos_seed_2() {
    chaos(2).await;
}

#[tokio::test(start_paused = true)]
async fn fed_c7_chaos_seed_3() {
    chaos(3).await;
}

#[tokio::test(start_paused = true)]
async fn fed_c7_chaos_seed_4() {
    chaos(4).await;
}

#[tokio::test(start_paused = true)]
async fn fed_c7_chaos_seed_5() {
    chaos(5).await;
}

/// More of them on demand: `MUSTER_TEST_SEEDS=6..40`.
#[test]
fn fed_c7_chaos_seeds_asked_for() {
    let Ok(asked) = std::env::var(SEEDS) else { return };
    let bounds = asked.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let (from, to): (u64, u64) = bounds.unwrap_or_else(|| panic!("{SEEDS}={asked}: write it as 6..40"));
    for seed in from..to {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(chaos(seed));
    }
}

async fn chaos(seed: u64) {
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::start(Setup::new(&MEMBERS).seed(seed)).await;
    let mut wanted = BTreeMap::new();
    for name in GAMES {
        world.apply(&preference(name, &[(SHANGHAI, 3), (NANJING, 2), (CHENGDU, 1)])).await;
        world.apply(&merged(game(name, 12, &MEMBERS), &manner(name))).await;
        wanted.insert(name, Wanted { total: 12, tag: "v1".to_owned(), placed: MEMBERS.to_vec() });
    }
    for name in GAMES {
        world.settled(name, &[(SHANGHAI, 6), (NANJING, 4), (CHENGDU, 2)]).await;
    }
    let tasks = Tasks::new();
    let fewest = fewest_seats(&world, &tasks);
    let mut stages = Vec::new();
    for name in GAMES {
        for member in MEMBERS {
            let pods = world.pods(member, name).await;
            stages.push((name, member, pods, world.film(member, name).await));
        }
    }

    for step in 0..STEPS {
        let (blow, _) = *BLOWS.choose_weighted(&mut random, |(_, parts)| *parts).expect("there are blows");
        let member = *MEMBERS.choose(&mut random).expect("there are members");
        let name = *GAMES.choose(&mut random).expect("there are games");
        println!("{} step {step}: {blow:?} ({member}, {name})", world.now());
        let asked = wanted.get_mut(name).expect("a known game");
        match blow {
            Blow::Cut => world.cut(member),
            Blow::Mend => world.mend(member),
            Blow::KillHub => world.kill_hub().await,
            Blow::RestartHub => world.restart_hub().await,
            Blow::KillAgent => world.kill_agent(member).await,
            Blow::RestartAgent => world.restart_agent(member).await,
            Blow::Scale => {
                asked.total = random.random_range(3..=24);
                println!("  to {}", asked.total);
                world.scale(name, asked.total).await;
            }
            Blow::Image => {
                asked.tag = format!("v{}", step + 2);
                world.edit(name, &with_image(&asked.tag)).await;
            }
            Blow::Weigh => {
                let weights = json!({member: {"weight": random.random_range(1..=5)}});
                world.edit_preference(name, &json!({"spec": {"clusters": weights}})).await;
            }
            Blow::Place => {
                asked.placed = if asked.placed.len() < MEMBERS.len() {
                    MEMBERS.to_vec()
                } else {
                    MEMBERS.iter().copied().filter(|one| *one != member).collect()
                };
                let clusters: Vec<_> = asked.placed.iter().map(|name| json!({"name": name})).collect();
                world.edit(name, &json!({"spec": {"placement": {"clusters": clusters}}})).await;
            }
        }
        // Half of them strike while the one before is still at work.
        let longest = if random.random_bool(0.5) { 1_500 } else { 12_000 };
        world.pass(Duration::from_millis(random.random_range(0..longest))).await;
    }
    world.restart_hub().await;
    for member in MEMBERS {
        world.mend(member);
        world.restart_agent(member).await;
    }
    for (name, asked) in &wanted {
        converged(&world, name, asked).await;
    }

    for (name, member, before, film) in &stages {
        let after = world.pods(member, name).await;
        let least =
            fewest.lock().get(&((*name).to_owned(), (*member).to_owned())).copied().unwrap_or_default();
        let in_place = *name != MARKET;
        for pod in before.iter().filter(|pod| in_place && (pod.ordinal() as i64) < least) {
            let now = after.0.get(&pod.name).map(|pod| pod.uid.as_str());
            let kept = now == Some(pod.uid.as_str());
            assert!(kept, "{member}: {} always had a seat, and was replaced", pod.name);
        }
        let most = if in_place { film.most_disrupted() } else { film.most_replaced(least as usize) };
        assert!(most <= BUDGET, "{most} pods of {name} in {member} were out at once, {BUDGET} may be");
    }
}

/// Waits until the members hold what was asked for, and nothing else.
async fn converged(world: &World, name: &str, asked: &Wanted) {
    world
        .until(&format!("{name} converges to {asked:?}"), async || {
            let game = world.game(name).await;
            let planned = seats(&game);
            if planned.values().sum::<i64>() != asked.total {
                return Err(format!("seats {planned:?}"));
            }
            let expected: Vec<(&str, i64)> = MEMBERS
                .iter()
                .map(|member| (*member, planned.get(*member).copied().unwrap_or_default()))
                .collect();
            crate::support::status::settled(&game, &expected)?;
            for (member, seats) in expected {
                let pods = world.pods(member, name).await;
                if pods.ordinals() != (0..seats as usize).collect::<Vec<_>>() {
                    return Err(format!(
                        "{member} holds ordinals {:?}, not {seats} of them",
                        pods.ordinals()
                    ));
                }
                if let Some(old) = pods.iter().find(|pod| pod.runs("server") != image(&asked.tag)) {
                    return Err(format!("{member}: {} runs {}", old.name, old.runs("server")));
                }
            }
            Ok(())
        })
        .await;
}

/// How the pods of a game are updated.
fn manner(name: &str) -> Value {
    let (policy, type_) = match name {
        LOBBY => ("Parallel", "InplaceUpdate"),
        ARENA => ("OrderedReady", "InplaceUpdate"),
        _ => ("Parallel", "RollingUpdate"),
    };
    json!({"spec": {"template": {"spec": {
        "podManagementPolicy": policy,
        "updateStrategy": {
            "type": type_,
            "rollingUpdate": {"maxUnavailable": BUDGET},
            "inPlaceUpdateStrategy": {"gracePeriodSeconds": 2},
        },
    }}}})
}

/// The fewest seats that each game ever had in each cluster, by game and cluster, from now on.
fn fewest_seats(world: &World, tasks: &Tasks) -> Arc<Mutex<BTreeMap<(String, String), i64>>> {
    let fewest: Arc<Mutex<BTreeMap<(String, String), i64>>> = Arc::default();
    let known = Arc::clone(&fewest);
    let games = world.games();
    tasks.spawn("fewest-seats", async move {
        let mut changes = pin!(watcher(games, watcher::Config::default()).applied_objects());
        while let Some(change) = changes.next().await {
            let game = change.expect("the watch is not interrupted");
            let name = game.metadata.name.clone().unwrap_or_default();
            let seats = seats(&game);
            for member in MEMBERS {
                let seats = seats.get(member).copied().unwrap_or_default();
                let mut known = known.lock();
                let least = known.entry((name.clone(), member.to_owned())).or_insert(seats);
                *least = (*least).min(seats);
            }
        }
    });
    fewest
}
