//! What the controller says of a set: that its status is written whatever the API server answers, and why nothing moves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::workload::{Member, NAMESPACE, image, set};

/// A member whose controller has this between itself and the API server from the start.
async fn member(layer: fn(Router) -> Router) -> Member {
    let mut member = Member::new().await;
    member.controller.stop().await;
    member.layer = Some(layer);
    member.start_controller();
    member
}

fn answer(code: u16, reason: &str, message: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message
    });
    let code = StatusCode::from_u16(code).unwrap();
    (code, [("content-type", "application/json")], Body::from(status.to_string())).into_response()
}

fn is_status(request: &Request) -> bool {
    request.method() == Method::PATCH && request.uri().path().contains("/gamestatefulsets/game/status")
}

fn creates_pods(request: &Request) -> bool {
    request.method() == Method::POST && request.uri().path().ends_with("/pods")
}

async fn warnings(member: &Member) -> Vec<(String, String, i32)> {
    let events = Api::<Event>::namespaced(member.user.clone(), NAMESPACE);
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let warnings = events.into_iter().filter(|event| event.type_.as_deref() == Some("Warning"));
    let text = |text: Option<String>| text.unwrap_or_default();
    warnings.map(|event| (text(event.reason), text(event.message), event.count.unwrap_or(1))).collect()
}

