//! Services: addresses and ports.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{PLAIN, Rules, claims::keep_other_half, default, spec, text};
use crate::{names::NameRule, schema::FieldError};

pub(super) const RULES: Rules = Rules {
    name: NameRule::Service,
    create_on_update: true,
    returns_deleted: true,
    prepare_create,
    prepare_update: |object, old, subresource| {
        keep_other_half(object, old, subresource);
        keep_addresses(object, old);
    },
    validate,
    validate_update,
    ..PLAIN
};

/// First address of the service network, 10.96.0.0/12.
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 0);
/// How many addresses it has.
const ADDRESSES: u64 = 1 << 20;
/// First node port, and how many there are.
const NODE_PORTS: (u64, u64) = (30000, 2768);

fn prepare_create(object: &mut Value, unique: u64) {
    object["status"] = json!({"loadBalancer": {}});
    let spec = spec(object);
    let kind = text(spec, "/type").to_owned();
    if kind == "ExternalName" {
        return;
    }
    // Whoever makes the endpoints of a headless service himself may give it addresses of both families.
    if spec["clusterIP"] == "None" && spec["selector"].as_object().is_none_or(serde_json::Map::is_empty) {
        default(spec, "ipFamilies", json!(["IPv4", "IPv6"]));
        default(spec, "ipFamilyPolicy", "RequireDualStack");
    }
    default(spec, "ipFamilies", json!(["IPv4"]));
    default(spec, "ipFamilyPolicy", "SingleStack");
    // Nothing routes to these addresses; they only have to look right and differ.
    let address = Ipv4Addr::from(u32::from(NETWORK) + (2 + unique % (ADDRESSES - 3)) as u32);
    default(spec, "clusterIP", address.to_string());
    let address = spec["clusterIP"].clone();
    default(spec, "clusterIPs", json!([address]));
    let node_ports = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
    for (index, port) in (0_u64..).zip(ports_mut(spec)) {
        if node_ports {
            let (first, count) = NODE_PORTS;
            default(port, "nodePort", first + (unique + index) % count);
        }
    }
}

/// An update that leaves out what the server allocated keeps it.
fn keep_addresses(object: &mut Value, old: &Value) {
    let same_type = object["spec"]["type"] == old["spec"]["type"] || object["spec"]["type"].is_null();
    if !same_type {
        return;
    }
    for field in ["type", "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let kept = old["spec"][field].clone();
        if !kept.is_null() {
            default(spec(object), field, kept);
        }
    }
    let old_ports = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
    for port in ports_mut(spec(object)) {
        let same = old_ports.iter().find(|old| old["port"] == port["port"] && old["name"] == port["name"]);
        if let Some(node_port) = same.map(|old| old["nodePort"].clone()).filter(|port| !port.is_null()) {
            default(port, "nodePort", node_port);
        }
    }
}

fn ports_mut(spec: &mut Value) -> impl Iterator<Item = &mut Value> {
    spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten()
}

fn validate(object: &Value) -> Vec<FieldError> {
    let spec = &object["spec"];
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut errors = Vec::new();
    let headless = text(spec, "/clusterIP") == "None";
    if ports.is_empty() && !headless && text(spec, "/type") != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        let number = port["port"].as_i64().unwrap_or_default();
        if !(1..=65535).contains(&number) {
            let message = "must be between 1 and 65535, inclusive";
            errors.push(FieldError::invalid(format!("spec.ports[{index}].port"), number, message));
        }
        let target = port["targetPort"].as_i64().unwrap_or_default();
        if !port["targetPort"].is_string() && !(1..=65535).contains(&target) {
            let message = "must be between 1 and 65535, inclusive";
            errors.push(FieldError::invalid(format!("spec.ports[{index}].targetPort"), target, message));
        }
        if ports.len() > 1 && text(port, "/name").is_empty() {
            errors.push(FieldError::required(format!("spec.ports[{index}].name"), ""));
        }
        let same = |other: &&Value| other["name"] == port["name"] && !port["name"].is_null();
        if ports[..index].iter().any(|other| same(&other)) {
            errors.push(FieldError::duplicate(format!("spec.ports[{index}].name"), port["name"].clone()));
        }
    }
    errors
}

fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (before, after) = (text(old, "/spec/clusterIP"), text(new, "/spec/clusterIP"));
    if new["spec"]["type"] == old["spec"]["type"] && !before.is_empty() && before != after {
        errors.push(FieldError::invalid("spec.clusterIPs[0]", after, "may not change once set"));
    }
    errors
}
