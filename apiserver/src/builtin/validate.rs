//! The rules of built-in kinds, in the words of a Kubernetes API server.

pub(crate) mod container;
mod pod;
mod policy;
mod storage;

use std::net::IpAddr;

use serde_json::Value;

use super::quantity::quantity;
use crate::names;
use crate::schema::FieldError;

const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
const IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// What is wrong with an object of a built-in kind, metadata aside.
///
/// The object has its types right and its defaults filled in ([`default`](super::default)). Rules about what
/// an update may change are not here: these hold for an object on its own.
pub fn validate(group: &str, kind: &str, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match (group, kind) {
        ("", "Pod") => pod::validate(object, &mut errors),
        ("", "PersistentVolumeClaim") => storage::claim(object, &mut errors),
        ("", "PersistentVolume") => storage::volume(object, &mut errors),
        ("storage.k8s.io", "StorageClass") => storage::class(object, &mut errors),
        ("", "Node") => node(object, &mut errors),
        ("", "Endpoints") => endpoints(object, &mut errors),
        ("coordination.k8s.io", "Lease") => lease(object, &mut errors),
        ("", "ResourceQuota") => policy::quota(object, &mut errors),
        ("policy", "PodDisruptionBudget") => policy::budget(object, &mut errors),
        ("autoscaling", "HorizontalPodAutoscaler") => policy::autoscaler(object, &mut errors),
        _ => {}
    }
    errors
}

fn node(node: &Value, errors: &mut Vec<FieldError>) {
    for (index, taint) in list(&node["spec"]["taints"]).iter().enumerate() {
        let path = format!("spec.taints[{index}]");
        qualified(&taint["key"], &format!("{path}.key"), errors);
        one_of(&taint["effect"], &format!("{path}.effect"), pod::TAINT_EFFECTS, errors);
    }
    for field in ["capacity", "allocatable"] {
        amounts(&node["status"][field], &format!("status.{field}"), errors);
    }
}

fn lease(lease: &Value, errors: &mut Vec<FieldError>) {
    if let Some(seconds) = lease["spec"]["leaseDurationSeconds"].as_i64().filter(|n| *n <= 0) {
        errors.push(FieldError::invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
    }
    not_negative(&lease["spec"]["leaseTransitions"], "spec.leaseTransitions", errors);
}

fn endpoints(endpoints: &Value, errors: &mut Vec<FieldError>) {
    for (index, subset) in list(&endpoints["subsets"]).iter().enumerate() {
        let path = format!("subsets[{index}]");
        if list(&subset["addresses"]).is_empty() && list(&subset["notReadyAddresses"]).is_empty() {
            errors.push(FieldError::required(&path, "must specify `addresses` or `notReadyAddresses`"));
        }
        for field in ["addresses", "notReadyAddresses"] {
            for (index, address) in list(&subset[field]).iter().enumerate() {
                ip(&address["ip"], &format!("{path}.{field}[{index}].ip"), errors);
            }
        }
        let ports = list(&subset["ports"]);
        for (index, port) in ports.iter().enumerate() {
            let path = format!("{path}.ports[{index}]");
            if ports.len() > 1 && text(&port["name"]).is_empty() {
                errors.push(FieldError::required(format!("{path}.name"), ""));
            }
            port_number(&port["port"], &format!("{path}.port"), errors);
            one_of(&port["protocol"], &format!("{path}.protocol"), container::PROTOCOLS, errors);
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The entries of an object.
fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A value that must be given, and be one of these.
fn one_of(value: &Value, path: &str, allowed: &[&str], errors: &mut Vec<FieldError>) {
    match text(value) {
        "" => errors.push(FieldError::required(path, "")),
        text if !allowed.contains(&text) => errors.push(FieldError::not_supported(path, text, allowed)),
        _ => {}
    }
}

/// The same for a value that may be left out.
fn optional(value: &Value, path: &str, allowed: &[&str], errors: &mut Vec<FieldError>) {
    if !value.is_null() {
        one_of(value, path, allowed, errors);
    }
}

/// A text that must be given and pass a rule on names.
fn named(value: &Value, path: &str, rule: fn(&str) -> Result<(), String>, errors: &mut Vec<FieldError>) {
    match text(value) {
        "" => errors.push(FieldError::required(path, "")),
        text => {
            if let Err(problem) = rule(text) {
                errors.push(FieldError::invalid(path, text, problem));
            }
        }
    }
}

/// The same for a text that may be left out.
fn optionally_named(
    value: &Value,
    path: &str,
    rule: fn(&str) -> Result<(), String>,
    errors: &mut Vec<FieldError>,
) {
    if !text(value).is_empty() {
        named(value, path, rule, errors);
    }
}

/// A key with an optional prefix.
fn qualified(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Err(problem) = names::qualified(text(value)) {
        errors.push(FieldError::invalid(path, text(value), problem));
    }
}

/// Labels: keys with an optional prefix, and their values.
fn labels(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (key, value) in entries(value) {
        if let Err(problem) = names::qualified(key) {
            errors.push(FieldError::invalid(path, key.as_str(), problem));
        }
        if let Err(problem) = names::label_value(text(value)) {
            errors.push(FieldError::invalid(path, text(value), problem));
        }
    }
}

fn ip(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if text(value).parse::<IpAddr>().is_err() {
        errors.push(FieldError::invalid(path, text(value), IP));
    }
}

fn not_negative(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(number) = value.as_i64().filter(|number| *number < 0) {
        errors.push(FieldError::invalid(path, number, NOT_NEGATIVE));
    }
}

fn port_number(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let number = value.as_i64().unwrap_or_default();
    if !(1..=65535).contains(&number) {
        errors.push(FieldError::invalid(path, number, "must be between 1 and 65535, inclusive"));
    }
}

/// Amounts of resources: none is negative.
fn amounts(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (resource, amount) in entries(value) {
        let path = format!("{path}[{resource}]");
        if quantity(amount).is_some_and(|amount| amount < 0) {
            errors.push(FieldError::invalid(&path, amount.clone(), NOT_NEGATIVE));
        }
        if let Err(problem) = names::qualified(resource) {
            errors.push(FieldError::invalid(&path, resource.as_str(), problem));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The errors of an object with its defaults, as text.
    pub(super) fn problems(group: &str, kind: &str, mut object: Value) -> Vec<String> {
        super::super::default(group, kind, &mut object);
        validate(group, kind, &object).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nodes_leases_and_endpoints() {
        let none: [&str; 0] = [];
        assert_eq!(
            problems("", "Node", json!({"spec": {"taints": [{"key": "a/b", "effect": "NoSchedule"}]}})),
            none
        );
        assert_eq!(
            problems(
                "",
                "Node",
                json!({"spec": {"taints": [{"key": "a", "effect": "No"}]}, "status": {"capacity": {"cpu": "-1"}}})
            ),
            [
                "spec.taints[0].effect: Unsupported value: \"No\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
                "status.capacity[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
                "status.allocatable[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            ]
        );
        assert_eq!(
            problems(
                "coordination.k8s.io",
                "Lease",
                json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}})
            ),
            [
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ]
        );
        assert_eq!(
            problems(
                "",
                "Endpoints",
                json!({"subsets": [{}, {"addresses": [{"ip": "x"}], "ports": [{"port": 0}]}]})
            ),
            [
                "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
                "subsets[1].addresses[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                "subsets[1].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ]
        );
        assert_eq!(problems("", "ConfigMap", json!({"data": {"a": "b"}})), none);
    }
}
