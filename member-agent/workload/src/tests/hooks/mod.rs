//! What hooks gate, with scripted answers.

mod asking;
mod deleting;
mod promises;
mod updating;

pub(super) const PRE_DELETE: &str = "preDeleteUpdateStrategy";
pub(super) const PRE_INPLACE: &str = "preInplaceUpdateStrategy";
pub(super) const POST_INPLACE: &str = "postInplaceUpdateStrategy";
