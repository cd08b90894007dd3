//! What to do next for a GameStatefulSet: a pure function from a [`Snapshot`] and a time to a [`Plan`].
//!
//! [`plan`] looks at one set, its pods, revisions and claims, and answers with the writes that are due now, each with
//! the reason for it, with what is waited for and why, and with the status of the set. It knows no client, no clock
//! and no randomness, remembers nothing between two calls, and may be called on any snapshot at any time: all that an
//! update under way needs to know is written on the pods. Who calls it carries the steps out and calls again when
//! something changes, or after [`Plan::recheck_after`].
//!
//! | module | idea |
//! |---|---|
//! | [`spec`] | what the set asks for, and what cannot be acted on |
//! | [`family`] | which pods are the set's |
//! | [`revision`], [`template`], [`change`] | the history of templates, their meaning, and what lies between two of them |
//! | [`inplace`] | an update of a running pod |
//! | `hooks` | what is asked before a pod is touched, and after |
//! | [`size`], `resize` | CPU and memory of containers, and their change in a running pod |
//! | `prove` | images are pulled before anything is stopped for them |
//! | `rollout`, `patch` | which pods are updated next, and what is written to them |
//! | `deadline` | updates that take too long |
//! | `canary` | an update that goes by steps |
//! | `scale`, `claims` | which ordinals the set has, and what becomes of their storage |
//! | [`plan`](mod@plan) | the steps and waits |
//! | [`blocked`] | what does not move, for the status |
//! | [`reason`] | why, in one vocabulary |

pub mod blocked;
mod canary;
pub mod change;
mod claims;
mod deadline;
pub mod family;
mod fill;
mod hooks;
pub mod identity;
pub mod inplace;
mod patch;
pub mod plan;
mod planner;
pub mod pod;
mod prove;
pub mod reason;
mod resize;
pub mod revision;
mod rollout;
mod scale;
pub mod selector;
mod siblings;
pub mod size;
pub mod snapshot;
pub mod spec;
mod status;
pub mod template;
#[cfg(test)]
mod tests;

pub use canary::Step as CanaryStep;
pub use plan::{Action, Plan, PlanError, Step, Wait, plan};
pub use pod::Pod;
pub use reason::{Code, Reason};
pub use revision::Revision;
pub use snapshot::{Claim, HookRun, Hooks, Node, Refusal, SetId, Snapshot};
