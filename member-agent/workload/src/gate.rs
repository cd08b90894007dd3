//! Hook points: what has to be asked before a pod is touched, and after.

use crate::change::InPlaceChange;
use crate::planner::Planner;
use crate::pod::Pod;
use crate::reason::Code;
use crate::revision::Revision;

impl Planner<'_> {
    /// Whether a pod may be deleted now, for this cause; says why where it may not.
    pub(crate) fn may_delete(&mut self, _pod: &Pod, _cause: Code) -> bool {
        true
    }

    /// Whether a pod may be updated in place now; says why where it may not.
    pub(crate) fn may_update(&mut self, _pod: &Pod, _target: &Revision, _change: &InPlaceChange) -> bool {
        true
    }

    /// Whether a pod whose new containers run may serve again; says why where it may not.
    pub(crate) fn after_update(&mut self, _pod: &Pod) -> bool {
        true
    }
}
