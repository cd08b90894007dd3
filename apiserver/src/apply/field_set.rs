//! The set of paths that an applied configuration claims.

use serde_json::{Map, Value};

use super::element::Element;
use super::set::PathSet;
use super::shape::{Form, Shape};

/// Every path that a value sets: scalars and atomic values, elements of lists, keys of open maps, and empty
/// or null fields.
pub(crate) fn field_set(shape: Shape<'_>, value: &Value) -> PathSet {
    let mut set = PathSet::new();
    collect(shape, value, &mut set);
    set
}

/// Adds what lies below a value; returns whether the value is itself a leaf of the set.
fn collect(shape: Shape<'_>, value: &Value, set: &mut PathSet) -> bool {
    match shape.form(value) {
        Form::Scalar => true,
        Form::Map if shape.atomic_map() => true,
        Form::List if shape.atomic_list() => true,
        Form::Map => {
            for (name, child) in value.as_object().into_iter().flatten() {
                let mut below = PathSet::new();
                let leaf = collect(shape.field_or_open(name), child, &mut below);
                let empty = child.is_null() || child.as_object().is_some_and(Map::is_empty);
                set.add(Element::field(name), leaf || empty || !shape.declares(name), below);
            }
            false
        }
        Form::List => {
            collect_items(shape, value.as_array().map_or(&[], Vec::as_slice), set);
            false
        }
    }
}

/// Adds the elements of an associative list. One that occurs more than once counts as a whole.
fn collect_items(shape: Shape<'_>, items: &[Value], set: &mut PathSet) {
    let mut elements: Vec<_> =
        items.iter().filter_map(|item| shape.element(item).ok().map(|element| (element, item))).collect();
    elements.sort_by(|(left, _), (right, _)| left.cmp(right));
    for same in elements.chunk_by(|(left, _), (right, _)| left == right) {
        let (element, item) = &same[0];
        let mut below = PathSet::new();
        if same.len() == 1 {
            collect(shape.items(), item, &mut below);
        }
        set.add(element.clone(), true, below);
    }
}
