//! What a plan is made from: the fleet, the federated object, its preference, and what was observed.

mod fleet;
mod object;
mod observed;
mod preference;

pub use fleet::{Contact, Fleet, Member};
pub use object::{Adopt, FederatedObject, Override, Placement, Release, RemovePolicy, Target};
pub use observed::{Basis, BasisError, Capacity, DivisionKind, Inventory, Observed, Settings};
pub use preference::{Algorithm, Preference, Share};

/// The largest number of replicas anywhere: the API's own limit, as `spec.replicas` is an int32.
pub const MAX_REPLICAS: u32 = i32::MAX.cast_unsigned();
