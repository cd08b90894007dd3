//! What reading a built-in kind into its Go type does to it.
//!
//! A kube-apiserver decodes built-in kinds into structs and writes these back, so an object comes out other than it
//! went in: nulls and empty lists are gone, amounts are in their shortest form, and some fields are always there.

use base64::{DecodeError, Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::quantity;
use crate::schema::{Additional, Schema, Type, join};

/// The format under which the schemas know amounts.
const QUANTITY: &str = "quantity";
/// The format under which the schemas know bytes, which travel as base64.
const BYTES: &str = "byte";

/// Times that are written as null when they are not set.
const TIMES: [&str; 6] = [
    "eventTime",
    "firstTimestamp",
    "lastHeartbeatTime",
    "lastProbeTime",
    "lastTimestamp",
    "lastTransitionTime",
];

/// Drops nulls, empty lists and empty maps below the root, and shortens amounts.
pub fn tidy(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if schema.properties.is_empty() && !matches!(schema.additional, Additional::Schema(_)) {
                return;
            }
            for (name, field) in fields.iter_mut() {
                tidy(schema.child(name), field);
            }
            fields.retain(|name, field| {
                let absent = schema.property(name).is_some_and(|schema| is_nothing(schema, field));
                !absent || field.is_null() && TIMES.contains(&name.as_str())
            });
        }
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(schema.items(), item)),
        Value::String(_) | Value::Number(_) if schema.format.as_deref() == Some(QUANTITY) => {
            if let Some(short) = quantity::canonical(value) {
                *value = short.into();
            }
        }
        _ => {}
    }
}

/// Whether a value is what its Go type leaves out when it is written.
fn is_nothing(schema: &Schema, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => {
            fields.is_empty()
                && schema.properties.is_empty()
                && matches!(schema.additional, Additional::Schema(_))
        }
        _ => false,
    }
}

/// Why a value cannot be read into the Go type of its kind, in the words of Go's JSON decoder: the first field whose
/// type is wrong. The name of the struct is that of the kind, where Go names the innermost one.
pub fn mismatch(schema: &Schema, kind: &str, value: &Value) -> Option<String> {
    let (path, found, wanted) = mismatch_at(schema, value, "")?;
    Some(match wanted {
        QUANTITY => "quantities must match the regular expression \
             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            .to_owned(),
        BYTES => format!("illegal base64 data at input byte {found}"),
        _ => format!("json: cannot unmarshal {found} into Go struct field {kind}.{path} of type {wanted}"),
    })
}

fn mismatch_at(schema: &Schema, value: &Value, path: &str) -> Option<(String, String, &'static str)> {
    let here = |wanted| Some((path.to_owned(), json_kind(value), wanted));
    if schema.format.as_deref() == Some(QUANTITY) {
        let fits = value.is_null() || quantity::quantity(value).is_some();
        return if fits { None } else { here(QUANTITY) };
    }
    match (value, schema.ty) {
        (Value::Null, _) => None,
        (Value::Object(fields), None | Some(Type::Object)) if !schema.int_or_string => {
            fields.iter().find_map(|(name, field)| {
                let schema = schema.property(name)?;
                mismatch_at(schema, field, &join(path, name))
            })
        }
        (Value::Array(items), None | Some(Type::Array)) if !schema.int_or_string => {
            items.iter().find_map(|item| mismatch_at(schema.items(), item, path))
        }
        (Value::String(_) | Value::Number(_), _) if schema.int_or_string => None,
        (_, _) if schema.int_or_string => here("intstr.IntOrString"),
        (Value::String(text), Some(Type::String)) if schema.format.as_deref() == Some(BYTES) => {
            let position = illegal_base64(text)?;
            Some((path.to_owned(), position.to_string(), BYTES))
        }
        (_, None)
        | (Value::String(_), Some(Type::String))
        | (Value::Bool(_), Some(Type::Boolean))
        | (Value::Number(_), Some(Type::Number)) => None,
        (Value::Number(number), Some(Type::Integer)) if !number.is_f64() => None,
        (_, Some(Type::String)) => here("string"),
        (_, Some(Type::Boolean)) => here("bool"),
        (_, Some(Type::Number)) => here("float64"),
        (_, Some(Type::Integer)) if schema.format.as_deref() == Some("int64") => here("int64"),
        (_, Some(Type::Integer)) => here("int32"),
        (_, Some(Type::Array)) => here("[]interface {}"),
        (_, Some(Type::Object)) => here("map[string]interface {}"),
    }
}

