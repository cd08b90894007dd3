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
        let mut fields = managed.0.remove(manager).map(|entry| entry.fields().clone()).unwrap_or_default();
        fields.subtract(&changes.removed);
        fields.absorb(&changes.modified);
        fields.absorb(&changes.added);
        fields.subtract_below(self.ignored);
        if !fields.is_empty() {
            managed.0.insert(manager.clone(), Entry::new(self.version, fields));
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
        let mut fields = field_set(self.shape, applied);
        fields.subtract_below(self.ignored);
        let last = managed.0.get(manager).map(|entry| entry.fields().clone()).unwrap_or_default();
        let gives_up = !last.is_subset(&fields);
        managed
            .0
            .entry(manager.clone())
            .or_insert_with(|| Entry::new(self.version, PathSet::new()))
            .own(self.version, fields);
        let merged = if gives_up { self.prune(merged, managed, &last) } else { merged };
        let changes = Comparison::of(self.shape, live, &merged).without(self.ignored);
        if !force {
            let clashes = clashes(managed, manager, &changes);
            if !clashes.is_empty() {
                return Err(clashes);
            }
        }
        take_from_others(managed, manager, &changes);
        managed.0.retain(|_, entry| !entry.fields().is_empty());
        Ok(merged)
    }

    /// Removes what the applier owned before and neither it nor anybody else owns now.
    ///
    /// In three steps, as Kubernetes does it, for the sake of what lies inside removed objects: first all
    /// that the applier owned goes, then what is owned comes back, then what was never the applier's.
    fn prune(&self, merged: Value, managed: &Managed, last: &PathSet) -> Value {
        let shape = self.shape;
        let with_parents = |set: &PathSet| with_declared_parents(shape, set);
        let fields = |value: &Value| with_parents(&field_set(shape, value));

        let mut owned = PathSet::new();
        for entry in managed.0.values() {
            owned.absorb(entry.fields());
        }
        let (owned, last) = (with_parents(&owned), with_parents(last));
        if last.is_subset(&owned) {
            return merged;
        }
        let all = fields(&merged);
        let mut kept = fields(&merge::remove(shape, &merged, &last));
        kept.absorb(&owned);
        let kept = fields(&merge::remove(shape, &merged, &all.difference(&kept)));
        merge::remove(shape, &merged, &all.difference(&kept).intersection(&last))
    }

    /// Turns ownership inside what the schema now calls atomic into ownership of the whole.
    fn adopt_schema(&self, managed: &mut Managed) {
        for entry in managed.0.values_mut().filter(|entry| is_outdated(self.shape, entry.fields())) {
            entry.change_fields(|fields| *fields = adopt_schema(self.shape, fields));
        }
    }
}

/// What a change would alter of the fields that others own.
fn clashes(managed: &Managed, manager: &ManagerId, changes: &Comparison) -> Clashes {
    let mut changed = changes.modified.clone();
    changed.absorb(&changes.added);
    managed
        .0
        .iter()
        .filter(|(id, entry)| *id != manager && entry.fields().intersects(&changed))
        .map(|(id, entry)| (id.clone(), entry.fields().intersection(&changed)))
        .collect()
}

/// Takes changed and removed fields from everybody but `manager`.
fn take_from_others(managed: &mut Managed, manager: &ManagerId, changes: &Comparison) {
    for (_, entry) in managed.0.iter_mut().filter(|(id, _)| *id != manager) {
        for taken in [&changes.modified, &changes.added, &changes.removed] {
            entry.lose(taken);
        }
    }
    managed.0.retain(|id, entry| id == manager || !entry.fields().is_empty());
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

/// Whether a set has paths inside what the schema now calls atomic.
fn is_outdated(shape: Shape<'_>, set: &PathSet) -> bool {
    set.nodes().iter().filter(|node| !node.children.is_empty()).any(|node| {
        below(shape, &node.element)
            .is_some_and(|below| below.is_atomic_now(&node.children) || is_outdated(below, &node.children))
    })
}

/// The set as the present schema would have it.
fn adopt_schema(shape: Shape<'_>, set: &PathSet) -> PathSet {
    let mut out = PathSet::new();
    for node in set.nodes() {
        let element = node.element.clone();
        match below(shape, &node.element) {
            Some(below) if below.is_atomic_now(&node.children) => out.add(element, true, PathSet::new()),
            Some(below) => out.add(element, node.member, adopt_schema(below, &node.children)),
            None => out.add(element, node.member, node.children.clone()),
        }
    }
    out
}

/// The shape one step down; none for a field that the schema does not have.
fn below<'a>(shape: Shape<'a>, element: &Element) -> Option<Shape<'a>> {
    match element {
        Element::Field(name) => shape.field(name),
        _ => Some(shape.items()),
    }
}
