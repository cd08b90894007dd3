//! Random histories: whoever lists and then watches ends with what is there, and nothing outlives all its owners.
//!
//! Every failure names the seed that brings it back.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{MAPS, World, configmap};

/// How many histories each test goes through.
const SEEDS: u64 = 40;
/// How many writes a history has.
const WRITES: usize = 60;

/// A small generator (xorshift64*), so that a seed means the same everywhere.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// Name -> version of what a list or a sequence of events says.
type Seen = BTreeMap<String, String>;

fn note(seen: &mut Seen, object: &Value) {
    let text = |field: &str| object["metadata"][field].as_str().expect("a text").to_owned();
    seen.insert(text("name"), text("resourceVersion"));
}

async fn random_write(world: &World, dice: &mut Dice) {
    let name = format!("m-{}", dice.roll(6));
    let path = format!("{MAPS}/{name}");
    let on = if dice.roll(2) == 0 { "yes" } else { "no" };
    match dice.roll(4) {
        0 => {
            let mut body = configmap(&name, &json!({}));
            body["metadata"]["labels"] = json!({"on": on});
            world.post(MAPS, &body).await;
        }
        1 => {
            world.delete(&path, &json!({})).await;
        }
        2 => {
            world.patch("merge", &path, &json!({"metadata": {"labels": {"on": on}}})).await;
        }
        _ => {
            world.patch("merge", &path, &json!({"data": {"k": dice.roll(3).to_string()}})).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_and_the_changes_after_it_are_what_is_there() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let world = World::new();
        let selector = ["", "labelSelector=on%3Dyes", "labelSelector=on!%3Dyes"][dice.roll(3) as usize];
        for _ in 0..dice.roll(WRITES as u64) {
            random_write(&world, &mut dice).await;
        }
        let listed = world.get(&format!("{MAPS}?{selector}")).await.json();
        let mut seen = Seen::new();
        listed["items"].as_array().expect("items").iter().for_each(|object| note(&mut seen, object));
        for _ in 0..WRITES {
            random_write(&world, &mut dice).await;
        }
        let version = listed["metadata"]["resourceVersion"].as_str().expect("a version");
        let path = format!("{MAPS}?{selector}&watch=true&resourceVersion={version}&timeoutSeconds=1");
        let mut last = version.parse::<u64>().expect("a number");
        for line in world.get(&path).await.text.lines() {
            let event: Value = serde_json::from_str(line).expect("an event");
            let object = &event["object"];
            let name = object["metadata"]["name"].as_str().expect("a name");
            match event["type"].as_str() {
                Some("ADDED") => assert!(!seen.contains_key(name), "seed {seed}: {name} was there already"),
                Some("MODIFIED" | "DELETED") => {
                    assert!(seen.contains_key(name), "seed {seed}: {name} was not there");
                }
                other => panic!("seed {seed}: unexpected event {other:?}"),
            }
            note(&mut seen, object);
            let now = seen[name].parse::<u64>().expect("a number");
            assert!(now > last, "seed {seed}: versions grow");
            last = now;
            if event["type"] == "DELETED" {
                seen.remove(name);
            }
        }
        let mut there = Seen::new();
        let listed = world.get(&format!("{MAPS}?{selector}")).await.json();
        listed["items"].as_array().expect("items").iter().for_each(|object| note(&mut there, object));
        assert_eq!(seen, there, "seed {seed}, {selector}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_outlives_all_its_owners() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let world = World::new();
        let mut made: Vec<Value> = Vec::new();
        for at in 0..20 {
            let mut body = configmap(&format!("m-{at}"), &json!({}));
            let mut owners = Vec::new();
            for _ in 0..dice.roll(3) {
                let Some(owner) = made.get(dice.roll(20) as usize) else { continue };
                let owner = &owner["metadata"];
                if owners.iter().all(|other: &Value| other["uid"] != owner["uid"]) {
                    owners.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner["name"], "uid": owner["uid"],
                        "blockOwnerDeletion": dice.roll(2) == 0}));
                }
            }
            body["metadata"]["ownerReferences"] = owners.into();
            made.push(world.post(MAPS, &body).await.json());
        }
        let policies = ["Background", "Foreground", "Orphan"];
        for _ in 0..8 {
            let name = format!("m-{}", dice.roll(20));
            let policy = policies[dice.roll(3) as usize];
            world.delete(&format!("{MAPS}/{name}"), &json!({"propagationPolicy": policy})).await;
            if dice.roll(2) == 0 {
                world.settle().await;
            }
        }
        world.settle().await;
        let left = world.get(MAPS).await.json();
        let left = left["items"].as_array().expect("items");
        let alive = |uid: &Value| left.iter().any(|object| object["metadata"]["uid"] == *uid);
        for object in left {
            let name = &object["metadata"]["name"];
            assert!(object["metadata"].get("deletionTimestamp").is_none(), "seed {seed}: {name} never goes");
            let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
            for owner in owners {
                assert!(alive(&owner["uid"]), "seed {seed}: {name} names {} which is gone", owner["name"]);
            }
        }
    }
}
