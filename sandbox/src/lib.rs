//! A hub and its member clusters in one process: API servers, schedulers, simulated nodes, agents.

pub mod apply;
pub mod data_dir;
pub mod kubeconfig;
pub mod link;
pub mod manifests;
pub mod nodes;
