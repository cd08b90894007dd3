//! Scripts of writes to one object, as an API server would do them.

mod owners;
mod properties;
mod rules;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::testing::pod_schema;
use super::*;
use crate::schema::Schema;

/// One write of a script. `At` names the sub-resource.
enum Op {
    Apply(&'static str, Value),
    Force(&'static str, Value),
    Update(&'static str, Value),
    ApplyStatus(&'static str, Value),
    UpdateStatus(&'static str, Value),
    /// An apply that is refused with this message.
    Refused(&'static str, Value, &'static str),
}
use Op::{Apply, ApplyStatus, Force, Refused, Update, UpdateStatus};

/// An API server's store of one object. Each write is a second after the one before.
struct Script {
    schema: Arc<Schema>,
    live: Option<Value>,
    second: i64,
}

impl Script {
    fn new() -> Self {
        Self { schema: pod_schema(), live: None, second: 0 }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.second).unwrap()
    }

    fn endpoint(&self, subresource: Option<&'static str>) -> Endpoint<'_> {
        let ignored: &[&[&str]] = if subresource.is_some() { &[&["spec"]] } else { &[&["status"]] };
        Endpoint { version: "v1", subresource, schema: &self.schema, ignored }
    }

    fn apply(
        &mut self,
        subresource: Option<&'static str>,
        manager: &str,
        spec: &Value,
        force: bool,
    ) -> Result<(), ApplyError> {
        self.second += 1;
        let result = apply(&ApplyRequest {
            endpoint: self.endpoint(subresource),
            live: self.live.as_ref(),
            applied: &pod(spec),
            manager,
            force,
            now: self.now(),
        })?;
        self.store(result);
        Ok(())
    }

    fn update(&mut self, subresource: Option<&'static str>, manager: &str, spec: &Value) {
        self.second += 1;
        let mut new = pod(spec);
        if let (Some(live), None) = (&self.live, new.pointer("/metadata/managedFields"))
            && let Some(entries) = live.pointer("/metadata/managedFields")
        {
            new["metadata"]["managedFields"] = entries.clone();
        }
        let request = UpdateRequest {
            endpoint: self.endpoint(subresource),
            old: self.live.as_ref(),
            manager,
            now: self.now(),
        };
        track_update(&request, &mut new);
        self.store(new);
    }

    fn store(&mut self, mut object: Value) {
        object["metadata"]["uid"] = json!("u1");
        if let Some(live) = &self.live {
            keep_times(live, &mut object);
        }
        self.live = Some(object);
    }

    fn run(&mut self, op: &Op) {
        match op {
            Apply(manager, spec) => self.apply(None, manager, spec, false).unwrap(),
            Force(manager, spec) => self.apply(None, manager, spec, true).unwrap(),
            ApplyStatus(manager, spec) => self.apply(Some("status"), manager, spec, false).unwrap(),
            Update(manager, spec) => self.update(None, manager, spec),
            UpdateStatus(manager, spec) => self.update(Some("status"), manager, spec),
            Refused(manager, spec, message) => {
                assert_eq!(self.apply(None, manager, spec, false).unwrap_err().to_string(), *message);
            }
        }
    }

    /// The object without identity and ownership.
    fn object(&self) -> Value {
        let mut object = self.live.clone().unwrap();
        managed::clear(&mut object);
        object["metadata"].as_object_mut().unwrap().remove("uid");
        for name in ["apiVersion", "kind"] {
            object.as_object_mut().unwrap().remove(name);
        }
        object["metadata"].as_object_mut().unwrap().remove("name");
        if object["metadata"] == json!({}) {
            object.as_object_mut().unwrap().remove("metadata");
        }
        object
    }

    /// Who owns what, a line each: `ann applies @1: .spec.replicas`.
    fn owners(&self) -> Vec<String> {
        let live = self.live.as_ref().unwrap();
        let entries =
            live.pointer("/metadata/managedFields").and_then(Value::as_array).cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| {
                let verb = if entry["operation"] == "Apply" { "applies" } else { "updates" };
                let part = entry
                    .get("subresource")
                    .and_then(Value::as_str)
                    .map_or(String::new(), |s| format!("/{s}"));
                let time = entry.get("time").and_then(Value::as_str).map_or("never".to_owned(), |time| {
                    time.parse::<Timestamp>().unwrap().as_second().to_string()
                });
                let fields = decode_fields(&entry["fieldsV1"]).unwrap().to_string().replace('\n', " ");
                format!("{} {verb}{part} @{time}: {fields}", entry["manager"].as_str().unwrap())
            })
            .collect()
    }
}

/// A complete object around the part of it that a test is about.
fn pod(part: &Value) -> Value {
    let mut pod = part.clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    if !pod.get("metadata").is_some_and(Value::is_object) {
        pod["metadata"] = json!({});
    }
    pod["metadata"]["name"] = json!("a");
    pod
}
