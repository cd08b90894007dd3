//! The rows of volumes and claims.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{age, list, text, text_or};

pub(super) const VOLUME_COLUMNS: &[(&str, &str, i64)] = &[
    ("Name", "", 0),
    ("Capacity", "The size of the volume.", 0),
    ("Access Modes", "The ways the volume can be mounted.", 0),
    ("Reclaim Policy", "What happens to the volume when its claim is released.", 0),
    ("Status", "Whether the volume is available, bound or released.", 0),
    ("Claim", "The claim the volume is bound to.", 0),
    ("StorageClass", "StorageClass of the volume.", 0),
    ("VolumeAttributesClass", "VolumeAttributesClass of the volume.", 0),
    ("Reason", "Why the volume failed.", 0),
    ("Age", super::AGE, 0),
    ("VolumeMode", "Whether the volume is a file system or a block device.", 1),
];

pub(super) const CLAIM_COLUMNS: &[(&str, &str, i64)] = &[
    ("Name", "", 0),
    ("Status", "Whether the claim is pending, bound or lost.", 0),
    ("Volume", "The volume the claim is bound to.", 0),
    ("Capacity", "The size of the bound volume.", 0),
    ("Access Modes", "The ways the bound volume can be mounted.", 0),
    ("StorageClass", "StorageClass of the claim.", 0),
    ("VolumeAttributesClass", "VolumeAttributesClass of the claim.", 0),
    ("Age", super::AGE, 0),
    ("VolumeMode", "Whether the volume is a file system or a block device.", 1),
];

pub(super) const CLASS_COLUMNS: &[(&str, &str, i64)] = &[
    ("Name", "", 0),
    ("Provisioner", "What makes volumes of this class.", 0),
    ("ReclaimPolicy", "What happens to volumes of this class when their claim is released.", 0),
    ("VolumeBindingMode", "When volumes are made and bound.", 0),
    ("AllowVolumeExpansion", "Whether volumes can grow.", 0),
    ("Age", super::AGE, 0),
];

const CLASS_ANNOTATION: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";
const DEFAULT_CLASS: &str = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";

pub(super) fn volume_row(volume: &Value, now: Timestamp) -> Vec<Value> {
    let claim = match volume.pointer("/spec/claimRef") {
        Some(claim) => format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")),
        None => String::new(),
    };
    vec![
        text(volume, "/metadata/name").into(),
        text_or(volume, "/spec/capacity/storage", "0").into(),
        access_modes(list(volume, "/spec/accessModes")).into(),
        text(volume, "/spec/persistentVolumeReclaimPolicy").into(),
        phase(volume).into(),
        claim.into(),
        class(volume).into(),
        text_or(volume, "/spec/volumeAttributesClassName", "<unset>").into(),
        text(volume, "/status/reason").into(),
        age(volume, now),
        text_or(volume, "/spec/volumeMode", "<unset>").into(),
    ]
}

pub(super) fn claim_row(claim: &Value, now: Timestamp) -> Vec<Value> {
    let volume = text(claim, "/spec/volumeName");
    let (capacity, modes) = match volume {
        "" => (String::new(), String::new()),
        _ => (
            text_or(claim, "/status/capacity/storage", "0").to_owned(),
            access_modes(list(claim, "/status/accessModes")),
        ),
    };
    vec![
        text(claim, "/metadata/name").into(),
        phase(claim).into(),
        volume.into(),
        capacity.into(),
        modes.into(),
        class(claim).into(),
        text_or(claim, "/spec/volumeAttributesClassName", "<unset>").into(),
        age(claim, now),
        text_or(claim, "/spec/volumeMode", "<unset>").into(),
    ]
}

pub(super) fn class_row(class: &Value, now: Timestamp) -> Vec<Value> {
    let default = if text(class, DEFAULT_CLASS) == "true" { " (default)" } else { "" };
    vec![
        format!("{}{default}", text(class, "/metadata/name")).into(),
        text(class, "/provisioner").into(),
        text_or(class, "/reclaimPolicy", "Delete").into(),
        text_or(class, "/volumeBindingMode", "Immediate").into(),
        class.get("allowVolumeExpansion").cloned().unwrap_or(json!(false)),
        age(class, now),
    ]
}

fn phase(object: &Value) -> &str {
    match object.pointer("/metadata/deletionTimestamp") {
        Some(time) if !time.is_null() => "Terminating",
        _ => text(object, "/status/phase"),
    }
}

fn class(object: &Value) -> &str {
    text_or(object, CLASS_ANNOTATION, text(object, "/spec/storageClassName"))
}

/// `RWO,ROX,RWX,RWOP`, each once, in this order.
fn access_modes(modes: &[Value]) -> String {
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let present = known.into_iter().filter(|(mode, _)| modes.iter().any(|m| m == mode));
    present.map(|(_, short)| short).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T01:00:00Z";

    #[test]
    fn a_claim_shows_its_volume_only_once_bound() {
        let mut claim = json!({
            "metadata": {"name": "c", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"storageClassName": "fast", "volumeMode": "Filesystem", "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"phase": "Pending"},
        });
        let now = NOW.parse().unwrap();
        assert_eq!(
            Value::from(claim_row(&claim, now)),
            json!(["c", "Pending", "", "", "", "fast", "<unset>", "60m", "Filesystem"])
        );
        claim["spec"]["volumeName"] = json!("v");
        claim["status"] = json!({"phase": "Bound", "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]});
        assert_eq!(
            Value::from(claim_row(&claim, now)),
            json!(["c", "Bound", "v", "2Gi", "RWO,RWX", "fast", "<unset>", "60m", "Filesystem"])
        );
        claim["metadata"]["deletionTimestamp"] = json!(NOW);
        assert_eq!(claim_row(&claim, now)[1], "Terminating");
    }

    #[test]
    fn a_volume_names_its_claim() {
        let volume = json!({
            "metadata": {"name": "v", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": "fast", "volumeMode": "Filesystem", "claimRef": {"namespace": "n", "name": "c"}},
            "status": {"phase": "Bound"},
        });
        assert_eq!(
            Value::from(volume_row(&volume, NOW.parse().unwrap())),
            json!(["v", "2Gi", "RWO", "Delete", "Bound", "n/c", "fast", "<unset>", "", "60m", "Filesystem"])
        );
    }

    #[test]
    fn the_default_class_says_so() {
        let class = json!({"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "p", "allowVolumeExpansion": true});
        assert_eq!(
            Value::from(class_row(&class, NOW.parse().unwrap())),
            json!(["fast (default)", "p", "Delete", "Immediate", true, "<unknown>"])
        );
    }
}
