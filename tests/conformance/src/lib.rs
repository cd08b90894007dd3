//! Holds the embedded API server against a real kube-apiserver: both are given the same requests, and their answers are
//! compared. The cases are YAML files; README.md says what can stand in one.

pub mod case;
pub mod compare;
pub mod judge;
pub mod known;
pub mod load;
pub mod normal;
pub mod output;
pub mod play;
pub mod pointer;
pub mod run;
pub mod server;
pub mod variables;
