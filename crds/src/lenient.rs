//! Reading objects that should not exist.
//!
//! A list of objects is read as a whole, so one object with `replicas: "three"` would hide all its neighbours. The
//! spec and status types therefore read each of their fields apart from the others: a field that cannot be read is
//! left out and recorded as [`Malformed`]. **Who acts on a spec looks at its `malformed` first**: an unreadable
//! placement is not an absent one.

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// A field that was present and could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The field, relative to the struct that lists it: `placement`, `replicas`.
    pub field: String,
    /// What is wrong with it, in words for a person.
    pub message: String,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Reads a struct whose fields all have defaults, leaving out the fields that cannot be read.
///
/// `read` is the strict deserializer of the struct. A missing value, `null`, and fields that are `null` count as absent,
/// as in the Kubernetes API. Anything else that is not an object is malformed as a whole (its field is `.`).
pub(crate) fn salvage<'de, D, T>(
    deserializer: D,
    read: impl Fn(Value) -> Result<T, serde_json::Error>,
) -> Result<(T, Vec<Malformed>), D::Error>
where
    D: Deserializer<'de>,
{
    // An `Option` also accepts a field that is absent, which is how an object without a spec can be read.
    let mut malformed = Vec::new();
    let mut fields = match Option::<Value>::deserialize(deserializer)? {
        None => Map::new(),
        Some(Value::Object(fields)) => fields,
        Some(other) => {
            malformed.push(Malformed { field: ".".into(), message: format!("not an object: {other}") });
            Map::new()
        }
    };
    fields.retain(|_, value| !value.is_null());
    // The common case costs one copy; only a bad object is read field by field.
    if let Ok(value) = read(Value::Object(fields.clone())) {
        return Ok((value, malformed));
    }
    fields.retain(|field, value| {
        let alone = Map::from_iter([(field.clone(), value.clone())]);
        let read = read(Value::Object(alone));
        if let Err(error) = &read {
            malformed.push(Malformed { field: field.clone(), message: error.to_string() });
        }
        read.is_ok()
    });
    let value = read(Value::Object(fields)).map_err(de::Error::custom)?;
    Ok((value, malformed))
}

/// Implements `Serialize` and `Deserialize` for a struct declared with `#[serde(remote = "Self")]`, reading it with
/// [`salvage`] and keeping what was unreadable in its field `malformed`.
macro_rules! lenient {
    ($type:ident) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let (mut read, malformed) = $crate::lenient::salvage(deserializer, Self::deserialize)?;
                read.malformed = malformed;
                Ok(read)
            }
        }
    };
}
pub(crate) use lenient;

/// Reads `null` as the default of the type.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a value that is present, `null` included, as `Some`.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
