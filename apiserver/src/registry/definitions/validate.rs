//! What is wrong with a definition.
//!
//! An API server keeps what all versions have in common once, beside them, and names it there in errors: the schema of a
//! definition with one version is `spec.validation`, not `spec.versions[0].schema`.

use serde_json::{Value, json};

use crate::{
    Resource, names,
    names::NameRule,
    registry::text,
    schema::{ErrorKind, FieldError, Schema, field_path, go_json, structural_errors},
};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
/// The most fields of a version that objects can be selected by.
const MAX_SELECTABLE: u64 = 8;
/// The longest warning of a deprecated version.
const MAX_WARNING: usize = 256;
const APPROVAL: &str = "api-approved.kubernetes.io";
/// What the root of a schema may say when its status is written apart.
const ROOT_KEYWORDS: &[&str] = &[
    "description",
    "type",
    "format",
    "title",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "required",
    "items",
    "properties",
    "externalDocs",
    "example",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

pub(super) fn validate(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (group, plural) = (text(object, "/spec/group"), text(object, "/spec/names/plural"));
    let name = text(object, "/metadata/name");
    if name != format!("{plural}.{group}") {
        errors.push(FieldError::invalid("metadata.name", name, "must be spec.names.plural+\".\"+spec.group"));
    }
    errors.extend(group_and_scope(object));
    let versions = object["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, version) in versions.iter().enumerate() {
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            errors.push(FieldError::required(format!("spec.versions[{index}].schema.openAPIV3Schema"), ""));
        }
    }
    let common = Common::of(versions);
    for (index, version) in versions.iter().enumerate() {
        let at = format!("spec.versions[{index}]");
        let name = text(version, "/name");
        errors.extend(dns_label(&format!("{at}.name"), name, ""));
        errors.extend(deprecation(version, &at));
        if !common.schema {
            errors.extend(schema(version, &format!("{at}.schema")));
        }
        if !common.subresources {
            errors.extend(subresources(version, &format!("{at}.subresources")));
        }
        if !common.columns {
            errors.extend(columns(version, &format!("{at}.additionalPrinterColumns")));
        }
        if !common.selectable {
            errors.extend(selectable(version, &format!("{at}.selectableFields")));
        }
    }
    errors.extend(version_set(versions, &common));
    for field in ["plural", "singular", "kind", "listKind"] {
        if text(object, &format!("/spec/names/{field}")).is_empty() {
            errors.push(FieldError::required(format!("spec.names.{field}"), ""));
        }
    }
    errors.extend(name_errors(&object["spec"]["names"]));
    if let Some(first) = versions.first() {
        if common.schema {
            errors.extend(schema(first, "spec.validation"));
        }
        if common.subresources {
            errors.extend(subresources(first, "spec.subresources"));
        }
        if common.columns {
            errors.extend(columns(first, "spec.additionalPrinterColumns"));
        }
        if common.selectable {
            errors.extend(selectable(first, "spec.selectableFields"));
        }
    }
    errors.extend(conversion(object));
    errors.extend(stored_versions(object, versions));
    errors.extend(approval(object, group));
    if object["spec"]["preserveUnknownFields"] == true {
        let message = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid("spec.preserveUnknownFields", true, message));
    }
    if errors.is_empty()
        && let Err(error) = Resource::from_crd(object)
    {
        errors.push(FieldError::invalid("spec", Value::Null, error.to_string()));
    }
    errors
}

/// What all versions have alike.
struct Common {
    schema: bool,
    subresources: bool,
    columns: bool,
    selectable: bool,
}

impl Common {
    fn of(versions: &[Value]) -> Self {
        let same = |field: &str| versions.iter().all(|version| version.get(field) == versions[0].get(field));
        Self {
            schema: same("schema"),
            subresources: same("subresources"),
            columns: same("additionalPrinterColumns"),
            selectable: same("selectableFields"),
        }
    }
}

