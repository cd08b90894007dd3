//! A hub and its member clusters in one process: API servers, schedulers, simulated nodes, agents.
//!
//! [`Sandbox`] is what `muster sandbox` runs and what scenarios test: the real hub, the real agents and
//! the real API protocol; only nodes and containers are simulated. Everything talks through
//! `kube::Client`s that reach their server in process; [`Sandbox::serve`] opens the same servers to
//! kubectl.

pub mod apply;
mod controls;
pub mod data_dir;
mod hub;
pub mod kubeconfig;
pub mod link;
pub mod manifests;
mod member;
pub mod nodes;
mod sandbox;

pub use sandbox::{Config, Sandbox, SandboxError, Scheduling};
