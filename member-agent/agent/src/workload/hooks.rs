//! What is observed of hooks: the runs of sets, the templates they are copied from, and namespaces that go. Only where
//! hooks are asked.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ObjectMeta;
use kube::{Api, Resource};
use muster_crds::tkex::GameStatefulSetSpec;
use muster_crds::{GameStatefulSet, HookTemplate};
use muster_runtime::queue::WorkQueue;
use muster_runtime::watch::{Cache, Change, Key, Watch};
use muster_workload::{HookRun, Hooks, Snapshot};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::observe::{GATHER_PODS, SlimHookRun, SlimNamespace, Start, bare};
use super::world::{Shelf, State, Stored, World};

/// What is known of hooks.
#[derive(Default)]
pub(super) struct HookState {
    /// Whether they are asked.
    pub(super) enforced: Hooks,
    pub(super) runs: Shelf<HookRun>,
    templates: Shelf<Template>,
    namespaces: Shelf<NamespaceRecord>,
}

/// A HookTemplate as it was written: what this version cannot read may matter to who measures.
#[derive(Clone, Debug)]
pub(super) struct Template {
    meta: ObjectMeta,
    object: Arc<Value>,
}

/// A namespace, cut down.
#[derive(Clone, Debug)]
pub(super) struct NamespaceRecord {
    uid: String,
    version: String,
    deleted: Option<Timestamp>,
}

/// The watches under way.
pub(super) struct HookWatches {
    runs: Cache<SlimHookRun>,
    templates: Cache<Template>,
    namespaces: Cache<SlimNamespace>,
}

// === impl HookState ===

impl HookState {
    /// Fills in what concerns a set.
    pub(super) fn fill(&self, key: &Key, snapshot: &mut Snapshot) {
        snapshot.hooks = self.enforced;
        if self.enforced == Hooks::NotEnforced {
            return;
        }
        let uid = snapshot.set.metadata.uid.as_deref();
        let runs = self.runs.with_prefix(&key.namespace, "").map(|(_, run)| run);
        let controlled = |run: &&Arc<HookRun>| {
            run.controller.as_ref().is_some_and(|controller| Some(controller.uid.as_str()) == uid)
        };
        snapshot.hook_runs = runs.filter(controlled).cloned().collect();
        for name in templates_of(&snapshot.set.spec) {
            let template = self.templates.get(&Key::new(key.namespace.clone(), name));
            let named = template.map(|template| (name.to_owned(), Arc::clone(&template.object)));
            snapshot.hook_templates.extend(named);
        }
        let namespace = self.namespaces.get(&Key::new("", key.namespace.clone()));
        snapshot.namespace_deleted = namespace.and_then(|namespace| namespace.deleted);
    }
}

/// Names of the templates that a set mentions.
fn templates_of(spec: &GameStatefulSetSpec) -> impl Iterator<Item = &str> {
    let points = [
        &spec.pre_delete_update_strategy,
        &spec.pre_inplace_update_strategy,
        &spec.post_inplace_update_strategy,
    ];
    let points = points.into_iter().filter_map(|point| point.as_ref()?.hook.as_ref());
    let canary = spec.update_strategy.as_ref().and_then(|strategy| strategy.canary.as_ref());
    let steps = canary.into_iter().flat_map(|canary| &canary.steps).filter_map(|step| step.hook.as_ref());
    points.chain(steps).map(|hook| hook.template_name.as_str())
}

// === impl HookWatches ===

impl HookWatches {
    /// Starts them.
    pub(super) fn start(start: &Start<'_>, world: &World, queue: &WorkQueue<Key>) -> Self {
        Self {
            runs: watch_runs(start, world.clone(), queue.clone()),
            templates: watch_templates(start, world.clone(), queue.clone()),
            namespaces: watch_namespaces(start, world.clone(), queue.clone()),
        }
    }

    /// Waits until each has seen a complete list.
    pub(super) async fn synced(&self) {
        self.runs.synced().await;
        self.templates.synced().await;
        self.namespaces.synced().await;
    }

    /// Whether each has seen a complete list.
    pub(super) fn is_synced(&self) -> bool {
        self.runs.is_synced() && self.templates.is_synced() && self.namespaces.is_synced()
    }
}

