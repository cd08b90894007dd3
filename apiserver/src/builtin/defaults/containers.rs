//! Defaults of containers.

use serde_json::{Value, json};

use super::{fill, fill_number, list_mut, object_at, set, text};

/// Fills in one container of a pod.
pub(super) fn default(container: &mut Value, host_network: bool) {
    let image = text(container, "image").unwrap_or_default();
    fill(Some(container), "imagePullPolicy", if is_latest(&image) { "Always" } else { "IfNotPresent" });
    fill(Some(container), "terminationMessagePath", "/dev/termination-log");
    fill(Some(container), "terminationMessagePolicy", "File");
    fill(Some(container), "resources", json!({}));
    requests_from_limits(container);
    for port in list_mut(container.get_mut("ports")) {
        fill(Some(port), "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").and_then(Value::as_i64) {
            fill_number(port, "hostPort", number);
        }
    }
    for variable in list_mut(container.get_mut("env")) {
        fill(variable.pointer_mut("/valueFrom/fieldRef"), "apiVersion", "v1");
        fill(variable.pointer_mut("/valueFrom/resourceFieldRef"), "divisor", "0");
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).filter(|probe| probe.is_object()) {
            self::probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        http_get(container.pointer_mut(&format!("/lifecycle/{hook}/httpGet")));
    }
}

/// What a container may use is also what it asks for, unless it says otherwise.
fn requests_from_limits(container: &mut Value) {
    let Some(Value::Object(limits)) = container.pointer("/resources/limits").cloned() else { return };
    let requests = object_at(object_at(container, "resources"), "requests");
    for (resource, limit) in limits {
        if requests.get(&resource).is_none() {
            set(requests, &resource, limit);
        }
    }
}

fn probe(probe: &mut Value) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        fill_number(probe, field, value);
    }
    http_get(probe.get_mut("httpGet"));
    if let Some(grpc) = probe.get_mut("grpc").and_then(Value::as_object_mut) {
        grpc.entry("service").or_insert_with(|| "".into());
    }
}

fn http_get(action: Option<&mut Value>) {
    if let Some(action) = action.filter(|action| action.is_object()) {
        fill(Some(action), "path", "/");
        fill(Some(action), "scheme", "HTTP");
    }
}

/// Whether an image may change under its name: its tag is `latest`, or it has neither tag nor digest.
pub(super) fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    // A colon before the last slash belongs to the registry's port.
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => digest.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_pulled_always_when_its_tag_can_move() {
        let table = [
            ("nginx", true),
            ("nginx:latest", true),
            ("nginx:1.25", false),
            ("registry.example:5000/a/nginx", true),
            ("registry.example:5000/a/nginx:1", false),
            ("nginx@sha256:00", false),
            ("nginx:latest@sha256:00", true),
        ];
        for (image, expected) in table {
            assert_eq!(is_latest(image), expected, "{image}");
        }
    }

    #[test]
    fn probes_ports_and_requests_are_filled_in() {
        let mut container = json!({
            "name": "a", "image": "i:1",
            "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
            "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 2},
            "lifecycle": {"preStop": {"httpGet": {"port": 80}}},
            "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        });
        default(&mut container, true);
        assert_eq!(
            container,
            json!({
                "name": "a", "image": "i:1", "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
                "readinessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "periodSeconds": 2,
                    "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3},
                "lifecycle": {"preStop": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}}},
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
            })
        );
    }
}
