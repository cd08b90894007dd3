//! A model with a hub API of its own.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use kube::core::DynamicObject;
use muster_crds::conditions;
use muster_crds::names::{ClusterName, Namespace, ObjectKey, ObjectName};
use muster_crds::types_kubefed::{ClusterStatus, FederatedStatus};
use muster_crds::{FederatedTypeConfig, KubeFedCluster, ReplicaSchedulingPreference, Tombstone};
use serde_json::{Value, json};

use crate::Settings;
use crate::model::*;

/// Id of the built-in kind.
pub(super) fn kind() -> KindId {
    KindId::new("tkex.tencent.com", "gamestatefulsets")
}

pub(super) fn name(cluster: &str) -> ClusterName {
    ClusterName::new(cluster).unwrap()
}

pub(super) fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(Namespace::new("center").unwrap(), ObjectName::new(name).unwrap())
}

/// A federated object over clusters.
pub(super) fn object(name: &str, replicas: i64, clusters: &[&str]) -> Value {
    let clusters: Vec<Value> = clusters.iter().map(|name| json!({ "name": name })).collect();
    json!({
        "apiVersion": "types.kubefed.io/v1beta1",
        "kind": "FederatedGameStatefulSet",
        "metadata": { "name": name, "namespace": "center", "uid": format!("uid-{name}"), "generation": 1 },
        "spec": {
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": {
                    "replicas": replicas,
                    "selector": { "matchLabels": { "app": name } },
                    "template": { "spec": { "containers": [{ "name": "center", "image": "center:v1" }] } },
                },
            },
            "placement": { "clusters": clusters },
        },
    })
}

/// The image as an override of one cluster.
pub(super) fn set_image(cluster: &str, image: &str) -> Value {
    json!({ "clusterName": cluster, "clusterOverrides": [
        { "path": "/spec/template/spec/containers/0/image", "value": image },
    ] })
}

/// A model, and the hub API.
pub(super) struct World {
    pub(super) model: Model,
    pub(super) now: Timestamp,
    pub(super) objects: BTreeMap<String, Value>,
    clusters: BTreeMap<String, KubeFedCluster>,
    preferences: BTreeMap<String, Value>,
    pub(super) configs: BTreeMap<String, FederatedTypeConfig>,
    pub(super) tombstones: BTreeMap<String, Tombstone>,
    /// Every write, in words.
    pub(super) writes: Vec<String>,
    /// Whether writes are carried out.
    pub(super) writable: bool,
    /// How many more writes are carried out, where that is bounded.
    pub(super) writable_for: Option<usize>,
    /// Whether the API drops the plan from a status, as an older definition would.
    pub(super) drops_plans: bool,
    dirty: BTreeSet<WriteKey>,
    waiting: BTreeMap<WriteKey, Timestamp>,
    version: u64,
    epoch: u64,
}

impl World {
    /// A hub with these clusters, whose agents have reported that they hold nothing.
    pub(super) fn with(clusters: &[&str]) -> Self {
        let mut world = Self::empty();
        for cluster in clusters {
            world.register(cluster, json!({}));
        }
        world.start();
        for cluster in clusters {
            world.inventory(cluster);
        }
        world
    }

    /// A hub API with nothing in it, and a model that has read nothing.
    pub(super) fn empty() -> Self {
        let now: Timestamp = "2026-01-01T00:00:00.123456789Z".parse().unwrap();
        Self {
            model: Model::new(&Settings::default(), FederatedKind::built_in(), "hub-uid", 1, now),
            now,
            objects: BTreeMap::new(),
            clusters: BTreeMap::new(),
            preferences: BTreeMap::new(),
            configs: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            writes: Vec::new(),
            writable: true,
            writable_for: None,
            drops_plans: false,
            dirty: BTreeSet::new(),
            waiting: BTreeMap::new(),
            version: 100,
            epoch: 1,
        }
    }

    /// Gives the model everything the hub API holds, as first lists.
    pub(super) fn start(&mut self) {
        let clusters = self.clusters.values().filter_map(ClusterInput::of).collect();
        self.apply(Event::Clusters(Feed::Reset(clusters)));
        let configs = self.configs.values().map(TypeConfigInput::of).collect();
        self.apply(Event::TypeConfigs(Feed::Reset(configs)));
        let preferences = self.preferences.values().map(read_preference).collect();
        self.apply(Event::Preferences(Feed::Reset(preferences)));
        let tombstones = self.tombstones.values().filter_map(TombstoneInput::of).collect();
        self.apply(Event::Tombstones(Feed::Reset(tombstones)));
        self.apply(Event::Namespaces(Feed::Reset(Vec::new())));
        let objects = self.objects.values().map(read_object).collect();
        self.apply(Event::Objects(kind(), Feed::Reset(objects)));
    }

