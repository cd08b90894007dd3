//! The agent against an embedded member and a view that plays the hub. Time is tokio's paused clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends there")]

mod chaos;
mod definitions;
mod faults;
mod hooks;
mod kubelet;
mod link;
mod mirror;
mod original;
mod ownership;
mod reasons;
mod revisions;
mod storage;
mod view;
mod workload;
mod world;
