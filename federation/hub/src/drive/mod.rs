//! The hub's side of the hub API: what is watched, what is written, who leads.

pub(crate) mod feeds;
pub(crate) mod lease;
pub(crate) mod writer;
