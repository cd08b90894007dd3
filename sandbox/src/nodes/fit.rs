//! Which node a pod goes to: pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};

use super::node::allocatable;
use super::resize::Amounts;

/// The nodes of a cluster and what is placed on them, as the scheduler believes it.
#[derive(Default, Debug)]
pub struct Placement {
    nodes: BTreeMap<String, Node>,
    /// Pod uid to node; assumed placements included.
    placed: HashMap<String, String>,
    count: HashMap<String, usize>,
    /// Host ports taken, by node.
    ports: HashMap<String, HashSet<HostPort>>,
    /// What is asked for on a node.
    asked: HashMap<String, Amounts>,
    held: HashMap<String, Held>,
}

/// What one pod takes of its node.
#[derive(Debug)]
struct Held {
    ports: Vec<HostPort>,
    amounts: Amounts,
}

/// A port of a node: protocol and number. An address of its own (`hostIP`) still takes the number.
type HostPort = (String, i32);

/// Why no node takes a pod, in the words of the real scheduler.
#[derive(Debug, PartialEq, Eq)]
pub struct NoFit(pub String);

impl Placement {
    /// Takes a node in, or its new state.
    pub fn set_node(&mut self, node: Node) {
        if let Some(name) = node.metadata.name.clone() {
            self.nodes.insert(name, node);
        }
    }

    /// Forgets a node.
    pub fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// Takes note that a pod is on a node. Pods that have ended take no room.
    pub fn place(&mut self, pod: &Pod, node: &str) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            self.remove(&uid);
            return;
        }
        let amounts = Amounts::requested(pod);
        let asked = self.asked.entry(node.to_owned()).or_default();
        if self.placed.insert(uid.clone(), node.to_owned()).is_none() {
            *self.count.entry(node.to_owned()).or_default() += 1;
            let ports = host_ports(pod);
            self.ports.entry(node.to_owned()).or_default().extend(ports.iter().cloned());
            *asked = asked.and(amounts);
            self.held.insert(uid, Held { ports, amounts });
        } else if let Some(held) = self.held.get_mut(&uid) {
            // It may have been resized.
            *asked = asked.less(held.amounts).and(amounts);
            held.amounts = amounts;
        }
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Takes note that a pod is gone, or was not placed after all.
    pub fn remove(&mut self, uid: &str) {
        let Some(node) = self.placed.remove(uid) else { return };
        if let Some(count) = self.count.get_mut(&node) {
            *count = count.saturating_sub(1);
        }
        let Some(held) = self.held.remove(uid) else { return };
        if let Some(ports) = self.ports.get_mut(&node) {
            for port in held.ports {
                ports.remove(&port);
            }
        }
        if let Some(asked) = self.asked.get_mut(&node) {
            *asked = asked.less(held.amounts);
        }
    }

    /// The node for `pod`: of those that fit, the one with the fewest pods, then the first by name.
    pub fn choose(&self, pod: &Pod) -> Result<String, NoFit> {
        let mut reasons: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut best: Option<(usize, &String)> = None;
        for (name, node) in &self.nodes {
            if let Some(reason) = self.refusal(name, node, pod) {
                *reasons.entry(reason).or_default() += 1;
                continue;
            }
            let count = self.count.get(name).copied().unwrap_or_default();
            if best.is_none_or(|(least, _)| count < least) {
                best = Some((count, name));
            }
        }
        if let Some((_, name)) = best {
            return Ok(name.clone());
        }
        let total = self.nodes.len();
        if total == 0 {
            return Err(NoFit("no nodes available to schedule pods".to_owned()));
        }
        let mut parts: Vec<String> =
            reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        parts.sort();
        Err(NoFit(format!("0/{total} nodes are available: {}.", parts.join(", "))))
    }

    fn refusal(&self, name: &str, node: &Node, pod: &Pod) -> Option<&'static str> {
        let spec = pod.spec.as_ref()?;
        let node_spec = node.spec.as_ref();
        if node_spec.and_then(|spec| spec.unschedulable).unwrap_or_default() {
            return Some("node(s) were unschedulable");
        }
        let taints = node_spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        let tolerations = spec.tolerations.as_deref().unwrap_or_default();
        if taints.iter().any(|taint| repels(taint) && !tolerations.iter().any(|one| tolerates(one, taint))) {
            return Some("node(s) had untolerated taint(s)");
        }
        let labels = node.metadata.labels.as_ref();
        let selector = spec.node_selector.iter().flatten();
        let mut wanted =
            selector.map(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value));
        if !wanted.all(|matches| matches) {
            return Some("node(s) didn't match Pod's node affinity/selector");
        }
        let taken = self.ports.get(name);
        if host_ports(pod).iter().any(|port| taken.is_some_and(|taken| taken.contains(port))) {
            return Some("node(s) didn't have free ports for the requested pod ports");
        }
        if self.count.get(name).copied().unwrap_or_default() >= room(node) {
            return Some("Too many pods");
        }
        let asked = self.asked.get(name).copied().unwrap_or_default();
        let room = allocatable(node).less(asked);
        let wanted = Amounts::requested(pod);
        if wanted.cpu > 0 && wanted.cpu > room.cpu {
            return Some("Insufficient cpu");
        }
        if wanted.memory > 0 && wanted.memory > room.memory {
            return Some("Insufficient memory");
        }
        None
    }
}

