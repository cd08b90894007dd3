//! Pure planner.
mod division;
mod fnv;
mod kubefed;
