//! What holds for any objects.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Script;
use crate::apply::field_set::field_set;
use crate::apply::managed::{Entry, Managed};
use crate::apply::shape::Shape;
use crate::apply::testing::{object, pod_part};
use crate::apply::{Element, Path, PathSet};

/// An object of which somebody owns something that nobody else touches: were it owned by nobody, the next
/// apply would make it the property of what was before the first.
fn owned() -> Script {
    let mut script = Script::new();
    script.apply(None, "zoe", &json!({"spec": {"nodeName": "n"}}), false).unwrap();
    script
}

proptest! {
    #[test]
    fn any_objects_give_an_answer(live in object(), applied in object(), next in object(), force in any::<bool>()) {
        let mut script = Script::new();
        script.update(None, "ctl", &live);
        let _ = script.apply(None, "ann", &applied, force);
        let _ = script.apply(Some("status"), "bob", &next, force);
        script.update(None, "ctl", &next);
        let _ = script.apply(None, "ann", &live, force);
        prop_assert!(Managed::of(&script.live.unwrap()).is_ok());
    }

    #[test]
    fn applying_twice_changes_nothing_more(live in pod_part(), applied in pod_part()) {
        let mut script = owned();
        let mut live = live;
        live["spec"]["nodeName"] = json!("n");
        script.update(None, "ctl", &live);
        script.apply(None, "ann", &applied, true).unwrap();
        let once = script.live.clone().unwrap();
        script.apply(None, "ann", &applied, false).unwrap();
        prop_assert_eq!(script.live.unwrap(), once);
    }

    #[test]
    fn managers_of_different_fields_commute(
        ann in proptest::collection::btree_map("[a-d]", "[xy]", 0..4),
        bob in proptest::collection::btree_map("[e-h]", "[xy]", 0..4),
    ) {
        let ann = json!({"metadata": {"labels": ann}, "spec": {"replicas": 1}});
        let bob = json!({"metadata": {"annotations": bob}, "spec": {"paused": true}});
        let run = |first: (&str, &Value), second: (&str, &Value)| {
            let mut script = Script::new();
            script.apply(None, first.0, first.1, false).unwrap();
            script.apply(None, second.0, second.1, false).unwrap();
            script
        };
        let (one, other) = (run(("ann", &ann), ("bob", &bob)), run(("bob", &bob), ("ann", &ann)));
        prop_assert_eq!(one.object(), other.object());
        let fields = |script: &Script| {
            let managed = Managed::of(script.live.as_ref().unwrap()).unwrap();
            managed.0.into_iter().map(|(id, entry)| (id, entry.fields().clone())).collect::<Vec<_>>()
        };
        prop_assert_eq!(fields(&one), fields(&other));
    }

    #[test]
    fn an_applied_configuration_is_there_afterwards(live in pod_part(), applied in pod_part()) {
        let mut script = Script::new();
        script.update(None, "ctl", &live);
        script.apply(None, "ann", &applied, true).unwrap();
        let shape = Shape::new(&script.schema);
        let merged = script.object();
        let claimed = field_set(shape, &applied);
        let missing = claimed.difference(&field_set(shape, &merged).union(&PathSet::of_fields(&[&["metadata"]])));
        // An empty map that is applied over one with entries adds nothing.
        let empty = |path: &Path| {
            let children = path.0.iter().try_fold(&applied, |value, step| match step {
                Element::Field(name) => value.get(&**name),
                _ => None,
            });
            children.is_none_or(|value| value.is_null() || *value == json!({}))
        };
        prop_assert!(missing.paths().iter().all(empty), "missing: {}", missing);
    }

    #[test]
    fn an_update_makes_one_owner_of_each_difference(old in pod_part(), new in pod_part()) {
        let mut script = Script::new();
        script.update(None, "ann", &old);
        script.update(None, "bob", &new);
        let managed = Managed::of(script.live.as_ref().unwrap()).unwrap();
        let sets: Vec<&PathSet> = managed.0.values().map(Entry::fields).collect();
        if let [ann, bob] = sets.as_slice() {
            prop_assert_eq!(ann.intersection(bob), PathSet::new());
        }
    }

    #[test]
    fn what_is_given_up_is_gone(applied in pod_part()) {
        let mut script = owned();
        let before = script.object();
        let owners = script.owners();
        script.apply(None, "ann", &applied, false).unwrap();
        script.apply(None, "ann", &json!({}), false).unwrap();
        prop_assert_eq!(script.owners(), owners);
        prop_assert_eq!(strip_empty(&script.object()), strip_empty(&before));
    }
}

/// The value without what a removal may leave: nulls, empty maps and lists, and status, which is ignored.
fn strip_empty(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "status")
            .map(|(name, value)| (name.clone(), strip_empty(value)))
            .filter(|(_, value)| !value.is_null() && *value != json!({}) && *value != json!([]))
            .collect(),
        other => other.clone(),
    }
}
