//! The watches: one for each kind, each object cut down as it is read.

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{Namespace, Node as CoreNode, PersistentVolumeClaim, Pod as CorePod};
use kube::api::ObjectMeta;
use kube::{Api, Client, Resource};
use muster_crds::keys::label;
use muster_crds::{GameStatefulSet, HookRun};
use muster_runtime::initialized::Initialized;
use muster_runtime::queue::WorkQueue;
use muster_runtime::watch::{Cache, Change, Key, Watch};
use muster_runtime::{Clock, Tasks};
use muster_workload::{Claim, Node, Pod, Revision, identity, spec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::hooks::{HookWatches, NamespaceRecord, slim_namespace, slim_run};
use super::world::{NodeRecord, World};

/// How long changes of a set's pods are gathered before they are looked at: pods change in swarms.
pub const GATHER_PODS: Duration = Duration::from_millis(10);

/// Reads a kind as something smaller.
macro_rules! slim {
    ($(#[doc = $doc:literal])+ $name:ident from $full:ident as $kept:ty, $cut:path) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        pub(super) struct $name {
            meta: ObjectMeta,
            pub(super) kept: Option<$kept>,
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let full = $full::deserialize(deserializer)?;
                Ok(Self { kept: $cut(&full), meta: bare(full.metadata) })
            }
        }

        impl Resource for $name {
            type DynamicType = ();
            type Scope = <$full as Resource>::Scope;

            fn kind((): &()) -> Cow<'_, str> {
                $full::kind(&())
            }

            fn group((): &()) -> Cow<'_, str> {
                $full::group(&())
            }

            fn version((): &()) -> Cow<'_, str> {
                $full::version(&())
            }

            fn plural((): &()) -> Cow<'_, str> {
                $full::plural(&())
            }

            fn meta(&self) -> &ObjectMeta {
                &self.meta
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.meta
            }
        }
    };
}

slim! {
    /// A pod that could belong to a set; others are kept by name only.
    SlimPod from CorePod as Pod, slim_pod
}

slim! {
    /// A revision with its template.
    SlimRevision from ControllerRevision as Revision, slim_revision
}

slim! {
    /// A claim.
    SlimClaim from PersistentVolumeClaim as Claim, slim_claim
}

slim! {
    /// A node.
    SlimNode from CoreNode as NodeRecord, slim_node
}

slim! {
    /// A HookRun.
    SlimHookRun from HookRun as muster_workload::HookRun, slim_run
}

slim! {
    /// A namespace.
    SlimNamespace from Namespace as NamespaceRecord, slim_namespace
}

/// The watches under way.
pub(super) struct Watches {
    sets: Cache<GameStatefulSet>,
    pods: Cache<SlimPod>,
    revisions: Cache<SlimRevision>,
    claims: Cache<SlimClaim>,
    nodes: Cache<SlimNode>,
    /// None where hooks are not asked.
    hooks: Option<HookWatches>,
}

/// What a watch is started with.
pub(super) struct Start<'a> {
    pub(super) client: &'a Client,
    initialized: &'a Initialized,
    tasks: &'a Tasks,
}

impl Start<'_> {
    pub(super) fn watch<K>(&self, watch: Watch<K>) -> Cache<K>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        watch.readiness(self.initialized).start(self.tasks)
    }
}

impl Watches {
    /// Starts them. What they see goes into `world`, and the sets it concerns into `queue`.
    pub(super) fn start(
        client: &Client,
        clock: &Clock,
        world: &World,
        queue: &WorkQueue<Key>,
        initialized: &Initialized,
        tasks: &Tasks,
    ) -> Self {
        let start = Start { client, initialized, tasks };
        Self {
            sets: watch_sets(&start, world.clone(), queue.clone()),
            pods: watch_pods(&start, clock.clone(), world.clone(), queue.clone()),
            revisions: watch_revisions(&start, world.clone(), queue.clone()),
            claims: watch_claims(&start, world.clone(), queue.clone()),
            nodes: watch_nodes(&start, world.clone(), queue.clone()),
            hooks: world.asks_hooks().then(|| HookWatches::start(&start, world, queue)),
        }
    }

    /// Waits until each has seen a complete list.
    pub(super) async fn synced(&self) {
        self.sets.synced().await;
        self.pods.synced().await;
        self.revisions.synced().await;
        self.claims.synced().await;
        self.nodes.synced().await;
        if let Some(hooks) = &self.hooks {
            hooks.synced().await;
        }
    }

