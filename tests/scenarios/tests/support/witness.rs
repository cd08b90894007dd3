//! Looks at the sets of all members while a scenario runs: one that is not where it is to be, does not move and does not
//! say why fails the scenario, whatever else that one looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use muster_crds::tkex::GameStatefulSet;
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Clone, Default)]
pub(crate) struct Witness {
    /// Members whose controller does not run: nobody can say anything there.
    away: Arc<Mutex<BTreeSet<String>>>,
    /// Sets that stood still without a word, and what their numbers were.
    silent: Arc<Mutex<BTreeSet<String>>>,
}

/// Where a set stands.
#[derive(Clone, PartialEq, Eq)]
struct Standing {
    uid: Option<String>,
    text: String,
    /// Whether it is where it is to be, or says why not.
    accounted: bool,
}

// === impl Witness ===

impl Witness {
    /// Looks at a member's sets from now on. `silence` is how long one may stand still without a word.
    pub(crate) fn watch(&self, member: &str, client: Client, clock: Clock, silence: Duration, tasks: &Tasks) {
        let (witness, member) = (self.clone(), member.to_owned());
        let silence = SignedDuration::try_from(silence).unwrap_or(SignedDuration::MAX);
        tasks.spawn("witness", async move {
            let sets: Api<GameStatefulSet> = Api::all(client);
            let mut still: BTreeMap<String, (Standing, Timestamp)> = BTreeMap::new();
            loop {
                tokio::time::sleep(LOOK).await;
                let now = clock.now();
                // The kind may not be there yet, and the member may be cut off.
                let Ok(list) = sets.list(&ListParams::default()).await else { continue };
                if witness.away.lock().contains(&member) {
                    still.clear();
                    continue;
                }
                let mut seen = BTreeMap::new();
                for set in &list {
                    let name =
                        format!("{}/{} in {member}", set.namespace().unwrap_or_default(), set.name_any());
                    let standing = Standing::of(set);
                    let since = match still.get(&name) {
                        Some((before, since)) if *before == standing => *since,
                        _ => now,
                    };
                    if !standing.accounted && now.duration_since(since) >= silence {
                        witness.silent.lock().insert(format!("{name}: {}", standing.text));
                    }
                    seen.insert(name, (standing, since));
                }
                still = seen;
            }
        });
    }

    /// The controller of this member is killed, or starts.
    pub(crate) fn away(&self, member: &str, away: bool) {
        let mut members = self.away.lock();
        if away {
            members.insert(member.to_owned());
        } else {
            members.remove(member);
        }
    }

    /// The sets that stood still without a word.
    pub(crate) fn silent(&self) -> Vec<String> {
        self.silent.lock().iter().cloned().collect()
    }
}

impl Standing {
    fn of(set: &GameStatefulSet) -> Self {
        let status = set.status.clone().unwrap_or_default();
        let wanted = set.spec.replicas.unwrap_or(1);
        let observed = status.observed_generation == set.metadata.generation;
        let numbers = [status.replicas, status.ready_replicas, status.updated_replicas];
        let arrived = observed && numbers == [wanted; 3];
        let said = observed && !status.blocked_by.is_empty();
        Self {
            uid: set.uid(),
            text: format!(
                "generation {:?} of {:?}, {wanted} wanted, replicas, ready, updated {numbers:?}, and nothing in blockedBy",
                status.observed_generation, set.metadata.generation
            ),
            accounted: arrived || said,
        }
    }
}
