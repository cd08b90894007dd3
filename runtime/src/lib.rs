//! What hub and agent share: owned tasks, a clock that tests can move, client layers, shared
//! watches, work queues, readiness and serving.
//!
//! Nothing in here knows a Muster kind. A module is one idea:
//!
//! - [`tasks`]: every task has an owner that can stop it,
//! - [`clock`]: wall time that follows tokio's (possibly paused) clock,
//! - [`client`]: `kube::Client`s with a user agent and a deadline, over sockets or in process,
//! - [`channel`]: one HTTP/2 connection that a client's requests and watches share,
//! - [`tls`]: certificates from files, and what is wrong with them,
//! - [`error`]: errors with their causes, each said once,
//! - [`watch`]: one watch per kind, a cache, several subscribers,
//! - [`queue`]: keyed work, one worker at a time per key, with backoff,
//! - [`initialized`]: readiness as "every handle dropped",
//! - [`serve`]: an HTTP listener with a graceful stop,
//! - [`telemetry`] for logs.

pub mod channel;
pub mod client;
pub mod clock;
pub mod error;
pub mod initialized;
pub mod queue;
pub mod serve;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod watch;

pub use clock::Clock;
pub use tasks::Tasks;
