//! Rules of containers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{amounts, entries, list, named, not_negative, one_of, optional, port_number, text};
use crate::builtin::quantity::quantity;
use crate::names;
use crate::schema::FieldError;

pub(super) const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

const HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc", "sleep"];
const VARIABLE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";

/// Resources that Kubernetes itself knows.
const STANDARD: &[&str] = &["cpu", "ephemeral-storage", "memory"];
/// What of its own pod a variable may show, sorted.
const VARIABLE_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that exist and that variables cannot show.
const POD_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"];
/// Amounts that a variable may show, sorted.
const RESOURCE_FIELDS: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// Whether a list holds containers that run, or such that only prepare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Main,
    Init,
}

/// Checks one container of a pod: the names of its volumes, and its restart policy.
pub(super) fn validate(
    container: &Value,
    path: &str,
    role: Role,
    pod: (&BTreeSet<&str>, &str),
    errors: &mut Vec<FieldError>,
) {
    let (volumes, restart_policy) = pod;
    named(&container["name"], &format!("{path}.name"), names::label, errors);
    image(container, path, errors);
    one_of(
        &container["terminationMessagePolicy"],
        &format!("{path}.terminationMessagePolicy"),
        &["File", "FallbackToLogsOnError"],
        errors,
    );
    ports(list(&container["ports"]), &format!("{path}.ports"), errors);
    variables(list(&container["env"]), &format!("{path}.env"), errors);
    mounts(container, path, volumes, errors);
    one_of(
        &container["imagePullPolicy"],
        &format!("{path}.imagePullPolicy"),
        &["Always", "IfNotPresent", "Never"],
        errors,
    );
    resize_policy(container, &format!("{path}.resizePolicy"), restart_policy, errors);
    resources(&container["resources"], &format!("{path}.resources"), errors);
    let sidecar = container["restartPolicy"] == "Always";
    match role {
        Role::Init if !sidecar => {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if !container[field].is_null() {
                    let message = "may not be set for init containers without restartPolicy=Always";
                    errors.push(FieldError::forbidden(format!("{path}.{field}"), message));
                }
            }
            optional(&container["restartPolicy"], &format!("{path}.restartPolicy"), &["Always"], errors);
        }
        Role::Init => probes(container, path, errors),
        Role::Main => {
            probes(container, path, errors);
            if !container["restartPolicy"].is_null() {
                let message = "may not be set for non-init containers";
                errors.push(FieldError::forbidden(format!("{path}.restartPolicy"), message));
            }
        }
    }
}

/// An image has a name, and no blanks around it.
pub(crate) fn image(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let image = text(&container["image"]);
    if image.is_empty() {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        let message = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(format!("{path}.image"), image, message));
    }
}

/// Host ports that two containers of one list both ask for.
pub(super) fn host_ports<'a>(
    containers: impl Iterator<Item = (usize, &'a Value)>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let mut taken = BTreeSet::new();
    for (index, container) in containers {
        for (at, port) in list(&container["ports"]).iter().enumerate() {
            let Some(number) = port["hostPort"].as_i64().filter(|number| *number != 0) else { continue };
            let claim = format!("{}/{}/{number}", text(&port["protocol"]), text(&port["hostIP"]));
            if !taken.insert(claim.clone()) {
                errors.push(FieldError::duplicate(format!("{path}[{index}].ports[{at}].hostPort"), claim));
            }
        }
    }
}

fn ports(ports: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let name = text(&port["name"]);
        if !name.is_empty() {
            let problems = port_name(name);
            if problems.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(format!("{path}.name"), name));
            }
            errors.extend(problems.into_iter().map(|p| FieldError::invalid(format!("{path}.name"), name, p)));
        }
        match port["containerPort"].as_i64().unwrap_or_default() {
            0 => errors.push(FieldError::required(format!("{path}.containerPort"), "")),
            _ => port_number(&port["containerPort"], &format!("{path}.containerPort"), errors),
        }
        if port["hostPort"].as_i64().is_some_and(|number| number != 0) {
            port_number(&port["hostPort"], &format!("{path}.hostPort"), errors);
        }
        one_of(&port["protocol"], &format!("{path}.protocol"), PROTOCOLS, errors);
    }
}

