//! Seeds of the property tests.

/// Settings of property tests: the same cases on every run, and others with `MUSTER_SEED` in the environment. A failing
/// test shows the seed.
pub(crate) fn cases(cases: u32) -> proptest::test_runner::Config {
    let seed = std::env::var("MUSTER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("seed {seed}");
    proptest::test_runner::Config {
        cases,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(seed),
        ..proptest::test_runner::Config::default()
    }
}
