//! Applying manifests in an order in which each finds what it needs.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{Api, DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{ApiCapabilities, Scope};
use kube::{Client, discovery};
use muster_crds::keys;
use serde_json::{Value, json};

use crate::manifests::Manifest;

/// The field manager of what the sandbox applies.
pub const MANAGER: &str = "muster-sandbox";

/// A manifest that the API server did not take.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The manifest.
    pub manifest: Manifest,
    /// Why, in the server's words.
    pub message: String,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}) was not accepted: {}", self.manifest, self.manifest.origin, self.message)
    }
}

/// When a manifest's turn comes; the order in a file decides among equals.
///
/// Preferences go before federated objects, so that these need not wait for a preference that is
/// about to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    /// Namespaces and definitions of kinds.
    Foundations,
    /// Clusters and the kinds that are federated.
    Fleet,
    /// Everything else.
    Policies,
    /// Federated objects.
    Federated,
}

impl Wave {
    /// The wave of a manifest.
    pub fn of(manifest: &Manifest) -> Self {
        match (manifest.group(), manifest.kind()) {
            ("", "Namespace") | ("apiextensions.k8s.io", _) => Self::Foundations,
            (keys::group::CORE_KUBEFED, _) => Self::Fleet,
            (keys::group::TYPES_KUBEFED, _) => Self::Federated,
            _ => Self::Policies,
        }
    }
}

/// Server-side applies manifests to one cluster, remembering where each kind is served.
pub struct Applier {
    client: Client,
    kinds: BTreeMap<(String, String), (ApiResource, ApiCapabilities)>,
}

// === impl Applier ===

impl Applier {
    /// An applier for the cluster behind `client`.
    pub fn new(client: Client) -> Self {
        Self { client, kinds: BTreeMap::new() }
    }

    /// Makes the namespaces that `manifests` name and do not bring along.
    pub async fn namespaces(&mut self, manifests: &[Manifest]) -> Vec<Rejected> {
        let brought: BTreeSet<&str> = manifests
            .iter()
            .filter(|manifest| Wave::of(manifest) == Wave::Foundations && manifest.kind() == "Namespace")
            .map(Manifest::name)
            .collect();
        let named: BTreeSet<&str> = manifests.iter().filter_map(Manifest::namespace).collect();
        let mut rejected = Vec::new();
        for name in named.difference(&brought) {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            let manifest = Manifest { origin: "a namespace that a manifest names".to_owned(), object };
            rejected.extend(self.apply(&manifest).await.err());
        }
        rejected
    }

    /// Applies one manifest.
    pub async fn apply(&mut self, manifest: &Manifest) -> Result<DynamicObject, Rejected> {
        let reject = |message: String| Rejected { manifest: manifest.clone(), message };
        let (resource, capabilities) = self.kind(manifest).await.map_err(|error| reject(explain(&error)))?;
        let api: Api<DynamicObject> = match (capabilities.scope, manifest.namespace()) {
            (Scope::Cluster, _) => Api::all_with(self.client.clone(), &resource),
            (Scope::Namespaced, namespace) => {
                Api::namespaced_with(self.client.clone(), namespace.unwrap_or("default"), &resource)
            }
        };
        let params = PatchParams {
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::apply(MANAGER).force()
        };
        let object: &Value = &manifest.object;
        api.patch(manifest.name(), &params, &Patch::Apply(object))
            .await
            .map_err(|error| reject(explain(&error)))
    }

    async fn kind(&mut self, manifest: &Manifest) -> Result<(ApiResource, ApiCapabilities), kube::Error> {
        let version = manifest.object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let key = (version.to_owned(), manifest.kind().to_owned());
        if let Some(found) = self.kinds.get(&key) {
            return Ok(found.clone());
        }
        let version = version.split_once('/').map_or(version, |(_, version)| version);
        let gvk = GroupVersionKind::gvk(manifest.group(), version, manifest.kind());
        let found = discovery::pinned_kind(&self.client, &gvk).await?;
        self.kinds.insert(key, found.clone());
        Ok(found)
    }
}

/// An error in the words that help: the server's own where it answered.
fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_go_before_federated_objects_and_clusters_before_both() {
        let manifest = |version: &str, kind: &str| Manifest {
            origin: "test".to_owned(),
            object: json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}}),
        };
        let mut waves = [
            Wave::of(&manifest("types.kubefed.io/v1beta1", "FederatedGameStatefulSet")),
            Wave::of(&manifest("scheduling.kubefed.io/v1alpha1", "ReplicaSchedulingPreference")),
            Wave::of(&manifest("core.kubefed.io/v1beta1", "KubeFedCluster")),
            Wave::of(&manifest("v1", "Namespace")),
        ];
        waves.sort();
        assert_eq!(waves, [Wave::Foundations, Wave::Fleet, Wave::Policies, Wave::Federated]);
    }
}
