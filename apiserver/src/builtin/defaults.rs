//! What a Kubernetes API server fills in when it reads a built-in kind.

mod containers;
mod scaling;
mod volumes;

use serde_json::{Map, Value, json};

/// Seconds for which a service keeps a client on the same pod.
const SESSION_AFFINITY_SECONDS: i64 = 10_800;

/// Fills in what an object of a built-in kind leaves out, as reading it does on every write.
///
/// Nothing here depends on anything but the object: what only a creation sets (addresses, the status) is
/// not a default. Defaulting twice changes nothing.
pub fn default(group: &str, kind: &str, object: &mut Value) {
    match (group, kind) {
        ("", "Pod") => pod(object),
        ("", "Namespace") => namespace(object),
        ("", "Service") => service(object),
        ("", "PersistentVolumeClaim") => {
            fill(object.get_mut("spec"), "volumeMode", "Filesystem");
            let status = object_at(object, "status");
            fill(Some(status), "phase", "Pending");
            conditions(status, &["lastProbeTime", "lastTransitionTime"]);
        }
        ("", "PersistentVolume") => {
            fill(object.get_mut("spec"), "persistentVolumeReclaimPolicy", "Retain");
            fill(object.get_mut("spec"), "volumeMode", "Filesystem");
            fill(object.pointer_mut("/spec/hostPath"), "type", "");
            fill(Some(object_at(object, "status")), "phase", "Pending");
        }
        ("", "Node") => {
            node(object);
            if let Some(capacity) = object.pointer("/status/capacity").cloned() {
                fill(object.get_mut("status"), "allocatable", capacity);
            }
        }
        ("", "Secret") => secret(object),
        ("", "Endpoints") => {
            for subset in list_mut(object.get_mut("subsets")) {
                for port in list_mut(subset.get_mut("ports")) {
                    fill(Some(port), "protocol", "TCP");
                }
            }
        }
        ("storage.k8s.io", "StorageClass") => {
            fill(Some(object), "reclaimPolicy", "Delete");
            fill(Some(object), "volumeBindingMode", "Immediate");
        }
        ("policy", "PodDisruptionBudget") => {
            let status = object_at(object, "status");
            for field in ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"] {
                fill(Some(status), field, 0);
            }
        }
        ("autoscaling", "HorizontalPodAutoscaler") => scaling::autoscaler(object),
        ("", "ResourceQuota") => {
            object_at(object, "spec");
            object_at(object, "status");
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        _ => {}
    }
}

fn pod(object: &mut Value) {
    if let Some(status) = object.get_mut("status") {
        pod_status(status);
    }
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    fill(Some(spec), "dnsPolicy", "ClusterFirst");
    fill(Some(spec), "restartPolicy", "Always");
    fill(Some(spec), "securityContext", json!({}));
    fill(Some(spec), "terminationGracePeriodSeconds", 30);
    fill(Some(spec), "schedulerName", "default-scheduler");
    fill(Some(spec), "enableServiceLinks", true);
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in list_mut(spec.get_mut(list)) {
            containers::default(container, host_network && list != "ephemeralContainers");
        }
    }
    for volume in list_mut(spec.get_mut("volumes")) {
        volumes::default(volume);
    }
    // The old name of the field is kept in step with the new one.
    match (text(spec, "serviceAccountName"), text(spec, "serviceAccount")) {
        (Some(name), _) => set(spec, "serviceAccount", name),
        (None, Some(name)) => set(spec, "serviceAccountName", name),
        (None, None) => {}
    }
}

/// Fields of a node that are written whether they say something or not, and the list beside the one network.
fn node(object: &mut Value) {
    if let Some(network) = object.pointer("/spec/podCIDR").filter(|network| network.is_string()).cloned() {
        fill(object.get_mut("spec"), "podCIDRs", json!([network]));
    }
    let status = object_at(object, "status");
    fill(Some(object_at(object_at(status, "daemonEndpoints"), "kubeletEndpoint")), "Port", 0);
    conditions(status, &["lastHeartbeatTime", "lastTransitionTime"]);
    let info = object_at(status, "nodeInfo");
    for (field, value) in super::typed::node_info() {
        fill(Some(info), &field, value);
    }
}