    /// A new process over the same hub API: nothing is remembered.
    pub(super) fn restart(&mut self) {
        self.epoch += 1;
        self.model =
            Model::new(&Settings::default(), FederatedKind::built_in(), "hub-uid", self.epoch, self.now);
        self.dirty.clear();
        self.waiting.clear();
        self.writes.clear();
        self.start();
    }

    /// Gives the model an event, and carries out the writes it asks for.
    pub(super) fn apply(&mut self, event: Event) {
        let changes = self.model.apply(event, self.now);
        self.follow(changes);
    }

    fn follow(&mut self, changes: Changes) {
        self.dirty.extend(changes.dirty);
        for _ in 0..1000 {
            let Some(key) = self.dirty.pop_first() else { return };
            match self.model.next_write(&key, self.now) {
                NextWrite::Nothing => {}
                NextWrite::At(at) => {
                    self.waiting.insert(key, at);
                }
                NextWrite::Now(_) if !self.writable || self.writable_for == Some(0) => {}
                NextWrite::Now(write) => {
                    self.writable_for = self.writable_for.map(|left| left - 1);
                    if let Some(outcome) = self.write(write) {
                        let changes = self.model.apply(Event::Written(key, outcome), self.now);
                        self.dirty.extend(changes.dirty);
                    }
                }
            }
        }
        panic!("the model never stops writing: {:?}", &self.writes[self.writes.len() - 5..]);
    }

