//! What a case is, and how it is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    pointer::{Pointer, PointerError},
    variables,
};

/// One rule of Kubernetes, and the requests that show it.
#[derive(Debug, Clone)]
pub struct Case {
    /// `<area>/<name>`.
    pub id: String,
    /// The rule, in one sentence.
    pub about: String,
    /// Whether a namespace is made for the case.
    pub namespace: bool,
    /// Whether nothing else may run meanwhile.
    pub alone: bool,
    /// In this order.
    pub steps: Vec<Step>,
}

/// One thing to do, and what to do with its answer.
#[derive(Debug, Clone)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// Variables to take from the answer.
    pub save: BTreeMap<String, Pointer>,
    /// What is left out of the comparison.
    pub ignore: Vec<Pointer>,
    /// When not empty: what alone is compared.
    pub only: Vec<Pointer>,
    /// Lists whose order is of no meaning.
    pub unordered: Vec<Pointer>,
    /// How much is compared.
    pub compare: Compare,
    /// What both servers must answer; a case of which this is not true shows nothing.
    pub code: Option<u16>,
}

/// How much of an answer is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compare {
    /// Status code, some headers and the body.
    #[default]
    All,
    /// The status code.
    Code,
    /// Nothing.
    None,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// One request, repeated while `until` does not hold.
    Request {
        /// Method, path, headers.
        head: Head,
        /// What is sent.
        body: Payload,
        /// What the answer must become.
        until: Option<Until>,
    },
    /// A watch, of which so much is read at once.
    Watch(Head, Reading),
    /// A watch that stays open under a name.
    Open(Head, String),
    /// Reads on from an open watch.
    Read(String, Reading),
}

/// Method, path and headers of a request, with variables in path and headers.
#[derive(Debug, Clone)]
pub struct Head {
    /// The HTTP method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Beside the usual ones.
    pub headers: Vec<(HeaderName, String)>,
}

/// What is sent as a body.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Nothing.
    Empty,
    /// Sent as it is.
    Text(String),
    /// Sent as JSON, with places filled by so many letters.
    Json(Value, Vec<(String, usize)>),
}

/// What an answer must become, at last.
#[derive(Debug, Clone, Default)]
pub struct Until {
    /// The status code.
    pub code: Option<u16>,
    /// Values in the body; null is absent.
    pub values: Vec<(String, Value)>,
}

/// How much of a watch is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// So many events, or all until the server ends the watch.
    pub events: Option<usize>,
    /// Whether bookmarks count.
    pub bookmarks: bool,
}

/// What is wrong with a case file.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// Not the YAML of a case.
    #[error("{0}")]
    Syntax(String),
    /// A step cannot be read.
    #[error("step {step}: {problem}")]
    Step {
        /// Counted from 1.
        step: usize,
        /// Names the field.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    about: String,
    #[serde(default = "yes")]
    namespace: bool,
    #[serde(default)]
    alone: bool,
    steps: Vec<Value>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    request: Option<String>,
    watch: Option<String>,
    read: Option<String>,
    name: Option<String>,
    body: Option<Value>,
    text: Option<String>,
    #[serde(rename = "bodyFile")]
    body_file: Option<String>,
    #[serde(default)]
    fill: BTreeMap<String, usize>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    until: Option<BTreeMap<String, Value>>,
    events: Option<usize>,
    #[serde(default)]
    ends: bool,
    #[serde(default)]
    bookmarks: bool,
    #[serde(default)]
    save: BTreeMap<String, String>,
    #[serde(default)]
    ignore: Vec<String>,
    #[serde(default)]
    only: Vec<String>,
    #[serde(default)]
    unordered: Vec<String>,
    #[serde(default)]
    compare: Compare,
    code: Option<u16>,
}

/// Reads a YAML file of the repository, named from its root.
fn read_body(file: &str) -> Result<Value, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let text = fs::read_to_string(&path).map_err(|error| format!("bodyFile: cannot read {file}: {error}"))?;
    serde_saphyr::from_str(&text).map_err(|error| format!("bodyFile: {file} is not YAML: {error}"))
}

impl Case {
    /// Reads a case from YAML.
    pub fn parse(id: &str, yaml: &str) -> Result<Self, CaseError> {
        // `y` and `no` are texts, as in kubectl's YAML.
        let options = serde_saphyr::options! { strict_booleans: true };
        let file: CaseFile = serde_saphyr::from_str_with_options(yaml, options)
            .map_err(|error| CaseError::Syntax(error.to_string()))?;
        if file.about.trim().is_empty() {
            return Err(CaseError::Syntax("about: say in one sentence which rule the case holds".into()));
        }
        if file.steps.is_empty() {
            return Err(CaseError::Syntax("steps: there is nothing to do".into()));
        }
        let mut known: BTreeSet<String> = BTreeSet::from(["case".to_owned()]);
        if file.namespace {
            known.insert("ns".to_owned());
        }
        let mut watches = BTreeSet::new();
        let mut steps = Vec::new();
        for (index, step) in file.steps.into_iter().enumerate() {
            let at = |problem: String| CaseError::Step { step: index + 1, problem };
            let step: StepFile = serde_json::from_value(step).map_err(|error| at(error.to_string()))?;
            let step = step.check(&known, &mut watches).map_err(at)?;
            known.extend(step.save.keys().cloned());
            steps.push(step);
        }
        Ok(Self {
            id: id.to_owned(),
            about: file.about.trim().to_owned(),
            namespace: file.namespace,
            alone: file.alone,
            steps,
        })
    }

