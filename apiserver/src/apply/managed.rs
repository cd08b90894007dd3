//! The list `metadata.managedFields`: who owns which fields, by which operation, since when.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::fields_v1;
use super::set::PathSet;

/// How many managers of updates an object keeps; older ones are merged into [`ANCIENT`].
pub const MAX_UPDATE_MANAGERS: usize = 10;

/// The manager of the fields of old updates.
pub const ANCIENT: &str = "ancient-changes";

/// By which kind of request a manager owns its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// What tells entries apart. A manager that applies has one entry whatever version it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManagerId {
    pub(crate) manager: String,
    pub(crate) operation: Operation,
    /// Empty for appliers.
    pub(crate) version: String,
    pub(crate) subresource: String,
}

/// What a manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) version: String,
    pub(crate) time: Option<String>,
    fields: PathSet,
    /// The fields as they were stored, while they are those: most writes change one entry of several.
    stored: Option<Value>,
}

/// All entries of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Managed(pub(crate) BTreeMap<ManagerId, Entry>);

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

impl ManagerId {
    pub(crate) fn new(manager: &str, operation: Operation, version: &str, subresource: Option<&str>) -> Self {
        let manager = if manager.is_empty() { "unknown" } else { manager };
        let version = if operation == Operation::Apply { "" } else { version };
        Self {
            manager: manager.to_owned(),
            operation,
            version: version.to_owned(),
            subresource: subresource.unwrap_or_default().to_owned(),
        }
    }
}

/// By name; of one name the entries of sub-resources first, as in Kubernetes. Conflicts are listed in this
/// order, and entries of one second grow old in it.
impl Ord for ManagerId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.manager
            .cmp(&other.manager)
            .then_with(|| self.operation.cmp(&other.operation))
            .then_with(|| self.version.cmp(&other.version))
            .then_with(|| self.subresource.is_empty().cmp(&other.subresource.is_empty()))
            .then_with(|| self.subresource.cmp(&other.subresource))
    }
}

impl PartialOrd for ManagerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Entry {
    pub(crate) fn new(version: &str, fields: PathSet) -> Self {
        Self { version: version.to_owned(), time: None, fields, stored: None }
    }

    pub(crate) fn fields(&self) -> &PathSet {
        &self.fields
    }

    pub(crate) fn change_fields(&mut self, change: impl FnOnce(&mut PathSet)) {
        self.stored = None;
        change(&mut self.fields);
    }

    /// Owns exactly these fields from now on, in this version.
    pub(crate) fn own(&mut self, version: &str, fields: PathSet) {
        version.clone_into(&mut self.version);
        if self.fields != fields {
            self.change_fields(|own| *own = fields);
        }
    }

    /// Takes fields away.
    pub(crate) fn lose(&mut self, fields: &PathSet) {
        if self.fields.intersects(fields) {
            self.change_fields(|own| own.subtract(fields));
        }
    }
}

