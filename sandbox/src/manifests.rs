//! Manifests from files, folders and standard input: YAML streams, JSON, and lists.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One object as it was written, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Where it stands: a path, with the document's number where the file has several.
    pub origin: String,
    /// The object. It has `apiVersion`, `kind` and a `metadata.name`.
    pub object: Value,
}

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file or folder cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The text is neither YAML nor JSON.
    #[error("{origin} is not valid YAML: {message}")]
    Syntax {
        /// Where the text came from.
        origin: String,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A document that is not a Kubernetes object.
    #[error("{origin}: {field} is missing or not a text; every Kubernetes object needs it")]
    NotAnObject {
        /// Where the document stands.
        origin: String,
        /// The field.
        field: &'static str,
    },
    /// A folder without any manifest in it.
    #[error("{path} holds no .yaml, .yml or .json file", path = .0.display())]
    EmptyFolder(PathBuf),
}

/// The name that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// Reads every manifest of `paths`, in order; of a folder the files directly in it, by name.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Manifest>, ManifestError> {
    let mut manifests = Vec::new();
    for path in paths {
        if path.as_os_str() == STANDARD_INPUT {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|source| ManifestError::Read { path: path.clone(), source })?;
            manifests.extend(parse("standard input", &text)?);
        } else if path.is_dir() {
            let files = folder(path)?;
            if files.is_empty() {
                return Err(ManifestError::EmptyFolder(path.clone()));
            }
            for file in files {
                manifests.extend(read_file(&file)?);
            }
        } else {
            manifests.extend(read_file(path)?);
        }
    }
    Ok(manifests)
}

/// The manifests in `text`, which came from `origin`.
pub fn parse(origin: &str, text: &str) -> Result<Vec<Manifest>, ManifestError> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| ManifestError::Syntax {
        origin: origin.to_owned(),
        message: error.to_string().trim().to_owned(),
    })?;
    let several = documents.len() > 1;
    let mut manifests = Vec::new();
    for (index, object) in documents.into_iter().enumerate() {
        if object.is_null() {
            continue;
        }
        let origin = if several { format!("{origin} (document {})", index + 1) } else { origin.to_owned() };
        flatten(origin, object, &mut manifests)?;
    }
    Ok(manifests)
}

fn read_file(path: &Path) -> Result<Vec<Manifest>, ManifestError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ManifestError::Read { path: path.to_owned(), source })?;
    parse(&path.display().to_string(), &text)
}

fn folder(path: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let failed = |source| ManifestError::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if file.is_file() && matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Takes a list apart, and checks that what is left names itself.
fn flatten(origin: String, object: Value, into: &mut Vec<Manifest>) -> Result<(), ManifestError> {
    let text =
        |pointer: &str| object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let missing = |field| ManifestError::NotAnObject { origin: origin.clone(), field };
    text("/apiVersion").ok_or_else(|| missing("apiVersion"))?;
    let kind = text("/kind").ok_or_else(|| missing("kind"))?;
    if kind.ends_with("List")
        && let Some(items) = object.get("items").and_then(Value::as_array)
    {
        for (index, item) in items.iter().enumerate() {
            flatten(format!("{origin} (item {})", index + 1), item.clone(), into)?;
        }
        return Ok(());
    }
    if text("/metadata/name").is_none() && text("/metadata/generateName").is_none() {
        return Err(missing("metadata.name"));
    }
    into.push(Manifest { origin, object });
    Ok(())
}

// === impl Manifest ===

impl Manifest {
    /// The object's kind.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// The object's group, empty for the core group.
    pub fn group(&self) -> &str {
        self.text("/apiVersion").split_once('/').map_or("", |(group, _)| group)
    }

    /// The object's namespace, where it says one.
    pub fn namespace(&self) -> Option<&str> {
        Some(self.text("/metadata/namespace")).filter(|namespace| !namespace.is_empty())
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

impl std::fmt::Display for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace() {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind(), self.name()),
            None => write!(f, "{} {}", self.kind(), self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        parse("test", text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn streams_lists_and_json_give_single_objects() {
        let stream = "
apiVersion: v1
kind: Namespace
metadata: {name: games}
---
# nothing here
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: games}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: games}}
";
        assert_eq!(names(stream), ["Namespace games", "ConfigMap games/a", "ConfigMap games/b"]);
        assert_eq!(
            names(r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"x"}}"#),
            ["Namespace x"]
        );
    }

    #[test]
    fn what_is_not_an_object_is_named_with_its_place_and_field() {
        let error = parse("a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n---\nkind: Pod\n");
        assert_eq!(
            error.unwrap_err().to_string(),
            "a.yaml (document 2): apiVersion is missing or not a text; every Kubernetes object needs it"
        );
        let error = parse("a.yaml", "apiVersion: [").unwrap_err().to_string();
        assert!(error.starts_with("a.yaml is not valid YAML"), "{error}");
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let error = read(&[PathBuf::from("/nowhere/x.yaml")]).unwrap_err().to_string();
        assert!(error.starts_with("cannot read /nowhere/x.yaml"), "{error}");
    }
}
