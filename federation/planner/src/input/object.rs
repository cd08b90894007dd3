//! Federated objects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use muster_crds::keys::{annotation, group};
use muster_crds::types_kubefed::{self, FederatedSpec};
use muster_crds::{FederatedGameStatefulSet, Namespace, ObjectKey, ObjectName, Uid};
use serde_json::{Value, json};

use super::preference::below;
use super::{FEDERATED_GAME_STATEFUL_SET, is_on, numbers, overrides};
use crate::error::{InputError, Problem, Subject};
use crate::model::{Adopt, Basis, FederatedObject, Placement, Release, RemovePolicy, Target};
use crate::{render, selector};

/// The finalizer of an object that is deleted with `--cascade=orphan`. The garbage collector takes it away when it is
/// done, which may be long before the members are.
pub const ORPHAN_FINALIZER: &str = "orphan";

/// Reads a federated GameStatefulSet. Fails only when it has no usable name; other mistakes are kept in the object.
pub fn federated(source: &FederatedGameStatefulSet) -> Result<FederatedObject, InputError> {
    let target = Target {
        api_version: format!("{}/v1alpha1", group::TKEX),
        kind: "GameStatefulSet".into(),
        // The default of its definition.
        default_replicas: Some(1),
    };
    object(FEDERATED_GAME_STATEFUL_SET, target, &source.metadata, &source.spec)
}

/// Reads a federated object of any kind. Fails only when it has no usable name.
pub fn object(
    kind: &str,
    target: Target,
    metadata: &ObjectMeta,
    spec: &FederatedSpec,
) -> Result<FederatedObject, InputError> {
    let key = key(kind, metadata)?;
    let subject = Subject::new(kind, &key);
    let mut errors = Vec::new();
    let mut placement_error = None;
    for field in &spec.malformed {
        let error = subject.error(below("spec", &field.field), Problem::Malformed(field.message.clone()));
        match field.field.as_str() {
            "placement" | "." => placement_error = Some(error),
            _ => errors.push(error),
        }
    }
    let empty = BTreeMap::new();
    let annotations = metadata.annotations.as_ref().unwrap_or(&empty);
    let mut object = FederatedObject {
        kind: kind.to_owned(),
        uid: metadata.uid.as_deref().and_then(|uid| Uid::new(uid).ok()),
        generation: metadata.generation.unwrap_or(0),
        deleting: metadata.deletion_timestamp.is_some(),
        suspended: is_on(annotations.get(annotation::SUSPEND)),
        duplicate: false,
        release: release(annotations.get(annotation::RELEASE_SEATS)),
        adopt: Adopt::Never,
        on_delete: on_delete(&subject, metadata, annotations),
        on_leave: delete_options(&subject, annotations),
        template: spec.template.clone(),
        replicas: None,
        retain_replicas: spec.retain_replicas.unwrap_or(false),
        placement: Placement::default(),
        placement_hash: 0,
        overrides: BTreeMap::new(),
        misnamed: Vec::new(),
        errors: Vec::new(),
        placement_error: None,
        target,
        key,
    };
    match division(&subject, annotations) {
        Ok(duplicate) => object.duplicate = duplicate,
        Err(error) => errors.push(error),
    }
    match adopt(&subject, annotations) {
        Ok(adopt) => object.adopt = adopt,
        Err(error) => errors.push(error),
    }
    match placement(kind, &object.key, spec.placement.as_ref()) {
        Ok(placement) => {
            object.placement_hash = Basis::hash_of(&placement);
            object.placement = placement;
        }
        Err(error) => placement_error = placement_error.or(Some(error)),
    }
    errors.extend(read_template(&subject, &mut object, spec));
    render::finish(&mut object.template, &object.target, &object.key);
    if errors.is_empty() {
        overrides::read(&subject, &mut object, &spec.overrides);
    }
    object.errors = errors;
    object.placement_error = placement_error;
    Ok(object)
}

/// Reads a placement; of a federated object, or of a FederatedNamespace for [`crate::Fleet::namespaces`].
pub fn placement(
    kind: &str,
    key: &ObjectKey,
    source: Option<&types_kubefed::Placement>,
) -> Result<Placement, InputError> {
    let Some(source) = source else { return Ok(Placement::default()) };
    let subject = Subject::new(kind, key);
    let named = |at: usize, name: &String| {
        let field = || format!("spec.placement.clusters[{at}].name");
        if name.is_empty() { Err(subject.error(field(), Problem::Missing(""))) } else { Ok(name.clone()) }
    };
    let clusters = source
        .clusters
        .as_ref()
        .map(|clusters| clusters.iter().enumerate().map(|(at, cluster)| named(at, &cluster.name)).collect())
        .transpose()?;
    if let Some(selector) = &source.cluster_selector {
        selector::check(selector).map_err(|error| {
            subject.error(
                format!("spec.placement.clusterSelector.{}", error.field),
                Problem::InvalidSelector(error.message),
            )
        })?;
    }
    Ok(Placement { clusters, selector: source.cluster_selector.clone() })
}

fn key(kind: &str, metadata: &ObjectMeta) -> Result<ObjectKey, InputError> {
    let name = metadata.name.as_deref().unwrap_or_default();
    let subject = Subject::new(kind, &name);
    let namespace = metadata
        .namespace
        .as_deref()
        .map(Namespace::new)
        .transpose()
        .map_err(|error| subject.error("metadata.namespace", Problem::Malformed(error.to_string())))?;
    let name = ObjectName::new(name)
        .map_err(|error| subject.error("metadata.name", Problem::Malformed(error.to_string())))?;
    Ok(ObjectKey { namespace, name })
}

