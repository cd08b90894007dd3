//! The black-box suite of StatefulSet, crossed with OrderedReady and Parallel and the policies for claims.
//!
//! Names are those of the upstream scenarios. Sets live random lives between the events of a scenario: kubelets, the
//! garbage collector and half-carried-out plans take turns, and what must hold is checked after every step.

mod chosen;
mod claims;
mod invariants;
mod nodes;
mod pods;
mod retention;
mod scaling;
mod siblings;
mod surge;
mod updates;
mod upgrade;
mod utils;

use serde_json::{Value, json};

use super::cluster::Dice;
use super::simulator::World;
use crate::Plan;
use invariants::{check_rest, check_state, check_step};

/// Seeds of each combination.
const SEEDS: u64 = 3;

/// Steps of a random life before it is let run to its end.
const LIFE: usize = 40;

const POLICIES: [&str; 2] = ["OrderedReady", "Parallel"];

/// No policy, and the four there are.
fn retentions() -> [Value; 5] {
    let policy = |deleted, scaled| json!({"whenDeleted": deleted, "whenScaled": scaled});
    [
        Value::Null,
        policy("Retain", "Retain"),
        policy("Delete", "Retain"),
        policy("Retain", "Delete"),
        policy("Delete", "Delete"),
    ]
}

/// A set with one claim for each ordinal.
fn set(replicas: i64, policy: &str, retention: &Value) -> World {
    let mut world = World::new(replicas, policy, &json!({"type": "RollingUpdate"}));
    world.edit(|spec| {
        spec["volumeClaimTemplates"] = json!([{
            "metadata": {"name": "save", "labels": {"tier": "disk"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }]);
        spec["template"]["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "save", "mountPath": "/save"}]);
        if !retention.is_null() {
            spec["persistentVolumeClaimRetentionPolicy"] = retention.clone();
        }
    });
    world
}

/// Runs a scenario for every policy, retention and seed.
fn matrix(scenario: impl Fn(&mut Life)) {
    for policy in POLICIES {
        for retention in retentions() {
            for seed in 0..SEEDS {
                let name = format!("{policy}, {retention}, seed {seed}");
                let world = set(3, policy, &retention);
                let mut life = Life { world, dice: Dice::new(seed), name };
                scenario(&mut life);
            }
        }
    }
}

/// A world whose time goes on at random.
struct Life {
    world: World,
    dice: Dice,
    /// Which one, for messages.
    name: String,
}

impl Life {
    fn new(world: World, seed: u64, name: &str) -> Self {
        Self { world, dice: Dice::new(seed), name: format!("{name}, seed {seed}") }
    }

    fn ordered(&self) -> bool {
        self.world.set["spec"]["podManagementPolicy"] == "OrderedReady"
    }

    /// Changes the set, and lets time go on until everything is done; answers the last plan.
    fn edit(&mut self, edit: impl FnOnce(&mut Value)) -> Plan {
        self.world.edit(edit);
        self.run()
    }

    /// Lets time go on at random, and then until everything is done; answers the last plan.
    fn run(&mut self) -> Plan {
        for _ in 0..LIFE {
            self.step();
        }
        for _ in 0..2000 {
            let plan = self.act(usize::MAX);
            let before = self.world.versions;
            self.world.kubelets();
            check_state(&self.world, &self.name);
            if plan.steps.is_empty() && before == self.world.versions {
                let Some(after) = plan.recheck_after else {
                    check_rest(&mut self.world, &plan, &self.name);
                    return plan;
                };
                self.world.pass(i64::try_from(after.as_secs()).unwrap() + 1);
            }
        }
        panic!("{}: never comes to rest: {:?}", self.name, self.world.writes);
    }

    /// Something happens.
    fn step(&mut self) {
        match self.dice.below(8) {
            0..3 => {
                let steps = self.dice.below(4);
                self.act(steps);
            }
            3..6 => {
                let names: Vec<String> = self.world.pods.keys().cloned().collect();
                if !names.is_empty() {
                    let name = &names[self.dice.below(names.len())];
                    self.world.kubelet(name);
                }
            }
            6 => self.world.collect_claims(),
            _ => {
                let seconds = self.dice.below(5);
                self.world.pass(i64::try_from(seconds).unwrap());
            }
        }
        check_state(&self.world, &self.name);
    }

    /// Carries out so many steps of a plan, in any order, as the executor may, and writes the status first, as it does.
    fn act(&mut self, count: usize) -> Plan {
        let plan = self.world.plan();
        self.world.record(&plan);
        let mut steps: Vec<&crate::Step> = plan.steps.iter().collect();
        for _ in 0..count.min(plan.steps.len()) {
            let step = steps.swap_remove(self.dice.below(steps.len()));
            check_step(&mut self.world, step, &self.name);
            self.world.apply(step);
            check_state(&self.world, &self.name);
        }
        plan
    }

    /// Pods of this verb since a mark, in order.
    fn pods(&self, mark: usize, verb: &str) -> Vec<String> {
        pods(&self.world, mark, verb)
    }
}

/// Pods of this verb since a mark, in order.
fn pods(world: &World, mark: usize, verb: &str) -> Vec<String> {
    let verb = format!("{verb} pod ");
    let writes = world.writes[mark..].iter().filter_map(|write| write.strip_prefix(&verb));
    writes.map(|write| write.split(' ').next().unwrap().to_owned()).collect()
}

/// What the condition InvalidSpec says.
fn invalid(plan: &Plan) -> String {
    let told = plan.status.conditions.iter().find(|condition| condition.type_ == "InvalidSpec").unwrap();
    told.message.clone().unwrap_or_default()
}
