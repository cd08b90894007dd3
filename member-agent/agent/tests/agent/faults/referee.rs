//! Looks at every write that the API server accepts, at once, and says which promise it breaks.
//!
//! The controller acts on what it was told, and that lags. So each promise is held against every spec that it may still
//! act on: from the one its status speaks of to the newest; where lists may be stale, also those of a while ago. A write
//! breaks a promise only if no such spec allows it. What is counted as our doing is what our writes take from traffic:
//! a pod that goes down by itself, or by its user, is not ours.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::pod::{Pod, Spec};
use super::store::Writer;

/// How long ago a spec may have been replaced that a controller with stale lists still acts on.
const STALE: Duration = Duration::from_mins(1);

/// How many writes are remembered, to be shown when a promise was broken.
const LOG: usize = 80;

/// Judges writes. Cheap to clone; clones are the same.
#[derive(Clone)]
pub(super) struct Referee(Arc<Mutex<Game>>);

#[derive(Default)]
struct Game {
    began: Option<Instant>,
    /// Whether the controller may be shown what was.
    stale: bool,
    specs: Vec<Spec>,
    /// The set itself.
    set: Value,
    sets: BTreeSet<String>,
    pods: BTreeMap<u32, Pod>,
    /// Ordinals that our writes took from traffic and that are not back.
    down: BTreeSet<u32>,
    /// When a pod was taken away that the controller may still be shown: by others, or by us where lists are stale.
    taken: BTreeMap<u32, Instant>,
    /// Questions that were answered yes: pod, hook point and revision.
    allowed: BTreeSet<[String; 3]>,
    writes: u64,
    versions: VecDeque<(Instant, u64)>,
    log: VecDeque<String>,
    broken: Vec<String>,
    /// The most that were down at once by our doing.
    most_down: usize,
}

impl Referee {
    pub(super) fn new() -> Self {
        let game = Game { began: Some(Instant::now()), ..Game::default() };
        Self(Arc::new(Mutex::new(game)))
    }

    /// From now on the controller may be shown what was.
    pub(super) fn expect_staleness(&self) {
        self.0.lock().stale = true;
    }

    /// A write was accepted.
    pub(super) fn committed(
        &self,
        resource: &str,
        name: &str,
        value: Option<Value>,
        version: u64,
        by: Writer,
    ) {
        let mut game = self.0.lock();
        game.versions.push_back((Instant::now(), version));
        if by != Writer::Others {
            game.writes += 1;
        }
        match resource {
            "pods" => game.pod_written(name, value.as_ref(), by),
            "hookruns" => game.run_written(name, value.as_ref(), by),
            "gamestatefulsets" => game.set_written(value, by),
            _ => {
                let verb = if value.is_some() { "put" } else { "removed" };
                game.note(&format!("{resource} {name} {verb} by {by:?}"));
            }
        }
    }

    /// A life of the controller is about to create a pod.
    pub(super) fn creates(&self, life: u32, name: &str) {
        let mut game = self.0.lock();
        let Some(ordinal) = ordinal(name) else { return };
        if game.pods.get(&ordinal).is_some_and(|pod| pod.known_to == Some(life)) {
            game.breaks(format!("double: creates {name}, which it made and which lives"));
        }
    }

    /// A life of the controller was told that the pod was created.
    pub(super) fn knows(&self, life: u32, name: &str) {
        let mut game = self.0.lock();
        let pod = ordinal(name).and_then(|ordinal| game.pods.get_mut(&ordinal));
        if let Some(pod) = pod {
            pod.known_to = Some(life);
        }
    }

    /// A life of the controller lists the pods: what it knows beside that is in doubt.
    pub(super) fn doubts(&self, life: u32) {
        let mut game = self.0.lock();
        game.pods.values_mut().filter(|pod| pod.known_to == Some(life)).for_each(|pod| pod.known_to = None);
    }

