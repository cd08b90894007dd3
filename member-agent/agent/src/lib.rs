//! The member agent: makes one member cluster hold what its hub wants, and runs the controllers that
//! know what a game server needs.
//!
//! - [`link`] talks to the hub: it follows the member's view, keeps the heartbeat, sends reports.
//! - [`mirror`] writes the desired objects to the member, one serial worker per object, and says how
//!   that went. Deciding is pure ([`mirror::decide`]); executing has no choices.
//! - [`workload`] is the GameStatefulSet controller.
//! - [`definitions`] installs the agent's own kinds.
//!
//! What was applied last is written on the member's objects themselves (the annotation
//! `muster.dev/tracking`), and who changed what since is in their managedFields, so a restarted agent
//! writes nothing. What the hub wants is kept in memory: an agent that starts while its hub is away
//! leaves the mirrored objects as they are until the hub is back.

mod agent;
pub mod definitions;
pub mod kind;
pub mod link;
pub mod member;
pub mod metrics;
pub mod mirror;
pub mod wire;
pub mod workload;

pub use agent::{Agent, AgentConfig, AgentError, HEARTBEAT_INTERVAL, MIRROR_WORKERS, REPORT_INTERVAL};