    /// Whether each has seen a complete list.
    pub(super) fn is_synced(&self) -> bool {
        self.sets.is_synced()
            && self.pods.is_synced()
            && self.revisions.is_synced()
            && self.claims.is_synced()
            && self.nodes.is_synced()
            && self.hooks.as_ref().is_none_or(HookWatches::is_synced)
    }
}

fn watch_sets(start: &Start<'_>, world: World, queue: WorkQueue<Key>) -> Cache<GameStatefulSet> {
    let watch = Watch::new("workload-sets", Api::<GameStatefulSet>::all(start.client.clone()))
        .trim(|set| set.metadata.managed_fields = None)
        .subscribe(move |change| match change {
            Change::Applied { old, new } => {
                let key = Key::of(new.as_ref());
                world.update(|state| state.sets.saw(&key, new.as_ref().clone()));
                if old.as_ref().is_some_and(|old| selects_otherwise(old, new)) {
                    world.siblings(&key).into_iter().for_each(|sibling| queue.add(sibling));
                }
                queue.add(key);
            }
            Change::Deleted(set) => {
                let key = Key::of(set.as_ref());
                let uid = set.metadata.uid.as_deref().unwrap_or_default();
                world.update(|state| state.sets.saw_gone(&key, uid));
                world.refused(&key, Vec::new());
                world.siblings(&key).into_iter().for_each(|sibling| queue.add(sibling));
                // What is remembered of it is forgotten.
                queue.add(key);
            }
            Change::Synced => world.update(|state| state.sets.synced()),
        });
    start.watch(watch)
}

/// Whether another set of the namespace may have to stand back, or need not any more, because this one changed.
fn selects_otherwise(old: &GameStatefulSet, new: &GameStatefulSet) -> bool {
    old.spec.selector != new.spec.selector
        || spec::labels_of(&old.spec.template) != spec::labels_of(&new.spec.template)
        || old.metadata.deletion_timestamp.is_some() != new.metadata.deletion_timestamp.is_some()
}

fn watch_pods(start: &Start<'_>, clock: Clock, world: World, queue: WorkQueue<Key>) -> Cache<SlimPod> {
    let wake = move |world: &World, pod: &Key| {
        let Some(set) = identity::set_of(&pod.name) else { return };
        let set = Key::new(pod.namespace.clone(), set);
        if world.look(|state| state.sets.get(&set).is_some()) {
            queue.add_after(set, GATHER_PODS);
        }
    };
    let watch =
        Watch::new("workload-pods", Api::<SlimPod>::all(start.client.clone())).subscribe(move |change| {
            match change {
                Change::Applied { new, .. } => {
                    let Some(pod) = &new.kept else { return };
                    let key = Key::of(new.as_ref());
                    let now = clock.now();
                    world.update(|state| {
                        let pod = state.remember(&key, pod.clone(), now);
                        state.pods.saw(&key, pod);
                    });
                    wake(&world, &key);
                }
                Change::Deleted(pod) => {
                    let key = Key::of(pod.as_ref());
                    let uid = pod.meta.uid.as_deref().unwrap_or_default();
                    world.update(|state| state.pods.saw_gone(&key, uid));
                    wake(&world, &key);
                }
                Change::Synced => world.update(|state| state.pods.synced()),
            }
        });
    start.watch(watch.keep(|pod| SlimPod { meta: pod.meta.clone(), kept: None }))
}

fn watch_revisions(start: &Start<'_>, world: World, queue: WorkQueue<Key>) -> Cache<SlimRevision> {
    let wake = move |world: &World, revision: &Key| {
        let Some((set, _)) = revision.name.rsplit_once('-') else { return };
        let set = Key::new(revision.namespace.clone(), set);
        if world.look(|state| state.sets.get(&set).is_some()) {
            queue.add(set);
        }
    };
    let watch = Watch::new("workload-revisions", Api::<SlimRevision>::all(start.client.clone()));
    let watch = watch.subscribe(move |change| match change {
        Change::Applied { new, .. } => {
            let Some(revision) = &new.kept else { return };
            let key = Key::of(new.as_ref());
            world.update(|state| state.revisions.saw(&key, revision.clone()));
            wake(&world, &key);
        }
        Change::Deleted(revision) => {
            let key = Key::of(revision.as_ref());
            let uid = revision.meta.uid.as_deref().unwrap_or_default();
            world.update(|state| state.revisions.saw_gone(&key, uid));
            wake(&world, &key);
        }
        Change::Synced => world.update(|state| state.revisions.synced()),
    });
    start.watch(watch.keep(|revision| SlimRevision { meta: revision.meta.clone(), kept: None }))
}

