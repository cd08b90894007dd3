//! Rules of volumes, claims and storage classes.

use serde_json::Value;

use super::{amounts, list, one_of, optional, optionally_named, text};
use crate::builtin::quantity::quantity;
use crate::names;
use crate::schema::FieldError;

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
const RECLAIM_POLICIES: &[&str] = &["Delete", "Recycle", "Retain"];
/// Fields of a volume's spec that do not name where its data is.
const NOT_SOURCES: &[&str] = &[
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

pub(super) fn claim(claim: &Value, errors: &mut Vec<FieldError>) {
    claim_spec(&claim["spec"], "spec", errors);
}

/// The spec of a claim, or of the template of one.
pub(super) fn claim_spec(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    access_modes(spec, path, "at least 1 access mode is required", errors);
    let storage = &spec["resources"]["requests"]["storage"];
    let at = format!("{path}.resources[storage]");
    match quantity(storage) {
        None => errors.push(FieldError::required(at, "")),
        Some(amount) if amount <= 0 => {
            errors.push(FieldError::invalid(at, storage.clone(), "must be greater than zero"));
        }
        Some(_) => {}
    }
    optionally_named(
        &spec["storageClassName"],
        &format!("{path}.storageClassName"),
        names::subdomain,
        errors,
    );
    optional(&spec["volumeMode"], &format!("{path}.volumeMode"), VOLUME_MODES, errors);
}

pub(super) fn volume(volume: &Value, errors: &mut Vec<FieldError>) {
    let spec = &volume["spec"];
    access_modes(spec, "spec", "", errors);
    if spec["capacity"].as_object().is_none_or(serde_json::Map::is_empty) {
        errors.push(FieldError::required("spec.capacity", ""));
    }
    amounts(&spec["capacity"], "spec.capacity", errors);
    one_of(
        &spec["persistentVolumeReclaimPolicy"],
        "spec.persistentVolumeReclaimPolicy",
        RECLAIM_POLICIES,
        errors,
    );
    optional(&spec["volumeMode"], "spec.volumeMode", VOLUME_MODES, errors);
    let fields = spec.as_object().into_iter().flatten();
    let mut sources =
        fields.filter(|(field, value)| !NOT_SOURCES.contains(&field.as_str()) && !value.is_null());
    if sources.next().is_none() {
        errors.push(FieldError::required("spec", "must specify a volume type"));
    }
    for (source, _) in sources {
        errors
            .push(FieldError::forbidden(format!("spec.{source}"), "may not specify more than 1 volume type"));
    }
}

pub(super) fn class(class: &Value, errors: &mut Vec<FieldError>) {
    if text(&class["provisioner"]).is_empty() {
        errors.push(FieldError::required("provisioner", ""));
    }
    one_of(&class["reclaimPolicy"], "reclaimPolicy", &["Delete", "Retain"], errors);
    one_of(&class["volumeBindingMode"], "volumeBindingMode", &["Immediate", "WaitForFirstConsumer"], errors);
}

fn access_modes(spec: &Value, path: &str, detail: &str, errors: &mut Vec<FieldError>) {
    let path = format!("{path}.accessModes");
    let modes = list(&spec["accessModes"]);
    if modes.is_empty() {
        errors.push(FieldError::required(&path, detail));
    }
    for mode in modes.iter().filter(|mode| !ACCESS_MODES.contains(&text(mode))) {
        errors.push(FieldError::not_supported(&path, mode.clone(), ACCESS_MODES));
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        errors.push(FieldError::forbidden(&path, "may not use ReadWriteOncePod with other access modes"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::problems;
    use serde_json::json;

    #[test]
    fn a_claim_needs_a_mode_and_a_size() {
        let good = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        assert_eq!(problems("", "PersistentVolumeClaim", good), [] as [&str; 0]);
        assert_eq!(
            problems("", "PersistentVolumeClaim", json!({"spec": {}})),
            [
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ]
        );
        assert_eq!(
            problems(
                "",
                "PersistentVolumeClaim",
                json!({"spec": {"accessModes": ["Often"], "volumeMode": "X",
                "resources": {"requests": {"storage": "0"}}}})
            ),
            [
                "spec.accessModes: Unsupported value: \"Often\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
                "spec.resources[storage]: Invalid value: \"0\": must be greater than zero",
                "spec.volumeMode: Unsupported value: \"X\": supported values: \"Block\", \"Filesystem\"",
            ]
        );
    }

    #[test]
    fn a_volume_needs_one_source() {
        let volume = |source| {
            let mut volume =
                json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}});
            volume["spec"].as_object_mut().unwrap().append(&mut serde_json::from_value(source).unwrap());
            problems("", "PersistentVolume", volume)
        };
        assert_eq!(volume(json!({"hostPath": {"path": "/x"}})), [] as [&str; 0]);
        assert_eq!(volume(json!({})), ["spec: Required value: must specify a volume type"]);
        assert_eq!(
            volume(json!({"hostPath": {"path": "/x"}, "nfs": {}})),
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"]
        );
    }

    #[test]
    fn a_class_needs_a_provisioner() {
        assert_eq!(problems("storage.k8s.io", "StorageClass", json!({})), ["provisioner: Required value"]);
    }
}
