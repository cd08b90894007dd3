//! Manifests as users of bk-bcs and kubefed write them, and the repository's own examples.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::schemas::{parsed, round_trip};

fn manifests(directory: &Path) -> Vec<(String, Value)> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for object in documents {
            found.push((format!("{} {}", path.display(), object["metadata"]["name"]), object));
        }
    }
    found
}

/// What is wrong with an object of one of our kinds: refused or pruned fields, or fields that the type cannot read.
fn complaints(object: &Value) -> Vec<String> {
    let kind = object["kind"].as_str().unwrap();
    let schema = parsed(kind);
    let mut kept = object.clone();
    let pruned = schema.prune(&mut kept).into_iter().map(|path| format!("{path}: pruned"));
    let mut complaints: Vec<String> = pruned.collect();
    complaints.extend(schema.validate(&kept, None).iter().map(ToString::to_string));
    let read = round_trip(kind, &kept).unwrap();
    for part in ["spec", "status"] {
        for (field, value) in kept[part].as_object().into_iter().flatten() {
            let empty = value.as_array().is_some_and(Vec::is_empty);
            if !empty && read[part][field] != *value {
                complaints.push(format!("{part}.{field}: read as {}", read[part][field]));
            }
        }
    }
    complaints
}

fn accepts_all(directory: &Path) -> usize {
    let ours: Vec<String> = muster_crds::all()
        .iter()
        .map(|definition| {
            let spec = &definition.spec;
            format!("{}/{} {}", spec.group, spec.versions[0].name, spec.names.kind)
        })
        .collect();
    let mut checked = 0;
    for (name, object) in manifests(directory) {
        let kind = [&object["apiVersion"], &object["kind"]].map(|text| text.as_str().unwrap_or_default());
        if ours.contains(&kind.join(" ")) {
            assert_eq!(complaints(&object), Vec::<String>::new(), "{name}");
            checked += 1;
        }
    }
    checked
}

#[test]
fn manifests_written_for_bk_bcs_and_kubefed_are_accepted_as_they_are() {
    let checked = accepts_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"));
    assert!(checked >= 16, "only {checked} manifests of our kinds");
}

#[test]
fn the_talk_is_accepted_as_it_is() {
    let checked = accepts_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/talk"));
    assert!(checked >= 4, "only {checked} manifests of our kinds");
}
