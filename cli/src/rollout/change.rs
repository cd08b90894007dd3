//! What pause, resume, restart and undo write.

use kube::api::Patch;
use muster_crds::FederatedGameStatefulSet;
use muster_crds::keys::{annotation, workload};
use serde_json::{Value, json};

use super::{Kind, Object};
use crate::error::CliError;

/// A merge patch of the set inside an object.
fn of_set(object: &Object, patch: Value) -> Patch<Value> {
    Patch::Merge(match object.kind {
        Kind::Set(_) => patch,
        Kind::Federated(_) => json!({"spec": {"template": patch}}),
    })
}

fn paused(object: &Object) -> Option<bool> {
    object.spec().pointer("/updateStrategy/paused").and_then(Value::as_bool)
}

pub(super) fn pause(object: &Object) -> Result<Patch<Value>, CliError> {
    if paused(object) == Some(true) {
        return Err(CliError::Input(format!("{object} is paused already")));
    }
    Ok(of_set(object, json!({"spec": {"updateStrategy": {"paused": true}}})))
}

/// Ends a pause of the user, and one of the canary: that by the step's index, so that it ends no later one.
pub(super) fn resume(object: &Object) -> Result<Patch<Value>, CliError> {
    let paused = paused(object);
    let step = match &object.kind {
        Kind::Set(set) => {
            let status = set.status.clone().unwrap_or_default();
            status.current_step_index.filter(|_| !status.pause_conditions.is_empty())
        }
        Kind::Federated(_) => None,
    };
    let mut patch = json!({});
    if let Some(step) = step {
        patch["metadata"]["annotations"][workload::RESUME] = json!(step.to_string());
    }
    if paused == Some(true) || (matches!(object.kind, Kind::Federated(_)) && paused.is_none()) {
        // In members, that it becomes false ends a canary's pause as well.
        patch["spec"]["updateStrategy"]["paused"] = json!(false);
    }
    if patch == json!({}) {
        let what = match object.kind {
            Kind::Set(_) => "is not paused, and no canary step of it waits to be resumed",
            Kind::Federated(_) => {
                "is not paused: spec.template.spec.updateStrategy.paused is false already; a canary step that waits in a member is resumed there (muster rollout resume gamestatefulset/NAME --context MEMBER), or everywhere by muster rollout pause and then resume"
            }
        };
        return Err(CliError::Input(format!("{object} {what}")));
    }
    Ok(of_set(object, patch))
}

pub(super) fn restart(object: &Object, now: &str) -> Result<Patch<Value>, CliError> {
    let strategy = object.spec();
    let strategy =
        strategy.pointer("/updateStrategy/type").and_then(Value::as_str).unwrap_or("RollingUpdate");
    if matches!(strategy, "InplaceUpdate" | "HotPatchUpdate") {
        return Err(CliError::Input(format!(
            "{object}: spec.updateStrategy.type {strategy} keeps pods, and a new annotation restarts no container; set it to RollingUpdate first, or delete pods one by one"
        )));
    }
    if paused(object) == Some(true) {
        return Err(CliError::Input(format!(
            "{object} is paused (spec.updateStrategy.paused), so nothing would restart; resume it first"
        )));
    }
    let annotations = json!({annotation::RESTARTED_AT: now});
    Ok(of_set(object, json!({"spec": {"template": {"metadata": {"annotations": annotations}}}})))
}

/// The older template in place of the one there is, provided that nobody changed the object meanwhile.
pub(super) fn undo(object: &Object, template: &Value) -> Patch<Value> {
    let path = format!("{}/spec/template", object.root());
    let operations = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": object.resource_version()},
        {"op": "replace", "path": path, "value": template},
    ]);
    Patch::Json(serde_json::from_value(operations).unwrap_or_default())
}

/// An error where overrides change the pod template: what a member has is not what the hub wrote then.
pub(super) fn same_template_everywhere(
    object: &Object,
    federated: &FederatedGameStatefulSet,
) -> Result<(), CliError> {
    for overrides in &federated.spec.overrides {
        let changes = overrides.cluster_overrides.iter().find(|item| item.path.starts_with("/spec/template"));
        if let Some(item) = changes {
            return Err(CliError::Input(format!(
                "{object}: spec.overrides of cluster {} change {}, so no member has the template that the hub had; apply the older manifest again",
                overrides.cluster_name, item.path
            )));
        }
    }
    Ok(())
}
