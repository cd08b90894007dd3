//! The controller against an embedded API server with kubelets, on paused time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{Event, Namespace, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use muster_agent::definitions;
use muster_agent::workload::{WorkloadConfig, WorkloadController};
use muster_apiserver::{Cluster, ClusterConfig};
use muster_crds::GameStatefulSet;
use muster_runtime::watch::{Change, Watch};
use muster_runtime::{Clock, Tasks, client};
use muster_workload::Hooks;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::chaos::Faults;
use crate::kubelet;

pub(crate) const NAMESPACE: &str = "fleet";
const AGENT: &str = "muster-agent/test";

/// A member with kubelets and a controller.
pub(crate) struct Member {
    pub(crate) cluster: Cluster,
    pub(crate) user: Client,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) controller: Tasks,
    /// What stands between the controller and its member.
    faults: Option<Faults>,
    /// The same, of a test's own.
    pub(crate) layer: Option<fn(Router) -> Router>,
    /// Whether hooks are asked.
    pub(crate) hooks: Hooks,
}

impl Member {
    pub(crate) async fn new() -> Self {
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        let now = clock.clone();
        let cluster = Cluster::new(ClusterConfig::new("member", 1, Arc::new(move || now.now())));
        let tasks = Tasks::new();
        tasks.spawn("cluster", cluster.clone().run(tasks.token()));
        let user = client::in_process(cluster.router(), "user/test").unwrap();
        definitions::install(&user, &definitions::own()).await.unwrap();
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
        Api::<Namespace>::all(user.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let kubelet = client::in_process(cluster.router(), "kubelet/test").unwrap();
        kubelet::start(kubelet, clock.clone(), &tasks);
        let controller = tasks.child();
        let mut member = Self {
            cluster,
            user,
            clock,
            tasks,
            controller,
            faults: None,
            layer: None,
            hooks: Hooks::NotEnforced,
        };
        member.start_controller();
        member
    }

    pub(crate) fn start_controller(&mut self) {
        self.controller = self.tasks.child();
        let router = self.cluster.router();
        let router = self.faults.as_ref().map_or(router.clone(), |faults| faults.between(router));
        let router = self.layer.map_or(router.clone(), |layer| layer(router));
        let agent = client::in_process(router, AGENT).unwrap();
        let config = WorkloadConfig { hooks: self.hooks, ..WorkloadConfig::new(agent, self.clock.clone()) };
        WorkloadController::start(config, &self.controller);
    }

    pub(crate) fn sets(&self) -> Api<GameStatefulSet> {
        Api::namespaced(self.user.clone(), NAMESPACE)
    }

    pub(crate) async fn create(&self, set: Value) {
        let set = serde_json::from_value(set).unwrap();
        self.sets().create(&PostParams::default(), &set).await.unwrap();
    }

    pub(crate) async fn edit(&self, patch: Value) {
        self.sets().patch("game", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub(crate) async fn pods(&self) -> BTreeMap<u32, Pod> {
        let pods =
            Api::<Pod>::namespaced(self.user.clone(), NAMESPACE).list(&ListParams::default()).await.unwrap();
        let ordinal = |pod: &Pod| pod.name_any().rsplit_once('-').unwrap().1.parse().unwrap();
        pods.into_iter().map(|pod| (ordinal(&pod), pod)).collect()
    }

    async fn images(&self) -> BTreeSet<String> {
        self.pods()
            .await
            .into_values()
            .map(|pod| pod.spec.unwrap().containers[0].image.clone().unwrap())
            .collect()
    }

    pub(crate) async fn status(&self) -> muster_crds::tkex::GameStatefulSetStatus {
        self.sets().get("game").await.unwrap().status.unwrap_or_default()
    }

    /// Waits until the status of the newest generation passes a test.
    pub(crate) async fn until(&self, what: &str, test: impl Fn(&GameStatefulSet) -> bool) -> GameStatefulSet {
        for _ in 0..3000 {
            let set = self.sets().get("game").await.unwrap();
            let observed = set.status.as_ref().and_then(|status| status.observed_generation);
            if observed == set.metadata.generation && test(&set) {
                return set;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{what}: {:#?}", self.status().await);
    }

    /// Waits until so many pods are ready and at the newest revision.
    pub(crate) async fn until_ready(&self, count: i64) -> GameStatefulSet {
        self.until("ready", |set| {
            let status = set.status.as_ref().unwrap();
            let at_rest = muster_crds::conditions::find(&status.conditions, "Progressing").unwrap();
            status.updated_ready_replicas == count && status.replicas == count && !at_rest.is_true()
        })
        .await
    }

    /// Writes of the controller, by verb and resource.
    pub(crate) fn writes(&self) -> BTreeMap<String, u64> {
        let mut writes = BTreeMap::new();
        for (labels, count) in self.cluster.metrics().requests() {
            if labels.user_agent.as_ref() == AGENT && !matches!(labels.verb, "get" | "list" | "watch") {
                let resource = [&*labels.resource, &*labels.subresource].join("/");
                *writes.entry(format!("{} {}", labels.verb, resource.trim_end_matches('/'))).or_default() +=
                    count;
            }
        }
        writes
    }
}

pub(crate) fn set(replicas: i64, strategy: &Value) -> Value {
    json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "GameStatefulSet",
        "metadata": {"name": "game", "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "serviceName": "game",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "game"}},
            "template": {
                "metadata": {"labels": {"app": "game"}},
                "spec": {"containers": [{"name": "center", "image": "game:1"}]},
            },
            "updateStrategy": strategy,
        },
    })
}

pub(crate) fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "center", "image": image}]}}}})
}

