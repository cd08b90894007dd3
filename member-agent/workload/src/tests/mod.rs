//! Whole plans against a small simulation of an API server and its kubelets.

mod blocked;
mod golden;
mod inplace;
mod properties;
mod rollouts;
mod simulator;
