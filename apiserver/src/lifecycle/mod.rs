//! What happens after a write: garbage collection, the end of namespaces and definitions, the expiry of events.
//!
//! Every commit passes through [`Lifecycle::commit`], which keeps a graph of who owns whom and notes what there is to
//! do. [`Inner::tend`] does it, one item after another, woken by commits; nothing is polled.

mod budgets;
mod collect;
mod containers;
mod graph;
mod mounts;
mod protect;
mod quotas;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    graph::Graph,
    mounts::{Mounts, claims_of},
};
use crate::{
    Change, Commit, CommitError, GroupResource, Key, ListQuery, Object, Store, cluster::Inner,
    registry::storage_protection,
};

/// How long an event is kept.
const EVENT_TTL: Duration = Duration::from_hours(1);
/// How many events are kept at most; the oldest go first.
const MAX_EVENTS: usize = 20_000;

/// An object, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ObjectId {
    pub(crate) resource: GroupResource,
    pub(crate) key: Key,
}

/// Something to look into.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Work {
    /// Whether an object's owners or dependents still hold it.
    Collect(ObjectId),
    /// Whether a namespace that goes away is empty.
    Namespace(Arc<str>),
    /// Whether the objects of a definition that goes away are gone.
    Definition(GroupResource),
    /// Whether a claim or a volume is still in use.
    Protect(ObjectId),
    /// How many pods may be evicted in a namespace.
    Budgets(Arc<str>),
    /// How many pods there are in a namespace.
    Quotas(Arc<str>),
}

/// The graph of owners and the list of things to do.
#[derive(Default)]
pub(crate) struct Lifecycle {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    graph: Graph,
    queue: VecDeque<Work>,
    queued: HashSet<Work>,
    /// Namespaces being deleted.
    namespaces: HashSet<Arc<str>>,
    /// Resources whose definitions are being deleted.
    definitions: HashSet<GroupResource>,
    /// Which pods use which claims.
    mounts: Mounts,
    /// Namespaces with disruption budgets.
    budgets: HashSet<Arc<str>>,
    /// Namespaces with quotas.
    quotas: HashSet<Arc<str>>,
    /// Events by the time at which they expire.
    events: VecDeque<(Instant, Key, u64)>,
}

fn is_pods(resource: &GroupResource) -> bool {
    resource.group.is_empty() && &*resource.resource == "pods"
}

impl State {
    fn push(&mut self, work: Work) {
        if self.queued.insert(work.clone()) {
            self.queue.push_back(work);
        }
    }

    fn pop(&mut self) -> Option<Work> {
        let work = self.queue.pop_front()?;
        self.queued.remove(&work);
        Some(work)
    }

    /// Takes note of a commit.
    fn observe(&mut self, resource: &GroupResource, object: &Object, deleted: bool) {
        self.observe_storage(resource, object, deleted);
        self.observe_policies(resource, object);
        let id = ObjectId { resource: resource.clone(), key: object.key.clone() };
        // Owners that wait for this object may do so no longer: it is gone, or let go of them, or blocks them no more.
        for owner in self.graph.deleting_owners(&object.uid) {
            self.push(Work::Collect(owner));
        }
        if deleted {
            for dependent in self.graph.dependents(&object.uid) {
                self.push(Work::Collect(dependent));
            }
            self.graph.remove(object);
        } else {
            let new_owners = self.graph.insert(&id, object);
            if new_owners || object.deleting {
                self.push(Work::Collect(id));
            }
        }
        if let Some(namespace) =
            object.key.namespace.as_ref().filter(|namespace| self.namespaces.contains(*namespace))
        {
            self.push(Work::Namespace(namespace.clone()));
        }
        if deleted && self.definitions.contains(resource) {
            self.push(Work::Definition(resource.clone()));
        }
        match (&*resource.group, &*resource.resource) {
            ("", "namespaces") if deleted => {
                self.namespaces.remove(&object.key.name);
            }
            ("", "namespaces") if object.deleting => {
                self.namespaces.insert(object.key.name.clone());
                self.push(Work::Namespace(object.key.name.clone()));
            }
            ("apiextensions.k8s.io", "customresourcedefinitions") => {
                let Some((plural, group)) = object.key.name.split_once('.') else { return };
                let defined = GroupResource::new(group, plural);
                if deleted {
                    self.definitions.remove(&defined);
                } else if object.deleting {
                    self.definitions.insert(defined.clone());
                    self.push(Work::Definition(defined));
                }
            }
            ("", "events") if !deleted => {
                self.events.push_back((Instant::now() + EVENT_TTL, object.key.clone(), object.version));
            }
            _ => {}
        }
    }

    /// Takes note of what a commit means for storage in use.
    fn observe_storage(&mut self, resource: &GroupResource, object: &Object, deleted: bool) {
        if is_pods(resource) && deleted {
            let claims = GroupResource::new("", "persistentvolumeclaims");
            for key in self.mounts.remove(&object.uid) {
                self.push(Work::Protect(ObjectId { resource: claims.clone(), key }));
            }
        }
        if !deleted && storage_protection(resource).is_some() {
            self.push(Work::Protect(ObjectId { resource: resource.clone(), key: object.key.clone() }));
        }
    }

