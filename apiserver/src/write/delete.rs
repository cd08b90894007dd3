//! Delete.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{CONFLICT_RETRIES, Target, draft, meta, stamp};
use crate::{
    Change, Expect, GroupResource, Key, Object, Resource, Status,
    cluster::Inner,
    http::query::{Params, dry_run, invalid_options},
    registry::{CLEANUP_FINALIZER, Rules, text},
    selector::Selector,
};

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];
/// How long a pod that names no grace period gets.
const DEFAULT_GRACE: i64 = 30;

/// What happens to the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// The object goes, then its dependents.
    Background,
    /// Dependents that block go first.
    Foreground,
    /// Dependents stay.
    Orphan,
}

/// How to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeleteOptions {
    pub(crate) grace: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) dry_run: bool,
}

/// What a deletion did.
pub(crate) struct Deleted {
    /// The object as it was left, or as it was last.
    pub(crate) object: Arc<Object>,
    /// It is gone, rather than on its way.
    pub(crate) gone: bool,
}

impl DeleteOptions {
    /// Reads options from the body, or from the query where there is none.
    pub(crate) fn parse(params: &Params, body: Option<&Value>) -> Result<Self, Status> {
        let mut options = Self { dry_run: dry_run(params.all("dryRun"))?, ..Self::default() };
        let mut policy = params.get("propagationPolicy").map(str::to_owned);
        let mut orphan = params.get("orphanDependents").map(|text| text == "true");
        options.grace = match params.get("gracePeriodSeconds").map(str::parse) {
            None => None,
            Some(Ok(seconds)) => Some(seconds),
            Some(Err(_)) => return Err(Status::bad_request("gracePeriodSeconds is not a number")),
        };
        if let Some(body) = body {
            let kind = text(body, "/kind");
            if !kind.is_empty() && kind != "DeleteOptions" {
                return Err(Status::bad_request(format!("the body is a {kind}, not DeleteOptions")));
            }
            let owned = |pointer: &str| Some(text(body, pointer).to_owned()).filter(|text| !text.is_empty());
            options.grace = body["gracePeriodSeconds"].as_i64().or(options.grace);
            options.uid = owned("/preconditions/uid");
            options.version = owned("/preconditions/resourceVersion");
            policy = owned("/propagationPolicy").or(policy);
            orphan = body["orphanDependents"].as_bool().or(orphan);
            let dry = body["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str);
            options.dry_run |= dry_run(dry)?;
        }
        options.propagation = match (policy.as_deref(), orphan) {
            (Some(_), Some(_)) => {
                return Err(invalid_options(
                    "propagationPolicy: Invalid value: orphanDependents and deletionPropagation cannot be both set",
                ));
            }
            (None, None) => None,
            (None, Some(true)) | (Some("Orphan"), None) => Some(Propagation::Orphan),
            (None, Some(false)) | (Some("Background"), None) => Some(Propagation::Background),
            (Some("Foreground"), None) => Some(Propagation::Foreground),
            (Some(other), None) => {
                return Err(invalid_options(&format!(
                    "propagationPolicy: Invalid value: {other:?}: must be \"Foreground\", \"Background\", or \"Orphan\""
                )));
            }
        };
        Ok(options)
    }
}

impl Inner {
    /// Deletes one object, or begins to.
    pub(crate) fn delete(
        &self,
        resource: &Arc<Resource>,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let named = resource.group_resource();
        for _ in 0..CONFLICT_RETRIES {
            let (object, live) =
                self.live(resource, key)?.ok_or_else(|| Status::not_found(&named, &key.name))?;
            check_preconditions(&named, &object, options)?;
            if &*resource.plural == "namespaces" && !resource.custom && IMMORTAL.contains(&&*key.name) {
                return Err(Status::forbidden(&named, &key.name, "this namespace may not be deleted"));
            }
            let Some((next, gone)) = next_state(resource, &live, options, self.time()) else {
                return Ok(Deleted { object, gone: false });
            };
            if options.dry_run {
                return Ok(Deleted { object, gone });
            }
            let last = draft(resource, next);
            let change = if gone { Change::Delete(last) } else { Change::Put(last) };
            match self.commit(resource, key, Expect::Version(object.version), change) {
                Ok(object) => return Ok(Deleted { object, gone }),
                Err(crate::CommitError::Conflict { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Status::modified(&named, &key.name))
    }

    /// Deletes what a selector picks, and answers with what was picked.
    pub(crate) fn delete_collection(
        &self,
        resource: &Arc<Resource>,
        objects: &[Arc<Object>],
        options: &DeleteOptions,
    ) -> Result<Vec<Arc<Object>>, Status> {
        let mut deleted = Vec::with_capacity(objects.len());
        for object in objects {
            match self.delete(resource, &object.key, options) {
                Ok(done) => deleted.push(done.object),
                // Somebody else was faster.
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status),
            }
        }
        Ok(deleted)
    }

    /// The objects of a resource in a namespace that a selector picks.
    pub(crate) fn select(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<Arc<Object>>, Status> {
        let mut objects = self.store.list(&resource.stored_as, &crate::ListQuery::latest(namespace))?.objects;
        objects.retain(|object| selector.matches(object));
        Ok(objects)
    }
}

fn check_preconditions(
    resource: &GroupResource,
    object: &Object,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let failed = |what: &str, asked: &str, found: &str| {
        let why =
            format!("Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}");
        Err(Status::conflict(resource, &object.key.name, &why))
    };
    if let Some(uid) = &options.uid
        && **uid != *object.uid
    {
        return failed("UID", uid, &object.uid);
    }
    let found = object.version.to_string();
    match &options.version {
        Some(version) if *version != found => failed("ResourceVersion", version, &found),
        _ => Ok(()),
    }
}

/// What a deletion leaves of an object, and whether it is gone then. `None` when the deletion changes nothing.
fn next_state(
    resource: &Resource,
    live: &Value,
    options: &DeleteOptions,
    now: Timestamp,
) -> Option<(Value, bool)> {
    let marked = !live["metadata"]["deletionTimestamp"].is_null();
    let held = live["metadata"]["deletionGracePeriodSeconds"].as_i64();
    let grace = if Rules::of(resource).graceful { grace_period(live, options, marked, held) } else { 0 };
    let mut next = live.clone();
    let mut finalizers = finalizers_after(live, options.propagation);
    let definition = &*resource.plural == "customresourcedefinitions" && !resource.custom;
    if definition && !marked && !finalizers.iter().any(|name| name == CLEANUP_FINALIZER) {
        finalizers.push(CLEANUP_FINALIZER.to_owned());
    }
    meta::set_finalizers(&mut next, &finalizers);
    let namespace_held = resource.group.is_empty()
        && &*resource.plural == "namespaces"
        && live.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if grace == 0 && finalizers.is_empty() && !namespace_held {
        // What goes at once was never marked; a pod is, even for no time at all.
        if Rules::of(resource).graceful {
            stamp_deletion(&mut next, now, 0, marked);
        }
        return Some((next, true));
    }
    let shorter = held.is_some_and(|held| grace < held);
    if marked && !shorter && next == *live {
        return None;
    }
    if !marked || shorter {
        stamp_deletion(&mut next, now, grace, marked);
    }
    if namespace_held {
        next["status"]["phase"] = "Terminating".into();
    }
    Some((next, false))
}

/// Marks an object as being deleted. The first mark is a change of what is wanted, so the generation moves.
fn stamp_deletion(object: &mut Value, now: Timestamp, grace: i64, marked: bool) {
    let until = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    object["metadata"]["deletionTimestamp"] = stamp(until).into();
    object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    if let Some(generation) = object["metadata"]["generation"].as_i64().filter(|_| !marked) {
        object["metadata"]["generation"] = (generation + 1).into();
    }
}

/// How long a pod is given. One that runs nowhere needs nothing; a grace period under way can only be shortened.
fn grace_period(pod: &Value, options: &DeleteOptions, marked: bool, held: Option<i64>) -> i64 {
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(DEFAULT_GRACE);
    let finished = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let idle = text(pod, "/spec/nodeName").is_empty() || finished;
    match (marked, options.grace) {
        (true, None) => held.unwrap_or(0),
        (true, Some(asked)) => held.unwrap_or(0).min(at_least(asked)),
        (false, _) if idle => 0,
        (false, asked) => at_least(asked.unwrap_or(own)),
    }
}

/// A negative grace period means one second.
fn at_least(seconds: i64) -> i64 {
    if seconds < 0 { 1 } else { seconds }
}

/// The finalizers of an object once its deletion says what becomes of its dependents.
fn finalizers_after(live: &Value, propagation: Option<Propagation>) -> Vec<String> {
    let current = meta::finalizers(live);
    let Some(propagation) = propagation else { return current.into_iter().map(str::to_owned).collect() };
    let wanted = match propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(meta::FOREGROUND),
        Propagation::Orphan => Some(meta::ORPHAN),
    };
    let garbage = [meta::FOREGROUND, meta::ORPHAN];
    let mut finalizers: Vec<String> = current
        .iter()
        .filter(|name| !garbage.contains(name) || Some(**name) == wanted)
        .map(|n| (*n).to_owned())
        .collect();
    if let Some(wanted) = wanted
        && !finalizers.iter().any(|name| name == wanted)
    {
        finalizers.push(wanted.to_owned());
    }
    finalizers
}

impl Target<'_> {
    /// The answer to a deletion, as Kubernetes gives it for the kind.
    pub(crate) fn answers_with_object(&self, gone: bool) -> bool {
        !gone || self.rules().returns_deleted
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry;

    fn resource(plural: &str) -> Arc<Resource> {
        registry::resources()
            .into_iter()
            .find(|resource| &*resource.plural == plural)
            .expect("a built-in resource")
    }

    fn running() -> Value {
        json!({"metadata": {"name": "p", "generation": 1}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 20}})
    }

    fn options(grace: Option<i64>, propagation: Option<Propagation>) -> DeleteOptions {
        DeleteOptions { grace, propagation, ..DeleteOptions::default() }
    }

    #[test]
    fn a_running_pod_is_given_its_grace_and_may_be_hurried() {
        let pods = resource("pods");
        let (marked, gone) =
            next_state(&pods, &running(), &options(None, None), Timestamp::UNIX_EPOCH).expect("a change");
        assert!(!gone);
        assert_eq!(marked["metadata"]["deletionTimestamp"], "1970-01-01T00:00:20Z");
        assert_eq!(marked["metadata"]["generation"], 2);
        assert!(next_state(&pods, &marked, &options(None, None), Timestamp::UNIX_EPOCH).is_none());
        assert!(next_state(&pods, &marked, &options(Some(60), None), Timestamp::UNIX_EPOCH).is_none());
        let (hurried, gone) =
            next_state(&pods, &marked, &options(Some(5), None), Timestamp::UNIX_EPOCH).expect("a change");
        assert_eq!((gone, &hurried["metadata"]["deletionGracePeriodSeconds"]), (false, &json!(5)));
        assert_eq!(hurried["metadata"]["generation"], 2);
        let (_, gone) =
            next_state(&pods, &marked, &options(Some(0), None), Timestamp::UNIX_EPOCH).expect("a change");
        assert!(gone);
    }

    #[test]
    fn a_pod_on_no_node_goes_at_once() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {}});
        let (_, gone) = next_state(&resource("pods"), &pod, &options(None, None), Timestamp::UNIX_EPOCH)
            .expect("a change");
        assert!(gone);
    }

    #[test]
    fn propagation_becomes_a_finalizer() {
        let object = json!({"metadata": {"name": "a", "finalizers": ["x.io/y", "orphan"]}});
        let after = |propagation| finalizers_after(&object, propagation);
        assert_eq!(after(None), ["x.io/y", "orphan"]);
        assert_eq!(after(Some(Propagation::Background)), ["x.io/y"]);
        assert_eq!(after(Some(Propagation::Foreground)), ["x.io/y", "foregroundDeletion"]);
    }

    #[test]
    fn options_come_from_body_or_query() {
        let uri = http::Uri::from_static("/x?gracePeriodSeconds=3&propagationPolicy=Orphan");
        let params = Params::parse(&uri).expect("params");
        let parsed = DeleteOptions::parse(&params, None).expect("options");
        assert_eq!((parsed.grace, parsed.propagation), (Some(3), Some(Propagation::Orphan)));
        let body = json!({"kind": "DeleteOptions", "preconditions": {"uid": "u"}, "propagationPolicy": "Foreground"});
        let parsed = DeleteOptions::parse(&Params::default(), Some(&body)).expect("options");
        assert_eq!((parsed.uid.as_deref(), parsed.propagation), (Some("u"), Some(Propagation::Foreground)));
        assert!(
            DeleteOptions::parse(&Params::default(), Some(&json!({"propagationPolicy": "Sideways"})))
                .is_err()
        );
    }
}
