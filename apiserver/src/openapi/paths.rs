//! The operations of a document.

use serde_json::{Map, Value, json};

use super::components::{DELETE_OPTIONS, PATCH, SCALE, STATUS, component_name, kind_of};
use super::{Operations, group_version_path, reference};
use crate::Resource;

/// A query parameter: name, type, what it means.
type Parameter = (&'static str, &'static str, &'static str);

const DRY_RUN: Parameter =
    ("dryRun", "string", "When present, nothing is persisted. The only valid value is All.");
const FIELD_MANAGER: Parameter =
    ("fieldManager", "string", "The name of the actor or entity that makes these changes.");
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "How unknown or duplicate fields are treated: Ignore drops them, Warn drops them with a warning, Strict refuses them.",
);
const FORCE: Parameter = ("force", "boolean", "Force an apply request: take fields over from their owners.");

const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "Asks for events of type BOOKMARK."),
    ("continue", "string", "The token of the page before."),
    ("fieldSelector", "string", "Restricts the objects by their fields."),
    ("labelSelector", "string", "Restricts the objects by their labels."),
    ("limit", "integer", "The largest number of objects in one answer."),
    ("resourceVersion", "string", "The version to list or watch from."),
    ("resourceVersionMatch", "string", "How resourceVersion applies to a list."),
    ("sendInitialEvents", "boolean", "Asks a watch to begin with the objects there are."),
    ("timeoutSeconds", "integer", "How long the call may last."),
    ("watch", "boolean", "Asks for changes instead of a list."),
];

const WRITE: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
const PATCH_PARAMETERS: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE];

const DELETE: &[Parameter] = &[
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "Seconds before the object is deleted. Zero means at once."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    (
        "propagationPolicy",
        "string",
        "Whether and how dependents are deleted: Orphan, Background or Foreground.",
    ),
];

const JSON: &[&str] = &["application/json", "application/yaml"];
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];
/// Strategic merge is for built-in kinds only.
const CUSTOM_PATCHES: usize = 3;

/// One operation on a path.
struct Operation<'a> {
    method: &'a str,
    action: &'a str,
    /// Begins the operation's id.
    verb: &'a str,
    parameters: &'a [Parameter],
    /// Media types and schema of the request body.
    body: Option<(&'a [&'a str], Value)>,
    answer: Value,
}

/// Adds every path of a resource.
pub(super) fn add(paths: &mut Map<String, Value>, resource: &Resource, operations: Operations) {
    let root = format!("/{}", group_version_path(&resource.group, &resource.version));
    let plural = &resource.plural;
    let (scope, place) =
        if resource.namespaced { ("/namespaces/{namespace}", "Namespaced") } else { ("", "") };
    let collection = format!("{root}{scope}/{plural}");
    let object = format!("{collection}/{{name}}");
    let writes = operations == Operations::All;
    if resource.namespaced {
        let all = [list_operation(resource)];
        paths.insert(format!("{root}/{plural}"), path_item(resource, &all, "", "ForAllNamespaces", ""));
    }
    let item = reference(&component_name(&resource.group, &resource.version, &resource.kind));
    paths.insert(collection.clone(), {
        let mut all = vec![list_operation(resource)];
        if writes {
            all.push(write("post", "post", "create", &item));
            all.push(Operation {
                verb: "deleteCollection",
                action: "deletecollection",
                parameters: LIST,
                answer: reference(STATUS),
                ..delete()
            });
        }
        path_item(resource, &all, &collection, place, "")
    });
    paths.insert(object.clone(), {
        let mut all = vec![read(&item)];
        if writes {
            all.extend([write("put", "put", "replace", &item), patch(resource, &item), delete()]);
        }
        path_item(resource, &all, &object, place, "")
    });
    let scale = resource.scale.as_ref().map(|_| ("scale", reference(SCALE)));
    let status = resource.status.then(|| ("status", item.clone()));
    for (name, schema) in status.into_iter().chain(scale) {
        let path = format!("{object}/{name}");
        let mut all = vec![read(&schema)];
        if writes {
            all.extend([write("put", "put", "replace", &schema), patch(resource, &schema)]);
        }
        let item = path_item(resource, &all, &path, place, name);
        paths.insert(path, item);
    }
}

