//! The resources that are served: names, scope, schema, columns, sub-resources.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::{
    GroupResource,
    schema::{Schema, SchemaError},
};

/// Where a custom resource keeps what the scale sub-resource shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalePaths {
    /// `specReplicasPath`: `.spec.replicas`.
    pub spec_replicas: Arc<str>,
    /// `statusReplicasPath`: `.status.replicas`.
    pub status_replicas: Arc<str>,
    /// `labelSelectorPath`: `.status.labelSelector`.
    pub label_selector: Option<Arc<str>>,
}

/// One resource in one version.
#[derive(Debug, Clone)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Version of the group: `v1alpha1`.
    pub version: Arc<str>,
    /// Plural name, as in URLs.
    pub plural: Arc<str>,
    /// Singular name.
    pub singular: Arc<str>,
    /// Kind of one object.
    pub kind: Arc<str>,
    /// Kind of a list.
    pub list_kind: Arc<str>,
    /// Short names for kubectl.
    pub short_names: Vec<Arc<str>>,
    /// Categories for kubectl, such as `all`.
    pub categories: Vec<Arc<str>>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether the status sub-resource is served.
    pub status: bool,
    /// The scale sub-resource, where it is served.
    pub scale: Option<ScalePaths>,
    /// Paths that field selectors may name, beside `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<Arc<str>>,
    /// `additionalPrinterColumns`, as in a CustomResourceDefinition.
    pub columns: Vec<Value>,
    /// Schema of one object, parsed.
    pub schema: Arc<Schema>,
    /// The same schema as it was written, for OpenAPI documents. `None` for built-in kinds, whose documents are built in.
    pub document: Option<Arc<Value>>,
    /// Whether it comes from a CustomResourceDefinition.
    pub custom: bool,
    /// What clients are warned of, where the version is deprecated.
    pub deprecation: Option<Arc<str>>,
    /// What it is stored under, where that is another resource: events are one thing in two groups.
    pub stored_as: GroupResource,
    /// How stored objects become objects of this version.
    pub conversion: Conversion,
}

/// How stored objects become objects of a served version, and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conversion {
    /// They are the same.
    None,
    /// There are or were several schemas; objects are stored with this version. What is stored is served with the fields
    /// and the defaults of the schema that it is asked for by.
    ApiVersion(Arc<str>),
    /// Stored as core events, served as `events.k8s.io`.
    Events,
}

/// Why a CustomResourceDefinition cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// A required field is missing or has the wrong type.
    #[error("customresourcedefinition {name}: {field}: required value")]
    Missing {
        /// `metadata.name`.
        name: String,
        /// Path of the field.
        field: &'static str,
    },
    /// The schema of a version is not a structural schema.
    #[error("customresourcedefinition {name}: version {version}: {source}")]
    Schema {
        /// `metadata.name`.
        name: String,
        /// Name of the version.
        version: String,
        /// What is wrong.
        source: SchemaError,
    },
}

