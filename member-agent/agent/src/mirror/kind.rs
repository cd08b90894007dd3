//! One kind: the view's objects and the member's, followed together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::api::DynamicObject;
use kube::{Api, Client};
use muster_runtime::Tasks;
use muster_runtime::watch::{Cache, Change, Key, Watch};
use tokio::time::Instant;

use super::decide::{Link, Want};
use super::desired::{Desired, Intent};
use super::desired_set::DesiredSet;
use super::latest::Latest;
use super::ownership::{Identity, Ownership};
use super::record::Record;
use super::{Mirror, Target};
use crate::kind::Kind;
use crate::link::follow::{Update, follow};

/// What is known of one kind.
pub(super) struct KindMirror {
    pub(super) me: Identity,
    pub(super) desired: DesiredSet,
    pub(super) latest: Latest,
    pub(super) records: BTreeMap<Key, Record>,
    /// When following began.
    pub(super) since: Instant,
    kind: Arc<Kind>,
    cache: Cache<DynamicObject>,
    /// Objects that must be looked at before the inventory is complete; none when it is.
    uncounted: Option<BTreeSet<Key>>,
    rewound: bool,
    tasks: Tasks,
}

impl KindMirror {
    /// Starts following a kind and puts it into the mirror's state.
    pub(super) fn start(mirror: &Mirror, kind: Kind, me: Identity, hub: Client, tasks: &Tasks) {
        let tasks = tasks.child();
        let kind = Arc::new(kind);
        let resource = kind.api_resource();
        // The lock is held until the entry is in, so that the first events find it.
        let mut state = mirror.0.state.write();
        let member: Api<DynamicObject> = Api::all_with(mirror.0.writer.client(), &resource);
        let (watcher, watched) = (mirror.clone(), Arc::clone(&kind));
        let cache = Watch::new("mirror-member", member)
            .subscribe(move |change| watcher.member_changed(&watched, change))
            .start(&tasks);
        let entry = Self {
            me,
            desired: DesiredSet::default(),
            latest: Latest::default(),
            records: BTreeMap::new(),
            since: Instant::now(),
            kind: Arc::clone(&kind),
            cache,
            uncounted: Some(BTreeSet::new()),
            rewound: false,
            tasks: tasks.clone(),
        };
        state.kinds.insert(Kind::clone(&kind), entry);
        drop(state);

        let view: Api<DynamicObject> = Api::all_with(hub, &resource);
        let follower = mirror.clone();
        tasks.spawn("mirror-view", async move {
            let name = format!("{}/{kind}", follower.0.cluster);
            follow(view, &name, |update| follower.view_changed(&kind, update)).await;
        });
    }

    /// Stops following. Objects stay as they are.
    pub(super) async fn stop(&self) {
        self.tasks.stop().await;
    }

    /// Whether the member's objects are known.
    pub(super) fn is_ready(&self) -> bool {
        self.cache.is_synced()
    }

    /// The newest known state of a member object.
    pub(super) fn live(&self, key: &Key) -> Option<Arc<DynamicObject>> {
        self.latest.pick(key, self.cache.get(key))
    }

    /// How far the hub can be followed for this kind.
    pub(super) fn link(&self, hub_answers: bool) -> Link {
        match (hub_answers && self.desired.is_connected(), self.rewound) {
            (false, _) => Link::Down,
            (true, true) => Link::Rewound,
            (true, false) => Link::Up,
        }
    }

    /// Everything that is wanted or there.
    pub(super) fn targets(&self) -> Vec<Target> {
        let mut keys: BTreeSet<Key> = self.desired.iter().map(|(key, _)| key.clone()).collect();
        keys.extend(self.cache.list().iter().map(|object| Key::of(object.as_ref())));
        keys.into_iter().map(|key| self.target(key)).collect()
    }

    /// Something wanted in the scope of `key` that is not there yet.
    pub(super) fn first_missing(&self, key: &Key) -> Option<Key> {
        self.desired
            .iter()
            .find(|(other, intent)| {
                matches!(intent, Intent::Apply(_)) && encloses(other, key) && self.live(other).is_none()
            })
            .map(|(other, _)| other.clone())
    }

    /// Something of ours in the scope of `key` that is to go and is still there.
    pub(super) fn first_leaving(&self, key: &Key) -> Option<Key> {
        self.cache.list().iter().find_map(|object| {
            let other = Key::of(object.as_ref());
            let leaving = matches!(self.desired.want(&other), Want::Absent | Want::Intent(Intent::Remove(_)));
            let ours = Ownership::of(object, &self.kind, &self.me).tracking().is_some();
            (leaving && ours && encloses(key, &other)).then_some(other)
        })
    }

