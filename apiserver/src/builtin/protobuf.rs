//! Objects that kubectl creates from its command line, which it sends as protobuf.
//!
//! `kubectl create namespace|configmap|secret|serviceaccount|quota|poddisruptionbudget`, `autoscale` and `drain` use
//! generated Go clients, and these write protobuf without asking. Everything else that kubectl sends is JSON, so only these kinds are read; the
//! field numbers are those of Kubernetes' `generated.proto`, which never change.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The media type of such bodies.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Every body begins with this, then comes a `runtime.Unknown` message.
const MAGIC: &[u8] = b"k8s\0";

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The bytes are not Kubernetes' form of protobuf.
    #[error("the body is not Kubernetes protobuf: {0}")]
    Malformed(&'static str),
    /// The kind is not among those read.
    #[error("{kind} of {api_version} is not read as protobuf: send JSON")]
    Kind {
        /// `apiVersion` of the object.
        api_version: String,
        /// `kind` of the object.
        kind: String,
    },
    /// The object has a field that is not among those read.
    #[error("field {number} of {message} is not read as protobuf: send JSON")]
    Field {
        /// The message, such as `ObjectMeta`.
        message: &'static str,
        /// The field's number.
        number: u64,
    },
}

/// A message: its name and fields.
struct Message {
    name: &'static str,
    fields: &'static [(u64, &'static str, Field)],
}