    /// Lets time pass, in steps of at most a second.
    pub(super) fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now = self.now.saturating_add(SignedDuration::from_secs(1)).unwrap();
            let due: Vec<WriteKey> =
                self.waiting.iter().filter(|(_, at)| **at <= self.now).map(|(key, _)| key.clone()).collect();
            for key in due {
                self.waiting.remove(&key);
                self.dirty.insert(key);
            }
            self.apply(Event::Tick);
        }
    }

    /// Lets time pass while agents of these clusters renew their Leases.
    pub(super) fn pass_with(&mut self, seconds: i64, clusters: &[&str]) {
        for second in 0..seconds {
            if second % 10 == 0 {
                for cluster in clusters {
                    self.heartbeat(cluster);
                }
            }
            self.pass(1);
        }
    }

    // === the hub API ===

    fn write(&mut self, write: Write) -> Option<Outcome> {
        self.version += 1;
        match write {
            Write::Finalizers { key, resource_version, finalizers, .. } => {
                self.writes.push(format!("finalizers {} {}", key.name, finalizers.join(",")));
                let object = self.objects.get_mut(key.name.as_str())?;
                assert_eq!(object["metadata"]["resourceVersion"], resource_version.as_str());
                object["metadata"]["finalizers"] = json!(finalizers);
                object["metadata"]["resourceVersion"] = json!(self.version.to_string());
                if finalizers.is_empty() && object["metadata"]["deletionTimestamp"].is_string() {
                    self.objects.remove(key.name.as_str());
                    self.apply(Event::Objects(kind(), Feed::Deleted(key)));
                    return Some(Outcome::Gone);
                }
                let input = Box::new(read_object(object));
                Some(Outcome::Object { input, sent: None })
            }
            Write::Status { key, uid, resource_version, status, .. } => {
                self.writes.push(format!("status {}", key.name));
                let object = self.objects.get_mut(key.name.as_str())?;
                assert_eq!(object["metadata"]["uid"], uid.as_str());
                if let Some(version) = resource_version {
                    assert_eq!(object["metadata"]["resourceVersion"], version.as_str(), "a stale plan");
                }
                object["status"] = serde_json::to_value(&*status).unwrap();
                if self.drops_plans {
                    object["status"].as_object_mut().unwrap().remove("plan");
                }
                object["metadata"]["resourceVersion"] = json!(self.version.to_string());
                let input = Box::new(read_object(object));
                Some(Outcome::Object { input, sent: Some(status) })
            }
            Write::ClusterStatus { name, status } => {
                self.writes.push(format!("clusterstatus {name}"));
                self.clusters.get_mut(name.as_str())?.status = Some((*status).clone());
                Some(Outcome::Cluster(status))
            }
            Write::TypeConfigStatus { name, status } => {
                self.writes.push(format!("typeconfigstatus {name}"));
                self.configs.get_mut(&name)?.status = Some((*status).clone());
                Some(Outcome::TypeConfig(status))
            }
            Write::PutTombstone { name, spec } => {
                self.writes.push(format!("tombstone + {}", spec.clusters.join(",")));
                self.tombstones.insert(name.clone(), Tombstone::new(&name, (*spec).clone()));
                Some(Outcome::Tombstone(Some(spec)))
            }
            Write::DeleteTombstone { name } => {
                self.writes.push("tombstone -".to_owned());
                self.tombstones.remove(&name);
                Some(Outcome::Tombstone(None))
            }
        }
    }

    /// Registers a cluster with metadata.
    pub(super) fn register(&mut self, name: &str, metadata: Value) {
        let mut cluster: KubeFedCluster = serde_json::from_value(json!({
            "apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster",
            "metadata": metadata, "spec": {},
        }))
        .unwrap();
        let known = self.clusters.get(name);
        cluster.status = known.and_then(|known| known.status.clone());
        cluster.metadata.name = Some(name.to_owned());
        cluster.metadata.uid = Some(format!("cluster-{name}"));
        let input = ClusterInput::of(&cluster).unwrap();
        self.clusters.insert(name.to_owned(), cluster);
        self.apply(Event::Clusters(Feed::Applied(input)));
    }

    pub(super) fn unregister(&mut self, cluster: &str) {
        self.clusters.remove(cluster);
        self.apply(Event::Clusters(Feed::Deleted(name(cluster))));
    }

    /// Creates or replaces a federated object; a changed spec raises its generation.
    pub(super) fn put(&mut self, mut object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if let Some(old) = self.objects.get(&name) {
            let generation = old["metadata"]["generation"].as_i64().unwrap();
            let raise = i64::from(old["spec"] != object["spec"]);
            object["metadata"]["generation"] = json!(generation + raise);
            object["status"] = old["status"].clone();
            object["metadata"]["finalizers"] = old["metadata"]["finalizers"].clone();
        }
        let input = read_object(&object);
        self.objects.insert(name, object);
        self.apply(Event::Objects(kind(), Feed::Applied(input)));
    }

    /// Changes a federated object.
    pub(super) fn edit(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.objects[name].clone();
        change(&mut object);
        self.put(object);
    }

    /// What `kubectl delete` does: an object with a finalizer stays until that is taken away.
    pub(super) fn delete(&mut self, name: &str) {
        let finalizers = self.objects[name]["metadata"]["finalizers"].as_array();
        if finalizers.is_none_or(Vec::is_empty) {
            return self.vanish(name);
        }
        let now = self.now.to_string();
        self.edit(name, |object| object["metadata"]["deletionTimestamp"] = json!(now));
    }

    /// Somebody takes the finalizer away, and the object is gone.
    pub(super) fn vanish(&mut self, name: &str) {
        self.objects.remove(name);
        self.apply(Event::Objects(kind(), Feed::Deleted(key(name))));
    }

    pub(super) fn prefer(&mut self, name: &str, spec: Value) {
        let preference = json!({
            "apiVersion": "scheduling.kubefed.io/v1alpha1", "kind": "ReplicaSchedulingPreference",
            "metadata": { "name": name, "namespace": "center" }, "spec": spec,
        });
        let input = read_preference(&preference);
        self.preferences.insert(name.to_owned(), preference);
        self.apply(Event::Preferences(Feed::Applied(input)));
    }

    pub(super) fn configure(&mut self, name: &str, spec: Value) {
        let config: FederatedTypeConfig = serde_json::from_value(json!({
            "apiVersion": "core.kubefed.io/v1beta1", "kind": "FederatedTypeConfig",
            "metadata": { "name": name, "generation": 3 }, "spec": spec,
        }))
        .unwrap();
        let input = TypeConfigInput::of(&config);
        self.configs.insert(name.to_owned(), config);
        self.apply(Event::TypeConfigs(Feed::Applied(input)));
    }

    // === agents ===

    pub(super) fn report_list(&mut self, cluster: &str, list: Value) -> ReportAnswer {
        let list: ReportList = serde_json::from_value(list).unwrap();
        let (answer, changes) = self.model.report(&name(cluster), &list, self.now).unwrap();
        self.follow(changes);
        answer
    }

    /// An agent reports that it has reported everything.
    pub(super) fn inventory(&mut self, cluster: &str) {
        let inventory =
            json!({ "group": "tkex.tencent.com", "plural": "gamestatefulsets", "complete": true });
        self.report_list(cluster, json!({ "items": [], "inventory": inventory }));
    }

    /// An agent reports one object.
    pub(super) fn report(&mut self, cluster: &str, name: &str, report: Value) -> ReportAnswer {
        let mut item = json!({ "key": {
            "group": "tkex.tencent.com", "version": "v1alpha1", "plural": "gamestatefulsets",
            "namespace": "center", "name": name,
        } });
        item.as_object_mut().unwrap().extend(report.as_object().unwrap().clone());
        self.report_list(cluster, json!({ "items": [item] }))
    }

    /// An agent has applied what its view shows, and every pod of it is up.
    pub(super) fn settle(&mut self, cluster: &str, object: &str) {
        let view = self.view(cluster, object).unwrap();
        let replicas = view["spec"]["replicas"].clone();
        let hash = view["metadata"]["annotations"]["view.muster.dev/hash"].clone();
        let status = json!({
            "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas, "observedGeneration": 1,
        });
        let report = json!({
            "word": "", "appliedHash": hash, "memberUID": "m", "memberGeneration": 1, "replicas": replicas, "status": status,
        });
        self.report(cluster, object, report);
    }

    pub(super) fn removed(&mut self, cluster: &str, object: &str) {
        self.report(cluster, object, json!({ "word": "Removed" }));
    }

    pub(super) fn heartbeat(&mut self, cluster: &str) {
        let beat = Heartbeat { namespace: "federation".to_owned(), ..Heartbeat::default() };
        let (_, changes) = self.model.heartbeat(&name(cluster), &beat, self.now).unwrap();
        self.follow(changes);
    }

    // === what can be seen ===

    pub(super) fn entry(&self, cluster: &str, object: &str) -> Option<&Entry> {
        self.model.members()[&name(cluster)].view.get(&kind(), &key(object)).map(|entry| &**entry)
    }

    /// Intent of an entry; `-` for none.
    pub(super) fn intent(&self, cluster: &str, object: &str) -> &'static str {
        self.entry(cluster, object).map_or("-", |entry| entry.intent.word())
    }

    /// The view object as served.
    pub(super) fn view(&self, cluster: &str, object: &str) -> Option<Value> {
        let member = &self.model.members()[&name(cluster)];
        let served = member.view.kind(&kind())?.collection().get(&view::served_key(&key(object)))?;
        Some(serde_json::from_slice(&served.body.bytes()).unwrap())
    }

    /// What `View/current` says of the kind.
    pub(super) fn current(&self, cluster: &str) -> Value {
        let member = &self.model.members()[&name(cluster)];
        let resource = muster_apiserver::GroupResource::new("view.muster.dev", "views");
        let current = member
            .view
            .collection(&resource)
            .unwrap()
            .get(&muster_apiserver::Key::cluster("current"))
            .unwrap();
        let view: Value = serde_json::from_slice(&current.body.bytes()).unwrap();
        view["kinds"][0].clone()
    }

    /// Replicas in a view; `None` when nothing is applied.
    pub(super) fn replicas(&self, cluster: &str, object: &str) -> Option<i64> {
        self.view(cluster, object)?["spec"]["replicas"].as_i64()
    }

    pub(super) fn status(&self, object: &str) -> FederatedStatus {
        serde_json::from_value(self.objects[object]["status"].clone()).unwrap_or_default()
    }

    /// Recorded seats, in words.
    pub(super) fn seats(&self, object: &str) -> String {
        let seats = self.status(object).plan.map(|plan| plan.seats).unwrap_or_default();
        seats.iter().map(|(name, seats)| format!("{name}={seats}")).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn row(&self, object: &str, cluster: &str) -> ClusterStatus {
        let status = self.status(object);
        status
            .clusters
            .into_iter()
            .find(|row| row.name == cluster)
            .unwrap_or_else(|| panic!("no row of {cluster}"))
    }

    /// A condition of an object, in words.
    pub(super) fn condition(&self, object: &str, type_: &str) -> String {
        let status = self.status(object);
        let condition = conditions::find(&status.conditions, type_);
        condition.map_or_else(String::new, |condition| {
            let reason = condition.reason.as_deref().unwrap_or_default();
            let message = condition.message.as_deref().unwrap_or_default();
            format!("{} {reason} {message}", condition.status)
        })
    }

    /// A condition of a cluster.
    pub(super) fn cluster_condition(&self, cluster: &str, type_: &str) -> Option<String> {
        let status = self.clusters[cluster].status.as_ref()?;
        conditions::find(&status.conditions, type_).map(|condition| condition.status.clone())
    }

    /// Versions of every view's kind, to see which views changed.
    pub(super) fn versions(&self) -> BTreeMap<String, u64> {
        let version = |member: &Member| member.view.kind(&kind()).unwrap().version();
        self.model.members().iter().map(|(name, member)| (name.to_string(), version(member))).collect()
    }

    /// Views that changed since.
    pub(super) fn changed_since(&self, before: &BTreeMap<String, u64>) -> Vec<String> {
        let now = self.versions();
        now.into_iter()
            .filter(|(name, version)| before.get(name) != Some(version))
            .map(|(name, _)| name)
            .collect()
    }
}

fn read_object(object: &Value) -> ObjectInput {
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    ObjectInput::of(&object).unwrap()
}

fn read_preference(preference: &Value) -> std::sync::Arc<muster_planner::Preference> {
    let preference: ReplicaSchedulingPreference = serde_json::from_value(preference.clone()).unwrap();
    std::sync::Arc::new(muster_planner::input::preference(&preference).unwrap())
}
