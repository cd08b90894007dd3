//! The one manifest, and changes of it.

use serde_json::{Value, json};

/// The set's name.
pub(crate) const SET: &str = "web";
/// The label of its pods.
pub(crate) const APP: &str = "web";
/// A readiness gate that the cases open and close, in place of a probe.
pub(crate) const GATE: &str = "example.com/serving";

/// A set of three pods, with `change` merged over it. It is created as both kinds; a kind drops fields it does not know.
pub(crate) fn manifest(change: &Value) -> Value {
    let mut manifest = json!({
        "metadata": {"name": SET},
        "spec": {
            "replicas": 3,
            "serviceName": SET,
            "selector": {"matchLabels": {"app": APP}},
            "template": {
                "metadata": {"labels": {"app": APP}},
                "spec": {"containers": containers("v1")},
            },
            "updateStrategy": {"type": "RollingUpdate"},
        },
    });
    json_patch::merge(&mut manifest, change);
    manifest
}

fn containers(tag: &str) -> Value {
    json!([{"name": "server", "image": format!("registry.example.com/web/server:{tag}")}])
}

/// The image with this tag.
pub(crate) fn image(tag: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": containers(tag)}}}})
}

/// So many pods.
pub(crate) fn replicas(count: u32) -> Value {
    json!({"spec": {"replicas": count}})
}

/// A partition.
pub(crate) fn partition(ordinal: u32) -> Value {
    json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": ordinal}}}})
}

/// A policy of pod management.
pub(crate) fn policy(word: &str) -> Value {
    json!({"spec": {"podManagementPolicy": word}})
}

/// No more pods than these may be unavailable at once.
pub(crate) fn max_unavailable(count: u32) -> Value {
    json!({"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": count}}}})
}

/// Pods are ready only while their gate is open.
pub(crate) fn gated() -> Value {
    json!({"spec": {"template": {"spec": {"readinessGates": [{"conditionType": GATE}]}}}})
}

/// A claim for each ordinal.
pub(crate) fn claims(when_scaled: &str, when_deleted: &str) -> Value {
    json!({"spec": {
        "volumeClaimTemplates": [{
            "metadata": {"name": "saves"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }],
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": when_scaled, "whenDeleted": when_deleted},
    }})
}

/// All of these changes, the later over the earlier.
pub(crate) fn all(changes: &[Value]) -> Value {
    let mut sum = json!({});
    for change in changes {
        json_patch::merge(&mut sum, change);
    }
    sum
}
