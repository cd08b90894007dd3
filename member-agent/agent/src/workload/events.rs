//! Events about sets: gathered for a moment, so that 200 new pods are one event and not 200 more writes,
//! and counted where they say the same again, so that a retried write is one event with a rising count.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use muster_crds::GameStatefulSet;
use muster_crds::keys::manager;
use muster_runtime::{Clock, Tasks};
use muster_workload::{Action, Code, Step, Wait};
use serde_json::json;
use tokio::sync::mpsc;

/// How long events are gathered before they are written.
pub const GATHER: Duration = Duration::from_secs(1);

/// How many events may wait; more are dropped.
pub const QUEUE: usize = 1024;

/// How many events are remembered to be counted up; beyond it the one not told for longest is forgotten.
const SERIES: usize = 512;

/// How long an event is remembered after it was last told: about as long as API servers keep events.
const SERIES_AGE: SignedDuration = SignedDuration::from_hours(1);

/// How long one write may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Something to be told about a set.
#[derive(Debug)]
struct Note {
    set: ObjectReference,
    reason: &'static str,
    warning: bool,
    message: String,
    /// The message without the names of pods and claims: what tells a repeat.
    gist: String,
}

/// Where events are handed in. Never waits.
#[derive(Clone, Debug)]
pub(super) struct Events {
    queue: mpsc::Sender<Note>,
}

impl Events {
    /// Starts writing events.
    pub(super) fn start(client: Client, clock: Clock, tasks: &Tasks) -> Self {
        let (queue, mut notes) = mpsc::channel(QUEUE);
        tasks.spawn("workload-events", async move {
            let mut series = Series::default();
            while let Some(first) = notes.recv().await {
                tokio::time::sleep(GATHER).await;
                let mut gathered = Gathered::default();
                gathered.add(first);
                while let Ok(note) = notes.try_recv() {
                    gathered.add(note);
                }
                for (key, event) in gathered.events(&clock) {
                    series.publish(&client, key, event, clock.now()).await;
                }
            }
        });
        Self { queue }
    }

    /// Tells of a step that was carried out, or refused.
    pub(super) fn tell(&self, set: &GameStatefulSet, step: &Step, refusal: Option<&str>) {
        let Some(reason) = reason(step, refusal.is_some()) else { return };
        let message = match refusal {
            Some(refusal) => format!("{}: {refusal}", step.action.title()),
            None => step.reason.message.clone(),
        };
        let warning = refusal.is_some() || step.reason.code == Code::ReplaceEnded;
        let gist = gist(&step.action, &message);
        self.hand_in(Note { set: set.object_ref(&()), reason, warning, message, gist });
    }

    /// Warns of something that is waited for and does not come by itself.
    pub(super) fn warn(&self, set: &GameStatefulSet, wait: &Wait) {
        let gist = wait.reason.message.clone();
        let (message, gist) = match &wait.pod {
            Some(pod) => (format!("pod {pod}: {gist}"), gist.replace(pod.as_str(), "*")),
            None => (gist.clone(), gist),
        };
        let reason = wait.reason.code.as_str();
        self.hand_in(Note { set: set.object_ref(&()), reason, warning: true, message, gist });
    }

    fn hand_in(&self, note: Note) {
        let reason = note.reason;
        // A full queue means that events come faster than they can be written: the newest are dropped.
        if self.queue.try_send(note).is_err() {
            tracing::debug!(reason, "event dropped");
        }
    }
}

/// The reason of the event for a step, as the bk-bcs operator names it; none for what is not worth one.
fn reason(step: &Step, refused: bool) -> Option<&'static str> {
    let (done, failed) = match (&step.action, step.reason.code) {
        (_, Code::ReplaceEnded) => ("RecreatingFailedPod", "FailedDelete"),
        (Action::CreatePod { .. } | Action::CreateClaims { .. }, _) => ("SuccessfulCreate", "FailedCreate"),
        (Action::DeletePod { .. } | Action::ReplacePod { .. }, _) => ("SuccessfulDelete", "FailedDelete"),
        // The name is that of the bk-bcs operator, but for its blank, which no reason may have.
        (Action::ForceDeletePod { .. }, _) => ("SuccessfulForceDelete", "FailedDelete"),
        (_, Code::UpdateInPlace) => ("SuccessfulUpdatePodInPlace", "FailedUpdatePodInPlace"),
        (Action::PatchPod { .. }, _) => ("SuccessfulUpdate", "FailedUpdate"),
        (Action::PatchClaim { .. } | Action::PatchPodStatus { .. }, _) if refused => ("", "FailedUpdate"),
        (Action::CreateRevision { .. }, _) if refused => ("", "FailedCreate"),
        _ => return None,
    };
    Some(if refused { failed } else { done })
}

/// A message about an action without the names of what it writes.
fn gist(action: &Action, message: &str) -> String {
    match action {
        Action::CreatePod { name, .. }
        | Action::PatchPod { name, .. }
        | Action::PatchPodStatus { name, .. }
        | Action::ResizePod { name, .. }
        | Action::DeletePod { name, .. }
        | Action::ReplacePod { name, .. }
        | Action::ForceDeletePod { name, .. }
        | Action::PatchClaim { name, .. }
        | Action::CreateHookRun { name, .. }
        | Action::PatchHookRun { name, .. }
        | Action::DeleteHookRun { name, .. } => message.replace(name.as_str(), "*"),
        Action::CreateClaims { claims } => {
            claims.iter().fold(message.to_owned(), |message, (name, _)| message.replace(name, "*"))
        }
        Action::CreateRevision { .. }
        | Action::PatchRevision { .. }
        | Action::DeleteRevision { .. }
        | Action::PatchSet { .. } => message.to_owned(),
    }
}

