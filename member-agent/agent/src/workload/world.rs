//! What is known of the member: the watches' caches, brought forward by what our own writes returned.
//!
//! A watch lags behind. Who plans on it alone creates a pod twice and deletes another in its place; so what a write
//! returned counts at once, and what a watch says later counts only if it is newer. Versions are compared as numbers,
//! which Kubernetes allows since 1.35 and which held before.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use muster_crds::GameStatefulSet;
use muster_runtime::watch::Key;
use muster_workload::{Claim, Hooks, Node, Pod, Refusal, Revision, Snapshot, identity};
use parking_lot::RwLock;

use super::hooks::HookState;

/// How many objects that are gone are remembered, for writes that were under way when they went and for watches that
/// lag.
const MAX_ENDED: usize = 1024;

/// An object as a [`Shelf`] needs it.
pub(super) trait Stored {
    /// Its uid.
    fn uid(&self) -> &str;
    /// Its resource version.
    fn version(&self) -> &str;
}

/// The objects of one kind.
#[derive(Debug)]
pub(super) struct Shelf<V> {
    objects: BTreeMap<Key, Arc<V>>,
    /// Written by us and not seen by the watch yet.
    unseen: BTreeSet<Key>,
    /// Uids of objects that we know to be gone before the watch does.
    gone: HashSet<String>,
    /// Uids of objects that our writes found gone.
    ended: Recent,
    /// Uids of objects that a write may still tell of and that are probably gone: the watch said so, or it started afresh
    /// without them. Those that the watch shows again are there: a list may have shown what was.
    doubtful: Recent,
}

/// The last uids of some kind, as many as [`MAX_ENDED`].
#[derive(Debug, Default)]
struct Recent(VecDeque<String>);

/// A node, cut down, and what tells its states apart.
#[derive(Clone, Debug)]
pub(super) struct NodeRecord {
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) node: Node,
}

/// Everything the controller knows.
#[derive(Clone, Default)]
pub(super) struct World {
    state: Arc<RwLock<State>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) sets: Shelf<GameStatefulSet>,
    pub(super) pods: Shelf<Pod>,
    pub(super) revisions: Shelf<Revision>,
    pub(super) claims: Shelf<Claim>,
    pub(super) nodes: Shelf<NodeRecord>,
    pub(super) hooks: HookState,
    /// What the API server refused at the last attempt, by set.
    refusals: HashMap<Key, Vec<Refusal>>,
}

// === impl Shelf ===

impl<V> Default for Shelf<V> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            unseen: BTreeSet::new(),
            gone: HashSet::new(),
            ended: Recent::default(),
            doubtful: Recent::default(),
        }
    }
}

impl<V: Stored> Shelf<V> {
    /// Takes what the watch says.
    pub(super) fn saw(&mut self, key: &Key, object: V) {
        if self.is_gone(object.uid()) {
            return;
        }
        self.unseen.remove(key);
        if self.objects.get(key).is_none_or(|held| held.uid() != object.uid()) {
            self.doubtful.remove(object.uid());
        }
        if self.objects.get(key).is_none_or(|held| !is_newer(held.as_ref(), &object)) {
            self.objects.insert(key.clone(), Arc::new(object));
        }
    }

    /// Takes the watch's word that an object is gone. One of the same name that was made since stays.
    pub(super) fn saw_gone(&mut self, key: &Key, uid: &str) {
        let proven = self.gone.remove(uid);
        let ended = if proven { &mut self.ended } else { &mut self.doubtful };
        ended.push(uid.to_owned());
        self.drop_held(key, uid);
    }

    /// Takes what a write returned.
    pub(super) fn wrote(&mut self, key: &Key, object: V) {
        if cfg!(mutate_expectation) {
            return; // A planted mistake: the next plan is made without what this one did.
        }
        let known = self.objects.get(key).filter(|held| held.uid() == object.uid());
        if known.is_some_and(|held| is_newer(held.as_ref(), &object)) {
            return;
        }
        if known.is_none() {
            // Its end may be known before the answer arrives, and is not told of again.
            if self.is_gone(object.uid()) || self.doubtful.contains(object.uid()) {
                return;
            }
            self.unseen.insert(key.clone());
        }
        self.objects.insert(key.clone(), Arc::new(object));
    }

    /// An object that was doubted was seen to be there.
    pub(super) fn trust(&mut self, uid: &str) {
        self.doubtful.remove(uid);
    }

