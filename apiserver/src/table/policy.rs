//! The rows of disruption budgets, autoscalers and quotas.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, integer, list, map, text};

pub(super) const BUDGET_COLUMNS: &[(&str, &str, i64)] = &[
    ("Name", "", 0),
    ("Min Available", "How many pods must be available.", 0),
    ("Max Unavailable", "How many pods may be unavailable.", 0),
    ("Allowed Disruptions", "How many pods may be evicted now.", 0),
    ("Age", super::AGE, 0),
];

pub(super) const AUTOSCALER_COLUMNS: &[(&str, &str, i64)] = &[
    ("Name", "", 0),
    ("Reference", "What is scaled.", 0),
    ("Targets", "What it is scaled by.", 0),
    ("MinPods", "The fewest pods.", 0),
    ("MaxPods", "The most pods.", 0),
    ("Replicas", "How many pods there are.", 0),
    ("Age", super::AGE, 0),
];

pub(super) const QUOTA_COLUMNS: &[(&str, &str, i64)] = &[
    ("Name", "", 0),
    ("Request", "What may be asked for, and what is.", 0),
    ("Limit", "What may be used at most, and what is.", 0),
    ("Age", super::AGE, 0),
];

pub(super) fn budget_row(budget: &Value, now: Timestamp) -> Vec<Value> {
    let number = |field: &str| plain(&budget["spec"][field]).unwrap_or_else(|| "N/A".to_owned());
    vec![
        text(budget, "/metadata/name").into(),
        number("minAvailable").into(),
        number("maxUnavailable").into(),
        integer(budget, "/status/disruptionsAllowed").into(),
        age(budget, now),
    ]
}

pub(super) fn autoscaler_row(autoscaler: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &autoscaler["spec"];
    let target = &spec["scaleTargetRef"];
    vec![
        text(autoscaler, "/metadata/name").into(),
        format!("{}/{}", text(target, "/kind"), text(target, "/name")).into(),
        targets(autoscaler).into(),
        plain(&spec["minReplicas"]).unwrap_or_else(|| "<unset>".to_owned()).into(),
        integer(spec, "/maxReplicas").into(),
        integer(autoscaler, "/status/currentReplicas").into(),
        age(autoscaler, now),
    ]
}

/// What an autoscaler aims at, and where it is.
fn targets(autoscaler: &Value) -> String {
    let current = list(autoscaler, "/status/currentMetrics");
    let shown = list(autoscaler, "/spec/metrics").iter().enumerate().map(|(index, metric)| {
        let field = match text(metric, "/type") {
            "ContainerResource" => "containerResource",
            "External" => "external",
            "Object" => "object",
            "Pods" => "pods",
            _ => "resource",
        };
        let (source, target) = (&metric[field], &metric[field]["target"]);
        let now = current.get(index).map(|current| &current[field]["current"]);
        let at = |name: &str| now.and_then(|now| plain(&now[name]));
        let unknown = || "<unknown>".to_owned();
        let (prefix, named) = match field {
            "resource" | "containerResource" => (format!("{}: ", text(source, "/name")), true),
            _ => (String::new(), false),
        };
        if let Some(average) = plain(&target["averageValue"]) {
            let suffix = if matches!(field, "external" | "object") { " (avg)" } else { "" };
            return format!("{prefix}{}/{average}{suffix}", at("averageValue").unwrap_or_else(unknown));
        }
        if named {
            let percent = |value: String| format!("{value}%");
            let wanted = plain(&target["averageUtilization"]).map_or_else(|| "<auto>".to_owned(), percent);
            let now = at("averageUtilization").map_or_else(unknown, percent);
            return format!("{prefix}{now}/{wanted}");
        }
        let wanted = plain(&target["value"]).unwrap_or_else(|| "0".to_owned());
        format!("{}/{wanted}", at("value").unwrap_or_else(unknown))
    });
    let shown: Vec<String> = shown.collect();
    match shown.len() {
        0 => "<none>".to_owned(),
        count if count > 2 => format!("{} + {} more...", shown[..2].join(", "), count - 2),
        _ => shown.join(", "),
    }
}

pub(super) fn quota_row(quota: &Value, now: Timestamp) -> Vec<Value> {
    let hard = map(quota, "/status/hard").into_iter().flatten();
    let shown = hard.map(|(resource, hard)| {
        let used = plain(&quota["status"]["used"][resource]).unwrap_or_else(|| "0".to_owned());
        format!("{resource}: {used}/{}", plain(hard).unwrap_or_default())
    });
    let shown: Vec<String> = shown.collect();
    vec![text(quota, "/metadata/name").into(), shown.join(", ").into(), "".into(), age(quota, now)]
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
