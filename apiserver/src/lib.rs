//! The Kubernetes API protocol.
