//! Pods as three sides see them: the API server, the processes themselves, and the node's container runtime.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::game::{self, SERVER_HTTP, SIDECAR_HTTP};
use crate::set::{SERVER, SIDECAR};

/// One pod.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) uid: String,
    pub(crate) address: String,
    pub(crate) server: Running,
    pub(crate) sidecar: Running,
}

/// A container that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) container_id: String,
    pub(crate) image_id: String,
    /// The image that the spec names.
    pub(crate) image_name: String,
    pub(crate) restarts: i32,
    /// Process id on the node.
    pub(crate) pid: String,
    /// `/status`.
    pub(crate) status: Value,
}

impl Running {
    /// Which start of the program it is.
    pub(crate) fn instance(&self) -> &str {
        self.status["identity"]["instance"].as_str().unwrap_or_default()
    }

    /// What its build calls itself.
    pub(crate) fn version(&self) -> &str {
        self.status["identity"]["version"].as_str().unwrap_or_default()
    }

    /// Whose memory the shared record is.
    pub(crate) fn memory(&self) -> &str {
        self.status["shared"]["memory"].as_str().unwrap_or_default()
    }

    /// How often the shared record was written.
    pub(crate) fn shared_counter(&self) -> u64 {
        self.status["shared"]["counter"].as_u64().unwrap_or_default()
    }
}

/// Looks at a pod whose containers run; `pids` are the node's, by container id.
pub(crate) async fn look(pod: &Pod, pids: &BTreeMap<String, String>) -> Result<(String, Seen)> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let missing = |what: &str| Failure::Seen(format!("pod {name} has no {what}"));
    let uid = pod.metadata.uid.clone().ok_or_else(|| missing("uid"))?;
    let status = pod.status.as_ref().ok_or_else(|| missing("status"))?;
    let address = status.pod_ip.clone().ok_or_else(|| missing("address"))?;
    let mut running = BTreeMap::new();
    for (container, port) in [(SERVER, SERVER_HTTP), (SIDECAR, SIDECAR_HTTP)] {
        let of_pod = status.container_statuses.iter().flatten().find(|one| one.name == container);
        let of_pod = of_pod.ok_or_else(|| missing(container))?;
        let container_id = of_pod.container_id.clone().ok_or_else(|| missing("container id"))?;
        let named = pod.spec.iter().flat_map(|spec| &spec.containers).find(|one| one.name == container);
        let bare = container_id.rsplit('/').next().unwrap_or_default();
        let pid = pids.get(bare).ok_or_else(|| missing("process on the node"))?;
        running.insert(
            container,
            Running {
                image_id: of_pod.image_id.clone(),
                image_name: named.and_then(|one| one.image.clone()).unwrap_or_default(),
                restarts: of_pod.restart_count,
                pid: pid.clone(),
                status: game::status(&address, port).await?,
                container_id,
            },
        );
    }
    let mut take = |container| running.remove(container).ok_or_else(|| missing(container));
    let (server, sidecar) = (take(SERVER)?, take(SIDECAR)?);
    Ok((name.clone(), Seen { uid, address, server, sidecar }))
}
