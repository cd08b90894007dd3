//! JSON pointers that may name several places: `*` is every element or key, `[name=pods]` the elements of which a field
//! has that value (`[metadata.name=a]` looks deeper).

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

/// A pointer to any number of places in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Key(String),
    Any,
    Having { field: Vec<String>, value: String },
}

/// Why a text is no pointer.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a JSON pointer: it begins with / and [field=value] is a whole segment")]
pub struct PointerError(String);

impl Pointer {
    /// Reads a pointer; the empty text is the whole document.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let rest = text.strip_prefix('/').ok_or_else(|| PointerError(text.to_owned()))?;
        let segment = |segment: &str| {
            if segment == "*" {
                return Ok(Segment::Any);
            }
            let unescaped = || segment.replace("~1", "/").replace("~0", "~");
            let Some(inner) = segment.strip_prefix('[') else { return Ok(Segment::Key(unescaped())) };
            let (field, value) = inner
                .strip_suffix(']')
                .and_then(|inner| inner.split_once('='))
                .ok_or_else(|| PointerError(text.to_owned()))?;
            let value = value.replace("~1", "/").replace("~0", "~");
            Ok(Segment::Having { field: field.split('.').map(str::to_owned).collect(), value })
        };
        rest.split('/').map(segment).collect::<Result<_, _>>().map(Self)
    }

    /// The places that this pointer names in a document, each with its own plain pointer.
    pub fn select<'a>(&self, document: &'a Value) -> BTreeMap<String, &'a Value> {
        let mut found = BTreeMap::from([(String::new(), document)]);
        for segment in &self.0 {
            let mut next = BTreeMap::new();
            for (at, value) in found {
                let children = children(value).filter(|(key, child)| segment.takes(key, child));
                next.extend(children.map(|(key, child)| (format!("{at}/{}", escape(&key)), child)));
            }
            found = next;
        }
        found
    }

    /// Takes every place that this pointer names out of a document.
    pub fn remove(&self, document: &mut Value) {
        remove(document, &self.0);
    }

    /// Puts the elements of every list that this pointer names into one order.
    pub fn sort(&self, document: &mut Value) {
        let places: Vec<String> = self.select(document).into_keys().collect();
        for place in places {
            if let Some(Value::Array(list)) = document.pointer_mut(&place) {
                list.sort_by_cached_key(Value::to_string);
            }
        }
    }

    /// Whether a plain pointer is one of the places meant, or lies below one.
    pub fn covers(&self, plain: &str) -> bool {
        let mut segments = plain.split('/').skip(1);
        self.0.iter().all(|own| match (own, segments.next()) {
            (_, None) => false,
            (Segment::Any | Segment::Having { .. }, Some(_)) => true,
            (Segment::Key(key), Some(segment)) => escape(key) == segment,
        })
    }
}

impl Segment {
    fn takes(&self, key: &str, child: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Key(own) => own == key,
            Self::Having { field, value } => {
                let found = field.iter().try_fold(child, |inner, field| inner.get(field));
                found.is_some_and(|found| match found {
                    Value::String(text) => text == value,
                    other => other.to_string().as_str() == value,
                })
            }
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Any => f.write_str("/*")?,
                Segment::Key(key) => write!(f, "/{}", escape(key))?,
                Segment::Having { field, value } => write!(f, "/[{}={}]", field.join("."), escape(value))?,
            }
        }
        Ok(())
    }
}

/// A key as a segment of a plain pointer.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn children(value: &Value) -> Box<dyn Iterator<Item = (String, &Value)> + '_> {
    match value {
        Value::Array(items) => {
            Box::new(items.iter().enumerate().map(|(index, item)| (index.to_string(), item)))
        }
        Value::Object(fields) => Box::new(fields.iter().map(|(key, field)| (key.clone(), field))),
        _ => Box::new(std::iter::empty()),
    }
}

fn remove(value: &mut Value, path: &[Segment]) {
    let Some((first, rest)) = path.split_first() else { return };
    match value {
        Value::Array(items) if rest.is_empty() => {
            let mut index = 0;
            items.retain(|item| {
                index += 1;
                !first.takes(&(index - 1).to_string(), item)
            });
        }
        Value::Object(fields) if rest.is_empty() => fields.retain(|key, field| !first.takes(key, field)),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                if first.takes(&index.to_string(), item) {
                    remove(item, rest);
                }
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut() {
                if first.takes(key, field) {
                    remove(field, rest);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointer(text: &str) -> Pointer {
        Pointer::parse(text).expect("a pointer")
    }

    #[test]
    fn a_star_is_every_element_and_every_key() {
        let document = json!({"items": [{"a": 1, "b": 2}, {"a": 3}]});
        let found: Vec<String> = pointer("/items/*/a").select(&document).into_keys().collect();
        assert_eq!(found, ["/items/0/a", "/items/1/a"]);
        let found: Vec<String> = pointer("/items/0/*").select(&document).into_keys().collect();
        assert_eq!(found, ["/items/0/a", "/items/0/b"]);
    }

    #[test]
    fn elements_are_found_by_a_field() {
        let document =
            json!({"items": [{"metadata": {"name": "apps"}, "n": 1}, {"metadata": {"name": "a/b"}, "n": 2}]});
        let found = pointer("/items/[metadata.name=apps]/n").select(&document);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("/items/0/n".to_owned(), &json!(1))]);
        assert_eq!(pointer("/items/[metadata.name=a~1b]").select(&document).len(), 1);
    }

    #[test]
    fn what_is_removed_is_gone_everywhere() {
        let mut document = json!({"items": [{"a": 1, "b": 2}, {"a": 3}], "x/y": 1});
        pointer("/items/*/a").remove(&mut document);
        pointer("/x~1y").remove(&mut document);
        pointer("/not/there").remove(&mut document);
        assert_eq!(document, json!({"items": [{"b": 2}, {}]}));
        pointer("/items/1").remove(&mut document);
        assert_eq!(document, json!({"items": [{"b": 2}]}));
    }

    #[test]
    fn a_pointer_covers_what_lies_below_it() {
        assert!(pointer("/items/*/spec").covers("/items/3/spec/a"));
        assert!(!pointer("/items/*/spec").covers("/items/3"));
        assert!(!pointer("/message").covers("/messages"));
    }

    #[test]
    fn nonsense_is_no_pointer() {
        assert!(Pointer::parse("message").is_err());
        assert!(Pointer::parse("/items/[name]").is_err());
    }
}