/// What repeats have in common: the set's uid, the reason and the message without names.
type SeriesKey = (String, &'static str, String);

/// Notes that say the same of one set.
#[derive(Default)]
struct Gathered(BTreeMap<(String, String, &'static str), (Note, usize)>);

impl Gathered {
    fn add(&mut self, note: Note) {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        match self.0.entry((text(&note.set.namespace), text(&note.set.uid), note.reason)) {
            Entry::Vacant(entry) => {
                entry.insert((note, 1));
            }
            Entry::Occupied(mut entry) => entry.get_mut().1 += 1,
        }
    }

    fn events(self, clock: &Clock) -> Vec<(SeriesKey, Event)> {
        let now = clock.now();
        let event = |(index, (note, count)): (usize, (Note, usize))| {
            // Gathered for a second each, so that time and index tell events apart.
            let name = format!(
                "{}.{:x}.{index}",
                note.set.name.as_deref().unwrap_or_default(),
                now.as_millisecond()
            );
            let key = (note.set.uid.clone().unwrap_or_default(), note.reason, note.gist);
            let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            let event = Event {
                metadata: ObjectMeta {
                    name: Some(name),
                    namespace: note.set.namespace.clone(),
                    ..ObjectMeta::default()
                },
                type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
                reason: Some(note.reason.to_owned()),
                message: Some(format!("{}{more}", note.message)),
                involved_object: note.set,
                count: i32::try_from(count).ok(),
                first_timestamp: Some(Time(now)),
                last_timestamp: Some(Time(now)),
                source: Some(EventSource { component: Some(manager::WORKLOAD.to_owned()), host: None }),
                reporting_component: Some(manager::WORKLOAD.to_owned()),
                ..Event::default()
            };
            (key, event)
        };
        self.0.into_values().enumerate().map(event).collect()
    }
}

/// Events that were written lately.
#[derive(Default)]
struct Series(BTreeMap<SeriesKey, Told>);

/// An event that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    name: String,
    count: i32,
    last: Timestamp,
}

impl Series {
    /// Counts up the event that said the same before, or writes a new one.
    async fn publish(&mut self, client: &Client, key: SeriesKey, event: Event, now: Timestamp) {
        let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), namespace);
        let count = event.count.unwrap_or(1);
        if let Some(told) = self.repeats(&key, count, now)
            && count_up(&api, &told, &event).await
        {
            self.remember(key, told);
            return;
        }
        let name = event.metadata.name.clone().unwrap_or_default();
        match tokio::time::timeout(DEADLINE, api.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => self.remember(key, Told { name, count, last: now }),
            // An event that cannot be written is of no use a second time.
            Ok(Err(error)) => tracing::debug!(%error, reason = event.reason, "event not written"),
            Err(_) => tracing::debug!(reason = event.reason, "event not written in time"),
        }
    }

    /// The event of this key as it is to be after `more` repeats, if there is one.
    fn repeats(&mut self, key: &SeriesKey, more: i32, now: Timestamp) -> Option<Told> {
        self.0.retain(|_, told| now.duration_since(told.last) < SERIES_AGE);
        let told = self.0.get(key)?;
        Some(Told { name: told.name.clone(), count: told.count.saturating_add(more), last: now })
    }

    fn remember(&mut self, key: SeriesKey, told: Told) {
        if self.0.len() >= SERIES && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, told)| told.last).map(|(key, _)| key.clone());
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(key, told);
    }
}

/// Writes a repeat to its event; false if that could not be done, say because the event is gone.
async fn count_up(api: &Api<Event>, told: &Told, event: &Event) -> bool {
    let patch = Patch::Merge(
        json!({"count": told.count, "lastTimestamp": event.last_timestamp, "message": event.message}),
    );
    let params = PatchParams::default();
    let write = api.patch(&told.name, &params, &patch);
    match tokio::time::timeout(DEADLINE, write).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            tracing::debug!(%error, event = told.name, "event not counted up");
            false
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use muster_crds::names::{ObjectName, Uid};

    use super::*;

    fn delete(name: &str) -> Action {
        Action::DeletePod { name: ObjectName::new(name).unwrap(), uid: Uid::new("u").unwrap() }
    }

    fn key(text: &str) -> SeriesKey {
        ("uid".to_owned(), "FailedDelete", gist(&delete(text), &format!("delete pod {text}: no")))
    }

    #[test]
    fn repeats_are_told_by_the_message_without_the_pods_name() {
        let start = Timestamp::UNIX_EPOCH;
        let mut series = Series::default();
        assert_eq!(series.repeats(&key("game-1"), 1, start), None);
        series.remember(key("game-1"), Told { name: "e".to_owned(), count: 2, last: start });
        let later = start + SignedDuration::from_mins(59);
        let told = Told { name: "e".to_owned(), count: 5, last: later };
        assert_eq!(series.repeats(&key("game-22"), 3, later), Some(told));
        assert_eq!(series.repeats(&key("game-1"), 1, start + SERIES_AGE), None);
    }

    #[test]
    fn the_event_not_told_for_longest_is_forgotten_first() {
        let mut series = Series::default();
        for index in 0..=SERIES {
            let last = Timestamp::from_second(i64::try_from(index).unwrap()).unwrap();
            let key = ("uid".to_owned(), "FailedCreate", index.to_string());
            series.remember(key, Told { name: index.to_string(), count: 1, last });
        }
        assert_eq!(series.0.len(), SERIES);
        assert!(series.0.values().all(|told| told.name != "0"));
    }
}
