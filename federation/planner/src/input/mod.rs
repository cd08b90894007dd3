//! From the kinds users write to what the planner takes.
//!
//! Nothing here fails on what a user wrote, short of an object without a usable name: what cannot be used is kept as
//! an [`crate::InputError`] that names object and field, and [`crate::plan`] holds exactly what depends on it.

mod cluster;
pub(crate) mod numbers;
mod object;
mod overrides;
mod preference;
mod status;

pub use cluster::{contact, member};
pub use object::{ORPHAN_FINALIZER, federated, object, placement};
pub use preference::preference;
pub use status::{Recorded, recorded};

/// Kind of the federated GameStatefulSet.
pub const FEDERATED_GAME_STATEFUL_SET: &str = "FederatedGameStatefulSet";

/// Federated kinds that a preference may be about without being about one of Muster's objects: those that kubefed's
/// own preferences know.
const FOREIGN_KINDS: [&str; 2] = ["FederatedDeployment", "FederatedReplicaSet"];

/// Whether somebody federates the kind.
pub(crate) fn is_known_kind(kind: &str) -> bool {
    kind == FEDERATED_GAME_STATEFUL_SET || FOREIGN_KINDS.contains(&kind)
}

/// Whether an annotation that switches something on does so: it is there and not `false`.
pub(crate) fn is_on(value: Option<&String>) -> bool {
    value.is_some_and(|value| !value.eq_ignore_ascii_case("false"))
}
