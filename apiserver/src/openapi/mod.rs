//! OpenAPI v3 documents: what `kubectl explain` and `kubectl apply` read.
//!
//! There is one document for each group and version, and an index that names each with a hash of its
//! content, so that a client caches what has not changed. [`Documents`] is built once for a catalog.

mod components;
mod paths;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::Catalog;

pub use components::component_name;

/// How many bytes of a document's hash are shown.
const HASH_BYTES: usize = 16;

/// The documents of everything a catalog serves.
#[derive(Debug, Clone)]
pub struct Documents {
    index: Bytes,
    documents: BTreeMap<(String, String), Document>,
}

/// One document, serialized.
#[derive(Debug, Clone)]
pub struct Document {
    /// The JSON text.
    pub json: Bytes,
    /// Hash of the text in upper-case hex, as the index shows it; fit for an ETag.
    pub hash: String,
}

/// Which operations are documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operations {
    /// Get, list and watch.
    Read,
    /// Writes too.
    All,
}

impl Documents {
    /// Builds the documents of every group and version.
    pub fn new(catalog: &Catalog, operations: Operations) -> Self {
        let mut documents = BTreeMap::new();
        for (group, versions) in catalog.groups() {
            for version in versions {
                if let Some(document) = document(catalog, group, version, operations) {
                    let json = Bytes::from(document.to_string());
                    let hash = hex::encode_upper(&Sha256::digest(&json)[..HASH_BYTES]);
                    documents.insert((group.to_string(), version.to_string()), Document { json, hash });
                }
            }
        }
        let paths = documents.iter().map(|((group, version), document)| {
            let path = group_version_path(group, version);
            let url = format!("/openapi/v3/{path}?hash={}", document.hash);
            (path, json!({"serverRelativeURL": url}))
        });
        let index = json!({"paths": paths.collect::<Map<_, _>>()});
        Self { index: Bytes::from(index.to_string()), documents }
    }

    /// The body of `/openapi/v3`.
    pub fn index(&self) -> &Bytes {
        &self.index
    }

    /// The document of one group (`""` for the core group) and version.
    pub fn get(&self, group: &str, version: &str) -> Option<&Document> {
        self.documents.get(&(group.to_owned(), version.to_owned()))
    }
}

/// The document of one group and version, or `None` when nothing is served there.
pub fn document(catalog: &Catalog, group: &str, version: &str, operations: Operations) -> Option<Value> {
    let resources = catalog.resources(group, version)?;
    let mut paths = Map::new();
    let mut schemas = components::Components::default();
    for resource in resources.values() {
        schemas.add_resource(resource);
        paths::add(&mut paths, resource, operations);
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths,
        "components": {"schemas": schemas.into_map()},
    }))
}

