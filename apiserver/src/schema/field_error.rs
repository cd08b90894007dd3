//! Errors about one field of an object, worded as Kubernetes words them.

use std::fmt;

use serde_json::{Value, json};

/// What is wrong with a field. The strings are those of Kubernetes' `field.ErrorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The value must be given.
    Required,
    /// The value is not what the field accepts.
    Invalid,
    /// The value is none of an enumeration.
    NotSupported,
    /// The value occurs already.
    Duplicate,
    /// The field may not be set, or not be changed.
    Forbidden,
    /// The string is too long.
    TooLong,
    /// The list or map has too many entries.
    TooMany,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// A reference leads nowhere.
    NotFound,
}

/// One thing that is wrong with one field.
///
/// Displayed as `spec.replicas: Invalid value: -1: must be greater than or equal to 0`.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Where: `spec.containers[0].image`, or empty for the object itself.
    pub path: String,
    /// What is wrong.
    pub kind: ErrorKind,
    /// Details, without field and value.
    pub message: String,
    /// The offending value, printed for the kinds that print one.
    pub value: Option<Value>,
    /// The value as it is printed, where that is not the JSON of `value`.
    pub(crate) shown: Option<String>,
}

impl ErrorKind {
    /// The machine-readable reason in a Status cause, such as `FieldValueInvalid`.
    pub fn cause_reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotFound => "FieldValueNotFound",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::NotFound => "Not found",
        })
    }
}

impl FieldError {
    /// A value that must be given and is not.
    pub fn required(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(path, ErrorKind::Required, message, None)
    }

    /// A value that the field does not accept.
    pub fn invalid(path: impl Into<String>, value: impl Into<Value>, message: impl Into<String>) -> Self {
        Self::new(path, ErrorKind::Invalid, message, Some(value.into()))
    }

    /// A value outside an enumeration.
    pub fn not_supported<S: AsRef<str>>(
        path: impl Into<String>,
        value: impl Into<Value>,
        supported: impl IntoIterator<Item = S>,
    ) -> Self {
        let quoted: Vec<String> = supported.into_iter().map(|s| quote(s.as_ref())).collect();
        let message = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(path, ErrorKind::NotSupported, message, Some(value.into()))
    }

    /// A value that occurs already.
    pub fn duplicate(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(path, ErrorKind::Duplicate, "", Some(value.into()))
    }

    /// A field that may not be set or changed.
    pub fn forbidden(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(path, ErrorKind::Forbidden, message, None)
    }

    /// A string longer than `limit` bytes.
    pub fn too_long(path: impl Into<String>, limit: u64) -> Self {
        Self::new(
            path,
            ErrorKind::TooLong,
            format!("may not be more than {limit} byte{}", plural(limit)),
            None,
        )
    }

    /// A list with `actual` entries where `limit` are allowed.
    pub fn too_many(path: impl Into<String>, actual: usize, limit: u64) -> Self {
        Self::new(
            path,
            ErrorKind::TooMany,
            format!("must have at most {limit} item{}", plural(limit)),
            Some(json!(actual)),
        )
    }

    /// An error of any kind.
    pub fn new(
        path: impl Into<String>,
        kind: ErrorKind,
        message: impl Into<String>,
        value: Option<Value>,
    ) -> Self {
        Self { path: path.into(), kind, message: message.into(), value, shown: None }
    }

    /// The same error as one about a part of a larger value.
    #[must_use]
    pub(crate) fn below(self, parent: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        // What is about the whole has no path, whatever it is a part of.
        let path = if self.path.is_empty() && self.message.contains("must validate") {
            String::new()
        } else {
            format!("{parent}{dot}{}", self.path)
        };
        Self { path, ..self }
    }

    /// The same error with its value printed like this.
    #[must_use]
    pub(crate) fn showing(self, shown: String) -> Self {
        Self { shown: Some(shown), ..self }
    }

    /// The error without its field, as a Status cause carries it.
    pub fn body(&self) -> String {
        let mut body = self.kind.to_string();
        if !matches!(self.kind, ErrorKind::Required | ErrorKind::Forbidden | ErrorKind::TooLong)
            && let Some(shown) = self.shown.clone().or_else(|| self.value.as_ref().map(print))
        {
            body.push_str(": ");
            body.push_str(&shown);
        }
        if !self.message.is_empty() {
            body.push_str(": ");
            body.push_str(&self.message);
        }
        body
    }

    /// The entry for `details.causes` of a Status.
    pub fn cause(&self) -> Value {
        json!({"reason": self.kind.cause_reason(), "message": self.body(), "field": self.path})
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.path.is_empty() { "<nil>" } else { &self.path }, self.body())
    }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// A value as errors print it: strings quoted, the rest as Go's encoder writes it.
fn print(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => go_json(value),
        other => other.to_string(),
    }
}

/// JSON as Go's encoder writes it, which escapes what HTML could take for markup.
pub(crate) fn go_json(value: &Value) -> String {
    value.to_string().replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// A string in double quotes, escaped.
pub(crate) fn quote(text: &str) -> String {
    Value::from(text).to_string()
}