#[tokio::test(start_paused = true)]
async fn sts_c26_status_and_observed_generation_are_written() {
    let member = Member::new().await;
    member.create(set(2, &json!({"type": "RollingUpdate"}))).await;
    let ready = member.until_ready(2).await;
    assert_eq!(ready.status.unwrap().observed_generation, Some(1));
    member.edit(json!({"spec": {"minReadySeconds": 1}})).await;
    let edited = member.until("observed", |_| true).await;
    assert_eq!(edited.status.unwrap().observed_generation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn sts_c26_a_status_that_cannot_be_written_is_written_later() {
    static LEFT: AtomicUsize = AtomicUsize::new(5);
    let member = member(|router| {
        router.layer(middleware::from_fn(|request: Request, next: Next| async move {
            let left = |left: usize| left.checked_sub(1);
            if is_status(&request) && LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok() {
                return answer(500, "InternalError", "etcdserver: leader changed");
            }
            next.run(request).await
        }))
    })
    .await;
    member.create(set(3, &json!({"type": "RollingUpdate"}))).await;
    member.until_ready(3).await;
    assert_eq!(LEFT.load(Ordering::Relaxed), 0, "no fault struck");
    assert_eq!(member.writes()["create pods"], 3);
}

#[tokio::test(start_paused = true)]
async fn sts_c26_a_conflict_is_tried_again_with_what_the_object_is_then() {
    static CONFLICTS: AtomicUsize = AtomicUsize::new(0);
    let member = member(|router| {
        router.layer(middleware::from_fn(|request: Request, next: Next| async move {
            if is_status(&request) && CONFLICTS.fetch_add(1, Ordering::Relaxed) < 3 {
                return answer(409, "Conflict", "the object has been modified");
            }
            next.run(request).await
        }))
    })
    .await;
    member.create(set(1, &json!({"type": "RollingUpdate"}))).await;
    // The object moves on while its status is in conflict.
    member.edit(json!({"spec": {"replicas": 2}})).await;
    let ready = member.until_ready(2).await;
    assert_eq!(ready.status.unwrap().observed_generation, ready.metadata.generation);
    assert!(CONFLICTS.load(Ordering::Relaxed) > 3);
}

#[tokio::test(start_paused = true)]
async fn sts_c26_a_conflict_that_stays_is_tried_ever_less_often() {
    static CONFLICTS: AtomicUsize = AtomicUsize::new(0);
    static OVER: AtomicUsize = AtomicUsize::new(0);
    let member = member(|router| {
        router.layer(middleware::from_fn(|request: Request, next: Next| async move {
            if is_status(&request) && OVER.load(Ordering::Relaxed) == 0 {
                CONFLICTS.fetch_add(1, Ordering::Relaxed);
                return answer(409, "Conflict", "the object has been modified");
            }
            next.run(request).await
        }))
    })
    .await;
    member.create(set(1, &json!({"type": "RollingUpdate"}))).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    let conflicts = CONFLICTS.load(Ordering::Relaxed);
    // Pauses double from 50 ms to 30 s: about 10 until then, and 20 in the time that is left.
    assert!((15..60).contains(&conflicts), "{conflicts} attempts in ten minutes");
    OVER.store(1, Ordering::Relaxed);
    member.until_ready(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_told_in_status_and_event_while_it_holds() {
    static FULL: AtomicUsize = AtomicUsize::new(1);
    let member = member(|router| {
        router.layer(middleware::from_fn(|request: Request, next: Next| async move {
            if creates_pods(&request) && FULL.load(Ordering::Relaxed) == 1 {
                let message = "pods \"game-0\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0";
                return answer(403, "Forbidden", message);
            }
            next.run(request).await
        }))
    })
    .await;
    member.create(set(40, &json!({"type": "RollingUpdate"}))).await;
    let held = member.until("Quota", |set| !set.status.as_ref().unwrap().blocked_by.is_empty()).await;
    let entry = held.status.unwrap().blocked_by.remove(0);
    assert_eq!((entry.pod.as_str(), entry.code.as_str()), ("game-0", "Quota"));
    assert!(entry.message.contains("exceeded quota: small"), "{}", entry.message);
    tokio::time::sleep(Duration::from_mins(5)).await;
    // One request meets it, not forty, and the wait began when it began.
    assert!(member.status().await.blocked_by.len() == 1, "{:?}", member.status().await.blocked_by);
    assert_eq!(member.status().await.blocked_by[0].since, entry.since);
    let told = warnings(&member).await;
    let quota: Vec<_> = told.iter().filter(|(reason, ..)| reason == "Quota").collect();
    assert_eq!(quota.len(), 1, "{told:?}");
    assert!(quota[0].1.starts_with("pod game-0: ") && quota[0].2 == 1, "{told:?}");

    FULL.store(0, Ordering::Relaxed);
    member.until_ready(40).await;
    assert!(member.status().await.blocked_by.is_empty());
}

#[tokio::test(start_paused = true)]
async fn reasons_that_move_along_are_written_seldom_and_a_restart_keeps_their_since() {
    let mut member = Member::new().await;
    member.create(set(2, &json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}))).await;
    member.until_ready(2).await;
    member.edit(image("nobody:has-it")).await;
    // What the kubelet says of the pod that was replaced changes with every one of its attempts.
    let pods = Api::<Pod>::namespaced(member.user.clone(), NAMESPACE);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let waiting = |attempt: u32| {
        json!({"status": {
            "phase": "Pending",
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [{
                "name": "center", "image": "nobody:has-it", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": format!("attempt {attempt}")}},
            }],
        }})
    };
    let patch = |attempt: u32| {
        let pods = pods.clone();
        let body = waiting(attempt);
        async move {
            pods.patch_status("game-1", &PatchParams::default(), &Patch::Strategic(body)).await.unwrap();
        }
    };
    patch(0).await;
    let stuck = |code: &'static str| {
        move |set: &muster_crds::GameStatefulSet| {
            let entries = &set.status.as_ref().unwrap().blocked_by;
            entries.iter().any(|entry| entry.pod == "game-1" && entry.code == code)
        }
    };
    let first = member.until("ImagePull", stuck("ImagePull")).await.status.unwrap().blocked_by;
    let before = member.writes()["patch gamestatefulsets/status"];
    for attempt in 1..=100 {
        patch(attempt).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let written = member.writes()["patch gamestatefulsets/status"] - before;
    assert!((2..=7).contains(&written), "{written} writes of 100 changes in ten seconds");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let last = member.status().await.blocked_by;
    assert!(last[0].message.contains("attempt 100"), "{last:?}");

    member.controller.stop().await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    let before = member.writes();
    member.start_controller();
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(member.writes(), before, "a restart writes nothing");
    assert_eq!(member.status().await.blocked_by, last);
    assert_eq!(last[0].since, first[0].since);
    let told = warnings(&member).await;
    let pull: Vec<_> = told.iter().filter(|(reason, ..)| reason == "ImagePull").collect();
    assert_eq!(pull.len(), 1, "{told:?}");
}
