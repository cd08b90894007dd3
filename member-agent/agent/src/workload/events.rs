//! Events about sets: gathered for a moment, so that 200 new pods are one event and not 200 more writes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use muster_crds::GameStatefulSet;
use muster_crds::keys::manager;
use muster_runtime::{Clock, Tasks};
use muster_workload::{Action, Code, Step};
use tokio::sync::mpsc;

/// How long events are gathered before they are written.
pub const GATHER: Duration = Duration::from_secs(1);

/// How many events may wait; more are dropped.
pub const QUEUE: usize = 1024;

/// How long one write may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Something to be told about a set.
#[derive(Debug)]
struct Note {
    set: ObjectReference,
    reason: &'static str,
    warning: bool,
    message: String,
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
            while let Some(first) = notes.recv().await {
                tokio::time::sleep(GATHER).await;
                let mut gathered = Gathered::default();
                gathered.add(first);
                while let Ok(note) = notes.try_recv() {
                    gathered.add(note);
                }
                for event in gathered.events(&clock) {
                    publish(&client, event).await;
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
        let note = Note { set: set.object_ref(&()), reason, warning, message };
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
        (Action::DeletePod { .. }, _) => ("SuccessfulDelete", "FailedDelete"),
        (_, Code::UpdateInPlace) => ("SuccessfulUpdatePodInPlace", "FailedUpdatePodInPlace"),
        (Action::PatchPod { .. }, _) => ("SuccessfulUpdate", "FailedUpdate"),
        (Action::PatchPodStatus { .. }, _) if refused => ("", "FailedUpdate"),
        (Action::CreateRevision { .. }, _) if refused => ("", "FailedCreate"),
        _ => return None,
    };
    Some(if refused { failed } else { done })
}

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

    fn events(self, clock: &Clock) -> Vec<Event> {
        let now = clock.now();
        let event = |(index, (note, count)): (usize, (Note, usize))| {
            // Gathered for a second each, so that time and index tell events apart.
            let name = format!(
                "{}.{:x}.{index}",
                note.set.name.as_deref().unwrap_or_default(),
                now.as_millisecond()
            );
            let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            Event {
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
            }
        };
        self.0.into_values().enumerate().map(event).collect()
    }
}

async fn publish(client: &Client, event: Event) {
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let parameters = PostParams::default();
    let create = api.create(&parameters, &event);
    // An event that cannot be written is of no use a second time.
    if let Ok(Err(error)) = tokio::time::timeout(DEADLINE, create).await {
        tracing::debug!(%error, reason = event.reason, "event not written");
    }
}
