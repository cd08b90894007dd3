//! Server-side apply: field ownership, structured merge, and `metadata.managedFields`.
//!
//! [`apply`] answers an apply patch; [`track_update`] records who changed what in every other write. Both are
//! pure: they take the stored object and the time, and return the object to store. Around them the caller
//! decodes, prunes, applies defaults, checks names, validates and stores:
//!
//! 1. `apply` (or a patch, or a body) gives the new object,
//! 2. defaults are applied to it,
//! 3. for everything but apply, `track_update` follows,
//! 4. the fields that the endpoint ignores are reset to what is stored,
//! 5. [`keep_times`] undoes a change of times that would be the only change.
//!
//! Messages, status codes, `managedFields` and merged objects are those of a kube-apiserver (1.34), with these
//! differences:
//!
//! - Who creates or updates a built-in object also owns the maps it made (`f:spec: {".": {}}`), as is so for
//!   custom resources. Kubernetes leaves those out that its code declares as plain structs.
//! - An apply that gives nothing up removes nothing. Kubernetes then still removes an object that holds but
//!   an empty associative list.
//! - Merging old updates into [`ANCIENT`] never forgets fields.
//! - Entries of other versions are taken as they are; there are no conversions between versions.
//!
//! ```
//! use muster_apiserver::apply::{self, ApplyRequest, Endpoint};
//! use muster_apiserver::schema::Schema;
//! use serde_json::json;
//!
//! let schema = Schema::parse(&json!({"type": "object", "properties": {
//!     "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
//!     "spec": {"type": "object", "properties": {"replicas": {"type": "integer"}, "image": {"type": "string"}}},
//! }}))?;
//! let endpoint = Endpoint { version: "example.dev/v1", subresource: None, schema: &schema, ignored: &[&["status"]] };
//! let configuration = |spec| json!({"apiVersion": "example.dev/v1", "kind": "Game", "metadata": {"name": "a"}, "spec": spec});
//! let apply = |live, manager, spec| apply::apply(&ApplyRequest {
//!     endpoint, live, applied: &configuration(spec), manager, force: false, now: jiff::Timestamp::UNIX_EPOCH,
//! });
//!
//! let game = apply(None, "ann", json!({"replicas": 1}))?;
//! assert_eq!(game["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
//! let refused = apply(Some(&game), "bob", json!({"replicas": 2})).unwrap_err();
//! assert_eq!(refused.to_string(), r#"Apply failed with 1 conflict: conflict with "ann": .spec.replicas"#);
//! let game = apply(Some(&game), "bob", json!({"image": "v2"}))?;
//! assert_eq!(game["spec"], json!({"replicas": 1, "image": "v2"}));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod compare;
mod element;
mod error;
mod field_set;
mod fields_v1;
mod last_applied;
mod managed;
mod merge;
mod ownership;
mod set;
mod shape;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use check::{TypeError, TypeErrors};
pub use element::{Element, Scalar};
pub use error::{ApplyError, Conflict};
pub use fields_v1::{FieldsError, decode as decode_fields, encode as encode_fields};
pub use last_applied::LAST_APPLIED;
pub use managed::{ANCIENT, MAX_UPDATE_MANAGERS};
pub use set::{Path, PathSet};

use check::{Duplicates, check};
use managed::{Managed, ManagerId, Operation, clear, stamp, write};
use ownership::{Clashes, Write};
use shape::Shape;

use crate::schema::Schema;

/// The manager of whatever an object held before somebody applied to it, if nobody was recorded.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Where a write comes in: a kind's own endpoint or a sub-resource of it.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    /// The `apiVersion` that is written, such as `apps/v1`.
    pub version: &'a str,
    /// The sub-resource, such as `status` or `scale`.
    pub subresource: Option<&'a str>,
    /// The schema of the whole object.
    pub schema: &'a Schema,
    /// Paths of fields that this endpoint resets and that nobody therefore owns through it: `status` for a
    /// kind with a status sub-resource, `spec` for that sub-resource.
    pub ignored: &'a [&'a [&'a str]],
}

/// An apply patch.
#[derive(Debug, Clone, Copy)]
pub struct ApplyRequest<'a> {
    /// Where it comes in.
    pub endpoint: Endpoint<'a>,
    /// The stored object; none if it is to be created.
    pub live: Option<&'a Value>,
    /// The configuration to apply, with `apiVersion` and `kind`.
    pub applied: &'a Value,
    /// Who applies it.
    pub manager: &'a str,
    /// Whether to take fields that others own.
    pub force: bool,
    /// The time of the write.
    pub now: Timestamp,
}

