//! What is around the pods of a simulated set: nodes, the garbage collector, and an API server that says no.

use serde_json::{Map, Value, json};

use super::simulator::World;
use crate::{Claim, Node, Refusal, Step};

impl World {
    /// Gives the world nodes, all ready; pods made from now on are spread over them.
    pub(super) fn add_nodes(&mut self, count: usize) {
        for node in 0..count {
            self.nodes.insert(format!("node-{node}"), Node { ready: Some(true), hot_patches: false });
        }
    }

    /// A kubelet stops answering, or answers again.
    pub(super) fn lose_node(&mut self, name: &str, lost: bool) {
        self.nodes.get_mut(name).unwrap().ready = (!lost).then_some(true);
    }

    /// The node of a pod.
    pub(super) fn node_of(&self, pod: &str) -> String {
        self.pods[pod]["spec"]["nodeName"].as_str().unwrap().to_owned()
    }

    pub(super) fn schedule(&self, pod: &mut Value) {
        if self.nodes.is_empty() {
            return;
        }
        let name = pod["metadata"]["name"].as_str().unwrap();
        let ordinal = crate::identity::ordinal("game", name).unwrap_or_default() as usize;
        pod["spec"]["nodeName"] = json!(self.nodes.keys().nth(ordinal % self.nodes.len()).unwrap());
    }

    /// Whether the pod's kubelet does not answer.
    pub(super) fn is_cut_off(&self, pod: &Value) -> bool {
        let node = pod["spec"]["nodeName"].as_str().and_then(|node| self.nodes.get(node));
        node.is_some_and(|node| node.ready.is_none())
    }

    /// Whether the pod has not started because a claim of it is missing.
    pub(super) fn lacks_claims(&self, pod: &Value) -> bool {
        pod["status"]["phase"] == "Pending"
            && claims_of(pod).any(|claim| self.claims.get(claim).is_none_or(is_deleting))
    }

    /// Whether the API server accepts a write.
    pub(super) fn is_accepted(&mut self, step: &Step) -> bool {
        let title = step.action.title();
        let refused = self.refused.iter_mut().find(|(write, left)| title.starts_with(*write) && **left > 0);
        let Some((_, left)) = refused else { return true };
        *left -= 1;
        self.refusals.push(Refusal {
            write: title,
            pod: step.action.pod().cloned(),
            claim: None,
            message: "injected".into(),
        });
        false
    }

    /// Claims that somebody asked to delete.
    pub(super) fn delete_claim(&mut self, name: &str) {
        if self.claims.contains_key(name) {
            let now = self.now;
            self.claims.get_mut(name).unwrap()["metadata"]["deletionTimestamp"] = json!(now);
        }
        self.collect_claims();
    }

    /// The garbage collector and the protection of claims in use: what has owners and none that lives is deleted, and
    /// gone when no pod uses it.
    pub(super) fn collect_claims(&mut self) {
        let mut uids: Vec<String> = self.uids().into_values().collect();
        if !self.set.is_null() {
            uids.push("set-uid".into());
        }
        // Owners that tests put there.
        uids.push("user-uid".into());
        let now = self.now;
        let names: Vec<String> = self.claims.keys().cloned().collect();
        for name in names {
            let used = self.pods.values().any(|pod| claims_of(pod).any(|claim| claim == name));
            let claim = &self.claims[&name];
            let owners = claim["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            let lives = |owner: &&Value| uids.iter().any(|uid| owner["uid"] == **uid);
            let living: Vec<Value> = owners.iter().filter(lives).cloned().collect();
            if living.len() < owners.len() && !is_deleting(claim) {
                let version = self.next_version();
                let claim = self.claims.get_mut(&name).unwrap();
                claim["metadata"]["resourceVersion"] = json!(version);
                if living.is_empty() {
                    claim["metadata"]["deletionTimestamp"] = json!(now);
                } else {
                    claim["metadata"]["ownerReferences"] = json!(living);
                }
            }
            if is_deleting(&self.claims[&name]) && !used {
                self.next_version();
                self.claims.remove(&name);
            }
        }
    }

    /// Kinds and uids of the owners of a claim.
    pub(super) fn owners(&self, claim: &str) -> Vec<(String, String)> {
        let owners =
            self.claims[claim]["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        owners.iter().map(|owner| (text(&owner["kind"]), text(&owner["uid"]))).collect()
    }
}

/// Names of the claims of a pod.
pub(super) fn claims_of(pod: &Value) -> impl Iterator<Item = &str> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
}

fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

pub(super) fn read_claim(claim: &Value) -> Claim {
    Claim::read(&serde_json::from_value(claim["metadata"].clone()).unwrap())
}

/// A JSON merge patch.
pub(super) fn merge_json(into: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    for (name, member) in members {
        if member.is_null() {
            into.as_object_mut().unwrap().remove(name);
        } else {
            merge_json(&mut into[name], member);
        }
    }
}

/// Numbers that look random and are the same for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound.max(1) as u64).unwrap()
    }
}