    /// The newest versions of the store since then, at least one.
    pub(super) fn versions_since(&self, time: Instant) -> Vec<u64> {
        let mut game = self.0.lock();
        while game.versions.len() > 1 && game.versions[0].0 < time {
            game.versions.pop_front();
        }
        game.versions.iter().map(|(_, version)| *version).collect()
    }

    /// How many writes of the controller were accepted.
    pub(super) fn writes(&self) -> u64 {
        self.0.lock().writes
    }

    /// Promises that were broken.
    pub(super) fn broken(&self) -> Vec<String> {
        self.0.lock().broken.clone()
    }

    /// The last writes.
    pub(super) fn log(&self) -> String {
        self.0.lock().log.iter().fold(String::new(), |all, line| all + line + "\n")
    }

    /// Says in the log what happened beside the writes.
    pub(super) fn note(&self, what: &str) {
        self.0.lock().note(what);
    }

    /// The most pods that were down at once by our doing.
    pub(super) fn most_down(&self) -> usize {
        self.0.lock().most_down
    }

    /// The pods by ordinal.
    pub(super) fn pods(&self) -> BTreeMap<u32, Pod> {
        self.0.lock().pods.clone()
    }

    /// The newest spec.
    pub(super) fn spec(&self) -> Spec {
        self.0.lock().specs.last().unwrap().clone()
    }

    /// The set.
    pub(super) fn set(&self) -> Value {
        self.0.lock().set.clone()
    }
}

impl Game {
    fn note(&mut self, what: &str) {
        let since = self.began.map(|began| began.elapsed().as_millis()).unwrap_or_default();
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(format!("{since:>7} ms  {what}"));
    }

    fn breaks(&mut self, what: String) {
        self.note(&format!("BROKEN: {what}"));
        self.broken.push(what);
    }

    /// The specs that the controller may act on.
    fn window(&self) -> Vec<&Spec> {
        let observed = self.set["status"]["observedGeneration"].as_i64().unwrap_or_default();
        let now = Instant::now();
        let may = |spec: &&Spec| {
            let lately = spec.until.is_none_or(|until| until + STALE > now);
            spec.generation >= observed || self.stale && lately
        };
        self.specs.iter().filter(may).collect()
    }

    fn all(&self, holds: impl Fn(&Spec) -> bool) -> bool {
        self.window().into_iter().all(holds)
    }

    fn any(&self, holds: impl Fn(&Spec) -> bool) -> bool {
        self.window().into_iter().any(holds)
    }

    fn set_written(&mut self, set: Option<Value>, by: Writer) {
        let Some(set) = set else {
            self.note(&format!("set removed by {by:?}"));
            return;
        };
        if self.set["metadata"]["uid"] != set["metadata"]["uid"] {
            self.sets.insert(set["metadata"]["uid"].as_str().unwrap().to_owned());
        }
        if by != Writer::Others && set["spec"] != self.set["spec"] {
            self.breaks("the spec of the user's set is written".to_owned());
        }
        let spec = Spec::read(&set);
        let status = &set["status"];
        self.note(&format!(
            "set by {:?}: generation {} ({}), observed {}, {} pods, {} updated, {} ready",
            by,
            spec.generation,
            spec.look,
            status["observedGeneration"],
            status["replicas"],
            status["updatedReplicas"],
            status["readyReplicas"],
        ));
        if self.specs.last().is_none_or(|last| last.generation != spec.generation) {
            if let Some(last) = self.specs.last_mut() {
                last.until = Some(Instant::now());
            }
            self.specs.push(spec);
        }
        self.set = set;
    }

    fn run_written(&mut self, name: &str, run: Option<&Value>, by: Writer) {
        let phase = run.map_or("removed", |run| run["status"]["phase"].as_str().unwrap_or("asked"));
        self.note(&format!("hook run {name} by {by:?}: {phase}"));
        let Some(run) = run else { return };
        let labels = &run["metadata"]["labels"];
        let label = |key: &str| labels[key].as_str().unwrap_or_default().to_owned();
        let question = ["muster.dev/pod-uid", "hookrun-type", "workload-revision"].map(label);
        if phase == "Successful" && labels["muster.dev/taken-back"] != "true" {
            self.allowed.insert(question);
        }
    }