fn group_and_scope(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let group = text(object, "/spec/group");
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if let Err(problem) = names::subdomain(group) {
        errors.push(FieldError::invalid("spec.group", group, problem));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid("spec.group", group, "should be a domain with at least one dot"));
    }
    let scope = text(object, "/spec/scope");
    if scope.is_empty() {
        errors.push(FieldError::required("spec.scope", ""));
    } else if !matches!(scope, "Namespaced" | "Cluster") {
        errors.push(FieldError::not_supported("spec.scope", scope, ["Cluster", "Namespaced"]));
    }
    errors
}

fn dns_label(at: &str, value: &str, prefix: &str) -> Option<FieldError> {
    let problem = NameRule::Service.check(&value.to_lowercase()).and(match prefix {
        // Kinds may have capitals.
        "" => NameRule::Service.check(value),
        _ => Ok(()),
    });
    problem.err().map(|problem| FieldError::invalid(at, value, format!("{prefix}{problem}")))
}

fn name_errors(names: &Value) -> Vec<FieldError> {
    const MIXED: &str = "may have mixed case, but should otherwise match: ";
    let mut errors = Vec::new();
    for (field, prefix) in [("plural", ""), ("singular", ""), ("kind", MIXED), ("listKind", MIXED)] {
        let value = names[field].as_str().unwrap_or_default();
        if !value.is_empty() {
            errors.extend(dns_label(&format!("spec.names.{field}"), value, prefix));
        }
    }
    let list = |field: &'static str| {
        let values = names[field].as_array().into_iter().flatten().filter_map(Value::as_str).enumerate();
        values.filter_map(move |(index, value)| dns_label(&format!("spec.names.{field}[{index}]"), value, ""))
    };
    errors.extend(list("shortNames"));
    if names["kind"].as_str().is_some_and(|kind| names["listKind"] == kind) {
        let message = "kind and listKind may not be the same";
        errors.push(FieldError::invalid("spec.names.listKind", names["listKind"].clone(), message));
    }
    errors.extend(list("categories"));
    errors
}

fn deprecation(version: &Value, at: &str) -> Option<FieldError> {
    let warning = version.get("deprecationWarning").filter(|warning| !warning.is_null())?;
    let text = warning.as_str().unwrap_or_default();
    let message = if version["deprecated"] != true {
        "can only be set for deprecated versions".to_owned()
    } else if text.is_empty() {
        "must not be an empty string".to_owned()
    } else if text.len() > MAX_WARNING {
        format!("must be <= {MAX_WARNING} characters long")
    } else {
        let (index, _) = text.char_indices().find(|(_, c)| c.is_control())?;
        format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        )
    };
    Some(FieldError::invalid(format!("{at}.deprecationWarning"), warning.clone(), message))
}

fn schema(version: &Value, at: &str) -> Vec<FieldError> {
    let Some(schema) = version.pointer("/schema/openAPIV3Schema") else { return Vec::new() };
    let at = format!("{at}.openAPIV3Schema");
    let mut errors = Vec::new();
    if version.pointer("/subresources/status").is_some()
        && let Some(keys) = schema.as_object()
        && keys.keys().any(|key| !ROOT_KEYWORDS.contains(&key.as_str()))
    {
        let message = "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource is enabled";
        errors.push(FieldError::invalid(&at, schema.clone(), message));
    }
    if schema["nullable"] == true {
        errors.push(FieldError::forbidden(format!("{at}.nullable"), "nullable cannot be true at the root"));
    }
    errors.extend(structural_errors(schema, &at));
    errors
}

