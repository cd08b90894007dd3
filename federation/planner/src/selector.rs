//! Label selectors, checked once and then matched without failing.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// Most characters of the name part of a label key, and of a label value.
const NAME_CHARS: usize = 63;
/// Most characters of the prefix of a label key.
const PREFIX_CHARS: usize = 253;

/// What is wrong with a selector: the field below it, and why.
pub(crate) struct SelectorError {
    pub(crate) field: String,
    pub(crate) message: String,
}

/// Whether Kubernetes would accept the selector.
pub(crate) fn check(selector: &LabelSelector) -> Result<(), SelectorError> {
    for (key, value) in selector.match_labels.iter().flatten() {
        let fail = |message: String| Err(SelectorError { field: format!("matchLabels[{key}]"), message });
        if !is_key(key) {
            return fail(format!("{key:?} is not a label key"));
        }
        if !is_value(value) {
            return fail(format!("{value:?} is not a label value"));
        }
    }
    for (at, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let fail = |field: &str, message: String| {
            Err(SelectorError { field: format!("matchExpressions[{at}].{field}"), message })
        };
        if !is_key(&requirement.key) {
            return fail("key", format!("{:?} is not a label key", requirement.key));
        }
        let values = requirement.values.as_deref().unwrap_or_default();
        match requirement.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                return fail("values", format!("operator {} needs values", requirement.operator));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                return fail("values", format!("operator {} takes no values", requirement.operator));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                return fail("operator", format!("{other:?} is none of In, NotIn, Exists, DoesNotExist"));
            }
        }
        if let Some(value) = values.iter().find(|value| !is_value(value)) {
            return fail("values", format!("{value:?} is not a label value"));
        }
    }
    Ok(())
}

/// Whether a checked selector matches; an empty one matches everything.
pub(crate) fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal && selector.match_expressions.iter().flatten().all(|requirement| meets(requirement, labels))
}

fn meets(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let listed =
        || value.is_some_and(|value| requirement.values.iter().flatten().any(|listed| listed == value));
    match requirement.operator.as_str() {
        "In" => listed(),
        // As in Kubernetes, a label that is absent is in no list.
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_name(key),
        Some((prefix, name)) => {
            let part = |part: &str| {
                is_edged(part, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(), |byte| byte == b'-')
            };
            prefix.len() <= PREFIX_CHARS && prefix.split('.').all(part) && is_name(name)
        }
    }
}

fn is_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

fn is_name(name: &str) -> bool {
    let inside = |byte| matches!(byte, b'-' | b'_' | b'.');
    name.len() <= NAME_CHARS && is_edged(name, |byte| byte.is_ascii_alphanumeric(), inside)
}

/// Not empty, `edge` bytes at both ends, and `edge` or `inside` bytes between.
fn is_edged(text: &str, edge: impl Fn(u8) -> bool, inside: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if edge(first) && edge(last))
        && bytes.iter().all(|&byte| edge(byte) || inside(byte))
}
