//! A number of pods, or a percentage of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A count (`3`) or a percentage (`"25%"`), as `partition`, `maxUnavailable` and `maxSurge` are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "neither a number nor a percentage such as \"25%\"")]
pub enum IntOrPercent {
    /// A count.
    Int(i64),
    /// What was written as text; whether it is a percentage shows in [`IntOrPercent::resolve`].
    Text(String),
}

/// Which way a percentage of pods becomes a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// As StatefulSet does for `maxUnavailable` and `maxSurge`.
    Up,
    /// As StatefulSet does for `partition`.
    Down,
}

/// A value that is neither a count nor a percentage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a number, zero or more, nor a percentage such as \"25%\"")]
pub struct IntOrPercentError(pub String);

impl IntOrPercent {
    /// The whole number this stands for out of `total`; a negative `total` counts as 0. Percentages above 100 are
    /// allowed, as in Kubernetes.
    pub fn resolve(&self, total: i64, rounding: Rounding) -> Result<i64, IntOrPercentError> {
        let error = || IntOrPercentError(self.to_string());
        match self {
            Self::Int(count) if *count >= 0 => Ok(*count),
            Self::Int(_) => Err(error()),
            Self::Text(text) => {
                let digits = text.strip_suffix('%').ok_or_else(error)?;
                // u32 leaves room: the product below stays far inside i128.
                let percent: u32 = digits.parse().map_err(|_| error())?;
                let hundredfold = i128::from(total.max(0)) * i128::from(percent);
                let whole = match rounding {
                    Rounding::Down => hundredfold / 100,
                    Rounding::Up => (hundredfold + 99) / 100,
                };
                Ok(i64::try_from(whole).unwrap_or(i64::MAX))
            }
        }
    }
}

impl std::fmt::Display for IntOrPercent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(count) => write!(f, "{count}"),
            Self::Text(text) => f.pad(text),
        }
    }
}

impl From<i64> for IntOrPercent {
    fn from(count: i64) -> Self {
        Self::Int(count)
    }
}

impl From<&str> for IntOrPercent {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl JsonSchema for IntOrPercent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IntOrPercent".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        crate::schema::int_or_percent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(value: &str, total: i64) -> [Result<i64, IntOrPercentError>; 2] {
        let value: IntOrPercent = serde_json::from_str(value).unwrap();
        [Rounding::Down, Rounding::Up].map(|rounding| value.resolve(total, rounding))
    }

    #[test]
    fn counts_stand_for_themselves() {
        assert_eq!(both("3", 10), [Ok(3), Ok(3)]);
        assert_eq!(both("30", 10), [Ok(30), Ok(30)]);
    }

    #[test]
    fn percentages_round_down_and_up() {
        assert_eq!(both("\"25%\"", 10), [Ok(2), Ok(3)]);
        assert_eq!(both("\"25%\"", 8), [Ok(2), Ok(2)]);
        assert_eq!(both("\"0%\"", 8), [Ok(0), Ok(0)]);
        assert_eq!(both("\"1%\"", 1), [Ok(0), Ok(1)]);
        assert_eq!(both("\"150%\"", 3), [Ok(4), Ok(5)]);
        assert_eq!(both("\"25%\"", -4), [Ok(0), Ok(0)]);
        assert_eq!(both("\"4294967295%\"", i64::MAX), [Ok(i64::MAX), Ok(i64::MAX)]);
    }

    #[test]
    fn anything_else_is_an_error_that_shows_what_was_written() {
        for value in ["-1", "\"-1%\"", "\"3\"", "\"%\"", "\"\"", "\"2.5%\"", "\"25 %\""] {
            let [down, _] = both(value, 10);
            let shown = value.trim_matches('"');
            assert!(down.clone().unwrap_err().to_string().contains(shown), "{value}: {down:?}");
        }
    }

    #[test]
    fn what_was_written_is_kept_as_written() {
        for value in ["3", "\"25%\"", "\"3\"", "-1"] {
            let read: IntOrPercent = serde_json::from_str(value).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), value);
        }
    }
}
