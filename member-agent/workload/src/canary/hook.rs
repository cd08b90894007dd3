//! The HookRuns of canary steps: which one answers for a step, and which are of no use any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_crds::keys::workload as keys;
use muster_crds::names::ObjectName;
use muster_crds::tkex::HookStep;
use serde_json::{Value, json};

use crate::identity::owner_reference;
use crate::plan::{Action, Step};
use crate::reason::{Code, Reason};
use crate::revision::Revision;
use crate::snapshot::{HookRun, SetId};
use crate::template;

/// Label of a HookRun of ours: hash of the canary steps that it was made for. Runs of the bk-bcs operator have none.
const STEPS: &str = "muster.dev/canary-steps";

/// What a hook step waits for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// No run is there; it is to be made.
    Ask(ObjectName, Box<Step>),
    /// Nothing here measures runs.
    NotAsked,
    /// No run can be made.
    Cannot(Reason),
    /// It runs.
    Running(ObjectName, String),
    /// It said yes.
    Succeeded(ObjectName),
    /// It said no, or could not be asked.
    Failed(ObjectName, String),
}

/// What the HookRuns of a canary are judged by.
pub(super) struct Hooks<'a> {
    pub(super) id: &'a SetId,
    pub(super) update: &'a Revision,
    /// Hash of the steps.
    pub(super) hash: &'a str,
    pub(super) enforced: bool,
    pub(super) runs: &'a [Arc<HookRun>],
    pub(super) templates: &'a BTreeMap<String, Arc<Value>>,
}

impl Hooks<'_> {
    /// What became of the hook of a step.
    pub(super) fn verdict(&self, index: usize, hook: &HookStep) -> Verdict {
        if !self.enforced {
            return Verdict::NotAsked;
        }
        let run = self.canary_runs().find(|run| !run.deleting && !run.terminating && self.is_for(run, index));
        let Some(run) = run else { return self.ask(index, hook) };
        let said = || {
            let message = if run.message.is_empty() { String::new() } else { format!(": {}", run.message) };
            format!("HookRun {} is {}{message}", run.name, run.phase)
        };
        match run.phase.as_str() {
            "Successful" => Verdict::Succeeded(run.name.clone()),
            _ if !run.is_over() => {
                Verdict::Running(run.name.clone(), format!("HookRun {} has not answered", run.name))
            }
            _ => Verdict::Failed(run.name.clone(), said()),
        }
    }

    /// Ends runs that nobody waits for: those of steps that are done go on record, those of other revisions and other
    /// steps go.
    pub(super) fn tidy(&self, index: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        for run in self.canary_runs().filter(|run| !run.deleting) {
            if self.is_for(run, index) {
                continue;
            }
            let done = (0..index).any(|done| self.is_for(run, done));
            if !done {
                let message = format!("HookRun {} belongs to no step of this canary", run.name);
                steps.push(Step {
                    action: Action::DeleteHookRun { name: run.name.clone(), uid: run.uid.clone() },
                    reason: Reason::new(Code::EndHook, message),
                });
            } else if !run.is_over() && !run.terminating {
                let message = format!("the step of HookRun {} is over", run.name);
                let body = json!({
                    "metadata": {"uid": run.uid, "resourceVersion": run.resource_version},
                    "spec": {"terminate": true},
                });
                steps.push(Step {
                    action: Action::PatchHookRun { name: run.name.clone(), body },
                    reason: Reason::new(Code::EndHook, message),
                });
            }
        }
        steps
    }

    fn canary_runs(&self) -> impl Iterator<Item = &HookRun> {
        let is_canary =
            |run: &&HookRun| run.labels.get(keys::HOOKRUN_TYPE).is_some_and(|kind| kind == keys::HOOK_CANARY);
        self.runs.iter().map(AsRef::as_ref).filter(is_canary)
    }

    /// Whether a run was made for this step of the revision. One of the bk-bcs operator does not say for which steps.
    fn is_for(&self, run: &HookRun, index: usize) -> bool {
        let label = |key: &str| run.labels.get(key).map(String::as_str);
        label(keys::HOOKRUN_REVISION) == Some(self.update.name.as_str())
            && label(keys::HOOKRUN_STEP) == Some(index.to_string().as_str())
            && label(STEPS).is_none_or(|hash| hash == self.hash)
    }

    fn ask(&self, index: usize, hook: &HookStep) -> Verdict {
        let Some(template) = self.templates.get(&hook.template_name) else {
            let message = format!(
                "canary step {index}: HookTemplate {} does not exist in this namespace",
                hook.template_name
            );
            return Verdict::Cannot(Reason::new(Code::HookTemplateMissing, message));
        };
        let args = match arguments(template, hook) {
            Ok(args) => args,
            Err(name) => {
                let message = format!(
                    "canary step {index}: argument {name} of HookTemplate {} has no value",
                    hook.template_name
                );
                return Verdict::Cannot(Reason::new(Code::HookTemplateMissing, message));
            }
        };
        let seed = json!([self.id.uid, keys::HOOK_CANARY, self.update.name, self.hash, index]);
        let name = ObjectName::new(format!("canary-{}-{}", index, template::hash(&seed, 0)));
        let Ok(name) = name else {
            return Verdict::Cannot(Reason::new(
                Code::HookTemplateMissing,
                "no name can be made for its HookRun",
            ));
        };
        let mut owner = owner_reference(self.id);
        owner["blockOwnerDeletion"] = json!(false);
        let mut spec = template["spec"].clone();
        if !spec.is_object() {
            spec = json!({});
        }
        spec["args"] = args;
        let body = json!({
            "apiVersion": "tkex.tencent.com/v1alpha1",
            "kind": "HookRun",
            "metadata": {
                "name": name,
                "namespace": self.id.namespace,
                "labels": {
                    keys::HOOKRUN_TYPE: keys::HOOK_CANARY,
                    keys::HOOKRUN_REVISION: self.update.name,
                    keys::HOOKRUN_STEP: index.to_string(),
                    STEPS: self.hash,
                },
                "ownerReferences": [owner],
            },
            "spec": spec,
        });
        let message = format!("canary step {index} asks HookTemplate {}", hook.template_name);
        let step = Step {
            action: Action::CreateHookRun { name: name.clone(), body },
            reason: Reason::new(Code::AskHook, message),
        };
        Verdict::Ask(name, Box::new(step))
    }
}

/// Arguments of the template with the step's values; an error names one that has none.
fn arguments(template: &Value, hook: &HookStep) -> Result<Value, String> {
    let mut args: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for arg in template["spec"]["args"].as_array().into_iter().flatten() {
        let Some(name) = arg["name"].as_str() else { continue };
        args.insert(name, arg["value"].as_str());
    }
    for arg in &hook.args {
        args.insert(&arg.name, arg.value.as_deref());
    }
    let mut list = Vec::new();
    for (name, value) in args {
        let value = value.ok_or_else(|| name.to_owned())?;
        list.push(json!({"name": name, "value": value}));
    }
    Ok(Value::Array(list))
}
