//! Update, patch and apply.

use std::sync::Arc;

use serde_json::Value;

use super::{
    CONFLICT_RETRIES, Input, Target, Written,
    body::{decode_json, decode_yaml},
    create::{check_kind, check_namespace, name_mismatch},
    draft, meta, stamp, storage, strict, unstored,
};
use crate::{
    Cause, Change, Expect, Object, Status,
    apply::{self, ApplyError, ApplyRequest},
    cluster::Inner,
    http::query::WriteOptions,
    patch::{self, PatchError, go_format},
    registry::{keep, text},
};

/// The kinds of patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// By the merge keys of built-in kinds.
    Strategic,
    /// Server-side apply.
    Apply,
}

/// An object as a client wants it.
struct Proposal {
    value: Value,
    /// Managed fields are up to date.
    tracked: bool,
    /// The client named the version that it wants to change.
    pinned: bool,
    /// The client sent the whole object, whose uid is then a precondition.
    replaces: bool,
    warnings: Vec<String>,
}

impl PatchKind {
    /// The kind of patch that a media type names.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        Some(match media_type {
            "application/json-patch+json" => Self::Json,
            "application/merge-patch+json" => Self::Merge,
            "application/strategic-merge-patch+json" => Self::Strategic,
            "application/apply-patch+yaml" => Self::Apply,
            _ => return None,
        })
    }
}