impl Managed {
    /// The entries of an object; none if it has no `managedFields`.
    pub(crate) fn of(object: &Value) -> Result<Self, String> {
        match object.pointer("/metadata/managedFields") {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Array(entries)) => {
                let mut managed = BTreeMap::new();
                for (index, entry) in entries.iter().enumerate() {
                    let (id, entry) = decode_entry(entry, index)?;
                    managed.insert(id, entry);
                }
                Ok(Self(managed))
            }
            Some(_) => Err("managedFields must be a list".to_owned()),
        }
    }

    /// The entries as `managedFields` lists them: appliers first, then by time, then by name.
    pub(crate) fn encode(&self) -> Value {
        let mut entries: Vec<(&ManagerId, &Entry)> = self.0.iter().collect();
        entries.sort_by_key(|(id, entry)| {
            (id.operation, seconds(entry.time.as_deref()), &id.manager, &entry.version, &id.subresource)
        });
        Value::Array(entries.into_iter().map(|(id, entry)| encode_entry(id, entry)).collect())
    }

    /// Merges the oldest updates, version by version, until no more than [`MAX_UPDATE_MANAGERS`] are left.
    pub(crate) fn cap_updates(&mut self) {
        let mut updates: Vec<ManagerId> =
            self.0.keys().filter(|id| id.operation == Operation::Update).cloned().collect();
        if updates.len() <= MAX_UPDATE_MANAGERS {
            return;
        }
        updates.sort_by_cached_key(|id| {
            (seconds(self.0.get(id).and_then(|entry| entry.time.as_deref())), id.clone())
        });
        let mut count = updates.len();
        let mut first_of_version: BTreeMap<String, ManagerId> = BTreeMap::new();
        for id in updates {
            if count <= MAX_UPDATE_MANAGERS {
                return;
            }
            let Some(version) = self.0.get(&id).map(|entry| entry.version.clone()) else { continue };
            let Some(first) = first_of_version.get(&version) else {
                first_of_version.insert(version, id);
                continue;
            };
            let bucket = ManagerId::new(ANCIENT, Operation::Update, &version, None);
            if id == bucket {
                continue;
            }
            if !self.0.contains_key(&bucket)
                && let Some(entry) = self.0.remove(first)
            {
                self.0.insert(bucket.clone(), entry);
            }
            if let (Some(newer), Some(entry)) = (self.0.remove(&id), self.0.get_mut(&bucket)) {
                entry.change_fields(|fields| fields.absorb(&newer.fields));
                entry.time = newer.time;
                count -= 1;
            }
        }
    }
}

/// The time as `managedFields` has it: whole seconds.
pub(crate) fn stamp(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Whether a written list asks for all ownership to be forgotten: `[]` or one empty entry.
pub(crate) fn is_reset(object: &Value) -> bool {
    match object.pointer("/metadata/managedFields") {
        Some(Value::Array(entries)) => match entries.as_slice() {
            [] => true,
            [entry] => entry.as_object().is_some_and(|entry| entry.values().all(Value::is_null)),
            _ => false,
        },
        _ => false,
    }
}

/// Replaces the object's `managedFields`; no entries leave no list.
pub(crate) fn write(object: &mut Value, managed: &Managed) {
    clear(object);
    if managed.0.is_empty() {
        return;
    }
    if let Value::Object(object) = object {
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(metadata) = metadata {
            metadata.insert("managedFields".to_owned(), managed.encode());
        }
    }
}

/// Removes the object's `managedFields`, so that they do not own themselves.
pub(crate) fn clear(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}

fn seconds(time: Option<&str>) -> i64 {
    time.and_then(|time| time.parse::<Timestamp>().ok()).map_or(0, Timestamp::as_second)
}

fn decode_entry(entry: &Value, index: usize) -> Result<(ManagerId, Entry), String> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let operation = match text("operation") {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    if text("apiVersion").is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match text("fieldsType") {
        "FieldsV1" => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
        other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
    }
    let stored = entry.get("fieldsV1").filter(|fields| !fields.is_null()).cloned();
    let fields = match &stored {
        None => PathSet::new(),
        Some(fields) => fields_v1::decode(fields).map_err(|e| format!("error decoding set: {e}"))?,
    };
    let version = text("apiVersion").to_owned();
    let mut id = ManagerId::new(text("manager"), operation, &version, Some(text("subresource")));
    text("manager").clone_into(&mut id.manager);
    let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
    Ok((id, Entry { version, time, fields, stored }))
}

fn encode_entry(id: &ManagerId, entry: &Entry) -> Value {
    let fields = entry.stored.clone().unwrap_or_else(|| fields_v1::encode(&entry.fields));
    let text = [
        ("manager", id.manager.as_str()),
        ("operation", id.operation.name()),
        ("apiVersion", &entry.version),
        ("time", entry.time.as_deref().unwrap_or_default()),
        ("fieldsType", "FieldsV1"),
        ("subresource", &id.subresource),
    ];
    text.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), Value::String(value.to_owned())))
        .chain([("fieldsV1".to_owned(), fields)])
        .collect()
}
