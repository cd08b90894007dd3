//! Update, patch and apply.

use std::sync::Arc;

use serde_json::Value;

use super::{
    CONFLICT_RETRIES, Input, Target, Written,
    body::{decode_json, decode_yaml},
    create::{check_kind, check_namespace, name_mismatch},
    draft, meta, stamp, strict,
};
use crate::{
    Cause, Change, Expect, Object, Status,
    apply::{self, ApplyError, ApplyRequest},
    cluster::Inner,
    http::query::WriteOptions,
    patch::{self, PatchError},
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
            Ok(Proposal { value, tracked: false, pinned: !unpinned, warnings })
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
                let Input { value, duplicates } = decode_json(body)?;
                self.patch_with(target, &duplicates, Some(&value), &|live| patch::merge(live, &value))
            }
            PatchKind::Strategic => {
                let Input { value, duplicates } = decode_json(body)?;
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
            let mut value = patched(live).map_err(|error| patch_status(target, &error))?;
            check_kind(target.resource, &mut value)?;
            let warnings = strict(target, &mut value, duplicates, |before, problem| {
                let cause = Cause {
                    reason: "FieldValueInvalid".to_owned(),
                    message: format!("Invalid value: {:?}: {problem}", before.to_string()),
                    field: "patch".to_owned(),
                };
                Status::invalid("", "", "", vec![cause])
            })?;
            Ok(Proposal { value, tracked: false, pinned, warnings })
        })
    }

    fn apply(&self, target: &Target<'_>, body: &[u8]) -> Result<Written, Status> {
        let WriteOptions { manager, force, .. } = target.options;
        let Input { mut value, duplicates } = decode_yaml(body)?;
        if !value.is_object() {
            return Err(Status::bad_request("error decoding YAML: the body is not an object"));
        }
        let name = text(&value, "/metadata/name");
        if !name.is_empty() && name != &*target.key.name {
            return Err(name_mismatch(name, &target.key.name));
        }
        check_namespace(target, &mut value)?;
        value["metadata"]["name"] = (*target.key.name).into();
        let expected = target.resource.kind.as_ref();
        if text(&value, "/kind") != expected {
            let given = text(&value, "/kind");
            return Err(Status::bad_request(format!(
                "the kind in the data ({given}) does not match the expected kind ({expected})"
            )));
        }
        let pinned = !text(&value, "/metadata/resourceVersion").is_empty();
        let problems = strict_duplicates(target, &duplicates)?;
        let version = target.resource.api_version();
        let merged = |live: Option<&Value>| {
            let endpoint = target.endpoint(&version);
            let now = self.time();
            let request = ApplyRequest { endpoint, live, applied: &value, manager, force: *force, now };
            apply::apply(&request).map_err(|error| apply_status(target, &error))
        };
        if self.live(target.resource, &target.key)?.is_none() {
            if target.subresource.is_some() {
                return Err(target.not_found());
            }
            if pinned || !text(&value, "/metadata/uid").is_empty() {
                return Err(Status::modified(&target.resource.group_resource(), &target.key.name));
            }
            match self.insert(target, merged(None)?, true) {
                // Somebody else created it just now: apply to that.
                Err(status) if status.reason == "AlreadyExists" => {}
                other => return other.map(|written| Written { warnings: problems, ..written }),
            }
        }
        self.modify(target, &|live| {
            let value = merged(Some(live))?;
            Ok(Proposal { value, tracked: true, pinned, warnings: problems.clone() })
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
        let Proposal { value: mut new, tracked, pinned: _, warnings } = proposal;
        if new == *live {
            return Ok(Written { object: object.clone(), created: false, warnings });
        }
        let resource = target.resource;
        let (rules, now) = (target.rules(), self.time());
        check_preconditions(target, object, &new)?;
        meta::normalize(&mut new);
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
        if rules.generation && meta::desired_state_differs(resource, &new, live) {
            let generation = live["metadata"]["generation"].as_i64().unwrap_or_default();
            new["metadata"]["generation"] = (generation + 1).into();
            if &*resource.plural == "customresourcedefinitions" && !resource.custom {
                new["status"] = self.accept_definition(&new, &stamp(now));
            }
        }
        let (problems, warned) = target.problems(&new, Some(live));
        target.check(&target.key.name, &problems).map_err(|status| status.warning(warnings.clone()))?;
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
            let last = draft(resource, new);
            return Ok(written(self.commit(resource, &target.key, expect, Change::Delete(last))?));
        }
        Ok(written(self.put(target, expect, new)?))
    }
}

/// The version and uid that a body names must be those of the object.
fn check_preconditions(target: &Target<'_>, object: &Object, new: &Value) -> Result<(), Status> {
    let resource = target.resource.group_resource();
    let uid = text(new, "/metadata/uid");
    if !uid.is_empty() && uid != &*object.uid {
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

fn patch_status(target: &Target<'_>, error: &PatchError) -> Status {
    let code = http::StatusCode::from_u16(error.code()).unwrap_or(http::StatusCode::BAD_REQUEST);
    let mut status = Status::new(code, error.reason(), error.message());
    if let Some(cause) = error.cause() {
        status.details.name = target.key.name.to_string();
        status.details.causes.push(cause_of(&cause));
    }
    status
}

fn apply_status(target: &Target<'_>, error: &ApplyError) -> Status {
    let code = http::StatusCode::from_u16(error.code()).unwrap_or(http::StatusCode::BAD_REQUEST);
    let mut status = Status::new(code, error.reason(), error.to_string());
    let _ = target;
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
