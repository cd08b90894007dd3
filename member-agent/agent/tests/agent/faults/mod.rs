//! The controller under every kind of fault, from a seed: a random set, a user who changes it, pods that end, and
//! between controller and API server all that may go wrong. The [`referee`] looks at each write as it is accepted; then
//! it is calm, and the set becomes what its spec says, and nothing more is written.
//!
//! `MUSTER_FAULT_SEEDS=1000` runs as many seeds; `MUSTER_FAULT_SEED=17` runs one and tells what happened.

mod answers;
mod layer;
mod pod;
mod referee;
mod run;
mod script;
mod store;

use std::collections::BTreeMap;

use run::Told;

/// How many seeds are run if nobody asks for another number.
const SEEDS: u64 = 200;

/// How many tests the seeds are shared out to: they run side by side.
const PARTS: u64 = 4;

/// Asks for another number of seeds.
const ASKED: &str = "MUSTER_FAULT_SEEDS";

/// Asks for one seed alone.
const ONE: &str = "MUSTER_FAULT_SEED";

#[test]
fn whatever_happens_promises_are_kept_part_1() {
    play(0);
}

#[test]
fn whatever_happens_promises_are_kept_part_2() {
    play(1);
}

#[test]
fn whatever_happens_promises_are_kept_part_3() {
    play(2);
}

#[test]
fn whatever_happens_promises_are_kept_part_4() {
    play(3);
}

/// What is found by a seed can be looked at again.
#[test]
fn a_seed_goes_the_same_way_every_time() {
    let seed = number(ONE).unwrap_or(3);
    assert_eq!(one(seed).log, one(seed).log);
}

/// Every so manieth seed, or the one that is asked for.
#[expect(clippy::print_stdout, reason = "what struck is part of the result")]
fn play(part: u64) {
    if let Some(seed) = number(ONE) {
        if part == 0 {
            let told = one(seed);
            println!("{}\nseed {seed}: {:?}", told.log, told.faults);
            told.judge();
        }
        return;
    }
    let mut faults = BTreeMap::new();
    let (mut writes, mut most_down, mut seeds, mut failed) = (0, 0, 0, Vec::new());
    for seed in (0..number(ASKED).unwrap_or(SEEDS)).filter(|seed| seed % PARTS == part) {
        let told = one(seed);
        for (kind, count) in &told.faults {
            *faults.entry(*kind).or_insert(0) += count;
        }
        writes += told.writes;
        most_down = most_down.max(told.most_down);
        seeds += 1;
        if !told.broken.is_empty() {
            println!("seed {seed}: {}", told.broken.join("; "));
            failed.push(told);
        }
    }
    println!(
        "{seeds} seeds, {writes} writes by the controller, at most {most_down} pods down by it; faults: {faults:?}"
    );
    if let Some(first) = failed.first() {
        println!("{} of {seeds} seeds failed; the first, in its last moments:\n{}", failed.len(), first.log);
        first.judge();
    }
}

fn one(seed: u64) -> Told {
    // What draws without being told a seed: the pauses of interrupted watches.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(run::run(seed))
}

impl Told {
    fn judge(&self) {
        let replay =
            format!("{ONE}={} cargo test -p muster-agent --test agent part_1 -- --nocapture", self.seed);
        assert!(self.broken.is_empty(), "seed {}: {}\nreplay: {replay}", self.seed, self.broken.join("\n"));
    }
}

fn number(variable: &str) -> Option<u64> {
    let asked = std::env::var(variable).ok()?;
    Some(asked.parse().unwrap_or_else(|_| panic!("{variable}={asked}: write a number")))
}
