//! Clusters, the hub and the agents of one scenario, and what can be done to them.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use kube::{Client, Resource};
use muster_crds::keys::word;
use muster_crds::tkex::GameStatefulSet;
use muster_crds::types_kubefed::FederatedGameStatefulSet;
use muster_runtime::{Clock, Tasks};
use muster_sandbox::apply::{Applier, Wave};
use muster_sandbox::manifests::Manifest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::clusters::{Clusters, Pace, USER};
use super::film::Film;
use super::manifests::{self, NAMESPACE};
use super::picture::picture;
use super::pods::{PodView, Pods};
use super::status;
use super::witness::Witness;
use super::writes::Writes;
use super::{NANJING, SHANGHAI};

/// What a world is made from.
pub(crate) struct Setup {
    pub(crate) members: Vec<String>,
    pub(crate) seed: u64,
    /// Members that are registered only later, by [`World::join`].
    pub(crate) later: Vec<String>,
    /// Nodes in each member; each takes 110 pods.
    pub(crate) nodes: usize,
    /// Volumes in each member for claims to bind to, where nobody makes them.
    pub(crate) volumes: usize,
}

/// A hub with its members.
pub(crate) struct World {
    clusters: Clusters,
    setup: Setup,
    clock: Clock,
    pace: Pace,
    witness: Witness,
    tasks: Tasks,
}

// === impl Setup ===

impl Setup {
    /// Members of these names, two nodes each.
    pub(crate) fn new(members: &[&str]) -> Self {
        Self {
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            seed: 1,
            later: Vec::new(),
            nodes: 2,
            volumes: 0,
        }
    }

    /// The same with another seed.
    pub(crate) fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The same, and a member that may [join](World::join).
    pub(crate) fn later(mut self, member: &str) -> Self {
        self.later.push(member.to_owned());
        self
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
        let tasks = Tasks::new();
        let clusters = Clusters::start(&setup, &tasks).await;
        let (clock, pace) = (clusters.clock(), clusters.pace());
        let world = Self { clusters, setup, clock, pace, witness: Witness::default(), tasks };
        world.members().for_each(|member| world.watch_sets(member));
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
        self.clusters.client("hub")
    }

    /// A client of a member's API.
    pub(crate) fn member(&self, name: &str) -> Client {
        self.clusters.client(name)
    }

    /// A client of a member's view, as served by the hub.
    pub(crate) fn view(&self, member: &str) -> Client {
        self.clusters.client(&format!("view-{member}"))
    }

    // --- What can be done to the parts ---

    /// Registers a member that was not there before, and starts its agent.
    pub(crate) async fn join(&self, member: &str) {
        self.apply(&manifests::cluster(member)).await;
        self.clusters.joined(member);
    }

    /// From now on, sets of this member have to say why they do not move. A member that joins is not there at once, and is
    /// not looked at.
    fn watch_sets(&self, member: &str) {
        self.witness.watch(member, self.member(member), self.clock.clone(), self.pace.silence, &self.tasks);
    }

    /// Cuts a member's link to the hub.
    pub(crate) fn cut(&self, member: &str) {
        self.clusters.set_link(member, false);
    }

    /// Mends a member's link to the hub.
    pub(crate) fn mend(&self, member: &str) {
        self.clusters.set_link(member, true);
    }

    /// Kills the hub where it is.
    pub(crate) async fn kill_hub(&self) {
        self.clusters.kill_hub().await;
    }

    /// Ends the hub in good order, as an upgrade does, and starts another.
    pub(crate) async fn replace_hub(&self) {
        self.clusters.replace_hub().await;
    }

    /// Starts the hub; one that runs is killed first.
    pub(crate) async fn restart_hub(&self) {
        self.clusters.restart_hub().await;
    }

    /// Kills a member's agent where it is.
    pub(crate) async fn kill_agent(&self, member: &str) {
        self.witness.away(member, true);
        self.clusters.kill_agent(member).await;
    }

    /// Starts a member's agent; one that runs is killed first.
    pub(crate) async fn restart_agent(&self, member: &str) {
        self.clusters.restart_agent(member).await;
        self.witness.away(member, false);
    }

    /// What Muster wrote to one cluster so far: `hub` or a member. Nodes are not Muster.
    pub(crate) fn writes(&self, cluster: &str) -> Writes {
        self.clusters.writes(cluster)
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
        read(async || self.games().get(name).await)
            .await
            .unwrap_or_else(|error| panic!("federated set {name}: {error}"))
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
        read(async || self.sets(member).get(name).await)
            .await
            .unwrap_or_else(|error| panic!("set {name} in {member}: {error}"))
    }

    /// Whether a member has a set of this name.
    pub(crate) async fn has_set(&self, member: &str, name: &str) -> bool {
        read(async || self.sets(member).get_opt(name).await).await.expect("answered").is_some()
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
        let of_set = ListParams::default().labels(&format!("app={set}"));
        let list = read(async || api.list(&of_set).await).await.expect("listed");
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
        Film::start(api, &format!("app={set}"), self.clock.clone(), self.pace.lag, &self.tasks).await
    }

    /// Whether a member has a namespace of this name.
    pub(crate) async fn has_namespace(&self, member: &str, name: &str) -> bool {
        let api: Api<Namespace> = Api::all(self.member(member));
        read(async || api.get_opt(name).await).await.expect("answered").is_some()
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

    /// Lets seconds pass in which nothing is to happen. Where time is real, they are cut down to what a resync, a
    /// heartbeat or a renewal takes that would do wrong.
    pub(crate) async fn quiet(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds).min(self.pace.quiet)).await;
    }

    /// How long something may take that takes at most `limit` when computing costs no time.
    pub(crate) fn allowed(&self, limit: Duration) -> Duration {
        limit * self.pace.slower
    }

    /// Waits until `probe` finds what it looks for; what it says otherwise is shown when that takes too long.
    pub(crate) async fn until<T>(&self, what: &str, mut probe: impl AsyncFnMut() -> Result<T, String>) -> T {
        let Pace { deadline, look, .. } = self.pace;
        let give_up = tokio::time::Instant::now() + deadline;
        loop {
            match probe().await {
                Ok(found) => return found,
                Err(lack) if tokio::time::Instant::now() >= give_up => {
                    panic!("{what}: not within {deadline:?}: {lack}\n{}", picture(self).await);
                }
                Err(_) => self.pass(look).await,
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

    /// Waits until the hub calls a member of a federated set lost.
    pub(crate) async fn lost(&self, name: &str, member: &str) {
        self.until(&format!("{member} is lost"), async || {
            let row = status::row(&self.game(name).await, member);
            if row.status.as_deref() == Some(word::CLUSTER_NOT_READY) {
                Ok(())
            } else {
                Err(format!("{row:?}"))
            }
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
        if std::thread::panicking() {
            println!("{}", self.clusters.last_words());
        } else {
            assert!(!self.tasks.panicked(), "a task panicked (seed {})", self.setup.seed);
            let silent = self.witness.silent();
            assert!(silent.is_empty(), "sets that do not move and say no reason: {silent:#?}");
        }
    }
}

/// Reads, and once more where no server answered: a machine that has other things to do may be too slow for a deadline.
async fn read<T>(ask: impl AsyncFn() -> Result<T, kube::Error>) -> Result<T, kube::Error> {
    match ask().await {
        Err(kube::Error::Api(status)) => Err(kube::Error::Api(status)),
        Err(_) => ask().await,
        found => found,
    }
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
