//! Who a pod is: its name, ordinal and labels, and the bodies of new pods and claims.

use std::collections::BTreeMap;

use muster_crds::keys::condition::INPLACE_UPDATE_READY;
use muster_crds::keys::workload as keys;
use muster_crds::names::RevisionName;
use serde_json::{Map, Value, json};

use crate::revision::Revision;
use crate::snapshot::SetId;

/// Name of the pod with this ordinal.
pub fn pod_name(set: &str, ordinal: u32) -> String {
    format!("{set}-{ordinal}")
}

/// The ordinal in a pod's name; none when the name is not one of this set.
pub fn ordinal(set: &str, pod: &str) -> Option<u32> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    let ordinal: u32 = digits.parse().ok()?;
    // `game-01` and `game-+1` would be read as ordinal 1 and are not its name.
    (ordinal.to_string() == digits).then_some(ordinal)
}

/// The set and the ordinal that a pod's name speaks of.
pub fn parent(pod: &str) -> Option<(&str, u32)> {
    let (set, _) = pod.rsplit_once('-')?;
    Some((set, ordinal(set, pod)?))
}

/// What stands between the name of a set and the hash in the name of a pod that pulls an image. The letter at its end keeps
/// the hash from being read as an ordinal.
pub const PULLER: &str = "-pull-x";

/// The set that a pod's name speaks of: it is one of its pods, or pulls an image for it.
pub fn set_of(pod: &str) -> Option<&str> {
    if let Some((set, _)) = parent(pod) {
        return Some(set);
    }
    let (set, hash) = pod.rsplit_once(PULLER)?;
    let spelled = !hash.is_empty() && hash.bytes().all(|letter| letter.is_ascii_alphanumeric());
    (spelled && !set.is_empty()).then_some(set)
}

/// Name of the claim for a claim template and an ordinal.
pub fn claim_name(claim: &str, set: &str, ordinal: u32) -> String {
    format!("{claim}-{set}-{ordinal}")
}

/// API version of sets in owner references.
pub(crate) const OWNER_API_VERSION: &str = "tkex.tencent.com/v1alpha1";
/// Kind of sets in owner references.
pub(crate) const OWNER_KIND: &str = "GameStatefulSet";

