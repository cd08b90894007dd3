//! The hub's HTTP side: member views, reports, heartbeats, health and metrics.

mod authorize;
mod http;
mod source;

pub use authorize::AGENTS;
pub(crate) use authorize::by_certificate;
pub(crate) use http::{Front, router};
pub(crate) use source::catalog;
