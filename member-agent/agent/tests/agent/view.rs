//! A view as the hub serves it, with levers: cut, restart, expire, announce wrongly.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{patch, post};
use futures::StreamExt;
use kube::Client;
use muster_agent::wire::RootHash;
use muster_apiserver::schema::Schema;
use muster_apiserver::{
    Catalog, Collection, GroupResource, Key, Labels, ListQuery, Object, ReadOptions, Resource, Snapshot,
    Source, SourceError, WatchQuery, read_router,
};
use muster_runtime::watch::Key as Name;
use muster_runtime::{Clock, client};
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Uid of the hub that this view plays.
pub(crate) const HUB: &str = "hub-uid";
/// Uid of the KubeFedCluster that the member is registered under.
pub(crate) const CLUSTER: &str = "cluster-uid";

const HISTORY: usize = 64;

/// A view. Clones are the same one.
#[derive(Clone)]
pub(crate) struct FakeView(Arc<Inner>);

struct Inner {
    clock: Clock,
    state: Mutex<Desired>,
    life: RwLock<Life>,
    up: watch::Sender<bool>,
    heard: Mutex<Heard>,
}

/// What survives a restart of the hub.
struct Desired {
    entries: BTreeMap<Name, Value>,
    hub: String,
    cluster: String,
    lie: bool,
}

/// One life of the hub: versions and histories of its own.
#[derive(Clone)]
struct Life {
    epoch: u64,
    version: u64,
    sets: Collection,
    views: Collection,
}

/// What the agent said.
#[derive(Default)]
struct Heard {
    reports: BTreeMap<Name, Value>,
    requests: Vec<Value>,
    lease: Value,
    beats: u64,
}

// === impl FakeView ===

impl FakeView {
    /// A view at epoch 1 with nothing in it.
    pub(crate) fn new(clock: Clock) -> Self {
        let life = Life::new(1);
        let desired = Desired {
            entries: BTreeMap::new(),
            hub: HUB.to_owned(),
            cluster: CLUSTER.to_owned(),
            lie: false,
        };
        let view = Self(Arc::new(Inner {
            clock,
            state: Mutex::new(desired),
            life: RwLock::new(life),
            up: watch::Sender::new(true),
            heard: Mutex::default(),
        }));
        view.announce();
        view
    }

    /// A client rooted at the view.
    pub(crate) fn client(&self) -> Client {
        client::in_process(self.router(), "muster-agent/test").unwrap()
    }

    /// The member is to hold this.
    pub(crate) fn apply(&self, name: &str, hash: &str, spec: &Value) {
        self.apply_with(name, hash, spec, &json!({}));
    }

    /// The same, with further annotations for the agent.
    pub(crate) fn apply_with(&self, name: &str, hash: &str, spec: &Value, annotations: &Value) {
        let mut all = json!({"view.muster.dev/intent": "Apply", "view.muster.dev/hash": hash,
            "view.muster.dev/source-uid": "source-uid"});
        merge(&mut all, annotations);
        self.put(name, json!({"metadata": {"annotations": all, "labels": {"app": name}}, "spec": spec}));
    }

    /// The member is to leave this alone.
    pub(crate) fn hold(&self, name: &str) {
        self.put(
            name,
            json!({"metadata": {"annotations": {
                "view.muster.dev/intent": "Hold", "view.muster.dev/reason": "planning"
            }}}),
        );
    }

    /// The member is to remove this.
    pub(crate) fn remove(&self, name: &str, policy: &str) {
        let deletion = json!({"policy": policy}).to_string();
        self.put(
            name,
            json!({"metadata": {"annotations": {
                "view.muster.dev/intent": "Remove", "view.muster.dev/deletion": deletion
            }}}),
        );
    }

    /// The entry leaves the view.
    pub(crate) fn drop_entry(&self, name: &str) {
        let key = Name::new("games", name);
        self.0.state.lock().entries.remove(&key);
        {
            let mut life = self.0.life.write();
            life.version += 1;
            let object = object(&key, &json!({}), life.version, "gamestatefulsets");
            life.sets.remove(object);
        }
        self.announce();
    }

    /// Forgets an entry without telling anybody, as a hub that lost its data would after a restart.
    pub(crate) fn forget(&self, name: &str) {
        self.0.state.lock().entries.remove(&Name::new("games", name));
    }

    /// Announces a root hash that the list does not have, or the right one again.
    pub(crate) fn lie(&self, lie: bool) {
        self.0.state.lock().lie = lie;
        self.announce();
    }