#[tokio::test(start_paused = true)]
async fn two_hundred_pods_are_created_scaled_and_updated_in_place() {
    let member = Member::new().await;
    let strategy = json!({
        "type": "InplaceUpdate",
        "rollingUpdate": {"maxUnavailable": "20%"},
        "inPlaceUpdateStrategy": {"gracePeriodSeconds": 5},
    });
    member.create(set(200, &strategy)).await;
    let begin = tokio::time::Instant::now();
    let created = member.until_ready(200).await;
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    let writes = member.writes();
    assert_eq!(writes["create pods"], 200);
    assert_eq!(writes["patch pods/status"], 200, "{writes:?}");
    assert_eq!(created.status.unwrap().label_selector.as_deref(), Some("app=game"));

    // In place: uids stay, three writes a pod, never more than the budget out of traffic.
    let before = member.pods().await;
    member.edit(image("game:2")).await;
    let mut most = 0;
    loop {
        let pods = member.pods().await;
        let ready = |pod: &Pod| {
            let conditions = pod.status.as_ref().unwrap().conditions.iter().flatten();
            conditions
                .clone()
                .any(|condition| condition.type_ == "InPlaceUpdateReady" && condition.status == "True")
        };
        most = most.max(pods.values().filter(|pod| !ready(pod)).count());
        let set = member.sets().get("game").await.unwrap();
        let status = set.status.unwrap();
        let observed = status.observed_generation == set.metadata.generation;
        if observed && status.updated_ready_replicas == 200 {
            break;
        }
        assert!(begin.elapsed() < Duration::from_mins(10), "{status:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(most, 40);
    let after = member.pods().await;
    for (ordinal, pod) in &after {
        assert_eq!(pod.uid(), before[ordinal].uid());
        let restarts = pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].restart_count;
        assert_eq!(restarts, 1);
    }
    let updated = member.writes();
    assert_eq!(updated["create pods"], 200);
    let per_update = updated["patch pods/status"] + updated["patch pods"] - writes["patch pods/status"];
    assert_eq!(per_update, 600, "{updated:?}");
    assert!(!updated.contains_key("delete pods"));

    // Scaling takes the highest ordinals.
    member.edit(json!({"spec": {"replicas": 150}})).await;
    member.until_ready(150).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(member.pods().await.into_keys().collect::<Vec<_>>(), (0..150).collect::<Vec<_>>());
    member.edit(json!({"spec": {"replicas": 160}})).await;
    member.until_ready(160).await;
    assert_eq!(member.images().await, BTreeSet::from(["game:2".to_owned()]));
    member.tasks.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_replaces_pods_and_a_restart_writes_nothing() {
    let mut member = Member::new().await;
    member.create(set(20, &json!({"type": "RollingUpdate"}))).await;
    member.until_ready(20).await;
    let before = member.pods().await;
    member.edit(image("game:2")).await;
    member.until_ready(20).await;
    assert_eq!(member.images().await, BTreeSet::from(["game:2".to_owned()]));
    let after = member.pods().await;
    assert!(after.iter().all(|(ordinal, pod)| pod.uid() != before[ordinal].uid()));

    // Quiet, also over a restart.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let writes = member.writes();
    tokio::time::sleep(Duration::from_mins(1)).await;
    member.controller.stop().await;
    member.start_controller();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(member.writes(), writes);
    member.tasks.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_of_an_update_goes_on_where_it_stopped() {
    let mut member = Member::new().await;
    let strategy = json!({
        "type": "InplaceUpdate",
        "rollingUpdate": {"maxUnavailable": 2},
        "inPlaceUpdateStrategy": {"gracePeriodSeconds": 2},
    });
    member.create(set(6, &strategy)).await;
    member.until_ready(6).await;
    let (uids, writes) = (member.pods().await, member.writes());
    member.edit(image("game:2")).await;
    for pause in [300, 700, 1900, 2300, 2500, 3000] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        member.controller.stop().await;
        member.start_controller();
    }
    member.until_ready(6).await;
    let after = member.pods().await;
    assert!(after.iter().all(|(ordinal, pod)| pod.uid() == uids[ordinal].uid()));
    let now = member.writes();
    let count = |writes: &BTreeMap<String, u64>, what: &str| writes.get(what).copied().unwrap_or_default();
    // A restart may cost a write that was refused as outdated, but no container a second restart.
    let restarts: i32 = after
        .values()
        .map(|pod| pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].restart_count)
        .sum();
    assert_eq!(restarts, 6);
    assert_eq!(count(&now, "patch pods") - count(&writes, "patch pods"), 6);
    member.tasks.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_template_that_the_server_refuses_is_told_in_condition_and_event() {
    let member = Member::new().await;
    let mut bad = set(3, &json!({"type": "RollingUpdate"}));
    bad["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 99999}]);
    member.create(bad).await;
    let set = member
        .until("refused", |set| {
            let progressing =
                muster_crds::conditions::find(&set.status.as_ref().unwrap().conditions, "Progressing");
            progressing.is_some_and(|condition| {
                condition.message.as_deref().is_some_and(|message| message.contains("containerPort"))
            })
        })
        .await;
    assert_eq!(set.status.unwrap().replicas, 0);
    // The write is tried again and again; that is one event, counted up.
    let mut told = 0;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_mins(5)).await;
        let events = Api::<Event>::namespaced(member.user.clone(), NAMESPACE);
        let mut refused = events.list(&ListParams::default()).await.unwrap().items;
        refused.retain(|event| event.reason.as_deref() == Some("FailedCreate"));
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].message.as_deref().unwrap().contains("containerPort"));
        let count = refused[0].count.unwrap();
        assert!(count > told, "{count} after {told}");
        assert!(refused[0].first_timestamp < refused[0].last_timestamp);
        told = count;
    }
    // Mended, it goes on.
    member.edit(image("game:1")).await;
    member.until_ready(3).await;
    member.tasks.stop().await;
}

