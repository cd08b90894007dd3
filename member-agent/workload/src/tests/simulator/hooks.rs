//! HookTemplates, HookRuns, and a controller of theirs that answers when told.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::World;
use crate::{HookRun, Hooks as Enforcement};

/// What there is of hooks.
#[derive(Clone, Default)]
pub(in super::super) struct Hooks {
    pub(in super::super) enforced: bool,
    pub(in super::super) templates: BTreeMap<String, Value>,
    pub(in super::super) runs: BTreeMap<String, Value>,
    pub(in super::super) namespace_deleted: Option<Timestamp>,
}

impl Hooks {
    pub(super) fn enforcement(&self) -> Enforcement {
        if self.enforced { Enforcement::Enforced } else { Enforcement::NotEnforced }
    }

    pub(super) fn snapshot(&self) -> Vec<Arc<HookRun>> {
        let read =
            |run: &Value| Arc::new(HookRun::read(&serde_json::from_value(run.clone()).unwrap()).unwrap());
        self.runs.values().map(read).collect()
    }

    pub(super) fn templates(&self) -> BTreeMap<String, Arc<Value>> {
        self.templates.iter().map(|(name, template)| (name.clone(), Arc::new(template.clone()))).collect()
    }
}

impl World {
    /// A set whose hook point asks the template `ask`, in a namespace where hooks are asked.
    pub(in super::super) fn hooked(replicas: i64, policy: &str, strategy: &Value, points: &[&str]) -> Self {
        let mut world = Self::new(replicas, policy, strategy);
        world.hooks.enforced = true;
        world.hooks.templates.insert("ask".into(), template());
        world.edit(|spec| {
            for point in points {
                spec[*point] = json!({"hook": {"templateName": "ask"}});
            }
        });
        world
    }

    /// Names of the runs about a pod as it is now.
    pub(in super::super) fn runs_of(&self, pod: &str) -> Vec<String> {
        let uid = &self.pods.get(pod).unwrap_or(&Value::Null)["metadata"]["uid"];
        let about = |run: &Value| run["metadata"]["labels"]["muster.dev/pod-uid"] == *uid;
        self.hooks.runs.iter().filter(|(_, run)| about(run)).map(|(name, _)| name.clone()).collect()
    }

    /// The one run about a pod.
    pub(in super::super) fn run_of(&self, pod: &str) -> &Value {
        let runs = self.runs_of(pod);
        assert_eq!(runs.len(), 1, "{pod}: {runs:?}");
        &self.hooks.runs[&runs[0]]
    }

    /// Pods that are being asked, in order.
    pub(in super::super) fn asked(&self) -> Vec<String> {
        let names = self.pods.keys().filter(|pod| {
            self.runs_of(pod).iter().any(|run| {
                let run = &self.hooks.runs[run];
                !is_complete(run) && run["spec"]["terminate"] != true
            })
        });
        names.cloned().collect()
    }

    fn write_run(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        let version = self.next_version();
        let run = self.hooks.runs.get_mut(name).unwrap();
        change(run);
        run["metadata"]["resourceVersion"] = json!(version);
    }

    /// The runs about a pod get their first measurement: the game hears of it.
    pub(in super::super) fn measure(&mut self, pod: &str) {
        for name in self.runs_of(pod) {
            if !is_complete(&self.hooks.runs[&name]) {
                self.write_run(&name, |run| run["status"] = measured("Running"));
            }
        }
    }

    /// The unfinished runs about a pod end in this phase.
    pub(in super::super) fn answer(&mut self, pod: &str, phase: &str) {
        for name in self.runs_of(pod) {
            if !is_complete(&self.hooks.runs[&name]) {
                self.write_run(&name, |run| run["status"] = measured(phase));
            }
        }
    }

    /// All unfinished runs end in this phase. Those that were told to end do as bk-bcs's controller makes them: with a
    /// measurement they count as successful, without one they stay as they are.
    pub(in super::super) fn answer_all(&mut self, phase: &str) {
        let names: Vec<String> = self.hooks.runs.keys().cloned().collect();
        for name in names {
            let run = &self.hooks.runs[&name];
            if is_complete(run) {
                continue;
            }
            let told_to_end = run["spec"]["terminate"] == true;
            if told_to_end && run["status"].is_null() {
                continue;
            }
            let phase = if told_to_end { "Successful" } else { phase };
            self.write_run(&name, |run| run["status"] = measured(phase));
        }
    }

    /// Converges while every question is answered like this.
    pub(in super::super) fn converge_answering(&mut self, phase: &str) {
        for _ in 0..200 {
            let before = self.versions;
            self.converge();
            self.answer_all(phase);
            if self.versions == before {
                return;
            }
        }
        panic!("never converges: {:?}", self.writes.iter().rev().take(20).collect::<Vec<_>>());
    }

    /// Somebody deletes the set.
    pub(in super::super) fn delete_set(&mut self, finalizer: Option<&str>) {
        self.set["metadata"]["deletionTimestamp"] = json!(self.now);
        let mut finalizers = self.finalizers();
        finalizers.extend(finalizer.map(str::to_owned));
        self.set["metadata"]["finalizers"] = json!(finalizers);
    }

    pub(in super::super) fn finalizers(&self) -> Vec<String> {
        serde_json::from_value(self.set["metadata"]["finalizers"].clone()).unwrap_or_default()
    }
}

fn measured(phase: &str) -> Value {
    json!({
        "phase": phase,
        "message": if phase == "Failed" { "players are there" } else { "" },
        "metricResults": [{"name": "ask", "phase": phase, "count": 1, "measurements": [{"phase": phase}]}],
    })
}

fn is_complete(run: &Value) -> bool {
    matches!(run["status"]["phase"].as_str(), Some("Successful" | "Failed" | "Error" | "Inconclusive"))
}

fn template() -> Value {
    json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "HookTemplate",
        "metadata": {"name": "ask", "namespace": "fleet"},
        "spec": {
            "args": [{"name": "PodName"}, {"name": "PodIP"}, {"name": "PodContainer[0]"}],
            "metrics": [{
                "name": "ask",
                "interval": 5,
                "count": 2,
                "provider": {"web": {"url": "http://{{args.PodIP}}/may-end", "jsonPath": "{$.code}"}},
            }],
        },
    })
}
