//! Whole plans against a small simulation of an API server and its kubelets.

mod bad_input;
mod blocked;
mod canary;
mod canary_hooks;
mod cluster;
mod golden;
mod hooks;
mod inplace;
mod properties;
mod revisions;
mod rollouts;
mod simulator;
mod statefulset;
