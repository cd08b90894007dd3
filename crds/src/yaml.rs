//! The definitions as files.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Number, Value};

/// First line of each file.
const MARK: &str = "# Generated from the Rust types in crds/src; do not edit. To regenerate:";
/// Second line of each file: the command.
const COMMAND: &str = "# MUSTER_UPDATE=1 cargo test -p muster-crds yaml";

/// File name and text of every definition, as they stand in crds/yaml.
pub fn yaml() -> Vec<(String, String)> {
    crate::all().iter().map(|definition| (file_name(definition), text(definition))).collect()
}

fn file_name(definition: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", definition.spec.group, definition.spec.names.plural)
}

fn text(definition: &CustomResourceDefinition) -> String {
    #[expect(
        clippy::expect_used,
        reason = "a definition is strings, numbers, lists and maps with string keys"
    )]
    let body = serde_json::to_value(definition)
        .map(whole_numbers)
        .map(|definition| serde_saphyr::to_string(&definition))
        .expect("a definition is JSON")
        .expect("JSON is YAML");
    format!("{MARK}\n{COMMAND}\n{body}")
}

/// Spells `0.0` as `0`: the Kubernetes types hold bounds as floating point numbers.
fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => Number::from(float as i64),
            _ => number,
        }),
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, whole_numbers(value))).collect()
        }
        other => other,
    }
}
