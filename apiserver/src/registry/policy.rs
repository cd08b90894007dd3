//! Disruption budgets, autoscalers and quotas.

use serde_json::{Value, json};

use super::{PLAIN, Rules, claims::keep_other_half};

/// What a quota can count: all pods, and those that have not ended.
pub(crate) const COUNTED: [&str; 2] = ["count/pods", "pods"];

pub(super) const BUDGET_RULES: Rules = Rules {
    generation: true,
    unconditional_update: false,
    prepare_create: |object, _| {
        object["status"] =
            json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
    },
    prepare_update: keep_other_half,
    ..PLAIN
};

pub(super) const AUTOSCALER_RULES: Rules = Rules {
    prepare_create: |object, _| object["status"] = json!({"desiredReplicas": 0, "currentMetrics": null}),
    prepare_update: keep_other_half,
    ..PLAIN
};

pub(super) const QUOTA_RULES: Rules = Rules {
    returns_deleted: true,
    prepare_create: |object, _| object["status"] = json!({}),
    prepare_update: keep_other_half,
    ..PLAIN
};

/// How many of what a quota counts a pod is.
pub(crate) fn counts(resource: &str, pod: &Value) -> bool {
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    resource == "count/pods" || !ended
}
