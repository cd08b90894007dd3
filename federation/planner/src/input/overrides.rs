//! `spec.overrides`: JSON patches for single clusters.
//!
//! Each is tried on the template when it is read, so that a path that leads nowhere is known before anything is planned,
//! and so that the planner knows which of them set the number of replicas.

use std::collections::btree_map::{BTreeMap, Entry};

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchErrorKind, PatchOperation, RemoveOperation, ReplaceOperation};
use muster_crds::ClusterName;
use muster_crds::types_kubefed::{ClusterOverrides, OverrideItem, OverrideOperation};
use serde_json::{Value, json};

use super::numbers::{self, quoted};
use crate::error::{InputError, Problem, Subject};
use crate::model::{FederatedObject, Override};
use crate::render::{IDENTITY_METADATA, NEVER_SENT_METADATA};

/// Two numbers of replicas to try an override with. What comes out the same for both was set by the override.
const PROBES: [u32; 2] = [3, 4];

/// Reads the overrides of an object whose template is ready to be rendered.
pub(super) fn read(subject: &Subject, object: &mut FederatedObject, source: &[ClusterOverrides]) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, entry) in source.iter().enumerate() {
        let Ok(name) = ClusterName::new(&entry.cluster_name) else {
            object.misnamed.push(quoted(&entry.cluster_name));
            continue;
        };
        let read = match first.entry(&entry.cluster_name) {
            Entry::Occupied(first) => Err(subject.error(
                format!("spec.overrides[{at}].clusterName"),
                Problem::Duplicate {
                    what: "cluster",
                    value: entry.cluster_name.clone(),
                    first: format!("spec.overrides[{}]", first.get()),
                },
            )),
            Entry::Vacant(first) => {
                first.insert(at);
                Reader { subject, field: format!("spec.overrides[{at}].clusterOverrides"), object }
                    .read(entry)
            }
        };
        // Of two entries for one cluster neither counts, so the error stays.
        object.overrides.insert(name, read);
    }
}

struct Reader<'a> {
    subject: &'a Subject,
    field: String,
    object: &'a FederatedObject,
}

impl Reader<'_> {
    fn read(&self, entry: &ClusterOverrides) -> Result<Override, InputError> {
        let mut paths: BTreeMap<&str, usize> = BTreeMap::new();
        let mut patch = Vec::with_capacity(entry.cluster_overrides.len());
        for (at, item) in entry.cluster_overrides.iter().enumerate() {
            if let Some(first) = paths.insert(&item.path, at) {
                return Err(self.error(
                    at,
                    "path",
                    Problem::Duplicate {
                        what: "path",
                        value: item.path.clone(),
                        first: format!("{}[{first}]", self.field),
                    },
                ));
            }
            patch.push(self.operation(at, item)?);
        }
        let pin = self.try_on_template(&patch)?;
        Ok(Override { patch, pin })
    }

    fn operation(&self, at: usize, item: &OverrideItem) -> Result<PatchOperation, InputError> {
        if item.path.is_empty() {
            return Err(self.error(at, "path", Problem::Missing("; it would replace the whole object")));
        }
        let path = PointerBuf::parse(item.path.as_str())
            .map_err(|_| self.error(at, "path", Problem::InvalidPointer(item.path.clone())))?;
        self.check_path(at, item, &path)?;
        let value = || {
            item.value.clone().ok_or_else(|| {
                self.error(at, "value", Problem::Missing("; to take a field away write \"op: remove\""))
            })
        };
        match item.operation() {
            OverrideOperation::Add => Ok(PatchOperation::Add(AddOperation { path, value: value()? })),
            OverrideOperation::Replace => {
                Ok(PatchOperation::Replace(ReplaceOperation { path, value: value()? }))
            }
            OverrideOperation::Remove => Ok(PatchOperation::Remove(RemoveOperation { path })),
            OverrideOperation::Unknown(found) => {
                Err(self.error(at, "op", Problem::UnknownWord { found, expected: "add, remove, replace" }))
            }
        }
    }

    /// Refuses paths that identify the object, and those that members never get.
    fn check_path(&self, at: usize, item: &OverrideItem, path: &PointerBuf) -> Result<(), InputError> {
        let tokens: Vec<_> = path.tokens().take(2).map(|token| token.decoded().into_owned()).collect();
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let problem = match tokens[..] {
            ["kind", ..] => Problem::Identity(item.path.clone()),
            // The member's API is asked for one version; naming that very version changes nothing.
            ["apiVersion", ..]
                if item.value.as_ref().and_then(Value::as_str) != Some(&self.object.target.api_version) =>
            {
                Problem::Identity(item.path.clone())
            }
            ["metadata", field] if IDENTITY_METADATA.contains(&field) => Problem::Identity(item.path.clone()),
            ["metadata", field] if NEVER_SENT_METADATA.contains(&field) => {
                Problem::NeverSent(item.path.clone())
            }
            ["status", ..] => Problem::NeverSent(item.path.clone()),
            _ => return Ok(()),
        };
        Err(self.error(at, "path", problem))
    }

    /// Applies the patch to the template and says which number of replicas it sets, if it does.
    fn try_on_template(&self, patch: &[PatchOperation]) -> Result<Option<u32>, InputError> {
        let replicated = self.object.target.default_replicas.is_some();
        let rendered = self.probe(patch, PROBES[0])?;
        if !replicated {
            return Ok(None);
        }
        let touches = |operation: &PatchOperation| {
            let mut tokens = operation.path().tokens();
            tokens.next().is_some_and(|token| token.decoded() == "spec")
                && tokens.next().is_none_or(|token| token.decoded() == "replicas")
        };
        let Some(at) = patch.iter().rposition(touches) else { return Ok(None) };
        let written = rendered.pointer("/spec/replicas");
        let Some(written) = written.filter(|value| !value.is_null()) else {
            let path = patch[at].path().to_string();
            return Err(self.error(at, "path", Problem::RemovesReplicas(path)));
        };
        let replicas = numbers::count_in(written).map_err(|problem| self.error(at, "value", problem))?;
        let other = self.probe(patch, PROBES[1])?;
        let untouched = replicas == PROBES[0] && other.pointer("/spec/replicas") == Some(&json!(PROBES[1]));
        Ok((!untouched).then_some(replicas))
    }

    fn probe(&self, patch: &[PatchOperation], replicas: u32) -> Result<Value, InputError> {
        let mut body = self.object.template.clone();
        if self.object.target.default_replicas.is_some()
            && let Some(spec) = body.get_mut("spec").and_then(Value::as_object_mut)
        {
            spec.insert("replicas".into(), json!(replicas));
        }
        json_patch::patch_unsafe(&mut body, patch).map_err(|error| {
            let at = error.operation;
            let hint = match (&patch[at], &error.kind) {
                (PatchOperation::Replace(_), PatchErrorKind::InvalidPointer) => {
                    "; to set a new field write \"op: add\""
                }
                _ => "",
            };
            self.error(at, "path", Problem::PathNotFound { path: error.path.to_string(), hint })
        })?;
        Ok(body)
    }

    fn error(&self, at: usize, field: &str, problem: Problem) -> InputError {
        self.subject.error(format!("{}[{at}].{field}", self.field), problem)
    }
}
