//! Defaults of a pod's volumes.

use serde_json::{Value, json};

use super::{containers::is_latest, fill, list_mut, text};

/// Permissions of files in volumes: 0644.
const DEFAULT_MODE: i64 = 420;
/// Seconds for which a projected token is valid.
const TOKEN_SECONDS: i64 = 3600;

/// Fills in one volume; a volume without a source is an empty directory.
pub(super) fn default(volume: &mut Value) {
    if volume
        .as_object()
        .is_some_and(|volume| volume.iter().all(|(key, value)| key == "name" || value.is_null()))
    {
        volume["emptyDir"] = json!({});
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        fill(volume.get_mut(source), "defaultMode", DEFAULT_MODE);
    }
    fill(volume.get_mut("hostPath"), "type", "");
    downward(volume.get_mut("downwardAPI"));
    for source in list_mut(volume.pointer_mut("/projected/sources")) {
        fill(source.get_mut("serviceAccountToken"), "expirationSeconds", TOKEN_SECONDS);
        downward(source.get_mut("downwardAPI"));
    }
    fill(volume.pointer_mut("/ephemeral/volumeClaimTemplate"), "metadata", json!({}));
    fill(volume.pointer_mut("/ephemeral/volumeClaimTemplate/spec"), "volumeMode", "Filesystem");
    if let Some(image) = volume.get_mut("image") {
        let latest = is_latest(&text(image, "reference").unwrap_or_default());
        fill(Some(image), "pullPolicy", if latest { "Always" } else { "IfNotPresent" });
    }
}

fn downward(source: Option<&mut Value>) {
    for item in list_mut(source.and_then(|source| source.get_mut("items"))) {
        fill(item.get_mut("fieldRef"), "apiVersion", "v1");
        fill(item.get_mut("resourceFieldRef"), "divisor", "0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_get_modes_and_an_empty_one_a_directory() {
        let table = [
            (json!({"name": "a"}), json!({"name": "a", "emptyDir": {}})),
            (
                json!({"name": "a", "configMap": {"name": "c"}}),
                json!({"name": "a", "configMap": {"name": "c", "defaultMode": 420}}),
            ),
            (
                json!({"name": "a", "hostPath": {"path": "/x"}}),
                json!({"name": "a", "hostPath": {"path": "/x", "type": ""}}),
            ),
            (
                json!({"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}},
                    {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}),
                json!({"name": "a", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}},
                    {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}]}}]}}),
            ),
            (
                json!({"name": "a", "persistentVolumeClaim": {"claimName": "c"}}),
                json!({"name": "a", "persistentVolumeClaim": {"claimName": "c"}}),
            ),
        ];
        for (mut volume, expected) in table {
            default(&mut volume);
            assert_eq!(volume, expected);
        }
    }
}