    /// Takes note of what a commit means for budgets and quotas: of themselves, of pods, and of what scales these.
    fn observe_policies(&mut self, resource: &GroupResource, object: &Object) {
        let Some(namespace) = &object.key.namespace else { return };
        match (&*resource.group, &*resource.resource) {
            ("policy", "poddisruptionbudgets") => drop(self.budgets.insert(namespace.clone())),
            ("", "resourcequotas") => drop(self.quotas.insert(namespace.clone())),
            ("", "pods") => {}
            ("" | "apps" | "autoscaling" | "coordination.k8s.io" | "events.k8s.io", _) => return,
            _ => {}
        }
        if self.budgets.contains(namespace) {
            self.push(Work::Budgets(namespace.clone()));
        }
        if resource.group.is_empty() && self.quotas.contains(namespace) {
            self.push(Work::Quotas(namespace.clone()));
        }
    }

    /// The next event that is due, or when one will be.
    fn due_event(&mut self) -> Result<(Key, u64), Option<Instant>> {
        match self.events.front() {
            None => Err(None),
            Some((at, ..)) if *at > Instant::now() && self.events.len() <= MAX_EVENTS => Err(Some(*at)),
            Some(_) => self.events.pop_front().map(|(_, key, version)| (key, version)).ok_or(None),
        }
    }
}

impl Lifecycle {
    /// Commits, and takes note in the order of commits.
    pub(crate) fn commit(
        &self,
        store: &dyn Store,
        commit: Commit<'_>,
        deletes: bool,
    ) -> Result<Arc<Object>, CommitError> {
        let resource = commit.resource.clone();
        let claims = match &commit.change {
            Change::Put(draft) if is_pods(&resource) => claims_of(&draft.value),
            _ => Vec::new(),
        };
        let object = {
            let mut state = self.state.lock();
            let object = store.commit(commit)?;
            state.mounts.insert(&object.uid, claims);
            state.observe(&resource, &object, deletes);
            object
        };
        self.wake.notify_one();
        Ok(object)
    }

    /// Learns what a store holds already.
    pub(crate) fn learn(&self, store: &dyn Store) {
        let mut state = self.state.lock();
        for resource in store.resources() {
            let objects = store.list(&resource, &ListQuery::latest(None)).map(|snapshot| snapshot.objects);
            for object in objects.unwrap_or_default() {
                if is_pods(&resource)
                    && let Ok(pod) = serde_json::from_slice(&object.body.bytes())
                {
                    state.mounts.insert(&object.uid, claims_of(&pod));
                }
                state.observe(&resource, &object, false);
            }
        }
    }

    /// Whether a custom resource is going away with its definition.
    pub(crate) fn is_definition_terminating(&self, resource: &GroupResource) -> bool {
        self.state.lock().definitions.contains(resource)
    }
}

impl Inner {
    /// Does what commits leave to be done, until cancelled.
    pub(crate) async fn tend(&self, token: CancellationToken) {
        loop {
            loop {
                if token.is_cancelled() {
                    return;
                }
                let Some(work) = self.lifecycle.state.lock().pop() else { break };
                self.attend(&work);
                // Requests come first.
                tokio::task::yield_now().await;
            }
            let alarm = self.expire_events();
            tokio::select! {
                () = token.cancelled() => return,
                () = self.lifecycle.wake.notified() => {}
                () = async { match alarm { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {}
            }
        }
    }

    fn attend(&self, work: &Work) {
        let result = match work {
            Work::Collect(id) => self.collect(id),
            Work::Namespace(name) => self.empty_namespace(name),
            Work::Definition(resource) => self.empty_definition(resource),
            Work::Protect(id) => self.protect(id),
            Work::Budgets(namespace) => self.count_budgets(namespace),
            Work::Quotas(namespace) => self.count_quotas(namespace),
        };
        if let Err(status) = result {
            // Whoever won the race committed something, and that commit queued the work again.
            tracing::debug!(?work, %status, "left for later");
        }
    }

    /// Removes events that are due; answers when the next one will be.
    fn expire_events(&self) -> Option<Instant> {
        let events = GroupResource::new("", "events");
        let catalog = self.store.catalog();
        let resource = catalog.find("", "v1", "events")?;
        loop {
            let due = self.lifecycle.state.lock().due_event();
            let (key, version) = match due {
                Ok(due) => due,
                Err(alarm) => return alarm,
            };
            // An event that was written again has a younger entry of its own.
            let current =
                self.store.get(&events, &key).ok().flatten().is_some_and(|event| event.version == version);
            if current
                && let Err(status) = self.delete(resource, &key, &crate::write::DeleteOptions::default())
            {
                tracing::debug!(%key, %status, "event not expired");
            }
        }
    }
}
