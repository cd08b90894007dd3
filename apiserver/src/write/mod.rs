//! Writes: from a decoded body to a commit.
//!
//! Every write goes the same way: take the object as the client wants it, put back what clients may not touch, fill in
//! defaults, record who owns what, validate, and commit against the version that was read.

mod body;
mod create;
mod delete;
mod meta;
mod pods;
mod scale;
mod storage;
mod update;

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) use body::{CUSTOM_PATCHES, Input, decode, media_type};
pub(crate) use delete::{DeleteOptions, Propagation};
pub(crate) use meta::{FOREGROUND, ORPHAN};
pub(crate) use scale::scale_of;
pub(crate) use update::PatchKind;

use crate::{
    Body, Change, Commit, CommitError, Draft, Expect, Key, Labels, Object, Resource, Status,
    apply::{Endpoint, UpdateRequest, track_update},
    builtin,
    cluster::Inner,
    convert,
    http::query::{FieldValidation, WriteOptions},
    registry::{Rules, pods::resize},
    schema::FieldError,
};

/// How often a write that lost a race against another is tried again, where the client left the choice to us.
const CONFLICT_RETRIES: usize = 5;

/// The sub-resource through which the amounts of a running pod's containers change.
pub(crate) const RESIZE: &str = "resize";

/// What is written to.
pub(crate) struct Target<'a> {
    pub(crate) resource: &'a Arc<Resource>,
    /// The name is empty while it is still to be generated.
    pub(crate) key: Key,
    pub(crate) subresource: Option<&'a str>,
    pub(crate) options: &'a WriteOptions,
}

/// What a write did.
pub(crate) struct Written {
    pub(crate) object: Arc<Object>,
    pub(crate) created: bool,
    pub(crate) warnings: Vec<String>,
}

