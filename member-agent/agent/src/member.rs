//! What the hub should know of the member itself.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::api::ListParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// How long one reading may take.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// How often the facts are read again.
const REFRESH: Duration = Duration::from_mins(1);

/// How soon they are read again when something was missing.
const RETRY: Duration = Duration::from_secs(5);

/// The member, asked about itself now and then.
pub struct Member {
    client: Client,
    facts: Mutex<Value>,
}

impl Member {
    /// The member behind `client`.
    pub fn new(client: Client) -> Self {
        Self { client, facts: Mutex::new(json!({})) }
    }

    /// `{"uid", "version", "capacity": {"nodes", "pods"}}` as last read; what could not be read is
    /// left out.
    ///
    /// The uid is that of the namespace `kube-system`, which lives as long as the cluster. The
    /// capacity counts nodes that are ready and may be scheduled to, and the pods they take.
    pub fn facts(&self) -> Value {
        self.facts.lock().clone()
    }

    /// Keeps the facts fresh, for ever. The first reading is the caller's.
    pub async fn run(&self) {
        let mut pause = RETRY;
        loop {
            tokio::time::sleep(pause).await;
            pause = if self.refresh().await { REFRESH } else { RETRY };
        }
    }

    /// Reads the facts once. Returns whether nothing was missing.
    pub async fn refresh(&self) -> bool {
        let (uid, version, capacity) = tokio::join!(self.uid(), self.version(), self.capacity());
        let complete = uid.is_some() && version.is_some();
        let mut facts = self.facts.lock();
        // What cannot be read now is still what it was.
        for (key, value) in [("uid", uid), ("version", version), ("capacity", capacity)] {
            if let Some(value) = value {
                facts[key] = value;
            }
        }
        complete
    }

    async fn uid(&self) -> Option<Value> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = read("namespace kube-system", api.get_metadata("kube-system")).await?;
        namespace.metadata.uid.map(Value::String)
    }

    async fn version(&self) -> Option<Value> {
        let version = read("version", self.client.apiserver_version()).await?;
        Some(Value::String(version.git_version))
    }

    async fn capacity(&self) -> Option<Value> {
        let api: Api<Node> = Api::all(self.client.clone());
        let nodes = read("nodes", api.list(&ListParams::default())).await?;
        let usable: Vec<&Node> = nodes.items.iter().filter(|node| is_usable(node)).collect();
        let pods: u64 = usable.iter().filter_map(|node| pods_of(node)).sum();
        Some(json!({"nodes": usable.len(), "pods": pods}))
    }
}

fn is_usable(node: &Node) -> bool {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default();
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.is_some_and(|all| {
        all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    ready && !cordoned
}

fn pods_of(node: &Node) -> Option<u64> {
    node.status.as_ref()?.allocatable.as_ref()?.get("pods")?.0.parse().ok()
}

async fn read<T>(what: &str, request: impl Future<Output = kube::Result<T>>) -> Option<T> {
    match tokio::time::timeout(READ_DEADLINE, request).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::debug!(what, %error, "cannot read it from the member");
            None
        }
        Err(_) => {
            tracing::debug!(what, "the member does not answer");
            None
        }
    }
}
