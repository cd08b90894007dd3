//! Label and field selectors.

mod labels;

use crate::{Key, Labels, Object};

/// One requirement of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    Missing(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Above(String, i64),
    Below(String, i64),
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        let number = |key: &str| labels.get(key).and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Exists(key) => labels.get(key).is_some(),
            Self::Missing(key) => labels.get(key).is_none(),
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.iter().any(|v| v == value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| values.iter().all(|v| v != value)),
            Self::Above(key, limit) => number(key).is_some_and(|value| value > *limit),
            Self::Below(key, limit) => number(key).is_some_and(|value| value < *limit),
        }
    }
}

/// Why a selector cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectorError {
    #[error("{0}")]
    Labels(String),
    #[error("unable to parse requirement: {0}")]
    Requirement(String),
    #[error("invalid selector: '{0}'; can't understand '{1}'")]
    Fields(String, String),
    #[error("field label not supported: {0}")]
    UnknownField(String),
}

/// What a list, watch or deletion of a collection is narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldTerm>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldTerm {
    field: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`. `known` translates a field's name to that of the index, or refuses it.
    pub(crate) fn parse(
        labels: &str,
        fields: &str,
        known: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SelectorError> {
        Ok(Self { labels: labels::parse(labels)?, fields: parse_fields(fields, known)? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, object: &Object) -> bool {
        self.labels.iter().all(|requirement| requirement.matches(&object.labels))
            && self.fields.iter().all(|term| {
                let value = match term.field.as_str() {
                    "metadata.name" => &object.key.name,
                    "metadata.namespace" => object.key.namespace.as_deref().unwrap_or_default(),
                    field => object.fields.get(field).unwrap_or_default(),
                };
                (value == term.value) == term.equal
            })
    }

    /// The one key that can match, where name and namespace are given.
    pub(crate) fn single(&self, namespace: Option<&str>, namespaced: bool) -> Option<Key> {
        let wanted =
            |field| self.fields.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str());
        let name = wanted("metadata.name")?;
        match (namespaced, namespace.or_else(|| wanted("metadata.namespace"))) {
            (false, _) => Some(Key::cluster(name)),
            (true, Some(namespace)) => Some(Key::namespaced(namespace, name)),
            (true, None) => None,
        }
    }
}

fn parse_fields(text: &str, known: impl Fn(&str) -> Option<String>) -> Result<Vec<FieldTerm>, SelectorError> {
    let mut terms = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (field, value, equal) = if let Some((field, value)) = part.split_once("!=") {
            (field, value, false)
        } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (field, value, true)
        } else {
            return Err(SelectorError::Fields(text.to_owned(), part.to_owned()));
        };
        let field = match field {
            "metadata.name" | "metadata.namespace" => field.to_owned(),
            other => known(other).ok_or_else(|| SelectorError::UnknownField(other.to_owned()))?,
        };
        terms.push(FieldTerm { field, value: value.to_owned(), equal });
    }
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Body;

    fn object() -> Object {
        Object {
            key: Key::namespaced("ns", "web-0"),
            version: 1,
            uid: "u".into(),
            labels: [("app", "web"), ("tier", "front"), ("weight", "7")].into_iter().collect(),
            fields: [("spec.nodeName", "n1")].into_iter().collect(),
            owners: Arc::new([]),
            deleting: false,
            body: Body::Raw(bytes::Bytes::new()),
        }
    }

    fn matches(labels: &str, fields: &str) -> bool {
        let known = |field: &str| (field == "spec.nodeName").then(|| field.to_owned());
        Selector::parse(labels, fields, known).expect("a good selector").matches(&object())
    }

    #[test]
    fn every_operator_of_a_label_selector_is_understood() {
        for (selector, expected) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("!nope", true),
            ("app=web", true),
            ("app==web,tier=back", false),
            ("app = web , tier != back", true),
            ("app in (db, web),tier notin (back)", true),
            ("nope notin (x)", true),
            ("nope!=x", true),
            ("weight>6,weight<8", true),
            ("app>1", false),
            ("app=", false),
        ] {
            assert_eq!(matches(selector, ""), expected, "{selector}");
        }
    }

    #[test]
    fn field_selectors_read_the_index() {
        assert!(matches("", "metadata.name=web-0,spec.nodeName==n1"));
        assert!(!matches("", "spec.nodeName!=n1"));
        let error = Selector::parse("", "spec.image=x", |_| None).expect_err("unknown");
        assert_eq!(error.to_string(), "field label not supported: spec.image");
    }

    #[test]
    fn a_bad_selector_says_what_it_found() {
        for bad in ["a b", "=x", "a in x", "a in (x", "a=b,,c", "a=b,", "a>x", "-a=b", "a=*"] {
            assert!(Selector::parse(bad, "", |_| None).is_err(), "{bad}");
        }
        let error = Selector::parse("a ~ b", "", |_| None).expect_err("unknown operator");
        assert_eq!(
            error.to_string(),
            "unable to parse requirement: found '~', expected: in, notin, =, ==, !=, gt, lt"
        );
    }
}
