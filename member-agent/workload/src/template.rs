//! Pod templates by meaning: the form in which two templates are compared, and the hash that names a revision.
//!
//! A template is kept as raw JSON, since reading it into a type and writing it back would drop what the type does not
//! know. Before two templates are compared, what means nothing is taken out: `null`, empty maps in places where they say nothing, and
//! fields that hold the default that the API server would fill in. So a template that a Go program stored with
//! `creationTimestamp: null` equals the one the user wrote, and an upgrade of Muster restarts no pod.

use serde_json::{Map, Value};

/// The template without what means nothing. Keys are left in the order of `serde_json::Map`.
pub fn meaning(template: &Value) -> Value {
    let mut template = template.clone();
    drop_nulls(&mut template);
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("creationTimestamp");
        for field in ["labels", "annotations", "finalizers"] {
            drop_empty(metadata, field);
        }
    }
    if let Some(template) = template.as_object_mut() {
        drop_empty(template, "metadata");
    }
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        for (field, default) in POD_DEFAULTS {
            drop_text(spec, field, default);
        }
        drop_number(spec, "terminationGracePeriodSeconds", 30);
        for field in ["securityContext", "nodeSelector", "volumes", "tolerations", "initContainers"] {
            drop_empty(spec, field);
        }
        for list in ["containers", "initContainers"] {
            for container in objects(spec, list) {
                container_meaning(container);
            }
        }
    }
    template
}

/// Fields of a pod's spec whose default is a text.
const POD_DEFAULTS: [(&str, &str); 3] =
    [("restartPolicy", "Always"), ("dnsPolicy", "ClusterFirst"), ("schedulerName", "default-scheduler")];

/// Fields of a probe whose default is a number.
const PROBE_DEFAULTS: [(&str, i64); 5] = [
    ("initialDelaySeconds", 0),
    ("timeoutSeconds", 1),
    ("periodSeconds", 10),
    ("successThreshold", 1),
    ("failureThreshold", 3),
];

fn container_meaning(container: &mut Map<String, Value>) {
    drop_text(container, "terminationMessagePath", "/dev/termination-log");
    drop_text(container, "terminationMessagePolicy", "File");
    for field in ["resources", "securityContext", "env", "ports", "volumeMounts", "args", "command"] {
        drop_empty(container, field);
    }
    for port in objects(container, "ports") {
        drop_text(port, "protocol", "TCP");
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) else { continue };
        for (field, default) in PROBE_DEFAULTS {
            drop_number(probe, field, default);
        }
        if let Some(get) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
            drop_text(get, "scheme", "HTTP");
            drop_text(get, "path", "/");
        }
    }
}

fn objects<'a>(
    parent: &'a mut Map<String, Value>,
    list: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    parent.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Takes out members that are `null`, at any depth. `null` in a list stays: it is an element.
pub fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn drop_empty(parent: &mut Map<String, Value>, field: &str) {
    let empty = match parent.get(field) {
        Some(Value::Object(members)) => members.is_empty(),
        Some(Value::Array(elements)) => elements.is_empty(),
        _ => false,
    };
    if empty {
        parent.remove(field);
    }
}

fn drop_text(parent: &mut Map<String, Value>, field: &str, default: &str) {
    if parent.get(field).and_then(Value::as_str) == Some(default) {
        parent.remove(field);
    }
}

fn drop_number(parent: &mut Map<String, Value>, field: &str, default: i64) {
    if parent.get(field).and_then(Value::as_i64) == Some(default) {
        parent.remove(field);
    }
}

/// The hash in a revision's name: FNV-1 (32 bits) over the canonical JSON of the meaning and the collision count,
/// spelled in the letters Kubernetes uses where no word may appear by chance.
pub fn hash(meaning: &Value, collisions: u32) -> String {
    let mut hash = Fnv::default();
    write_canonical(meaning, &mut hash);
    if collisions > 0 {
        hash.write(collisions.to_string().as_bytes());
    }
    safe_spelling(hash.0)
}

fn safe_spelling(number: u32) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    number.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

/// FNV-1a with 32 bits, as Kubernetes hashes revisions.
struct Fnv(u32);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

/// Feeds JSON with sorted keys and no spaces: the same value gives the same bytes whatever the map's own order is.
fn write_canonical(value: &Value, out: &mut Fnv) {
    match value {
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_unstable();
            out.write(b"{");
            for key in keys {
                out.write(Value::String(key.clone()).to_string().as_bytes());
                out.write(b":");
                write_canonical(&members[key], out);
                out.write(b",");
            }
            out.write(b"}");
        }
        Value::Array(elements) => {
            out.write(b"[");
            for element in elements {
                write_canonical(element, out);
                out.write(b",");
            }
            out.write(b"]");
        }
        scalar => out.write(scalar.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_nulls_mean_nothing() {
        let written = json!({
            "metadata": {"labels": {"app": "game"}},
            "spec": {"containers": [{"name": "center", "image": "game:1", "ports": [{"containerPort": 80}]}]},
        });
        let stored = json!({
            "metadata": {"labels": {"app": "game"}, "creationTimestamp": null},
            "spec": {
                "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "securityContext": {},
                "terminationGracePeriodSeconds": 30,
                "containers": [{
                    "name": "center", "image": "game:1", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                }],
            },
        });
        assert_eq!(meaning(&stored), meaning(&written));
    }

    #[test]
    fn an_empty_selector_is_not_an_absent_one() {
        let all = json!({"spec": {"affinity": {"namespaceSelector": {}}}});
        let none = json!({"spec": {"affinity": {}}});
        assert_ne!(meaning(&all), meaning(&none));
    }

    /// A changed hash would rename the revision of a new set only, but it is a format: keep it.
    #[test]
    fn the_hash_is_stable_and_ignores_the_order_of_keys() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":[true,"x"]}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b":[true,"x"],"a":1}"#).unwrap();
        assert_eq!(hash(&one, 0), hash(&other, 0));
        assert_ne!(hash(&one, 0), hash(&one, 1));
        assert_eq!(hash(&one, 0), "7cc9cff6b7");
    }
}
