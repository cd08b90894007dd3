//! The sub-resource `resize`: cpu and memory of a pod's containers, and nothing else.

use serde_json::{Map, Value};

use super::quality::quality_of_service;
use crate::{
    registry::{keep, text},
    schema::FieldError,
};

/// The lists whose containers may be resized.
const LISTS: [&str; 2] = ["containers", "initContainers"];
/// What of a container is written through this sub-resource.
const WRITTEN: [&str; 2] = ["resources", "resizePolicy"];
/// Amounts that may change while a container runs.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];
/// Metadata that a resize leaves as it is.
const METADATA: [&str; 4] = ["labels", "annotations", "finalizers", "ownerReferences"];
/// What a pod that no API server made carries.
const MIRROR: &str = "/metadata/annotations/kubernetes.io~1config.mirror";

/// Takes everything but resources and resize policies back from an update. Containers that were added, removed or renamed
/// stay as they were sent, for the validation to find.
pub(crate) fn narrow(new: &mut Value, old: &Value) {
    let count = |pod: &Value, list: &str| pod["spec"][list].as_array().map_or(0, Vec::len);
    if LISTS.iter().any(|list| count(new, list) != count(old, list)) {
        return;
    }
    let mut spec = old["spec"].clone();
    for list in LISTS {
        if let Some(containers) = new["spec"][list].as_array() {
            spec[list] = narrowed(containers, &old["spec"][list]);
        }
    }
    new["spec"] = spec;
    keep(new, old, "status");
    for field in METADATA {
        keep(&mut new["metadata"], &old["metadata"], field);
    }
}

fn narrowed(new: &[Value], old: &Value) -> Value {
    let Some(old) = old.as_array().filter(|old| same_names(new, old)) else { return new.into() };
    let merged = new.iter().zip(old).map(|(new, old)| {
        let mut container = old.clone();
        for field in WRITTEN {
            keep(&mut container, new, field);
        }
        container
    });
    merged.collect()
}

fn same_names(new: &[Value], old: &[Value]) -> bool {
    new.iter().zip(old).all(|(new, old)| new["name"] == old["name"])
}

/// What is wrong with a resize of a pod.
pub(crate) fn validate(new: &Value, old: &Value) -> Vec<FieldError> {
    // Kubernetes writes the path of the whole object so.
    let whole = |problem: &str| vec![FieldError::forbidden("[]", problem)];
    let of_the_pod = |pod: &Value| {
        let amounts = |kind: &str| pod["spec"]["resources"][kind].as_object().map_or(0, Map::len);
        amounts("requests") + amounts("limits") > 0
    };
    if of_the_pod(new) || of_the_pod(old) {
        return whole("pods with pod-level resources cannot be resized");
    }
    if old.pointer(MIRROR).is_some() {
        return whole("static pods cannot be resized");
    }
    if old["spec"]["os"]["name"] == "windows" {
        return whole("windows pods cannot be resized");
    }
    let mut errors = Vec::new();
    let class = match text(old, "/status/qosClass") {
        "" => quality_of_service(old),
        class => class,
    };
    if class != quality_of_service(new) {
        let shown = new["status"]["qosClass"].clone();
        errors.push(FieldError::invalid(
            "spec",
            shown,
            "Pod QOS Class may not change as a result of resizing",
        ));
    }
    if !node_can_resize(old) {
        errors.push(FieldError::forbidden("spec", "Pod running on node without support for resize"));
    }
    let order = order(new, old);
    if !order.is_empty() {
        errors.extend(order);
        return errors;
    }
    for list in ["initContainers", "containers"] {
        for (index, (new, old)) in pairs(new, old, list).enumerate() {
            if list == "containers" || is_sidecar(old) {
                removed(new, old, &format!("spec.{list}[{index}].resources"), &mut errors);
            }
        }
    }
    for list in LISTS {
        for (new, old) in pairs(new, old, list) {
            errors.extend(immutable(new, old, list).map(|problem| FieldError::forbidden("spec", problem)));
        }
    }
    errors
}

/// Whether the node reports what its containers have, which one that cannot resize does not.
fn node_can_resize(pod: &Value) -> bool {
    let mut running = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    running
        .find(|container| !container["state"]["running"].is_null())
        .is_none_or(|container| !container["resources"].is_null())
}

/// Containers that were added, removed, renamed or put in another order.
fn order(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for list in LISTS {
        let (after, before) = (&new["spec"][list], &old["spec"][list]);
        let count = |containers: &Value| containers.as_array().map_or(0, Vec::len);
        if count(after) != count(before) {
            let problem = format!("{list} may not be added or removed on resize");
            errors.push(FieldError::forbidden(format!("spec.{list}"), problem));
            continue;
        }
        for (index, (after, before)) in pairs(new, old, list).enumerate() {
            if after["name"] != before["name"] {
                let problem = format!("{list} may not be renamed or reordered on resize");
                errors.push(FieldError::forbidden(format!("spec.{list}[{index}].name"), problem));
            }
        }
    }
    errors
}

