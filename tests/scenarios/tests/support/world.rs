//! Clusters, the hub and the agents of one scenario, and what can be done to them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use kube::{Client, Resource};
use muster_crds::tkex::GameStatefulSet;
use muster_crds::types_kubefed::FederatedGameStatefulSet;
use muster_runtime::{Clock, Tasks};
use muster_sandbox::apply::{Applier, Wave};
use muster_sandbox::manifests::Manifest;
use muster_sandbox::{Config, Sandbox};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::film::Film;
use super::manifests::{self, NAMESPACE};
use super::picture::picture;
use super::pods::{PodView, Pods};
use super::status;
use super::writes::{Write, Writes};
use super::{NANJING, SHANGHAI};

/// Which clusters scenarios run on.
const CLUSTERS: &str = "MUSTER_TEST_CLUSTERS";

/// When every scenario begins.
const START: &str = "2026-03-01T12:00:00Z";

/// How long a scenario waits for a state, in its own time.
const DEADLINE: Duration = Duration::from_mins(5);

/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

/// Who scenarios are to the API servers, and their field manager.
const USER: &str = "scenario";

/// What a world is made from.
pub(crate) struct Setup {
    pub(crate) members: Vec<String>,
    pub(crate) seed: u64,
    /// Nodes in each member; each takes 110 pods.
    pub(crate) nodes: usize,
    /// From binding until a pod is ready.
    pub(crate) pod_start: std::ops::RangeInclusive<Duration>,
}

/// A hub with its members.
pub(crate) struct World {
    clusters: Clusters,
    setup: Setup,
    clock: Clock,
    tasks: Tasks,
}

/// The kinds of clusters a world can be made of.
enum Clusters {
    /// API servers, nodes, hub and agents in this process.
    Embedded(Sandbox),
}

// === impl Setup ===

impl Setup {
    /// Members of these names, two nodes each.
    pub(crate) fn new(members: &[&str]) -> Self {
        Self {
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            seed: 1,
            nodes: 2,
            pod_start: Duration::from_millis(200)..=Duration::from_millis(1500),
        }
    }

    /// The same with another seed.
    pub(crate) fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

// === impl World ===

impl World {
    /// Two members, Shanghai and Nanjing.
    pub(crate) async fn two() -> Self {
        Self::start(Setup::new(&[SHANGHAI, NANJING])).await
    }