    /// The area that the case belongs to.
    pub fn area(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }
}

impl StepFile {
    fn check(self, known: &BTreeSet<String>, watches: &mut BTreeSet<String>) -> Result<Step, String> {
        let pointers = |field: &str, texts: &[String]| -> Result<Vec<Pointer>, String> {
            let parsed = texts.iter().map(|text| Pointer::parse(text));
            parsed.collect::<Result<_, PointerError>>().map_err(|error| format!("{field}: {error}"))
        };
        let (ignore, only) = (pointers("ignore", &self.ignore)?, pointers("only", &self.only)?);
        let unordered = pointers("unordered", &self.unordered)?;
        let mut save = BTreeMap::new();
        for (name, pointer) in &self.save {
            let pointer = Pointer::parse(pointer).map_err(|error| format!("save.{name}: {error}"))?;
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
                return Err(format!("save.{name}: a name is of letters and digits"));
            }
            save.insert(name.clone(), pointer);
        }
        let (compare, code) = (self.compare, self.code);
        Ok(Step { action: self.action(known, watches)?, save, ignore, only, unordered, compare, code })
    }

    fn action(self, known: &BTreeSet<String>, watches: &mut BTreeSet<String>) -> Result<Action, String> {
        let sends =
            self.body.is_some() || self.text.is_some() || self.body_file.is_some() || !self.fill.is_empty();
        let reads = self.events.is_some() || self.ends || self.bookmarks;
        match (&self.request, &self.watch, &self.read) {
            (Some(request), None, None) => {
                if reads || self.name.is_some() {
                    return Err("events, ends, bookmarks and name belong to watches, not to a request".into());
                }
                let (method, path) = request
                    .split_once(' ')
                    .ok_or_else(|| format!("request: {request:?} is not a method and a path"))?;
                let method = method.parse().map_err(|_| format!("request: {method:?} is not a method"))?;
                let head = self.head(method, path, "request", known)?;
                let until = self.until.clone().map(until).transpose()?;
                if until.is_some() && head.method != Method::GET {
                    return Err("until: only a GET is repeated".into());
                }
                Ok(Action::Request { head, body: self.payload()?, until })
            }
            (None, Some(path), None) => {
                if sends || self.until.is_some() {
                    return Err("body, text, fill and until belong to a request, not to a watch".into());
                }
                let head = self.head(Method::GET, path, "watch", known)?;
                match &self.name {
                    Some(name) if reads => {
                        Err(format!("name: {name} stays open; read it in a step of its own"))
                    }
                    Some(name) => {
                        watches.insert(name.clone());
                        Ok(Action::Open(head, name.clone()))
                    }
                    None => Ok(Action::Watch(head, self.reading()?)),
                }
            }
            (None, None, Some(name)) => {
                if sends || self.until.is_some() || self.name.is_some() || !self.headers.is_empty() {
                    return Err(
                        "read: only events, ends, bookmarks, save, ignore, only, unordered and compare go with it"
                            .into(),
                    );
                }
                if !watches.contains(name) {
                    return Err(format!("read: no watch was opened under the name {name:?}"));
                }
                Ok(Action::Read(name.clone(), self.reading()?))
            }
            _ => Err("a step has one of request, watch and read".into()),
        }
    }

    fn head(
        &self,
        method: Method,
        path: &str,
        field: &str,
        known: &BTreeSet<String>,
    ) -> Result<Head, String> {
        if !path.starts_with('/') {
            return Err(format!("{field}: the path {path:?} does not begin with /"));
        }
        let check = |field: &str, text: &str| match variables::names(text)
            .into_iter()
            .find(|name| !known.contains(*name))
        {
            Some(name) => Err(format!("{field}: nothing was saved as ${name} before")),
            None => Ok(()),
        };
        check(field, path)?;
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            check(&format!("headers.{name}"), value)?;
            let parsed = name.parse().map_err(|_| format!("headers: {name:?} is not a header's name"))?;
            headers.push((parsed, value.clone()));
        }
        Ok(Head { method, path: path.to_owned(), headers })
    }

    fn payload(&self) -> Result<Payload, String> {
        if let Some(file) = &self.body_file {
            if self.body.is_some() || self.text.is_some() || !self.fill.is_empty() {
                return Err("bodyFile: there is a body already".into());
            }
            return Ok(Payload::Json(read_body(file)?, Vec::new()));
        }
        match (&self.body, &self.text) {
            (Some(_), Some(_)) => Err("text: there is a body already".into()),
            (Some(body), None) => {
                for pointer in self.fill.keys() {
                    if body.pointer(pointer).is_none() {
                        return Err(format!("fill: the body has nothing at {pointer:?}"));
                    }
                }
                let fill = self.fill.iter().map(|(pointer, letters)| (pointer.clone(), *letters));
                Ok(Payload::Json(body.clone(), fill.collect()))
            }
            (None, _) if !self.fill.is_empty() => Err("fill: there is no body to fill".into()),
            (None, Some(text)) => Ok(Payload::Text(text.clone())),
            (None, None) => Ok(Payload::Empty),
        }
    }

    fn reading(&self) -> Result<Reading, String> {
        match (self.events, self.ends) {
            (Some(_), true) => Err("ends: events says how far to read".into()),
            (None, false) => Err("events: say how many to read, or ends: true".into()),
            (events, _) => Ok(Reading { events, bookmarks: self.bookmarks || events.is_none() }),
        }
    }
}

