//! A number of pods, or a percentage of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A count (`3`) or a percentage (`"25%"`), as `partition`, `maxUnavailable` and `maxSurge` are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
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
