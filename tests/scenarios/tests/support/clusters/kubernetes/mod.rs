//! Control planes that run already, with nodes of kwok; hub and agents are processes, over TLS.
//!
//! A world takes one control plane for its hub and one for each member out of those that are free, wipes them, and
//! starts hub and agents anew. So as many scenarios run side by side as there are contexts `hub`, `hub-2`... and
//! `member-1`, `member-2`... for them.

mod audit;
mod link;
mod nodes;
mod parts;
mod pool;
mod wipe;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use muster_crds::core_kubefed::KubeFedCluster;
use muster_crds::keys;
use muster_runtime::Tasks;
use parking_lot::Mutex;
use serde_json::{Value, json};

use self::audit::Audit;
use self::parts::Parts;
use self::pool::Planes;
use super::super::manifests;
use super::super::status::condition;
use super::super::world::Setup;
use super::super::writes::Writes;
use super::{Pace, USER};

/// Time is real here. What would do wrong in a quiet while does so at a heartbeat (10 s), a renewed Lease (5 s) or a
/// repeated status (1 s). Bounds are wide: a machine that has other things to do is slow, and what a bound is about shows
/// in order and counts.
pub(super) const PACE: Pace = Pace {
    deadline: Duration::from_mins(4),
    look: Duration::from_millis(200),
    quiet: Duration::from_secs(12),
    lag: Duration::from_millis(300),
    slower: 20,
    silence: Duration::from_mins(2),
};

/// How long hub and agents may take to start.
const START: Duration = Duration::from_mins(4);

/// The pause between two looks whether they have.
const LOOK: Duration = Duration::from_millis(50);

/// The name of the hub among the clusters of a world.
const HUB: &str = "hub";

/// A hub and its members on control planes of their own.
pub(crate) struct Kubernetes {
    clients: BTreeMap<String, Client>,
    audits: BTreeMap<String, Mutex<Audit>>,
    parts: Mutex<Parts>,
    /// Last, so that they are given back when nothing runs on them any more.
    _planes: Planes,
}

// === impl Kubernetes ===

impl Kubernetes {
    pub(super) async fn start(setup: &Setup, tasks: &Tasks) -> Self {
        let_time_run();
        let members: Vec<&str> = setup.members.iter().chain(&setup.later).map(String::as_str).collect();
        let planes = pool::take(&members).await;
        let mut clients = BTreeMap::new();
        for (name, plane) in planes.iter() {
            clients.insert(name.to_owned(), plane.client(USER));
        }
        join_all(clients.iter().map(|(name, client)| prepare(name, client, setup))).await;
        let audits =
            planes.iter().map(|(name, plane)| (name.to_owned(), Mutex::new(Audit::of(plane)))).collect();

        let mut parts = Parts::new(&planes, &members, tasks).await;
        parts.start_hub();
        for member in &members {
            clients.insert(format!("view-{member}"), parts.view(member).await);
        }
        for member in &setup.members {
            parts.start_agent(member);
        }
        let world = Self { clients, audits, parts: Mutex::new(parts), _planes: planes };
        world.leads().await;
        world.ready(&setup.members).await;
        world
    }

    /// Waits until the hub has heard of every member.
    async fn ready(&self, members: &[String]) {
        let api: Api<KubeFedCluster> = Api::namespaced(self.client(HUB), keys::FEDERATION_NAMESPACE);
        let give_up = tokio::time::Instant::now() + START;
        for member in members {
            loop {
                let cluster = api.get(member).await.expect("the cluster is registered");
                let conditions = cluster.status.unwrap_or_default().conditions;
                if condition(&conditions, "Ready").is_some_and(|ready| ready.status == "True") {
                    break;
                }
                self.parts.lock().assert_running();
                assert!(
                    tokio::time::Instant::now() < give_up,
                    "{member} is not Ready within {START:?}: {conditions:?}\n{}",
                    self.last_words()
                );
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    pub(super) fn client(&self, context: &str) -> Client {
        self.clients.get(context).cloned().unwrap_or_else(|| panic!("this world has no cluster {context}"))
    }

    pub(super) fn set_link(&self, member: &str, up: bool) {
        self.parts.lock().set_link(member, up);
    }

    pub(super) fn kill_hub(&self) {
        self.parts.lock().kill_hub();
    }

    /// Starts a hub and waits until it leads. After a killed one that takes until its Lease has run out.
    pub(super) async fn restart_hub(&self) {
        self.parts.lock().start_hub();
        self.leads().await;
    }

    pub(super) async fn replace_hub(&self) {
        self.parts.lock().replace_hub();
        self.leads().await;
    }

    /// Waits until the hub is ready.
    async fn leads(&self) {
        let port = self.parts.lock().port();
        let give_up = tokio::time::Instant::now() + START;
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
            let Err(lack) = port.request_text(request).await else { return };
            assert!(
                tokio::time::Instant::now() < give_up,
                "the hub is not ready within {START:?}: {lack}\n{}",
                self.last_words()
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) fn kill_agent(&self, member: &str) {
        self.parts.lock().kill_agent(member);
    }

    pub(super) fn restart_agent(&self, member: &str) {
        self.parts.lock().start_agent(member);
    }

    /// As the API server's audit log has them.
    pub(super) fn writes(&self, cluster: &str) -> Writes {
        self.audits
            .get(cluster)
            .unwrap_or_else(|| panic!("this world has no cluster {cluster}"))
            .lock()
            .writes()
    }

    pub(super) fn last_words(&self) -> String {
        self.parts.lock().last_words()
    }
}

/// Makes a control plane what a scenario begins with: nothing of an earlier one, and nodes or registrations.
async fn prepare(name: &str, client: &Client, setup: &Setup) {
    wipe::wipe(client).await;
    if name != HUB {
        nodes::nodes(client, setup.nodes).await;
        nodes::volumes(client, setup.volumes).await;
        return;
    }
    install_definitions(client).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": keys::FEDERATION_NAMESPACE},
    });
    apply(&namespaces, &namespace).await;
    let clusters: Api<KubeFedCluster> = Api::namespaced(client.clone(), keys::FEDERATION_NAMESPACE);
    for member in &setup.members {
        apply(&clusters, &manifests::cluster(member)).await;
    }
}

/// Every kind of Muster, as `muster crds apply` does it.
async fn install_definitions(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definitions = muster_crds::all();
    for definition in &definitions {
        apply(&api, &serde_json::to_value(definition).expect("a definition is JSON")).await;
    }
    for definition in &definitions {
        loop {
            let live = api.get(&definition.name_any()).await.expect("the definition is there");
            let conditions = live.status.and_then(|status| status.conditions).unwrap_or_default();
            if conditions.iter().any(|one| one.type_ == "Established" && one.status == "True") {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn apply<K>(api: &Api<K>, object: &Value)
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let applied = api.patch(name, &PatchParams::apply(USER).force(), &Patch::Apply(object)).await;
    applied.unwrap_or_else(|error| panic!("{name} was refused: {error}"));
}

/// Scenarios are declared on paused time, which has to run where other processes take part.
fn let_time_run() {
    let before = tokio::time::Instant::now();
    std::thread::sleep(Duration::from_millis(1));
    // Nothing else moves a paused clock while this thread sleeps.
    if tokio::time::Instant::now() == before {
        tokio::time::resume();
    }
}