impl Target<'_> {
    fn rules(&self) -> Rules {
        Rules::of(self.resource)
    }

    fn not_found(&self) -> Status {
        Status::not_found(&self.resource.group_resource(), &self.key.name)
    }

    /// Where the write comes in, for the record of who owns what.
    fn endpoint<'b>(&'b self, api_version: &'b str) -> Endpoint<'b> {
        let ignored: &[&[&str]] = match self.subresource {
            Some("status") => &[&["spec"]],
            Some("finalize") => &[&["status"]],
            None if self.resource.status => &[&["status"]],
            _ => &[],
        };
        Endpoint {
            version: api_version,
            subresource: self.subresource,
            schema: &self.resource.schema,
            ignored,
        }
    }

    /// Records the target's field manager in an object that is about to be written.
    fn track(&self, old: Option<&Value>, new: &mut Value, now: Timestamp) {
        let version = self.resource.api_version();
        let endpoint = self.endpoint(&version);
        track_update(&UpdateRequest { endpoint, old, manager: &self.options.manager, now }, new);
    }

    /// Takes a built-in kind to what reading it into its Go type makes of it.
    fn tidy(&self, value: &mut Value) {
        if !self.resource.custom && &*self.resource.group != "apiextensions.k8s.io" {
            // An empty list of managed fields is a wish: that they be forgotten.
            let managed = value["metadata"].as_object_mut().and_then(|meta| meta.remove("managedFields"));
            builtin::tidy(&self.resource.schema, value);
            if let Some(managed) = managed {
                value["metadata"]["managedFields"] = managed;
            }
        }
    }

    /// Why a built-in kind cannot be read at all: a field has another type.
    fn mismatch(&self, value: &Value) -> Option<String> {
        let resource = self.resource;
        if resource.custom { None } else { builtin::mismatch(&resource.schema, &resource.kind, value) }
    }

    /// 400 for a body that cannot be read.
    fn check_types(&self, value: &Value) -> Result<(), Status> {
        let (kind, version) = (&self.resource.kind, &self.resource.version);
        match self.mismatch(value) {
            None => Ok(()),
            Some(problem) => Err(Status::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: {problem}"
            ))),
        }
    }

    /// Fills in defaults.
    fn apply_defaults(&self, value: &mut Value) {
        self.resource.schema.apply_defaults(value);
        if !self.resource.custom {
            builtin::default(&self.resource.group, &self.resource.kind, value);
        }
    }

    /// Everything that is wrong with an object on its own, or in what it changes of an old one, and what is to be
    /// warned of.
    fn problems(&self, new: &Value, old: Option<&Value>) -> (Vec<FieldError>, Vec<String>) {
        let (resource, rules) = (self.resource, self.rules());
        let mut errors = meta::validate(new, rules.name);
        if matches!(&*resource.group, "" | "apps" | "autoscaling" | "storage.k8s.io") && !resource.custom {
            errors.extend(meta::validate_builtin_finalizers(new));
        }
        let mut of_types = match self.subresource {
            // One that was taken away is no status.
            Some("status") if resource.custom && new["status"].is_null() => Vec::new(),
            // A status is checked alone, by its own part of the schema.
            Some("status") if resource.custom => {
                let (new, old) = (&new["status"], old.map(|old| &old["status"]));
                let found = resource.schema.child("status").validate(new, old);
                found.into_iter().map(|error| error.below("status")).collect()
            }
            _ => resource.schema.validate(new, old),
        };
        if let Some(paths) = resource.scale.as_ref().filter(|_| resource.custom) {
            of_types.extend(scale::problems(paths, new, self.subresource == Some("status")));
        }
        if resource.custom {
            resource
                .schema
                .embedded(new, "", &mut |path, embedded| of_types.extend(meta::embedded(path, embedded)));
        }
        let findings = resource.schema.rules_after(&of_types, new, old);
        // Further rules assume that the types are right.
        let readable = of_types.is_empty() && findings.errors.is_empty();
        errors.extend(of_types);
        errors.extend(findings.errors);
        if readable && self.subresource != Some("status") {
            errors.extend((rules.validate)(new));
            if !resource.custom {
                errors.extend(builtin::validate(&resource.group, &resource.kind, new));
            }
        }
        if let Some(old) = old {
            // Kubernetes checks this twice, and lists what it finds as often.
            let of_metadata = meta::validate_update(new, old);
            errors.extend(of_metadata.clone());
            errors.extend(of_metadata);
            errors.extend(match self.subresource {
                Some(RESIZE) => resize::validate(new, old),
                _ => (rules.validate_update)(new, old),
            });
        }
        (errors, findings.warnings)
    }

    /// 422 when anything is wrong.
    fn check(&self, name: &str, errors: &[FieldError]) -> Result<(), Status> {
        if errors.is_empty() {
            return Ok(());
        }
        Err(Status::invalid_fields(&self.resource.group, &self.resource.kind, name, errors))
    }
}

impl Inner {
    /// The time of day.
    pub(crate) fn time(&self) -> Timestamp {
        (self.config.now)()
    }

    /// A number that was not given out before.
    fn unique(&self) -> u64 {
        self.unique.fetch_add(1, Ordering::Relaxed)
    }

    /// Sixteen bytes that depend on the cluster's seed and name and on how many were given out before.
    fn unique_bytes(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        hash.update(self.config.seed.to_le_bytes());
        hash.update(self.config.name.as_bytes());
        hash.update(self.unique().to_le_bytes());
        let digest = hash.finalize();
        std::array::from_fn(|at| digest[at])
    }

    /// A uid in the form of a random UUID.
    fn uid(&self) -> String {
        let mut bytes = self.unique_bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let text = hex::encode(bytes);
        [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
    }

    /// The suffix of a generated name.
    fn suffix(&self) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.unique_bytes().iter().take(5).map(|b| ALPHABET[*b as usize % ALPHABET.len()] as char).collect()
    }

    /// An object and its JSON as its resource serves it.
    pub(crate) fn live(
        &self,
        resource: &Resource,
        key: &Key,
    ) -> Result<Option<(Arc<Object>, Value)>, Status> {
        let Some(object) = self.store.get(&resource.stored_as, key)? else { return Ok(None) };
        let value = serde_json::from_slice(&object.body.bytes()).map_err(Status::internal)?;
        Ok(Some((object, convert::value_to_served(resource, value))))
    }

