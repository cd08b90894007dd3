//! Columns and rows of the built-in kinds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Columns, age, integer, list, map, pod, policy, since, storage, text, text_or};

/// How many endpoints a row names before it counts.
const MAX_ENDPOINTS: usize = 3;

const NODE_ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const NODE_ROLE: &str = "kubernetes.io/role";

/// The columns of a built-in kind, or `None` for every other one.
pub(super) fn columns(group: &str, kind: &str) -> Option<Columns> {
    let (columns, print): (&[(&str, &str, i64)], super::Printer) = match (group, kind) {
        ("", "Pod") => (pod::COLUMNS, pod::row),
        ("", "Namespace") => (&[NAME, ("Status", "The status of the namespace", 0), AGE_COLUMN], namespace),
        ("", "Service") => (SERVICE, service),
        ("", "Node") => (NODE, node),
        ("" | "events.k8s.io", "Event") => (EVENT, event),
        ("", "PersistentVolume") => (storage::VOLUME_COLUMNS, storage::volume_row),
        ("", "PersistentVolumeClaim") => (storage::CLAIM_COLUMNS, storage::claim_row),
        ("storage.k8s.io", "StorageClass") => (storage::CLASS_COLUMNS, storage::class_row),
        ("", "ResourceQuota") => (policy::QUOTA_COLUMNS, policy::quota_row),
        ("policy", "PodDisruptionBudget") => (policy::BUDGET_COLUMNS, policy::budget_row),
        ("autoscaling", "HorizontalPodAutoscaler") => (policy::AUTOSCALER_COLUMNS, policy::autoscaler_row),
        ("", "ConfigMap") => (&[NAME, ("Data", "How many entries it has.", 0), AGE_COLUMN], config_map),
        ("", "Secret") => (
            &[NAME, ("Type", "What it is used for.", 0), ("Data", "How many entries it has.", 0), AGE_COLUMN],
            secret,
        ),
        ("", "ServiceAccount") => {
            (&[NAME, ("Secrets", "How many secrets it may use.", 0), AGE_COLUMN], service_account)
        }
        ("", "Endpoints") => (&[NAME, ("Endpoints", "Addresses and ports.", 0), AGE_COLUMN], endpoints),
        ("coordination.k8s.io", "Lease") => {
            (&[NAME, ("Holder", "The identity of the holder of the lease.", 0), AGE_COLUMN], lease)
        }
        ("apps", "ControllerRevision") => (
            &[
                NAME,
                ("Controller", "Controller of the object", 0),
                ("Revision", "The revision of the state it holds.", 0),
                AGE_COLUMN,
            ],
            controller_revision,
        ),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            (&[NAME, ("Created At", AGE, 0)], custom_resource_definition)
        }
        _ => return None,
    };
    Some(Columns::builtin(columns, print))
}

const NAME: (&str, &str, i64) = ("Name", "", 0);
const AGE_COLUMN: (&str, &str, i64) = ("Age", AGE, 0);

const SERVICE: &[(&str, &str, i64)] = &[
    NAME,
    ("Type", "How the service is exposed.", 0),
    ("Cluster-IP", "The address of the service within the cluster.", 0),
    ("External-IP", "Addresses outside of the cluster.", 0),
    ("Port(s)", "The ports of the service.", 0),
    AGE_COLUMN,
    ("Selector", "The labels of the pods behind the service.", 1),
];

const NODE: &[(&str, &str, i64)] = &[
    NAME,
    ("Status", "The status of the node", 0),
    ("Roles", "The roles of the node", 0),
    AGE_COLUMN,
    ("Version", "The version of the kubelet.", 0),
    ("Internal-IP", "The address of the node within the cluster.", 1),
    ("External-IP", "The address of the node outside of the cluster.", 1),
    ("OS-Image", "The operating system the node reports.", 1),
    ("Kernel-Version", "The kernel version the node reports.", 1),
    ("Container-Runtime", "The container runtime the node reports.", 1),
];

const EVENT: &[(&str, &str, i64)] = &[
    ("Last Seen", "When it happened last.", 0),
    ("Type", "Normal or Warning.", 0),
    ("Reason", "Why it was written, for machines.", 0),
    ("Object", "The object it is about.", 0),
    ("Subobject", "The part of the object it is about.", 1),
    ("Source", "The component that reports it.", 1),
    ("Message", "What happened, for people.", 0),
    ("First Seen", "When it happened first.", 1),
    ("Count", "How often it happened.", 1),
    ("Name", "", 1),
];

fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

fn entries(object: &Value, pointer: &str) -> usize {
    map(object, pointer).map_or(0, serde_json::Map::len)
}

fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/status/phase").into(), age(object, now)]
}

fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = entries(object, "/data") + entries(object, "/binaryData");
    vec![name(object), count.into(), age(object, now)]
}

fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/type").into(), entries(object, "/data").into(), age(object, now)]
}

fn service_account(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), list(object, "/secrets").len().into(), age(object, now)]
}

fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/spec/holderIdentity").into(), age(object, now)]
}

fn custom_resource_definition(object: &Value, _: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/metadata/creationTimestamp").into()]
}

fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owners = list(object, "/metadata/ownerReferences");
    let controller = owners.iter().find(|owner| owner["controller"] == json!(true)).map(|owner| {
        let kind = text(owner, "/kind").to_lowercase();
        let group = text(owner, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
        let dot = if group.is_empty() { "" } else { "." };
        format!("{kind}{dot}{group}/{}", text(owner, "/name"))
    });
    vec![
        name(object),
        controller.as_deref().unwrap_or("<none>").into(),
        integer(object, "/revision").into(),
        age(object, now),
    ]
}

fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = list(object, "/spec/ports")
        .iter()
        .map(|port| {
            let (number, protocol) = (integer(port, "/port"), text(port, "/protocol"));
            match integer(port, "/nodePort") {
                node if node > 0 => format!("{number}:{node}/{protocol}"),
                _ => format!("{number}/{protocol}"),
            }
        })
        .collect();
    let ports = if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") };
    let selector = match map(object, "/spec/selector") {
        Some(map) if !map.is_empty() => {
            let pair =
                |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
            map.iter().map(pair).collect::<Vec<_>>().join(",")
        }
        _ => "<none>".to_owned(),
    };
    vec![
        name(object),
        text(object, "/spec/type").into(),
        text_or(object, "/spec/clusterIPs/0", text_or(object, "/spec/clusterIP", "<none>")).into(),
        external_ip(object).into(),
        ports.into(),
        age(object, now),
        selector.into(),
    ]
}

fn external_ip(service: &Value) -> String {
    let external = list(service, "/spec/externalIPs").iter().filter_map(Value::as_str);
    let mut addresses: Vec<&str> = Vec::new();
    match text(service, "/spec/type") {
        "ClusterIP" | "NodePort" => {}
        "LoadBalancer" => {
            let ingress = list(service, "/status/loadBalancer/ingress").iter();
            addresses
                .extend(ingress.map(|i| text_or(i, "/ip", text(i, "/hostname"))).filter(|i| !i.is_empty()));
            addresses.sort_unstable();
            addresses.dedup();
        }
        "ExternalName" => return text(service, "/spec/externalName").to_owned(),
        _ => return "<unknown>".to_owned(),
    }
    addresses.extend(external);
    match (addresses.is_empty(), text(service, "/spec/type")) {
        (false, _) => addresses.join(","),
        (true, "LoadBalancer") => "<pending>".to_owned(),
        (true, _) => "<none>".to_owned(),
    }
}

fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = list(object, "/status/conditions").iter().find(|c| text(c, "/type") == "Ready");
    let mut status = match ready.map(|c| text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object.pointer("/spec/unschedulable") == Some(&json!(true)) {
        status.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<&str> = map(object, "/metadata/labels")
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix(NODE_ROLE_PREFIX) {
            Some(role) => Some(role),
            None if key == NODE_ROLE => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    let address = |ty: &str| {
        let found = list(object, "/status/addresses").iter().find(|a| text(a, "/type") == ty);
        Value::from(found.map_or("<none>", |a| text(a, "/address")))
    };
    vec![
        name(object),
        status.into(),
        if roles.is_empty() { "<none>".into() } else { roles.join(",").into() },
        age(object, now),
        text(object, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        text_or(object, "/status/nodeInfo/osImage", "<unknown>").into(),
        text_or(object, "/status/nodeInfo/kernelVersion", "<unknown>").into(),
        text_or(object, "/status/nodeInfo/containerRuntimeVersion", "<unknown>").into(),
    ]
}

/// An event in either of its forms: events.k8s.io names the same things differently.
fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let first_of = |pointers: &[&str]| pointers.iter().map(|p| text(object, p)).find(|t| !t.is_empty());
    let either = |one: &str, other: &str| first_of(&[one, other]).unwrap_or_default();
    let seen = |pointers: &[&str]| {
        let known = pointers.iter().map(|p| since(object, p, now)).find(|s| s != "<unknown>");
        known.unwrap_or_else(|| "<unknown>".to_owned())
    };
    let first = seen(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]);
    let series = object.get("series").filter(|s| s.is_object());
    let (last, count) = if let Some(series) = series {
        (since(series, "/lastObservedTime", now), integer(series, "/count"))
    } else {
        let last = match seen(&["/lastTimestamp", "/deprecatedLastTimestamp"]) {
            unknown if unknown == "<unknown>" => first.clone(),
            last => last,
        };
        (last, integer(object, "/count").max(integer(object, "/deprecatedCount")).max(1))
    };
    let about = object.get("involvedObject").or_else(|| object.get("regarding")).unwrap_or(&Value::Null);
    let kind = text(about, "/kind").to_lowercase();
    let target = match text(about, "/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = first_of(&[
        "/source/component",
        "/deprecatedSource/component",
        "/reportingComponent",
        "/reportingController",
    ]);
    let host = first_of(&["/source/host", "/deprecatedSource/host", "/reportingInstance"]);
    let source: Vec<&str> = component.into_iter().chain(host).collect();
    vec![
        last.into(),
        text(object, "/type").into(),
        text(object, "/reason").into(),
        target.into(),
        text(about, "/fieldPath").into(),
        source.join(", ").into(),
        either("/message", "/note").trim().into(),
        first.into(),
        count.into(),
        name(object),
    ]
}

fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in list(object, "/subsets") {
        let addresses = || list(subset, "/addresses").iter().map(|address| text(address, "/ip"));
        let ports = list(subset, "/ports");
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let number = integer(port, "/port");
            let pair = |ip: &str| {
                if ip.contains(':') { format!("[{ip}]:{number}") } else { format!("{ip}:{number}") }
            };
            all.extend(addresses().map(pair));
        }
    }
    let shown = match all.len() {
        0 if list(object, "/subsets").is_empty() => "<none>".to_owned(),
        count if count > MAX_ENDPOINTS => {
            format!("{} + {} more...", all[..MAX_ENDPOINTS].join(","), count - MAX_ENDPOINTS)
        }
        _ => all.join(","),
    };
    vec![name(object), shown.into(), age(object, now)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T01:00:00Z";

    #[track_caller]
    fn assert_row(group: &str, kind: &str, mut object: Value, expected: &Value) {
        object["metadata"]["name"] = json!("x");
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:57:55Z");
        let columns = Columns::of(group, kind, &[]);
        let row = columns.row(&object, NOW.parse().unwrap());
        assert_eq!(row.len(), columns.iter().count());
        assert_eq!(&Value::from(row), expected);
    }

    #[test]
    fn simple_kinds_show_what_kubectl_shows() {
        assert_row("", "Namespace", json!({"status": {"phase": "Active"}}), &json!(["x", "Active", "2m5s"]));
        assert_row(
            "",
            "ConfigMap",
            json!({"data": {"a": "1"}, "binaryData": {"b": ""}}),
            &json!(["x", 2, "2m5s"]),
        );
        assert_row(
            "",
            "Secret",
            json!({"type": "Opaque", "data": {"a": ""}}),
            &json!(["x", "Opaque", 1, "2m5s"]),
        );
        assert_row("", "ServiceAccount", json!({}), &json!(["x", 0, "2m5s"]));
        assert_row(
            "coordination.k8s.io",
            "Lease",
            json!({"spec": {"holderIdentity": "me"}}),
            &json!(["x", "me", "2m5s"]),
        );
        assert_row(
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            json!({}),
            &json!(["x", "2026-01-01T00:57:55Z"]),
        );
    }

    #[test]
    fn a_revision_names_its_controller() {
        let owner = json!({"apiVersion": "tkex.tencent.com/v1alpha1", "kind": "GameStatefulSet", "name": "g", "controller": true});
        assert_row(
            "apps",
            "ControllerRevision",
            json!({"revision": 3, "metadata": {"ownerReferences": [owner]}}),
            &json!(["x", "gamestatefulset.tkex.tencent.com/g", 3, "2m5s"]),
        );
        assert_row("apps", "ControllerRevision", json!({"revision": 3}), &json!(["x", "<none>", 3, "2m5s"]));
    }

    #[test]
    fn services_of_every_type() {
        assert_row(
            "",
            "Service",
            json!({"spec": {"type": "ClusterIP", "clusterIPs": ["10.0.0.1"], "selector": {"a": "b", "c": "d"},
                "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}),
            &json!(["x", "ClusterIP", "10.0.0.1", "<none>", "80/TCP,53/UDP", "2m5s", "a=b,c=d"]),
        );
        assert_row(
            "",
            "Service",
            json!({"spec": {"type": "ClusterIP", "clusterIPs": ["None"]}}),
            &json!(["x", "ClusterIP", "None", "<none>", "<none>", "2m5s", "<none>"]),
        );
        assert_row(
            "",
            "Service",
            json!({"spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}}),
            &json!(["x", "LoadBalancer", "10.0.0.1", "<pending>", "80:30080/TCP", "2m5s", "<none>"]),
        );
        assert_row(
            "",
            "Service",
            json!({"spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"]},
                "status": {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "1.example"}]}}}),
            &json!(["x", "LoadBalancer", "10.0.0.1", "1.example,2.2.2.2", "<none>", "2m5s", "<none>"]),
        );
        assert_row(
            "",
            "Service",
            json!({"spec": {"type": "ExternalName", "externalName": "a.example"}}),
            &json!(["x", "ExternalName", "<none>", "a.example", "<none>", "2m5s", "<none>"]),
        );
    }

    #[test]
    fn a_node_shows_status_roles_and_addresses() {
        assert_row(
            "",
            "Node",
            json!({
                "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
                "spec": {"unschedulable": true},
                "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                    "nodeInfo": {"kubeletVersion": "v1.33.0", "osImage": "Linux"}},
            }),
            &json!([
                "x",
                "Ready,SchedulingDisabled",
                "control-plane,worker",
                "2m5s",
                "v1.33.0",
                "10.0.0.1",
                "<none>",
                "Linux",
                "<unknown>",
                "<unknown>"
            ]),
        );
        assert_row(
            "",
            "Node",
            json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
            &json!([
                "x",
                "NotReady",
                "<none>",
                "2m5s",
                "",
                "<none>",
                "<none>",
                "<unknown>",
                "<unknown>",
                "<unknown>"
            ]),
        );
    }

    #[test]
    fn an_event_shows_when_what_and_about_what_in_both_forms() {
        assert_row(
            "",
            "Event",
            json!({"firstTimestamp": "2026-01-01T00:50:00Z", "lastTimestamp": "2026-01-01T00:59:00Z", "count": 4, "type": "Normal",
                "reason": "Started", "message": " Started container \n", "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{a}"},
                "source": {"component": "kubelet", "host": "n"}}),
            &json!([
                "60s",
                "Normal",
                "Started",
                "pod/p",
                "spec.containers{a}",
                "kubelet, n",
                "Started container",
                "10m",
                4,
                "x"
            ]),
        );
        assert_row(
            "events.k8s.io",
            "Event",
            json!({"eventTime": "2026-01-01T00:50:00.123456Z", "type": "Warning", "reason": "R", "note": "n", "regarding": {"kind": "Pod", "name": "p"},
                "reportingController": "c", "reportingInstance": "i",
                "series": {"count": 7, "lastObservedTime": "2026-01-01T00:59:50.000000Z"}}),
            &json!(["10s", "Warning", "R", "pod/p", "", "c, i", "n", "9m59s", 7, "x"]),
        );
        assert_row(
            "",
            "Event",
            json!({"eventTime": "2026-01-01T00:58:00.000000Z", "type": "Normal", "reason": "R", "involvedObject": {"kind": "Node"}}),
            &json!(["2m", "Normal", "R", "node", "", "", "", "2m", 1, "x"]),
        );
    }

    #[test]
    fn endpoints_are_named_three_at_a_time() {
        let address = |n: u8| json!({"ip": format!("10.0.0.{n}")});
        assert_row("", "Endpoints", json!({}), &json!(["x", "<none>", "2m5s"]));
        assert_row(
            "",
            "Endpoints",
            json!({"subsets": [{"addresses": [address(1), address(2)], "ports": [{"port": 80}]}]}),
            &json!(["x", "10.0.0.1:80,10.0.0.2:80", "2m5s"]),
        );
        assert_row(
            "",
            "Endpoints",
            json!({"subsets": [{"addresses": [address(1), address(2), address(3), address(4), address(5)], "ports": [{"port": 80}]}]}),
            &json!(["x", "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...", "2m5s"]),
        );
    }
}