/// Conditions have times that are written even when they are not set, and no empty texts.
fn conditions(status: &mut Value, times: &[&str]) {
    for condition in list_mut(status.get_mut("conditions")) {
        for time in times {
            fill(Some(condition), time, Value::Null);
        }
        if let Value::Object(fields) = condition {
            fields.retain(|name, value| value != "" || !matches!(name.as_str(), "reason" | "message"));
        }
    }
}

/// Fields of a pod's status that are written whether they say something or not.
fn pod_status(status: &mut Value) {
    conditions(status, &["lastProbeTime", "lastTransitionTime"]);
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for container in list_mut(status.get_mut(list)) {
            for field in ["state", "lastState"] {
                fill(Some(container), field, json!({}));
            }
            for field in ["image", "imageID"] {
                fill(Some(container), field, "");
            }
            fill(Some(container), "ready", false);
            fill(Some(container), "restartCount", 0);
        }
    }
}

fn namespace(object: &mut Value) {
    if let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned)
        && !name.is_empty()
    {
        let metadata = object_at(object, "metadata");
        set(object_at(metadata, "labels"), "kubernetes.io/metadata.name", name);
    }
    let status = object_at(object, "status");
    fill(Some(status), "phase", "Active");
    conditions(status, &["lastTransitionTime"]);
}

fn service(object: &mut Value) {
    let kind = object_type(object.get("spec"));
    if kind == "LoadBalancer" {
        for ingress in list_mut(object.pointer_mut("/status/loadBalancer/ingress")) {
            if ingress.get("ip").is_some() {
                fill(Some(ingress), "ipMode", "VIP");
            }
        }
    }
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    fill(Some(spec), "sessionAffinity", "None");
    fill(Some(spec), "type", "ClusterIP");
    match text(spec, "sessionAffinity").as_deref() {
        Some("None") => {
            spec.as_object_mut().map(|spec| spec.remove("sessionAffinityConfig"));
        }
        Some("ClientIP") => {
            let client = object_at(object_at(spec, "sessionAffinityConfig"), "clientIP");
            fill(Some(client), "timeoutSeconds", SESSION_AFFINITY_SECONDS);
        }
        _ => {}
    }
    for port in list_mut(spec.get_mut("ports")) {
        fill(Some(port), "protocol", "TCP");
        if let Some(number) = port.get("port").cloned() {
            let unset = matches!(port.get("targetPort"), None | Some(Value::Null))
                || port["targetPort"] == 0
                || port["targetPort"] == "";
            if unset {
                set(port, "targetPort", number);
            }
        }
    }
    let external = matches!(kind.as_str(), "NodePort" | "LoadBalancer")
        || (kind == "ClusterIP"
            && spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty()));
    if external {
        fill(Some(spec), "externalTrafficPolicy", "Cluster");
    }
    if kind != "ExternalName" {
        fill(Some(spec), "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        fill(Some(spec), "allocateLoadBalancerNodePorts", true);
    }
}

/// A secret's `stringData` is for writing only: it is moved into `data`, and wins there.
fn secret(object: &mut Value) {
    use base64::Engine as _;
    fill(Some(object), "type", "Opaque");
    let Some(Value::Object(plain)) = object.as_object_mut().and_then(|secret| secret.remove("stringData"))
    else {
        return;
    };
    for (key, value) in plain {
        let encoded = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
        set(object_at(object, "data"), &key, encoded);
    }
}

fn definition(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    fill(Some(object_at(spec, "conversion")), "strategy", "None");
    let Some(names) = spec.get_mut("names").filter(|names| names.is_object()) else { return };
    if let Some(kind) = text(names, "kind") {
        fill(Some(names), "singular", kind.to_lowercase());
        fill(Some(names), "listKind", format!("{kind}List"));
    }
}

fn object_type(spec: Option<&Value>) -> String {
    spec.and_then(|spec| text(spec, "type")).unwrap_or_else(|| "ClusterIP".to_owned())
}

/// Sets a field that is absent, null or an empty string.
fn fill(object: Option<&mut Value>, field: &str, value: impl Into<Value>) {
    let Some(map) = object.and_then(Value::as_object_mut) else { return };
    if map.get(field).is_none_or(|old| old.is_null() || old == "") {
        map.insert(field.to_owned(), value.into());
    }
}

