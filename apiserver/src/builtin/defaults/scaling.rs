//! Defaults of autoscalers.

use serde_json::{Value, json};

use super::{fill, object_at};

/// Seconds over which a policy counts.
const PERIOD: i64 = 15;

/// Fills in an autoscaler: one pod at least, by cpu, and as fast as the built-in policies allow.
pub(super) fn autoscaler(object: &mut Value) {
    let spec = object_at(object, "spec");
    fill(Some(object_at(spec, "scaleTargetRef")), "kind", "");
    fill(Some(object_at(spec, "scaleTargetRef")), "name", "");
    fill(Some(spec), "maxReplicas", 0);
    fill(Some(spec), "minReplicas", 1);
    fill(
        Some(spec),
        "metrics",
        json!([{"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 80}}}]),
    );
    if spec["behavior"].is_object() {
        let percent = json!({"type": "Percent", "value": 100, "periodSeconds": PERIOD});
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": PERIOD});
        let behavior = &mut spec["behavior"];
        let up = object_at(behavior, "scaleUp");
        fill(Some(up), "stabilizationWindowSeconds", 0);
        rules(up, json!([pods, percent]));
        rules(object_at(behavior, "scaleDown"), json!([percent]));
    }
    let status = object_at(object, "status");
    fill(Some(status), "desiredReplicas", 0);
    fill(Some(status), "currentMetrics", Value::Null);
}

fn rules(rules: &mut Value, policies: Value) {
    fill(Some(rules), "selectPolicy", "Max");
    fill(Some(rules), "policies", policies);
}