fn pairs<'a>(new: &'a Value, old: &'a Value, list: &str) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    let (new, old) = (new["spec"][list].as_array(), old["spec"][list].as_array());
    new.into_iter().flatten().zip(old.into_iter().flatten())
}

fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

/// Amounts that a container had and is to have no longer.
fn removed(new: &Value, old: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for kind in ["requests", "limits"] {
        let before = old["resources"][kind].as_object().into_iter().flatten();
        if before.into_iter().any(|(name, _)| new["resources"][kind][name].is_null()) {
            let problem = format!("resource {kind} cannot be removed");
            errors.push(FieldError::forbidden(format!("{path}.{kind}"), problem));
        }
    }
}

/// Why a container differs in more than its cpu and memory, if it does.
fn immutable(new: &Value, old: &Value, list: &str) -> Option<&'static str> {
    let (settled, problem) = match list {
        "containers" => (settled(new, old), "only cpu and memory resources are mutable"),
        _ if is_sidecar(new) => {
            (settled(new, old), "only cpu and memory resources for sidecar containers are mutable")
        }
        _ => (new.clone(), "resources for non-sidecar init containers are immutable"),
    };
    (settled != *old).then_some(problem)
}

/// The new container with the cpu and memory of the old one.
fn settled(new: &Value, old: &Value) -> Value {
    let mut resources = Map::new();
    for kind in ["limits", "requests"] {
        let Some(before) = old["resources"][kind].as_object() else { continue };
        let mut amounts = new["resources"][kind].as_object().cloned().unwrap_or_default();
        for resource in RESIZABLE {
            match before.get(resource) {
                Some(amount) => amounts.insert(resource.to_owned(), amount.clone()),
                None => amounts.remove(resource),
            };
        }
        if !amounts.is_empty() {
            resources.insert(kind.to_owned(), amounts.into());
        }
    }
    let mut settled = new.clone();
    settled["resources"] = resources.into();
    settled
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        let resources = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}});
        json!({"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {
            "containers": [{"name": "a", "image": "i:1", "resources": resources}],
            "initContainers": [
                {"name": "s", "image": "i:1", "restartPolicy": "Always", "resources": resources},
                {"name": "once", "image": "i:1", "resources": {}},
            ],
        }, "status": {"qosClass": "Burstable"}})
    }

    fn resize(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let old = pod();
        let mut new = old.clone();
        change(&mut new);
        narrow(&mut new, &old);
        validate(&new, &old).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn cpu_and_memory_of_containers_and_sidecars_change_and_nothing_else_does() {
        let old = pod();
        let mut new = old.clone();
        new["metadata"]["labels"]["a"] = "c".into();
        new["spec"]["containers"][0]["image"] = "i:2".into();
        new["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "200m".into();
        new["spec"]["initContainers"][0]["resources"]["limits"]["memory"] = "1Gi".into();
        narrow(&mut new, &old);
        assert_eq!(new["metadata"], old["metadata"]);
        assert_eq!(new["spec"]["containers"][0]["image"], "i:1");
        assert_eq!(new["spec"]["containers"][0]["resources"]["requests"]["cpu"], "200m");
        assert_eq!(validate(&new, &old), []);
    }

    #[test]
    fn what_a_resize_may_not_do_is_named() {
        let removed = resize(|pod| pod["spec"]["containers"][0]["resources"]["limits"] = json!({}));
        assert_eq!(
            removed,
            ["spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"]
        );
        let once =
            resize(|pod| pod["spec"]["initContainers"][1]["resources"] = json!({"limits": {"cpu": 1}}));
        assert_eq!(once, ["spec: Forbidden: resources for non-sidecar init containers are immutable"]);
        let other = resize(|pod| {
            pod["spec"]["containers"][0]["resources"]["requests"]["ephemeral-storage"] = "1Gi".into();
        });
        assert_eq!(other, ["spec: Forbidden: only cpu and memory resources are mutable"]);
        let renamed = resize(|pod| pod["spec"]["containers"][0]["name"] = "b".into());
        assert_eq!(
            renamed,
            ["spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"]
        );
    }

    #[test]
    fn the_class_stays_and_an_old_node_is_told() {
        let mut old = pod();
        let mut new = old.clone();
        let all = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        for (list, index) in [("containers", 0), ("initContainers", 0), ("initContainers", 1)] {
            new["spec"][list][index]["resources"] = all.clone();
        }
        assert!(validate(&new, &old)[0].to_string().contains("Pod QOS Class may not change"));
        old["status"]["containerStatuses"] = json!([{"name": "a", "state": {"running": {}}}]);
        let errors = validate(&old, &old);
        assert!(errors[0].to_string().contains("node without support for resize"), "{errors:?}");
    }
}
