//! Whole plans against a small simulation of an API server and its kubelets.

mod deadlines;
mod golden;
mod inplace;
mod inplace_order;
mod inplace_sizes;
mod inplace_suite;
mod kubelets;
mod lives;
mod properties;
mod rolling;
mod rollouts;
mod simulator;
