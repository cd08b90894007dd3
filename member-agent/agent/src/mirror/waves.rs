//! The order of kinds: what others live in comes first and goes last.

use crate::kind::Kind;

/// A place in the order; lower is created first and removed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    /// Namespaces.
    Namespace,
    /// Definitions of kinds.
    Definition,
    /// What workloads refer to: access rules, configuration.
    Configuration,
    /// Hooks that workloads name.
    Hook,
    /// Services.
    Service,
    /// Workloads, and any kind without a place of its own.
    Workload,
    /// What leads traffic to workloads.
    Ingress,
}

/// The wave of a kind.
pub fn wave_of(kind: &Kind) -> Wave {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => Wave::Namespace,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Wave::Definition,
        ("rbac.authorization.k8s.io", _) | ("", "ConfigMap" | "Secret" | "ServiceAccount") => {
            Wave::Configuration
        }
        ("tkex.tencent.com", "HookTemplate") => Wave::Hook,
        ("", "Service") => Wave::Service,
        (_, "Ingress") => Wave::Ingress,
        _ => Wave::Workload,
    }
}

/// Whether objects of this kind hold objects that others may have made, so that deleting one could
/// take away more than the hub put there.
pub fn holds_others(kind: &Kind) -> bool {
    wave_of(kind) <= Wave::Definition
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(group: &str, kind: &str) -> Kind {
        Kind {
            group: group.to_owned(),
            version: "v1".to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
            kind: kind.to_owned(),
        }
    }

    #[test]
    fn namespaces_come_before_workloads_and_ingresses_last() {
        let order = [
            kind("", "Namespace"),
            kind("apiextensions.k8s.io", "CustomResourceDefinition"),
            kind("", "ConfigMap"),
            kind("tkex.tencent.com", "HookTemplate"),
            kind("", "Service"),
            kind("tkex.tencent.com", "GameStatefulSet"),
            kind("networkextension.bkbcs.tencent.com", "Ingress"),
        ];
        assert!(order.windows(2).all(|pair| wave_of(&pair[0]) < wave_of(&pair[1])));
        assert!(holds_others(&order[0]) && holds_others(&order[1]) && !holds_others(&order[5]));
    }
}
