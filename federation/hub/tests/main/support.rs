//! A hub API with everything Muster defines in it, and hubs over it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use muster_apiserver::{Cluster, ClusterConfig};
use muster_crds::types_kubefed::FederatedStatus;
use muster_crds::{
    FederatedGameStatefulSet, GameStatefulSet, KubeFedCluster, ReplicaSchedulingPreference, Tombstone,
};
use muster_hub::{Hub, HubConfig};
use muster_runtime::{Clock, Tasks, client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Where the registrations are.
pub(crate) const FEDERATION: &str = "kube-federation-system";

/// A hub API, and the hub over it.
pub(crate) struct World {
    pub(crate) api: Cluster,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) router: Router,
    hub_tasks: Tasks,
    tasks: Tasks,
    starts: usize,
}

impl World {
    /// A hub API with definitions and namespaces, and a hub that leads.
    pub(crate) async fn start() -> Self {
        let mut world = Self::without_hub().await;
        world.start_hub().await;
        world
    }

    /// A hub API with definitions and namespaces.
    pub(crate) async fn without_hub() -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::simulated(start);
        let now = clock.clone();
        let api = Cluster::new(ClusterConfig::new("hub", 1, Arc::new(move || now.now())));
        let tasks = Tasks::new();
        tasks.spawn_until("hub API", api.clone().run(tasks.token()));
        let client = client::in_process(api.router(), "kubectl/test").unwrap();
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for definition in muster_crds::all() {
            definitions.create(&PostParams::default(), &definition).await.unwrap();
        }
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for name in [FEDERATION, "center"] {
            let mut namespace = Namespace::default();
            namespace.metadata.name = Some(name.to_owned());
            namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        }
        let sets: Api<FederatedGameStatefulSet> = Api::all(client.clone());
        eventually("definitions are served", || async { sets.list(&ListParams::default()).await.is_ok() })
            .await;
        let hub_tasks = tasks.child();
        Self { api, client, clock, router: Router::new(), hub_tasks, tasks, starts: 0 }
    }

    /// Starts a hub process, and waits until it serves.
    pub(crate) async fn start_hub(&mut self) {
        self.starts += 1;
        self.hub_tasks = self.tasks.child();
        let hub_client = client::in_process(self.api.router(), "muster-hub/test").unwrap();
        let mut config = HubConfig::new(hub_client, format!("hub-{}", self.starts));
        config.clock = self.clock.clone();
        let hub = Hub::start(config, &self.hub_tasks).unwrap();
        self.router = hub.router();
        eventually("the hub is ready", || async { hub.pending().is_empty() }).await;
    }

    /// Stops the hub process.
    pub(crate) async fn stop_hub(&mut self) {
        self.hub_tasks.stop().await;
    }

    /// Stops everything.
    pub(crate) async fn stop(self) {
        self.tasks.stop().await;
    }

    /// Registers clusters whose agents hold nothing.
    pub(crate) async fn clusters(&self, names: &[&str]) {
        for name in names {
            self.register(name).await;
            self.view(name).inventory().await;
        }
    }

    /// Registers a cluster, and waits until its view is there.
    pub(crate) async fn register(&self, name: &str) {
        let api: Api<KubeFedCluster> = Api::namespaced(self.client.clone(), FEDERATION);
        let cluster: KubeFedCluster = serde_json::from_value(json!({
            "apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster",
            "metadata": {"name": name}, "spec": {},
        }))
        .unwrap();
        api.create(&PostParams::default(), &cluster).await.unwrap();
        let view = self.view(name);
        eventually("the view is served", || async { view.current().await.is_some() }).await;
    }

    /// The agent of a cluster, to be played by hand.
    pub(crate) fn view(&self, cluster: &str) -> View {
        let prefix = format!("/views/{cluster}");
        let client = client::in_process_under(self.router.clone(), &prefix, "muster-agent/test").unwrap();
        View { cluster: cluster.to_owned(), client }
    }

    pub(crate) async fn create_object(&self, object: Value) {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "center", &federated());
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }

    /// Merges a patch into a federated object.
    pub(crate) async fn patch_object(&self, name: &str, patch: Value) {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "center", &federated());
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub(crate) async fn object(&self, name: &str) -> Option<FederatedGameStatefulSet> {
        let api: Api<FederatedGameStatefulSet> = Api::namespaced(self.client.clone(), "center");
        api.get_opt(name).await.unwrap()
    }

    pub(crate) async fn delete_object(&self, name: &str) {
        let api: Api<FederatedGameStatefulSet> = Api::namespaced(self.client.clone(), "center");
        api.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
    }

    pub(crate) async fn status(&self, name: &str) -> FederatedStatus {
        self.object(name).await.and_then(|object| object.status).unwrap_or_default()
    }

    /// A condition of an object, as `True Reason message`.
    pub(crate) async fn condition(&self, name: &str, type_: &str) -> String {
        let status = self.status(name).await;
        let condition = muster_crds::conditions::find(&status.conditions, type_);
        condition.map_or_else(String::new, |condition| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("{} {} {}", condition.status, text(&condition.reason), text(&condition.message))
        })
    }

    pub(crate) async fn prefer(&self, name: &str, spec: Value) {
        let api: Api<ReplicaSchedulingPreference> = Api::namespaced(self.client.clone(), "center");
        let preference = json!({
            "apiVersion": "scheduling.kubefed.io/v1alpha1", "kind": "ReplicaSchedulingPreference",
            "metadata": {"name": name, "namespace": "center"}, "spec": spec,
        });
        api.create(&PostParams::default(), &serde_json::from_value(preference).unwrap()).await.unwrap();
    }

    pub(crate) async fn tombstones(&self) -> Vec<Tombstone> {
        let api: Api<Tombstone> = Api::namespaced(self.client.clone(), FEDERATION);
        api.list(&ListParams::default()).await.unwrap().items
    }

    pub(crate) async fn lease(&self) -> Lease {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), FEDERATION);
        api.get("muster-hub").await.unwrap()
    }

    /// How often the hub has written a resource.
    pub(crate) fn writes(&self, resource: &str) -> u64 {
        self.api.metrics().count(|labels| {
            labels.user_agent.starts_with("muster-hub")
                && &*labels.resource == resource
                && !matches!(labels.verb, "get" | "list" | "watch")
        })
    }
}