fn watch_claims(start: &Start<'_>, world: World, queue: WorkQueue<Key>) -> Cache<SlimClaim> {
    let wake = move |world: &World, claim: &Key| {
        world.sets_of_claim(claim).into_iter().for_each(|set| queue.add(set));
    };
    let watch = Watch::new("workload-claims", Api::<SlimClaim>::all(start.client.clone()));
    let watch = watch.subscribe(move |change| match change {
        Change::Applied { old, new } => {
            let Some(claim) = &new.kept else { return };
            let key = Key::of(new.as_ref());
            world.update(|state| state.claims.saw(&key, claim.clone()));
            // A claim that gets its volume changes nothing here.
            let same = |old: &Claim| old.deleting == claim.deleting && old.owners == claim.owners;
            if !old.as_ref().and_then(|old| old.kept.as_ref()).is_some_and(same) {
                wake(&world, &key);
            }
        }
        Change::Deleted(claim) => {
            let key = Key::of(claim.as_ref());
            let uid = claim.meta.uid.as_deref().unwrap_or_default();
            world.update(|state| state.claims.saw_gone(&key, uid));
            wake(&world, &key);
        }
        Change::Synced => world.update(|state| state.claims.synced()),
    });
    start.watch(watch)
}

fn watch_nodes(start: &Start<'_>, world: World, queue: WorkQueue<Key>) -> Cache<SlimNode> {
    let wake = move |world: &World, node: &Key| {
        world.sets_on(&node.name).into_iter().for_each(|set| queue.add(set));
    };
    let watch = Watch::new("workload-nodes", Api::<SlimNode>::all(start.client.clone()));
    let watch = watch.subscribe(move |change| match change {
        Change::Applied { old, new } => {
            let Some(node) = &new.kept else { return };
            let key = Key::of(new.as_ref());
            world.update(|state| state.nodes.saw(&key, node.clone()));
            // Most of what a node reports says nothing here.
            let same = |old: &NodeRecord| old.node == node.node;
            if !old.as_ref().and_then(|old| old.kept.as_ref()).is_some_and(same) {
                wake(&world, &key);
            }
        }
        Change::Deleted(node) => {
            let key = Key::of(node.as_ref());
            let uid = node.meta.uid.as_deref().unwrap_or_default();
            world.update(|state| state.nodes.saw_gone(&key, uid));
            wake(&world, &key);
        }
        Change::Synced => world.update(|state| state.nodes.synced()),
    });
    start.watch(watch)
}

/// Names, uid and version. It is all that the watches of pods and revisions keep: the world has the rest, and ten thousand
/// pods need not be there twice.
pub(super) fn bare(meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        resource_version: meta.resource_version,
        ..ObjectMeta::default()
    }
}

fn slim_pod(pod: &CorePod) -> Option<Pod> {
    identity::set_of(pod.metadata.name.as_deref()?)?;
    // When it was seen is filled in by who sees it.
    Pod::read(pod, Timestamp::MIN, None).ok()
}

fn slim_revision(revision: &ControllerRevision) -> Option<Revision> {
    Revision::read(revision).ok()
}

fn slim_claim(claim: &PersistentVolumeClaim) -> Option<Claim> {
    claim.metadata.uid.as_ref()?;
    Some(Claim::read(&claim.metadata))
}

fn slim_node(node: &CoreNode) -> Option<NodeRecord> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    let labels = node.metadata.labels.as_ref();
    Some(NodeRecord {
        uid: node.metadata.uid.clone()?,
        version: node.metadata.resource_version.clone()?,
        node: Node {
            // The control plane writes Unknown for a kubelet that it does not hear of.
            ready: match ready.map(|ready| ready.status.as_str()) {
                Some("True") => Some(true),
                Some("False") => Some(false),
                _ => None,
            },
            hot_patches: labels
                .is_some_and(|labels| labels.get(label::HOTPATCH).is_some_and(|on| on == "true")),
        },
    })
}