impl Inner {
    /// Replaces an object by a request body.
    pub(crate) fn update(&self, target: &Target<'_>, input: Input) -> Result<Written, Status> {
        let Input { mut value, duplicates } = input;
        check_kind(target.resource, &mut value)?;
        let (kind, version) = (&target.resource.kind, &target.resource.version);
        let warnings = strict(target, &mut value, &duplicates, |_, problem| {
            Status::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: {problem}"
            ))
        })?;
        target.check_types(&value)?;
        let name = text(&value, "/metadata/name");
        if name != &*target.key.name {
            return Err(name_mismatch(name, &target.key.name));
        }
        check_namespace(target, &mut value)?;
        let rules = target.rules();
        let asked = text(&value, "/metadata/resourceVersion").to_owned();
        let unpinned = matches!(asked.as_str(), "" | "0");
        if self.live(target.resource, &target.key)?.is_none() {
            if !rules.create_on_update || target.subresource.is_some() {
                return Err(target.not_found());
            }
            let mut written = self.insert(target, value, false)?;
            written.warnings = warnings;
            return Ok(written);
        }
        if unpinned && !rules.unconditional_update {
            let cause = Cause {
                reason: "FieldValueInvalid".to_owned(),
                message: "Invalid value: 0: must be specified for an update".to_owned(),
                field: "metadata.resourceVersion".to_owned(),
            };
            let resource = target.resource;
            // Of the resource: this is found where no kind is known.
            return Err(Status::invalid(&resource.group, &resource.plural, &target.key.name, vec![cause]));
        }
        self.modify(target, &|_| {
            let (value, warnings) = (value.clone(), warnings.clone());
            Ok(Proposal { value, tracked: false, pinned: !unpinned, replaces: true, warnings })
        })
    }

    /// Patches an object. An apply creates it if it does not exist.
    pub(crate) fn patch(&self, target: &Target<'_>, kind: PatchKind, body: &[u8]) -> Result<Written, Status> {
        match kind {
            PatchKind::Apply => self.apply(target, body),
            PatchKind::Strategic if target.resource.custom => {
                Err(Status::unsupported_media_type(&super::CUSTOM_PATCHES))
            }
            PatchKind::Json => self.patch_with(target, &[], None, &|live| patch::json(live, body)),
            PatchKind::Merge => {
                let Input { value, duplicates } = decode_patch(body, "error decoding patch: ")?;
                self.patch_with(target, &duplicates, Some(&value), &|live| patch::merge(live, &value))
            }
            PatchKind::Strategic => {
                let Input { value, duplicates } = decode_patch(body, "")?;
                let schema = &target.resource.schema;
                self.patch_with(target, &duplicates, Some(&value), &|live| {
                    patch::strategic(live, &value, schema)
                })
            }
        }
    }

    fn patch_with(
        &self,
        target: &Target<'_>,
        duplicates: &[String],
        document: Option<&Value>,
        patched: &dyn Fn(&Value) -> Result<Value, PatchError>,
    ) -> Result<Written, Status> {
        // A version inside the patch is a condition; one that comes from the live object is not.
        let pinned = document.is_some_and(|patch| !text(patch, "/metadata/resourceVersion").is_empty());
        self.modify(target, &|live| {
            let mut value = patched(live).map_err(|error| patch_status(&error))?;
            check_patched_kind(target, &mut value)?;
            let warnings =
                strict(target, &mut value, duplicates, |before, problem| unreadable(before, &problem))?;
            if let Some(problem) = target.mismatch(&value) {
                return Err(unreadable(&value, &problem));
            }
            let name = text(&value, "/metadata/name");
            if name != &*target.key.name {
                return Err(name_mismatch(name, &target.key.name));
            }
            check_namespace(target, &mut value)?;
            Ok(Proposal { value, tracked: false, pinned, replaces: false, warnings })
        })
    }

    fn apply(&self, target: &Target<'_>, body: &[u8]) -> Result<Written, Status> {
        let WriteOptions { manager, force, .. } = target.options;
        let Input { value, duplicates } = decode_yaml(body)?;
        check_applied(target, &value)?;
        let uid = text(&value, "/metadata/uid").to_owned();
        let pinned = !text(&value, "/metadata/resourceVersion").is_empty();
        let problems = strict_duplicates(target, &duplicates)?;
        let version = target.resource.api_version();
        let merged = |live: Option<&Value>| {
            let endpoint = target.endpoint(&version);
            let now = self.time();
            let request = ApplyRequest { endpoint, live, applied: &value, manager, force: *force, now };
            let mut merged = apply::apply(&request).map_err(|error| apply_status(&error))?;
            check_namespace(target, &mut merged)?;
            Ok::<_, Status>(merged)
        };
        if self.live(target.resource, &target.key)?.is_none() {
            if target.subresource.is_some() {
                return Err(target.not_found());
            }
            if !uid.is_empty() {
                let why = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(Status::conflict(&target.resource.group_resource(), &target.key.name, &why));
            }
            match self.insert(target, merged(None)?, true) {
                // Somebody else created it just now: apply to that.
                Err(status) if status.reason == "AlreadyExists" => {}
                other => return other.map(|written| Written { warnings: problems, ..written }),
            }
        }
        self.modify(target, &|live| {
            let value = merged(Some(live))?;
            Ok(Proposal { value, tracked: true, pinned, replaces: false, warnings: problems.clone() })
        })
    }

    /// Reads, changes and writes, again if somebody else wrote in between.
    fn modify(
        &self,
        target: &Target<'_>,
        change: &dyn Fn(&Value) -> Result<Proposal, Status>,
    ) -> Result<Written, Status> {
        for _ in 0..CONFLICT_RETRIES {
            let (object, live) =
                self.live(target.resource, &target.key)?.ok_or_else(|| target.not_found())?;
            let proposal = change(&live)?;
            let pinned = proposal.pinned;
            let moved = || {
                let now = self.store.get(&target.resource.stored_as, &target.key);
                now.is_ok_and(|now| now.is_some_and(|now| now.version != object.version))
            };
            match self.replace(target, &object, &live, proposal) {
                Err(status) if status.reason == "Conflict" && !pinned && moved() => {}
                other => return other,
            }
        }
        Err(Status::modified(&target.resource.group_resource(), &target.key.name))
    }

    /// Writes a proposal over the object that it was made from.
    fn replace(
        &self,
        target: &Target<'_>,
        object: &Arc<Object>,
        live: &Value,
        proposal: Proposal,
    ) -> Result<Written, Status> {
        let Proposal { value: mut new, tracked, pinned: _, replaces, warnings } = proposal;
        if new == *live {
            return Ok(Written { object: object.clone(), created: false, warnings });
        }
        let resource = target.resource;
        let (rules, now) = (target.rules(), self.time());
        check_preconditions(target, object, &new, replaces)?;
        meta::normalize(&mut new);
        target.tidy(&mut new);
        meta::preserve(&mut new, live);
        target.apply_defaults(&mut new);
        if !tracked {
            target.track(Some(live), &mut new, now);
        }
        if resource.custom {
            new = settle_custom(resource.status, target.subresource, new, live);
        } else {
            (rules.prepare_update)(&mut new, live, target.subresource);
        }
        storage::date_phase(resource, &mut new, Some(live), &stamp(now));
        if rules.generation && meta::desired_state_differs(resource, &new, live) {
            let generation = live["metadata"]["generation"].as_i64().unwrap_or_default();
            new["metadata"]["generation"] = (generation + 1).into();
            if &*resource.plural == "customresourcedefinitions" && !resource.custom {
                new["status"] = self.accept_definition(&new, &stamp(now));
            }
        }
        let (problems, warned) = target.problems(&new, Some(live));
        target.check(&target.key.name, &problems).map_err(|status| status.warning(warnings.clone()))?;
        self.admit_expansion(target, &new, live)?;
        let written = |object| {
            let warnings = warnings.iter().chain(&warned).cloned().collect();
            Written { object, created: false, warnings }
        };
        if differ_in_ownership_only(&new, live) {
            apply::keep_times(live, &mut new);
        }
        new["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        if new == *live {
            return Ok(written(object.clone()));
        }
        let expect = Expect::Version(object.version);
        if released(&new) && !target.options.dry_run {
            // Watchers see the object as it was stored last, the client as it wanted it.
            let last = Change::Delete(draft(resource, live.clone()));
            let gone = self.commit(resource, &target.key, expect, last)?;
            return Ok(written(unstored(&target.key, gone.version, draft(resource, new))));
        }
        Ok(written(self.put(target, expect, new)?))
    }
}

