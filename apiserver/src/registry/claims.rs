//! Volumes and claims on them.

use serde_json::{Value, json};

use super::{PLAIN, Rules, keep, text};
use crate::{GroupResource, builtin::quantity, schema::FieldError};

pub(super) const CLAIM_RULES: Rules = Rules {
    returns_deleted: true,
    prepare_create: prepare,
    prepare_update: keep_other_half,
    validate_update: validate_claim_update,
    ..PLAIN
};

pub(super) const VOLUME_RULES: Rules = Rules {
    returns_deleted: true,
    prepare_create: prepare,
    prepare_update: keep_other_half,
    validate_update: validate_volume_update,
    ..PLAIN
};

/// Where a claim named its class before there was a field for it.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// Fields of a volume's spec that may change; the others say where the data is.
const VOLUME_FIELDS: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// The finalizer that keeps storage while it is in use, of the resources that have one.
pub(crate) fn storage_protection(resource: &GroupResource) -> Option<&'static str> {
    match (&*resource.group, &*resource.resource) {
        ("", "persistentvolumeclaims") => Some("kubernetes.io/pvc-protection"),
        ("", "persistentvolumes") => Some("kubernetes.io/pv-protection"),
        _ => None,
    }
}

fn prepare(object: &mut Value, _: u64) {
    object["status"] = json!({"phase": "Pending"});
}

/// An update of the object leaves its status alone, and the other way round.
pub(super) fn keep_other_half(object: &mut Value, old: &Value, subresource: Option<&str>) {
    let kept = if subresource == Some("status") { "spec" } else { "status" };
    keep(object, old, kept);
}

/// The class that an update of a claim asks for more room from; `None` if it does not ask for more.
///
/// An error names why no claim like this can grow.
pub(crate) fn expansion<'a>(new: &'a Value, old: &Value) -> Result<Option<&'a str>, &'static str> {
    if storage(new) <= storage(old) {
        return Ok(None);
    }
    if old["status"]["phase"] != "Bound" {
        return Err("Only bound persistent volume claims can be expanded");
    }
    Ok(Some(class(new)))
}

/// The class of a claim, by its field or by the annotation before it.
fn class(claim: &Value) -> &str {
    let annotation = claim["metadata"]["annotations"][CLASS_ANNOTATION].as_str();
    annotation.unwrap_or_else(|| text(claim, "/spec/storageClassName"))
}

fn storage(claim: &Value) -> i128 {
    quantity(&claim["spec"]["resources"]["requests"]["storage"]).unwrap_or_default()
}

/// A claim's spec may change in what it requests once it is bound, and in the volume while it has none.
fn validate_claim_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let bound = old["status"]["phase"] == "Bound";
    let settled = |object: &Value| {
        let mut spec = object["spec"].clone();
        if bound && spec["resources"]["requests"].is_object() {
            spec["resources"]["requests"]["storage"] =
                old["spec"]["resources"]["requests"]["storage"].clone();
        }
        if bound {
            spec["volumeAttributesClassName"] = Value::Null;
        }
        if text(old, "/spec/volumeName").is_empty() {
            spec["volumeName"] = Value::Null;
        }
        if old["spec"]["storageClassName"].is_null() {
            spec["storageClassName"] = Value::Null;
        }
        spec
    };
    let mut errors = Vec::new();
    let annotation = |claim: &Value| claim["metadata"]["annotations"][CLASS_ANNOTATION].clone();
    if annotation(new) != annotation(old) {
        let path = format!("metadata.annotations.{CLASS_ANNOTATION}");
        let given = annotation(new).as_str().unwrap_or_default().to_owned();
        errors.push(FieldError::invalid(path, given, "field is immutable"));
    }
    if settled(new) != settled(old) {
        errors.push(FieldError::forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
    let held = quantity(&old["status"]["capacity"]["storage"]).unwrap_or_default();
    if storage(new) < storage(old) && storage(new) <= held {
        let message = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden("spec.resources.requests.storage", message));
    }
    errors.extend(mode_stays(new, old));
    errors
}

/// Where a volume's data is cannot change.
fn validate_volume_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let source = |volume: &Value| {
        let mut spec = volume["spec"].clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|field, _| !VOLUME_FIELDS.contains(&field.as_str()));
        }
        spec
    };
    let mut errors = Vec::new();
    if source(new) != source(old) {
        let message = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden("spec.persistentvolumesource", message));
    }
    errors.extend(mode_stays(new, old));
    errors
}

fn mode_stays(new: &Value, old: &Value) -> Option<FieldError> {
    let (new, old) = (&new["spec"]["volumeMode"], &old["spec"]["volumeMode"]);
    (new != old).then(|| FieldError::invalid("volumeMode", new.clone(), "field is immutable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(phase: &str) -> Value {
        json!({"metadata": {"name": "c"},
            "spec": {"storageClassName": "fast", "volumeMode": "Filesystem", "resources": {"requests": {"storage": "2Gi"}}},
            "status": {"phase": phase, "capacity": {"storage": "1Gi"}}})
    }

    fn update(
        old: &Value,
        change: impl FnOnce(&mut Value),
    ) -> (Vec<String>, Result<Option<String>, &'static str>) {
        let mut new = old.clone();
        change(&mut new);
        let errors = validate_claim_update(&new, old).iter().map(|error| error.path.clone()).collect();
        (errors, expansion(&new, old).map(|class| class.map(str::to_owned)))
    }

    #[test]
    fn a_bound_claim_grows_and_shrinks_no_further_than_it_has() {
        let size = |size: &'static str| {
            move |claim: &mut Value| claim["spec"]["resources"]["requests"]["storage"] = size.into()
        };
        let none: [&str; 0] = [];
        let (errors, class) = update(&claim("Bound"), size("3Gi"));
        assert_eq!(
            (errors.as_slice(), class),
            (none.map(String::from).as_slice(), Ok(Some("fast".to_owned())))
        );
        assert_eq!(update(&claim("Bound"), size("1500Mi")).0, none);
        assert_eq!(update(&claim("Bound"), size("1Gi")).0, ["spec.resources.requests.storage"]);
        let (errors, class) = update(&claim("Pending"), size("3Gi"));
        assert_eq!(errors, ["spec"]);
        assert!(class.is_err());
    }

    #[test]
    fn everything_else_of_a_claim_stays() {
        let bound = claim("Bound");
        assert_eq!(update(&bound, |claim| claim["spec"]["storageClassName"] = "slow".into()).0, ["spec"]);
        assert_eq!(
            update(&bound, |claim| claim["spec"]["volumeMode"] = "Block".into()).0,
            ["spec", "volumeMode"]
        );
        assert!(update(&bound, |claim| claim["spec"]["volumeName"] = "v".into()).0.is_empty());
    }
}
