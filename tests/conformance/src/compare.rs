//! Finds where two answers differ.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;

use crate::pointer::escape;

/// How much of a value a difference shows.
const SHOWN: usize = 300;

/// One place where the answers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Index of the step, counted from 0.
    pub step: usize,
    /// A JSON pointer into the answer: `/code`, `/headers/warning`, `/body/metadata/name`.
    pub pointer: String,
    /// What the real server says there; `None` is absent.
    pub real: Option<Value>,
    /// What ours says there.
    pub ours: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| match value {
            None => "(absent)".to_owned(),
            Some(value) => {
                let text = value.to_string();
                match text.char_indices().nth(SHOWN) {
                    Some((end, _)) => format!("{}...", &text[..end]),
                    None => text,
                }
            }
        };
        write!(f, "{}\n    real  {}\n    ours  {}", self.pointer, shown(&self.real), shown(&self.ours))
    }
}

/// Where two values differ, outermost first.
pub fn differences(step: usize, real: &Value, ours: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(step, &mut String::new(), Some(real), Some(ours), &mut found);
    found
}

fn compare(
    step: usize,
    at: &mut String,
    real: Option<&Value>,
    ours: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    let mut below = |key: &str, real: Option<&Value>, ours: Option<&Value>| {
        let length = at.len();
        at.push('/');
        at.push_str(key);
        compare(step, at, real, ours, found);
        at.truncate(length);
    };
    match (real, ours) {
        (Some(Value::Object(real)), Some(Value::Object(ours))) => {
            let keys: BTreeSet<&String> = real.keys().chain(ours.keys()).collect();
            for key in keys {
                below(&escape(key), real.get(key), ours.get(key));
            }
        }
        (Some(Value::Array(real)), Some(Value::Array(ours))) => {
            for index in 0..real.len().max(ours.len()) {
                below(&index.to_string(), real.get(index), ours.get(index));
            }
        }
        (real, ours) if real == ours => {}
        (real, ours) => {
            found.push(Difference { step, pointer: at.clone(), real: real.cloned(), ours: ours.cloned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(real: &Value, ours: &Value) -> Vec<String> {
        differences(0, real, ours).into_iter().map(|difference| difference.pointer).collect()
    }

    #[test]
    fn equal_values_do_not_differ_whatever_the_order_of_keys() {
        assert!(pointers(&json!({"a": 1, "b": [1, 2]}), &json!({"b": [1, 2], "a": 1})).is_empty());
    }

    #[test]
    fn every_difference_is_found_where_it_is() {
        let real = json!({"a": {"x/y": 1, "same": 0}, "list": [1, 2, 3], "null": null});
        let ours = json!({"a": {"x/y": 2, "same": 0}, "list": [1, 3], "more": true});
        assert_eq!(pointers(&real, &ours), ["/a/x~1y", "/list/1", "/list/2", "/more", "/null"]);
    }

    #[test]
    fn null_and_absent_differ() {
        let found = differences(3, &json!({"a": null}), &json!({}));
        assert_eq!(
            (found[0].step, found[0].real.clone(), found[0].ours.clone()),
            (3, Some(Value::Null), None)
        );
    }

    #[test]
    fn a_difference_reads_as_real_and_ours() {
        let found = differences(0, &json!({"a": 1}), &json!({}));
        assert_eq!(found[0].to_string(), "/a\n    real  1\n    ours  (absent)");
    }
}