impl Resource {
    /// `group/version`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The resource without its version.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.group.clone(), resource: self.plural.clone() }
    }

    /// The resources that a CustomResourceDefinition (apiextensions.k8s.io/v1, as JSON) serves: one for each served version.
    pub fn from_crd(crd: &Value) -> Result<Vec<Self>, CatalogError> {
        let name = crd.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let text = |path: &str, field: &'static str| -> Result<Arc<str>, CatalogError> {
            match crd.pointer(path).and_then(Value::as_str) {
                Some(text) if !text.is_empty() => Ok(text.into()),
                _ => Err(CatalogError::Missing { name: name.to_owned(), field }),
            }
        };
        let group = text("/spec/group", "spec.group")?;
        let plural = text("/spec/names/plural", "spec.names.plural")?;
        let kind = text("/spec/names/kind", "spec.names.kind")?;
        let namespaced = &*text("/spec/scope", "spec.scope")? == "Namespaced";
        let singular = text("/spec/names/singular", "").unwrap_or_else(|_| kind.to_lowercase().into());
        let list_kind = text("/spec/names/listKind", "").unwrap_or_else(|_| format!("{kind}List").into());
        let versions = crd
            .pointer("/spec/versions")
            .and_then(Value::as_array)
            .ok_or_else(|| CatalogError::Missing { name: name.to_owned(), field: "spec.versions" })?;
        let served = versions.iter().filter(|version| version["served"].as_bool() == Some(true));
        let stored = versions.iter().find(|version| version["storage"].as_bool() == Some(true));
        let conversion = match stored.and_then(|version| version["name"].as_str()) {
            // What was stored before the schema changed is served by the schema of today.
            Some(stored) if versions.len() > 1 || crd["metadata"]["generation"].as_i64() > Some(1) => {
                Conversion::ApiVersion(format!("{group}/{stored}").into())
            }
            _ => Conversion::None,
        };
        served
            .map(|version| {
                let missing =
                    || CatalogError::Missing { name: name.to_owned(), field: "spec.versions[].name" };
                let document = version.pointer("/schema/openAPIV3Schema");
                let broken = |source| CatalogError::Schema {
                    name: name.to_owned(),
                    version: version["name"].as_str().unwrap_or_default().to_owned(),
                    source,
                };
                let schema = document.map(Schema::custom_resource).transpose().map_err(broken)?;
                Ok(Self {
                    group: group.clone(),
                    version: version["name"].as_str().ok_or_else(missing)?.into(),
                    plural: plural.clone(),
                    singular: singular.clone(),
                    kind: kind.clone(),
                    list_kind: list_kind.clone(),
                    short_names: strings(crd.pointer("/spec/names/shortNames")),
                    categories: strings(crd.pointer("/spec/names/categories")),
                    namespaced,
                    status: version.pointer("/subresources/status").is_some(),
                    scale: version.pointer("/subresources/scale").and_then(scale_paths),
                    selectable: selectable(version),
                    columns: version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default(),
                    schema: Arc::new(schema.unwrap_or_else(|| Schema::untyped().clone())),
                    document: document.cloned().map(Arc::new),
                    custom: true,
                    deprecation: deprecation(version, &group, &kind),
                    stored_as: GroupResource { group: group.clone(), resource: plural.clone() },
                    conversion: conversion.clone(),
                })
            })
            .collect()
    }
}

/// Everything that is served, at one moment. Immutable: a change makes a new catalog.
#[derive(Debug, Default)]
pub struct Catalog {
    groups: BTreeMap<Arc<str>, Vec<Version>>,
}

/// A version of a group, and its resources by plural name. The preferred version comes first.
type Version = (Arc<str>, BTreeMap<Arc<str>, Arc<Resource>>);

impl Catalog {
    /// A catalog of these resources. Of two with the same group, version and plural the later one counts.
    pub fn new(resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let mut groups: BTreeMap<Arc<str>, Vec<Version>> = BTreeMap::new();
        for resource in resources {
            let versions = groups.entry(resource.group.clone()).or_default();
            let at =
                versions.iter().position(|(version, _)| *version == resource.version).unwrap_or_else(|| {
                    versions.push((resource.version.clone(), BTreeMap::new()));
                    versions.len() - 1
                });
            versions[at].1.insert(resource.plural.clone(), resource);
        }
        for versions in groups.values_mut() {
            versions.sort_by_key(|(version, _)| version_order(version));
        }
        Self { groups }
    }

    /// The resource under this group, version and plural name.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources(group, version)?.get(plural)
    }

    /// The resource of this group and kind, in the preferred version that has it.
    pub fn find_kind(&self, group: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.groups
            .get(group)?
            .iter()
            .flat_map(|(_, resources)| resources.values())
            .find(|r| &*r.kind == kind)
    }

    /// The resource that objects stored under this name are served as, in the preferred version.
    pub fn stored(&self, resource: &GroupResource) -> Option<&Arc<Resource>> {
        self.groups.get(&resource.group)?.iter().find_map(|(_, resources)| resources.get(&resource.resource))
    }

    /// The resources of one group and version.
    pub fn resources(&self, group: &str, version: &str) -> Option<&BTreeMap<Arc<str>, Arc<Resource>>> {
        self.groups.get(group)?.iter().find(|(name, _)| &**name == version).map(|(_, resources)| resources)
    }

    /// Groups by name, each with its versions, the preferred one first.
    pub fn groups(&self) -> impl Iterator<Item = (&Arc<str>, impl Iterator<Item = &Arc<str>>)> {
        self.groups.iter().map(|(group, versions)| (group, versions.iter().map(|(version, _)| version)))
    }

    /// Every resource in every version.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.groups.values().flatten().flat_map(|(_, resources)| resources.values())
    }
}

