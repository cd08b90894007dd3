//! Scenarios: the whole system on clusters of its own, from manifests to pods.
//!
//! A scenario is named for the suite it comes from and for the behaviour it shows. It talks to clusters through
//! `kube` clients and through [`World`](support::World), which alone knows what kind of clusters these are
//! (`MUSTER_TEST_CLUSTERS`). Time is tokio's paused clock: an hour of game time costs what happens in it.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod contact;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod division;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod inplace;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod ownership;
#[cfg(test)]
mod removal;
#[cfg(test)]
mod rollout;
#[cfg(test)]
mod statefulset;
#[cfg(test)]
mod support;
#[cfg(test)]
mod talk;
#[cfg(test)]
mod writes;
