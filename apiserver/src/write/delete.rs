//! Delete.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{CONFLICT_RETRIES, Target, draft, meta, stamp, unstored};
use crate::{
    Change, CommitError, Expect, GroupResource, Key, Object, Resource, Snapshot, Status,
    cluster::Inner,
    http::query::{Params, dry_run, invalid},
    patch::go_format,
    registry::{CLEANUP_FINALIZER, Rules, set_condition, text},
    schema::FieldError,
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
        let (dry, mut error) = dry_run(params.all("dryRun"));
        let mut options = Self { dry_run: dry, ..Self::default() };
        let mut policy = params.get("propagationPolicy").map(str::to_owned);
        let mut orphan = params.get("orphanDependents").map(|text| text == "true");
        options.grace = match params.get("gracePeriodSeconds").map(str::parse) {
            None => None,
            Some(Ok(seconds)) => Some(seconds),
            Some(Err(_)) => {
                let text = go_format::quoted(params.get("gracePeriodSeconds").unwrap_or_default());
                return Err(Status::bad_request(format!("strconv.ParseInt: parsing {text}: invalid syntax")));
            }
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
            let (dry, problem) = dry_run(dry);
            options.dry_run |= dry;
            error = error.or(problem);
        }
        let refused = |error: FieldError| Err(invalid("DeleteOptions", &[error]));
        options.propagation = match (policy.as_deref(), orphan) {
            (Some(policy), Some(_)) => {
                let message = "orphanDependents and deletionPropagation cannot be both set";
                return refused(FieldError::invalid("propagationPolicy", policy, message));
            }
            (None, None) => None,
            (None, Some(true)) | (Some("Orphan"), None) => Some(Propagation::Orphan),
            (None, Some(false)) | (Some("Background"), None) => Some(Propagation::Background),
            (Some("Foreground"), None) => Some(Propagation::Foreground),
            (Some(other), None) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                return refused(FieldError::not_supported("propagationPolicy", other, supported));
            }
        };
        match error {
            Some(error) => refused(error),
            None => Ok(options),
        }
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
            check_preconditions(resource, &object, options)?;
            if &*resource.plural == "namespaces" && !resource.custom && IMMORTAL.contains(&&*key.name) {
                return Err(Status::forbidden(&named, &key.name, "this namespace may not be deleted"));
            }
            let Some((next, gone)) = next_state(resource, &live, options, self.time()) else {
                return Ok(Deleted { object, gone: false });
            };
            if options.dry_run {
                let object = unstored(key, object.version, draft(resource, next));
                return Ok(Deleted { object, gone });
            }
            match self.advance(resource, &object, live, next, gone) {
                Ok(object) => return Ok(Deleted { object, gone }),
                Err(crate::CommitError::Conflict { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Status::modified(&named, &key.name))
    }

    /// Commits what a deletion does. Watchers see an object that goes as it was stored last; one that had a grace
    /// period is marked first, even where there is nothing left to wait for.
    fn advance(
        &self,
        resource: &Arc<Resource>,
        object: &Object,
        live: Value,
        next: Value,
        gone: bool,
    ) -> Result<Arc<Object>, CommitError> {
        let key = &object.key;
        if !gone {
            return self.commit(
                resource,
                key,
                Expect::Version(object.version),
                Change::Put(draft(resource, next)),
            );
        }
        let (mut version, mut last) = (object.version, live);
        if next != last {
            let marked = Change::Put(draft(resource, next.clone()));
            version = self.commit(resource, key, Expect::Version(version), marked)?.version;
            last = next.clone();
        }
        last["metadata"]["resourceVersion"] = version.to_string().into();
        let gone = Change::Delete(draft(resource, last));
        version = self.commit(resource, key, Expect::Version(version), gone)?.version;
        Ok(unstored(key, version, draft(resource, next)))
    }

    /// Deletes what a selector picks, and answers with what was picked, as it was.
    pub(crate) fn delete_collection(
        &self,
        resource: &Arc<Resource>,
        objects: &[Arc<Object>],
        options: &DeleteOptions,
    ) -> Result<Vec<Arc<Object>>, Status> {
        let mut deleted = Vec::with_capacity(objects.len());
        for object in objects {
            match self.delete(resource, &object.key, options) {
                Ok(_) => deleted.push(object.clone()),
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
    ) -> Result<Snapshot, Status> {
        let mut snapshot = self.store.list(&resource.stored_as, &crate::ListQuery::latest(namespace))?;
        snapshot.objects.retain(|object| selector.matches(object));
        Ok(snapshot)
    }
}

/// Kubernetes names the kind here where it names the resource everywhere else. What contains other things is deleted
/// by code of its own, which says it differently.
pub(super) fn check_preconditions(
    resource: &Resource,
    object: &Object,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let container =
        !resource.custom && matches!(&*resource.plural, "namespaces" | "customresourcedefinitions");
    let failed = |what: &str, asked: &str, found: &str, perhaps: &str| {
        if container {
            let why = format!(
                "Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}"
            );
            return Err(Status::conflict(&resource.group_resource(), &object.key.name, &why));
        }
        let why = format!(
            "the {what} in the precondition ({asked}) does not match the {what} in record ({found}). \
             The object might have been {perhaps}"
        );
        let kind = GroupResource::new(resource.group.clone(), resource.kind.clone());
        Err(Status::conflict(&kind, &object.key.name, &why))
    };
    if let Some(uid) = &options.uid
        && **uid != *object.uid
    {
        return failed("UID", uid, &object.uid, "deleted and then recreated");
    }
    let found = object.version.to_string();
    match &options.version {
        Some(version) if *version != found => failed("ResourceVersion", version, &found, "modified"),
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
    let graceful = Rules::of(resource).graceful;
    let grace = if graceful { grace_period(live, options, marked, held) } else { 0 };
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
        if !graceful {
            return Some((live.clone(), true));
        }
        if held != Some(0) {
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
        remove_grace(&mut next);
    }
    if definition && !marked {
        next["metadata"]["generation"] = live["metadata"]["generation"].clone();
        remove_grace(&mut next);
        let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        let condition = ("True", "InstanceDeletionPending", message);
        set_condition(&mut next["status"], "Terminating", condition, &stamp(now));
    }
    Some((next, false))
}

/// Namespaces and definitions are marked without a grace period.
fn remove_grace(object: &mut Value) {
    object["metadata"].as_object_mut().map(|metadata| metadata.remove("deletionGracePeriodSeconds"));
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
