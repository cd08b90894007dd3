//! Names, membership and age, as pure functions.

use std::collections::BTreeMap;

use serde_json::json;

use super::POLICIES;
use crate::identity;
use crate::tests::simulator::World;

#[test]
fn sts_c27_a_name_tells_its_set_and_ordinal() {
    assert_eq!(identity::parent("game-10"), Some(("game", 10)));
    assert_eq!(identity::parent("game-1-2"), Some(("game-1", 2)));
    for no in ["game", "game-", "game-x", "game-01", "game-+1", "game-99999999999", "-"] {
        assert_eq!(identity::parent(no), None, "{no}");
    }
    assert_eq!(identity::ordinal("game", "game-1-2"), None);
    assert_eq!(identity::ordinal("game-1", "game-1-2"), Some(2));
}

#[test]
fn sts_c27_identity_is_all_four_labels_or_those_of_the_bkbcs_operator() {
    let all: BTreeMap<String, String> = identity::identity_labels("game-3", 3)
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    assert_eq!(all.len(), 4);
    assert!(identity::is_identified("game-3", 3, &all));
    let mut old = all.clone();
    old.retain(|key, _| key.starts_with("gamestatefulset"));
    assert!(identity::is_identified("game-3", 3, &old));
    for key in all.keys() {
        let mut lost = all.clone();
        lost.remove(key);
        assert!(!identity::is_identified("game-3", 3, &lost), "{key}");
        lost.insert(key.clone(), "4".into());
        assert!(!identity::is_identified("game-3", 3, &lost), "{key}");
    }
}

/// What is no ordinal of the set is neither a replica nor taken away.
#[test]
fn sts_c27_pods_whose_names_are_no_ordinals_are_ignored() {
    for policy in POLICIES {
        let mut world = World::new(2, policy, &json!({"type": "RollingUpdate"}));
        world.converge();
        let mut odd = world.pods["game-0"].clone();
        for name in ["game-x", "game-007", "other-0"] {
            odd["metadata"]["name"] = json!(name);
            odd["metadata"]["uid"] = json!(name);
            world.pods.insert(name.into(), odd.clone());
        }
        let mark = world.writes.len();
        let plan = world.converge();
        assert_eq!(plan.status.replicas, 2);
        assert_eq!(world.writes_since(mark), [""; 0]);
    }
}

/// E17 of the black-box suite: pods are numbered anew.
#[test]
fn sts_c27_a_changed_start_takes_away_at_one_end_and_adds_at_the_other() {
    for policy in POLICIES {
        let mut world = World::new(3, policy, &json!({"type": "RollingUpdate"}));
        world.converge();
        for (start, expected) in
            [(json!(2), vec![2, 3, 4]), (json!(1), vec![1, 2, 3]), (json!(null), vec![0, 1, 2])]
        {
            let kept = world.uids();
            world.edit(|spec| spec["ordinals"] = json!({"start": start}));
            world.converge();
            assert_eq!(world.ordinals(), expected, "{policy}");
            let now = world.uids();
            for (name, uid) in &kept {
                assert!(now.get(name).is_none_or(|now| now == uid), "{policy}: {name} was replaced");
            }
        }
    }
}
