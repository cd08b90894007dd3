//! Label selectors: whether labels match, and the selector as text.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// A label selector that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Sorted by key, so that the text is always the same.
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Test {
    Equals(String),
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

/// Why a selector cannot be acted on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// There is none, or it asks nothing.
    #[error("is empty; it would select every pod of the namespace")]
    Empty,
    /// An expression that means nothing.
    #[error("matchExpressions with key {key:?} and operator {operator:?} {problem}")]
    Expression {
        /// Its key.
        key: String,
        /// Its operator.
        operator: String,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Selector {
    /// Understands a selector.
    pub fn read(selector: Option<&LabelSelector>) -> Result<Self, SelectorError> {
        let labels = selector.and_then(|selector| selector.match_labels.as_ref()).into_iter().flatten();
        let mut requirements: Vec<Requirement> = labels
            .map(|(key, value)| Requirement { key: key.clone(), test: Test::Equals(value.clone()) })
            .collect();
        let expressions = selector.and_then(|selector| selector.match_expressions.as_deref());
        for expression in expressions.unwrap_or_default() {
            let mut values = expression.values.clone().unwrap_or_default();
            values.sort_unstable();
            let problem = |problem| SelectorError::Expression {
                key: expression.key.clone(),
                operator: expression.operator.clone(),
                problem,
            };
            let test = match (expression.operator.as_str(), values.is_empty()) {
                ("In" | "NotIn", true) => return Err(problem("needs values")),
                ("Exists" | "DoesNotExist", false) => return Err(problem("takes no values")),
                ("In", _) => Test::In(values),
                ("NotIn", _) => Test::NotIn(values),
                ("Exists", _) => Test::Exists,
                ("DoesNotExist", _) => Test::DoesNotExist,
                _ => return Err(problem("is none of In, NotIn, Exists, DoesNotExist")),
            };
            requirements.push(Requirement { key: expression.key.clone(), test });
        }
        if requirements.is_empty() {
            return Err(SelectorError::Empty);
        }
        requirements.sort_unstable();
        Ok(Self { requirements })
    }

    /// Whether these labels match.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.test {
                Test::Equals(wanted) => value == Some(wanted),
                Test::In(values) => value.is_some_and(|value| values.contains(value)),
                Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Test::Exists => value.is_some(),
                Test::DoesNotExist => value.is_none(),
            }
        })
    }
}

/// The spelling of the API's `labelSelector` parameter.
impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, Requirement { key, test }) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match test {
                Test::Equals(value) => write!(f, "{key}={value}")?,
                Test::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Test::Exists => f.write_str(key)?,
                Test::DoesNotExist => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(selector: serde_json::Value) -> Result<Selector, SelectorError> {
        Selector::read(Some(&serde_json::from_value(selector).unwrap()))
    }

    #[test]
    fn the_text_is_sorted_and_has_expressions() {
        let selector = read(json!({
            "matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [
                {"key": "z", "operator": "NotIn", "values": ["y", "x"]},
                {"key": "c", "operator": "Exists"},
                {"key": "d", "operator": "DoesNotExist"},
                {"key": "e", "operator": "In", "values": ["v"]},
            ],
        }));
        assert_eq!(selector.unwrap().to_string(), "a=1,b=2,c,!d,e in (v),z notin (x,y)");
    }

    #[test]
    fn labels_match_by_every_requirement() {
        let selector = read(json!({
            "matchLabels": {"a": "1"},
            "matchExpressions": [{"key": "z", "operator": "NotIn", "values": ["x"]}],
        }))
        .unwrap();
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert!(selector.matches(&labels(&[("a", "1"), ("z", "y")])));
        assert!(selector.matches(&labels(&[("a", "1")])));
        assert!(!selector.matches(&labels(&[("a", "1"), ("z", "x")])));
        assert!(!selector.matches(&labels(&[("z", "y")])));
    }

    #[test]
    fn selectors_that_mean_nothing_are_refused() {
        assert_eq!(read(json!({})), Err(SelectorError::Empty));
        assert_eq!(Selector::read(None), Err(SelectorError::Empty));
        let error = read(json!({"matchExpressions": [{"key": "a", "operator": "In"}]})).unwrap_err();
        assert_eq!(error.to_string(), r#"matchExpressions with key "a" and operator "In" needs values"#);
        assert!(read(json!({"matchExpressions": [{"key": "a", "operator": "Is"}]})).is_err());
    }
}
