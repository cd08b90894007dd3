//! A member without an agent: what its nodes, its scheduler and its provisioner do to objects.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::DeleteParams;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;

struct World {
    api: Client,
    /// Dropping it ends everything.
    _tasks: Tasks,
}

impl World {
    async fn new(nodes: usize) -> Self {
        let tasks = Tasks::new();
        let millis = Duration::from_millis;
        let timing = Timing {
            start: millis(1000)..=millis(1000),
            restart: millis(500)..=millis(500),
            stop: millis(100)..=millis(100),
            seed: 1,
        };
        let clock = Clock::simulated(Timestamp::from_second(1_800_000_000).unwrap());
        let config = MemberConfig {
            name: ClusterName::new("shanghai").unwrap(),
            index: 0,
            nodes,
            scheduling: Scheduling::Embedded,
            timing,
            clock,
            link: Link::new("hub"),
        };
        let member = Member::start(config, &tasks).await.unwrap();
        let api = client::in_process(member.cluster.router(), SANDBOX).unwrap();
        Self { api, _tasks: tasks }
    }

    fn of<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.api.clone(), "default")
    }

    async fn create<K>(&self, object: Value) -> K
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + DeserializeOwned,
    {
        let object = serde_json::from_value(object).unwrap();
        self.of::<K>().create(&PostParams::default(), &object).await.unwrap()
    }

    /// Waits until a pod is as it should be.
    async fn pod(&self, name: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
        let pods: Api<Pod> = self.of();
        until(|| pods.get_opt(name), |pod| pod.as_ref().is_some_and(&holds)).await.unwrap()
    }

    async fn annotate(&self, node: &str, silent: Option<&str>) {
        let nodes: Api<Node> = Api::all(self.api.clone());
        let patch = json!({"metadata": {"annotations": {muster_crds::keys::sandbox::SILENT: silent}}});
        nodes.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

/// Asks again until the answer is right.
async fn until<T, F>(ask: impl Fn() -> F, right: impl Fn(&T) -> bool) -> T
where
    T: std::fmt::Debug,
    F: Future<Output = Result<T, kube::Error>>,
{
    let mut last = None;
    for _ in 0..20_000 {
        let answer = ask().await.unwrap();
        if right(&answer) {
            return answer;
        }
        last = Some(answer);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("still {last:?}")
}

fn pod(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec.as_object_mut()
        .unwrap()
        .entry("containers")
        .or_insert_with(|| json!([{"name": "a", "image": "x:1"}]));
    json!({"metadata": {"name": name}, "spec": spec})
}

fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|status| status == "True")
}

fn condition(pod: &Pod, kind: &str) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind).map(|condition| condition.status.clone())
}