/// One member's view, as its agent sees it.
#[derive(Clone)]
pub(crate) struct View {
    cluster: String,
    pub(crate) client: Client,
}

impl View {
    pub(crate) fn sets(&self) -> Api<GameStatefulSet> {
        Api::namespaced(self.client.clone(), "center")
    }

    pub(crate) async fn get(&self, name: &str) -> Option<GameStatefulSet> {
        self.sets().get_opt(name).await.unwrap()
    }

    /// An annotation of the group `view.muster.dev`; empty without.
    pub(crate) async fn says(&self, name: &str, annotation: &str) -> String {
        let annotations = self.get(name).await.and_then(|set| set.metadata.annotations).unwrap_or_default();
        annotations.get(&format!("view.muster.dev/{annotation}")).cloned().unwrap_or_default()
    }

    pub(crate) async fn intent(&self, name: &str) -> String {
        self.says(name, "intent").await
    }

    pub(crate) async fn replicas(&self, name: &str) -> Option<i64> {
        self.get(name).await?.spec.replicas
    }

    /// `View/current`; `None` while it is not served.
    pub(crate) async fn current(&self) -> Option<Value> {
        self.fetch("/apis/view.muster.dev/v1alpha1/views/current").await.ok()
    }

    async fn fetch<T: DeserializeOwned>(&self, path: &str) -> Result<T, kube::Error> {
        self.client.request(http::Request::get(path).body(Vec::new()).unwrap()).await
    }

    pub(crate) async fn post(&self, list: Value) -> Result<Value, kube::Error> {
        let path = "/apis/view.muster.dev/v1alpha1/reports";
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(list.to_string().into_bytes())
            .unwrap();
        self.client.request(request).await
    }

    pub(crate) async fn inventory(&self) {
        let inventory = json!({"group": "tkex.tencent.com", "plural": "gamestatefulsets", "complete": true});
        self.post(json!({"items": [], "inventory": inventory})).await.unwrap();
    }

    pub(crate) async fn report(&self, name: &str, report: Value) -> Value {
        let mut item = json!({"kind": "Report", "key": {
            "group": "tkex.tencent.com", "version": "v1alpha1", "plural": "gamestatefulsets",
            "namespace": "center", "name": name,
        }});
        item.as_object_mut().unwrap().extend(report.as_object().unwrap().clone());
        self.post(json!({"apiVersion": "view.muster.dev/v1alpha1", "kind": "ReportList", "items": [item]}))
            .await
            .unwrap()
    }

    /// Reports that what the view shows was applied, and that every pod of it is up.
    pub(crate) async fn settle(&self, name: &str) {
        let replicas = self.replicas(name).await.unwrap();
        let hash = self.says(name, "hash").await;
        let status = json!({
            "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas, "observedGeneration": 1,
        });
        let report = json!({
            "word": "", "appliedHash": hash, "memberUID": "m-1", "memberGeneration": 1,
            "replicas": replicas, "status": status,
        });
        self.report(name, report).await;
    }

    pub(crate) async fn removed(&self, name: &str) {
        self.report(name, json!({"word": "Removed"})).await;
    }

    /// Renews the member's Lease, as an agent does.
    pub(crate) async fn heartbeat(&self) -> Result<Lease, kube::Error> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), FEDERATION);
        let about = json!({"uid": format!("kube-system-of-{}", self.cluster), "version": "v1.33.0"});
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": self.cluster, "annotations": {"view.muster.dev/member": about.to_string()}},
            "spec": {"holderIdentity": "agent-1", "renewTime": "2026-01-01T00:00:00.000000Z"},
        });
        api.patch(&self.cluster, &PatchParams::apply("muster-agent").force(), &Patch::Apply(lease)).await
    }
}

/// A federated object over clusters.
pub(crate) fn object(name: &str, replicas: i64, clusters: &[&str]) -> Value {
    let clusters: Vec<Value> = clusters.iter().map(|name| json!({"name": name})).collect();
    json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedGameStatefulSet",
        "metadata": {"name": name, "namespace": "center"},
        "spec": {
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "replicas": replicas, "serviceName": name,
                    "selector": {"matchLabels": {"app": name}},
                    "template": {
                        "metadata": {"labels": {"app": name}},
                        "spec": {"containers": [{"name": "center", "image": "center:v1"}]},
                    },
                },
            },
            "placement": {"clusters": clusters},
        },
    })
}

/// A preference of 3 to 2.
pub(crate) fn three_to_two(a: &str, b: &str) -> Value {
    json!({"targetKind": "FederatedGameStatefulSet", "clusters": {a: {"weight": 3}, b: {"weight": 2}}})
}

fn federated() -> ApiResource {
    ApiResource {
        group: "types.kubefed.io".to_owned(),
        version: "v1beta1".to_owned(),
        api_version: "types.kubefed.io/v1beta1".to_owned(),
        kind: "FederatedGameStatefulSet".to_owned(),
        plural: "federatedgamestatefulsets".to_owned(),
    }
}

/// Waits on tokio's clock until something holds, for at most a minute of it.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    for _ in 0..6000 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never within a minute: {what}");
}

/// Lets time pass.
pub(crate) async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}