/// The owner reference of everything that belongs to the set.
pub fn owner_reference(set: &SetId) -> Value {
    json!({
        "apiVersion": OWNER_API_VERSION,
        "kind": OWNER_KIND,
        "name": set.name,
        "uid": set.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The labels that the bk-bcs operator writes, which every pod of the set must have.
fn required_labels(pod: &str, ordinal: u32) -> [(&'static str, String); 2] {
    [(keys::POD_NAME, pod.to_owned()), (keys::POD_ORDINAL, ordinal.to_string())]
}

/// All labels of a pod's identity: also StatefulSet's, so that a Service of one pod can select it.
pub fn identity_labels(pod: &str, ordinal: u32) -> [(&'static str, String); 4] {
    let [name, number] = required_labels(pod, ordinal);
    [name, number, (keys::STATEFULSET_POD_NAME, pod.to_owned()), (keys::POD_INDEX, ordinal.to_string())]
}

/// Whether a pod's labels say which pod it is. Pods that the bk-bcs operator made lack both of StatefulSet's labels, and
/// are not written for that alone; a wrong one, or one without the other, is a loss.
pub fn is_identified(pod: &str, ordinal: u32, labels: &BTreeMap<String, String>) -> bool {
    let [name, number, stateful_name, stateful_number] = identity_labels(pod, ordinal);
    let has = |(key, value): &(&str, String)| labels.get(*key) == Some(value);
    let taken_over = [&stateful_name, &stateful_number].iter().all(|(key, _)| !labels.contains_key(*key));
    has(&name) && has(&number) && (taken_over || has(&stateful_name) && has(&stateful_number))
}

/// What all new pods and claims of a set have in common.
#[derive(Debug)]
pub struct Mold<'a> {
    /// The set.
    pub set: &'a SetId,
    /// `spec.serviceName`.
    pub service: Option<&'a str>,
    /// `spec.volumeClaimTemplates`.
    pub claims: &'a [Value],
    /// `spec.selector.matchLabels`.
    pub selected: &'a BTreeMap<String, String>,
    /// Whether pods get the readiness gate.
    pub readiness_gate: bool,
    /// The owners of new claims.
    pub claim_owners: Vec<Value>,
}

impl Mold<'_> {
    /// The body of a new pod.
    pub fn pod(&self, ordinal: u32, revision: &Revision) -> Value {
        let name = pod_name(self.set.name.as_str(), ordinal);
        let template = &revision.template;
        let mut metadata = Map::new();
        for field in ["annotations", "finalizers"] {
            if let Some(value) = template["metadata"].get(field) {
                metadata.insert(field.into(), value.clone());
            }
        }
        metadata.insert("labels".into(), pod_labels(&name, ordinal, template, &revision.name));
        metadata.insert("ownerReferences".into(), json!([owner_reference(self.set)]));
        metadata.insert("namespace".into(), json!(self.set.namespace));
        let mut spec = template["spec"].as_object().cloned().unwrap_or_default();
        spec.insert("hostname".into(), json!(name));
        if let Some(service) = self.service.filter(|service| !service.is_empty()) {
            spec.insert("subdomain".into(), json!(service));
        }
        self.add_volumes(&mut spec, ordinal);
        if self.readiness_gate {
            add_gate(&mut spec);
        }
        metadata.insert("name".into(), json!(name));
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    }

    /// A claim takes the place of the template's volume of the same name.
    fn add_volumes(&self, spec: &mut Map<String, Value>, ordinal: u32) {
        if self.claims.is_empty() {
            return;
        }
        let mut volumes = spec.get("volumes").and_then(Value::as_array).cloned().unwrap_or_default();
        let claims = self.claim_templates();
        volumes.retain(|volume| !claims.iter().any(|(name, _)| volume["name"] == *name));
        for (name, _) in claims {
            let claim = claim_name(name, self.set.name.as_str(), ordinal);
            volumes.push(json!({"name": name, "persistentVolumeClaim": {"claimName": claim}}));
        }
        spec.insert("volumes".into(), Value::Array(volumes));
    }

    fn claim_templates(&self) -> Vec<(&str, &Value)> {
        self.claims
            .iter()
            .filter_map(|claim| Some((claim.pointer("/metadata/name")?.as_str()?, claim)))
            .collect()
    }

    /// Names of volumes and claims of an ordinal.
    pub fn claim_names(&self, ordinal: u32) -> impl Iterator<Item = (&str, String)> + '_ {
        let claims = self.claim_templates().into_iter();
        claims.map(move |(claim, _)| (claim, claim_name(claim, self.set.name.as_str(), ordinal)))
    }

    /// Names and bodies of the claims of an ordinal.
    pub fn claims(&self, ordinal: u32) -> Vec<(String, Value)> {
        let claims = self.claim_templates().into_iter().map(|(claim, template)| {
            let name = claim_name(claim, self.set.name.as_str(), ordinal);
            let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
            labels.extend(self.selected.iter().map(|(key, value)| (key.clone(), json!(value))));
            let mut metadata = Map::new();
            metadata.insert("name".into(), json!(name));
            metadata.insert("namespace".into(), json!(self.set.namespace));
            metadata.insert("labels".into(), Value::Object(labels));
            if let Some(annotations) = template["metadata"].get("annotations") {
                metadata.insert("annotations".into(), annotations.clone());
            }
            if !self.claim_owners.is_empty() {
                metadata.insert("ownerReferences".into(), Value::Array(self.claim_owners.clone()));
            }
            let body = json!({
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": metadata,
                "spec": template["spec"],
            });
            (name, body)
        });
        claims.collect()
    }
}

fn pod_labels(name: &str, ordinal: u32, template: &Value, revision: &RevisionName) -> Value {
    let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    for (key, value) in identity_labels(name, ordinal) {
        labels.insert(key.into(), json!(value));
    }
    labels.insert(keys::REVISION.into(), json!(revision));
    Value::Object(labels)
}

fn add_gate(spec: &mut Map<String, Value>) {
    let mut gates = spec.get("readinessGates").and_then(Value::as_array).cloned().unwrap_or_default();
    if !gates.iter().any(|gate| gate["conditionType"] == INPLACE_UPDATE_READY) {
        gates.push(json!({"conditionType": INPLACE_UPDATE_READY}));
    }
    spec.insert("readinessGates".into(), Value::Array(gates));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_name_tells_its_set() {
        assert_eq!(set_of("game-7"), Some("game"));
        assert_eq!(set_of("game-pull-7"), Some("game-pull"));
        assert_eq!(set_of("game-pull-x5b9"), Some("game"));
        assert_eq!(set_of("game-pull-x1-0"), Some("game-pull-x1"));
        assert_eq!(set_of("game-other"), None);
        assert_eq!(set_of("game-pull-x"), None);
    }
}
