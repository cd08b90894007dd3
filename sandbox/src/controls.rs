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
            Change::Applied { old, new } => {
                if let Some(command) = asked(old.as_deref(), new) {
                    send(&clusters, command);
                }
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

/// What a cluster asks for that it did not ask for before. A link that was cut otherwise stays cut whatever else
/// changes about the cluster, its status say.
fn asked(old: Option<&KubeFedCluster>, new: &KubeFedCluster) -> Option<Command> {
    let link_up = link_up(new);
    let changed = old.map(self::link_up) != Some(link_up);
    changed.then(|| Command::Cluster { name: new.name_any(), link_up })
}

fn link_up(cluster: &KubeFedCluster) -> bool {
    let link = cluster.annotations().get(keys::sandbox::LINK).map(String::as_str);
    link != Some(keys::sandbox::LINK_DOWN)
}

fn restart_asked(lease: &Lease) -> Option<&String> {
    lease.annotations().get(keys::sandbox::RESTART)
}

#[cfg(test)]
mod tests {
    use muster_crds::core_kubefed::KubeFedClusterSpec;

    use super::*;

    fn cluster(link: Option<&str>) -> KubeFedCluster {
        let mut cluster = KubeFedCluster::new("shanghai", KubeFedClusterSpec::default());
        if let Some(link) = link {
            cluster.annotations_mut().insert(keys::sandbox::LINK.to_owned(), link.to_owned());
        }
        cluster
    }

    #[test]
    fn only_a_changed_annotation_cuts_or_mends_a_link() {
        let command = |link_up| Some(Command::Cluster { name: "shanghai".to_owned(), link_up });
        let (plain, down) = (cluster(None), cluster(Some(keys::sandbox::LINK_DOWN)));
        assert_eq!(asked(None, &plain), command(true));
        assert_eq!(asked(None, &down), command(false));
        assert_eq!(asked(Some(&plain), &down), command(false));
        assert_eq!(asked(Some(&down), &plain), command(true));
        let mut ready = plain.clone();
        ready.status = Some(muster_crds::core_kubefed::KubeFedClusterStatus::default());
        assert_eq!(asked(Some(&plain), &ready), None);
    }
}
