//! What tests of real processes share.
//!
//! - [`certificates`]: a CA and what it signs, as files,
//! - [`process`]: the binary `muster` as a process: started, ended, killed, its log read,
//! - [`scratch`]: a directory of its own for each test.
//!
//! It is for tests: what cannot be done panics and says what.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on ends")]
#![allow(clippy::disallowed_methods, reason = "real processes run in real time")]

pub mod certificates;
pub mod process;
pub mod scratch;
