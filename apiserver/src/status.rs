//! Answers that are not the object asked for: the Kubernetes `Status`, worded as Kubernetes words it.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{CommitError, GroupResource, SourceError, schema::FieldError};

/// How many warnings a response carries at most.
const MAX_WARNINGS: usize = 10;

/// One reason among several, usually about one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldManagerConflict`, ...
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    pub message: String,
    /// Path of the field: `spec.containers[0].image`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// A Kubernetes `Status` object, and the HTTP response that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason: `NotFound`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The object concerned.
    pub details: Box<Details>,
    /// What the client is warned of beside.
    pub warnings: Vec<String>,
}

/// What a [`Status`] is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Resource, or kind for invalid objects, as Kubernetes does.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Uid of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Field by field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// Shown even where there is nothing to say, as in answers that no object gave.
    #[serde(skip)]
    pub shown: bool,
}

impl Details {
    fn resource(resource: &GroupResource, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            group: resource.group.to_string(),
            kind: resource.resource.to_string(),
            ..Self::default()
        }
    }
}

impl Status {
    /// A status without details.
    pub fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: code.as_u16(),
            reason,
            message: message.into(),
            details: Box::default(),
            warnings: Vec::new(),
        }
    }

    /// The same status with warnings beside it.
    #[must_use]
    pub fn warning(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// 404 for an object.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} \"{name}\" not found");
        Self {
            details: Details::resource(resource, name).into(),
            ..Self::new(StatusCode::NOT_FOUND, "NotFound", message)
        }
    }

    /// 404 for a path.
    pub fn no_such_resource() -> Self {
        Self::generic(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    /// An answer that no object gave: its details are there and say nothing.
    pub(crate) fn generic(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        let mut status = Self::new(code, reason, message);
        status.details.shown = true;
        status
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} \"{name}\" already exists");
        Self {
            details: Details::resource(resource, name).into(),
            ..Self::new(StatusCode::CONFLICT, "AlreadyExists", message)
        }
    }

    /// 409: an optimistic lock or a precondition failed.
    pub fn conflict(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Self {
            details: Details::resource(resource, name).into(),
            ..Self::new(StatusCode::CONFLICT, "Conflict", message)
        }
    }

    /// 409: the object changed since it was read.
    pub fn modified(resource: &GroupResource, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 403.
    pub fn forbidden(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!("{resource} \"{name}\" is forbidden: {why}");
        Self {
            details: Details::resource(resource, name).into(),
            ..Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
        }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 422: fields of an object are wrong. Names the kind rather than the resource.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut errors: Vec<String> = Vec::new();
        for cause in &causes {
            let error = if cause.field.is_empty() {
                cause.message.clone()
            } else {
                format!("{}: {}", cause.field, cause.message)
            };
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        let errors = match errors.as_slice() {
            [] => String::from("invalid"),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{qualified} \"{name}\" is invalid: {errors}");
        let details = Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes,
            ..Details::default()
        };
        Self { details: details.into(), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message) }
    }

    /// 422 from the errors of a validation.
    pub fn invalid_fields(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let causes = errors.iter().map(|error| Cause {
            reason: error.kind.cause_reason().to_owned(),
            message: error.body(),
            // What is about the whole object has no path, which Kubernetes spells like this.
            field: if error.path.is_empty() { "<nil>".to_owned() } else { error.path.clone() },
        });
        Self::invalid(group, kind, name, causes.collect())
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::generic(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// 415, naming what would have been accepted.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 406, naming what could have been sent.
    pub fn not_acceptable(offered: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", offered.join(", "));
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 406 for objects, naming what Kubernetes could have sent.
    pub(crate) fn nothing_acceptable(offered: &[&str]) -> Self {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {}", offered.join(", "));
        Self::generic(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 413.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// 410, reason Expired: the version or the continue token is outside the history that is kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 504: a version that is not there yet. Kubernetes waits for it a while, here nothing could come meanwhile.
    pub(crate) fn version_of_the_future(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut status = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message);
        status.details.retry_after_seconds = Some(1);
        status.details.causes.push(Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        });
        status
    }

    /// 503 with a time to ask again.
    pub fn unavailable(message: impl Into<String>, retry_after_seconds: u64) -> Self {
        let mut status = Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message);
        status.details.retry_after_seconds = Some(retry_after_seconds);
        status
    }

    /// 500.
    pub fn internal(message: impl fmt::Display) -> Self {
        let message = format!("Internal error occurred: {message}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// 501: Kubernetes can do it, this server does not.
    pub fn not_implemented(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            format!("{what} is not supported by this server"),
        )
    }

    /// 200 after a deletion.
    pub fn success(resource: &GroupResource, name: &str, uid: &str) -> Self {
        let mut status = Self::new(StatusCode::OK, "", "");
        status.details = Details { uid: uid.to_owned(), ..Details::resource(resource, name) }.into();
        status
    }

    /// The `Status` object as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let mut status = serde_json::json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": if self.code < 400 { "Success" } else { "Failure" },
        });
        if !self.message.is_empty() {
            status["message"] = self.message.clone().into();
        }
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if *self.details != Details::default() {
            status["details"] = serde_json::to_value(&self.details).unwrap_or_default();
        }
        if self.code >= 400 {
            status["code"] = self.code.into();
        }
        status
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Status {}

impl From<SourceError> for Status {
    fn from(error: SourceError) -> Self {
        match &error {
            SourceError::NotServed(_) => Self::no_such_resource(),
            SourceError::NotSynced { retry_after, .. } => {
                Self::unavailable(error.to_string(), retry_after.as_secs().max(1))
            }
            SourceError::Gone { .. } => Self::expired(error.to_string()),
            SourceError::Closed(_) => Self::unavailable(error.to_string(), 1),
        }
    }
}

impl From<CommitError> for Status {
    fn from(error: CommitError) -> Self {
        match &error {
            CommitError::Conflict { resource, key } => Self::modified(resource, &key.name),
            CommitError::Storage { source, .. } => Self::internal(format!("{error}: {source}")),
        }
    }
}

/// Adds warnings to a response; of many the first.
pub(crate) fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    for warning in warnings.iter().take(MAX_WARNINGS) {
        // 299 is "miscellaneous persistent warning"; kubectl prints the text.
        let escaped = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{escaped}\"")) {
            headers.append(header::WARNING, value);
        }
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (code, axum::Json(self.to_json())).into_response();
        if let Some(seconds) = self.details.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        warn(response.headers_mut(), &self.warnings);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_causes_are_listed_once_each() {
        let cause = |field: &str, message: &str| Cause {
            reason: "FieldValueRequired".into(),
            message: message.into(),
            field: field.into(),
        };
        let causes = vec![
            cause("spec.a", "Required value"),
            cause("spec.b", "Required value"),
            cause("spec.a", "Required value"),
        ];
        let status = Status::invalid("example.com", "Game", "g", causes);
        assert_eq!(
            status.message,
            r#"Game.example.com "g" is invalid: [spec.a: Required value, spec.b: Required value]"#
        );
        assert_eq!(status.to_json()["details"]["causes"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn an_unsynced_resource_says_when_to_ask_again() {
        let error = SourceError::NotSynced {
            resource: GroupResource::new("tkex.tencent.com", "gamestatefulsets"),
            retry_after: std::time::Duration::from_secs(2),
        };
        let response = Status::from(error).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
