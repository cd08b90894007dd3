//! The watches: one for each kind, each object cut down as it is read.

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod as CorePod};
use kube::api::ObjectMeta;
use kube::{Api, Client, Resource};
use muster_crds::GameStatefulSet;
use muster_runtime::initialized::Initialized;
use muster_runtime::queue::WorkQueue;
use muster_runtime::watch::{Cache, Change, Key, Watch};
use muster_runtime::{Clock, Tasks};
use muster_workload::{Pod, Revision, identity};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::world::{ClaimRecord, World};

/// How long changes of a set's pods are gathered before they are looked at: pods change in swarms.
pub const GATHER_PODS: Duration = Duration::from_millis(10);

/// Reads a kind as something smaller.
macro_rules! slim {
    ($(#[doc = $doc:literal])+ $name:ident from $full:ident as $kept:ty, $cut:path) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        pub(super) struct $name {
            meta: ObjectMeta,
            kept: Option<$kept>,
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
    SlimClaim from PersistentVolumeClaim as ClaimRecord, slim_claim
}

/// The watches under way.
pub(super) struct Watches {
    sets: Cache<GameStatefulSet>,
    pods: Cache<SlimPod>,
    revisions: Cache<SlimRevision>,
    claims: Cache<SlimClaim>,
}

/// What a watch is started with.
struct Start<'a> {
    client: &'a Client,
    initialized: &'a Initialized,
    tasks: &'a Tasks,
}

impl Start<'_> {
    fn watch<K>(&self, watch: Watch<K>) -> Cache<K>
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
        }
    }

    /// Waits until each has seen a complete list.
    pub(super) async fn synced(&self) {
        self.sets.synced().await;
        self.pods.synced().await;
        self.revisions.synced().await;
        self.claims.synced().await;
    }

    /// Whether each has seen a complete list.
    pub(super) fn is_synced(&self) -> bool {
        self.sets.is_synced()
            && self.pods.is_synced()
            && self.revisions.is_synced()
            && self.claims.is_synced()
    }
}

fn watch_sets(start: &Start<'_>, world: World, queue: WorkQueue<Key>) -> Cache<GameStatefulSet> {
    let watch = Watch::new("workload-sets", Api::<GameStatefulSet>::all(start.client.clone()))
        .trim(|set| set.metadata.managed_fields = None)
        .subscribe(move |change| match change {
            Change::Applied { new, .. } => {
                let key = Key::of(new.as_ref());
                world.update(|state| state.sets.saw(&key, new.as_ref().clone()));
                queue.add(key);
            }
            Change::Deleted(set) => {
                let key = Key::of(set.as_ref());
                let uid = set.metadata.uid.as_deref().unwrap_or_default();
                world.update(|state| state.sets.saw_gone(&key, uid));
                world.refused(&key, Vec::new());
                // What is remembered of it is forgotten.
                queue.add(key);
            }
            Change::Synced => world.update(|state| state.sets.synced()),
        });
    start.watch(watch)
}

fn watch_pods(start: &Start<'_>, clock: Clock, world: World, queue: WorkQueue<Key>) -> Cache<SlimPod> {
    let wake = move |world: &World, pod: &Key| {
        let Some((set, _)) = identity::parent(&pod.name) else { return };
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
            let was_deleting = old.as_ref().and_then(|old| old.kept.as_ref()).map(|old| old.deleting);
            if was_deleting != Some(claim.deleting) {
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

/// Names, uid and version. It is all that the watches of pods and revisions keep: the world has the rest, and ten thousand
/// pods need not be there twice.
fn bare(meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        resource_version: meta.resource_version,
        ..ObjectMeta::default()
    }
}

fn slim_pod(pod: &CorePod) -> Option<Pod> {
    identity::parent(pod.metadata.name.as_deref()?)?;
    // When it was seen is filled in by who sees it.
    Pod::read(pod, Timestamp::MIN, None).ok()
}

fn slim_revision(revision: &ControllerRevision) -> Option<Revision> {
    Revision::read(revision).ok()
}

/// Reads a claim.
pub(super) fn slim_claim(claim: &PersistentVolumeClaim) -> Option<ClaimRecord> {
    Some(ClaimRecord {
        uid: claim.metadata.uid.clone()?,
        version: claim.metadata.resource_version.clone()?,
        deleting: claim.metadata.deletion_timestamp.is_some(),
    })
}
