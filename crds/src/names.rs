//! Names as types: each can only be made from text that Kubernetes would accept in its place.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Text that is not a name of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}: {rule}")]
pub struct NameError {
    /// The refused text.
    pub text: String,
    /// What it should have been a name of, such as "namespace".
    pub what: &'static str,
    /// The rule it breaks.
    pub rule: &'static str,
}

/// Most bytes of a DNS label (RFC 1123).
const LABEL_BYTES: usize = 63;
/// Most bytes of an object name (RFC 1123 subdomain).
const NAME_BYTES: usize = 253;
/// Most bytes of a UID: UUIDs have 36, other API servers' UIDs stay far below this.
const UID_BYTES: usize = 128;

const LABEL_RULE: &str =
    "at most 63 lower case letters, digits and '-', beginning and ending with a letter or digit";
const SUBDOMAIN_RULE: &str = "at most 253 lower case letters, digits, '-' and '.', each part beginning and ending with a letter or digit";
const SEGMENT_RULE: &str = "1 to 253 bytes, not '.' or '..', without '/' and '%'";
const UID_RULE: &str = "1 to 128 visible ASCII characters";

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $valid:path, $rule:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks the text; the error says which rule it breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                if $valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { text: text.to_owned(), what: $what, rule: $rule })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().to_owned()
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

name! {
    /// Name of a member cluster, which is the name of its KubeFedCluster.
    ClusterName, "cluster name", is_subdomain, SUBDOMAIN_RULE
}

name! {
    /// Name of a namespace.
    Namespace, "namespace", is_label, LABEL_RULE
}

name! {
    /// Name of an object of any kind. Kubernetes asks all kinds only for a path segment (an RBAC role may be called
    /// `system:node`), so this type asks no more.
    ObjectName, "object name", is_segment, SEGMENT_RULE
}

name! {
    /// UID of an object.
    Uid, "uid", is_uid, UID_RULE
}

name! {
    /// Name of a ControllerRevision, as pods carry it in the label `controller-revision-hash`.
    RevisionName, "revision name", is_subdomain, SUBDOMAIN_RULE
}

/// Which object of a kind: its name, and its namespace unless the kind is cluster-scoped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Namespace; none for cluster-scoped kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Name.
    pub name: ObjectName,
}

impl ObjectKey {
    /// Key of a namespaced object.
    pub fn namespaced(namespace: Namespace, name: ObjectName) -> Self {
        Self { namespace: Some(namespace), name }
    }

    /// Key of a cluster-scoped object.
    pub fn cluster_scoped(name: ObjectName) -> Self {
        Self { namespace: None, name }
    }

    /// Key of an object from its metadata; an error if that has no valid name.
    pub fn of(object: &impl kube::Resource) -> Result<Self, NameError> {
        let meta = object.meta();
        Ok(Self {
            namespace: meta.namespace.as_deref().map(Namespace::new).transpose()?,
            name: ObjectName::new(meta.name.as_deref().unwrap_or_default())?,
        })
    }
}

/// `namespace/name`, or the name alone: the spelling kubefed's hashes and kubectl's messages use.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    bytes.len() <= LABEL_BYTES
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// The parts of a subdomain have no length limit of their own in Kubernetes, unlike labels.
fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= NAME_BYTES && text.split('.').all(part)
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES && text != "." && text != ".." && !text.contains(['/', '%'])
}

fn is_uid(text: &str) -> bool {
    !text.is_empty() && text.len() <= UID_BYTES && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_what_kubernetes_accepts() {
        for good in ["a", "a-b", "0", "a.b-c.d", "a.1"] {
            assert!(ClusterName::new(good).is_ok(), "{good}");
            assert!(RevisionName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a..b", ".a", "a.", "a.-b", "a/b", "a b", "ä"] {
            assert!(ClusterName::new(bad).is_err(), "{bad}");
        }
        assert!(ClusterName::new("a".repeat(253)).is_ok());
        assert!(ClusterName::new("a".repeat(254)).is_err());
    }

    #[test]
    fn namespaces_are_labels() {
        assert!(Namespace::new("center-system").is_ok());
        assert!(Namespace::new("a.b").is_err());
        assert!(Namespace::new("a".repeat(63)).is_ok());
        assert!(Namespace::new("a".repeat(64)).is_err());
    }

    #[test]
    fn object_names_are_path_segments() {
        for good in ["gamecenter", "system:node", "UPPER_case"] {
            assert!(ObjectName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a%2fb"] {
            assert!(ObjectName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_says_what_was_wrong_with_what() {
        let error = Namespace::new("Game").unwrap_err().to_string();
        assert!(error.starts_with("\"Game\" is not a valid namespace: at most 63"), "{error}");
    }

    #[test]
    fn keys_read_as_kubernetes_writes_them() {
        let key = ObjectKey::namespaced("a".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(key.to_string(), "a/b");
        assert_eq!(serde_json::to_string(&key).unwrap(), r#"{"namespace":"a","name":"b"}"#);
        let key: ObjectKey = serde_json::from_str(r#"{"name":"b"}"#).unwrap();
        assert_eq!(key, ObjectKey::cluster_scoped("b".parse().unwrap()));
        assert_eq!(key.to_string(), "b");
        assert!(serde_json::from_str::<ObjectKey>(r#"{"namespace":"A","name":"b"}"#).is_err());
    }
}