fn watch_runs(start: &Start<'_>, world: World, queue: WorkQueue<Key>) -> Cache<SlimHookRun> {
    let wake = move |world: &World, namespace: &str, run: &HookRun| {
        let Some(controller) = &run.controller else { return };
        let set = Key::new(namespace, controller.name.clone());
        if world.look(|state| state.sets.get(&set).is_some()) {
            queue.add_after(set, GATHER_PODS);
        }
    };
    let watch = Watch::new("workload-hook-runs", Api::<SlimHookRun>::all(start.client.clone()));
    let watch = watch.subscribe(move |change| match change {
        Change::Applied { new, .. } => {
            let Some(run) = &new.kept else { return };
            let key = Key::of(new.as_ref());
            world.update(|state| state.hooks.runs.saw(&key, run.clone()));
            wake(&world, &key.namespace, run);
        }
        Change::Deleted(run) => {
            let key = Key::of(run.as_ref());
            let uid = run.meta().uid.as_deref().unwrap_or_default();
            world.update(|state| state.hooks.runs.saw_gone(&key, uid));
            if let Some(run) = &run.kept {
                wake(&world, &key.namespace, run);
            }
        }
        Change::Synced => world.update(|state| state.hooks.runs.synced()),
    });
    start.watch(watch)
}

fn watch_templates(start: &Start<'_>, world: World, queue: WorkQueue<Key>) -> Cache<Template> {
    let wake = move |world: &World, template: &Key| {
        let names = |set: &GameStatefulSet| templates_of(&set.spec).any(|name| name == template.name);
        for set in sets(world, &template.namespace, names) {
            queue.add(set);
        }
    };
    let watch = Watch::new("workload-hook-templates", Api::<Template>::all(start.client.clone()));
    let watch = watch.subscribe(move |change| match change {
        Change::Applied { new, .. } => {
            let key = Key::of(new.as_ref());
            world.update(|state| state.hooks.templates.saw(&key, new.as_ref().clone()));
            wake(&world, &key);
        }
        Change::Deleted(template) => {
            let key = Key::of(template.as_ref());
            world.update(|state| state.hooks.templates.saw_gone(&key, template.uid()));
            wake(&world, &key);
        }
        Change::Synced => world.update(|state| state.hooks.templates.synced()),
    });
    start.watch(watch)
}

fn watch_namespaces(start: &Start<'_>, world: World, queue: WorkQueue<Key>) -> Cache<SlimNamespace> {
    let watch = Watch::new("workload-namespaces", Api::<SlimNamespace>::all(start.client.clone()));
    let watch = watch.subscribe(move |change| match change {
        Change::Applied { new, .. } => {
            let Some(namespace) = &new.kept else { return };
            let key = Key::of(new.as_ref());
            world.update(|state| state.hooks.namespaces.saw(&key, namespace.clone()));
            if namespace.deleted.is_some() {
                for set in sets(&world, &key.name, |_| true) {
                    queue.add(set);
                }
            }
        }
        Change::Deleted(namespace) => {
            let key = Key::of(namespace.as_ref());
            let uid = namespace.meta().uid.as_deref().unwrap_or_default();
            world.update(|state| state.hooks.namespaces.saw_gone(&key, uid));
        }
        Change::Synced => world.update(|state| state.hooks.namespaces.synced()),
    });
    start.watch(watch)
}

/// The sets of a namespace for which this holds.
fn sets(world: &World, namespace: &str, holds: impl Fn(&GameStatefulSet) -> bool) -> Vec<Key> {
    let of_namespace = |state: &State| {
        let sets = state.sets.with_prefix(namespace, "").filter(|(_, set)| holds(set));
        sets.map(|(key, _)| key.clone()).collect()
    };
    world.look(of_namespace)
}

/// Reads a run.
pub(super) fn slim_run(run: &muster_crds::HookRun) -> Option<HookRun> {
    HookRun::read(run).ok()
}

/// Reads a namespace.
pub(super) fn slim_namespace(namespace: &Namespace) -> Option<NamespaceRecord> {
    Some(NamespaceRecord {
        uid: namespace.metadata.uid.clone()?,
        version: namespace.metadata.resource_version.clone()?,
        deleted: namespace.metadata.deletion_timestamp.as_ref().map(|time| time.0),
    })
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let meta: ObjectMeta =
            serde_json::from_value(object["metadata"].clone()).map_err(D::Error::custom)?;
        Ok(Self { meta: bare(meta), object: Arc::new(object) })
    }
}

impl Resource for Template {
    type DynamicType = ();
    type Scope = <HookTemplate as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        HookTemplate::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        HookTemplate::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        HookTemplate::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        HookTemplate::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

impl Stored for Template {
    fn uid(&self) -> &str {
        self.meta.uid.as_deref().unwrap_or_default()
    }

    fn version(&self) -> &str {
        self.meta.resource_version.as_deref().unwrap_or_default()
    }
}

impl Stored for HookRun {
    fn uid(&self) -> &str {
        self.uid.as_str()
    }

    fn version(&self) -> &str {
        &self.resource_version
    }
}

impl Stored for NamespaceRecord {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> &str {
        &self.version
    }
}
