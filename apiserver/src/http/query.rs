//! Query parameters.

use std::time::Duration;

use axum::extract::Query;
use http::Uri;

use crate::{
    Status,
    patch::go_format,
    schema::{ErrorKind, FieldError},
};

/// Query parameters as they came, decoded. A repeated one counts once, the first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, Status> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
        query.map(|Query(pairs)| Self(pairs)).map_err(|error| Status::bad_request(error.to_string()))
    }

    /// A parameter's value; empty counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A boolean, read as Go's conversion of query values does: present and neither `false` nor `0` is true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.is_some_and(|(_, value)| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Status> {
        let parse = |text: &str| {
            let message = || format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
            text.parse().map_err(|_| Status::bad_request(message()))
        };
        self.get(name).map(parse).transpose()
    }
}

/// How a list treats `resourceVersion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    NotOlderThan,
    Exact,
}

/// What a list or watch asks for.
#[derive(Debug, Clone)]
pub(crate) struct ListOptions {
    pub(crate) labels: String,
    pub(crate) fields: String,
    /// `None` when absent, `Some(0)` for "any".
    pub(crate) version: Option<u64>,
    pub(crate) version_match: Option<Match>,
    /// 0 is no limit.
    pub(crate) limit: usize,
    pub(crate) token: Option<String>,
    /// Whether a version came with the token, which is refused once the token can be read.
    pub(crate) continued_at_a_version: bool,
    pub(crate) watch: bool,
    pub(crate) bookmarks: bool,
    pub(crate) initial_events: Option<bool>,
    pub(crate) timeout: Option<Duration>,
}

impl ListOptions {
    pub(crate) fn parse(params: &Params) -> Result<Self, Status> {
        let text = |name| params.get(name).unwrap_or_default().to_owned();
        let limit = params.number::<i64>("limit")?.unwrap_or(0);
        let (watch, initial) = (params.flag("watch"), params.get("sendInitialEvents"));
        let errors = Self::problems(params, watch, initial.is_some());
        if !errors.is_empty() {
            return Err(Status::invalid_fields("meta.k8s.io", "ListOptions", "", &errors));
        }
        let token = params.get("continue").map(str::to_owned);
        let version = match params.get("resourceVersion") {
            None => None,
            // A token that is none is said before a version that does not go with it.
            Some(_) if token.is_some() => None,
            Some(text) => Some(parse_version(text).map_err(|error| {
                if watch {
                    return unreadable_version(error);
                }
                Status::bad_request(format!("invalid resource version: {error}"))
            })?),
        };
        let at_a_version = params.get("resourceVersion").is_some_and(|version| version != "0");
        Ok(Self {
            labels: text("labelSelector"),
            fields: text("fieldSelector"),
            version,
            version_match: params.get("resourceVersionMatch").map(|text| match text {
                "Exact" => Match::Exact,
                _ => Match::NotOlderThan,
            }),
            // Fewer than none is no limit.
            limit: usize::try_from(limit).unwrap_or(0),
            continued_at_a_version: token.is_some() && at_a_version,
            token,
            watch,
            bookmarks: params.flag("allowWatchBookmarks"),
            initial_events: initial.map(|_| params.flag("sendInitialEvents")),
            timeout: params.number("timeoutSeconds")?.map(Duration::from_secs),
        })
    }

    /// Kubernetes' rules on which options go together.
    fn problems(params: &Params, watch: bool, initial: bool) -> Vec<FieldError> {
        const FIELD: &str = "resourceVersionMatch";
        let forbidden = |message: &str| FieldError::forbidden(FIELD, message);
        let matched = params.get(FIELD);
        let mut errors = Vec::new();
        if watch {
            if initial && matched != Some("NotOlderThan") {
                let message = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                errors.push(forbidden(message));
            }
            if !initial && matched.is_some() {
                let message =
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(forbidden(message));
            }
            if let Some(other) = matched.filter(|matched| *matched != "NotOlderThan") {
                errors.push(FieldError::not_supported(FIELD, other, ["NotOlderThan"]));
            }
            return errors;
        }
        if initial {
            let message = "sendInitialEvents is forbidden for list";
            errors.push(FieldError::forbidden("sendInitialEvents", message));
        }
        let Some(matched) = matched else { return errors };
        let version = params.get("resourceVersion");
        if version.is_none() {
            errors.push(forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"));
        }
        if params.get("continue").is_some() {
            errors.push(forbidden("resourceVersionMatch is forbidden when continue is provided"));
        }
        if !matches!(matched, "Exact" | "NotOlderThan") {
            errors.push(FieldError::not_supported(FIELD, matched, ["Exact", "NotOlderThan", ""]));
        }
        if matched == "Exact" && version == Some("0") {
            let message = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(forbidden(message));
        }
        errors
    }
}

/// Whether and how strictly unknown and duplicate fields are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Options of create, update and patch.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) manager: String,
    pub(crate) validation: FieldValidation,
    pub(crate) force: bool,
}

