//! Who owns what after a change: the rules of server-side apply over sets of paths.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compare::Comparison;
use super::element::Element;
use super::field_set::field_set;
use super::managed::{Entry, Managed, ManagerId};
use super::merge;
use super::set::PathSet;
use super::shape::Shape;

/// Fields that others own and a change would alter.
pub(crate) type Clashes = BTreeMap<ManagerId, PathSet>;

/// What a manager gets from one write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write<'a> {
    pub(crate) shape: Shape<'a>,
    pub(crate) version: &'a str,
    /// Fields that this endpoint never changes, so that nobody owns them through it.
    pub(crate) ignored: &'a PathSet,
}

impl Write<'_> {
    /// Gives `manager` what changed between two objects, and takes it from everybody else.
    pub(crate) fn update(&self, managed: &mut Managed, manager: &ManagerId, old: &Value, new: &Value) {
        self.adopt_schema(managed);
        let changes = Comparison::of(self.shape, old, new).without(self.ignored);
        take_from_others(managed, manager, &changes);
        let own = managed.0.remove(manager).map(|entry| entry.fields).unwrap_or_default();
        let fields = own
            .difference(&changes.removed)
            .union(&changes.modified)
            .union(&changes.added)
            .recursive_difference(self.ignored);
        if !fields.is_empty() {
            managed.0.insert(manager.clone(), self.entry(fields));
        }
    }

    /// Merges an applied configuration and makes `manager` the owner of exactly what it names.
    ///
    /// Returns the merged object, or the fields of others that it would change unless `force` takes them.
    pub(crate) fn apply(
        &self,
        managed: &mut Managed,
        manager: &ManagerId,
        live: &Value,
        applied: &Value,
        force: bool,
    ) -> Result<Value, Clashes> {
        self.adopt_schema(managed);
        let merged = merge::merge(self.shape, live, applied);
        let fields = field_set(self.shape, applied).recursive_difference(self.ignored);
        let last = managed.0.get(manager).map(|entry| entry.fields.clone()).unwrap_or_default();
        let gives_up = !last.difference(&fields).is_empty();
        managed.0.insert(manager.clone(), self.entry(fields));
        let merged = if gives_up { self.prune(&merged, managed, &last) } else { merged };
        let changes = Comparison::of(self.shape, live, &merged).without(self.ignored);
        if !force {
            let clashes = clashes(managed, manager, &changes);
            if !clashes.is_empty() {
                return Err(clashes);
            }
        }
        take_from_others(managed, manager, &changes);
        managed.0.retain(|_, entry| !entry.fields.is_empty());
        Ok(merged)
    }

    fn entry(&self, fields: PathSet) -> Entry {
        Entry { version: self.version.to_owned(), fields, time: None }
    }

    /// Removes what the applier owned before and neither it nor anybody else owns now.
    ///
    /// An object with fields that nobody owns is kept for their sake, as are elements of lists.
    fn prune(&self, merged: &Value, managed: &Managed, last: &PathSet) -> Value {
        let shape = self.shape;
        let owned = managed.0.values().fold(PathSet::new(), |owned, entry| owned.union(&entry.fields));
        let owned = with_declared_parents(shape, &owned);
        let last = with_declared_parents(shape, last);
        let all = with_declared_parents(shape, &field_set(shape, merged));

        let pruned = merge::remove(shape, merged, &last);
        // Put back what is owned, and with it everything around that.
        let kept = with_declared_parents(shape, &field_set(shape, &pruned));
        let pruned = merge::remove(shape, merged, &all.difference(&kept.union(&owned)));
        // Put back what went along and was never the applier's.
        let kept = with_declared_parents(shape, &field_set(shape, &pruned));
        merge::remove(shape, merged, &all.difference(&kept).intersection(&last))
    }

    /// Turns ownership inside what the schema now calls atomic into ownership of the whole.
    fn adopt_schema(&self, managed: &mut Managed) {
        for entry in managed.0.values_mut() {
            if let Some(fields) = adopt_schema(self.shape, &entry.fields) {
                entry.fields = fields;
            }
        }
    }
}

/// What a change would alter of the fields that others own.
fn clashes(managed: &Managed, manager: &ManagerId, changes: &Comparison) -> Clashes {
    let changed = changes.modified.union(&changes.added);
    managed
        .0
        .iter()
        .filter(|(id, _)| *id != manager)
        .map(|(id, entry)| (id.clone(), entry.fields.intersection(&changed)))
        .filter(|(_, fields)| !fields.is_empty())
        .collect()
}

/// Takes changed and removed fields from everybody but `manager`.
fn take_from_others(managed: &mut Managed, manager: &ManagerId, changes: &Comparison) {
    for (_, entry) in managed.0.iter_mut().filter(|(id, _)| *id != manager) {
        for taken in [&changes.modified, &changes.added, &changes.removed] {
            if !taken.is_empty() {
                entry.fields = entry.fields.difference(taken);
            }
        }
    }
    managed.0.retain(|id, entry| id == manager || !entry.fields.is_empty());
}

/// The set with every declared field that lies on the way to a member added: such a parent exists for its
/// children's sake, so that removing all of them removes it.
fn with_declared_parents(shape: Shape<'_>, set: &PathSet) -> PathSet {
    let mut out = PathSet::new();
    for node in set.nodes() {
        let (declared, below) = match &node.element {
            Element::Field(name) => {
                (shape.declares(name) && !node.children.is_empty(), shape.field_or_open(name))
            }
            _ => (false, shape.items()),
        };
        out.add(node.element.clone(), node.member || declared, with_declared_parents(below, &node.children));
    }
    out
}

/// The set as the present schema would have it; none if that is what it is.
fn adopt_schema(shape: Shape<'_>, set: &PathSet) -> Option<PathSet> {
    let mut changed = false;
    let mut out = PathSet::new();
    for node in set.nodes() {
        let below = match &node.element {
            Element::Field(name) => shape.field(name),
            _ => Some(shape.items()),
        };
        let (member, children) = match below {
            _ if node.children.is_empty() => (node.member, None),
            Some(below) if below.is_atomic_now(&node.children) => {
                changed = true;
                (true, Some(PathSet::new()))
            }
            Some(below) => (node.member, adopt_schema(below, &node.children)),
            None => (node.member, None),
        };
        changed |= children.is_some();
        out.add(node.element.clone(), member, children.unwrap_or_else(|| node.children.clone()));
    }
    changed.then_some(out)
}