    /// Commits an object as a resource serves it. With `dry_run` nothing is stored, and the answer is what would have been.
    fn put(&self, target: &Target<'_>, expect: Expect, value: Value) -> Result<Arc<Object>, Status> {
        let draft = draft(target.resource, value);
        if target.options.dry_run {
            return self.rehearse(target, expect, draft);
        }
        Ok(self.commit(target.resource, &target.key, expect, Change::Put(draft))?)
    }

    /// Commits to the store and tells those who work in the background.
    pub(crate) fn commit(
        &self,
        resource: &Resource,
        key: &Key,
        expect: Expect,
        change: Change,
    ) -> Result<Arc<Object>, CommitError> {
        let deletes = matches!(change, Change::Delete(_));
        let commit = Commit { resource: &resource.stored_as, key, expect, change };
        let object = self.lifecycle.commit(&*self.store, commit, deletes)?;
        if &*resource.plural == "customresourcedefinitions" && !resource.custom {
            self.refresh_definitions();
        }
        Ok(object)
    }

    fn rehearse(&self, target: &Target<'_>, expect: Expect, draft: Draft) -> Result<Arc<Object>, Status> {
        let found = self.store.get(&target.resource.stored_as, &target.key)?.map(|object| object.version);
        let version = match expect {
            Expect::Absent if found.is_none() => 0,
            Expect::Version(version) if found == Some(version) => version,
            _ => {
                let (resource, key) = (target.resource.group_resource(), target.key.clone());
                return Err(CommitError::Conflict { resource, key }.into());
            }
        };
        Ok(unstored(&target.key, version, draft))
    }
}

/// What is answered for an object that is not stored, or not like this.
fn unstored(key: &Key, version: u64, draft: Draft) -> Arc<Object> {
    Arc::new(Object {
        key: key.clone(),
        version,
        uid: draft.uid,
        labels: draft.labels,
        fields: draft.fields,
        owners: draft.owners,
        deleting: draft.deleting,
        body: Body::Raw(Bytes::from(draft.value.to_string())),
    })
}

/// What is stored of an object: the object, and the index that selectors and garbage collection read.
pub(crate) fn draft(resource: &Resource, served: Value) -> Draft {
    let value = convert::value_to_stored(resource, served);
    let metadata = &value["metadata"];
    let fields = resource.selectable.iter().filter_map(|field| {
        let stored = convert::stored_field(resource, field);
        let found = value.pointer(&format!("/{}", stored.replace('.', "/")))?;
        let text = match found {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => found.to_string(),
            _ => return None,
        };
        Some((stored, text))
    });
    let fields: Labels = match &value["source"]["component"] {
        // The field selector `source` of events means the component.
        Value::String(component) => fields.chain([("source".to_owned(), component.clone())]).collect(),
        _ => fields.collect(),
    };
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    Draft {
        uid: metadata["uid"].as_str().unwrap_or_default().into(),
        labels: Labels::from_json(metadata.get("labels")),
        fields,
        owners: owners.filter_map(|owner| owner["uid"].as_str().map(Arc::from)).collect(),
        deleting: !metadata["deletionTimestamp"].is_null(),
        value,
    }
}

/// Whole seconds, as metadata has them.
pub(crate) fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Drops fields that the schema does not know. By the client's wish that is an error, a warning or nothing.
fn strict(
    target: &Target<'_>,
    value: &mut Value,
    duplicates: &[String],
    fail: impl Fn(&Value, String) -> Status,
) -> Result<Vec<String>, Status> {
    let before = (target.options.validation == FieldValidation::Strict).then(|| value.clone());
    let mut problems: Vec<String> =
        target.resource.schema.prune(value).iter().map(|path| format!("unknown field {path:?}")).collect();
    problems.extend(duplicates.iter().map(|path| format!("duplicate field {path:?}")));
    match (target.options.validation, before) {
        (FieldValidation::Strict, Some(before)) if !problems.is_empty() => {
            Err(fail(&before, format!("strict decoding error: {}", problems.join(", "))))
        }
        (FieldValidation::Warn, _) => Ok(problems),
        _ => Ok(Vec::new()),
    }
}