/// Makes sure that the template can be rendered, and reads its replicas.
fn read_template(subject: &Subject, object: &mut FederatedObject, spec: &FederatedSpec) -> Vec<InputError> {
    let mut errors = Vec::new();
    let wrong = |field: &str, value: &Value| {
        subject.error(field, Problem::WrongType { expected: "an object", found: numbers::brief(value) })
    };
    let Some(template) = object.template.as_object_mut() else {
        let unread = spec.malformed.iter().any(|field| matches!(field.field.as_str(), "template" | "."));
        return match &object.template {
            Value::Null if unread => Vec::new(),
            Value::Null => vec![subject.error("spec.template", Problem::Missing(""))],
            other => vec![wrong("spec.template", other)],
        };
    };
    if let Some(metadata) = template.get("metadata").filter(|value| !value.is_object() && !value.is_null()) {
        errors.push(wrong("spec.template.metadata", metadata));
    }
    if let Some(default) = object.target.default_replicas {
        let spec = template.entry("spec").or_insert(Value::Null);
        if spec.is_null() {
            // Replicas need a place to be written to.
            *spec = json!({});
        }
        match spec.as_object().map(|spec| spec.get("replicas")) {
            None => errors.push(wrong("spec.template.spec", spec)),
            Some(None | Some(Value::Null)) => object.replicas = Some(default),
            Some(Some(replicas)) => match numbers::count_in(replicas) {
                Ok(replicas) => object.replicas = Some(replicas),
                Err(problem) => errors.push(subject.error("spec.template.spec.replicas", problem)),
            },
        }
    }
    errors
}

fn annotation_field(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

fn unknown_word(subject: &Subject, key: &str, found: &str, expected: &'static str) -> InputError {
    subject.error(annotation_field(key), Problem::UnknownWord { found: found.to_owned(), expected })
}

fn division(subject: &Subject, annotations: &BTreeMap<String, String>) -> Result<bool, InputError> {
    match annotations.get(annotation::DIVISION).map(String::as_str) {
        None => Ok(false),
        Some(annotation::DIVISION_DUPLICATE) => Ok(true),
        Some(other) => {
            Err(unknown_word(subject, annotation::DIVISION, other, annotation::DIVISION_DUPLICATE))
        }
    }
}

fn adopt(subject: &Subject, annotations: &BTreeMap<String, String>) -> Result<Adopt, InputError> {
    match annotations.get(annotation::ADOPT).map(String::as_str) {
        None | Some(annotation::ADOPT_NEVER) => Ok(Adopt::Never),
        Some(annotation::ADOPT_IF_NO_DIFF) => Ok(Adopt::IfNoDiff),
        Some(annotation::ADOPT_ALWAYS) => Ok(Adopt::Always),
        Some(other) => Err(unknown_word(subject, annotation::ADOPT, other, "Never, IfNoDiff, Always")),
    }
}

fn release(value: Option<&String>) -> Release {
    match value.map(|value| value.trim()) {
        None | Some("" | "false") => Release::Nothing,
        Some("true" | "*") => Release::EveryLost,
        Some(names) => Release::Named(
            names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        ),
    }
}

/// What happens in members when the object is deleted. `kubectl delete --cascade=orphan` counts like the annotation.
fn on_delete(
    subject: &Subject,
    metadata: &ObjectMeta,
    annotations: &BTreeMap<String, String>,
) -> Result<RemovePolicy, InputError> {
    let has_orphan = metadata.finalizers.iter().flatten().any(|one| one == ORPHAN_FINALIZER);
    if metadata.deletion_timestamp.is_some() && has_orphan {
        return Ok(RemovePolicy::Orphan);
    }
    match annotations.get(annotation::ORPHAN).map(String::as_str) {
        Some("true") => Ok(RemovePolicy::Orphan),
        None | Some("false" | "") => delete_options(subject, annotations),
        Some(other) => Err(unknown_word(subject, annotation::ORPHAN, other, "true, false")),
    }
}

fn delete_options(
    subject: &Subject,
    annotations: &BTreeMap<String, String>,
) -> Result<RemovePolicy, InputError> {
    let Some(text) = annotations.get(annotation::DELETE_OPTION) else {
        return Ok(RemovePolicy::Delete(json!({})));
    };
    let fail = |problem| subject.error(annotation_field(annotation::DELETE_OPTION), problem);
    let options: Value = serde_json::from_str(text)
        .map_err(|error| fail(Problem::Malformed(format!("is not JSON: {error}"))))?;
    let Some(fields) = options.as_object() else {
        return Err(fail(Problem::WrongType { expected: "an object", found: numbers::brief(&options) }));
    };
    match fields.get("propagationPolicy") {
        None | Some(Value::Null) => {}
        Some(Value::String(policy)) if ["Orphan", "Background", "Foreground"].contains(&policy.as_str()) => {}
        Some(other) => {
            return Err(fail(Problem::UnknownWord {
                found: numbers::brief(other),
                expected: "the propagation policies Orphan, Background, Foreground",
            }));
        }
    }
    match fields.get("gracePeriodSeconds") {
        None | Some(Value::Null) => {}
        Some(seconds) if seconds.as_i64().is_some_and(|seconds| seconds >= 0) => {}
        Some(other) => {
            return Err(fail(Problem::WrongType {
                expected: "gracePeriodSeconds of 0 or more",
                found: numbers::brief(other),
            }));
        }
    }
    Ok(RemovePolicy::Delete(options))
}
