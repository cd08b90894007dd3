//! Hooks, asked and answered over the API of a member.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use muster_crds::{HookRun, HookTemplate};
use muster_workload::Hooks;
use serde_json::{Value, json};

use crate::workload::{Member, NAMESPACE, image, set};

/// A member where hooks are asked, with the template `ask`.
async fn member() -> Member {
    let mut member = Member::new().await;
    member.controller.stop().await;
    member.hooks = Hooks::Enforced;
    member.start_controller();
    create_template(&member).await;
    member
}

async fn create_template(member: &Member) {
    let template = json!({
        "metadata": {"name": "ask"},
        "spec": {
            "args": [{"name": "PodIP"}],
            "metrics": [{
                "name": "ask", "interval": 5,
                "provider": {"web": {"url": "http://{{args.PodIP}}/may-end", "jsonPath": "{$.code}"}},
            }],
        },
    });
    let templates = Api::<HookTemplate>::namespaced(member.user.clone(), NAMESPACE);
    templates.create(&PostParams::default(), &serde_json::from_value(template).unwrap()).await.unwrap();
}

fn hooked(replicas: i64, strategy: &Value, points: &[&str]) -> Value {
    let mut set = set(replicas, strategy);
    for point in points {
        set["spec"][*point] = json!({"hook": {"templateName": "ask"}});
    }
    set
}

fn runs(member: &Member) -> Api<HookRun> {
    Api::namespaced(member.user.clone(), NAMESPACE)
}

