//! The hub against an embedded API server, in one process and on paused time. Agents are played by hand.

// Marked as tests so that the lints know them as such; clippy looks for the attribute.
#[cfg(test)]
mod leading;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod support;
#[cfg(test)]
mod writing;