/// Sets a field to a number that is absent, null or zero, which Kubernetes takes for absent.
fn fill_number(object: &mut Value, field: &str, value: i64) {
    if object.get(field).is_none_or(|old| old.is_null() || old == 0) {
        set(object, field, value);
    }
}

fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Value::Object(map) = object {
        map.insert(field.to_owned(), value.into());
    }
}

/// The object in a field, made when it is absent or null.
fn object_at<'a>(object: &'a mut Value, field: &str) -> &'a mut Value {
    if object.is_null() {
        *object = Value::Object(Map::new());
    }
    let Value::Object(map) = object else { return object };
    let value = map.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value
}

fn list_mut(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

fn text(object: &Value, field: &str) -> Option<String> {
    object.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_default(group: &str, kind: &str, mut object: Value, expected: &Value) {
        default(group, kind, &mut object);
        assert_eq!(&object, expected);
        default(group, kind, &mut object);
        assert_eq!(&object, expected, "defaulting twice");
    }

    #[test]
    fn a_pod_gets_what_the_api_server_gives_it() {
        assert_default(
            "",
            "Pod",
            json!({"spec": {"serviceAccountName": "s", "containers": [{"name": "a", "image": "i"}]}}),
            &json!({"spec": {
                "serviceAccountName": "s", "serviceAccount": "s",
                "containers": [{"name": "a", "image": "i", "imagePullPolicy": "Always", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {}, "enableServiceLinks": true,
                "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler",
            }}),
        );
    }

    #[test]
    fn a_grace_period_of_zero_is_kept() {
        let mut object = json!({"spec": {"terminationGracePeriodSeconds": 0, "containers": []}});
        default("", "Pod", &mut object);
        assert_eq!(object["spec"]["terminationGracePeriodSeconds"], 0);
    }

    #[test]
    fn a_namespace_carries_its_name_as_a_label() {
        assert_default(
            "",
            "Namespace",
            json!({"metadata": {"name": "n"}}),
            &json!({"metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "n"}}, "status": {"phase": "Active"}}),
        );
    }

    #[test]
    fn services_by_type() {
        assert_default(
            "",
            "Service",
            json!({"spec": {"ports": [{"port": 80}, {"port": 53, "protocol": "UDP", "targetPort": "dns"}]}}),
            &json!({"spec": {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}, {"port": 53, "protocol": "UDP", "targetPort": "dns"}]}}),
        );
        assert_default(
            "",
            "Service",
            json!({"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}}),
            &json!({"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}, "externalTrafficPolicy": "Cluster",
                "internalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": true}}),
        );
        assert_default(
            "",
            "Service",
            json!({"spec": {"type": "ExternalName", "externalName": "a.example"}}),
            &json!({"spec": {"type": "ExternalName", "externalName": "a.example", "sessionAffinity": "None"}}),
        );
    }

    #[test]
    fn a_secret_takes_plain_strings() {
        assert_default(
            "",
            "Secret",
            json!({"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"a": "hi"}}),
            &json!({"type": "Opaque", "data": {"a": "aGk=", "b": "eQ=="}}),
        );
    }

    #[test]
    fn a_definition_derives_its_names() {
        assert_default(
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            json!({"spec": {"names": {"kind": "Game", "plural": "games"}}}),
            &json!({"spec": {"names": {"kind": "Game", "plural": "games", "singular": "game", "listKind": "GameList"},
                "conversion": {"strategy": "None"}}}),
        );
    }

    #[test]
    fn other_kinds() {
        assert_default("", "ConfigMap", json!({}), &json!({}));
        assert_default(
            "",
            "PersistentVolumeClaim",
            json!({"spec": {}}),
            &json!({"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
        );
        assert_default(
            "",
            "Node",
            json!({"status": {"capacity": {"cpu": "1"}}}),
            &json!({"status": {"capacity": {"cpu": "1"}, "allocatable": {"cpu": "1"},
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": super::super::typed::node_info()}}),
        );
        assert_default(
            "",
            "Endpoints",
            json!({"subsets": [{"ports": [{"port": 1}]}]}),
            &json!({"subsets": [{"ports": [{"port": 1, "protocol": "TCP"}]}]}),
        );
    }
}
