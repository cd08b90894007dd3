//! The model, tested by calling it.
//!
//! A [`World`] is a model and the hub API it writes to, the latter as two maps: writes that the model asks for are
//! carried out at once, as a driver would.

#![expect(clippy::needless_pass_by_value, reason = "calls read better with json!(..) as it is")]

mod chaos;
mod contact;
mod deletion;
mod inputs;
mod planning;
mod restart;
mod seats;
mod views;
mod world;

use world::{World, object, set_image};
