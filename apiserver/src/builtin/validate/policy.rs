//! Rules of disruption budgets, autoscalers and quotas.

use serde_json::Value;

use super::{amounts, entries, list, optional, text};
use crate::builtin::quantity::quantity;
use crate::names;
use crate::registry::policy::COUNTED;
use crate::schema::FieldError;

/// Billionths in one.
const ONE: i128 = 1_000_000_000;

pub(super) fn budget(budget: &Value, errors: &mut Vec<FieldError>) {
    let spec = &budget["spec"];
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let message = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid("spec", spec.clone(), message));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        number_or_percent(&spec[field], &format!("spec.{field}"), errors);
    }
    selector(&spec["selector"], "spec.selector", errors);
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    optional(&spec["unhealthyPodEvictionPolicy"], "spec.unhealthyPodEvictionPolicy", &policies, errors);
}

fn number_or_percent(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => {
            errors.push(FieldError::invalid(path, value.clone(), super::NOT_NEGATIVE));
        }
        Value::String(given) => {
            let percent = given.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
            match percent.and_then(|digits| digits.parse::<i64>().ok()) {
                None => {
                    let message = "a valid percent string must be a numeric string followed by an ending '%' (e.g. \
                                   '1%',  or '93%', regex used for validation is '[0-9]+%')";
                    errors.push(FieldError::invalid(path, value.clone(), message));
                }
                Some(percent) if percent > 100 => {
                    errors.push(FieldError::invalid(path, value.clone(), "must not be greater than 100%"));
                }
                Some(_) => {}
            }
        }
        _ => {}
    }
}

/// What selects by labels: names, operators, and whether these take values.
fn selector(selector: &Value, path: &str, errors: &mut Vec<FieldError>) {
    super::labels(&selector["matchLabels"], &format!("{path}.matchLabels"), errors);
    for (index, expression) in list(&selector["matchExpressions"]).iter().enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        let values = list(&expression["values"]);
        match text(&expression["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                let message = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(format!("{path}.values"), message));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(format!("{path}.values"), message));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let message = "not a valid selector operator";
                errors.push(FieldError::invalid(format!("{path}.operator"), other, message));
            }
        }
        super::qualified(&expression["key"], &format!("{path}.key"), errors);
        for (at, value) in values.iter().enumerate() {
            if let Err(problem) = names::label_value(text(value)) {
                errors.push(FieldError::invalid(format!("{path}.values[{at}]"), value.clone(), problem));
            }
        }
    }
}

pub(super) fn autoscaler(autoscaler: &Value, errors: &mut Vec<FieldError>) {
    let spec = &autoscaler["spec"];
    let (min, max) = (spec["minReplicas"].as_i64().unwrap_or(1), spec["maxReplicas"].as_i64().unwrap_or(0));
    if min < 1 {
        errors.push(FieldError::invalid("spec.minReplicas", min, "must be greater than or equal to 1"));
    }
    if max < 1 {
        errors.push(FieldError::invalid("spec.maxReplicas", max, "must be greater than 0"));
    }
    if max < min {
        let message = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid("spec.maxReplicas", max, message));
    }
    for field in ["kind", "name"] {
        if text(&spec["scaleTargetRef"][field]).is_empty() {
            errors.push(FieldError::required(format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
    let version = text(&spec["scaleTargetRef"]["apiVersion"]);
    if !version.contains('/') {
        let message = "apiVersion must specify API group";
        errors.push(FieldError::invalid("spec.scaleTargetRef.apiVersion", version, message));
    }
    for (index, metric) in list(&spec["metrics"]).iter().enumerate() {
        let path = format!("spec.metrics[{index}]");
        let field = match text(&metric["type"]) {
            "" => {
                errors
                    .push(FieldError::required(format!("{path}.type"), "must specify a metric source type"));
                continue;
            }
            "ContainerResource" => "containerResource",
            "External" => "external",
            "Object" => "object",
            "Pods" => "pods",
            "Resource" => "resource",
            other => {
                let known = ["ContainerResource", "External", "Object", "Pods", "Resource"];
                let error = FieldError::not_supported(format!("{path}.type"), other, known);
                // Kubernetes finds it in two places.
                errors.extend([error.clone(), error]);
                continue;
            }
        };
        if metric[field].is_null() {
            let message = "must populate information for the given metric source";
            errors.push(FieldError::required(format!("{path}.{field}"), message));
        }
    }
}

/// Only numbers of pods are counted here; a quota of anything else would hold nobody to it, and is refused.
pub(super) fn quota(quota: &Value, errors: &mut Vec<FieldError>) {
    let spec = &quota["spec"];
    amounts(&spec["hard"], "spec.hard", errors);
    for (resource, amount) in entries(&spec["hard"]) {
        let path = format!("spec.hard[{resource}]");
        if !COUNTED.contains(&resource.as_str()) {
            errors.push(FieldError::not_supported(path, resource.as_str(), COUNTED));
        } else if quantity(amount).is_some_and(|amount| amount % ONE != 0) {
            errors.push(FieldError::invalid(path, amount.clone(), "must be an integer"));
        }
    }
    for field in ["scopes", "scopeSelector"] {
        if !spec[field].is_null() {
            let message = "quotas count all pods of a namespace in this server";
            errors.push(FieldError::forbidden(format!("spec.{field}"), message));
        }
    }
}
