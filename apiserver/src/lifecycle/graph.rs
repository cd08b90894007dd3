//! Who owns whom.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::ObjectId;
use crate::Object;

/// Objects by uid, and the dependents of each uid, whether it exists or not.
#[derive(Default)]
pub(super) struct Graph {
    nodes: HashMap<Arc<str>, Node>,
    dependents: HashMap<Arc<str>, BTreeSet<ObjectId>>,
    /// Owners that were seen to go while they had dependents. They stay known for as long as these do.
    absent: HashSet<Arc<str>>,
}

struct Node {
    id: ObjectId,
    owners: Arc<[Arc<str>]>,
    deleting: bool,
}

impl Graph {
    /// Adds or replaces an object; true when it has owners that it did not have before.
    pub(super) fn insert(&mut self, id: &ObjectId, object: &Object) -> bool {
        let owners = object.owners.clone();
        let node = Node { id: id.clone(), owners: owners.clone(), deleting: object.deleting };
        let before = self.nodes.insert(object.uid.clone(), node).map(|node| node.owners).unwrap_or_default();
        if before == owners {
            return false;
        }
        self.unlink(&before, id);
        for owner in owners.iter() {
            self.dependents.entry(owner.clone()).or_default().insert(id.clone());
        }
        owners.iter().any(|owner| !before.contains(owner))
    }

    /// Forgets an object. Its dependents stay known, so that they can be collected.
    pub(super) fn remove(&mut self, object: &Object) {
        if let Some(node) = self.nodes.remove(&object.uid) {
            self.unlink(&node.owners, &node.id);
        }
        if self.dependents.contains_key(&object.uid) {
            self.absent.insert(object.uid.clone());
        }
    }

    /// The objects that name this uid as an owner.
    pub(super) fn dependents(&self, uid: &str) -> Vec<ObjectId> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Whether the object with this uid was seen to go. An unknown uid may belong to a kind that is not served.
    pub(super) fn is_absent(&self, uid: &str) -> bool {
        self.absent.contains(uid)
    }

    /// Where the object with this uid is.
    pub(super) fn find(&self, uid: &str) -> Option<&ObjectId> {
        self.nodes.get(uid).map(|node| &node.id)
    }

    /// The owners of an object, as they were last noted, that are being deleted and may wait for it.
    pub(super) fn deleting_owners(&self, uid: &str) -> Vec<ObjectId> {
        let owners = self.nodes.get(uid).into_iter().flat_map(|node| node.owners.iter());
        let owners = owners.filter_map(|owner| self.nodes.get(owner));
        owners.filter(|node| node.deleting).map(|node| node.id.clone()).collect()
    }

    fn unlink(&mut self, owners: &[Arc<str>], id: &ObjectId) {
        for owner in owners {
            if let Some(dependents) = self.dependents.get_mut(owner) {
                dependents.remove(id);
                if dependents.is_empty() {
                    self.dependents.remove(owner);
                    self.absent.remove(owner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Body, GroupResource, Key, Labels};

    fn object(uid: &str, owners: &[&str]) -> (ObjectId, Object) {
        let key = Key::namespaced("ns", uid);
        let object = Object {
            key: key.clone(),
            version: 1,
            uid: uid.into(),
            labels: Labels::default(),
            fields: Labels::default(),
            owners: owners.iter().map(|owner| Arc::from(*owner)).collect(),
            deleting: false,
            body: Body::Raw(Bytes::new()),
        };
        (ObjectId { resource: GroupResource::new("", "pods"), key }, object)
    }

    #[test]
    fn dependents_are_known_even_when_the_owner_is_not() {
        let mut graph = Graph::default();
        let (id, dependent) = object("d", &["o"]);
        assert!(graph.insert(&id, &dependent));
        assert!(!graph.insert(&id, &dependent));
        assert_eq!(graph.dependents("o"), std::slice::from_ref(&id));
        assert!(graph.find("o").is_none());
        let (_, freed) = object("d", &[]);
        assert!(!graph.insert(&id, &freed));
        assert!(graph.dependents("o").is_empty());
        graph.remove(&freed);
        assert!(graph.find("d").is_none());
    }

    #[test]
    fn an_owner_that_went_is_remembered_while_it_has_dependents() {
        let mut graph = Graph::default();
        let (owner_id, owner) = object("o", &[]);
        let (id, dependent) = object("d", &["o"]);
        graph.insert(&owner_id, &owner);
        graph.insert(&id, &dependent);
        graph.remove(&owner);
        assert!(graph.is_absent("o"));
        graph.remove(&dependent);
        assert!(!graph.is_absent("o"));
    }
}