/// Sorts versions as Kubernetes prefers them: v2, v1, v1beta2, v1beta1, v1alpha1, then others by name.
fn version_order(version: &str) -> (u8, std::cmp::Reverse<u32>, std::cmp::Reverse<u32>, String) {
    let parsed = version.strip_prefix('v').and_then(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major = rest[..digits].parse::<u32>().ok()?;
        let (class, minor) = match &rest[digits..] {
            "" => (0, "0"),
            beta if beta.starts_with("beta") => (1, &beta[4..]),
            alpha if alpha.starts_with("alpha") => (2, &alpha[5..]),
            _ => return None,
        };
        Some((class, major, minor.parse::<u32>().ok()?))
    });
    match parsed {
        Some((class, major, minor)) => {
            (class, std::cmp::Reverse(major), std::cmp::Reverse(minor), String::new())
        }
        None => (3, std::cmp::Reverse(0), std::cmp::Reverse(0), version.to_owned()),
    }
}

fn strings(value: Option<&Value>) -> Vec<Arc<str>> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(|v| v.as_str().map(Arc::from)).collect()
}

/// The warning of a deprecated version: what the definition says, or that it is deprecated.
fn deprecation(version: &Value, group: &str, kind: &str) -> Option<Arc<str>> {
    if version["deprecated"] != true {
        return None;
    }
    let name = version["name"].as_str().unwrap_or_default();
    let usual = || format!("{group}/{name} {kind} is deprecated");
    Some(version["deprecationWarning"].as_str().map_or_else(usual, str::to_owned).into())
}

fn selectable(version: &Value) -> Vec<Arc<str>> {
    let fields = version["selectableFields"].as_array().into_iter().flatten();
    fields.filter_map(|field| Some(field["jsonPath"].as_str()?.trim_start_matches('.').into())).collect()
}

fn scale_paths(scale: &Value) -> Option<ScalePaths> {
    Some(ScalePaths {
        spec_replicas: scale["specReplicasPath"].as_str()?.into(),
        status_replicas: scale["statusReplicasPath"].as_str()?.into(),
        label_selector: scale["labelSelectorPath"].as_str().map(Arc::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_stability_then_number() {
        let mut versions = ["v1alpha1", "v1", "foo", "v1beta1", "v2", "v1beta2", "v10"];
        versions.sort_by_key(|version| version_order(version));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]);
    }

    #[test]
    fn a_crd_gives_one_resource_for_each_served_version() {
        let crd = serde_json::json!({
            "metadata": {"name": "games.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": "games", "kind": "Game", "shortNames": ["gm"]},
                "versions": [
                    {"name": "v1", "served": true, "subresources": {"status": {}, "scale": {
                        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}}},
                    {"name": "v1alpha1", "served": false},
                ],
            },
        });
        let resources = Resource::from_crd(&crd).expect("a valid definition");
        assert_eq!(resources.len(), 1);
        assert_eq!(&*resources[0].list_kind, "GameList");
        assert!(resources[0].status && resources[0].scale.is_some());
    }

    #[test]
    fn a_crd_without_a_kind_is_refused_by_field() {
        let crd =
            serde_json::json!({"metadata": {"name": "x"}, "spec": {"group": "g", "names": {"plural": "xs"}}});
        let error = Resource::from_crd(&crd).expect_err("no kind");
        assert_eq!(error.to_string(), "customresourcedefinition x: spec.names.kind: required value");
    }
}
