//! Whole plans against a small simulation of an API server and its kubelets.

mod golden;
mod hooks;
mod inplace;
mod properties;
mod rollouts;
mod simulator;