/// A create, update or (other) patch, for the record of who changed what.
#[derive(Debug, Clone, Copy)]
pub struct UpdateRequest<'a> {
    /// Where it comes in.
    pub endpoint: Endpoint<'a>,
    /// The stored object; none for a create.
    pub old: Option<&'a Value>,
    /// Who writes.
    pub manager: &'a str,
    /// The time of the write.
    pub now: Timestamp,
}

/// Applies a configuration: merges it into the stored object, removes what the manager applied before and
/// no longer does (unless others own it), and records what it owns now.
///
/// The result carries `managedFields`. If the configuration changes nothing, the times in them are those
/// stored, so that storing the result changes nothing either.
pub fn apply(request: &ApplyRequest<'_>) -> Result<Value, ApplyError> {
    let endpoint = &request.endpoint;
    let applied = request.applied;
    check_version(applied, endpoint.version)?;
    if applied.pointer("/metadata/managedFields").is_some_and(|entries| !entries.is_null()) {
        return Err(ApplyError::ManagedFieldsSet);
    }
    let nothing = identity(applied);
    let live = request.live.unwrap_or(&nothing);
    let mut managed = Managed::of(live).map_err(ApplyError::BadManagedFields)?;
    let bare = without_managed_fields(live);

    let shape = Shape::new(endpoint.schema);
    check(shape, applied, Duplicates::Refused)
        .map_err(|errors| ApplyError::BadApplied { object: describe(applied), errors })?;
    check(shape, &bare, Duplicates::Allowed)
        .map_err(|errors| ApplyError::BadLive { object: describe(live), errors })?;

    let ignored = PathSet::of_fields(endpoint.ignored);
    let write_through = Write { shape, version: endpoint.version, ignored: &ignored };
    if managed.0.is_empty() {
        record(&write_through, endpoint, &mut managed, BEFORE_FIRST_APPLY, &nothing, &bare, request.now);
    }
    let manager = ManagerId::new(request.manager, Operation::Apply, endpoint.version, endpoint.subresource);
    let before = managed.0.get(&manager).and_then(|entry| entry.time.clone());
    let mut merged = merge_or_take_over(request, &write_through, &mut managed, &manager, &bare)
        .map_err(|clashes| ApplyError::Conflicts(error::conflicts(&clashes)))?;
    strip(&mut managed, &manager);
    let changed = !element::equal(&merged, &bare);
    if let Some(entry) = managed.0.get_mut(&manager) {
        entry.time = if changed { Some(stamp(request.now)) } else { before };
    }
    if request.manager == last_applied::KUBECTL {
        last_applied::refresh(&mut merged, applied);
    }
    write(&mut merged, &managed);
    Ok(merged)
}

/// Records in `new` who owns what after a create, an update or a patch, which is `new` itself.
///
/// The entries start from those in `new` (through a sub-resource from those stored), so that a client can
/// edit them; `[]` or `[{}]` forgets them all. Nothing here fails: entries that cannot be read are those
/// stored, and an object that does not fit the schema keeps its entries.
pub fn track_update(request: &UpdateRequest<'_>, new: &mut Value) {
    let endpoint = &request.endpoint;
    let stored = || request.old.and_then(|old| Managed::of(old).ok()).unwrap_or_default();
    let mut managed = if endpoint.subresource.is_some() {
        stored()
    } else if managed::is_reset(new) {
        Managed::default()
    } else {
        match Managed::of(new) {
            Ok(managed) if !managed.0.is_empty() => managed,
            _ => stored(),
        }
    };
    clear(new);
    // An object whose ownership was forgotten stays so until somebody applies to it.
    let exists = request.old.is_some_and(|old| old.pointer("/metadata/uid").is_some());
    if managed.0.is_empty() && exists {
        return;
    }
    let nothing = identity(new);
    let old = without_managed_fields(request.old.unwrap_or(&nothing));
    let shape = Shape::new(endpoint.schema);
    let readable = [&old, &*new].iter().all(|object| check(shape, object, Duplicates::Allowed).is_ok());
    if readable {
        let ignored = PathSet::of_fields(endpoint.ignored);
        let write_through = Write { shape, version: endpoint.version, ignored: &ignored };
        record(&write_through, endpoint, &mut managed, request.manager, &old, new, request.now);
    } else {
        managed = stored();
    }
    write(new, &managed);
}

