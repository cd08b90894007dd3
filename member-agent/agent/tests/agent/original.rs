//! Beside the operator of bk-bcs: who finds its lock renewed leaves the sets alone.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Endpoints, Namespace, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use muster_agent::workload::{
    LOCK_NAME, LOCK_NAMESPACE, LOOK_RUNNING, LOOK_WAITING, WorkloadConfig, run_alone,
};
use muster_runtime::initialized::Initialized;
use muster_runtime::{Clock, Tasks, client};
use serde_json::{Value, json};

use crate::workload::{Member, NAMESPACE, set};

const LEASE: Duration = Duration::from_secs(15);

/// A member whose controller is to run alone.
async fn alone() -> (Member, Initialized) {
    let member = Member::new().await;
    member.controller.stop().await;
    let namespace = serde_json::from_value(json!({"metadata": {"name": LOCK_NAMESPACE}})).unwrap();
    Api::<Namespace>::all(member.user.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    (member, Initialized::new())
}

fn start(member: &Member, initialized: &Initialized) {
    let agent = client::in_process(member.cluster.router(), "muster-agent/test").unwrap();
    let mut config = WorkloadConfig::new(agent, member.clock.clone());
    config.initialized = initialized.clone();
    run_alone(config, &member.tasks);
}

/// What the original writes when it renews its lock.
fn leader(holder: &str, clock: &Clock) -> Value {
    json!({
        "holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": clock.now(), "renewTime": clock.now(),
        "leaderTransitions": 1,
    })
}

async fn renew(user: &Client, clock: &Clock) {
    let annotation = leader("bcs-operator-7", clock).to_string();
    let body = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": LOCK_NAME, "annotations": {"control-plane.alpha.kubernetes.io/leader": annotation}},
    });
    let locks = Api::<Endpoints>::namespaced(user.clone(), LOCK_NAMESPACE);
    locks.patch(LOCK_NAME, &PatchParams::apply("original").force(), &Patch::Apply(body)).await.unwrap();
}

/// The original, as far as its lock shows.
fn original(member: &Member) -> Tasks {
    let tasks = member.tasks.child();
    let (user, clock) = (member.user.clone(), member.clock.clone());
    tasks.spawn("original", async move {
        loop {
            renew(&user, &clock).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    });
    tasks
}

async fn pods(member: &Member) -> usize {
    let pods = Api::<Pod>::namespaced(member.user.clone(), NAMESPACE);
    pods.list(&ListParams::default()).await.unwrap().items.len()
}

#[tokio::test(start_paused = true)]
async fn takeover_waits_for_the_lock_of_the_original_and_says_so() {
    let (member, initialized) = alone().await;
    let running = original(&member);
    tokio::time::sleep(Duration::from_secs(1)).await;
    start(&member, &initialized);
    member.create(set(2, &json!({"type": "InplaceUpdate"}))).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!((pods(&member).await, member.writes().len()), (0, 0));
    let reasons = initialized.reasons().join(" ");
    assert!(reasons.contains("bcs-operator-7") && reasons.contains("scale its Deployment to 0"), "{reasons}");

    // It ends without giving the lock back, as it does.
    running.stop().await;
    tokio::time::sleep(LEASE.saturating_sub(Duration::from_secs(4))).await;
    assert_eq!(pods(&member).await, 0);
    tokio::time::sleep(2 * LOOK_WAITING + Duration::from_secs(4)).await;
    member.until_ready(2).await;
    assert_eq!(initialized.reasons(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn takeover_ends_when_the_original_comes_back() {
    let (member, initialized) = alone().await;
    start(&member, &initialized);
    member.create(set(2, &json!({"type": "InplaceUpdate"}))).await;
    member.until_ready(2).await;
    let running = original(&member);
    tokio::time::sleep(3 * LOOK_RUNNING).await;
    assert!(initialized.reasons().join(" ").contains("bcs-operator-7"));
    let before = member.writes();
    member.edit(json!({"spec": {"replicas": 5}})).await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!((pods(&member).await, member.writes()), (2, before));
    running.stop().await;
    member.until_ready(5).await;
}

#[tokio::test(start_paused = true)]
async fn takeover_does_not_wait_for_a_lock_that_nobody_holds_any_more() {
    let (member, initialized) = alone().await;
    renew(&member.user, &member.clock).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    start(&member, &initialized);
    member.create(set(1, &json!({"type": "InplaceUpdate"}))).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(pods(&member).await, 1);
}

#[tokio::test(start_paused = true)]
async fn takeover_waits_for_a_lease_as_well() {
    let (member, initialized) = alone().await;
    let mut spec = leader("bcs-operator-9", &member.clock);
    let transitions = spec.as_object_mut().unwrap().remove("leaderTransitions").unwrap();
    spec["leaseTransitions"] = transitions;
    for time in ["acquireTime", "renewTime"] {
        spec[time] = json!("2026-01-01T00:00:00.000000Z");
    }
    let lease = serde_json::from_value(json!({"metadata": {"name": LOCK_NAME}, "spec": spec})).unwrap();
    let leases = Api::<Lease>::namespaced(member.user.clone(), LOCK_NAMESPACE);
    leases.create(&PostParams::default(), &lease).await.unwrap();
    start(&member, &initialized);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(initialized.reasons().join(" ").contains("bcs-operator-9"));
    tokio::time::sleep(2 * LEASE).await;
    assert_eq!(initialized.reasons(), Vec::<String>::new());
}