fn list_operation(resource: &Resource) -> Operation<'static> {
    let list = component_name(&resource.group, &resource.version, &resource.list_kind);
    Operation {
        method: "get",
        action: "list",
        verb: "list",
        parameters: LIST,
        body: None,
        answer: reference(&list),
    }
}

fn read(schema: &Value) -> Operation<'static> {
    Operation {
        method: "get",
        action: "get",
        verb: "read",
        parameters: &[],
        body: None,
        answer: schema.clone(),
    }
}

fn write<'a>(method: &'a str, action: &'a str, verb: &'a str, schema: &Value) -> Operation<'a> {
    let body = Some((JSON, schema.clone()));
    Operation { method, action, verb, parameters: WRITE, body, answer: schema.clone() }
}

fn patch(resource: &Resource, schema: &Value) -> Operation<'static> {
    let types = if resource.custom { &PATCHES[..CUSTOM_PATCHES] } else { PATCHES };
    Operation {
        method: "patch",
        action: "patch",
        verb: "patch",
        parameters: PATCH_PARAMETERS,
        body: Some((types, reference(PATCH))),
        answer: schema.clone(),
    }
}

fn delete() -> Operation<'static> {
    Operation {
        method: "delete",
        action: "delete",
        verb: "delete",
        parameters: DELETE,
        body: Some((JSON, reference(DELETE_OPTIONS))),
        answer: reference(STATUS),
    }
}

/// The operations of one path, with the parameters that are part of it.
fn path_item(
    resource: &Resource,
    operations: &[Operation<'_>],
    path: &str,
    place: &str,
    subresource: &str,
) -> Value {
    let mut item = Map::new();
    for operation in operations {
        item.insert(operation.method.to_owned(), render(resource, operation, place, subresource));
    }
    let within = |name: &str, description: String| {
        json!({"name": name, "in": "path", "required": true, "description": description,
            "schema": {"type": "string", "uniqueItems": true}})
    };
    let mut parameters = Vec::new();
    if path.contains("{name}") {
        parameters.push(within("name", format!("name of the {}", resource.kind)));
    }
    if path.contains("{namespace}") {
        parameters.push(within("namespace", "namespace of the object".to_owned()));
    }
    if !parameters.is_empty() {
        item.insert("parameters".into(), parameters.into());
    }
    Value::Object(item)
}

fn render(resource: &Resource, operation: &Operation<'_>, place: &str, subresource: &str) -> Value {
    let tag = tag(resource);
    let (scope, everywhere) = if place == "ForAllNamespaces" { ("", place) } else { (place, "") };
    let id = format!(
        "{}{}{scope}{}{}{everywhere}",
        operation.verb,
        title(&tag),
        resource.kind,
        title(subresource)
    );
    let kind = if subresource == "scale" {
        json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
    } else {
        kind_of(resource, &resource.kind)
    };
    let parameter = |(name, ty, description): &Parameter| {
        json!({"name": name, "in": "query", "description": description,
            "schema": {"type": ty, "uniqueItems": true}})
    };
    let content = |types: &[&str], schema: &Value| -> Map<String, Value> {
        types.iter().map(|ty| ((*ty).to_owned(), json!({"schema": schema}))).collect()
    };
    let mut rendered = json!({
        "operationId": id,
        "tags": [tag],
        "parameters": operation.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": {"200": {"description": "OK", "content": content(JSON, &operation.answer)}},
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": kind,
    });
    if let Some((types, schema)) = &operation.body {
        rendered["requestBody"] = json!({"content": content(types, schema)});
    }
    rendered
}

/// `core_v1`, `tkexTencentCom_v1alpha1`.
fn tag(resource: &Resource) -> String {
    let group = match &*resource.group {
        "" => "core".to_owned(),
        group => {
            let mut parts = group.split(['.', '-']);
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |tag, part| tag + &title(part))
        }
    };
    format!("{group}_{}", resource.version)
}

/// The words of a tag in CamelCase: `core_v1` -> `CoreV1`.
fn title(text: &str) -> String {
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
    };
    text.split('_').map(capital).collect()
}
