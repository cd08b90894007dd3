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