/// Waits until so many runs without an answer are there.
async fn asked(member: &Member, count: usize) -> Vec<HookRun> {
    let mut open = Vec::new();
    for _ in 0..600 {
        let all = runs(member).list(&ListParams::default()).await.unwrap().items;
        open = all
            .into_iter()
            .filter(|run| run.status.as_ref().is_none_or(|run| run.phase == "Running"))
            .collect();
        if open.len() == count {
            return open;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{count} runs: {open:#?}");
}

async fn answer(member: &Member, run: &HookRun, phase: &str) {
    let measured = json!([{"name": "ask", "phase": phase, "measurements": [{"phase": phase}]}]);
    let status = json!({"status": {"phase": phase, "metricResults": measured}});
    runs(member).patch_status(&run.name_any(), &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

async fn pods(member: &Member) -> Vec<String> {
    let pods = Api::<Pod>::namespaced(member.user.clone(), NAMESPACE);
    pods.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect()
}

async fn until_pods(member: &Member, wanted: &[&str]) {
    let mut there = Vec::new();
    for _ in 0..600 {
        there = pods(member).await;
        if there == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{there:?} instead of {wanted:?}");
}

#[tokio::test(start_paused = true)]
async fn delete_x1_a_scale_down_waits_over_restarts_and_asks_each_pod_once() {
    let mut member = member().await;
    member.create(hooked(4, &json!({"type": "RollingUpdate"}), &["preDeleteUpdateStrategy"])).await;
    let ready = member.until_ready(4).await;
    assert_eq!(ready.finalizers(), ["muster.dev/drain"]);
    member.edit(json!({"spec": {"replicas": 2}})).await;
    let open = asked(&member, 2).await;
    assert_eq!(serde_json::to_value(&open[0].spec.metrics[0].interval).unwrap(), json!(5));
    for _ in 0..3 {
        member.controller.stop().await;
        member.start_controller();
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    assert_eq!(asked(&member, 2).await.len(), open.len());
    assert_eq!(member.writes()["create hookruns"], 2);
    assert_eq!(pods(&member).await, ["game-0", "game-1", "game-2", "game-3"]);
    let status = member.status().await;
    assert_eq!(status.pre_delete_hook_condition.len(), 2);
    assert!(status.conditions.iter().all(|condition| condition.type_ != "HooksNotEnforced"));

    answer(&member, &open[1], "Successful").await;
    until_pods(&member, &["game-0", "game-1", "game-2"]).await;
    answer(&member, &open[0], "Failed").await;
    member
        .until("denied", |set| {
            let blocked = &set.status.as_ref().unwrap().blocked_by;
            blocked.iter().any(|one| one.pod == "game-2" && one.code == "HookDenied")
        })
        .await;
    member.edit(json!({"spec": {"preDeleteUpdateStrategy": {"retry": true}}})).await;
    let open = asked(&member, 1).await;
    answer(&member, &open[0], "Successful").await;
    until_pods(&member, &["game-0", "game-1"]).await;
    asked(&member, 0).await;
    assert_eq!(runs(&member).list(&ListParams::default()).await.unwrap().items.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn delete_x9_a_set_that_is_deleted_drains_through_its_hook() {
    let member = member().await;
    member.create(hooked(2, &json!({"type": "RollingUpdate"}), &["preDeleteUpdateStrategy"])).await;
    member.until_ready(2).await;
    member.sets().delete("game", &DeleteParams::background()).await.unwrap();
    let open = asked(&member, 2).await;
    assert_eq!(pods(&member).await, ["game-0", "game-1"]);
    for run in &open {
        answer(&member, run, "Successful").await;
    }
    until_pods(&member, &[]).await;
    for _ in 0..600 {
        if member.sets().get_opt("game").await.unwrap().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the set stays");
}

#[tokio::test(start_paused = true)]
async fn delete_x9_a_set_whose_deletion_orphans_goes_at_once() {
    let member = member().await;
    member.create(hooked(2, &json!({"type": "RollingUpdate"}), &["preDeleteUpdateStrategy"])).await;
    member.until_ready(2).await;
    let finalizers = json!({"metadata": {"finalizers": ["muster.dev/drain", "orphan"]}});
    member.edit(finalizers).await;
    member.sets().delete("game", &DeleteParams::default()).await.unwrap();
    for _ in 0..600 {
        let set = member.sets().get_opt("game").await.unwrap();
        if set.is_none_or(|set| set.finalizers() == ["orphan"]) {
            assert_eq!(pods(&member).await, ["game-0", "game-1"]);
            assert_eq!(member.writes().get("create hookruns"), None);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the set stays");
}

#[tokio::test(start_paused = true)]
async fn delete_x13_a_namespace_that_goes_takes_its_sets_along_without_a_question() {
    let member = member().await;
    let mut set = hooked(2, &json!({"type": "RollingUpdate"}), &["preDeleteUpdateStrategy"]);
    // Nobody ends these pods, so that only the deadline ends the wait for them.
    set["spec"]["template"]["metadata"]["finalizers"] = json!(["example.com/held"]);
    member.create(set).await;
    member.until_ready(2).await;
    let namespaces = Api::<Namespace>::all(member.user.clone());
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await.unwrap();
    let began = tokio::time::Instant::now();
    while member.sets().get_opt("game").await.unwrap().is_some() {
        assert!(began.elapsed() < Duration::from_mins(10), "the set stays");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(began.elapsed() > Duration::from_mins(4), "{:?}", began.elapsed());
    assert_eq!(member.writes().get("create hookruns"), None);
}

#[tokio::test(start_paused = true)]
async fn an_update_in_place_asks_before_and_after_and_leaves_no_run() {
    let member = member().await;
    let strategy = json!({"type": "InplaceUpdate", "rollingUpdate": {"maxUnavailable": 2}});
    let points = ["preInplaceUpdateStrategy", "postInplaceUpdateStrategy"];
    member.create(hooked(2, &strategy, &points)).await;
    member.until_ready(2).await;
    member.edit(image("game:2")).await;
    // The first pod of a revision goes alone.
    for pod in ["1", "0"] {
        for point in ["pre-inplace-step", "post-inplace-step"] {
            let run = asked(&member, 1).await.remove(0);
            assert_eq!(
                (run.labels()["hookrun-type"].as_str(), run.labels()["instance-id"].as_str()),
                (point, pod)
            );
            answer(&member, &run, "Successful").await;
            asked(&member, 0).await;
        }
    }
    member.until_ready(2).await;
    asked(&member, 0).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(runs(&member).list(&ListParams::default()).await.unwrap().items.len(), 0);
    let writes = member.writes();
    // Before and after each pod, and nothing twice.
    assert_eq!((writes["create hookruns"], writes["delete hookruns"]), (4, 4), "{writes:?}");
    assert_eq!(writes.get("patch hookruns"), None, "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn hook_h14_a_template_that_appears_is_asked_by_at_once() {
    let member = member().await;
    let templates = Api::<HookTemplate>::namespaced(member.user.clone(), NAMESPACE);
    templates.delete("ask", &DeleteParams::default()).await.unwrap();
    member.create(hooked(2, &json!({"type": "RollingUpdate"}), &["preDeleteUpdateStrategy"])).await;
    member.until_ready(2).await;
    member.edit(json!({"spec": {"replicas": 1}})).await;
    member
        .until("a missing template", |set| {
            let blocked = &set.status.as_ref().unwrap().blocked_by;
            blocked.iter().any(|one| one.code == "HookTemplateMissing" && one.pod == "game-1")
        })
        .await;
    create_template(&member).await;
    asked(&member, 1).await;
}
