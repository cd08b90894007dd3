//! Tables: what `kubectl get` shows, computed by the server.
//!
//! Built-in kinds have the columns of a Kubernetes API server; custom resources those of their
//! definition's `additionalPrinterColumns`, else name and age.
//!
//! ```
//! use muster_apiserver::table::Columns;
//! use serde_json::json;
//!
//! let columns = Columns::of("", "ConfigMap", &[]);
//! let object = json!({"metadata": {"name": "colours", "creationTimestamp": "2026-01-01T00:00:00Z"}, "data": {"a": "1"}});
//! let now = "2026-01-01T00:05:00Z".parse()?;
//! assert_eq!(columns.row(&object, now), [json!("colours"), json!(1), json!("5m")]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod builtin;
mod duration;
mod jsonpath;
mod pod;
mod policy;
mod storage;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub use duration::human_duration;
pub use jsonpath::{JsonPath, JsonPathError};

const NAME: &str = "Name must be unique within a namespace.";
const AGE: &str = "The time at which the object was created.";

/// The columns of one resource, in order.
#[derive(Debug)]
pub struct Columns {
    columns: Vec<Column>,
    cells: Cells,
}

/// One column, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The heading; kubectl prints it in capitals.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub ty: String,
    /// `name` for the object's name, otherwise what the definition says.
    pub format: String,
    /// What it means.
    pub description: String,
    /// 0 always shown, above 0 only in wide output.
    pub priority: i64,
}

/// Computes all cells of a built-in kind's row.
type Printer = fn(&Value, Timestamp) -> Vec<Value>;

/// How a row is made.
#[derive(Debug)]
enum Cells {
    Builtin(Printer),
    /// The name, then one path for each further column; `None` is a path that does not parse.
    Paths(Vec<Option<JsonPath>>),
}

impl Columns {
    /// The columns of a resource: those of the built-in kind, or `custom` (a version's
    /// `additionalPrinterColumns`), or name and age.
    pub fn of(group: &str, kind: &str, custom: &[Value]) -> Self {
        if let Some(columns) = builtin::columns(group, kind) {
            return columns;
        }
        let age = [
            json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": AGE}),
        ];
        let custom = if custom.is_empty() { age.as_slice() } else { custom };
        let mut columns = vec![name_column()];
        let mut paths = Vec::new();
        for column in custom {
            let text = |key: &str| column.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let path = text("jsonPath");
            let mut description = text("description");
            if description.is_empty() {
                description = format!("Custom resource definition column (in JSONPath format): {path}");
            }
            columns.push(Column {
                name: text("name"),
                ty: text("type"),
                format: text("format"),
                description,
                priority: column.get("priority").and_then(Value::as_i64).unwrap_or_default(),
            });
            paths.push(JsonPath::parse(&path).ok());
        }
        Self { columns, cells: Cells::Paths(paths) }
    }

    fn builtin(columns: &[(&str, &str, i64)], print: Printer) -> Self {
        let column = |(name, description, priority): &(&str, &str, i64)| match *name {
            "Name" => Column { priority: *priority, ..name_column() },
            _ => Column {
                name: (*name).to_owned(),
                // Definitions are printed with the time itself, by a table that calls it one.
                ty: if *name == "Created At" { "date" } else { "string" }.to_owned(),
                format: String::new(),
                description: (*description).to_owned(),
                priority: *priority,
            },
        };
        Self { columns: columns.iter().map(column).collect(), cells: Cells::Builtin(print) }
    }

    /// The columns, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter()
    }

    /// `columnDefinitions` of a meta.k8s.io/v1 Table.
    pub fn definitions(&self) -> Vec<Value> {
        let definition = |c: &Column| json!({"name": c.name, "type": c.ty, "format": c.format, "description": c.description, "priority": c.priority});
        self.columns.iter().map(definition).collect()
    }

    /// What a row says beside its cells: that a pod has come to its end, and kubectl may leave it out.
    pub fn conditions(&self, object: &Value) -> Vec<Value> {
        match &self.cells {
            Cells::Builtin(_) if text(object, "/kind") == "Pod" => pod::conditions(object),
            _ => Vec::new(),
        }
    }

    /// The cells of one object, one for each column; null where it has no such value.
    pub fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let paths = match &self.cells {
            Cells::Builtin(print) => return print(object, now),
            Cells::Paths(paths) => paths,
        };
        let name = text(object, "/metadata/name").into();
        let others = self.columns.iter().skip(1).zip(paths).map(|(column, path)| {
            let found = path.as_ref().and_then(|path| path.find(object).into_iter().next());
            found.map_or(Value::Null, |value| cell(&column.ty, value, now))
        });
        std::iter::once(name).chain(others).collect()
    }
}

