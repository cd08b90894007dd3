//! The cases: one manifest each, and what is done to it. Where both controllers must do the same, nothing is said of it
//! here: the records are compared. Where they do not, the case says in which act, and why.

mod adoption;
mod ordinals;
mod recovery;
mod scaling;
mod storage;
mod updates;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::failure::Result;
use crate::side::Side;

/// A case.
pub(crate) struct Case {
    /// Its name, which is also that of its namespaces.
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) about: &'static str,
    /// The manifest.
    pub(crate) manifest: Value,
    /// What is done on either side.
    pub(crate) play: Play,
    /// Acts in which the two differ on purpose.
    pub(crate) differences: &'static [Difference],
}

/// What is done to a set.
pub(crate) type Play = for<'a> fn(&'a Side) -> BoxFuture<'a, Result<()>>;

/// Something that a GameStatefulSet does otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    /// The act.
    pub(crate) act: &'static str,
    /// Why.
    pub(crate) why: &'static str,
}

/// All of them. Those that take longest come first, so that nobody waits for them alone.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(updates::cases());
    cases.extend(storage::cases());
    cases.extend(scaling::cases());
    cases.extend(recovery::cases());
    cases.extend(ordinals::cases());
    cases.extend(adoption::cases());
    cases
}