    /// Whether the pod's answer to this kind of question, for another revision than its own if so told, was yes.
    fn is_allowed(&self, pod: &Pod, point: &str, other: bool) -> bool {
        let answers = self.allowed.iter().filter(|[uid, of, _]| *uid == pod.uid && of == point);
        let mut answers = answers.filter(|[.., revision]| !other || *revision != pod.revision);
        answers.next().is_some()
    }

    fn pod_written(&mut self, name: &str, pod: Option<&Value>, by: Writer) {
        let Some(ordinal) = ordinal(name) else { return };
        let before = self.pods.get(&ordinal).cloned();
        let after = pod.map(|pod| Pod::read(pod, before.as_ref(), by));
        let told = match &after {
            None => format!("pod {name} removed by {by:?}"),
            Some(pod) => format!(
                "pod {name} by {:?}: {} {}{}{}{}",
                by,
                pod.look,
                pod.revision,
                if pod.available { ", available" } else { "" },
                if pod.closed.is_some() { ", closed" } else { "" },
                if pod.deleting { ", deleting" } else { "" },
            ),
        };
        self.note(&told);
        let ours = by != Writer::Others;
        if ours {
            match (&before, &after) {
                (None, Some(after)) => self.check_creation(ordinal, after, by),
                (Some(before), Some(after)) if !after.deleting => {
                    self.check_patch(ordinal, before, after, by);
                }
                (Some(before), _) if !before.deleting => self.check_deletion(ordinal, before),
                _ => {}
            }
        }
        let was_there = before.as_ref().is_some_and(|before| !before.deleting);
        if (!ours || self.stale) && was_there && after.as_ref().is_none_or(|after| after.deleting) {
            self.taken.insert(ordinal, Instant::now());
        }
        if after.as_ref().is_some_and(|after| after.available) {
            self.down.remove(&ordinal);
        } else if ours && before.is_some_and(|before| before.available) {
            self.took_down(ordinal);
        }
        match after {
            Some(after) => self.pods.insert(ordinal, after),
            None => self.pods.remove(&ordinal),
        };
    }

    /// Our write took a pod from traffic: as many at once as the budget says.
    fn took_down(&mut self, ordinal: u32) {
        if self.any(|spec| !spec.ordinals.contains(&ordinal)) {
            return; // It may be one too many.
        }
        self.down.insert(ordinal);
        let budget = self.window().into_iter().map(|spec| spec.budget).max().unwrap_or_default();
        let down: Vec<u32> = self
            .down
            .iter()
            .copied()
            .filter(|ordinal| self.all(|spec| spec.ordinals.contains(ordinal)))
            .collect();
        self.most_down = self.most_down.max(down.len());
        if down.len() > budget {
            self.breaks(format!("budget: pods {down:?} are down by our doing, {budget} may be"));
        }
    }

    fn check_creation(&mut self, ordinal: u32, pod: &Pod, by: Writer) {
        if !self.sets.contains(&pod.owner) {
            self.breaks(format!("orphan: pod {ordinal} belongs to a set that never was"));
        }
        if by == Writer::Late {
            return; // Nothing in the API holds off a creation that arrives late.
        }
        if !self.any(|spec| spec.ordinals.contains(&ordinal)) {
            self.breaks(format!("double: pod {ordinal} is created, and nobody asked for it"));
        }
        if !self.all(|spec| spec.ordered) {
            return;
        }
        for lower in 0..ordinal {
            if !self.all(|spec| spec.ordinals.contains(&lower)) {
                continue;
            }
            let lately = self.taken.get(&lower).is_some_and(|at| *at + STALE > Instant::now());
            let in_order = match self.pods.get(&lower) {
                _ if lately => true,
                None => false,
                // An outdated one that never gets ready holds nobody up.
                Some(pod) => {
                    pod.served
                        || self.stale
                        || self.any(|spec| spec.look != pod.look || lower < spec.partition)
                }
            };
            if !in_order {
                self.breaks(format!("order: pod {ordinal} is created before pod {lower} is ready"));
            }
        }
    }

