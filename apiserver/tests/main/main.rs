//! The embedded API server as its clients see it: a `kube::Client` and plain requests over the router, in process.
#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at what is not as expected")]

mod apply;
mod deletion;
mod discovery;
mod histories;
mod kube_runtime;
mod lists;
mod read_only;
mod rules;
mod scope;
mod support;
mod watches;
mod writes;
