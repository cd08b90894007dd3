//! The scale sub-resource.

use serde_json::{Value, json};

use super::{PatchKind, Target, Written, body::decode_json, body::decode_yaml};
use crate::{Cause, Resource, ScalePaths, Status, cluster::Inner, patch, registry::text};

/// The version in which scales are served.
const SCALE_VERSION: &str = "autoscaling/v1";

/// An object as `autoscaling/v1` Scale.
pub(crate) fn scale_of(paths: &ScalePaths, object: &Value) -> Value {
    let number = |path: &str| object.pointer(&pointer(path)).and_then(Value::as_i64).unwrap_or_default();
    let replicas = number(&paths.spec_replicas);
    let metadata = &object["metadata"];
    let mut shown = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = metadata.get(field) {
            shown.insert(field.to_owned(), value.clone());
        }
    }
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": SCALE_VERSION,
        "metadata": shown,
        "spec": if replicas == 0 { json!({}) } else { json!({"replicas": replicas}) },
        "status": {"replicas": number(&paths.status_replicas)},
    });
    let selector = paths.label_selector.as_deref().and_then(|path| object.pointer(&pointer(path)));
    if let Some(selector) = selector.and_then(Value::as_str).filter(|selector| !selector.is_empty()) {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

impl Inner {
    /// Replaces or patches the scale of an object; only `spec.replicas` counts.
    pub(crate) fn write_scale(
        &self,
        target: &Target<'_>,
        paths: &ScalePaths,
        kind: Option<PatchKind>,
        body: &[u8],
    ) -> Result<Written, Status> {
        let (_, live) = self.live(target.resource, &target.key)?.ok_or_else(|| target.not_found())?;
        let current = scale_of(paths, &live);
        let unreadable = |problem: String| {
            let cause =
                Cause { reason: "FieldValueInvalid".to_owned(), message: problem, field: "patch".to_owned() };
            Status::invalid("", "", "", vec![cause])
        };
        let wanted = match kind {
            None => decode_yaml(body)?.value,
            Some(PatchKind::Json) => patch::json(&current, body).map_err(|error| refused(&error))?,
            // A scale has no lists, so merging is the same in both.
            Some(PatchKind::Merge | PatchKind::Strategic) => {
                patch::merge(&current, &decode_json(body)?.value).map_err(|error| refused(&error))?
            }
            Some(PatchKind::Apply) => return self.apply_scale(target, paths, &decode_yaml(body)?.value),
        };
        if kind.is_some() && !wanted["spec"]["replicas"].is_null() && !wanted["spec"]["replicas"].is_i64() {
            return Err(unreadable("Invalid value: spec.replicas is not an integer".to_owned()));
        }
        let replicas = check(target.resource, &target.key.name, &wanted)?;
        let mut patch = nested(&paths.spec_replicas, replicas);
        let asked = text(&wanted, "/metadata/resourceVersion");
        if !asked.is_empty() && (kind.is_none() || asked != text(&current, "/metadata/resourceVersion")) {
            patch["metadata"] = json!({"resourceVersion": asked});
        }
        self.patch(target, PatchKind::Merge, patch.to_string().as_bytes())
    }
}

impl Inner {
    /// Applies a Scale: an apply of the object whose configuration is the replicas alone.
    fn apply_scale(&self, target: &Target<'_>, paths: &ScalePaths, scale: &Value) -> Result<Written, Status> {
        let version = text(scale, "/apiVersion");
        if version != SCALE_VERSION {
            return Err(Status::bad_request(format!(
                "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {SCALE_VERSION}"
            )));
        }
        let replicas = check(target.resource, &target.key.name, scale)?;
        let mut configuration = nested(&paths.spec_replicas, replicas);
        configuration["apiVersion"] = target.resource.api_version().into();
        configuration["kind"] = (*target.resource.kind).into();
        configuration["metadata"] = scale["metadata"].clone();
        self.patch(target, PatchKind::Apply, configuration.to_string().as_bytes())
    }
}

/// The replicas that a Scale asks for.
fn check(resource: &Resource, name: &str, scale: &Value) -> Result<i64, Status> {
    let kind = text(scale, "/kind");
    if !matches!(kind, "" | "Scale") {
        return Err(Status::bad_request(format!("the body is a {kind}, not a Scale")));
    }
    let given = text(scale, "/metadata/name");
    if !given.is_empty() && given != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let replicas = match &scale["spec"]["replicas"] {
        Value::Null => 0,
        value => value.as_i64().ok_or_else(|| Status::bad_request("spec.replicas is not an integer"))?,
    };
    if replicas < 0 {
        let cause = Cause {
            reason: "FieldValueInvalid".to_owned(),
            message: format!("Invalid value: {replicas}: should be a non-negative integer"),
            field: ".spec.replicas".to_owned(),
        };
        return Err(Status::invalid(&resource.group, &resource.kind, name, vec![cause]));
    }
    Ok(replicas)
}

fn refused(error: &patch::PatchError) -> Status {
    let code = http::StatusCode::from_u16(error.code()).unwrap_or(http::StatusCode::BAD_REQUEST);
    Status::new(code, error.reason(), error.message())
}

/// `.spec.replicas` -> `/spec/replicas`.
fn pointer(path: &str) -> String {
    path.replace('.', "/")
}

/// `.spec.replicas` and 3 -> `{"spec": {"replicas": 3}}`.
fn nested(path: &str, value: i64) -> Value {
    let fields = path.trim_start_matches('.').rsplit('.');
    fields.fold(Value::from(value), |inner, field| json!({field: inner}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shows_what_the_paths_name() {
        let paths = ScalePaths {
            spec_replicas: ".spec.template.spec.replicas".into(),
            status_replicas: ".status.replicas".into(),
            label_selector: Some(".status.labelSelector".into()),
        };
        let object = json!({
            "metadata": {"name": "a", "namespace": "ns", "labels": {}},
            "spec": {"template": {"spec": {"replicas": 5}}},
            "status": {"replicas": 3, "labelSelector": "app=a"},
        });
        let scale = scale_of(&paths, &object);
        assert_eq!(scale["spec"]["replicas"], 5);
        assert_eq!(scale["status"], json!({"replicas": 3, "selector": "app=a"}));
        assert_eq!(scale["metadata"], json!({"name": "a", "namespace": "ns"}));
        assert_eq!(nested(&paths.spec_replicas, 7)["spec"]["template"]["spec"]["replicas"], 7);
    }
}