/// Gives the entries of `new` the times of `old` if times are all that differs between the two, so that a
/// write that changes nothing is not one.
pub fn keep_times(old: &Value, new: &mut Value) {
    let (Ok(before), Ok(after)) = (Managed::of(old), Managed::of(new)) else { return };
    let same_fields = before.0.len() == after.0.len()
        && before.0.iter().zip(&after.0).all(|((left_id, left), (right_id, right))| {
            left_id == right_id && left.version == right.version && left.fields() == right.fields()
        });
    if !same_fields || before == after {
        return;
    }
    // The version of a new object is not its own yet.
    let content = |object: &Value| {
        let mut content = without_managed_fields(object);
        if let Some(Value::Object(metadata)) = content.get_mut("metadata") {
            metadata.remove("resourceVersion");
        }
        content
    };
    if content(old) == content(new) {
        write(new, &before);
    }
}

/// Applies; where only fields that client-side apply left are in the way, `kubectl` takes them.
fn merge_or_take_over(
    request: &ApplyRequest<'_>,
    write_through: &Write<'_>,
    managed: &mut Managed,
    manager: &ManagerId,
    live: &Value,
) -> Result<Value, Clashes> {
    if request.manager != last_applied::KUBECTL {
        return write_through.apply(managed, manager, live, request.applied, request.force);
    }
    let before = managed.clone();
    let clashes = match write_through.apply(managed, manager, live, request.applied, request.force) {
        Err(clashes) => clashes,
        merged => return merged,
    };
    let Some(left) = last_applied::fields(write_through.shape, live, request.endpoint.version) else {
        return Err(clashes);
    };
    let remaining: Clashes = clashes
        .into_iter()
        .map(|(id, fields)| (id, fields.difference(&left)))
        .filter(|(_, fields)| !fields.is_empty())
        .collect();
    if !remaining.is_empty() {
        return Err(remaining);
    }
    *managed = before;
    write_through.apply(managed, manager, live, request.applied, true)
}

/// Gives an updater what it changed, on top of what it owned.
fn record(
    write_through: &Write<'_>,
    endpoint: &Endpoint<'_>,
    managed: &mut Managed,
    manager: &str,
    old: &Value,
    new: &Value,
    now: Timestamp,
) {
    // Under a name that no manager has, so that what this write changed is told from what was owned before.
    let this_write = ManagerId {
        manager: String::new(),
        operation: Operation::Update,
        version: String::new(),
        subresource: String::new(),
    };
    write_through.update(managed, &this_write, old, new);
    strip(managed, &this_write);
    if let Some(mut entry) = managed.0.remove(&this_write) {
        let id = ManagerId::new(manager, Operation::Update, endpoint.version, endpoint.subresource);
        if let Some(previous) = managed.0.get(&id) {
            entry.change_fields(|fields| fields.absorb(previous.fields()));
        }
        // What came in as a Scale is recorded without a time.
        entry.time = Some(stamp(now)).filter(|_| endpoint.subresource != Some("scale"));
        managed.0.insert(id, entry);
    }
    managed.cap_updates();
}

/// Takes from a manager what nobody owns: the identity of an object and what the server sets.
fn strip(managed: &mut Managed, manager: &ManagerId) {
    const NOBODY: &[&[&str]] = &[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ];
    if let Some(entry) = managed.0.get_mut(manager) {
        entry.lose(&PathSet::of_fields(NOBODY));
        if entry.fields().is_empty() {
            managed.0.remove(manager);
        }
    }
}

fn check_version(applied: &Value, expected: &str) -> Result<(), ApplyError> {
    let version = applied.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if version == expected {
        Ok(())
    } else {
        Err(ApplyError::WrongVersion { applied: version.to_owned(), expected: expected.to_owned() })
    }
}

/// A copy of an object that does not own itself.
fn without_managed_fields(object: &Value) -> Value {
    let Value::Object(fields) = object else { return object.clone() };
    let copy = |name: &str, value: &Value| match value {
        Value::Object(metadata) if name == "metadata" => Value::Object(
            metadata
                .iter()
                .filter(|(name, _)| *name != "managedFields")
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        ),
        value => value.clone(),
    };
    Value::Object(fields.iter().map(|(name, value)| (name.clone(), copy(name, value))).collect())
}

/// An object of the same kind that holds nothing.
fn identity(object: &Value) -> Value {
    json!({"apiVersion": object.get("apiVersion"), "kind": object.get("kind")})
}

/// Namespace, name and kind as messages show them: `default/web; apps/v1, Kind=Deployment`.
fn describe(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let version = text("/apiVersion");
    let version = if version.contains('/') { version.to_owned() } else { format!("/{version}") };
    format!("{}/{}; {version}, Kind={}", text("/metadata/namespace"), text("/metadata/name"), text("/kind"))
}
