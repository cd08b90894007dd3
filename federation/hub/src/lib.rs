//! The hub: watches federated objects, plans them, and serves every member a view of what it should hold.
//!
//! - [`model`] is the whole of the hub's knowledge: plain structs, one writer, no client. It plans through
//!   `muster-planner`, keeps the member views, takes reports, and computes statuses.
//! - the drivers feed it from watches and execute the writes it asks for,
//! - the front serves views, takes reports and heartbeats, while this hub holds the Lease.
//!
//! ```no_run
//! # async fn start(client: kube::Client) -> Result<(), muster_hub::HubError> {
//! let tasks = muster_runtime::Tasks::new();
//! let hub = muster_hub::Hub::start(muster_hub::HubConfig::new(client, "hub-0"), &tasks)?;
//! let router = hub.router();
//! # Ok(())
//! # }
//! ```

mod config;
mod drive;
mod engine;
mod hub;
mod metrics;
pub mod model;
mod serve;

pub use config::{HubConfig, Settings};
pub use hub::{Hub, HubError};
pub use serve::AGENTS;
