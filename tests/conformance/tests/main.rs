//! What can be held of the cases without a real server.
#![expect(clippy::panic, reason = "a test stops at what is not as expected")]

mod corpus;
