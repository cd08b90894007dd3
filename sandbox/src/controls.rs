//! What a user of the sandbox does through the hub's API: adding clusters, cutting links, restarting the hub.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use kube::{Client, ResourceExt};
use muster_crds::core_kubefed::KubeFedCluster;
use muster_crds::keys;
use muster_runtime::Tasks;
use muster_runtime::watch::{Change, Watch};
use tokio::sync::mpsc;

/// How many commands may wait; further ones are dropped with a warning.
const QUEUE: usize = 1024;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// A cluster is registered: its link is to be up or down.
    Cluster { name: String, link_up: bool },
    /// A cluster is no longer registered.
    ClusterGone { name: String },
    /// The hub is to be restarted.
    RestartHub,
}

/// Watches the hub's API for commands, until `tasks` is stopped.
pub(crate) fn watch(client: &Client, namespace: &str, tasks: &Tasks) -> mpsc::Receiver<Command> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let send = |sender: &mpsc::Sender<Command>, command: Command| {
        if let Err(error) = sender.try_send(command) {
            tracing::warn!(%error, "a sandbox command was dropped");
        }
    };
    let clusters = sender.clone();
    Watch::new("sandbox-clusters", Api::<KubeFedCluster>::namespaced(client.clone(), namespace))
        .subscribe(move |change| match change {
            Change::Applied { new, .. } => {
                let link = new.annotations().get(keys::sandbox::LINK).map(String::as_str);
                let link_up = link != Some(keys::sandbox::LINK_DOWN);
                send(&clusters, Command::Cluster { name: new.name_any(), link_up });
            }
            Change::Deleted(cluster) => {
                send(&clusters, Command::ClusterGone { name: cluster.name_any() });
            }
            Change::Synced => {}
        })
        .start(tasks);
    Watch::new("sandbox-leases", Api::<Lease>::namespaced(client.clone(), namespace))
        .subscribe(move |change| {
            if let Change::Applied { old: Some(old), new } = change
                && restart_asked(old) != restart_asked(new)
                && restart_asked(new).is_some()
            {
                send(&sender, Command::RestartHub);
            }
        })
        .start(tasks);
    receiver
}

fn restart_asked(lease: &Lease) -> Option<&String> {
    lease.annotations().get(keys::sandbox::RESTART)
}
