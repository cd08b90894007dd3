//! Objects as bytes of a response: as they are, as metadata, or as rows of a table.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::{Value, json, value::RawValue};

use super::accept::Format;
use crate::{Object, Resource, Status, convert, table::Columns};

/// How much of an object goes into a row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Include {
    Nothing,
    Metadata,
    Object,
}

/// Writes objects of one resource in the form that a client asked for.
pub(crate) struct Presenter {
    resource: Arc<Resource>,
    format: Format,
    include: Include,
    /// Only for tables.
    columns: Option<Columns>,
    now: Timestamp,
}

/// What a list says about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListMeta {
    pub(crate) version: u64,
    pub(crate) token: Option<String>,
    pub(crate) remaining: Option<usize>,
}

impl ListMeta {
    fn to_json(&self) -> Value {
        let mut meta = json!({"resourceVersion": self.version.to_string()});
        if let Some(token) = &self.token {
            meta["continue"] = token.as_str().into();
        }
        if let Some(remaining) = self.remaining {
            meta["remainingItemCount"] = remaining.into();
        }
        meta
    }
}

impl Presenter {
    pub(crate) fn new(
        resource: Arc<Resource>,
        format: Format,
        include_object: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, Status> {
        let include = match include_object {
            None | Some("Metadata") => Include::Metadata,
            Some("Object") => Include::Object,
            Some("None") => Include::Nothing,
            Some(other) if matches!(format, Format::Table(_)) => {
                return Err(Status::bad_request(format!(
                    "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be \
                     'Metadata', 'Object', 'None', or empty"
                )));
            }
            // Only tables have rows.
            Some(_) => Include::Metadata,
        };
        let columns = match format {
            Format::Table(_) => Some(Columns::of(&resource.group, &resource.kind, &resource.columns)),
            Format::Json | Format::Metadata(_) => None,
        };
        Ok(Self { resource, format, include, columns, now })
    }

    /// The beginning of a list, up to the first item.
    pub(crate) fn head(&self, meta: &ListMeta) -> Bytes {
        let mut meta = meta.to_json();
        // Kubernetes keeps lists of custom resources as documents, in which an empty token is written out.
        if self.format == Format::Json && self.resource.custom && meta.get("continue").is_none() {
            meta["continue"] = "".into();
        }
        Bytes::from(match self.format {
            Format::Json => format!(
                "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{meta},\"items\":[",
                self.resource.list_kind,
                self.resource.api_version()
            ),
            Format::Metadata(version) => format!(
                "{{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{meta},\"items\":["
            ),
            Format::Table(version) => self.table_head(version, &meta, true),
        })
    }

    /// One item of a list. Items are joined by commas.
    pub(crate) fn item(&self, object: &Object) -> Bytes {
        let item = self.object(object);
        if self.format == Format::Json && !self.resource.custom { Bytes::from(untyped(&item)) } else { item }
    }

    /// An object in the form asked for: itself, its metadata or its row.
    fn object(&self, object: &Object) -> Bytes {
        let body = convert::to_served(&self.resource, object.body.bytes());
        match self.format {
            Format::Json => body,
            Format::Metadata(version) => Bytes::from(partial(&body, version)),
            Format::Table(version) => Bytes::from(self.row(&body, version)),
        }
    }

    /// The end of a list.
    pub(crate) fn tail() -> &'static [u8] {
        b"]}"
    }

    /// One object on its own.
    pub(crate) fn single(&self, object: &Object) -> Bytes {
        self.one(object, true)
    }

    /// One object in a watch. Only the first event carries the columns of a table.
    pub(crate) fn event(&self, kind: &str, object: &Object, first: bool) -> Bytes {
        let object = self.one(object, first);
        let mut event = BytesMut::with_capacity(object.len() + 40);
        event.put_slice(b"{\"type\":\"");
        event.put_slice(kind.as_bytes());
        event.put_slice(b"\",\"object\":");
        event.put_slice(&object);
        event.put_slice(b"}\n");
        event.freeze()
    }

    /// A bookmark: an event that says how far the watch has come.
    pub(crate) fn bookmark(&self, version: u64, initial_events_end: bool, first: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.format {
            Format::Json => {
                json!({"kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata})
                    .to_string()
            }
            Format::Metadata(version) => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata})
                    .to_string()
            }
            Format::Table(table) => {
                let meta = json!({"resourceVersion": version.to_string()});
                let row = json!({"cells": [], "object": {"kind": "PartialObjectMetadata",
                    "apiVersion": format!("meta.k8s.io/{table}"), "metadata": metadata}});
                format!("{}{row}]}}", self.table_head(table, &meta, first))
            }
        };
        Bytes::from(format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n"))
    }

    fn one(&self, object: &Object, columns: bool) -> Bytes {
        let item = self.object(object);
        match self.format {
            Format::Json | Format::Metadata(_) => item,
            Format::Table(version) => {
                let meta = json!({"resourceVersion": object.version.to_string()});
                let mut table = BytesMut::from(self.table_head(version, &meta, columns).as_bytes());
                table.put_slice(&item);
                table.put_slice(b"]}");
                table.freeze()
            }
        }
    }

    fn table_head(&self, version: &str, meta: &Value, columns: bool) -> String {
        let definitions = match &self.columns {
            Some(of) if columns => Value::Array(of.definitions()),
            _ => Value::Null,
        };
        format!(
            "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{meta},\"columnDefinitions\":{definitions},\"rows\":["
        )
    }

    fn row(&self, body: &[u8], version: &str) -> String {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let cells = self.columns.as_ref().map(|columns| columns.row(&value, self.now));
        let cells = Value::Array(cells.unwrap_or_default());
        let conditions = self.columns.as_ref().map(|columns| columns.conditions(&value)).unwrap_or_default();
        let conditions = match conditions.as_slice() {
            [] => String::new(),
            conditions => format!("\"conditions\":{},", json!(conditions)),
        };
        let object = match self.include {
            Include::Nothing => "null".to_owned(),
            Include::Metadata => partial(body, version),
            Include::Object => value.to_string(),
        };
        format!("{{\"cells\":{cells},{conditions}\"object\":{object}}}")
    }
}

/// An object of a built-in kind as an item of a list: without its own kind and version, which are those of the list.
fn untyped(body: &[u8]) -> Vec<u8> {
    let Ok(mut fields) = serde_json::from_slice::<BTreeMap<&str, &RawValue>>(body) else {
        return body.to_vec();
    };
    fields.remove("kind");
    fields.remove("apiVersion");
    serde_json::to_vec(&fields).unwrap_or_else(|_| body.to_vec())
}

/// The metadata of an object as PartialObjectMetadata. It is passed on as it is, without being read.
fn partial(body: &[u8], version: &str) -> String {
    #[derive(serde::Deserialize)]
    struct WithMetadata<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    let found = serde_json::from_slice::<WithMetadata<'_>>(body);
    let metadata = found.as_ref().map_or("{}", |object| object.metadata.get());
    format!(
        "{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{metadata}}}"
    )
}