#[tokio::test(start_paused = true)]
async fn claims_revisions_and_events_are_written_and_a_deleted_pod_comes_back() {
    let member = Member::new().await;
    let mut with_claims = set(2, &json!({"type": "OnDelete"}));
    with_claims["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": {"name": "save"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]);
    member.create(with_claims).await;
    member.until_ready(2).await;
    let claims = Api::<PersistentVolumeClaim>::namespaced(member.user.clone(), NAMESPACE);
    let claims: Vec<String> = claims
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .map(|claim| claim.name_any())
        .collect();
    assert_eq!(claims, ["save-game-0", "save-game-1"]);

    member.edit(image("game:2")).await;
    member.until("outdated", |set| set.status.as_ref().unwrap().updated_replicas == 0).await;
    let pods = Api::<Pod>::namespaced(member.user.clone(), NAMESPACE);
    pods.delete("game-1", &DeleteParams::default()).await.unwrap();
    member.until("one updated", |set| set.status.as_ref().unwrap().updated_ready_replicas == 1).await;
    let revisions = Api::<ControllerRevision>::namespaced(member.user.clone(), NAMESPACE);
    assert_eq!(revisions.list(&ListParams::default()).await.unwrap().items.len(), 2);

    tokio::time::sleep(Duration::from_secs(5)).await;
    let events =
        Api::<Event>::namespaced(member.user.clone(), NAMESPACE).list(&ListParams::default()).await.unwrap();
    assert!(events.iter().any(|event| event.reason.as_deref() == Some("SuccessfulCreate")));

    // Deleted with its set, everything goes, claims excepted.
    member.sets().delete("game", &DeleteParams::background()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(member.pods().await.is_empty());
    assert!(revisions.list(&ListParams::default()).await.unwrap().items.is_empty());
    member.tasks.stop().await;
}

/// Which pods serve, as everybody sees it: out of traffic, unready, on its way out or not there counts as unavailable.
#[derive(Clone, Default)]
struct Traffic(Arc<Mutex<BTreeMap<String, bool>>>);

impl Traffic {
    /// Watches the pods; the most that were unavailable at once is kept.
    fn watch(member: &Member, count: usize) -> Arc<Mutex<usize>> {
        let (traffic, most) = (Self::default(), Arc::new(Mutex::new(0)));
        let worst = Arc::clone(&most);
        let pods = Watch::new("traffic", Api::<Pod>::all(member.user.clone())).subscribe(move |change| {
            let mut serving = traffic.0.lock();
            match change {
                Change::Applied { new, .. } => {
                    let serves = ["Ready", "InPlaceUpdateReady"].iter().all(|type_| is_true(new, type_));
                    serving.insert(new.name_any(), serves && new.metadata.deletion_timestamp.is_none());
                }
                Change::Deleted(pod) => {
                    serving.remove(&pod.name_any());
                }
                Change::Synced => {}
            }
            let down = count - serving.values().filter(|serves| **serves).count();
            let mut worst = worst.lock();
            *worst = down.max(*worst);
        });
        pods.start(&member.tasks);
        most
    }
}

fn is_true(pod: &Pod, type_: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    conditions.into_iter().any(|condition| condition.type_ == type_ && condition.status == "True")
}

const SEEDS: u64 = 3;

/// Lost requests, lost answers, cut watches and restarts at any moment: never more pods out of traffic than the
/// budget, no container restarted without need, and in the end every pod as wanted.
#[tokio::test(start_paused = true)]
async fn whatever_happens_the_budget_holds_and_updates_converge() {
    for seed in 0..SEEDS {
        for strategy in ["InplaceUpdate", "RollingUpdate"] {
            println!("seed {seed}, {strategy}: {}", survive(seed, strategy).await);
        }
    }
}

/// Answers which faults struck.
async fn survive(seed: u64, strategy: &str) -> String {
    const PODS: i64 = 10;
    const BUDGET: i64 = 3;
    let mut random = StdRng::seed_from_u64(seed);
    let mut member = Member::new().await;
    let strategy = json!({
        "type": strategy,
        "rollingUpdate": {"maxUnavailable": BUDGET},
        "inPlaceUpdateStrategy": {"gracePeriodSeconds": 1},
    });
    member.create(set(PODS, &strategy)).await;
    member.until_ready(PODS).await;
    let most = Traffic::watch(&member, PODS as usize);
    tokio::time::sleep(Duration::from_secs(1)).await;
    *most.lock() = 0;

    let faults = Faults::new(seed);
    member.faults = Some(faults.clone());
    for _ in 0..12 {
        if random.random_ratio(1, 3) {
            member.edit(image(&format!("game:{}", random.random_range(1..4)))).await;
        }
        member.controller.stop().await;
        member.start_controller();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..8000))).await;
    }
    member.edit(image("game:9")).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    faults.stop();
    member.until_ready(PODS).await;
    assert_eq!(member.images().await, BTreeSet::from(["game:9".to_owned()]), "seed {seed}");
    assert!(*most.lock() <= BUDGET as usize, "seed {seed}: {} pods were down at once", most.lock());
    member.tasks.stop().await;
    faults.counts()
}
