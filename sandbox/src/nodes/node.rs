//! The Node objects of a simulated cluster.

use k8s_openapi::api::core::v1::Node;
use muster_crds::keys;
use serde_json::json;

use super::resize::Amounts;

/// How many pods a simulated node takes: the kubelet's own default.
pub const PODS_PER_NODE: usize = 110;

/// The node with this index in a cluster: its object and, apart, its status.
///
/// # Errors
///
/// None in practice: the objects are valid; the error is the JSON library's.
pub fn node(cluster: &str, index: usize) -> Result<Node, serde_json::Error> {
    let name = node_name(cluster, index);
    let zone = format!("{cluster}-{}", ["a", "b", "c"][index % 3]);
    let resources = json!({
        "cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": PODS_PER_NODE.to_string(),
    });
    let condition =
        |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason});
    serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": zone,
                "topology.kubernetes.io/region": cluster,
            },
        },
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [
                {"type": "InternalIP", "address": node_address(index).to_string()},
                {"type": "Hostname", "address": name},
            ],
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                condition("Ready", "True", "KubeletReady"),
            ],
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "osImage": "simulated",
                "kernelVersion": "simulated", "kubeletVersion": "v1.33.0", "kubeProxyVersion": "",
                "containerRuntimeVersion": "simulated://1", "machineID": "", "systemUUID": "", "bootID": "",
            },
        },
    }))
}

/// Whether a person asked for the node's kubelet to be heard of no more.
pub fn is_silent(node: &Node) -> bool {
    let annotations = node.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(keys::sandbox::SILENT)).is_some_and(|it| it == "true")
}

/// The cpu and memory that pods may ask of a node.
pub fn allocatable(node: &Node) -> Amounts {
    Amounts::of(node.status.as_ref().and_then(|status| status.allocatable.as_ref()))
}

/// The address of the node with this index.
pub fn node_address(index: usize) -> std::net::Ipv4Addr {
    let [.., high, low] = (u32::try_from(index).unwrap_or_default() + 10).to_be_bytes();
    std::net::Ipv4Addr::new(192, 168, high, low)
}

/// The name of the node with this index.
pub fn node_name(cluster: &str, index: usize) -> String {
    format!("{cluster}-node-{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_and_says_how_many_pods_it_takes() {
        let node = node("shanghai", 4).unwrap();
        let status = node.status.unwrap();
        assert_eq!(status.allocatable.unwrap()["pods"].0, "110");
        assert_eq!(node.metadata.labels.unwrap()["topology.kubernetes.io/zone"], "shanghai-b");
    }
}
