//! The files in crds/yaml.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Set, it writes the files instead of comparing them.
const UPDATE: &str = "MUSTER_UPDATE";
/// `kubectl apply` keeps a copy of the object in an annotation, and annotations together hold this many bytes.
const ANNOTATION_BYTES: usize = 262_144;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml")
}

#[test]
fn yaml_is_what_the_types_generate() {
    let update = env::var_os(UPDATE).is_some();
    let mut known = Vec::new();
    for (name, text) in muster_crds::yaml() {
        let path = directory().join(&name);
        if update {
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "crds/yaml/{name} is stale; run: {UPDATE}=1 cargo test -p muster-crds yaml");
        known.push(name);
    }
    for entry in fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "crds/yaml/{name} belongs to no kind");
    }
}

#[test]
fn yaml_reads_back_as_the_definition() {
    for ((name, text), definition) in muster_crds::yaml().into_iter().zip(muster_crds::all()) {
        let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let read = serde_json::from_value(read).unwrap();
        assert_eq!(definition, read, "{name}");
    }
}

#[test]
fn yaml_is_marked_and_small_enough_for_kubectl_apply() {
    for (name, text) in muster_crds::yaml() {
        assert!(text.starts_with("# Generated"), "{name}");
        assert!(text.len() < ANNOTATION_BYTES / 4, "{name} has {} bytes", text.len());
    }
}

#[test]
fn the_kustomization_names_every_definition() {
    let path = directory().join("../kustomization.yaml");
    let text = fs::read_to_string(path).unwrap();
    let named: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("- yaml/")).collect();
    let mut known: Vec<String> = muster_crds::yaml().into_iter().map(|(name, _)| name).collect();
    known.sort();
    assert_eq!(named, known);
}
