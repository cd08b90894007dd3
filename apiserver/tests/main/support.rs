//! A cluster with its background work, and ways to talk to it.

use std::sync::Arc;

use axum::{Router, body::Body};
use http::{Method, Request, header};
use http_body_util::BodyExt;
use jiff::Timestamp;
use muster_apiserver::{Cluster, ClusterConfig};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// A cluster that runs until it is dropped.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) client: kube::Client,
    _tasks: JoinSet<()>,
}

/// An answer to a plain request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The code and message of a failure.
    pub(crate) fn failure(&self) -> (u16, String) {
        (self.code, self.json()["message"].as_str().unwrap_or_default().to_owned())
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_history(1000)
    }

    pub(crate) fn with_history(history: usize) -> Self {
        let config = ClusterConfig { history, ..ClusterConfig::new("test", 7, clock()) };
        let cluster = Cluster::new(config);
        let mut tasks = JoinSet::new();
        tasks.spawn(cluster.clone().run(CancellationToken::new()));
        let client = kube::Client::new(cluster.router(), "default");
        Self { cluster, client, _tasks: tasks }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[("content-type", "application/json")], &body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, &[("content-type", "application/json")], &body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Answer {
        self.send(Method::DELETE, path, &[("content-type", "application/json")], &options.to_string()).await
    }

    /// A patch; `kind` is `json`, `merge`, `strategic-merge` or `apply`.
    pub(crate) async fn patch(&self, kind: &str, path: &str, body: &Value) -> Answer {
        let suffix = if kind == "apply" { "yaml" } else { "json" };
        let content_type = format!("application/{kind}-patch+{suffix}");
        self.send(Method::PATCH, path, &[("content-type", &content_type)], &body.to_string()).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        send(self.cluster.router(), method, path, headers, body).await
    }

    /// Lets the background work come to rest.
    pub(crate) async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) async fn send(
    router: Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header(header::USER_AGENT, "test/1.0");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).expect("a request");
    let response = router.oneshot(request).await.expect("routers do not fail");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    Answer { code: parts.status.as_u16(), headers: parts.headers, text }
}

/// A clock that moves with tokio's paused time.
pub(crate) fn clock() -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    let start = tokio::time::Instant::now();
    let epoch: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    Arc::new(move || epoch + start.elapsed())
}

pub(crate) fn configmap(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": "game:1"}]},
    })
}

/// A definition with status, scale, columns, defaults, a list map and limits.
pub(crate) fn games() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "games.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "games", "kind": "Game", "shortNames": ["gm"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.labelSelector"}},
                "additionalPrinterColumns": [{"name": "Desired", "type": "integer", "jsonPath": ".spec.replicas"}],
                "selectableFields": [{"jsonPath": ".spec.image"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "replicas": {"type": "integer", "minimum": 0, "default": 1},
                        "image": {"type": "string"},
                        "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                            "items": {"type": "object", "required": ["name"], "properties": {
                                "name": {"type": "string"}, "port": {"type": "integer"}}}},
                    }},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                }}},
            }],
        },
    })
}

pub(crate) const GAMES: &str = "/apis/example.com/v1/namespaces/default/games";
pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

pub(crate) fn game(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Game", "metadata": {"name": name}, "spec": spec})
}

/// A world in which games are defined.
pub(crate) async fn world_with_games() -> World {
    let world = World::new();
    let answer = world.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &games()).await;
    assert_eq!(answer.code, 201, "{}", answer.text);
    world
}