/// Which request options belong to; what they may say depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionsOf {
    Create,
    Update,
    Patch,
    Apply,
    Delete,
}

impl OptionsOf {
    /// The kind that Kubernetes reads them as.
    fn kind(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch | Self::Apply => "PatchOptions",
            Self::Delete => "DeleteOptions",
        }
    }
}

/// The longest field manager name.
const MANAGER_LENGTH: usize = 128;

impl WriteOptions {
    /// Reads options; without `fieldManager` the first part of the user agent stands in, as in Kubernetes.
    pub(crate) fn parse(params: &Params, user_agent: &str, of: OptionsOf) -> Result<Self, Status> {
        let given = params.get("fieldManager");
        let manager = given.map_or_else(
            || user_agent.split('/').next().unwrap_or_default().chars().take(MANAGER_LENGTH).collect(),
            str::to_owned,
        );
        let mut errors = Vec::new();
        match of {
            OptionsOf::Apply if given.is_none() => {
                errors.push(FieldError::required("fieldManager", "is required for apply patch"));
            }
            OptionsOf::Patch if params.get("force").is_some() => {
                errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
            }
            _ => {}
        }
        errors.extend(check_manager(&manager));
        let (dry_run, error) = dry_run(params.all("dryRun"));
        errors.extend(error);
        let validation = match params.get("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                errors.push(FieldError::not_supported("fieldValidation", other, supported));
                FieldValidation::Warn
            }
        };
        match errors.as_slice() {
            [] => Ok(Self { dry_run, manager, validation, force: params.flag("force") }),
            errors => Err(invalid(of.kind(), errors)),
        }
    }
}

/// What a field manager's name may be: short and printable.
fn check_manager(manager: &str) -> Option<FieldError> {
    if manager.len() > MANAGER_LENGTH {
        return Some(FieldError::too_long("fieldManager", MANAGER_LENGTH as u64));
    }
    let (position, bad) = manager.chars().enumerate().find(|(_, c)| c.is_control())?;
    let message = format!("invalid character U+{:04X} (at position {position})", bad as u32);
    Some(FieldError::new(
        "fieldManager",
        ErrorKind::Invalid,
        format!("{}: {message}", go_format::quoted(manager)),
        None,
    ))
}

/// Reads `dryRun`, whose only value is `All`.
pub(crate) fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> (bool, Option<FieldError>) {
    let values: Vec<&str> = values.filter(|value| !value.is_empty()).collect();
    if values.iter().all(|value| *value == "All") {
        return (!values.is_empty(), None);
    }
    (true, Some(FieldError::not_supported("dryRun", values, ["All"])))
}

/// 422 about the options of a write.
pub(crate) fn invalid(kind: &str, errors: &[FieldError]) -> Status {
    Status::invalid_fields("meta.k8s.io", kind, "", errors)
}

/// Reads a version, or says why it is none.
pub(crate) fn parse_version(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        let problem = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
        format!("resourceVersion: Invalid value: {text:?}: {problem}")
    })
}

/// What a get or a watch answers to a version that is none: in Kubernetes nobody has caught the error.
pub(crate) fn unreadable_version(error: String) -> Status {
    Status::new(http::StatusCode::INTERNAL_SERVER_ERROR, "", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(query: &str) -> Result<ListOptions, Status> {
        let uri: Uri = format!("/api/v1/pods?{query}").parse().expect("a uri");
        ListOptions::parse(&Params::parse(&uri)?)
    }

    #[test]
    fn list_options_are_decoded() {
        let options = list("labelSelector=a%3Db&limit=5&watch=1&allowWatchBookmarks=true&timeoutSeconds=7")
            .expect("good");
        assert_eq!((options.labels.as_str(), options.limit), ("a=b", 5));
        assert!(options.watch && options.bookmarks);
        assert_eq!(options.timeout, Some(Duration::from_secs(7)));
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        for bad in [
            "resourceVersion=abc",
            "resourceVersionMatch=Exact",
            "resourceVersionMatch=Exact&resourceVersion=0",
            "watch=true&sendInitialEvents=true",
            "watch=true&resourceVersion=5&resourceVersionMatch=NotOlderThan",
            "sendInitialEvents=true",
            "limit=many",
        ] {
            assert!(list(bad).is_err(), "{bad}");
        }
        let good =
            "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
        assert_eq!(list(good).expect("good").initial_events, Some(true));
    }

    #[test]
    fn the_user_agent_names_the_manager_when_nobody_else_does() {
        let uri = Uri::from_static("/x?dryRun=All");
        let options =
            WriteOptions::parse(&Params::parse(&uri).expect("params"), "kubectl/v1.32", OptionsOf::Create)
                .expect("options");
        assert_eq!(options.manager, "kubectl");
        assert!(options.dry_run);
    }
}