    /// Takes a write's word that an object is gone.
    pub(super) fn found_gone(&mut self, key: &Key, uid: &str) {
        if self.doubtful.contains(uid) {
            self.ended.push(uid.to_owned());
        } else if !self.ended.contains(uid) {
            self.gone.insert(uid.to_owned());
        }
        self.drop_held(key, uid);
    }

    /// The watch starts afresh from a complete list: what only our writes tell of may have come and gone unseen. Should
    /// it exist after all, the watch that begins now shows it, or creating it again is refused, and then it is read.
    pub(super) fn synced(&mut self) {
        for key in std::mem::take(&mut self.unseen) {
            if let Some(object) = self.objects.remove(&key) {
                self.doubtful.push(object.uid().to_owned());
            }
        }
        self.gone.drain().for_each(|uid| self.ended.push(uid));
    }

    /// Whether an object is known to have ended.
    fn is_gone(&self, uid: &str) -> bool {
        self.gone.contains(uid) || self.ended.contains(uid)
    }

    fn drop_held(&mut self, key: &Key, uid: &str) {
        if self.objects.get(key).is_some_and(|held| held.uid() == uid) {
            self.objects.remove(key);
            self.unseen.remove(key);
        }
    }

    /// The object under this key.
    pub(super) fn get(&self, key: &Key) -> Option<&Arc<V>> {
        self.objects.get(key)
    }

    /// The objects of a namespace whose names begin with `prefix`.
    pub(super) fn with_prefix<'a>(
        &'a self,
        namespace: &'a str,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<V>)> {
        let within = move |key: &Key| key.namespace == namespace && key.name.starts_with(prefix);
        self.objects.range(Key::new(namespace, prefix)..).take_while(move |(key, _)| within(key))
    }
}

impl Recent {
    fn push(&mut self, uid: String) {
        if self.0.len() == MAX_ENDED {
            self.0.pop_front();
        }
        self.0.push_back(uid);
    }

    fn remove(&mut self, uid: &str) {
        self.0.retain(|held| held != uid);
    }

    fn contains(&self, uid: &str) -> bool {
        self.0.iter().any(|ended| ended == uid)
    }
}

/// Whether `a` is a later state of the object that `b` is.
fn is_newer<V: Stored>(a: &V, b: &V) -> bool {
    let version = |object: &V| object.version().parse::<u64>().ok();
    a.uid() == b.uid() && version(a).zip(version(b)).is_some_and(|(a, b)| a > b)
}

// === impl World ===

impl World {
    /// Changes what is known.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write())
    }

    /// Looks at what is known.
    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read())
    }

    /// Everything around a set; none when it is not there.
    pub(super) fn snapshot(&self, key: &Key) -> Option<Snapshot> {
        let state = self.state.read();
        let set = Arc::clone(state.sets.get(key)?);
        let prefix = format!("{}-", key.name);
        let objects = |(_, object): (&Key, &Arc<Pod>)| Arc::clone(object);
        let pods: Vec<Arc<Pod>> = state.pods.with_prefix(&key.namespace, &prefix).map(objects).collect();
        let revisions = state.revisions.with_prefix(&key.namespace, &prefix);
        let revisions = revisions.map(|(_, revision)| Arc::clone(revision)).collect();
        let mut claims = BTreeMap::new();
        for template in claim_templates(&set) {
            let prefix = format!("{template}-{prefix}");
            for (key, claim) in state.claims.with_prefix(&key.namespace, &prefix) {
                claims.insert(key.name.clone(), Arc::clone(claim));
            }
        }
        let refusals = state.refusals.get(key).cloned().unwrap_or_default();
        let mut nodes = BTreeMap::new();
        for name in pods.iter().filter_map(|pod| pod.node.as_deref()) {
            if let Some(record) = state.nodes.get(&node_key(name)).filter(|_| !nodes.contains_key(name)) {
                nodes.insert(name.to_owned(), record.node.clone());
            }
        }
        let siblings = state.sets.with_prefix(&key.namespace, "").filter(|(sibling, _)| *sibling != key);
        let siblings = siblings.map(|(_, sibling)| Arc::clone(sibling)).collect();
        let mut snapshot =
            Snapshot { revisions, pods, claims, nodes, siblings, refusals, ..Snapshot::of(set) };
        state.hooks.fill(key, &mut snapshot);
        Some(snapshot)
    }

    /// Whether hooks are asked.
    pub(super) fn asks_hooks(&self) -> bool {
        self.state.read().hooks.enforced == Hooks::Enforced
    }

    /// Remembers what was refused at the last attempt.
    pub(super) fn refused(&self, key: &Key, refusals: Vec<Refusal>) {
        let mut state = self.state.write();
        if refusals.is_empty() {
            state.refusals.remove(key);
        } else {
            state.refusals.insert(key.clone(), refusals);
        }
    }

    /// The other sets of a set's namespace.
    pub(super) fn siblings(&self, set: &Key) -> Vec<Key> {
        let state = self.state.read();
        let sets = state.sets.with_prefix(&set.namespace, "").map(|(key, _)| key);
        sets.filter(|key| *key != set).cloned().collect()
    }

    /// The sets that have pods on a node.
    pub(super) fn sets_on(&self, node: &str) -> BTreeSet<Key> {
        let state = self.state.read();
        let pods = state.pods.objects.iter().filter(|(_, pod)| pod.node.as_deref() == Some(node));
        let sets = pods.filter_map(|(key, _)| {
            let (set, _) = identity::parent(&key.name)?;
            Some(Key::new(key.namespace.clone(), set))
        });
        sets.filter(|set| state.sets.get(set).is_some()).collect()
    }

    /// The sets of a namespace for whose ordinals there may be a claim of this name.
    pub(super) fn sets_of_claim(&self, claim: &Key) -> Vec<Key> {
        let state = self.state.read();
        let sets = state.sets.with_prefix(&claim.namespace, "");
        let fits = |set: &GameStatefulSet, name: &str| {
            claim_templates(set).any(|template| claim.name.starts_with(&format!("{template}-{name}-")))
        };
        sets.filter(|(key, set)| fits(set, &key.name)).map(|(key, _)| key.clone()).collect()
    }
}

