//! Pods: what the server sets, and what may change after creation.

use serde_json::{Value, json};

use super::{PLAIN, Rules, keep, text};
use crate::schema::FieldError;

pub(super) const RULES: Rules = Rules {
    generation: true,
    graceful: true,
    returns_deleted: true,
    prepare_create,
    prepare_update,
    validate_update,
    ..PLAIN
};

/// The sentence with which Kubernetes refuses a change of a running pod.
const IMMUTABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

fn prepare_create(object: &mut Value, _: u64) {
    object["status"] = json!({"phase": "Pending", "qosClass": quality_of_service(object)});
    let gated =
        object.pointer("/spec/schedulingGates").and_then(Value::as_array).is_some_and(|g| !g.is_empty());
    if gated {
        object["status"]["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "lastProbeTime": null,
            "lastTransitionTime": null, "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
    }
}

fn prepare_update(object: &mut Value, old: &Value, subresource: Option<&str>) {
    if subresource == Some("status") {
        keep(object, old, "spec");
        keep(&mut object["metadata"], &old["metadata"], "ownerReferences");
        let class = old["status"]["qosClass"].clone();
        if object["status"]["qosClass"].is_null() && !class.is_null() && object["status"].is_object() {
            object["status"]["qosClass"] = class;
        }
    } else {
        keep(object, old, "status");
    }
}

/// Guaranteed, Burstable or BestEffort, by the cpu and memory of all containers.
fn quality_of_service(pod: &Value) -> &'static str {
    let containers = ["containers", "initContainers"]
        .into_iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten()
        .collect::<Vec<_>>();
    let amount = |container: &Value, kind: &str, resource: &str| {
        let amount = container["resources"][kind][resource].clone();
        (!amount.is_null() && amount != "0" && amount != 0).then_some(amount)
    };
    let any = containers.iter().any(|container| {
        ["requests", "limits"]
            .iter()
            .any(|kind| ["cpu", "memory"].iter().any(|resource| amount(container, kind, resource).is_some()))
    });
    if !any {
        return "BestEffort";
    }
    let guaranteed = containers.iter().all(|container| {
        ["cpu", "memory"].iter().all(|resource| {
            let limit = amount(container, "limits", resource);
            let request = amount(container, "requests", resource);
            limit.is_some() && (request.is_none() || request == limit)
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (new_spec, old_spec) = (&new["spec"], &old["spec"]);
    for list in ["containers", "initContainers"] {
        let count = |spec: &Value| spec[list].as_array().map_or(0, Vec::len);
        if count(new_spec) != count(old_spec) {
            errors.push(FieldError::forbidden(
                format!("spec.{list}"),
                "pod updates may not add or remove containers",
            ));
            return errors;
        }
        for (index, container) in new_spec[list].as_array().into_iter().flatten().enumerate() {
            if text(container, "/image").is_empty() {
                errors.push(FieldError::required(format!("spec.{list}[{index}].image"), ""));
            }
        }
    }
    errors.extend(deadline(new_spec, old_spec));
    errors.extend(tolerations(new_spec, old_spec));
    errors.extend(gates(new_spec, old_spec));
    let settled = settle(new_spec, old_spec);
    let changed = differences(&settled, old_spec);
    if !changed.is_empty() {
        errors.push(FieldError::forbidden("spec", format!("{IMMUTABLE}\nchanged: {}", changed.join(", "))));
    }
    errors
}

/// `activeDeadlineSeconds` may be set, or made shorter.
fn deadline(new: &Value, old: &Value) -> Option<FieldError> {
    let (new, old) = (new["activeDeadlineSeconds"].as_i64(), old["activeDeadlineSeconds"].as_i64());
    let path = "spec.activeDeadlineSeconds";
    match (new, old) {
        (None, Some(_)) => Some(FieldError::invalid(
            path,
            Value::Null,
            "must not update from a positive integer to nil value",
        )),
        (Some(new), _) if new < 0 => {
            Some(FieldError::invalid(path, new, "must be greater than or equal to 0"))
        }
        (Some(new), Some(old)) if new > old => Some(FieldError::invalid(
            path,
            new,
            format!("must be less than or equal to previous value {old}"),
        )),
        _ => None,
    }
}

/// Tolerations may be added, not taken away or changed.
fn tolerations(new: &Value, old: &Value) -> Option<FieldError> {
    let list = |spec: &Value| spec["tolerations"].as_array().cloned().unwrap_or_default();
    let (new, old) = (list(new), list(old));
    // The seconds of a toleration may change.
    let bare = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.as_object_mut().map(|map| map.remove("tolerationSeconds"));
        toleration
    };
    let kept = old.iter().all(|old| new.iter().any(|new| bare(new) == bare(old)));
    (!kept).then(|| {
        FieldError::forbidden(
            "spec.tolerations",
            "existing toleration can not be modified except its tolerationSeconds",
        )
    })
}

/// Scheduling gates may be taken away, not added.
fn gates(new: &Value, old: &Value) -> Option<FieldError> {
    let list = |spec: &Value| spec["schedulingGates"].as_array().cloned().unwrap_or_default();
    let old = list(old);
    let added: Vec<Value> = list(new).into_iter().filter(|gate| !old.contains(gate)).collect();
    let names: Vec<&str> = added.iter().map(|gate| text(gate, "/name")).collect();
    (!names.is_empty()).then(|| {
        FieldError::forbidden(
            "spec.schedulingGates",
            format!("only deletion is allowed, but found new scheduling gates '{}'", names.join(",")),
        )
    })
}

/// The new spec with everything that may change put back as it was.
fn settle(new: &Value, old: &Value) -> Value {
    let mut settled = new.clone();
    for list in ["containers", "initContainers"] {
        let Some(containers) = settled.get_mut(list).and_then(Value::as_array_mut) else { continue };
        for (container, old) in containers.iter_mut().zip(old[list].as_array().into_iter().flatten()) {
            keep(container, old, "image");
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        keep(&mut settled, old, field);
    }
    let negative = old["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0);
    if negative && new["terminationGracePeriodSeconds"] == 1 {
        keep(&mut settled, old, "terminationGracePeriodSeconds");
    }
    // A pod that waits behind gates is not placed yet: where it may go can still be narrowed.
    let gated = |spec: &Value| spec["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
    if gated(old) {
        keep(&mut settled, old, "nodeSelector");
        keep(&mut settled, old, "affinity");
    }
    settled
}

/// Paths below which two values differ, as far down as both are objects.
fn differences(new: &Value, old: &Value) -> Vec<String> {
    let (Value::Object(new), Value::Object(old)) = (new, old) else {
        return if new == old { Vec::new() } else { vec!["spec".to_owned()] };
    };
    let keys: std::collections::BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    keys.into_iter().filter(|key| new.get(*key) != old.get(*key)).map(|key| format!("spec.{key}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &Value) -> Value {
        json!({"metadata": {"name": "p"}, "spec": spec})
    }

    fn base() -> Value {
        json!({"containers": [{"name": "a", "image": "i:1"}], "nodeName": "n", "tolerations": [{"key": "x"}]})
    }

    fn update(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let old = pod(&base());
        let mut new = old.clone();
        change(&mut new["spec"]);
        validate_update(&new, &old).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn images_tolerations_and_the_deadline_may_change() {
        assert!(update(|spec| spec["containers"][0]["image"] = "i:2".into()).is_empty());
        assert!(update(|spec| spec["tolerations"] = json!([{"key": "x"}, {"key": "y"}])).is_empty());
        assert!(update(|spec| spec["activeDeadlineSeconds"] = 5.into()).is_empty());
    }

    #[test]
    fn other_changes_are_refused_with_the_words_of_kubernetes() {
        let errors = update(|spec| spec["hostname"] = "h".into());
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].starts_with(
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
            ),
            "{}",
            errors[0]
        );
        assert!(errors[0].ends_with("changed: spec.hostname"), "{}", errors[0]);
        assert!(!update(|spec| spec["containers"][0]["command"] = json!(["x"])).is_empty());
        assert!(!update(|spec| spec["tolerations"] = json!([])).is_empty());
        assert!(!update(|spec| spec["containers"] = json!([])).is_empty());
        assert!(!update(|spec| spec["terminationGracePeriodSeconds"] = 1.into()).is_empty());
    }

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        let class =
            |resources: Value| quality_of_service(&pod(&json!({"containers": [{"resources": resources}]})));
        assert_eq!(class(json!({})), "BestEffort");
        assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
        assert_eq!(class(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Guaranteed");
    }
}
