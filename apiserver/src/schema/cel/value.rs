//! What expressions see of a JSON value, by its schema.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, DYN_TYPE,
    Type as CelTy,
};
use cel::common::value::{CowVal, StaticVal, Val};
use serde_json::{Map, Value};

use super::declare::escape;
use super::library::ENV;
use super::lists::KeyedList;
use crate::schema::{Additional, ListType, Schema, Type};

/// A value of a schema. Fields without a schema are there for comparison only: no expression can name them.
pub(super) fn to_val(value: &Value, schema: &Schema, root: bool) -> Box<dyn Val> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::Number(number) => number_to_val(number, schema),
        Value::String(text) => text_to_val(text, schema),
        Value::Array(list) => list_to_val(list, schema),
        Value::Object(map) => map_to_val(map, schema, root || schema.embedded),
    }
}

fn number_to_val(number: &serde_json::Number, schema: &Schema) -> Box<dyn Val> {
    let double = || CelDouble::from(number.as_f64().unwrap_or_default());
    if schema.ty == Some(Type::Number) {
        return Box::new(double());
    }
    if let Some(int) = number.as_i64() {
        return Box::new(CelInt::from(int));
    }
    match number.as_u64() {
        Some(uint) => Box::new(CelUInt::from(uint)),
        None if schema.ty == Some(Type::Integer) => {
            // A whole number may have been written with a point.
            Box::new(CelInt::from(number.as_f64().unwrap_or_default() as i64))
        }
        None => Box::new(double()),
    }
}

fn text_to_val(text: &str, schema: &Schema) -> Box<dyn Val> {
    let plain = || -> Box<dyn Val> { Box::new(CelString::from(text.to_owned())) };
    if schema.int_or_string || schema.ty != Some(Type::String) {
        return plain();
    }
    let read = match schema.format.as_deref() {
        Some("byte") => {
            STANDARD.decode(text).ok().map(|bytes| Box::new(CelBytes::from(bytes)) as Box<dyn Val>)
        }
        Some("duration") => converted("duration", text.to_owned()),
        Some("date") => converted("timestamp", format!("{text}T00:00:00Z")),
        Some("date-time") => converted("timestamp", text.to_owned()),
        _ => None,
    };
    // What does not fit its format was refused before rules are asked.
    read.unwrap_or_else(plain)
}

/// What one of CEL's own conversions makes of a text.
fn converted(function: &str, text: String) -> Option<Box<dyn Val>> {
    let arguments = vec![CowVal::owned(CelString::from(text))];
    let function = ENV.find_overload(function, &arguments)?;
    Some(function(arguments).ok()?.into_owned())
}

fn list_to_val(list: &[Value], schema: &Schema) -> Box<dyn Val> {
    let items = schema.items();
    let elements: Vec<Box<dyn Val>> = list.iter().map(|element| to_val(element, items, false)).collect();
    match schema.list_type {
        ListType::Atomic => Box::new(CelList::from(elements)),
        ListType::Set => Box::new(KeyedList::set(elements)),
        ListType::Map => {
            let keys = schema.list_map_keys.iter().filter_map(|key| escape(key)).map(Cow::into_owned);
            Box::new(KeyedList::map(elements, keys.collect()))
        }
    }
}

fn map_to_val(map: &Map<String, Value>, schema: &Schema, root: bool) -> Box<dyn Val> {
    let mut fields: HashMap<CelMapKey<'static>, Box<dyn Val>> = HashMap::with_capacity(map.len());
    let values = match &schema.additional {
        Additional::Schema(values) if !root && schema.properties.is_empty() => Some(values),
        _ => None,
    };
    for (key, value) in map {
        if let Some(values) = values {
            fields.insert(key.clone().into(), to_val(value, values, false));
            continue;
        }
        // A field that is null is as good as absent.
        if value.is_null() {
            continue;
        }
        match (schema.properties.get(key), escape(key)) {
            (Some(property), Some(name)) if is_seen(property) => {
                fields.insert(name.into_owned().into(), to_val(value, property, false));
            }
            _ => {
                fields.insert(format!("\0{key}").into(), Box::new(Unseen(Arc::new(value.clone()))));
            }
        }
    }
    Box::new(CelMap::from(fields))
}

fn is_seen(schema: &Schema) -> bool {
    schema.ty.is_some() || schema.int_or_string
}

/// A value without a schema, which can only be compared.
#[derive(Debug, Clone)]
struct Unseen(Arc<Value>);

impl Val for Unseen {
    fn get_type(&self) -> &CelTy {
        Self::cel_type()
    }

    fn cel_type() -> &'static CelTy {
        &DYN_TYPE
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| other.0 == self.0)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Unseen {}