fn subresources(version: &Value, at: &str) -> Vec<FieldError> {
    let Some(scale) = version.pointer("/subresources/scale").filter(|scale| scale.is_object()) else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    let rules: [(&str, &[&str], &str); 3] = [
        ("specReplicasPath", &[".spec."], "should be a json path under .spec"),
        ("statusReplicasPath", &[".status."], "should be a json path under .status"),
        ("labelSelectorPath", &[".spec.", ".status."], "should be a json path under either .spec or .status"),
    ];
    for (field, below, message) in rules {
        let (path, at) = (scale[field].as_str().unwrap_or_default(), format!("{at}.scale.{field}"));
        if path.is_empty() {
            if field != "labelSelectorPath" {
                errors.push(FieldError::required(at, ""));
            }
        } else if !path.starts_with('.') {
            errors.push(FieldError::invalid(at, path, "must be a simple json path starting with ."));
        } else if !below.iter().any(|prefix| path.starts_with(prefix)) {
            errors.push(FieldError::invalid(at, path, message));
        }
    }
    errors
}

fn columns(version: &Value, at: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
    for (index, column) in columns.enumerate() {
        let (at, text) = (format!("{at}[{index}]"), |field: &str| column[field].as_str().unwrap_or_default());
        if text("name").is_empty() {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        }
        let types = format!("must be one of {}", COLUMN_TYPES.join(","));
        match text("type") {
            "" => errors.push(FieldError::required(format!("{at}.type"), types)),
            ty if !COLUMN_TYPES.contains(&ty) => {
                errors.push(FieldError::invalid(format!("{at}.type"), ty, types))
            }
            _ => {}
        }
        let format = text("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let message = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(format!("{at}.format"), format, message));
        }
        match text("jsonPath") {
            "" => errors.push(FieldError::required(format!("{at}.JSONPath"), "")),
            path if !path.starts_with('.') => {
                let message = "must be a simple json path starting with .";
                errors.push(FieldError::invalid(format!("{at}.JSONPath"), path, message));
            }
            _ => {}
        }
    }
    errors
}

fn selectable(version: &Value, at: &str) -> Vec<FieldError> {
    let fields = version["selectableFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let schema = version.pointer("/schema/openAPIV3Schema").and_then(|schema| Schema::parse(schema).ok());
    let Some(schema) = schema else { return Vec::new() };
    let (mut errors, mut seen) = (Vec::new(), Vec::new());
    for (index, field) in fields.iter().enumerate() {
        let (path, at) = (field["jsonPath"].as_str().unwrap_or_default(), format!("{at}[{index}].jsonPath"));
        if path.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        let found = match field_path(path, &schema) {
            Ok((_, found)) if !path.contains('[') => found,
            Ok(_) => {
                errors.push(FieldError::invalid(
                    at,
                    path,
                    "is an invalid path: array notation is not allowed",
                ));
                continue;
            }
            Err(problem) => {
                errors.push(FieldError::invalid(at, path, format!("is an invalid path: {problem}")));
                continue;
            }
        };
        if path == ".metadata" || path.starts_with(".metadata.") {
            errors.push(FieldError::invalid(&at, path, "must not point to fields in metadata"));
        }
        if !found.json_type().is_some_and(|ty| matches!(ty.name(), "string" | "boolean" | "integer")) {
            let message = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(&at, path, message));
        }
        if seen.contains(&path) {
            errors.push(FieldError::duplicate(at, path));
        } else {
            seen.push(path);
        }
    }
    if seen.len() as u64 > MAX_SELECTABLE {
        errors.push(FieldError::too_many(at, seen.len(), MAX_SELECTABLE));
    }
    errors
}

fn version_set(versions: &[Value], common: &Common) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut whole = |message: &str| {
        let error = FieldError::new("spec.versions", ErrorKind::Invalid, message, None);
        errors.push(error.showing(shown(versions, common)));
    };
    let name = |version: &Value| text(version, "/name").to_owned();
    let unique =
        versions.iter().enumerate().all(|(i, v)| versions[..i].iter().all(|other| name(other) != name(v)));
    if !unique {
        whole("must contain unique version names");
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        whole("must have exactly one version marked as storage version");
    }
    // The first version is also kept as the version of old clients.
    errors.extend(versions.first().and_then(|first| dns_label("spec.version", text(first, "/name"), "")));
    errors
}