    /// Drops what is remembered about a key that is neither wanted nor there.
    pub(super) fn prune_record(&mut self, key: &Key) {
        if self.live(key).is_none() && !matches!(self.desired.want(key), Want::Intent(_)) {
            self.records.remove(key);
        }
    }

    /// A key was looked at. Returns whether that completed the inventory.
    pub(super) fn counted(&mut self, key: &Key) -> bool {
        let Some(uncounted) = &mut self.uncounted else { return false };
        uncounted.remove(key);
        let complete = uncounted.is_empty() && self.cache.is_synced();
        if complete {
            self.uncounted = None;
        }
        complete
    }

    fn target(&self, key: Key) -> Target {
        Target { kind: Arc::clone(&self.kind), key }
    }

    /// The highest version of the view that this member has obeyed, by its own objects.
    fn tracked_version(&self) -> u64 {
        self.cache
            .list()
            .iter()
            .filter_map(|object| match Ownership::of(object, &self.kind, &self.me) {
                Ownership::Ours(tracking) => Some(tracking.version),
                _ => None,
            })
            .max()
            .unwrap_or_default()
    }

    fn check_rewound(&mut self) {
        let rewound = self.desired.is_rewound(self.tracked_version());
        if rewound && !self.rewound {
            tracing::error!(kind = %self.kind, "the hub is behind what this member has obeyed; nothing is removed");
        }
        self.rewound = rewound;
    }
}

impl Mirror {
    /// The member's watch showed something. Called in order, from the watch's own task.
    fn member_changed(&self, kind: &Arc<Kind>, change: &Change<DynamicObject>) {
        let mut state = self.0.state.write();
        let Some(mirror) = state.kinds.get_mut(&**kind) else { return };
        let targets = match change {
            Change::Applied { new, .. } => {
                let key = Key::of(new.as_ref());
                mirror.latest.saw(&key, new);
                vec![mirror.target(key)]
            }
            Change::Deleted(object) => {
                let key = Key::of(object.as_ref());
                mirror.latest.saw_deleted(&key, object);
                vec![mirror.target(key)]
            }
            Change::Synced => {
                mirror.latest.saw_everything();
                mirror.check_rewound();
                let targets = mirror.targets();
                if let Some(uncounted) = &mut mirror.uncounted {
                    uncounted.extend(targets.iter().map(|target| target.key.clone()));
                }
                if targets.is_empty() && mirror.uncounted.take().is_some() {
                    self.0.reporter.inventory(kind);
                }
                targets
            }
        };
        drop(state);
        self.add(targets);
    }

    /// The view's watch showed something. Called in order.
    fn view_changed(&self, kind: &Arc<Kind>, update: Update) {
        let mut state = self.0.state.write();
        let Some(mirror) = state.kinds.get_mut(&**kind) else { return };
        let mut listed = false;
        let targets = match update {
            Update::Listed { objects, version } => {
                let objects = objects.iter().map(|object| (Key::of(object), Desired::read(object)));
                let mut keys = mirror.desired.replace(objects, version);
                keys.extend(mirror.cache.list().iter().map(|object| Key::of(object.as_ref())));
                mirror.check_rewound();
                listed = true;
                keys.into_iter().map(|key| mirror.target(key)).collect()
            }
            Update::Changed(object) => {
                let key = Key::of(&object);
                mirror.desired.put(&key, Desired::read(&object));
                vec![mirror.target(key)]
            }
            Update::Deleted(object) => {
                let key = Key::of(&object);
                mirror.desired.drop_key(&key, Desired::read(&object).version);
                vec![mirror.target(key)]
            }
            Update::Connected => {
                if mirror.desired.set_connected(true) {
                    mirror.targets()
                } else {
                    Vec::new()
                }
            }
            Update::Lost => {
                if mirror.desired.set_connected(false) {
                    mirror.targets()
                } else {
                    Vec::new()
                }
            }
        };
        drop(state);
        self.add(targets);
        if listed {
            self.0.view_listed.notify_one();
        }
    }
}

/// Whether `inner` lies in the scope of `outer`: the same namespace, the namespace itself, or
/// anything when `outer` is cluster-scoped and no namespace.
fn encloses(outer: &Key, inner: &Key) -> bool {
    if outer.namespace.is_empty() {
        outer.name == inner.namespace || inner.namespace.is_empty()
    } else {
        outer.namespace == inner.namespace
    }
}
