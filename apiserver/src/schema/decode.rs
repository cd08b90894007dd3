//! Decoding a request body, noticing fields that are written twice.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep a request body may nest; serde_json's own limit is 128.
const MAX_BODY_DEPTH: usize = 120;

/// Up to here every whole number is a `f64`.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A decoded body.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The value; of a field written twice the last one counts.
    pub value: Value,
    /// Paths of the fields that were written twice, such as `spec.replicas`.
    pub duplicates: Vec<String>,
}

/// Decodes a value from any format, noting duplicate fields.
///
/// `decode(&mut serde_json::Deserializer::from_slice(body))` for JSON.
pub fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decoded, D::Error> {
    let duplicates = RefCell::new(Vec::new());
    let value = Node { at: None, depth: 0, duplicates: &duplicates }.deserialize(deserializer)?;
    Ok(Decoded { value, duplicates: duplicates.into_inner() })
}

struct Node<'a> {
    /// The node above and the step down from it; nothing at the root. Spelled out only where a field is written twice.
    at: Option<(&'a Node<'a>, Step<'a>)>,
    depth: usize,
    duplicates: &'a RefCell<Vec<String>>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

impl Node<'_> {
    fn child<'b, E: Error>(&'b self, step: Step<'b>) -> Result<Node<'b>, E> {
        if self.depth >= MAX_BODY_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_BODY_DEPTH} levels")));
        }
        Ok(Node { at: Some((self, step)), depth: self.depth + 1, duplicates: self.duplicates })
    }

    fn path(&self) -> String {
        match self.at {
            None => String::new(),
            Some((parent, Step::Field(field))) => super::join(&parent.path(), field),
            Some((parent, Step::Index(index))) => format!("{}[{index}]", parent.path()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // A whole number is one however it is written: `1.0` is stored and shown as `1`.
        if value.fract() == 0.0 && value.abs() < MAX_EXACT {
            return Ok((value as i64).into());
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let child = self.child(Step::Index(list.len()))?;
            match seq.next_element_seed(child)? {
                Some(element) => list.push(element),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(self.child(Step::Field(&key))?)?;
            if map.contains_key(&key) {
                self.duplicates.borrow_mut().push(super::join(&self.path(), &key));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn json(text: &str) -> Decoded {
        decode(&mut serde_json::Deserializer::from_str(text)).unwrap()
    }

    #[test]
    fn a_field_written_twice_is_named_and_the_last_one_counts() {
        let decoded = json(r#"{"spec":{"list":[{"a":1,"a":2}],"replicas":1,"replicas":3},"n":null,"f":1.5}"#);
        assert_eq!(decoded.duplicates, ["spec.list[0].a", "spec.replicas"]);
        assert_eq!(decoded.value, json!({"spec": {"list": [{"a": 2}], "replicas": 3}, "n": null, "f": 1.5}));
    }

    #[test]
    fn a_body_nested_too_deeply_is_refused() {
        let text = format!("{}1{}", "[".repeat(125), "]".repeat(125));
        let error = decode(&mut serde_json::Deserializer::from_str(&text)).unwrap_err();
        assert!(error.to_string().contains("nested deeper"), "{error}");
    }
}