fn until(conditions: BTreeMap<String, Value>) -> Result<Until, String> {
    let mut until = Until::default();
    for (key, value) in conditions {
        if key == "code" {
            let code = value.as_u64().and_then(|code| u16::try_from(code).ok());
            until.code = Some(code.ok_or_else(|| format!("until.code: {value} is not a status code"))?);
        } else if key.starts_with('/') {
            until.values.push((key, value));
        } else {
            return Err(format!("until: {key:?} is neither code nor a JSON pointer"));
        }
    }
    Ok(until)
}

impl Until {
    /// Whether an answer is what was waited for.
    pub fn holds(&self, code: u16, body: &Value) -> bool {
        self.code.is_none_or(|wanted| wanted == code)
            && self
                .values
                .iter()
                .all(|(pointer, wanted)| body.pointer(pointer).unwrap_or(&Value::Null) == wanted)
    }
}

impl Head {
    /// The headers to send, with defaults, from texts that have their variables replaced by `fill`.
    pub fn headers(&self, fill: impl Fn(&str) -> String) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &self.headers {
            let value = fill(value);
            let parsed =
                HeaderValue::from_str(&value).map_err(|_| format!("{value:?} is not a header's value"))?;
            headers.insert(name, parsed);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(yaml: &str) -> String {
        Case::parse("a/b", yaml).expect_err("a bad case").to_string()
    }

    #[test]
    fn a_case_is_read() {
        let case = Case::parse(
            "crud/update",
            "about: x\nsteps:\n- request: GET /api/v1/namespaces/$ns/pods/a\n  save: {old: /metadata/resourceVersion}\n\
             - watch: /api/v1/namespaces/$ns/pods?watch=1&resourceVersion=$old\n  name: w\n- read: w\n  events: 2\n",
        )
        .expect("a case");
        assert_eq!((case.area(), case.steps.len()), ("crud", 3));
        assert!(
            matches!(&case.steps[2].action, Action::Read(name, Reading { events: Some(2), .. }) if name == "w")
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_step_and_field() {
        let step = |step: &str| problem(&format!("about: x\nsteps:\n- request: GET /version\n- {step}\n"));
        assert!(step("requests: GET /x").starts_with("step 2: unknown field `requests`"));
        assert_eq!(step("request: GET"), "step 2: request: \"GET\" is not a method and a path");
        assert_eq!(step("request: GET /$old"), "step 2: request: nothing was saved as $old before");
        assert_eq!(step("read: w"), "step 2: read: no watch was opened under the name \"w\"");
        assert_eq!(step("{watch: /x}"), "step 2: events: say how many to read, or ends: true");
        assert_eq!(step("{request: POST /x, until: {code: 200}}"), "step 2: until: only a GET is repeated");
        assert!(
            step("{request: GET /x, ignore: [a]}").starts_with("step 2: ignore: \"a\" is not a JSON pointer")
        );
        assert!(step("{request: GET /x, code: many}").starts_with("step 2: "));
        assert!(problem("about: x\nsteps: []\n").contains("nothing to do"));
        assert!(problem("steps: []\n").contains("about"));
    }

    #[test]
    fn what_is_waited_for_may_be_absent() {
        let until = until(BTreeMap::from([("/metadata/x".into(), Value::Null), ("code".into(), 200.into())]));
        let until = until.expect("conditions");
        assert!(until.holds(200, &serde_json::json!({"metadata": {}})));
        assert!(!until.holds(200, &serde_json::json!({"metadata": {"x": 1}})));
        assert!(!until.holds(404, &Value::Null));
    }
}
