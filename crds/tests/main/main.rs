//! The kinds, held against their generated files, against the fields of their originals, and against manifests.

// Marked as tests so that the lints know them as such; clippy looks for the attribute.
#[cfg(test)]
mod directions;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod lenience;
#[cfg(test)]
mod original_fields;
#[cfg(test)]
mod schemas;
#[cfg(test)]
mod yaml;
