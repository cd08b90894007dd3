//! `muster hub` and `muster agent` as processes, over real sockets with real certificates. The clusters are
//! embedded ones of this test, with simulated nodes: no Kubernetes is needed.

mod bad_input;
mod faults;
mod main_job;
mod world;
