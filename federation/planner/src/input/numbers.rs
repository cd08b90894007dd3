//! Counts of replicas, as users write them.

use serde_json::Value;

use crate::error::Problem;
use crate::model::MAX_REPLICAS;

/// A count that the API types as a signed number.
pub(crate) fn count(value: i64) -> Result<u32, Problem> {
    if value < 0 {
        return Err(Problem::Negative(value));
    }
    u32::try_from(value).ok().filter(|count| *count <= MAX_REPLICAS).ok_or_else(|| too_large(value))
}

/// A limit: above the largest number of replicas it limits nothing, and is as good as that number.
pub(crate) fn limit(value: i64) -> Result<u32, Problem> {
    if value < 0 {
        return Err(Problem::Negative(value));
    }
    Ok(u32::try_from(value).unwrap_or(MAX_REPLICAS).min(MAX_REPLICAS))
}

/// A count in an opaque template.
pub(crate) fn count_in(value: &Value) -> Result<u32, Problem> {
    if let Some(number) = value.as_i64() {
        return count(number);
    }
    if value.is_u64() {
        return Err(too_large(value));
    }
    Err(Problem::WrongType { expected: "a whole number", found: brief(value) })
}

fn too_large(value: impl std::fmt::Display) -> Problem {
    Problem::TooLarge { value: value.to_string(), limit: i64::from(MAX_REPLICAS) }
}

/// A value for a message: short ones as written, others by their type.
pub(crate) fn brief(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".into(),
        Value::Array(_) => "a list".into(),
        Value::String(text) if text.len() > 64 => "a long text".into(),
        other => other.to_string(),
    }
}

/// A name that is none, so that an empty one or one with spaces can be seen in a list.
pub(crate) fn quoted(name: &str) -> String {
    format!("{name:?}")
}
