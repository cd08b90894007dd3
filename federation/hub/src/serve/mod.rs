//! The hub's HTTP side: member views, reports, heartbeats, health and metrics.

mod http;
mod source;

pub(crate) use http::{Front, router};
pub(crate) use source::catalog;
