//! The built-in resources as data.

use std::sync::Arc;

use crate::{Conversion, GroupResource, Resource, builtin, schema::Schema};

/// One line of the table below.
struct Entry {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    status: bool,
    selectable: &'static [&'static str],
}

const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
const NEW_EVENT_FIELDS: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];
const POD_FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];

const fn core(plural: &'static str, kind: &'static str, short: &'static [&'static str]) -> Entry {
    Entry { group: "", version: "v1", plural, kind, short, namespaced: true, status: false, selectable: &[] }
}

const TABLE: &[Entry] = &[
    Entry { status: true, selectable: POD_FIELDS, ..core("pods", "Pod", &["po"]) },
    Entry {
        namespaced: false,
        status: true,
        selectable: &["status.phase"],
        ..core("namespaces", "Namespace", &["ns"])
    },
    Entry {
        namespaced: false,
        status: true,
        selectable: &["spec.unschedulable"],
        ..core("nodes", "Node", &["no"])
    },
    Entry {
        status: true,
        selectable: &["spec.clusterIP", "spec.type"],
        ..core("services", "Service", &["svc"])
    },
    core("endpoints", "Endpoints", &["ep"]),
    Entry { status: true, ..core("persistentvolumeclaims", "PersistentVolumeClaim", &["pvc"]) },
    Entry { namespaced: false, status: true, ..core("persistentvolumes", "PersistentVolume", &["pv"]) },
    core("configmaps", "ConfigMap", &["cm"]),
    Entry { selectable: &["type"], ..core("secrets", "Secret", &[]) },
    core("serviceaccounts", "ServiceAccount", &["sa"]),
    Entry { status: true, ..core("resourcequotas", "ResourceQuota", &["quota"]) },
    Entry { group: "policy", status: true, ..core("poddisruptionbudgets", "PodDisruptionBudget", &["pdb"]) },
    Entry {
        group: "autoscaling",
        version: "v2",
        status: true,
        ..core("horizontalpodautoscalers", "HorizontalPodAutoscaler", &["hpa"])
    },
    Entry { selectable: EVENT_FIELDS, ..core("events", "Event", &["ev"]) },
    Entry { group: "events.k8s.io", selectable: NEW_EVENT_FIELDS, ..core("events", "Event", &["ev"]) },
    Entry { group: "apps", ..core("controllerrevisions", "ControllerRevision", &[]) },
    Entry { group: "coordination.k8s.io", ..core("leases", "Lease", &[]) },
    Entry { group: "storage.k8s.io", namespaced: false, ..core("storageclasses", "StorageClass", &["sc"]) },
    Entry {
        group: "apiextensions.k8s.io",
        namespaced: false,
        status: true,
        ..core("customresourcedefinitions", "CustomResourceDefinition", &["crd", "crds"])
    },
];

/// The built-in resources.
pub(crate) fn resources() -> Vec<Arc<Resource>> {
    TABLE.iter().map(|entry| Arc::new(resource(entry))).collect()
}

fn resource(entry: &Entry) -> Resource {
    let Entry { group, version, plural, kind, .. } = *entry;
    let events = group == "events.k8s.io";
    let all = matches!(plural, "pods" | "services" | "horizontalpodautoscalers");
    let api_extensions = group == "apiextensions.k8s.io";
    Resource {
        group: group.into(),
        version: version.into(),
        plural: plural.into(),
        singular: kind.to_lowercase().into(),
        kind: kind.into(),
        list_kind: format!("{kind}List").into(),
        short_names: entry.short.iter().map(|name| Arc::from(*name)).collect(),
        categories: match (all, api_extensions) {
            (true, _) => vec!["all".into()],
            (_, true) => vec!["api-extensions".into()],
            _ => Vec::new(),
        },
        namespaced: entry.namespaced,
        status: entry.status,
        scale: None,
        selectable: entry.selectable.iter().map(|field| Arc::from(*field)).collect(),
        columns: Vec::new(),
        schema: builtin::schema(group, version, kind).unwrap_or_else(|| Arc::new(Schema::untyped().clone())),
        document: None,
        custom: false,
        deprecation: (plural == "endpoints")
            .then(|| "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into()),
        stored_as: GroupResource::new(if events { "" } else { group }, plural),
        conversion: if events { Conversion::Events } else { Conversion::None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_resource_has_a_schema() {
        for resource in resources() {
            let schema = builtin::schema(&resource.group, &resource.version, &resource.kind);
            assert!(schema.is_some(), "{} {}", resource.api_version(), resource.kind);
        }
    }
}
