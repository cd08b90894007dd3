//! Which clusters a federated object goes to, how many replicas each gets, what differs there, and why.
//!
//! [`plan`] is a function of a snapshot and a time. It knows no client, no clock and no randomness; the same input gives
//! the same plan, and no input makes it panic. A plan says for each cluster what to do ([`Intent`]), how many seats it
//! has, and the reasons, in words. What cannot be computed is [`Intent::Hold`]: what runs goes on as it is.
//!
//! - [`input`] reads the kinds users write; mistakes become [`InputError`]s that name object and field.
//! - [`offline`] plans manifests without a hub, for `muster plan`.
//! - [`render`] makes the object one member gets, [`content_hash`] its hash.

mod canonical;
mod division;
mod error;
mod fnv;
pub mod input;
mod kubefed;
mod model;
pub mod offline;
mod placement;
mod planning;
mod reason;
mod render;
mod result;
mod selector;
#[cfg(test)]
mod testing;

pub use canonical::{Policies, canonical, content_hash};
pub use error::{InputError, Problem};
pub use model::{
    Adopt, Algorithm, Basis, BasisError, Capacity, Contact, DivisionKind, FederatedObject, Fleet, Inventory,
    MAX_REPLICAS, Member, Observed, Override, Placement, Preference, Release, RemovePolicy, Settings, Share,
    Target,
};
pub use planning::plan;
pub use reason::{PlanCondition, Reason, ReasonCode, Wait, condition};
pub use render::{RenderError, render};
pub use result::{ClusterPlan, Intent, Plan};