    /// The hub's process ends and another one begins, at this epoch.
    pub(crate) fn restart(&self, epoch: u64) {
        self.begin(Life::new(epoch));
    }

    /// Every version handed out so far is forgotten.
    pub(crate) fn expire(&self) {
        let (epoch, version) = {
            let life = self.0.life.read();
            (life.epoch, life.version + 1000)
        };
        self.begin(Life::at(epoch, version));
    }

    /// Cuts the link: nothing is answered and open watches fall silent. Or mends it.
    pub(crate) fn cut(&self, cut: bool) {
        self.0.up.send_replace(!cut);
    }

    /// The hub is another one, or the member is registered anew.
    pub(crate) fn rename(&self, hub: &str, cluster: &str) {
        {
            let mut state = self.0.state.lock();
            hub.clone_into(&mut state.hub);
            cluster.clone_into(&mut state.cluster);
        }
        self.announce();
    }

    /// The last report about a set.
    pub(crate) fn report(&self, name: &str) -> Option<Value> {
        self.0.heard.lock().reports.get(&Name::new("games", name)).cloned()
    }

    /// The word and message of the last report about a set.
    pub(crate) fn word(&self, name: &str) -> String {
        self.report(name).map_or_else(
            || "nothing".to_owned(),
            |report| format!("{}|{}", report["word"].as_str().unwrap(), report["message"].as_str().unwrap()),
        )
    }

    /// Every request with reports, in order.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.0.heard.lock().requests.clone()
    }

    /// Forgets what was reported.
    pub(crate) fn forget_reports(&self) {
        let mut heard = self.0.heard.lock();
        heard.reports.clear();
        heard.requests.clear();
    }

    /// The heartbeat as last sent, and how many there were.
    pub(crate) fn lease(&self) -> (Value, u64) {
        let heard = self.0.heard.lock();
        (heard.lease.clone(), heard.beats)
    }

    fn router(&self) -> Router {
        let now = self.0.clock.clone();
        let reads = read_router(Arc::new(self.clone()), ReadOptions::new(Arc::new(move || now.now())));
        Router::new()
            .route("/apis/view.muster.dev/v1alpha1/reports", post(reports))
            .route(
                "/apis/coordination.k8s.io/v1/namespaces/kube-federation-system/leases/a",
                patch(heartbeat),
            )
            .fallback_service(reads)
            .layer(middleware::from_fn_with_state(self.0.up.subscribe(), gate))
            .with_state(self.clone())
    }

    fn put(&self, name: &str, content: Value) {
        let key = Name::new("games", name);
        {
            let mut life = self.0.life.write();
            life.version += 1;
            life.sets.put(object(&key, &content, life.version, "gamestatefulsets"));
        }
        self.0.state.lock().entries.insert(key, content);
        self.announce();
    }

    fn begin(&self, mut life: Life) {
        for (key, content) in &self.0.state.lock().entries {
            life.version += 1;
            life.sets.put(object(key, content, life.version, "gamestatefulsets"));
        }
        let old = std::mem::replace(&mut *self.0.life.write(), life);
        self.announce();
        old.sets.close();
        old.views.close();
    }

    fn announce(&self) {
        let state = self.0.state.lock();
        let mut root = RootHash::default();
        for (key, content) in &state.entries {
            let annotations = &content["metadata"]["annotations"];
            let text = |key: &str| annotations[key].as_str().unwrap_or_default().to_owned();
            root.toggle(key, &text("view.muster.dev/intent"), &text("view.muster.dev/hash"));
        }
        let root = if state.lie { "f".repeat(32) } else { root.to_string() };
        let mut life = self.0.life.write();
        life.version += 1;
        let changed = life.sets.version();
        let view = json!({
            "hub": {"uid": state.hub, "epoch": life.epoch},
            "cluster": {"uid": state.cluster, "name": "a"},
            "kinds": [{
                "group": "tkex.tencent.com", "version": "v1alpha1", "plural": "gamestatefulsets",
                "kind": "GameStatefulSet", "synced": true, "count": state.entries.len(),
                "rootHash": root, "resourceVersion": changed.to_string()
            }]
        });
        life.views.put(object(&Name::new("", "current"), &view, life.version, "views"));
    }
}

// === impl Life ===

impl Life {
    fn new(epoch: u64) -> Self {
        Self::at(epoch, epoch << 40)
    }

    fn at(epoch: u64, version: u64) -> Self {
        let sets = GroupResource::new("tkex.tencent.com", "gamestatefulsets");
        let views = GroupResource::new("view.muster.dev", "views");
        Self {
            epoch,
            version,
            sets: Collection::new(sets, version, HISTORY),
            views: Collection::new(views, version, HISTORY),
        }
    }

