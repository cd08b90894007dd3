//! The Kubernetes API protocol.

pub mod schema;
