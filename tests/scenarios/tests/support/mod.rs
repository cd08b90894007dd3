//! What scenarios are made of: a world of clusters, manifests, waiting, and what was seen.

pub(crate) mod clusters;
pub(crate) mod film;
pub(crate) mod manifests;
mod picture;
pub(crate) mod pods;
pub(crate) mod status;
mod witness;
pub(crate) mod world;
pub(crate) mod writes;

pub(crate) use clusters::moments;
pub(crate) use manifests::{NAMESPACE, game, merged, preference, set};
pub(crate) use pods::{PodView, Pods};
pub(crate) use status::{condition, row};
pub(crate) use world::{Setup, World};

/// The name of the first member.
pub(crate) const SHANGHAI: &str = "shanghai-cluster";
/// The name of the second member.
pub(crate) const NANJING: &str = "nanjing-cluster";
/// The name of a third member, where there is one.
pub(crate) const CHENGDU: &str = "chengdu-cluster";
