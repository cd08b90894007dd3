//! The desired objects of one kind: the last complete list, and what was heard since.

use std::collections::{BTreeMap, BTreeSet};

use muster_runtime::watch::Key;

use super::decide::Want;
use super::desired::{Desired, Intent};
use crate::wire::{KindState, RootHash};

/// What the hub wants of one kind.
///
/// A list replaces the set only when it is complete, so a broken list never looks like removals. What
/// is missing counts as removed only once the set has the count and root hash that the hub announced
/// for it; changes heard after that keep it so.
#[derive(Debug, Default)]
pub struct DesiredSet {
    objects: BTreeMap<Key, Desired>,
    root: RootHash,
    /// Version of the newest list or change.
    version: u64,
    /// Highest version ever followed; a hub behind it was rewound.
    obeyed: u64,
    complete: bool,
    verified: bool,
    connected: bool,
}

impl DesiredSet {
    /// Takes a complete list of one version. Returns every key that is in it or was.
    pub fn replace(
        &mut self,
        objects: impl IntoIterator<Item = (Key, Desired)>,
        version: u64,
    ) -> BTreeSet<Key> {
        let mut touched: BTreeSet<Key> = std::mem::take(&mut self.objects).into_keys().collect();
        self.root = RootHash::default();
        for (key, desired) in objects {
            touched.insert(key.clone());
            self.set(&key, Some(desired));
        }
        self.complete = true;
        self.verified = false;
        self.connected = true;
        self.version = version;
        self.obeyed = self.obeyed.max(version);
        touched
    }

    /// Takes a change.
    pub fn put(&mut self, key: &Key, desired: Desired) {
        self.advance(desired.version);
        self.set(key, Some(desired));
    }

    /// Takes a removal from the view.
    pub fn drop_key(&mut self, key: &Key, version: u64) {
        self.advance(version);
        self.set(key, None);
    }

    /// Whether the changes are being heard. Returns whether that is news.
    pub fn set_connected(&mut self, connected: bool) -> bool {
        std::mem::replace(&mut self.connected, connected) != connected
    }

    /// Compares the set with what the hub announced. Returns whether that made it trusted, which is
    /// when missing objects first count as removed.
    pub fn verify(&mut self, announced: &KindState) -> bool {
        if self.verified || !self.complete || !self.connected || !announced.synced {
            return false;
        }
        let same = self.version >= announced.resource_version
            && self.objects.len() as u64 == announced.count
            && self.root.to_string() == announced.root_hash;
        self.verified = same;
        same
    }

    /// What is wanted of one key.
    pub fn want(&self, key: &Key) -> Want<'_> {
        match self.objects.get(key) {
            Some(desired) => Want::Intent(&desired.intent),
            None if self.verified => Want::Absent,
            None => Want::Unknown,
        }
    }

    /// The keys and what is wanted of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Intent)> {
        self.objects.iter().map(|(key, desired)| (key, &desired.intent))
    }

    /// Version of the view at which an object last changed.
    pub fn version_of(&self, key: &Key) -> Option<u64> {
        self.objects.get(key).map(|desired| desired.version)
    }

    /// Whether a complete list was taken.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether what is missing counts as removed.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// Whether changes are being heard.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the hub is behind what was followed before, in this process or, by `tracked`, in an
    /// earlier one.
    pub fn is_rewound(&self, tracked: u64) -> bool {
        self.complete && self.version < self.obeyed.max(tracked)
    }

    fn set(&mut self, key: &Key, desired: Option<Desired>) {
        if let Some(desired) = &desired {
            self.root.toggle(key, &desired.intent_text, &desired.hash_text);
        }
        let old = match desired {
            Some(desired) => self.objects.insert(key.clone(), desired),
            None => self.objects.remove(key),
        };
        if let Some(old) = old {
            self.root.toggle(key, &old.intent_text, &old.hash_text);
        }
    }

    fn advance(&mut self, version: u64) {
        self.version = self.version.max(version);
        self.obeyed = self.obeyed.max(version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    fn hold(version: u64) -> Desired {
        Desired {
            intent_text: "Hold".to_owned(),
            hash_text: String::new(),
            version,
            intent: Intent::Hold { reason: String::new() },
        }
    }

    fn announced(set: &DesiredSet, count: u64, version: u64) -> KindState {
        KindState {
            kind: Kind {
                group: String::new(),
                version: "v1".to_owned(),
                plural: "things".to_owned(),
                kind: "Thing".to_owned(),
            },
            synced: true,
            count,
            root_hash: set.root.to_string(),
            resource_version: version,
        }
    }

    #[test]
    fn missing_objects_count_as_removed_only_after_a_list_that_matches_the_announcement() {
        let (a, b) = (Key::new("games", "a"), Key::new("games", "b"));
        let mut set = DesiredSet::default();
        assert_eq!(set.want(&b), Want::Unknown);
        set.replace([(a.clone(), hold(5))], 7);

        let right = announced(&set, 1, 6);
        for wrong in [
            KindState { synced: false, ..right.clone() },
            KindState { count: 2, ..right.clone() },
            KindState { resource_version: 8, ..right.clone() },
            KindState { root_hash: "other".to_owned(), ..right.clone() },
        ] {
            assert!(!set.verify(&wrong), "{wrong:?}");
            assert_eq!(set.want(&b), Want::Unknown);
        }
        assert!(set.verify(&right));
        assert_eq!(set.want(&b), Want::Absent);
        assert!(matches!(set.want(&a), Want::Intent(_)));

        set.put(&b, hold(9));
        set.drop_key(&b, 10);
        assert_eq!(set.want(&b), Want::Absent);
        set.replace([(a, hold(5))], 11);
        assert_eq!(set.want(&b), Want::Unknown, "a new list must be compared anew");
    }

    #[test]
    fn a_hub_behind_what_was_followed_is_rewound() {
        let mut set = DesiredSet::default();
        assert!(!set.is_rewound(9));
        set.replace([], 7);
        assert!(!set.is_rewound(7));
        assert!(set.is_rewound(8));
        set.replace([], 6);
        assert!(set.is_rewound(0));
        set.replace([], 7);
        assert!(!set.is_rewound(0));
    }
}