fn name_column() -> Column {
    Column {
        name: "Name".into(),
        ty: "string".into(),
        format: "name".into(),
        description: NAME.into(),
        priority: 0,
    }
}

/// A value as a cell of a custom column; null where it is not of the column's type.
fn cell(ty: &str, value: &Value, now: Timestamp) -> Value {
    match (ty, value) {
        ("string", Value::String(text)) => text.as_str().into(),
        ("string", Value::Null) => Value::Null,
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(float)) => (float as i64).into(),
            _ => Value::Null,
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => human_duration(now.duration_since(time)).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

/// The text at a JSON pointer, or `""`.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The text at a JSON pointer, or a placeholder where there is none.
fn text_or<'a>(object: &'a Value, pointer: &str, placeholder: &'a str) -> &'a str {
    match text(object, pointer) {
        "" => placeholder,
        text => text,
    }
}

/// The integer at a JSON pointer, or 0.
fn integer(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The elements of the list at a JSON pointer.
fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The entries of the object at a JSON pointer.
fn map<'a>(object: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    object.pointer(pointer).and_then(Value::as_object)
}

/// How long ago the time at a JSON pointer was, or `<unknown>`.
fn since(object: &Value, pointer: &str, now: Timestamp) -> String {
    match text(object, pointer).parse::<Timestamp>() {
        Ok(time) => human_duration(now.duration_since(time)),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// The object's age.
fn age(object: &Value, now: Timestamp) -> Value {
    since(object, "/metadata/creationTimestamp", now).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T01:00:00Z";

    #[test]
    fn custom_columns_follow_their_types() {
        let columns = Columns::of(
            "games.example.com",
            "Game",
            &[
                json!({"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"}),
                json!({"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}),
                json!({"name": "Ratio", "type": "number", "jsonPath": ".status.ratio", "priority": 1}),
                json!({"name": "Paused", "type": "boolean", "jsonPath": ".spec.paused"}),
                json!({"name": "Names", "type": "string", "jsonPath": ".spec.names"}),
                json!({"name": "Missing", "type": "string", "jsonPath": ".spec.missing"}),
                json!({"name": "Wrong", "type": "integer", "jsonPath": ".spec.names"}),
                json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}),
                json!({"name": "Bad", "type": "date", "jsonPath": ".spec.names[0]"}),
            ],
        );
        let object = json!({
            "metadata": {"name": "g", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"replicas": 3.0, "paused": false, "names": ["a", "b"]},
            "status": {"ratio": 0.5, "conditions": [{"type": "Other", "status": "x"}, {"type": "Ready", "status": "True"}]},
        });
        assert_eq!(
            Value::from(columns.row(&object, NOW.parse().unwrap())),
            json!(["g", 3, "True", 0.5, false, "[\"a\",\"b\"]", null, null, "60m", "<invalid>"])
        );
        assert_eq!(columns.definitions()[3]["priority"], 1);
        assert_eq!(
            columns.definitions()[1],
            json!({"name": "Replicas", "type": "integer", "format": "", "priority": 0,
                "description": "Custom resource definition column (in JSONPath format): .spec.replicas"})
        );
    }

    #[test]
    fn a_resource_without_columns_shows_name_and_age() {
        let columns = Columns::of("games.example.com", "Game", &[]);
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["Name", "Age"]);
        let object = json!({"metadata": {"name": "g"}});
        assert_eq!(columns.row(&object, NOW.parse().unwrap()), [json!("g"), json!(null)]);
    }
}