/// What a field holds.
#[derive(Clone, Copy)]
enum Field {
    Text,
    Texts,
    Bool,
    Number,
    /// A number or a text, as a message that says which.
    Either,
    /// An amount, which is a text in a message.
    Amount,
    /// A map from text to amounts.
    AmountMap,
    Message(&'static Message),
    Messages(&'static Message),
    /// A map from text to text.
    TextMap,
    /// A map from text to bytes, which JSON has in base64.
    ByteMap,
    /// What the server sets, whatever a client says.
    Ignored,
}

static OBJECT_META: Message = Message {
    name: "ObjectMeta",
    fields: &[
        (1, "name", Field::Text),
        (2, "generateName", Field::Text),
        (3, "namespace", Field::Text),
        (4, "selfLink", Field::Ignored),
        (5, "uid", Field::Ignored),
        (6, "resourceVersion", Field::Ignored),
        (7, "generation", Field::Ignored),
        (8, "creationTimestamp", Field::Ignored),
        (11, "labels", Field::TextMap),
        (12, "annotations", Field::TextMap),
        (13, "ownerReferences", Field::Messages(&OWNER)),
        (14, "finalizers", Field::Texts),
    ],
};

static OWNER: Message = Message {
    name: "OwnerReference",
    fields: &[
        (1, "kind", Field::Text),
        (3, "name", Field::Text),
        (4, "uid", Field::Text),
        (5, "apiVersion", Field::Text),
        (6, "controller", Field::Bool),
        (7, "blockOwnerDeletion", Field::Bool),
    ],
};

static NAMESPACE: Message = Message {
    name: "Namespace",
    fields: &[
        (1, "metadata", Field::Message(&OBJECT_META)),
        (2, "spec", Field::Message(&NAMESPACE_SPEC)),
        (3, "status", Field::Ignored),
    ],
};

static NAMESPACE_SPEC: Message =
    Message { name: "NamespaceSpec", fields: &[(1, "finalizers", Field::Texts)] };

static CONFIG_MAP: Message = Message {
    name: "ConfigMap",
    fields: &[
        (1, "metadata", Field::Message(&OBJECT_META)),
        (2, "data", Field::TextMap),
        (3, "binaryData", Field::ByteMap),
        (4, "immutable", Field::Bool),
    ],
};

static SECRET: Message = Message {
    name: "Secret",
    fields: &[
        (1, "metadata", Field::Message(&OBJECT_META)),
        (2, "data", Field::ByteMap),
        (3, "type", Field::Text),
        (4, "stringData", Field::TextMap),
        (5, "immutable", Field::Bool),
    ],
};

static SERVICE_ACCOUNT: Message = Message {
    name: "ServiceAccount",
    fields: &[
        (1, "metadata", Field::Message(&OBJECT_META)),
        (2, "secrets", Field::Messages(&OBJECT_REFERENCE)),
        (3, "imagePullSecrets", Field::Messages(&LOCAL_REFERENCE)),
        (4, "automountServiceAccountToken", Field::Bool),
    ],
};

static OBJECT_REFERENCE: Message = Message {
    name: "ObjectReference",
    fields: &[
        (1, "kind", Field::Text),
        (2, "namespace", Field::Text),
        (3, "name", Field::Text),
        (4, "uid", Field::Text),
        (5, "apiVersion", Field::Text),
        (6, "resourceVersion", Field::Text),
        (7, "fieldPath", Field::Text),
    ],
};

static LOCAL_REFERENCE: Message =
    Message { name: "LocalObjectReference", fields: &[(1, "name", Field::Text)] };

static QUOTA: Message = Message {
    name: "ResourceQuota",
    fields: &[
        (1, "metadata", Field::Message(&OBJECT_META)),
        (2, "spec", Field::Message(&QUOTA_SPEC)),
        (3, "status", Field::Ignored),
    ],
};

static QUOTA_SPEC: Message = Message {
    name: "ResourceQuotaSpec",
    fields: &[(1, "hard", Field::AmountMap), (2, "scopes", Field::Texts)],
};

static BUDGET: Message = Message {
    name: "PodDisruptionBudget",
    fields: &[
        (1, "metadata", Field::Message(&OBJECT_META)),
        (2, "spec", Field::Message(&BUDGET_SPEC)),
        (3, "status", Field::Ignored),
    ],
};

static BUDGET_SPEC: Message = Message {
    name: "PodDisruptionBudgetSpec",
    fields: &[
        (1, "minAvailable", Field::Either),
        (2, "selector", Field::Message(&LABEL_SELECTOR)),
        (3, "maxUnavailable", Field::Either),
        (4, "unhealthyPodEvictionPolicy", Field::Text),
    ],
};

static LABEL_SELECTOR: Message = Message {
    name: "LabelSelector",
    fields: &[(1, "matchLabels", Field::TextMap), (2, "matchExpressions", Field::Messages(&REQUIREMENT))],
};

static REQUIREMENT: Message = Message {
    name: "LabelSelectorRequirement",
    fields: &[(1, "key", Field::Text), (2, "operator", Field::Text), (3, "values", Field::Texts)],
};

static AUTOSCALER: Message = Message {
    name: "HorizontalPodAutoscaler",
    fields: &[
        (1, "metadata", Field::Message(&OBJECT_META)),
        (2, "spec", Field::Message(&AUTOSCALER_SPEC)),
        (3, "status", Field::Ignored),
    ],
};

static AUTOSCALER_SPEC: Message = Message {
    name: "HorizontalPodAutoscalerSpec",
    fields: &[
        (1, "scaleTargetRef", Field::Message(&SCALE_TARGET)),
        (2, "minReplicas", Field::Number),
        (3, "maxReplicas", Field::Number),
        (4, "metrics", Field::Messages(&METRIC)),
    ],
};

static SCALE_TARGET: Message = Message {
    name: "CrossVersionObjectReference",
    fields: &[(1, "kind", Field::Text), (2, "name", Field::Text), (3, "apiVersion", Field::Text)],
};

static METRIC: Message = Message {
    name: "MetricSpec",
    fields: &[(1, "type", Field::Text), (4, "resource", Field::Message(&RESOURCE_METRIC))],
};

static RESOURCE_METRIC: Message = Message {
    name: "ResourceMetricSource",
    fields: &[(1, "name", Field::Text), (2, "target", Field::Message(&METRIC_TARGET))],
};

static METRIC_TARGET: Message = Message {
    name: "MetricTarget",
    fields: &[
        (1, "type", Field::Text),
        (2, "value", Field::Amount),
        (3, "averageValue", Field::Amount),
        (4, "averageUtilization", Field::Number),
    ],
};

static EVICTION: Message = Message {
    name: "Eviction",
    fields: &[
        (1, "metadata", Field::Message(&OBJECT_META)),
        (2, "deleteOptions", Field::Message(&DELETE_OPTIONS)),
    ],
};

static DELETE_OPTIONS: Message = Message {
    name: "DeleteOptions",
    fields: &[
        (1, "gracePeriodSeconds", Field::Number),
        (2, "preconditions", Field::Message(&PRECONDITIONS)),
        (3, "orphanDependents", Field::Bool),
        (4, "propagationPolicy", Field::Text),
        (5, "dryRun", Field::Texts),
    ],
};

static PRECONDITIONS: Message = Message {
    name: "Preconditions",
    fields: &[(1, "uid", Field::Text), (2, "resourceVersion", Field::Text)],
};

static EITHER: Message = Message {
    name: "IntOrString",
    fields: &[(1, "type", Field::Number), (2, "number", Field::Number), (3, "text", Field::Text)],
};

static AMOUNT: Message = Message { name: "Quantity", fields: &[(1, "text", Field::Text)] };

static TYPE_META: Message =
    Message { name: "TypeMeta", fields: &[(1, "apiVersion", Field::Text), (2, "kind", Field::Text)] };

/// Reads an object, as JSON.
pub fn decode_protobuf(body: &[u8]) -> Result<Value, ProtobufError> {
    let body = body.strip_prefix(MAGIC).ok_or(ProtobufError::Malformed("it does not begin with k8s\\0"))?;
    let mut raw: &[u8] = &[];
    let mut identity = Map::new();
    for item in Reader(body) {
        match item? {
            (1, Wire::Bytes(bytes)) => identity = read(&TYPE_META, bytes)?,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            // Encoding and type of the raw bytes: empty for protobuf.
            (3 | 4, Wire::Bytes([])) => {}
            (number, _) => return Err(ProtobufError::Field { message: "runtime.Unknown", number }),
        }
    }
    let text = |key: &str| identity.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let message = match (api_version.as_str(), kind.as_str()) {
        ("v1", "Namespace") => &NAMESPACE,
        ("v1", "ConfigMap") => &CONFIG_MAP,
        ("v1", "Secret") => &SECRET,
        ("v1", "ServiceAccount") => &SERVICE_ACCOUNT,
        ("v1", "ResourceQuota") => &QUOTA,
        ("policy/v1", "PodDisruptionBudget") => &BUDGET,
        ("policy/v1", "Eviction") => &EVICTION,
        ("autoscaling/v2", "HorizontalPodAutoscaler") => &AUTOSCALER,
        _ => return Err(ProtobufError::Kind { api_version, kind }),
    };
    let mut object = read(message, raw)?;
    object.append(&mut identity);
    Ok(Value::Object(object))
}

/// Reads one message. What is empty or zero was not set: Go writes it all the same.
fn read(message: &Message, bytes: &[u8]) -> Result<Map<String, Value>, ProtobufError> {
    let mut object = Map::new();
    for item in Reader(bytes) {
        let (number, value) = item?;
        let unknown = || ProtobufError::Field { message: message.name, number };
        let (_, name, field) =
            message.fields.iter().find(|(known, ..)| *known == number).ok_or_else(unknown)?;
        match (field, value) {
            (Field::Ignored, _) | (Field::Text, Wire::Bytes([])) => {}
            (Field::Text, Wire::Bytes(bytes)) => {
                object.insert((*name).to_owned(), text(bytes)?.into());
            }
            (Field::Bool, Wire::Number(number)) => {
                object.insert((*name).to_owned(), (number != 0).into());
            }
            (Field::Number, Wire::Number(number)) => {
                // A negative number is written as its complement.
                object.insert((*name).to_owned(), number.cast_signed().into());
            }
            (Field::Either, Wire::Bytes(bytes)) => {
                let mut read = read(&EITHER, bytes)?;
                let is_text = read.get("type").and_then(Value::as_i64) == Some(1);
                let value = read.remove(if is_text { "text" } else { "number" });
                object.insert((*name).to_owned(), value.unwrap_or_else(|| 0.into()));
            }
            (Field::Amount, Wire::Bytes(bytes)) => {
                object.insert((*name).to_owned(), amount(bytes)?);
            }
            (Field::AmountMap, Wire::Bytes(bytes)) => {
                let (key, bytes) = entry(bytes)?;
                let value = amount(bytes)?;
                let map = object.entry(*name).or_insert_with(|| json!({}));
                if let Value::Object(map) = map {
                    map.insert(key.to_owned(), value);
                }
            }
            (Field::Message(message), Wire::Bytes(bytes)) => {
                object.insert((*name).to_owned(), read(message, bytes)?.into());
            }
            (Field::Texts, Wire::Bytes(bytes)) => push(&mut object, name, text(bytes)?.into()),
            (Field::Messages(message), Wire::Bytes(bytes)) => {
                push(&mut object, name, read(message, bytes)?.into());
            }
            (Field::TextMap | Field::ByteMap, Wire::Bytes(bytes)) => {
                let (key, bytes) = entry(bytes)?;
                let value = match field {
                    Field::ByteMap => STANDARD.encode(bytes),
                    _ => text(bytes)?.to_owned(),
                };
                let map = object.entry(*name).or_insert_with(|| json!({}));
                if let Value::Object(map) = map {
                    map.insert(key.to_owned(), value.into());
                }
            }
            (_, Wire::Number(_)) | (Field::Bool | Field::Number, Wire::Bytes(_)) => {
                return Err(ProtobufError::Malformed("a field has the wrong wire type"));
            }
        }
    }
    Ok(object)
}

/// The text of an amount; one that was not set is zero.
fn amount(bytes: &[u8]) -> Result<Value, ProtobufError> {
    Ok(read(&AMOUNT, bytes)?.remove("text").unwrap_or_else(|| "0".into()))
}

fn push(object: &mut Map<String, Value>, name: &str, value: Value) {
    if let Value::Array(list) = object.entry(name).or_insert_with(|| json!([])) {
        list.push(value);
    }
}

/// Key and value of one entry of a map.
fn entry(bytes: &[u8]) -> Result<(&str, &[u8]), ProtobufError> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for item in Reader(bytes) {
        match item? {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => return Err(ProtobufError::Malformed("a map has entries of another form")),
        }
    }
    Ok((text(key)?, value))
}

fn text(bytes: &[u8]) -> Result<&str, ProtobufError> {
    std::str::from_utf8(bytes).map_err(|_| ProtobufError::Malformed("a text is not UTF-8"))
}

/// A field's value as it is on the wire.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Goes through the fields of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u64, Wire<'a>), ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            // Nothing after a broken field has a meaning.
            self.0 = &[];
        }
        Some(field.ok_or(ProtobufError::Malformed("a field is cut short or of a form that is not used")))
    }
}