    fn collection(&self, resource: &GroupResource) -> Result<&Collection, SourceError> {
        match &*resource.resource {
            "gamestatefulsets" => Ok(&self.sets),
            "views" => Ok(&self.views),
            _ => Err(SourceError::NotServed(resource.clone())),
        }
    }
}

impl Source for FakeView {
    fn catalog(&self) -> Arc<Catalog> {
        let resource = |group: &str, plural: &str, kind: &str, namespaced| {
            let crd = json!({
                "metadata": {"name": format!("{plural}.{group}")},
                "spec": {
                    "group": group, "scope": if namespaced { "Namespaced" } else { "Cluster" },
                    "names": {"plural": plural, "kind": kind},
                    "versions": [{"name": "v1alpha1", "served": true, "storage": true}]
                }
            });
            Resource::from_crd(&crd).unwrap().into_iter().map(|mut resource| {
                resource.schema = Arc::new(Schema::untyped().clone());
                Arc::new(resource)
            })
        };
        Arc::new(Catalog::new(
            resource("tkex.tencent.com", "gamestatefulsets", "GameStatefulSet", true).chain(resource(
                "view.muster.dev",
                "views",
                "View",
                false,
            )),
        ))
    }

    fn get(&self, resource: &GroupResource, key: &Key) -> Result<Option<Arc<Object>>, SourceError> {
        Ok(self.0.life.read().collection(resource)?.get(key))
    }

    fn list(&self, resource: &GroupResource, query: &ListQuery<'_>) -> Result<Snapshot, SourceError> {
        self.0.life.read().collection(resource)?.list(query)
    }

    fn watch(
        &self,
        resource: &GroupResource,
        query: &WatchQuery<'_>,
    ) -> Result<Box<dyn muster_apiserver::Cursor>, SourceError> {
        self.0.life.read().collection(resource)?.watch(query.namespace, query.after)
    }
}

/// While the link is cut requests hang, and so do bodies that are on their way.
async fn gate(State(up): State<watch::Receiver<bool>>, request: Request, next: Next) -> Response {
    open(&up).await;
    let response = next.run(request).await;
    open(&up).await;
    let (parts, body) = response.into_parts();
    let gated = body.into_data_stream().then(move |frame| {
        let up = up.clone();
        async move {
            open(&up).await;
            frame
        }
    });
    Response::from_parts(parts, Body::from_stream(gated))
}

async fn open(up: &watch::Receiver<bool>) {
    let mut up = up.clone();
    up.wait_for(|up| *up).await.unwrap();
}

async fn reports(State(view): State<FakeView>, body: Bytes) -> axum::Json<Value> {
    let list: Value = serde_json::from_slice(&body).unwrap();
    let mut heard = view.0.heard.lock();
    for item in list["items"].as_array().unwrap() {
        let key =
            Name::new(item["key"]["namespace"].as_str().unwrap(), item["key"]["name"].as_str().unwrap());
        heard.reports.insert(key, item.clone());
    }
    let accepted = list["items"].as_array().unwrap().len();
    heard.requests.push(list);
    axum::Json(json!({"accepted": accepted, "rejected": []}))
}

async fn heartbeat(State(view): State<FakeView>, body: Bytes) -> axum::Json<Value> {
    let lease: Value = serde_json::from_slice(&body).unwrap();
    let mut heard = view.0.heard.lock();
    heard.lease = lease.clone();
    heard.beats += 1;
    axum::Json(lease)
}

fn object(key: &Name, content: &Value, version: u64, plural: &str) -> Arc<Object> {
    let (api_version, kind) = match plural {
        "views" => ("view.muster.dev/v1alpha1", "View"),
        _ => ("tkex.tencent.com/v1alpha1", "GameStatefulSet"),
    };
    let uid = format!("view-{key}");
    let mut value = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": key.name, "uid": uid, "resourceVersion": version.to_string()}
    });
    if !key.namespace.is_empty() {
        value["metadata"]["namespace"] = json!(key.namespace);
    }
    merge(&mut value, content);
    let stored = if key.namespace.is_empty() {
        Key::cluster(key.name.as_str())
    } else {
        Key::namespaced(key.namespace.as_str(), key.name.as_str())
    };
    Arc::new(Object {
        key: stored,
        version,
        uid: uid.into(),
        labels: Labels::default(),
        fields: Labels::default(),
        owners: Arc::from([]),
        deleting: false,
        body: muster_apiserver::Body::Raw(value.to_string().into()),
    })
}

/// Merges objects key by key.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
