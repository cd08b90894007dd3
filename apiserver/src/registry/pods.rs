//! Pods: what the server sets, and what may change after creation.

pub(crate) mod admission;
mod quality;
pub(crate) mod resize;
mod status;

use serde_json::{Value, json};

use self::quality::quality_of_service;
use super::{PLAIN, Rules, default, keep, text};
use crate::{builtin, schema::FieldError, write::RESIZE};

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
    if subresource == Some(RESIZE) {
        resize::narrow(object, old);
    } else if subresource == Some("status") {
        keep(object, old, "spec");
        keep(&mut object["metadata"], &old["metadata"], "ownerReferences");
        status::keep_observed(object, old);
    } else {
        keep(object, old, "status");
        if subresource.is_none() && object["spec"].is_object() {
            // Admission sees updates too: what it added comes back where a client left it out.
            admission::tolerations(&mut object["spec"]);
        }
        for field in ["priority", "preemptionPolicy"] {
            if !old["spec"][field].is_null() && object["spec"].is_object() {
                default(&mut object["spec"], field, old["spec"][field].clone());
            }
        }
    }
}

fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = status::validate_update(new, old);
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
            builtin::validate_image(container, &format!("spec.{list}[{index}]"), &mut errors);
        }
    }
    if let Some((error, last)) = deadline(new_spec, old_spec) {
        errors.push(error);
        if last {
            return errors;
        }
    }
    errors.extend(tolerations(new_spec, old_spec));
    errors.extend(gates(new_spec, old_spec));
    errors.extend(narrowed(new_spec, old_spec));
    let settled = settle(new_spec, old_spec);
    let changed = differences(&settled, old_spec);
    if !changed.is_empty() {
        errors.push(FieldError::forbidden("spec", format!("{IMMUTABLE}\nchanged: {}", changed.join(", "))));
    }
    errors
}

/// `activeDeadlineSeconds` may be set, or made shorter. True with an error after which nothing else is looked at.
fn deadline(new: &Value, old: &Value) -> Option<(FieldError, bool)> {
    let (new, old) = (new["activeDeadlineSeconds"].as_i64(), old["activeDeadlineSeconds"].as_i64());
    let path = "spec.activeDeadlineSeconds";
    let max = i64::from(i32::MAX);
    let (error, last) = match (new, old) {
        (None, Some(_)) => {
            let message = "must not update from a positive integer to nil value";
            (FieldError::invalid(path, Value::Null, message), false)
        }
        (Some(new), _) if !(0..=max).contains(&new) => {
            (FieldError::invalid(path, new, format!("must be between 0 and {max}, inclusive")), true)
        }
        (Some(new), Some(old)) if new > old => {
            (FieldError::invalid(path, new, "must be less than or equal to previous value"), true)
        }
        _ => return None,
    };
    Some((error, last))
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
fn gates(new: &Value, old: &Value) -> Vec<FieldError> {
    let list = |spec: &Value| spec["schedulingGates"].as_array().cloned().unwrap_or_default();
    let old = list(old);
    let added = list(new).into_iter().enumerate().filter(|(_, gate)| !old.contains(gate));
    added
        .map(|(index, gate)| {
            let name = text(&gate, "/name");
            let message = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            FieldError::forbidden(format!("spec.schedulingGates[{index}].name"), message)
        })
        .collect()
}

/// A pod that waits behind gates is not placed yet: where it may go can still be narrowed.
fn narrowed(new: &Value, old: &Value) -> Option<FieldError> {
    let selector = |spec: &Value| spec["nodeSelector"].as_object().cloned().unwrap_or_default();
    let (before, after) = (selector(old), selector(new));
    let kept = before.iter().all(|(key, value)| after.get(key) == Some(value));
    (is_gated(old) && !kept).then(|| {
        let message = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        FieldError::invalid("spec.nodeSelector", Value::Object(after), message)
    })
}

fn is_gated(spec: &Value) -> bool {
    spec["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty())
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
    if is_gated(old) {
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
}
