//! The newest known state of member objects: the watch's, or what our own write returned while the
//! watch has not shown it yet.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use kube::ResourceExt;
use kube::api::DynamicObject;
use muster_runtime::watch::Key;

/// How many deleted UIDs are remembered, to know a late answer about one of them.
const REMEMBERED_DELETIONS: usize = 1024;

/// Answers to our writes that the watch has not caught up with.
#[derive(Debug, Default)]
pub(super) struct Latest {
    written: HashMap<Key, Arc<DynamicObject>>,
    deleted: VecDeque<String>,
}

impl Latest {
    /// Takes the answer to a write.
    pub(super) fn wrote(&mut self, key: Key, object: Arc<DynamicObject>) {
        if !self.deleted.iter().any(|uid| Some(uid) == object.metadata.uid.as_ref()) {
            self.written.insert(key, object);
        }
    }

    /// The watch showed this state.
    pub(super) fn saw(&mut self, key: &Key, object: &DynamicObject) {
        if self.written.get(key).is_some_and(|written| !is_newer(written, object)) {
            self.written.remove(key);
        }
    }

    /// The watch showed that this object is gone.
    pub(super) fn saw_deleted(&mut self, key: &Key, object: &DynamicObject) {
        let uid = object.uid();
        if self.written.get(key).is_some_and(|written| written.uid() == uid) {
            self.written.remove(key);
        }
        if let Some(uid) = uid {
            if self.deleted.len() == REMEMBERED_DELETIONS {
                self.deleted.pop_front();
            }
            self.deleted.push_back(uid);
        }
    }

    /// The watch was restarted with a complete list.
    pub(super) fn saw_everything(&mut self) {
        self.written.clear();
    }

    /// The newer of what the watch and our last write showed.
    pub(super) fn pick(&self, key: &Key, watched: Option<Arc<DynamicObject>>) -> Option<Arc<DynamicObject>> {
        match (self.written.get(key), watched) {
            (None, watched) => watched,
            (Some(written), None) => Some(Arc::clone(written)),
            (Some(written), Some(watched)) => {
                Some(if is_newer(written, &watched) { Arc::clone(written) } else { watched })
            }
        }
    }
}

/// Resource versions of one kind compare as numbers (Kubernetes 1.35 says so; all servers before it
/// behave so). Where they are no numbers, the watch wins.
fn is_newer(written: &DynamicObject, watched: &DynamicObject) -> bool {
    let number = |object: &DynamicObject| {
        object.metadata.resource_version.as_deref().and_then(|version| version.parse::<u64>().ok())
    };
    matches!((number(written), number(watched)), (Some(written), Some(watched)) if written > watched)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(uid: &str, version: &str) -> Arc<DynamicObject> {
        Arc::new(
            serde_json::from_value(json!({
                "apiVersion": "v1", "kind": "Thing",
                "metadata": {"name": "a", "uid": uid, "resourceVersion": version}
            }))
            .unwrap(),
        )
    }

    #[test]
    fn an_answer_counts_until_the_watch_has_caught_up() {
        let key = Key::new("games", "a");
        let mut latest = Latest::default();
        latest.wrote(key.clone(), object("u", "5"));
        assert_eq!(latest.pick(&key, None), Some(object("u", "5")));
        latest.saw(&key, &object("u", "4"));
        assert_eq!(latest.pick(&key, Some(object("u", "4"))), Some(object("u", "5")));
        latest.saw(&key, &object("u", "6"));
        assert_eq!(latest.pick(&key, Some(object("u", "6"))), Some(object("u", "6")));
        assert_eq!(latest.pick(&key, None), None);
    }

    #[test]
    fn an_answer_about_a_deleted_object_does_not_bring_it_back() {
        let key = Key::new("games", "a");
        let mut latest = Latest::default();
        latest.saw_deleted(&key, &object("u", "6"));
        latest.wrote(key.clone(), object("u", "5"));
        assert_eq!(latest.pick(&key, None), None);
    }
}
