//! Runs that nobody needs any more: taken back where the game can still be told otherwise, and deleted.

use std::collections::BTreeMap;

use muster_crds::keys::workload as keys;
use serde_json::json;

use super::{Point, is_committed, own_revision};
use crate::inplace::Stage;
use crate::plan::Action;
use crate::planner::Planner;
use crate::pod::Pod;
use crate::reason::Code;
use crate::snapshot::HookRun;
use crate::spec::Scope;

/// Most runs that one plan deletes; the next plan goes on.
pub(crate) const MAX_RUN_DELETIONS: usize = 50;

impl Planner<'_> {
    /// Ends and deletes what nobody needs.
    pub(crate) fn tidy_hooks(&mut self) {
        if self.hooks.latest.is_empty() {
            return;
        }
        let pods: BTreeMap<&str, &Pod> = self.family.members().map(|pod| (pod.uid.as_str(), pod)).collect();
        let mut useless: Vec<(&HookRun, &str)> = Vec::new();
        // That a game was told of its deletion stays on record until its pod goes.
        let earlier = self.hooks.earlier.iter().filter(|run| {
            let alive = run.label(keys::HOOKRUN_POD).is_some_and(|pod| pods.contains_key(pod));
            let told = Point::of(run) == Some(Point::PreDelete) && is_committed(run);
            !(run.deleting || alive && told)
        });
        useless.extend(earlier.map(|run| (*run, "it was asked again")));
        // While it cannot be told what pods are to become, only what is certainly of no use goes.
        let settled = self.history.update.is_some() && !self.spec.holds(Scope::Updates);
        let latest: Vec<_> = self.hooks.latest.iter().map(|(question, run)| (*question, *run)).collect();
        for ((uid, point, revision), run) in latest.into_iter().filter(|(_, run)| !run.deleting) {
            let Some(pod) = pods.get(uid).copied() else {
                useless.push((run, "its pod is gone"));
                continue;
            };
            if point == Point::PreInPlace && pod.revision.as_ref().is_some_and(|held| *held == *revision) {
                useless.push((run, "the update it allowed was begun"));
            } else if self.needs(pod, point, revision, run) || !settled {
                self.note_retry(point, run);
            } else if run.is_complete() || run.taken_back() && !run.measured {
                useless.push((run, "its answer is of no use any more"));
            } else if !run.terminating {
                self.take_back(pod, run);
            }
        }
        useless.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        for (run, why) in useless.into_iter().take(MAX_RUN_DELETIONS) {
            let action = Action::DeleteHookRun { name: run.name.clone(), uid: run.uid.clone() };
            self.step(action, Code::EndHook, format!("HookRun {} is deleted: {why}", run.name));
        }
    }

    /// Whether something waits for the answer of a run, or for its use.
    fn needs(&self, pod: &Pod, point: Point, revision: &str, run: &HookRun) -> bool {
        let told = point == Point::PreDelete && is_committed(run);
        if self.hooks.strategy(point).is_none() || run.taken_back() && !told {
            return false;
        }
        if pod.deleting || self.hooks.used.contains(&run.name) {
            return true;
        }
        if point == Point::PostInPlace {
            return pod.revision.as_ref().is_some_and(|held| *held == *revision)
                && matches!(pod.stage(), Stage::Patched(_) | Stage::Helped(_));
        }
        let condemned = || {
            self.hooks.meta.deletion_timestamp.is_some()
                || self.family.condemned.iter().any(|(_, held)| held.uid == pod.uid)
        };
        self.update_question(pod) == Some((point, revision))
            || point == Point::PreDelete
                && (self.hooks.committed(pod).is_some_and(|told| told.uid == run.uid)
                    || own_revision(pod) == revision && condemned())
    }

    /// Remembers that `retry` does not say true any more, so that the next true asks again.
    fn note_retry(&mut self, point: Point, run: &HookRun) {
        let retry = self.hooks.strategy(point).is_some_and(|strategy| strategy.retry == Some(true));
        if retry || run.label(keys::HOOKRUN_RETRY) != Some("true") || !run.is_complete() {
            return;
        }
        let body = json!({"metadata": {"uid": run.uid, "labels": {keys::HOOKRUN_RETRY: "false"}}});
        let message = format!("retry may ask again what HookRun {} asked", run.name);
        self.step(Action::PatchHookRun { name: run.name.clone(), body }, Code::EndHook, message);
    }

    fn take_back(&mut self, pod: &Pod, run: &HookRun) {
        let body = json!({
            // Should a measurement begin meanwhile, the game is told, and this comes too late.
            "metadata": {
                "uid": run.uid,
                "resourceVersion": run.resource_version,
                "labels": {keys::HOOKRUN_TAKEN_BACK: "true"},
            },
            "spec": {"terminate": true},
        });
        let message = format!("pod {} stays as it is, so HookRun {} is ended", pod.name, run.name);
        self.step(Action::PatchHookRun { name: run.name.clone(), body }, Code::EndHook, message);
    }
}