/// What is wrong with the name of a port.
fn port_name(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > 15 {
        problems.push("must be no more than 15 characters".to_owned());
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)".to_owned());
    }
    if name.contains("--") {
        problems.push("must not contain consecutive hyphens".to_owned());
    }
    if name.starts_with('-') || name.ends_with('-') {
        problems.push("must not begin or end with a hyphen".to_owned());
    }
    problems
}

fn variables(variables: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    for (index, variable) in variables.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match text(&variable["name"]) {
            "" => errors.push(FieldError::required(format!("{path}.name"), "")),
            name if !name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') => {
                errors.push(FieldError::invalid(format!("{path}.name"), name, VARIABLE));
            }
            _ => {}
        }
        if let Some(source) = variable["valueFrom"].as_object() {
            variable_source(&variable["valueFrom"], &format!("{path}.valueFrom"), errors);
            let message = match source.values().filter(|value| !value.is_null()).count() {
                0 => {
                    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
                }
                _ if !text(&variable["value"]).is_empty() => "may not be specified when `value` is not empty",
                1 => continue,
                _ => "may not have more than one field specified at a time",
            };
            errors.push(FieldError::invalid(format!("{path}.valueFrom"), "", message));
        }
    }
}

/// What a variable is taken from.
fn variable_source(source: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let field = &source["fieldRef"]["fieldPath"];
    if source["fieldRef"].is_object() {
        let path = format!("{path}.fieldRef.fieldPath");
        let name = text(field);
        match name {
            "" => errors.push(FieldError::required(path, "")),
            _ if VARIABLE_FIELDS.contains(&name)
                || ["metadata.labels['", "metadata.annotations['"]
                    .iter()
                    .any(|map| name.starts_with(map)) => {}
            _ if POD_FIELDS.contains(&name) => {
                errors.push(FieldError::not_supported(path, name, VARIABLE_FIELDS));
            }
            _ => {
                let message = format!("error converting fieldPath: field label not supported: {name}");
                errors.push(FieldError::invalid(path, name, message));
            }
        }
    }
    if source["resourceFieldRef"].is_object() {
        let path = format!("{path}.resourceFieldRef.resource");
        let name = text(&source["resourceFieldRef"]["resource"]);
        let pages =
            ["requests.hugepages-", "limits.hugepages-"].iter().any(|prefix| name.starts_with(prefix));
        match name {
            "" => errors.push(FieldError::required(path, "")),
            _ if RESOURCE_FIELDS.contains(&name) || pages => {}
            _ => errors.push(FieldError::not_supported(path, name, RESOURCE_FIELDS)),
        }
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        let reference = &source[kind];
        if !reference.is_object() {
            continue;
        }
        let name = text(&reference["name"]);
        if let Err(problem) = names::subdomain(name) {
            errors.push(FieldError::invalid(format!("{path}.{kind}.name"), name, problem));
        }
        named(&reference["key"], &format!("{path}.{kind}.key"), names::config_key, errors);
    }
}

fn mounts(container: &Value, path: &str, volumes: &BTreeSet<&str>, errors: &mut Vec<FieldError>) {
    let mut paths = BTreeSet::new();
    for (index, mount) in list(&container["volumeMounts"]).iter().enumerate() {
        // As Kubernetes has it: the path of this one field is without the number.
        let sub_path_field = format!("{path}.volumeMounts.subPath");
        let path = format!("{path}.volumeMounts[{index}]");
        let (name, target) = (text(&mount["name"]), text(&mount["mountPath"]));
        if name.is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
        if !volumes.contains(name) {
            let value = Some(name.into());
            errors.push(FieldError::new(
                format!("{path}.name"),
                crate::schema::ErrorKind::NotFound,
                "",
                value,
            ));
        }
        if target.is_empty() {
            errors.push(FieldError::required(format!("{path}.mountPath"), ""));
        }
        if !paths.insert(target) {
            errors.push(FieldError::invalid(format!("{path}.mountPath"), target, "must be unique"));
        }
        let sub_path = text(&mount["subPath"]);
        if sub_path.starts_with('/') {
            errors.push(FieldError::invalid(&sub_path_field, sub_path, "must be a relative path"));
        }
        if sub_path.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(&sub_path_field, sub_path, "must not contain '..'"));
        }
    }
}