    /// Starts everything: the members are registered, and their agents run.
    pub(crate) async fn start(setup: Setup) -> Self {
        logs();
        let kind = std::env::var(CLUSTERS).unwrap_or_else(|_| "embedded".to_owned());
        match kind.as_str() {
            "embedded" => {}
            "kubernetes" => panic!(
                "{CLUSTERS}=kubernetes: scenarios cannot yet start hub and agents against the contexts hub, member-1, \
                 member-2... of MUSTER_TEST_KUBECONFIG, cut their links, or read their audit logs; use \
                 {CLUSTERS}=embedded"
            ),
            other => panic!("{CLUSTERS}={other}: known are embedded and kubernetes"),
        }
        let clock = Clock::simulated(START.parse().expect("a valid time"));
        let tasks = Tasks::new();
        let fleet = setup.members.iter().map(|name| manifests::cluster(name));
        let mut config = Config::new(fleet.map(manifest).collect(), clock.clone());
        config.seed = setup.seed;
        config.nodes = setup.nodes;
        config.pod_start = setup.pod_start.clone();
        let sandbox = Sandbox::start(config, &tasks).await.expect("the sandbox starts");
        assert!(sandbox.rejected().is_empty(), "not accepted: {:?}", sandbox.rejected());
        let world = Self { clusters: Clusters::Embedded(sandbox), setup, clock, tasks };
        world.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})).await;
        world
    }

    /// The seed everything random is drawn from.
    pub(crate) fn seed(&self) -> u64 {
        self.setup.seed
    }

    /// The time in this world.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The members, by name.
    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        self.setup.members.iter().map(String::as_str)
    }

    /// A client of the hub's API.
    pub(crate) fn hub(&self) -> Client {
        self.client("hub")
    }

    /// A client of a member's API.
    pub(crate) fn member(&self, name: &str) -> Client {
        self.client(name)
    }

    /// A client of a member's view, as served by the hub.
    pub(crate) fn view(&self, member: &str) -> Client {
        self.client(&format!("view-{member}"))
    }

    fn client(&self, context: &str) -> Client {
        let Clusters::Embedded(sandbox) = &self.clusters;
        sandbox.client(context, USER).unwrap_or_else(|error| panic!("no client for {context}: {error}"))
    }

    // --- What can be done to the parts ---

    /// Cuts a member's link to the hub.
    pub(crate) fn cut(&self, member: &str) {
        let Clusters::Embedded(sandbox) = &self.clusters;
        sandbox.set_link(member, false).expect("a member");
    }

    /// Mends a member's link to the hub.
    pub(crate) fn mend(&self, member: &str) {
        let Clusters::Embedded(sandbox) = &self.clusters;
        sandbox.set_link(member, true).expect("a member");
    }

    /// Kills the hub where it is.
    pub(crate) async fn kill_hub(&self) {
        let Clusters::Embedded(sandbox) = &self.clusters;
        sandbox.kill_hub().await;
    }

    /// Starts the hub; one that runs is killed first.
    pub(crate) async fn restart_hub(&self) {
        let Clusters::Embedded(sandbox) = &self.clusters;
        sandbox.restart_hub().await.expect("the hub starts");
    }

    /// Kills a member's agent where it is.
    pub(crate) async fn kill_agent(&self, member: &str) {
        let Clusters::Embedded(sandbox) = &self.clusters;
        sandbox.kill_agent(member).await.expect("a member");
    }

    /// Starts a member's agent; one that runs is killed first.
    pub(crate) async fn restart_agent(&self, member: &str) {
        let Clusters::Embedded(sandbox) = &self.clusters;
        sandbox.restart_agent(member).await.expect("the agent starts");
    }

    /// What Muster wrote to one cluster so far: `hub` or a member. Simulated nodes are not Muster.
    pub(crate) fn writes(&self, cluster: &str) -> Writes {
        let Clusters::Embedded(sandbox) = &self.clusters;
        let requests = sandbox.cluster(cluster).expect("a cluster").metrics().requests();
        let mut writes = BTreeMap::new();
        for (labels, count) in requests {
            let ours =
                ["muster-hub/", "muster-agent/"].iter().any(|agent| labels.user_agent.starts_with(agent));
            if ours && !matches!(labels.verb, "get" | "list" | "watch" | "") {
                let write = Write {
                    user_agent: labels.user_agent.to_string(),
                    verb: labels.verb.to_owned(),
                    resource: labels.resource.to_string(),
                    subresource: labels.subresource.to_string(),
                };
                *writes.entry(write).or_default() += count;
            }
        }
        Writes(writes)
    }

    // --- Objects of the hub ---

    /// Applies a manifest to the hub as a user would, and fails if it is refused.
    pub(crate) async fn apply(&self, object: &Value) -> DynamicObject {
        match self.try_apply(object).await {
            Ok(object) => object,
            Err(error) => panic!("{} was refused: {error}", object["metadata"]["name"]),
        }
    }

    /// Applies a manifest to the hub as a user would.
    pub(crate) async fn try_apply(&self, object: &Value) -> Result<DynamicObject, kube::Error> {
        apply(self.hub(), object).await
    }

    /// Applies the manifests of an example to the hub: namespaces first, federated objects last.
    pub(crate) async fn apply_example(&self, manifests: &[Manifest]) {
        let mut applier = Applier::new(self.hub());
        let refused = applier.namespaces(manifests).await;
        assert!(refused.is_empty(), "refused: {refused:?}");
        let mut manifests: Vec<&Manifest> = manifests.iter().collect();
        manifests.sort_by_key(|manifest| Wave::of(manifest));
        for manifest in manifests {
            if let Err(refused) = applier.apply(manifest).await {
                panic!("{refused}");
            }
        }
    }

    /// Applies a manifest to a member as a user of that cluster would.
    pub(crate) async fn apply_in(&self, member: &str, object: &Value) -> DynamicObject {
        match apply(self.member(member), object).await {
            Ok(object) => object,
            Err(error) => panic!("{} was refused by {member}: {error}", object["metadata"]["name"]),
        }
    }

    /// Makes the scenarios' namespace in a member.
    pub(crate) async fn namespace_in(&self, member: &str) {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        self.apply_in(member, &object).await;
    }

    /// The API of federated sets.
    pub(crate) fn games(&self) -> Api<FederatedGameStatefulSet> {
        Api::namespaced(self.hub(), NAMESPACE)
    }

    /// A federated set.
    pub(crate) async fn game(&self, name: &str) -> FederatedGameStatefulSet {
        self.games().get(name).await.unwrap_or_else(|error| panic!("federated set {name}: {error}"))
    }

    /// Changes a federated set: a merge patch.
    pub(crate) async fn edit(&self, name: &str, change: &Value) {
        patch(&self.games(), name, change).await;
    }

    /// Changes the preference of a federated set: a merge patch.
    pub(crate) async fn edit_preference(&self, name: &str, change: &Value) {
        let api: Api<muster_crds::scheduling::ReplicaSchedulingPreference> =
            Api::namespaced(self.hub(), NAMESPACE);
        patch(&api, name, change).await;
    }

    /// Scales a federated set as `kubectl scale` does.
    pub(crate) async fn scale(&self, name: &str, replicas: i64) {
        self.scale_in(NAMESPACE, name, replicas).await;
    }

    /// Scales a federated set of another namespace.
    pub(crate) async fn scale_in(&self, namespace: &str, name: &str, replicas: i64) {
        let api: Api<FederatedGameStatefulSet> = Api::namespaced(self.hub(), namespace);
        let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        api.patch_scale(name, &PatchParams::default(), &scale).await.expect("scaled");
    }

    /// Deletes a federated set.
    pub(crate) async fn delete_game(&self, name: &str) {
        self.games().delete(name, &DeleteParams::default()).await.expect("deleted");
    }

    // --- Objects of members ---

    /// The API of sets in a member.
    pub(crate) fn sets(&self, member: &str) -> Api<GameStatefulSet> {
        Api::namespaced(self.member(member), NAMESPACE)
    }

    /// A set in a member.
    pub(crate) async fn set(&self, member: &str, name: &str) -> GameStatefulSet {
        self.sets(member).get(name).await.unwrap_or_else(|error| panic!("set {name} in {member}: {error}"))
    }

    /// Whether a member has a set of this name.
    pub(crate) async fn has_set(&self, member: &str, name: &str) -> bool {
        self.sets(member).get_opt(name).await.expect("answered").is_some()
    }

    /// Changes a set in a member: a merge patch by a user of that cluster.
    pub(crate) async fn edit_set(&self, member: &str, name: &str, change: &Value) {
        patch(&self.sets(member), name, change).await;
    }

    /// The pods of a set in a member.
    pub(crate) async fn pods(&self, member: &str, set: &str) -> Pods {
        self.pods_in(member, NAMESPACE, set).await
    }

    /// The pods of a set of another namespace.
    pub(crate) async fn pods_in(&self, member: &str, namespace: &str, set: &str) -> Pods {
        let api: Api<Pod> = Api::namespaced(self.member(member), namespace);
        let list = api.list(&ListParams::default().labels(&format!("app={set}"))).await.expect("listed");
        let views = list.items.iter().map(PodView::of);
        Pods(views.map(|pod| (pod.name.clone(), pod)).collect())
    }

    /// Deletes a pod as a user of that cluster would.
    pub(crate) async fn delete_pod(&self, member: &str, name: &str) {
        let api: Api<Pod> = Api::namespaced(self.member(member), NAMESPACE);
        api.delete(name, &DeleteParams::default()).await.expect("deleted");
    }

    /// Watches the pods of a set in a member from now on.
    pub(crate) async fn film(&self, member: &str, set: &str) -> Film {
        self.film_in(member, NAMESPACE, set).await
    }

    /// Watches the pods of a set of another namespace from now on.
    pub(crate) async fn film_in(&self, member: &str, namespace: &str, set: &str) -> Film {
        let api: Api<Pod> = Api::namespaced(self.member(member), namespace);
        Film::start(api, &format!("app={set}"), self.clock.clone(), &self.tasks).await
    }

    /// Whether a member has a namespace of this name.
    pub(crate) async fn has_namespace(&self, member: &str, name: &str) -> bool {
        let api: Api<Namespace> = Api::all(self.member(member));
        api.get_opt(name).await.expect("answered").is_some()
    }

    // --- Time and waiting ---

    /// Lets time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets seconds pass.
    pub(crate) async fn seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds)).await;
    }

    /// Waits until `probe` finds what it looks for; what it says otherwise is shown when that takes too long.
    pub(crate) async fn until<T>(&self, what: &str, mut probe: impl AsyncFnMut() -> Result<T, String>) -> T {
        let give_up = tokio::time::Instant::now() + DEADLINE;
        loop {
            match probe().await {
                Ok(found) => return found,
                Err(lack) if tokio::time::Instant::now() >= give_up => {
                    panic!("{what}: not within {DEADLINE:?}: {lack}\n{}", picture(self).await);
                }
                Err(_) => self.pass(LOOK).await,
            }
        }
    }

    /// Waits until a federated set is Ready at its newest generation with exactly these seats, its status says so,
    /// and the members' pods bear it out.
    pub(crate) async fn settled(&self, name: &str, seats: &[(&str, i64)]) {
        self.settled_in(NAMESPACE, name, seats).await;
    }

    /// As [`settled`](Self::settled), in another namespace.
    pub(crate) async fn settled_in(&self, namespace: &str, name: &str, seats: &[(&str, i64)]) {
        let games: Api<FederatedGameStatefulSet> = Api::namespaced(self.hub(), namespace);
        self.until(&format!("{name} settles at {seats:?}"), async || {
            let game = games.get(name).await.map_err(|error| error.to_string())?;
            status::settled(&game, seats)?;
            for (member, seats) in seats {
                let pods = self.pods_in(member, namespace, name).await;
                let ready = pods.iter().filter(|pod| pod.ready && !pod.terminating).count();
                if [pods.len(), ready] != [usize::try_from(*seats).unwrap_or_default(); 2] {
                    return Err(format!("{member}: {} pods, {ready} ready, not {seats}", pods.len()));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Waits until a condition of a federated set has this status and a message with all of `words`.
    pub(crate) async fn says(&self, name: &str, type_: &str, status: &str, words: &[&str]) {
        self.until(&format!("{name}: {type_} is {status} and says {words:?}"), async || {
            let game = self.game(name).await;
            let found = status::condition(status::conditions(&game), type_).cloned().unwrap_or_default();
            let message = found.message.unwrap_or_default();
            if found.status == status && words.iter().all(|word| message.contains(word)) {
                Ok(())
            } else {
                Err(format!("{type_} is {}: {message}", found.status))
            }
        })
        .await;
    }

    /// Waits until a set of a member, made there by a user, has `replicas` pods, all ready and updated.
    pub(crate) async fn set_settled(&self, member: &str, name: &str, replicas: i64) {
        self.until(&format!("set {name} in {member} settles at {replicas}"), async || {
            let set = self.set(member, name).await;
            let status = set.status.unwrap_or_default();
            if status.observed_generation != set.metadata.generation {
                return Err(format!("status is of generation {:?}", status.observed_generation));
            }
            let numbers = [status.replicas, status.ready_replicas, status.updated_ready_replicas];
            let pods = self.pods(member, name).await;
            let ready = pods.iter().filter(|pod| pod.ready && !pod.terminating).count();
            if numbers != [replicas; 3] || [pods.len(), ready] != [replicas as usize; 2] {
                return Err(format!("replicas, ready, updated and ready {numbers:?}; {} pods", pods.len()));
            }
            Ok(())
        })
        .await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(!self.tasks.panicked(), "a task panicked (seed {})", self.setup.seed);
        }
    }
}

/// An object as a manifest of the sandbox.
fn manifest(object: Value) -> Manifest {
    Manifest { origin: "scenario".to_owned(), object }
}

async fn apply(client: Client, object: &Value) -> Result<DynamicObject, kube::Error> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let api_version = text("/apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = GroupVersionKind::gvk(group, version, text("/kind"));
    let (resource, capabilities) = discovery::pinned_kind(&client, &kind).await?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client, &resource),
        Scope::Namespaced => Api::namespaced_with(client, text("/metadata/namespace"), &resource),
    };
    api.patch(text("/metadata/name"), &PatchParams::apply(USER).force(), &Patch::Apply(object)).await
}

async fn patch<K>(api: &Api<K>, name: &str, change: &Value)
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let params = PatchParams { field_manager: Some(USER.to_owned()), ..PatchParams::default() };
    if let Err(error) = api.patch(name, &params, &Patch::Merge(change)).await {
        panic!("the change of {name} was refused: {error}");
    }
}

/// Logs of a scenario that fails, where `RUST_LOG` asks for them.
fn logs() {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ =
            tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().without_time().try_init();
    }
}
