//! The member agent.
