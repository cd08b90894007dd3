//! Plays a case on one server.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    case::{Action, Case, Head, Payload, Reading, Step, Until},
    server::{Answer, Server, ServerError, Watch},
    variables::Variables,
};

/// How long an answer may take to become what is waited for.
const UNTIL: Duration = Duration::from_secs(15);
/// How long the events of one step may take.
const EVENTS: Duration = Duration::from_secs(10);
/// How long a watch may take to end.
const ENDS: Duration = Duration::from_secs(15);
/// How long a new namespace may take to be ready for use.
const NAMESPACE: Duration = Duration::from_secs(30);
/// Between two looks at something waited for.
const POLL: Duration = Duration::from_millis(50);
/// How long the removal of what a case left behind may take.
const CLEANUP: Duration = Duration::from_secs(20);

/// Why a case could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// Something outside the steps.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The namespace of the case.
    #[error("the {server} server did not give the case its namespace {namespace}: {problem}")]
    Namespace {
        /// Which side.
        server: &'static str,
        /// Its name.
        namespace: String,
        /// What it said.
        problem: String,
    },
    /// A step.
    #[error("step {}, {server} server: {problem}", .step + 1)]
    Step {
        /// Counted from 0.
        step: usize,
        /// Which side.
        server: &'static str,
        /// What happened.
        problem: String,
    },
}

/// Names that are alike on both servers.
#[derive(Debug, Clone)]
pub struct Names {
    /// `$ns`.
    pub namespace: String,
    /// `$case`.
    pub case: String,
}

/// Plays all steps and removes what they left behind. Answers come step by step; where the steps broke off is said beside them.
pub async fn play(server: &Server, case: &Case, names: &Names) -> (Vec<Answer>, Option<PlayError>) {
    let mut player = Player {
        server,
        variables: Variables::default(),
        watches: BTreeMap::new(),
        made: Vec::new(),
        answers: Vec::new(),
    };
    player.variables.set("case", json!(names.case));
    player.variables.set("ns", json!(names.namespace));
    let ended = player.run(case, names).await.err();
    player.watches.clear();
    player.clean_up().await;
    (player.answers, ended)
}

struct Player<'a> {
    server: &'a Server,
    variables: Variables,
    watches: BTreeMap<String, (String, Watch)>,
    /// Paths of cluster-wide objects that the case made.
    made: Vec<String>,
    answers: Vec<Answer>,
}

