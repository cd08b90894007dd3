//! What differs between two versions of an object, as sets of paths.

use serde_json::{Map, Value};

use super::element::{Element, equal};
use super::set::PathSet;
use super::shape::{Form, Shape};

/// The paths at which two objects differ; no path is in two of the sets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Set by the right object only.
    pub(crate) added: PathSet,
    /// Set by both, to different values.
    pub(crate) modified: PathSet,
    /// Set by the left object only.
    pub(crate) removed: PathSet,
}

/// Which of the three sets the path of a value itself is in.
#[derive(Debug, Default, Clone, Copy)]
struct Itself {
    added: bool,
    modified: bool,
    removed: bool,
}

impl Comparison {
    /// The differences between two objects.
    pub(crate) fn of(shape: Shape<'_>, left: &Value, right: &Value) -> Self {
        let mut comparison = Self::default();
        comparison.compare(shape, Some(left), Some(right));
        comparison
    }

    /// The comparison without some paths and all that lies below them.
    pub(crate) fn without(mut self, ignored: &PathSet) -> Self {
        for set in [&mut self.added, &mut self.modified, &mut self.removed] {
            set.subtract_below(ignored);
        }
        self
    }

    /// Compares two values, at least one of them present. Absent is not null.
    fn compare(&mut self, shape: Shape<'_>, left: Option<&Value>, right: Option<&Value>) -> Itself {
        let mut itself = Itself::default();
        // Most of what is compared did not change.
        if left.is_some() && left == right {
            return itself;
        }
        let mut leaf = false;
        let left_form = left.map(|value| shape.form(value));
        let right_form = right.map(|value| shape.form(value));
        // Where a value changed from one form to another both readings count: the whole is modified, and
        // what the new form holds is added.
        if let (Some(left_form), Some(right_form)) = (left_form, right_form)
            && left_form != right_form
        {
            self.compare_as(shape, left_form, left, right, &mut itself);
        }
        if let Some(form) = right_form.or(left_form) {
            leaf = self.compare_as(shape, form, left, right, &mut itself);
        }
        if !leaf {
            itself.added |= left.is_none();
            itself.removed |= right.is_none() && left.is_some();
        }
        itself
    }

    /// Compares two values read in one form; returns whether that made them leaves.
    fn compare_as(
        &mut self,
        shape: Shape<'_>,
        form: Form,
        left: Option<&Value>,
        right: Option<&Value>,
        itself: &mut Itself,
    ) -> bool {
        match form {
            Form::Scalar => {}
            Form::Map => {
                let left = left.and_then(Value::as_object);
                let right = right.and_then(Value::as_object);
                let both_empty = is_empty_map(left) && is_empty_map(right);
                if !shape.atomic_map() && !both_empty {
                    self.compare_fields(shape, left, right);
                    return false;
                }
            }
            Form::List => {
                let left = left.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let right = right.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let both_empty = left.is_empty() && right.is_empty();
                if !shape.atomic_list() && !both_empty {
                    self.compare_items(shape, left, right);
                    return false;
                }
            }
        }
        match (left, right) {
            (None, _) => itself.added = true,
            (_, None) => itself.removed = true,
            (Some(left), Some(right)) => itself.modified |= !equal(left, right),
        }
        true
    }

    fn compare_fields(
        &mut self,
        shape: Shape<'_>,
        left: Option<&Map<String, Value>>,
        right: Option<&Map<String, Value>>,
    ) {
        for (name, left_value) in left.into_iter().flatten() {
            let right_value = right.and_then(|fields| fields.get(name));
            self.compare_child(
                shape.field_or_open(name),
                || Element::field(name),
                Some(left_value),
                right_value,
            );
        }
        for (name, right_value) in right.into_iter().flatten() {
            if left.is_none_or(|fields| !fields.contains_key(name)) {
                self.compare_child(
                    shape.field_or_open(name),
                    || Element::field(name),
                    None,
                    Some(right_value),
                );
            }
        }
    }

    /// Compares associative lists element by element. Elements that occur more than once are compared as one
    /// value.
    fn compare_items(&mut self, shape: Shape<'_>, left: &[Value], right: &[Value]) {
        let left = index(shape, left);
        let right = index(shape, right);
        let (mut l, mut r) = (left.as_slice(), right.as_slice());
        loop {
            let element = match (l.first(), r.first()) {
                (None, None) => return,
                (Some((element, _)), None) | (None, Some((element, _))) => element,
                (Some((left, _)), Some((right, _))) => left.min(right),
            };
            let in_left = take_same(&mut l, element);
            let in_right = take_same(&mut r, element);
            self.compare_occurrences(shape.items(), element, in_left, in_right);
        }
    }

    fn compare_occurrences(
        &mut self,
        shape: Shape<'_>,
        element: &Element,
        left: &[(Element, &Value)],
        right: &[(Element, &Value)],
    ) {
        let (first_left, first_right) = (left.first().map(|(_, v)| *v), right.first().map(|(_, v)| *v));
        match (left.len() > 1, right.len() > 1) {
            (false, false) => self.compare_child(shape, || element.clone(), first_left, first_right),
            (true, true) => {
                let same = left.len() == right.len()
                    && left.iter().zip(right).all(|((_, left), (_, right))| equal(left, right));
                self.modified.add(element.clone(), !same, PathSet::new());
            }
            (true, false) => {
                if first_right.is_some() {
                    self.compare_child(shape, || element.clone(), None, first_right);
                }
                self.removed.add(element.clone(), true, PathSet::new());
            }
            (false, true) => {
                if first_left.is_some() {
                    self.compare_child(shape, || element.clone(), first_left, None);
                }
                self.added.add(element.clone(), true, PathSet::new());
            }
        }
    }

    fn compare_child(
        &mut self,
        shape: Shape<'_>,
        element: impl Fn() -> Element,
        left: Option<&Value>,
        right: Option<&Value>,
    ) {
        let mut below = Self::default();
        let itself = below.compare(shape, left, right);
        let sets = [
            (&mut self.added, itself.added, below.added),
            (&mut self.modified, itself.modified, below.modified),
            (&mut self.removed, itself.removed, below.removed),
        ];
        for (set, member, children) in sets {
            if member || !children.is_empty() {
                set.add(element(), member, children);
            }
        }
    }
}

fn is_empty_map(map: Option<&Map<String, Value>>) -> bool {
    map.is_none_or(Map::is_empty)
}

/// The elements of an associative list in order of their steps, those of one step in order of the list.
fn index<'v>(shape: Shape<'_>, items: &'v [Value]) -> Vec<(Element, &'v Value)> {
    let mut elements: Vec<_> =
        items.iter().filter_map(|item| shape.element(item).ok().map(|element| (element, item))).collect();
    elements.sort_by(|(left, _), (right, _)| left.cmp(right));
    elements
}

/// Splits off the items at the front that are of `element`.
fn take_same<'i, 'v>(
    items: &mut &'i [(Element, &'v Value)],
    element: &Element,
) -> &'i [(Element, &'v Value)] {
    let count = items.iter().take_while(|(other, _)| other == element).count();
    let (same, rest) = items.split_at(count);
    *items = rest;
    same
}