fn claim(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}})
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_claim_and_the_claim_for_its_pod() {
    let world = World::new(1).await;
    let volumes = json!([{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]);
    world.create::<Pod>(pod("p", json!({"volumes": volumes}))).await;
    let waiting = world.pod("p", |pod| condition(pod, "PodScheduled").is_some()).await;
    let message = waiting.status.unwrap().conditions.unwrap()[0].message.clone().unwrap();
    assert_eq!(message, "0/1 nodes are available: persistentvolumeclaim \"data\" not found.");

    let made: PersistentVolumeClaim = world.create(claim("data")).await;
    assert_eq!(made.spec.unwrap().storage_class_name.as_deref(), Some("standard"));
    world.pod("p", is_ready).await;
    let claims: Api<PersistentVolumeClaim> = world.of();
    let bound = claims.get("data").await.unwrap();
    let volume = bound.spec.unwrap().volume_name.unwrap();
    assert_eq!(bound.status.unwrap().phase.as_deref(), Some("Bound"));

    let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    claims.patch("data", &PatchParams::default(), &Patch::Merge(more)).await.unwrap();
    let capacity = |claim: &PersistentVolumeClaim| {
        claim.status.as_ref().unwrap().capacity.as_ref().unwrap()["storage"].0.clone()
    };
    until(|| claims.get("data"), |claim| capacity(claim) == "2Gi").await;

    claims.delete("data", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(claims.get_opt("data").await.unwrap().is_some(), "a pod uses it");
    world.of::<Pod>().delete("p", &DeleteParams::default()).await.unwrap();
    until(|| claims.get_opt("data"), Option::is_none).await;
    let volumes: Api<PersistentVolume> = Api::all(world.api.clone());
    until(|| volumes.get_opt(&volume), Option::is_none).await;
}

#[tokio::test(start_paused = true)]
async fn a_resize_is_deferred_until_there_is_room_and_then_carried_out() {
    let world = World::new(1).await;
    let sized = |cpu: &str| json!({"containers": [{"name": "a", "image": "x:1", "resources": {"requests": {"cpu": cpu}}}]});
    world.create::<Pod>(pod("big", sized("40"))).await;
    world.create::<Pod>(pod("small", sized("10"))).await;
    world.pod("big", is_ready).await;
    world.pod("small", is_ready).await;
    let pods: Api<Pod> = world.of();
    let resize = |cpu: &str| Patch::Strategic(json!({"spec": sized(cpu)}));
    pods.patch_subresource("resize", "small", &PatchParams::default(), &resize("30")).await.unwrap();
    let pending = |pod: &Pod| condition(pod, "PodResizePending").is_some();
    world.pod("small", pending).await;
    pods.delete("big", &DeleteParams::default()).await.unwrap();
    let has = |pod: &Pod| {
        let status = &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
        status.resources.as_ref().unwrap().requests.as_ref().unwrap()["cpu"].0.clone()
    };
    let done = world.pod("small", |pod| has(pod) == "30").await;
    assert!(!pending(&done) && condition(&done, "PodResizeInProgress").is_none() && is_ready(&done));
    assert_eq!(done.status.unwrap().observed_generation, done.metadata.generation);
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_silent_node_go_when_it_is_heard_of_again_or_given_up() {
    let world = World::new(2).await;
    let on = |node: &str| {
        json!({"nodeName": node, "tolerations": [{"key": "node.kubernetes.io/unreachable",
        "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}]})
    };
    world.create::<Pod>(pod("p", on("shanghai-node-0"))).await;
    world.create::<Pod>(pod("q", on("shanghai-node-1"))).await;
    world.pod("p", is_ready).await;
    world.pod("q", is_ready).await;

    world.annotate("shanghai-node-0", Some("true")).await;
    let unready = world.pod("p", |pod| !is_ready(pod)).await;
    assert!(unready.metadata.deletion_timestamp.is_none());
    let nodes: Api<Node> = Api::all(world.api.clone());
    let lost = nodes.get("shanghai-node-0").await.unwrap();
    let ready = |node: &Node| {
        let conditions = node.status.as_ref().unwrap().conditions.as_ref().unwrap();
        conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().status.clone()
    };
    assert_eq!(ready(&lost), "Unknown");
    world.pod("p", |pod| pod.metadata.deletion_timestamp.is_some()).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    let pods: Api<Pod> = world.of();
    assert!(pods.get_opt("p").await.unwrap().is_some(), "nobody hears that its processes ended");
    assert!(is_ready(&pods.get("q").await.unwrap()), "the other node goes on");

    world.annotate("shanghai-node-0", None).await;
    until(|| pods.get_opt("p"), Option::is_none).await;
    until(|| nodes.get("shanghai-node-0"), |node| ready(node) == "True").await;
    assert!(nodes.get("shanghai-node-0").await.unwrap().spec.unwrap_or_default().taints.is_none());

    nodes.delete("shanghai-node-1", &DeleteParams::default()).await.unwrap();
    until(|| pods.get_opt("q"), Option::is_none).await;
}

#[tokio::test(start_paused = true)]
async fn an_image_is_proven_by_a_pod_that_does_not_run() {
    let world = World::new(1).await;
    let puller = |image: &str| {
        json!({"nodeName": "shanghai-node-0", "restartPolicy": "Never", "activeDeadlineSeconds": 600,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "a", "image": image, "command": ["/muster.dev/none"]}]})
    };
    world.create::<Pod>(pod("good", puller("x:2"))).await;
    world.create::<Pod>(pod("bad", puller("x:missing"))).await;
    let phase = |pod: &Pod| pod.status.as_ref().unwrap().phase.clone().unwrap();
    let good = world.pod("good", |pod| phase(pod) == "Failed").await;
    let status = &good.status.unwrap().container_statuses.unwrap()[0];
    assert!(!status.image_id.is_empty());
    let waits = |pod: &Pod, reason: &str| {
        let status = pod.status.as_ref().unwrap().container_statuses.as_ref();
        let waiting = status.and_then(|status| status[0].state.as_ref()?.waiting.as_ref()?.reason.clone());
        waiting.as_deref() == Some(reason)
    };
    world.pod("bad", |pod| waits(pod, "ErrImagePull")).await;
    world.pod("bad", |pod| waits(pod, "ImagePullBackOff")).await;
    let bad = world.pod("bad", |pod| phase(pod) == "Failed").await;
    assert!(bad.status.unwrap().container_statuses.unwrap()[0].image_id.is_empty());
}