/// How many pods a node takes; a node that does not say takes none.
fn room(node: &Node) -> usize {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    allocatable.and_then(|list| list.get("pods")).and_then(|pods| pods.0.parse().ok()).unwrap_or_default()
}

fn repels(taint: &Taint) -> bool {
    matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
}

/// Whether a toleration is about a taint.
pub(super) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect =
        toleration.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == taint.effect);
    let key = toleration.key.as_deref().unwrap_or_default();
    let matches = match toleration.operator.as_deref() {
        Some("Exists") => key.is_empty() || key == taint.key,
        _ => {
            key == taint.key
                && toleration.value.as_deref().unwrap_or_default()
                    == taint.value.as_deref().unwrap_or_default()
        }
    };
    effect && matches
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            Some((port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), number))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, pods: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"zone": name}},
            "status": {"allocatable": {"pods": pods}},
        }))
        .unwrap()
    }

    fn pod(uid: &str, spec: serde_json::Value) -> Pod {
        let mut spec = spec;
        spec.as_object_mut().unwrap().entry("containers").or_insert_with(|| json!([{"name": "main"}]));
        serde_json::from_value(json!({"metadata": {"name": uid, "uid": uid}, "spec": spec})).unwrap()
    }

    fn two_nodes() -> Placement {
        let mut placement = Placement::default();
        placement.set_node(node("a", "2"));
        placement.set_node(node("b", "2"));
        placement
    }

    #[test]
    fn pods_spread_and_a_full_cluster_says_why() {
        let mut placement = two_nodes();
        for (uid, expected) in [("1", "a"), ("2", "b"), ("3", "a"), ("4", "b")] {
            let pod = pod(uid, json!({}));
            let chosen = placement.choose(&pod).unwrap();
            assert_eq!(chosen, expected);
            placement.place(&pod, &chosen);
            placement.place(&pod, &chosen);
        }
        let fifth = pod("5", json!({}));
        let reason = placement.choose(&fifth).unwrap_err().0;
        assert_eq!(reason, "0/2 nodes are available: 2 Too many pods.");
        placement.remove("2");
        assert_eq!(placement.choose(&fifth).unwrap(), "b");
    }

    #[test]
    fn selectors_taints_and_cordons_are_respected() {
        let mut placement = two_nodes();
        assert_eq!(placement.choose(&pod("1", json!({"nodeSelector": {"zone": "b"}}))).unwrap(), "b");
        let mut tainted = node("b", "2");
        tainted.spec = serde_json::from_value(
            json!({"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}),
        )
        .unwrap();
        placement.set_node(tainted);
        let mut cordoned = node("a", "2");
        cordoned.spec = serde_json::from_value(json!({"unschedulable": true})).unwrap();
        placement.set_node(cordoned);
        assert_eq!(
            placement.choose(&pod("2", json!({}))).unwrap_err().0,
            "0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable."
        );
        let tolerant = pod("3", json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]}));
        assert_eq!(placement.choose(&tolerant).unwrap(), "b");
    }

    #[test]
    fn pods_go_where_there_is_room_for_what_they_ask_for() {
        let mut placement = Placement::default();
        for name in ["a", "b"] {
            let mut node = node(name, "10");
            let allocatable = json!({"pods": "10", "cpu": "2", "memory": "1Gi"});
            node.status.as_mut().unwrap().allocatable = serde_json::from_value(allocatable).unwrap();
            placement.set_node(node);
        }
        let with_cpu = |uid, cpu: &str| {
            pod(uid, json!({"containers": [{"name": "m", "resources": {"requests": {"cpu": cpu}}}]}))
        };
        for (uid, cpu, expected) in [("1", "1500m", "a"), ("2", "1", "b"), ("3", "1", "b")] {
            let pod = with_cpu(uid, cpu);
            let chosen = placement.choose(&pod).unwrap();
            assert_eq!(chosen, expected, "{uid}");
            placement.place(&pod, &chosen);
        }
        let reason = placement.choose(&with_cpu("4", "1")).unwrap_err().0;
        assert_eq!(reason, "0/2 nodes are available: 2 Insufficient cpu.");
        placement.place(&with_cpu("1", "500m"), "a");
        assert_eq!(placement.choose(&with_cpu("4", "1")).unwrap(), "a");
    }

    #[test]
    fn a_host_port_is_taken_once_per_node() {
        let mut placement = two_nodes();
        let with_port = |uid| {
            pod(
                uid,
                json!({"containers": [{"name": "m", "ports": [{"containerPort": 1, "hostPort": 7000}]}]}),
            )
        };
        for uid in ["1", "2"] {
            let pod = with_port(uid);
            let chosen = placement.choose(&pod).unwrap();
            placement.place(&pod, &chosen);
        }
        assert!(placement.choose(&with_port("3")).unwrap_err().0.contains("free ports"));
        placement.remove("1");
        assert_eq!(placement.choose(&with_port("3")).unwrap(), "a");
    }
}