/// The version and uid that a body names must be those of the object.
fn check_preconditions(
    target: &Target<'_>,
    object: &Object,
    new: &Value,
    replaces: bool,
) -> Result<(), Status> {
    let resource = target.resource.group_resource();
    let uid = text(new, "/metadata/uid");
    if replaces && !uid.is_empty() && uid != &*object.uid {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", object.uid);
        return Err(Status::conflict(&resource, &target.key.name, &why));
    }
    match text(new, "/metadata/resourceVersion") {
        "" | "0" => Ok(()),
        version if version.parse::<u64>().is_err() => {
            Err(Status::bad_request(format!("invalid resource version {version:?}")))
        }
        version if version == object.version.to_string() => Ok(()),
        _ => Err(Status::modified(&resource, &target.key.name)),
    }
}

/// Whether two objects are the same but for managed fields and the version that one of them may lack.
fn differ_in_ownership_only(new: &Value, live: &Value) -> bool {
    let same = |new: &Value, live: &Value, apart: &[&str]| match (new, live) {
        (Value::Object(new), Value::Object(live)) => new
            .keys()
            .chain(live.keys())
            .all(|key| apart.contains(&key.as_str()) || new.get(key) == live.get(key)),
        _ => false,
    };
    same(&new["metadata"], &live["metadata"], &["managedFields", "resourceVersion"])
        && same(new, live, &["metadata"])
}

/// Whether nothing holds a deleted object any more.
fn released(object: &Value) -> bool {
    let metadata = &object["metadata"];
    let waits = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() > 0;
    let kept = object.get("kind").is_some_and(|kind| kind == "Namespace")
        && object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    !metadata["deletionTimestamp"].is_null() && meta::finalizers(object).is_empty() && !waits && !kept
}

