//! Objects between the version they are stored in and the version they are served in.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{Resource, catalog::Conversion};

/// A stored body as this resource serves it.
pub(crate) fn to_served(resource: &Resource, body: Bytes) -> Bytes {
    match &resource.conversion {
        Conversion::None => body,
        Conversion::ApiVersion(_) | Conversion::Events => match serde_json::from_slice::<Value>(&body) {
            Ok(value) => Bytes::from(value_to_served(resource, value).to_string()),
            Err(_) => body,
        },
    }
}

/// A stored object as this resource serves it.
pub(crate) fn value_to_served(resource: &Resource, mut value: Value) -> Value {
    match &resource.conversion {
        Conversion::None => value,
        Conversion::ApiVersion(_) => {
            value["apiVersion"] = resource.api_version().into();
            resource.schema.prune(&mut value);
            resource.schema.apply_defaults(&mut value);
            value
        }
        Conversion::Events => rename(value, "events.k8s.io/v1", &EVENT_FIELDS, |(core, new)| (core, new)),
    }
}

/// A served object as it is stored.
pub(crate) fn value_to_stored(resource: &Resource, mut value: Value) -> Value {
    match &resource.conversion {
        Conversion::None => value,
        Conversion::ApiVersion(stored) => {
            value["apiVersion"] = (**stored).into();
            value
        }
        Conversion::Events => rename(value, "v1", &EVENT_FIELDS, |(core, new)| (new, core)),
    }
}

/// The name of a field selector of this resource in the index of the stored one.
pub(crate) fn stored_field(resource: &Resource, field: &str) -> String {
    if resource.conversion != Conversion::Events {
        return field.to_owned();
    }
    match field.split_once('.') {
        Some(("regarding", rest)) => format!("involvedObject.{rest}"),
        _ if field == "reportingController" => "reportingComponent".to_owned(),
        _ => field.to_owned(),
    }
}

/// Fields of core events that `events.k8s.io` calls something else.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename(
    value: Value,
    api_version: &str,
    fields: &[(&'static str, &'static str)],
    direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> Value {
    let Value::Object(old) = value else { return value };
    let mut new = Map::new();
    for (key, value) in old {
        let renamed = fields.iter().map(|pair| direction(*pair)).find(|(from, _)| *from == key);
        new.insert(renamed.map_or(key, |(_, to)| to.to_owned()), value);
    }
    new.insert("apiVersion".to_owned(), api_version.into());
    Value::Object(new)
}
