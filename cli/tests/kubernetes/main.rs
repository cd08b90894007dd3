//! `muster hub` and `muster agent` on real control planes, with exactly the rights of deploy/.
//!
//! The control planes run already: a kubeconfig with the contexts hub, member-1 and member-2 is named by
//! `MUSTER_TEST_KUBECONFIG`, beside it there is a folder for each with its `audit.log`, and members have nodes that
//! run pods (kwok's will do): `tests/kubernetes/up --audit --kwok 4 3`. Cargo runs this only when asked to:
//! `cargo test -p muster --test kubernetes`.

// Marked as tests so that the lints know them as such; clippy looks for the attribute.
#[cfg(test)]
mod audit;
#[cfg(test)]
mod job;
#[cfg(test)]
mod planes;
#[cfg(test)]
mod rights;