/// `api/v1` or `apis/apps/v1`.
fn group_version_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// A reference to a component.
fn reference(component: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{component}")})
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Resource;

    fn catalog() -> Catalog {
        let definition = |group: &str, kind: &str, plural: &str, scope: &str| {
            json!({"metadata": {"name": format!("{plural}.{group}")}, "spec": {
                "group": group, "scope": scope, "names": {"plural": plural, "kind": kind},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                    "schema": {"openAPIV3Schema": {"type": "object", "description": "A game.", "properties": {
                        "spec": {"type": "object", "description": "What is wanted.", "properties": {
                            "replicas": {"type": "integer", "description": "How many."},
                            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}}}}}}],
            }})
        };
        let mut resources = Vec::new();
        for crd in [
            definition("games.example.com", "Game", "games", "Namespaced"),
            definition("games.example.com", "Arena", "arenas", "Cluster"),
        ] {
            resources.extend(Resource::from_crd(&crd).unwrap());
        }
        let mut pod = resources[0].clone();
        pod.group = "".into();
        pod.kind = "Pod".into();
        pod.list_kind = "PodList".into();
        pod.plural = "pods".into();
        pod.scale = None;
        pod.document = None;
        pod.custom = false;
        resources.push(pod);
        Catalog::new(resources.into_iter().map(Arc::new))
    }

    fn games() -> Value {
        document(&catalog(), "games.example.com", "v1", Operations::All).unwrap()
    }

    /// Everything that is referred to must be in the document, or clients fail to read it.
    fn dangling(document: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let mut queue = vec![document];
        while let Some(node) = queue.pop() {
            match node {
                Value::Object(map) => {
                    if let Some(reference) = map.get("$ref").and_then(Value::as_str)
                        && document.pointer(reference.trim_start_matches('#')).is_none()
                    {
                        found.push(reference.to_owned());
                    }
                    queue.extend(map.values());
                }
                Value::Array(list) => queue.extend(list),
                _ => {}
            }
        }
        found
    }

    #[test]
    fn every_reference_leads_to_a_component() {
        assert_eq!(dangling(&games()), [] as [&str; 0]);
        assert_eq!(dangling(&document(&catalog(), "", "v1", Operations::All).unwrap()), [] as [&str; 0]);
    }

    #[test]
    fn paths_and_actions_follow_scope_and_sub_resources() {
        let document = games();
        let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        assert_eq!(
            paths,
            [
                "/apis/games.example.com/v1/arenas",
                "/apis/games.example.com/v1/arenas/{name}",
                "/apis/games.example.com/v1/arenas/{name}/scale",
                "/apis/games.example.com/v1/arenas/{name}/status",
                "/apis/games.example.com/v1/games",
                "/apis/games.example.com/v1/namespaces/{namespace}/games",
                "/apis/games.example.com/v1/namespaces/{namespace}/games/{name}",
                "/apis/games.example.com/v1/namespaces/{namespace}/games/{name}/scale",
                "/apis/games.example.com/v1/namespaces/{namespace}/games/{name}/status",
            ]
        );
        let games = &document["paths"]["/apis/games.example.com/v1/namespaces/{namespace}/games"];
        assert_eq!(games["get"]["x-kubernetes-action"], "list");
        assert_eq!(games["post"]["x-kubernetes-action"], "post");
        assert_eq!(games["delete"]["x-kubernetes-action"], "deletecollection");
        assert_eq!(games["get"]["operationId"], "listGamesExampleComV1NamespacedGame");
    }

    #[test]
    fn patch_names_its_kind_and_the_parameters_kubectl_looks_for() {
        let document = games();
        let patch =
            &document["paths"]["/apis/games.example.com/v1/namespaces/{namespace}/games/{name}"]["patch"];
        assert_eq!(
            patch["x-kubernetes-group-version-kind"],
            json!({"group": "games.example.com", "version": "v1", "kind": "Game"})
        );
        let names: Vec<&str> =
            patch["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
        let types: Vec<&String> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
        assert!(!types.iter().any(|ty| ty.contains("strategic")), "{types:?}");
    }

    #[test]
    fn a_custom_kind_has_metadata_and_its_own_descriptions() {
        let document = games();
        let game = &document["components"]["schemas"]["com.example.games.v1.Game"];
        assert_eq!(game["properties"]["spec"]["properties"]["replicas"]["description"], "How many.");
        assert_eq!(
            game["properties"]["metadata"]["allOf"],
            json!([{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}])
        );
        let template = &game["properties"]["spec"]["properties"]["template"]["properties"];
        assert!(template["metadata"].is_object() && template["kind"].is_object());
        assert_eq!(game["x-kubernetes-group-version-kind"][0]["kind"], "Game");
    }

    #[test]
    fn read_only_documents_name_no_writes() {
        let document = document(&catalog(), "games.example.com", "v1", Operations::Read).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            let methods: Vec<&String> =
                item.as_object().unwrap().keys().filter(|k| *k != "parameters").collect();
            assert_eq!(methods, ["get"], "{path}");
        }
    }

    #[test]
    fn the_index_changes_only_for_the_group_that_changed() {
        let before = Documents::new(&catalog(), Operations::All);
        let fewer = Catalog::new(catalog().all().filter(|r| &*r.kind != "Arena").cloned());
        let after = Documents::new(&fewer, Operations::All);
        let url = |documents: &Documents, path: &str| {
            let index: Value = serde_json::from_slice(documents.index()).unwrap();
            index["paths"][path]["serverRelativeURL"].as_str().unwrap().to_owned()
        };
        assert_eq!(url(&before, "api/v1"), url(&after, "api/v1"));
        assert_ne!(url(&before, "apis/games.example.com/v1"), url(&after, "apis/games.example.com/v1"));
        let hash = &before.get("", "v1").unwrap().hash;
        assert_eq!(url(&before, "api/v1"), format!("/openapi/v3/api/v1?hash={hash}"));
    }
}
