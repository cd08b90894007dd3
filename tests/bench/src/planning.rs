//! How long it takes to plan one large set, without anything around it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod as CorePod;
use muster_crds::GameStatefulSet;
use muster_workload::{Action, Pod, Revision, Snapshot, plan};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bars::{Bars, BenchError, Runs};

/// How often each plan is made.
const RUNS: usize = 41;

/// Measures plans of a set of `pods` pods: at rest, with an update that may begin everywhere, and with one that most pods
/// wait for.
pub(crate) fn measure(pods: u32, bars: &mut Bars) -> Result<(), BenchError> {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse()?;
    let rest = at_rest(pods, now)?;
    let updated = |budget: &str| -> Result<Snapshot, BenchError> {
        let mut set = serde_json::to_value(rest.set.as_ref())?;
        set["metadata"]["generation"] = json!(2);
        set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("game:2");
        set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = json!(budget);
        let mut snapshot = rest.clone();
        snapshot.set = Arc::new(serde_json::from_value(set)?);
        stored(&mut snapshot, now)?;
        let made = plan(&snapshot, now)?;
        with_status(&mut snapshot, &made.status)?;
        Ok(snapshot)
    };
    let cases = [
        ("at rest", rest.clone()),
        ("all due, budget 100 %", updated("100%")?),
        ("all due, budget 1 %", updated("1%")?),
    ];
    for (case, snapshot) in cases {
        let mut times = Vec::new();
        let mut counted = String::new();
        for _ in 0..RUNS {
            let began = Instant::now();
            let made = plan(&snapshot, now)?;
            times.push(millis(began.elapsed()));
            counted = format!("{} steps, {} waits", made.steps.len(), made.waits.len());
        }
        bars.at_most(&format!("plan of {pods} pods, {case}"), &Runs::of(times), 10.0, "ms", counted);
    }
    Ok(())
}

/// A set whose pods all run and are ready, as the controller has them in memory.
fn at_rest(pods: u32, now: Timestamp) -> Result<Snapshot, BenchError> {
    let set: GameStatefulSet = serde_json::from_value(json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "GameStatefulSet",
        "metadata": {"name": "game", "namespace": "fleet", "uid": "set-uid", "generation": 1},
        "spec": {
            "replicas": pods,
            "serviceName": "game",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "game"}},
            "template": {
                "metadata": {"labels": {"app": "game"}},
                "spec": {"containers": [{"name": "center", "image": "game:1"}]},
            },
            "updateStrategy": {"type": "InplaceUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
        },
    }))?;
    let mut snapshot = Snapshot::of(Arc::new(set));
    stored(&mut snapshot, now)?;
    let mut bodies: Vec<Value> = Vec::new();
    while bodies.len() < pods as usize {
        let made = plan(&snapshot, now)?;
        let created = made.steps.iter().filter_map(|step| match &step.action {
            Action::CreatePod { body, .. } => Some(body.clone()),
            _ => None,
        });
        let before = bodies.len();
        bodies.extend(created);
        if bodies.len() == before {
            return Err(format!("only {before} of {pods} pods are planned: {made}").into());
        }
        snapshot.pods = bodies
            .iter()
            .enumerate()
            .map(|(index, body)| running(body, index, now))
            .collect::<Result<_, _>>()?;
    }
    let made = plan(&snapshot, now)?;
    with_status(&mut snapshot, &made.status)?;
    Ok(snapshot)
}

/// Stores the revision that the plan asks for.
fn stored(snapshot: &mut Snapshot, now: Timestamp) -> Result<(), BenchError> {
    for step in plan(snapshot, now)?.steps {
        if let Action::CreateRevision { name, mut body } = step.action {
            body["metadata"]["uid"] = json!(format!("uid-{name}"));
            body["metadata"]["resourceVersion"] = json!("1");
            body["metadata"]["creationTimestamp"] = json!(now);
            snapshot.revisions.push(Arc::new(Revision::read(&serde_json::from_value(body)?)?));
        }
    }
    Ok(())
}

fn with_status(snapshot: &mut Snapshot, status: &impl serde::Serialize) -> Result<(), BenchError> {
    let mut set = snapshot.set.as_ref().clone();
    set.status = Some(serde_json::from_value(serde_json::to_value(status)?)?);
    snapshot.set = Arc::new(set);
    Ok(())
}

/// The pod as its kubelet has it running.
fn running(body: &Value, index: usize, now: Timestamp) -> Result<Arc<Pod>, BenchError> {
    let mut pod = body.clone();
    pod["metadata"]["uid"] = json!(format!("uid-{index}"));
    pod["metadata"]["resourceVersion"] = json!(index.to_string());
    pod["metadata"]["generation"] = json!(1);
    pod["metadata"]["creationTimestamp"] = json!(now);
    pod["spec"]["nodeName"] = json!(format!("node-{}", index / 110));
    let since = now;
    pod["status"] = json!({
        "phase": "Running",
        "observedGeneration": 1,
        "conditions": [
            {"type": "InPlaceUpdateReady", "status": "True", "lastTransitionTime": since},
            {"type": "Ready", "status": "True", "lastTransitionTime": since},
        ],
        "containerStatuses": [{
            "name": "center", "image": "game:1", "imageID": "sha256:1", "containerID": format!("containerd://{index}"),
            "ready": true, "started": true, "restartCount": 0, "state": {"running": {"startedAt": since}},
        }],
    });
    let pod: CorePod = serde_json::from_value(pod)?;
    Ok(Arc::new(Pod::read(&pod, now, None)?))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
