//! Whole plans against a small simulation of an API server and its kubelets.

mod bad_input;
mod blocked;
mod canary;
mod canary_hooks;
mod cluster;
mod deadlines;
mod golden;
mod hooks;
mod inplace;
mod inplace_order;
mod inplace_properties;
mod inplace_sizes;
mod inplace_suite;
mod kubelets;
mod lives;
mod properties;
mod revisions;
mod rolling;
mod rollouts;
mod simulator;
mod statefulset;

/// Settings of property tests: the same cases on every run, and others with `MUSTER_SEED` in the environment. A failing
/// test shows the seed.
fn cases(cases: u32) -> proptest::test_runner::Config {
    let seed = std::env::var("MUSTER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("seed {seed}");
    proptest::test_runner::Config {
        cases,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(seed),
        ..proptest::test_runner::Config::default()
    }
}
