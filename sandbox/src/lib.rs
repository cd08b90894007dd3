//! A hub and its members in one process.
