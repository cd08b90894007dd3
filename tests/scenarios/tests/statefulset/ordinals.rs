//! Which ordinals a set has.
