//! The hub's side of the hub API: what is watched, what is written, who leads.

pub(crate) mod feeds;
pub(crate) mod lease;
pub(crate) mod writer;

/// An error of the hub API with its causes, and what to do where that is known.
pub(crate) fn explained(error: &kube::Error) -> String {
    let text = muster_runtime::error::api(error);
    match error {
        kube::Error::Api(status) if status.is_forbidden() => {
            format!("{text}; grant it: deploy/hub/rbac.yaml has what a hub needs")
        }
        _ => text,
    }
}