/// An update of a custom resource leaves its status alone; one of its status leaves everything else.
fn settle_custom(has_status: bool, subresource: Option<&str>, mut new: Value, live: &Value) -> Value {
    if !has_status {
        return new;
    }
    if subresource != Some("status") {
        keep(&mut new, live, "status");
        return new;
    }
    let mut settled = live.clone();
    keep(&mut settled, &new, "status");
    keep(&mut settled["metadata"], &new["metadata"], "managedFields");
    settled
}

fn strict_duplicates(target: &Target<'_>, duplicates: &[String]) -> Result<Vec<String>, Status> {
    let mut nothing = Value::Null;
    strict(target, &mut nothing, duplicates, |_, problem| Status::bad_request(problem))
}

fn patch_status(error: &PatchError) -> Status {
    let code = http::StatusCode::from_u16(error.code()).unwrap_or(http::StatusCode::BAD_REQUEST);
    let mut status = Status::new(code, error.reason(), error.message());
    // Kubernetes does not say which patch of which object it was that did not fit.
    status.details.shown = code == http::StatusCode::UNPROCESSABLE_ENTITY;
    status.details.causes.extend(error.cause().as_ref().map(cause_of));
    status
}

/// Reads a merge patch.
fn decode_patch(body: &[u8], prefix: &str) -> Result<Input, Status> {
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        return Err(Status::bad_request(format!("{prefix}{}", go_format::json_error(&error))));
    }
    decode_json(body)
}

/// 422 for an object that cannot be read any more once it is patched.
fn unreadable(document: &Value, problem: &str) -> Status {
    let cause = Cause {
        reason: "FieldValueInvalid".to_owned(),
        message: format!("Invalid value: {:?}: {problem}", document.to_string()),
        field: "patch".to_owned(),
    };
    Status::invalid("", "", "", vec![cause])
}

/// A patch leaves apiVersion and kind as they are.
fn check_patched_kind(target: &Target<'_>, value: &mut Value) -> Result<(), Status> {
    let resource = target.resource;
    let (kind, version) = (text(value, "/kind"), text(value, "/apiVersion"));
    let same = (kind.is_empty() || kind == &*resource.kind)
        && (version.is_empty() || version == resource.api_version());
    if !resource.custom && !same {
        let problem = format!("no kind {kind:?} is registered for version {version:?}");
        return Err(unreadable(value, &problem));
    }
    check_kind(resource, value)
}

/// An applied configuration names the object that it is applied to.
fn check_applied(target: &Target<'_>, value: &Value) -> Result<(), Status> {
    let (resource, url) = (target.resource, &*target.key.name);
    if !value.is_object() {
        let problem = go_format::cannot_unmarshal(value, "map[string]interface {}");
        return Err(Status::bad_request(format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: {problem}"
        )));
    }
    let (kind, version) = (text(value, "/kind"), text(value, "/apiVersion"));
    if kind != &*resource.kind || (!resource.custom && version != resource.api_version()) {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        return Err(Status::bad_request(format!("invalid object type: {group}/{version}, Kind={kind}")));
    }
    match text(value, "/metadata/name") {
        "" => {
            return Err(Status::bad_request(format!(
                "the name of the object ({url} based on URL) was undeterminable: name must be provided"
            )));
        }
        name if name != url => return Err(name_mismatch(name, url)),
        _ => {}
    }
    match (target.key.namespace.as_deref(), text(value, "/metadata/namespace")) {
        (Some(expected), given) if !given.is_empty() && given != expected => Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
        _ => Ok(()),
    }
}

fn apply_status(error: &ApplyError) -> Status {
    let code = http::StatusCode::from_u16(error.code()).unwrap_or(http::StatusCode::BAD_REQUEST);
    let mut status = Status::new(code, error.reason(), error.to_string());
    status.details.causes = error.causes().iter().map(cause_of).collect();
    status
}

fn cause_of(cause: &Value) -> Cause {
    Cause {
        reason: text(cause, "/reason").to_owned(),
        message: text(cause, "/message").to_owned(),
        field: text(cause, "/field").to_owned(),
    }
}