/// The key of a node, which has no namespace.
pub(super) fn node_key(name: &str) -> Key {
    Key::new("", name)
}

/// Names of the claim templates of a set.
fn claim_templates(set: &GameStatefulSet) -> impl Iterator<Item = &str> {
    let claims = set.spec.volume_claim_templates.iter();
    claims.filter_map(|claim| claim.pointer("/metadata/name")?.as_str())
}

impl State {
    /// A pod as the watch or a write shows it, with what is remembered of it: since when its kubelet has been seen at the
    /// generation it reports, and since when its gate has been seen closed.
    pub(super) fn remember(&self, key: &Key, mut pod: Pod, seen: Timestamp) -> Pod {
        let before = self.pods.get(key).filter(|before| before.uid == pod.uid);
        let same = before.filter(|before| before.observed_generation == pod.observed_generation);
        pod.observed_since = same.map_or(seen, |before| before.observed_since);
        pod.gate = pod.gate.remembering(before.map(|before| &before.gate), seen);
        pod
    }
}

impl Stored for Pod {
    fn uid(&self) -> &str {
        self.uid.as_str()
    }

    fn version(&self) -> &str {
        &self.resource_version
    }
}

impl Stored for Revision {
    fn uid(&self) -> &str {
        self.uid.as_str()
    }

    fn version(&self) -> &str {
        &self.resource_version
    }
}

impl Stored for Claim {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> &str {
        &self.resource_version
    }
}

impl Stored for NodeRecord {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> &str {
        &self.version
    }
}

impl Stored for GameStatefulSet {
    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(uid: &str, version: u64) -> Claim {
        Claim { uid: uid.into(), resource_version: version.to_string(), ..Claim::default() }
    }

    fn held(shelf: &Shelf<Claim>) -> Option<(String, String)> {
        let held = shelf.get(&key())?;
        Some((held.uid.clone(), held.resource_version.clone()))
    }

    fn is(uid: &str, version: u64) -> (String, String) {
        (uid.into(), version.to_string())
    }

    fn key() -> Key {
        Key::new("fleet", "game-0")
    }

    #[test]
    fn a_watch_that_lags_does_not_undo_a_write() {
        let mut shelf = Shelf::default();
        shelf.saw(&key(), claim("a", 1));
        shelf.wrote(&key(), claim("a", 5));
        shelf.saw(&key(), claim("a", 3));
        assert_eq!(held(&shelf), Some(is("a", 5)));
        shelf.saw(&key(), claim("a", 6));
        assert_eq!(held(&shelf), Some(is("a", 6)));
        // Nor the other way round.
        shelf.wrote(&key(), claim("a", 5));
        assert_eq!(held(&shelf), Some(is("a", 6)));
    }

