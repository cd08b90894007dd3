//! Uniqueness in lists.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::schema::{Additional, FieldError, ListType, Schema, join};

impl Schema {
    /// Elements of sets and list maps that occur more than once; each is named where it is repeated first.
    pub(super) fn duplicates(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.collect_duplicates(value, "", true, &mut errors);
        errors
    }

    /// `whole` says that the value is an object with metadata, whose lists may repeat themselves.
    fn collect_duplicates(&self, value: &Value, path: &str, whole: bool, errors: &mut Vec<FieldError>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter().filter(|(key, _)| !whole || *key != "metadata") {
                    match (self.properties.get(key), &self.additional) {
                        (Some(schema), _) => {
                            schema.collect_duplicates(value, &join(path, key), schema.embedded, errors);
                        }
                        (None, Additional::Schema(schema)) => {
                            schema.collect_duplicates(
                                value,
                                &format!("{path}[{key}]"),
                                schema.embedded,
                                errors,
                            );
                        }
                        _ => {}
                    }
                }
            }
            Value::Array(list) => {
                match self.list_type {
                    ListType::Atomic => {}
                    ListType::Set => {
                        let repeated = repeats(list.iter().cloned());
                        let error = |i: usize| FieldError::duplicate(format!("{path}[{i}]"), list[i].clone());
                        errors.extend(repeated.into_iter().map(error));
                    }
                    ListType::Map => self.duplicate_keys(list, path, errors),
                }
                if let Some(items) = &self.items {
                    for (index, element) in list.iter().enumerate() {
                        items.collect_duplicates(
                            element,
                            &format!("{path}[{index}]"),
                            items.embedded,
                            errors,
                        );
                    }
                }
            }
            _ => {}
        }
    }

    fn duplicate_keys(&self, list: &[Value], path: &str, errors: &mut Vec<FieldError>) {
        for (index, element) in list.iter().enumerate() {
            if !element.is_object() && !element.is_null() {
                errors.push(FieldError::invalid(
                    format!("{path}[{index}]"),
                    element.clone(),
                    "must be an object for an array of list-type map",
                ));
                return;
            }
        }
        let key = |element: &Value| {
            let has = |name: &String| Some((name.clone(), element.get(name)?.clone()));
            Value::Object(self.list_map_keys.iter().filter_map(has).collect::<Map<_, _>>())
        };
        for index in repeats(list.iter().map(key)) {
            errors.push(FieldError::duplicate(format!("{path}[{index}]"), key(&list[index])));
        }
    }
}

/// The positions at which a value occurs for the second time.
fn repeats(values: impl Iterator<Item = Value>) -> Vec<usize> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            found.push(index);
        }
    }
    found
}

/// Whether any two elements are equal.
pub(super) fn has_duplicates(list: &[Value]) -> bool {
    !repeats(list.iter().cloned()).is_empty()
}

/// Whether two elements of a list map have the same key.
pub(super) fn same_key(keys: &[String], one: &Value, other: &Value) -> bool {
    keys.iter().all(|key| one.get(key) == other.get(key))
}

/// Equality that does not tell `1` from `1.0`.
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => one == other,
    }
}
