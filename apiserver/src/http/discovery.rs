//! Discovery: which groups, versions and resources there are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Catalog, Resource, write::RESIZE};

/// What can be done with the objects of a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

const READ: [&str; 3] = ["get", "list", "watch"];
/// The same as [`ALL`], in the order in which Kubernetes has them for custom resources.
const CUSTOM: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
const ALL: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Access {
    fn verbs(self, custom: bool) -> &'static [&'static str] {
        match self {
            Self::Read => &READ,
            Self::Write if custom => &CUSTOM,
            Self::Write => &ALL,
        }
    }

    fn subresource_verbs(self) -> &'static [&'static str] {
        match self {
            Self::Read => &["get"],
            Self::Write => &["get", "patch", "update"],
        }
    }
}

/// A sub-resource as discovery shows it.
struct Subresource {
    name: &'static str,
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    verbs: &'static [&'static str],
}

/// The sub-resources of a resource that discovery shows.
fn subresources(resource: &Resource, access: Access) -> Vec<Subresource> {
    let own = |name, verbs| Subresource { name, group: "", version: "", kind: "", verbs };
    let mut found = Vec::new();
    if resource.status {
        found.push(own("status", access.subresource_verbs()));
    }
    if resource.scale.is_some() {
        let verbs = access.subresource_verbs();
        found.push(Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs });
    }
    if access == Access::Write && resource.group.is_empty() {
        match &*resource.plural {
            "pods" => {
                found.push(Subresource { kind: "Binding", version: "v1", ..own("binding", &["create"]) });
                found.push(own(RESIZE, access.subresource_verbs()));
                found.push(Subresource {
                    name: "eviction",
                    group: "policy",
                    version: "v1",
                    kind: "Eviction",
                    verbs: &["create"],
                });
            }
            "namespaces" => found.push(own("finalize", &["update"])),
            _ => {}
        }
    }
    if !resource.custom {
        found.sort_by_key(|sub| sub.name);
    }
    found
}

fn verbs(resource: &Resource, access: Access) -> Value {
    let verbs: Vec<&str> = access
        .verbs(resource.custom)
        .iter()
        .copied()
        // As in Kubernetes, namespaces are deleted one at a time.
        .filter(|verb| {
            !(*verb == "deletecollection" && resource.group.is_empty() && &*resource.plural == "namespaces")
        })
        .collect();
    json!(verbs)
}

/// `/api` or `/apis` as one APIGroupDiscoveryList.
pub(crate) fn aggregated(catalog: &Catalog, core: bool, version: &str, access: Access) -> Value {
    let groups = catalog.groups().filter(|(group, _)| group.is_empty() == core).map(|(group, versions)| {
        let versions = versions.map(|version| {
            let resources = catalog.resources(group, version).into_iter().flat_map(BTreeMap::values);
            let resources: Vec<Value> =
                resources.map(|resource| aggregated_resource(resource, access)).collect();
            json!({"version": &**version, "freshness": "Current", "resources": resources})
        });
        let versions: Vec<Value> = versions.collect();
        let name = if group.is_empty() { json!({}) } else { json!({"name": &**group}) };
        json!({"metadata": name, "versions": versions})
    });
    let groups: Vec<Value> = groups.collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": groups,
    })
}

fn aggregated_resource(resource: &Resource, access: Access) -> Value {
    let (group, version) = shown_version(resource);
    let mut shown = json!({
        "resource": &*resource.plural,
        "responseKind": {"group": group, "version": version, "kind": &*resource.kind},
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": &*resource.singular,
        "verbs": verbs(resource, access),
    });
    if !resource.short_names.is_empty() {
        shown["shortNames"] = json!(texts(&resource.short_names));
    }
    if !resource.categories.is_empty() {
        shown["categories"] = json!(texts(&resource.categories));
    }
    let subresources: Vec<Value> = subresources(resource, access)
        .into_iter()
        .map(|sub| {
            let (group, version, kind) = served_kind(resource, &sub);
            json!({
                "subresource": sub.name,
                "responseKind": {"group": group, "version": version, "kind": kind},
                "verbs": sub.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        shown["subresources"] = Value::Array(subresources);
    }
    shown
}

fn served_kind<'a>(resource: &'a Resource, sub: &Subresource) -> (&'a str, &'a str, &'a str)
where
    'static: 'a,
{
    let kind = if sub.kind.is_empty() { &*resource.kind } else { sub.kind };
    if sub.group.is_empty() {
        let (group, version) = shown_version(resource);
        (group, version, kind)
    } else {
        (sub.group, sub.version, kind)
    }
}

/// Group and version as aggregated discovery shows them: built-in kinds leave it to the document where they stand.
fn shown_version(resource: &Resource) -> (&str, &str) {
    if resource.custom { (&resource.group, &resource.version) } else { ("", "") }
}

/// `/api`.
pub(crate) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis`.
pub(crate) fn groups(catalog: &Catalog) -> Value {
    let groups: Vec<Value> = catalog
        .groups()
        .filter(|(group, _)| !group.is_empty())
        .filter_map(|(name, _)| group(catalog, name))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`, without kind and apiVersion.
pub(crate) fn group(catalog: &Catalog, name: &str) -> Option<Value> {
    let (_, versions) = catalog.groups().find(|(group, _)| &***group == name && !name.is_empty())?;
    let versions: Vec<Value> = versions
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": &**version}))
        .collect();
    let preferred = versions.first().cloned();
    Some(json!({"name": name, "versions": versions, "preferredVersion": preferred}))
}

/// `/api/v1` or `/apis/<group>/<version>`.
pub(crate) fn resources(catalog: &Catalog, group: &str, version: &str, access: Access) -> Option<Value> {
    let mut shown = Vec::new();
    for resource in catalog.resources(group, version)?.values() {
        let mut entry = json!({
            "name": &*resource.plural,
            "singularName": &*resource.singular,
            "namespaced": resource.namespaced,
            "kind": &*resource.kind,
            "verbs": verbs(resource, access),
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(texts(&resource.short_names));
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(texts(&resource.categories));
        }
        shown.push(entry);
        for sub in subresources(resource, access) {
            let (_, _, kind) = served_kind(resource, &sub);
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, sub.name),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": kind,
                "verbs": sub.verbs,
            });
            if !sub.group.is_empty() {
                entry["group"] = sub.group.into();
                entry["version"] = sub.version.into();
            }
            shown.push(entry);
        }
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": shown,
    }))
}

fn texts(texts: &[std::sync::Arc<str>]) -> Vec<&str> {
    texts.iter().map(|text| &**text).collect()
}
