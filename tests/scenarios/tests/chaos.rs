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
use serde_json::json;

use crate::support::manifests::{image, with_image};
use crate::support::status::seats;
use crate::support::{CHENGDU, Film, NANJING, SHANGHAI, Setup, World, game, merged, preference};

const MEMBERS: [&str; 3] = [SHANGHAI, NANJING, CHENGDU];
const GAMES: [&str; 2] = ["lobby", "arena"];

/// How many things happen under one seed.
const STEPS: usize = 25;

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
}

const BLOWS: [Blow; 8] = [
    Blow::Cut,
    Blow::Mend,
    Blow::KillHub,
    Blow::RestartHub,
    Blow::KillAgent,
    Blow::RestartAgent,
    Blow::Scale,
    Blow::Image,
];

/// What was asked for last, and the fewest seats that each cluster of a game ever had.
#[derive(Debug)]
struct Wanted {
    total: i64,
    tag: String,
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

async fn chaos(seed: u64) {
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::start(Setup::new(&MEMBERS).seed(seed)).await;
    let budget = json!({"spec": {"template": {"spec": {"updateStrategy": {
        "rollingUpdate": {"maxUnavailable": BUDGET},
        "inPlaceUpdateStrategy": {"gracePeriodSeconds": 2},
    }}}}});
    let mut wanted = BTreeMap::new();
    for name in GAMES {
        world.apply(&preference(name, &[(SHANGHAI, 3), (NANJING, 2), (CHENGDU, 1)])).await;
        world.apply(&merged(game(name, 12, &MEMBERS), &budget)).await;
        wanted.insert(name, Wanted { total: 12, tag: "v1".to_owned() });
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
        let blow = *BLOWS.choose(&mut random).expect("there are blows");
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
        }
        world.pass(Duration::from_millis(random.random_range(0..12_000))).await;
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
        for pod in before.iter().filter(|pod| (pod.ordinal() as i64) < least) {
            let now = after.0.get(&pod.name).map(|pod| pod.uid.as_str());
            assert_eq!(
                now,
                Some(pod.uid.as_str()),
                "{member}: {} always had a seat, and was replaced",
                pod.name
            );
        }
        within_budget(name, member, film);
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

#[track_caller]
fn within_budget(name: &str, member: &str, film: &Film) {
    let most = film.most_disrupted();
    assert!(most <= BUDGET, "{most} pods of {name} in {member} were out at once, {BUDGET} may be");
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
            for (cluster, seats) in seats(&game) {
                let mut known = known.lock();
                let least = known.entry((name.clone(), cluster)).or_insert(seats);
                *least = (*least).min(seats);
            }
        }
    });
    fewest
}