    #[test]
    fn what_is_gone_does_not_come_back_through_the_watch() {
        let mut shelf = Shelf::default();
        shelf.saw(&key(), claim("a", 1));
        shelf.found_gone(&key(), "a");
        shelf.saw(&key(), claim("a", 2));
        assert_eq!(held(&shelf), None);
        // The next one of that name does, and survives the news of the first one's end.
        shelf.wrote(&key(), claim("b", 9));
        shelf.saw_gone(&key(), "a");
        assert_eq!(held(&shelf), Some(is("b", 9)));
    }

    #[test]
    fn what_is_gone_does_not_come_back_through_a_write_that_was_under_way() {
        let mut shelf = Shelf::default();
        shelf.saw(&key(), claim("a", 1));
        shelf.saw_gone(&key(), "a");
        shelf.wrote(&key(), claim("a", 2));
        assert_eq!(held(&shelf), None);
        // Nor that of one that came and went before its creation was answered.
        shelf.saw(&key(), claim("b", 3));
        shelf.saw_gone(&key(), "b");
        shelf.wrote(&key(), claim("b", 3));
        assert_eq!(held(&shelf), None);
        shelf.wrote(&key(), claim("c", 9));
        assert_eq!(held(&shelf), Some(is("c", 9)));
    }

    #[test]
    fn what_we_deleted_does_not_come_back_through_another_write() {
        let mut shelf = Shelf::default();
        shelf.saw(&key(), claim("a", 1));
        shelf.found_gone(&key(), "a");
        shelf.wrote(&key(), claim("a", 2));
        assert_eq!(held(&shelf), None);
        // Nor when the watch starts afresh meanwhile, whether it shows it a last time or not.
        shelf.synced();
        shelf.wrote(&key(), claim("a", 3));
        assert_eq!(held(&shelf), None);
        shelf.saw(&key(), claim("a", 3));
        assert_eq!(held(&shelf), None);
    }

    #[test]
    fn what_we_made_and_deleted_does_not_come_back_through_a_watch_that_lags() {
        let mut shelf = Shelf::default();
        shelf.saw(&key(), claim("a", 1));
        shelf.found_gone(&key(), "a");
        shelf.wrote(&key(), claim("b", 5));
        shelf.found_gone(&key(), "b");
        for old in [claim("a", 2), claim("b", 5), claim("b", 6)] {
            shelf.saw(&key(), old);
            assert_eq!(held(&shelf), None);
        }
        shelf.saw_gone(&key(), "a");
        shelf.saw_gone(&key(), "b");
        shelf.wrote(&key(), claim("b", 6));
        assert_eq!(held(&shelf), None);
        assert!(shelf.gone.is_empty());
    }

    #[test]
    fn what_a_stale_list_left_out_comes_back_through_the_watch() {
        let mut shelf = Shelf::default();
        shelf.saw(&key(), claim("a", 1));
        shelf.saw_gone(&key(), "a");
        shelf.synced();
        shelf.saw(&key(), claim("a", 1));
        assert_eq!(held(&shelf), Some(is("a", 1)));
        shelf.wrote(&key(), claim("a", 2));
        assert_eq!(held(&shelf), Some(is("a", 2)));
    }

    #[test]
    fn what_a_new_list_does_not_show_comes_back_only_when_it_is_seen() {
        let mut shelf = Shelf::default();
        shelf.wrote(&key(), claim("a", 1));
        shelf.synced();
        shelf.wrote(&key(), claim("a", 2));
        assert_eq!(held(&shelf), None);
        shelf.saw(&key(), claim("a", 1));
        assert_eq!(held(&shelf), Some(is("a", 1)));
        shelf.wrote(&key(), claim("a", 2));
        assert_eq!(held(&shelf), Some(is("a", 2)));
        // Or when it is asked for.
        shelf.wrote(&key(), claim("b", 3));
        shelf.synced();
        shelf.trust("b");
        shelf.wrote(&key(), claim("b", 3));
        assert_eq!(held(&shelf), Some(is("b", 3)));
    }

    #[test]
    fn what_only_a_write_told_of_is_not_trusted_after_a_new_list() {
        let mut shelf = Shelf::default();
        shelf.wrote(&key(), claim("a", 1));
        shelf.synced();
        assert_eq!(held(&shelf), None);
        shelf.wrote(&key(), claim("a", 1));
        shelf.saw(&key(), claim("a", 1));
        shelf.synced();
        assert_eq!(held(&shelf), Some(is("a", 1)));
    }
}
