//! Which kinds are federated: data, so that a further kind needs no code.

use std::fmt;
use std::sync::Arc;

/// A target kind, spelled as Kubernetes names a resource: `gamestatefulsets.tkex.tencent.com`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindId(Arc<str>);

/// The names of one kind of one API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindNames {
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind, in CamelCase.
    pub kind: String,
    /// Plural, as in a URL.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// A kind of the members and the federated kind that stands for it on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederatedKind {
    /// What members hold.
    pub target: KindNames,
    /// What users write on the hub.
    pub federated: KindNames,
    /// Replicas of a target that names none; `None` for kinds without `spec.replicas`.
    pub default_replicas: Option<u32>,
}

// === impl KindId ===

impl KindId {
    /// The id of a plural in a group.
    pub fn new(group: &str, plural: &str) -> Self {
        if group.is_empty() { Self(plural.into()) } else { Self(format!("{plural}.{group}").into()) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KindId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl KindNames ===

impl KindNames {
    /// `group/version`, or the version alone for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The names as a kube client takes them.
    pub fn api_resource(&self) -> kube::core::ApiResource {
        kube::core::ApiResource {
            group: self.group.clone(),
            version: self.version.clone(),
            api_version: self.api_version(),
            kind: self.kind.clone(),
            plural: self.plural.clone(),
        }
    }
}

// === impl FederatedKind ===

impl FederatedKind {
    /// The id of the target.
    pub fn id(&self) -> KindId {
        KindId::new(&self.target.group, &self.target.plural)
    }

    /// The kinds that this build federates. They are on unless a FederatedTypeConfig says otherwise.
    pub fn built_in() -> Vec<Self> {
        vec![Self {
            target: KindNames {
                group: "tkex.tencent.com".to_owned(),
                version: "v1alpha1".to_owned(),
                kind: "GameStatefulSet".to_owned(),
                plural: "gamestatefulsets".to_owned(),
                namespaced: true,
            },
            federated: KindNames {
                group: "types.kubefed.io".to_owned(),
                version: "v1beta1".to_owned(),
                kind: "FederatedGameStatefulSet".to_owned(),
                plural: "federatedgamestatefulsets".to_owned(),
                namespaced: true,
            },
            default_replicas: Some(1),
        }]
    }
}
