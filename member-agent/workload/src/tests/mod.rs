//! Whole plans against a small simulation of an API server and its kubelets.

mod cluster;
mod golden;
mod inplace;
mod properties;
mod rollouts;
mod simulator;
mod statefulset;
