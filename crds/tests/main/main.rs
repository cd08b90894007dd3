//! The kinds, held against their generated files, against the fields of their originals, and against manifests.

mod directions;
mod fixtures;
mod lenience;
mod original_fields;
mod schemas;
mod yaml;