/// What becomes of a container when an amount of it changes.
fn resize_policy(container: &Value, path: &str, restart_policy: &str, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (index, policy) in list(&container["resizePolicy"]).iter().enumerate() {
        let (resource, restart) = (text(&policy["resourceName"]), text(&policy["restartPolicy"]));
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(format!("{path}[{index}]"), resource));
        }
        one_of(&policy["resourceName"], path, &["cpu", "memory"], errors);
        one_of(&policy["restartPolicy"], path, &["NotRequired", "RestartContainer"], errors);
        if restart_policy == "Never" && restart != "NotRequired" {
            let message = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(path, restart, message));
        }
    }
}

pub(super) fn resources(resources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for field in ["limits", "requests"] {
        for (resource, _) in entries(&resources[field]) {
            let ours = !resource.contains('/');
            if ours && !STANDARD.contains(&resource.as_str()) && !resource.starts_with("hugepages-") {
                let message = "must be a standard resource for containers";
                errors.push(FieldError::invalid(
                    format!("{path}.{field}[{resource}]"),
                    resource.as_str(),
                    message,
                ));
            }
        }
        amounts(&resources[field], &format!("{path}.{field}"), errors);
    }
    for (resource, request) in entries(&resources["requests"]) {
        let limit = &resources["limits"][resource];
        let (Some(asked), Some(allowed)) = (quantity(request), quantity(limit)) else { continue };
        // What is not of Kubernetes' own (a GPU) cannot be shared: request and limit are one number.
        let shared = !resource.contains('/') && !resource.starts_with("hugepages-");
        let rule = match asked.cmp(&allowed) {
            std::cmp::Ordering::Equal => continue,
            _ if !shared => "equal to",
            std::cmp::Ordering::Greater => "less than or equal to",
            std::cmp::Ordering::Less => continue,
        };
        let limit = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
        let message = format!("must be {rule} {resource} limit of {limit}");
        errors.push(FieldError::invalid(format!("{path}.requests"), request.clone(), message));
    }
}

fn probes(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for hook in ["postStart", "preStop"] {
        let handler = &container["lifecycle"][hook];
        if !handler.is_null() {
            self::handler(handler, &format!("{path}.lifecycle.{hook}"), errors);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = &container[name];
        if probe.is_null() {
            continue;
        }
        let path = format!("{path}.{name}");
        handler(probe, &path, errors);
        for field in
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            not_negative(&probe[field], &format!("{path}.{field}"), errors);
        }
        let grace = &probe["terminationGracePeriodSeconds"];
        if grace.as_i64().is_some_and(|seconds| seconds <= 0) {
            let path = format!("{path}.terminationGracePeriodSeconds");
            errors.push(FieldError::invalid(path, grace.clone(), "must be greater than 0"));
        }
        if name == "readinessProbe" {
            if !grace.is_null() {
                let path = format!("{path}.terminationGracePeriodSeconds");
                errors.push(FieldError::invalid(path, grace.clone(), "must not be set for readinessProbes"));
            }
        } else if probe["successThreshold"] != 1 {
            let threshold = probe["successThreshold"].clone();
            errors.push(FieldError::invalid(format!("{path}.successThreshold"), threshold, "must be 1"));
        }
    }
}

fn handler(handler: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut given = HANDLERS.iter().filter(|name| !handler[**name].is_null());
    let first = given.next();
    if first.is_none() {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
    for second in given {
        let message = "may not specify more than 1 handler type";
        errors.push(FieldError::forbidden(format!("{path}.{second}"), message));
    }
    if first == Some(&"exec") && list(&handler["exec"]["command"]).is_empty() {
        errors.push(FieldError::required(format!("{path}.exec.command"), ""));
    }
    for name in ["httpGet", "tcpSocket", "grpc"] {
        if first != Some(&name) {
            continue;
        }
        let (path, port) = (format!("{path}.{name}.port"), &handler[name]["port"]);
        match port {
            Value::String(name) => {
                errors.extend(
                    port_name(name).into_iter().map(|p| FieldError::invalid(&path, name.as_str(), p)),
                );
            }
            _ => port_number(port, &path, errors),
        }
    }
    if first == Some(&"httpGet") {
        one_of(&handler["httpGet"]["scheme"], &format!("{path}.httpGet.scheme"), &["HTTP", "HTTPS"], errors);
    }
}
