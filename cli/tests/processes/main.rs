//! `muster hub` and `muster agent` as processes, over real sockets with real certificates. The clusters are
//! embedded ones of this test, with simulated nodes: no Kubernetes is needed.

// Marked as tests so that the lints know them as such; clippy looks for the attribute.
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod main_job;
#[cfg(test)]
mod rollout;
#[cfg(test)]
mod world;