impl<'a> Reader<'a> {
    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Wire::Bytes(bytes)
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut all = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        all.extend(bytes);
        all
    }

    fn body(kind: &str, raw: &[u8]) -> Vec<u8> {
        body_of("v1", kind, raw)
    }

    fn body_of(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let identity = [field(1, version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC, &field(1, &identity), &field(2, raw), &field(3, b""), &field(4, b"")].concat()
    }

    #[test]
    fn a_namespace_is_read_without_what_go_writes_for_nothing() {
        let labels = field(11, &[field(1, b"a"), field(2, b"b")].concat());
        let metadata = [field(1, b"web"), field(2, b""), vec![7 << 3, 0], field(8, b""), labels].concat();
        let raw = [field(1, &metadata), field(2, b""), field(3, &field(1, b""))].concat();
        assert_eq!(
            decode_protobuf(&body("Namespace", &raw)),
            Ok(
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web", "labels": {"a": "b"}}, "spec": {}})
            )
        );
    }

    #[test]
    fn secrets_come_in_base64() {
        let data = field(2, &[field(1, b"k"), field(2, b"hi")].concat());
        let raw = [field(1, &field(1, b"s")), data, field(3, b"Opaque"), vec![5 << 3, 1]].concat();
        assert_eq!(
            decode_protobuf(&body("Secret", &raw)),
            Ok(
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "aGk="},
                "type": "Opaque", "immutable": true})
            )
        );
    }

    #[test]
    fn amounts_numbers_and_percents_are_told_apart() {
        let hard = field(1, &[field(1, b"pods"), field(2, &field(1, b"2"))].concat());
        let quota = [field(1, &field(1, b"q")), field(2, &hard)].concat();
        let read = decode_protobuf(&body("ResourceQuota", &quota)).unwrap();
        assert_eq!(read["spec"], json!({"hard": {"pods": "2"}}));
        let percent = field(1, &[vec![1 << 3, 1, 2 << 3, 0], field(3, b"50%")].concat());
        let number = field(3, &[vec![1 << 3, 0, 2 << 3, 3], field(3, b"")].concat());
        let budget = field(2, &[percent, number].concat());
        let read = decode_protobuf(&body_of("policy/v1", "PodDisruptionBudget", &budget)).unwrap();
        assert_eq!(read["spec"], json!({"minAvailable": "50%", "maxUnavailable": 3}));
    }

    #[test]
    fn other_kinds_fields_and_bytes_are_refused() {
        assert_eq!(
            decode_protobuf(&body("Pod", b"")).unwrap_err().to_string(),
            "Pod of v1 is not read as protobuf: send JSON"
        );
        let unknown = decode_protobuf(&body("ConfigMap", &field(1, &field(10, b"")))).unwrap_err();
        assert_eq!(unknown.to_string(), "field 10 of ObjectMeta is not read as protobuf: send JSON");
        for bytes in
            [&b""[..], b"k8s", b"{}", b"k8s\0\x0a\x7f", b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert!(matches!(
                decode_protobuf(bytes),
                Err(ProtobufError::Malformed(_) | ProtobufError::Kind { .. })
            ));
        }
    }
}