    fn check_patch(&mut self, ordinal: u32, before: &Pod, after: &Pod, by: Writer) {
        let restarts = image(before) != image(after);
        if restarts && before.gated {
            let grace = self.window().into_iter().map(|spec| spec.grace).min().unwrap_or_default();
            match before.closed {
                None => self.breaks(format!("gate: pod {ordinal} restarts while it serves")),
                // Another life knows only when the closing was planned.
                Some((since, closed_by)) if before.served && closed_by == by && since.elapsed() < grace => {
                    let waited = since.elapsed();
                    self.breaks(format!("gate: pod {ordinal} restarts after {waited:?} of {grace:?}"));
                }
                Some(_) => {}
            }
        }
        let leaves = after.closed.is_some() && before.closed.is_none() || restarts && !before.gated;
        let asks = before.running && before.owner == after.owner && self.all(|spec| spec.asks[1]);
        if leaves && asks && !self.is_allowed(before, "pre-inplace-step", true) {
            self.breaks(format!("hook: the update of pod {ordinal} begins before its hook said yes"));
        }
        let begins = before.available && !after.available;
        if begins && self.all(|spec| spec.paused) {
            self.breaks(format!("pause: the update of pod {ordinal} begins"));
        }
        self.check_partition(ordinal, before, before.revision != after.revision);
    }

    fn check_deletion(&mut self, ordinal: u32, pod: &Pod) {
        if pod.ended {
            return;
        }
        let asks = pod.running && self.all(|spec| spec.asks[0]);
        if asks && !self.is_allowed(pod, "pre-delete-step", false) {
            self.breaks(format!("hook: pod {ordinal} is deleted before its hook said yes"));
        }
        if self.any(|spec| !spec.ordinals.contains(&ordinal)) {
            let above = self.pods.range(ordinal + 1..);
            let unwanted = |ordinal: &u32| self.all(|spec| !spec.ordinals.contains(ordinal));
            let above: Vec<u32> = above.map(|(ordinal, _)| *ordinal).filter(|one| unwanted(one)).collect();
            if !above.is_empty() && self.all(|spec| spec.ordered) {
                self.breaks(format!("order: pod {ordinal} is deleted before pods {above:?}"));
            }
            return;
        }
        // A game that was told of its end is ended, whatever is wanted since.
        if pod.running && self.is_allowed(pod, "pre-delete-step", false) {
            return;
        }
        if self.all(|spec| spec.strategy != "RollingUpdate") {
            self.breaks(format!("needless: pod {ordinal} is deleted, and no strategy says so"));
        } else if pod.available && self.all(|spec| spec.paused) {
            self.breaks(format!("pause: pod {ordinal} is deleted"));
        } else if self.all(|spec| spec.look == pod.look && ordinal >= spec.partition) {
            self.breaks(format!("needless: pod {ordinal} is deleted, and is as it should be"));
        }
        self.check_partition(ordinal, pod, true);
    }

    /// A pod below the partition keeps the current revision.
    fn check_partition(&mut self, ordinal: u32, before: &Pod, changes: bool) {
        let current = self.set["status"]["currentRevision"].as_str();
        let kept = self.all(|spec| ordinal < spec.partition);
        if changes && kept && current == Some(&before.revision) {
            self.breaks(format!("partition: pod {ordinal} leaves the current revision"));
        }
    }
}

fn image(pod: &Pod) -> &str {
    pod.look.split(' ').next().unwrap_or_default()
}

fn ordinal(name: &str) -> Option<u32> {
    name.strip_prefix("game-")?.parse().ok()
}
