//! Protection of storage in use: a claim stays as long as a pod uses it, a volume as long as it is bound.

use serde_json::json;

use super::{ObjectId, collect::finalizers};
use crate::{
    Status,
    cluster::Inner,
    registry::{storage_protection, text},
};

impl Inner {
    /// Lets go of a claim or volume that is to be deleted and that nobody uses, and holds on to every other one.
    pub(super) fn protect(&self, id: &ObjectId) -> Result<(), Status> {
        let Some(finalizer) = storage_protection(&id.resource) else { return Ok(()) };
        let Some(resource) = self.served(id) else { return Ok(()) };
        let Some((object, live)) = self.live(&resource, &id.key)? else { return Ok(()) };
        let held = finalizers(&live);
        match (object.deleting, held.contains(&finalizer)) {
            (true, true) => {
                let used = id.key.namespace.is_some() && self.lifecycle.state.lock().mounts.is_used(&id.key);
                let bound = id.key.namespace.is_none() && text(&live, "/status/phase") == "Bound";
                if used || bound { Ok(()) } else { self.drop_finalizer(id, &resource, finalizer) }
            }
            (false, false) => {
                let held: Vec<&str> = held.into_iter().chain([finalizer]).collect();
                let version = object.version.to_string();
                let patch = json!({"metadata": {"resourceVersion": version, "finalizers": held}});
                self.merge(&resource, &id.key, &patch, None)
            }
            _ => Ok(()),
        }
    }
}
