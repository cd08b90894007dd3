//! What hub and agent share.
