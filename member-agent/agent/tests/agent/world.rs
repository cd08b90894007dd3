//! One member, one view, one agent.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use muster_agent::{Agent, AgentConfig};
use muster_apiserver::{Cluster, ClusterConfig};
use muster_crds::ClusterName;
use muster_runtime::{Clock, Tasks, client, telemetry};
use serde_json::{Value, json};

use crate::chaos::Faults;
use crate::view::FakeView;

/// Everything a test needs.
pub(crate) struct World {
    pub view: FakeView,
    pub cluster: Cluster,
    pub clock: Clock,
    /// Whether the agent's controllers run.
    pub(crate) controllers: bool,
    /// What stands between the agent and its member.
    pub(crate) faults: Option<Faults>,
    tasks: Tasks,
    agent: Tasks,
}

impl World {
    /// A member and a view, with the agent running.
    pub(crate) async fn new() -> Self {
        let mut world = Self::without_agent();
        world.start_agent().await;
        world
    }

    /// A member and a view.
    pub(crate) fn without_agent() -> Self {
        // MUSTER_LOG=debug shows what happens.
        telemetry::init(telemetry::Format::Text, None, "off").unwrap();
        let tasks = Tasks::new();
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let now = clock.clone();
        let cluster = Cluster::new(ClusterConfig::new("a", 1, Arc::new(move || now.now())));
        let run = cluster.clone();
        let token = tasks.token();
        tasks.spawn("cluster", async move { run.run(token).await });
        let view = FakeView::new(clock.clone());
        Self { view, cluster, clock, controllers: false, faults: None, agent: tasks.child(), tasks }
    }

    /// Starts the agent, and waits until it is at rest.
    pub(crate) async fn start_agent(&mut self) -> Agent {
        let agent = self.start_agent_somehow();
        self.settle().await;
        assert!(agent.pending().is_empty(), "still starting: {:?}", agent.pending());
        agent
    }

    /// Starts the agent.
    pub(crate) fn start_agent_somehow(&mut self) -> Agent {
        self.agent = self.tasks.child();
        let router = match &self.faults {
            Some(faults) => faults.between(self.cluster.router()),
            None => self.cluster.router(),
        };
        let member = client::in_process(router, "muster-agent/test").unwrap();
        let cluster = ClusterName::new("a").unwrap();
        let mut config = AgentConfig::new(cluster, Some(self.view.client()), member, self.clock.clone());
        config.run_controllers = self.controllers;
        Agent::start(config, &self.agent).unwrap()
    }

    /// Stops the agent.
    pub(crate) async fn stop_agent(&self) {
        self.agent.stop().await;
    }

    /// Lets everything happen that happens soon.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(4)).await;
    }

    /// How often the agent has written to the member.
    pub(crate) fn writes(&self) -> u64 {
        self.cluster.metrics().writes_by("muster-agent")
    }

    /// A person's client of the member.
    pub(crate) fn person(&self) -> Client {
        client::in_process(self.cluster.router(), "kubectl/test").unwrap()
    }

    /// The sets of the member, as a person sees them.
    pub(crate) fn sets(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.person(), "games", &sets())
    }

    /// A set of the member.
    pub(crate) async fn set(&self, name: &str) -> Option<Value> {
        self.sets().get_opt(name).await.unwrap().map(|object| serde_json::to_value(object).unwrap())
    }

    /// A person changes a set.
    pub(crate) async fn patch(&self, name: &str, patch: Value) {
        assert!(self.try_patch(name, patch).await);
    }

    /// The same, if there is one. Returns whether there was.
    pub(crate) async fn try_patch(&self, name: &str, patch: Value) -> bool {
        let params = PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() };
        self.sets().patch(name, &params, &Patch::Merge(patch)).await.is_ok()
    }

    /// A person changes a set by a list of operations.
    pub(crate) async fn json_patch(&self, name: &str, operations: Value) {
        let params =
            PatchParams { field_manager: Some("kubectl-patch".to_owned()), ..PatchParams::default() };
        let patch = Patch::Json::<()>(serde_json::from_value(operations).unwrap());
        self.sets().patch(name, &params, &patch).await.unwrap();
    }

    /// A person creates a set, and its namespace if need be.
    pub(crate) async fn create(&self, name: &str, spec: &Value) {
        assert!(self.try_create(name, spec).await);
    }

    /// The same, if the member takes it. Returns whether it did.
    pub(crate) async fn try_create(&self, name: &str, spec: &Value) -> bool {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.person());
        let namespace = serde_json::from_value(json!({"metadata": {"name": "games"}})).unwrap();
        // It may exist.
        let _ = namespaces.create(&PostParams::default(), &namespace).await;
        let object = serde_json::from_value(json!({
            "apiVersion": "tkex.tencent.com/v1alpha1", "kind": "GameStatefulSet",
            "metadata": {"name": name, "namespace": "games", "labels": {"app": name}}, "spec": spec
        }))
        .unwrap();
        let params = PostParams { field_manager: Some("kubectl-create".to_owned()), ..PostParams::default() };
        self.sets().create(&params, &object).await.is_ok()
    }

    /// A person deletes a set.
    pub(crate) async fn delete(&self, name: &str) {
        assert!(self.try_delete(name).await);
    }

    /// The same, if there is one. Returns whether there was.
    pub(crate) async fn try_delete(&self, name: &str) -> bool {
        self.sets().delete(name, &DeleteParams::background()).await.is_ok()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

/// A spec that the definition of GameStatefulSet accepts.
pub(crate) fn spec(replicas: i64) -> Value {
    json!({
        "replicas": replicas,
        "serviceName": "game",
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {"app": "game"}},
        "template": {
            "metadata": {"labels": {"app": "game"}},
            "spec": {"containers": [{"name": "game", "image": "game:1"}]}
        }
    })
}

fn sets() -> ApiResource {
    ApiResource {
        group: "tkex.tencent.com".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "tkex.tencent.com/v1alpha1".to_owned(),
        kind: "GameStatefulSet".to_owned(),
        plural: "gamestatefulsets".to_owned(),
    }
}