impl Player<'_> {
    async fn run(&mut self, case: &Case, names: &Names) -> Result<(), PlayError> {
        if case.namespace {
            self.make_namespace(&names.namespace).await?;
        }
        for (index, step) in case.steps.iter().enumerate() {
            let wrong = |problem: String| PlayError::Step { step: index, server: self.server.name, problem };
            let answer = self.step(step).await.map_err(wrong)?;
            self.answers.push(answer.clone());
            let wrong = |problem: String| PlayError::Step { step: index, server: self.server.name, problem };
            if let Some(code) = step.code.filter(|code| *code != answer.code) {
                let said = answer.body["message"].as_str().unwrap_or_default();
                return Err(wrong(format!("answered {}, the case says {code}: {said}", answer.code)));
            }
            for (name, pointer) in &step.save {
                let found = pointer.select(&answer.body).into_values().next().cloned();
                let value = found.ok_or_else(|| {
                    wrong(format!("save.{name}: nothing at {pointer} in an answer with code {}", answer.code))
                })?;
                self.variables.set(name.clone(), value);
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<Answer, String> {
        match &step.action {
            Action::Request { head, body, until } => {
                let (path, headers) = self.filled(head)?;
                let body = self.body(body);
                match until {
                    None => self.request(&head.method, &path, headers, body).await,
                    Some(until) => self.poll(&path, headers, until).await,
                }
            }
            Action::Watch(head, reading) => {
                let (path, headers) = self.filled(head)?;
                let watch = self.server.watch(&path, headers).await.map_err(|error| error.to_string())?;
                if watch.head.code != 200 {
                    return watch.refusal().await.map_err(|error| error.to_string());
                }
                let mut watch = watch;
                read(&path, &mut watch, *reading).await
            }
            Action::Open(head, name) => {
                let (path, headers) = self.filled(head)?;
                let watch = self.server.watch(&path, headers).await.map_err(|error| error.to_string())?;
                if watch.head.code != 200 {
                    return watch.refusal().await.map_err(|error| error.to_string());
                }
                let answer = watch.head.clone();
                self.watches.insert(name.clone(), (path, watch));
                Ok(answer)
            }
            Action::Read(name, reading) => {
                let (path, watch) =
                    self.watches.get_mut(name).ok_or_else(|| format!("the watch {name} was refused"))?;
                read(path, watch, *reading).await
            }
        }
    }

    fn filled(&self, head: &Head) -> Result<(String, HeaderMap), String> {
        Ok((self.variables.text(&head.path), head.headers(|text| self.variables.text(text))?))
    }

    fn body(&self, payload: &Payload) -> Bytes {
        match payload {
            Payload::Empty => Bytes::new(),
            Payload::Text(text) => self.variables.text(text).into(),
            Payload::Json(body, fill) => {
                let mut body = self.variables.document(body);
                for (pointer, letters) in fill {
                    if let Some(place) = body.pointer_mut(pointer) {
                        *place = Value::String("x".repeat(*letters));
                    }
                }
                body.to_string().into()
            }
        }
    }

    async fn request(
        &mut self,
        method: &Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, String> {
        let asked = self.server.ask(method, path, headers, body).await;
        let mut answer = asked.map_err(|error| error.to_string())?;
        if answer.code == 201 && !path.contains("/namespaces/") {
            let collection = path.split('?').next().unwrap_or(path);
            match answer.body["metadata"]["name"].as_str() {
                Some(name) if *method == Method::POST => self.made.push(format!("{collection}/{name}")),
                _ => self.made.push(collection.to_owned()),
            }
        }
        without_default_objects(path, &mut answer.body);
        Ok(answer)
    }

    async fn poll(&mut self, path: &str, headers: HeaderMap, until: &Until) -> Result<Answer, String> {
        let deadline = Instant::now() + UNTIL;
        loop {
            let answer = self.request(&Method::GET, path, headers.clone(), Bytes::new()).await?;
            if until.holds(answer.code, &answer.body) {
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "until did not come true within {} s; the last answer is {} {}",
                    UNTIL.as_secs(),
                    answer.code,
                    answer.body
                ));
            }
            sleep(POLL).await;
        }
    }

    /// Makes the namespace of the case, and waits on the real server until its controllers have filled it.
    async fn make_namespace(&mut self, name: &str) -> Result<(), PlayError> {
        let wrong = |problem: String| PlayError::Namespace {
            server: self.server.name,
            namespace: name.to_owned(),
            problem,
        };
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let made =
            self.server.ask(&Method::POST, "/api/v1/namespaces", json_headers(), body.to_string().into());
        let made = made.await?;
        if made.code != 201 {
            return Err(wrong(made.body.to_string()));
        }
        self.made.push(format!("/api/v1/namespaces/{name}"));
        if self.server.name != "real" {
            return Ok(());
        }
        let deadline = Instant::now() + NAMESPACE;
        for object in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
            let path = format!("/api/v1/namespaces/{name}/{object}");
            while self.server.ask(&Method::GET, &path, json_headers(), Bytes::new()).await?.code != 200 {
                if Instant::now() >= deadline {
                    return Err(wrong(format!(
                        "{object} did not come within {} s; is there a kube-controller-manager?",
                        NAMESPACE.as_secs()
                    )));
                }
                sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Deletes what is cluster-wide, newest first. What does not go is left: it bears the name of the case.
    async fn clean_up(&self) {
        let work = async {
            for path in self.made.iter().rev() {
                let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
                    "propagationPolicy": "Background"});
                let deleted =
                    self.server.ask(&Method::DELETE, path, json_headers(), body.to_string().into()).await;
                // A definition is still in discovery while it goes, and the next case may look there.
                let waits = path.contains("/customresourcedefinitions/");
                if deleted.is_err() || !waits {
                    continue;
                }
                while let Ok(found) = self.server.ask(&Method::GET, path, json_headers(), Bytes::new()).await
                    && found.code == 200
                {
                    sleep(POLL).await;
                }
            }
        };
        let _ = timeout(CLEANUP, work).await;
    }
}

/// Reads events of a watch. Too few of them are an error; what was read is said in it.
async fn read(path: &str, watch: &mut Watch, reading: Reading) -> Result<Answer, String> {
    let limit = if reading.events.is_some() { EVENTS } else { ENDS };
    let deadline = Instant::now() + limit;
    let mut events = Vec::new();
    while reading.events.is_none_or(|wanted| events.len() < wanted) {
        let Some(event) = watch.next(deadline).await.map_err(|error| error.to_string())? else {
            let ended = Instant::now() < deadline;
            match reading.events {
                None if ended => break,
                None => return Err(format!("the watch did not end within {} s", limit.as_secs())),
                Some(wanted) => {
                    let how = if ended { "ended" } else { "was silent" };
                    return Err(format!(
                        "the watch {how} after {} of {wanted} events: {}",
                        events.len(),
                        Value::Array(events)
                    ));
                }
            }
        };
        let bookmark = event["type"] == "BOOKMARK";
        let object = &event["object"];
        let name = object["metadata"]["name"].as_str();
        let name = name.or_else(|| object["rows"][0]["object"]["metadata"]["name"].as_str());
        if (bookmark && !reading.bookmarks) || name.is_some_and(|name| is_default_object(path, name)) {
            continue;
        }
        events.push(event);
    }
    Ok(Answer { body: Value::Array(events), ..watch.head.clone() })
}

/// Objects that controllers put into every namespace of a real cluster.
fn is_default_object(path: &str, name: &str) -> bool {
    let resource = path.split('?').next().and_then(|path| path.rsplit('/').next());
    matches!(
        (resource, name),
        (Some("configmaps"), "kube-root-ca.crt") | (Some("serviceaccounts"), "default")
    )
}

fn without_default_objects(path: &str, body: &mut Value) {
    for (list, name) in [("items", "/metadata/name"), ("rows", "/object/metadata/name"), ("rows", "/cells/0")]
    {
        if let Some(Value::Array(items)) = body.get_mut(list) {
            items.retain(|item| {
                let name = item.pointer(name).and_then(Value::as_str);
                !name.is_some_and(|name| is_default_object(path, name))
            });
        }
    }
}

fn json_headers() -> HeaderMap {
    let json = || header::HeaderValue::from_static("application/json");
    HeaderMap::from_iter([(header::ACCEPT, json()), (header::CONTENT_TYPE, json())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controllers_put_into_a_namespace_is_not_compared() {
        let mut list =
            json!({"items": [{"metadata": {"name": "kube-root-ca.crt"}}, {"metadata": {"name": "default"}}]});
        without_default_objects("/api/v1/namespaces/x/configmaps?limit=5", &mut list);
        assert_eq!(list, json!({"items": [{"metadata": {"name": "default"}}]}));
        let mut table = json!({"rows": [{"cells": ["default", 0]}, {"cells": ["mine", 0]}]});
        without_default_objects("/api/v1/namespaces/x/serviceaccounts", &mut table);
        assert_eq!(table, json!({"rows": [{"cells": ["mine", 0]}]}));
    }
}
