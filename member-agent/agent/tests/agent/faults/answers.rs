//! Who measures HookRuns: answers come when they come, some of them no.

use std::time::Duration;

use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use muster_crds::{HookRun, HookTemplate};
use muster_runtime::Tasks;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::layer::Faults;
use super::script::NAMESPACE;

/// How often runs are looked at.
const TICK: Duration = Duration::from_millis(700);

/// Writes the template that sets name, and answers their questions; yes alone when nothing goes wrong any more.
pub(super) async fn start(client: Client, faults: Faults, seed: u64, tasks: &Tasks) {
    let template = json!({
        "metadata": {"name": "ask", "namespace": NAMESPACE},
        "spec": {
            "args": [{"name": "PodIP"}],
            "metrics": [{
                "name": "ask",
                "provider": {"web": {"url": "http://{{args.PodIP}}/may-end", "jsonPath": "{$.code}"}},
            }],
        },
    });
    let template = serde_json::from_value(template).unwrap();
    let templates: Api<HookTemplate> = Api::namespaced(client.clone(), NAMESPACE);
    templates.create(&PostParams::default(), &template).await.unwrap();
    let mut random = StdRng::seed_from_u64(seed ^ 0xA55);
    let runs: Api<HookRun> = Api::namespaced(client, NAMESPACE);
    tasks.spawn("answers", async move {
        loop {
            tokio::time::sleep(TICK).await;
            for run in runs.list(&ListParams::default()).await.unwrap() {
                let phase = run.status.as_ref().map_or("", |status| status.phase.as_str());
                if matches!(phase, "Successful" | "Failed") {
                    continue;
                }
                let next = match random.random_range(0..10) {
                    _ if run.spec.terminate == Some(true) => "Successful",
                    0..3 if phase.is_empty() => "Running",
                    7 if faults.are_on() => "Failed",
                    3.. => "Successful",
                    _ => continue,
                };
                let patch = Patch::Merge(status(next));
                // It may be gone.
                drop(runs.patch_status(&run.name_any(), &PatchParams::default(), &patch).await);
            }
        }
    });
}

fn status(phase: &str) -> Value {
    let measured = json!([{"name": "ask", "phase": phase, "count": 1, "measurements": [{"phase": phase}]}]);
    json!({"status": {"phase": phase, "metricResults": measured}})
}