/// Where a text stops being base64, as Go's decoder counts.
fn illegal_base64(text: &str) -> Option<usize> {
    let error = STANDARD.decode(text).err()?;
    Some(match error {
        DecodeError::InvalidByte(position, _) | DecodeError::InvalidLastSymbol(position, _) => position,
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => text.len(),
    })
}

/// A JSON value as Go's decoder calls it.
pub(crate) fn json_kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if number.is_f64() => format!("number {number}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    }
}

/// An object of a kind in which nothing is set: the fields that are written all the same. Creating an object compares
/// it with this, so the manager of a creation does not own them as such.
pub fn empty(group: &str, kind: &str) -> Value {
    let mut object = match (group, kind) {
        ("", "Pod") => json!({"spec": {"containers": null}, "status": {}}),
        ("", "Service") => json!({"spec": {}, "status": {"loadBalancer": {}}}),
        ("", "PersistentVolumeClaim") => json!({"spec": {"resources": {}}, "status": {}}),
        ("", "Namespace" | "PersistentVolume" | "ResourceQuota") => json!({"spec": {}, "status": {}}),
        ("policy", "PodDisruptionBudget") => json!({"spec": {}, "status": {
            "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}}),
        ("autoscaling", "HorizontalPodAutoscaler") => json!({
            "spec": {"scaleTargetRef": {"kind": "", "name": ""}, "maxReplicas": 0},
            "status": {"desiredReplicas": 0, "currentMetrics": null}}),
        ("", "Node") => {
            json!({"spec": {}, "status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": node_info()}})
        }
        ("", "Event") => json!({"source": {}}),
        ("events.k8s.io", "Event") => json!({"deprecatedSource": {}}),
        ("coordination.k8s.io", "Lease") => json!({"spec": {}}),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => json!({
            "spec": {"group": "", "names": {"plural": "", "kind": ""}, "scope": "", "versions": null},
            "status": {"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": null},
        }),
        _ => json!({}),
    };
    object["metadata"] = json!({});
    object
}

/// What a node that has not reported says of itself.
pub(super) fn node_info() -> Map<String, Value> {
    [
        "machineID",
        "systemUUID",
        "bootID",
        "kernelVersion",
        "osImage",
        "containerRuntimeVersion",
        "kubeletVersion",
        "kubeProxyVersion",
        "operatingSystem",
        "architecture",
    ]
    .into_iter()
    .map(|field| (field.to_owned(), "".into()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::schema;

    #[test]
    fn nothing_is_left_out_and_amounts_are_short() {
        let pod = schema("", "v1", "Pod").unwrap();
        let mut object = json!({
            "metadata": {"name": "a", "labels": {}, "managedFields": [{"fieldsV1": {"f:data": {}}}]},
            "spec": {"nodeSelector": {}, "tolerations": [], "hostname": null, "volumes": [{"name": "a", "emptyDir": {}}],
                "containers": [{"name": "a", "resources": {"requests": {"cpu": 0.5, "memory": "1024Mi"}}}]},
            "status": {"conditions": [{"type": "Ready", "lastProbeTime": null}]},
        });
        tidy(&pod, &mut object);
        assert_eq!(
            object,
            json!({
                "metadata": {"name": "a", "managedFields": [{"fieldsV1": {"f:data": {}}}]},
                "spec": {"volumes": [{"name": "a", "emptyDir": {}}],
                    "containers": [{"name": "a", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}]},
                "status": {"conditions": [{"type": "Ready", "lastProbeTime": null}]},
            })
        );
    }

    #[test]
    fn a_wrong_type_is_named_with_its_field() {
        let pod = schema("", "v1", "Pod").unwrap();
        let problem = |spec: Value| mismatch(&pod, "Pod", &json!({"spec": spec}));
        assert_eq!(problem(json!({"containers": [{"name": "a", "ports": [{"containerPort": 1}]}]})), None);
        assert_eq!(
            problem(json!({"containers": [{"image": 1}]})).as_deref(),
            Some(
                "json: cannot unmarshal number into Go struct field Pod.spec.containers.image of type string"
            )
        );
        assert_eq!(
            problem(json!({"terminationGracePeriodSeconds": "soon"})).as_deref(),
            Some(
                "json: cannot unmarshal string into Go struct field Pod.spec.terminationGracePeriodSeconds of type int64"
            )
        );
        assert!(problem(json!({"containers": [{"resources": {"limits": {"cpu": "lots"}}}]})).is_some());
    }
}