/// Versions as an API server prints them: its own names for the fields, without what is kept beside them.
fn shown(versions: &[Value], common: &Common) -> String {
    let shown = versions.iter().map(|version| {
        let own = |apart: bool, field: &str| if apart { Value::Null } else { version[field].clone() };
        let field = |name: &str, value: Value| format!("{name:?}:{}", go_json(&value));
        [
            field("Name", version["name"].clone()),
            field("Served", json!(version["served"] == true)),
            field("Storage", json!(version["storage"] == true)),
            field("Deprecated", json!(version["deprecated"] == true)),
            field("DeprecationWarning", version["deprecationWarning"].clone()),
            field("Schema", own(common.schema, "schema")),
            field("Subresources", own(common.subresources, "subresources")),
            field("AdditionalPrinterColumns", own(common.columns, "additionalPrinterColumns")),
            field("SelectableFields", own(common.selectable, "selectableFields")),
        ]
        .join(",")
    });
    format!("[{}]", shown.map(|fields| format!("{{{fields}}}")).collect::<Vec<_>>().join(","))
}

fn conversion(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let conversion = &object["spec"]["conversion"];
    match text(object, "/spec/conversion/strategy") {
        "Webhook" => {
            let message = "conversion webhooks are not supported by this server";
            errors.push(FieldError::forbidden("spec.conversion.strategy", message));
        }
        "None" => {
            let set = [
                ("clientConfig", "webhookClientConfig"),
                ("conversionReviewVersions", "conversionReviewVersions"),
            ];
            for (field, shown) in
                set.into_iter().filter(|(field, _)| !conversion["webhook"][*field].is_null())
            {
                let _ = field;
                let message = "should not be set when strategy is not set to Webhook";
                errors.push(FieldError::forbidden(format!("spec.conversion.{shown}"), message));
            }
        }
        "" => errors.push(FieldError::required("spec.conversion.strategy", "")),
        other => {
            errors.push(FieldError::not_supported("spec.conversion.strategy", other, ["None", "Webhook"]))
        }
    }
    errors
}

fn stored_versions(object: &Value, versions: &[Value]) -> Vec<FieldError> {
    let at = "status.storedVersions";
    let stored = &object["status"]["storedVersions"];
    let list = stored.as_array().map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() {
        return vec![FieldError::invalid(at, Value::Null, "must have at least one stored version")];
    }
    let mut errors = Vec::new();
    for version in
        versions.iter().filter(|version| version["storage"] == true && !list.contains(&version["name"]))
    {
        let message = format!("must have the storage version {}", text(version, "/name"));
        errors.push(FieldError::invalid(at, stored.clone(), message));
    }
    for (index, name) in list.iter().enumerate() {
        if !versions.iter().any(|version| version["name"] == *name) {
            let name = name.as_str().unwrap_or_default();
            let message = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.push(FieldError::invalid(format!("{at}[{index}]"), name, message));
        }
    }
    errors
}

/// Groups of Kubernetes itself need the word of its reviewers.
fn approval(object: &Value, group: &str) -> Option<FieldError> {
    let protected = ["k8s.io", "kubernetes.io"];
    if !protected.iter().any(|domain| group == *domain || group.ends_with(&format!(".{domain}"))) {
        return None;
    }
    let at = format!("metadata.annotations[{APPROVAL}]");
    let link = "see https://github.com/kubernetes/enhancements/pull/1111";
    let annotation = object["metadata"]["annotations"][APPROVAL].as_str().unwrap_or_default();
    if annotation.is_empty() {
        return Some(FieldError::required(
            at,
            format!("protected groups must have approval annotation {APPROVAL:?}, {link}"),
        ));
    }
    let url =
        annotation.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    let message = format!(
        "protected groups must have approval annotation {APPROVAL:?} with either a URL or a reason starting with \"unapproved\", {link}"
    );
    (!url && !annotation.starts_with("unapproved")).then(|| FieldError::invalid(at, annotation, message))
}
