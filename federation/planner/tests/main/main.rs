//! The planner through its public surface: what users write goes in, plans come out.

// Marked as tests so that the lints know them as such; clippy looks for the attribute.
#[cfg(test)]
mod contact;
#[cfg(test)]
mod input;
#[cfg(test)]
mod offline;
#[cfg(test)]
mod overrides;
#[cfg(test)]
mod placement;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod removal;
#[cfg(test)]
mod rendering;
#[cfg(test)]
mod seats;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod totals;
#[cfg(test)]
mod world;
