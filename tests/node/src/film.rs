//! Everything that was seen of the pods, moment by moment.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use muster_crds::keys::condition::INPLACE_UPDATE_READY;
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;

/// A watch on pods that keeps what it saw.
#[derive(Clone)]
pub(crate) struct Film {
    frames: Arc<Mutex<Vec<Frame>>>,
}

/// A pod at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// When it was seen.
    pub(crate) at: Timestamp,
    pub(crate) pod: String,
    pub(crate) ready: bool,
    /// When its gate was closed, while it is.
    pub(crate) closed: Option<Timestamp>,
    /// Image that the spec names, by container; native sidecars too.
    pub(crate) images: BTreeMap<String, String>,
    /// Container ids, by container.
    pub(crate) containers: BTreeMap<String, String>,
    /// It was deleted.
    pub(crate) gone: bool,
}

impl Film {
    /// Watches the pods of a set until `tasks` end.
    pub(crate) fn start(pods: Api<Pod>, set: &str, clock: &Clock, tasks: &Tasks) -> Self {
        let film = Self { frames: Arc::default() };
        let (frames, clock) = (Arc::clone(&film.frames), clock.clone());
        let config = watcher::Config::default().labels(&format!("app={set}"));
        tasks.spawn("film", async move {
            let mut changes = pin!(watcher(pods, config));
            // After an error the watcher lists anew: a moment may be missing then, never the state after it.
            while let Some(change) = changes.next().await {
                let frame = match change {
                    Ok(Event::Apply(pod) | Event::InitApply(pod)) => frame(&pod, false, clock.now()),
                    Ok(Event::Delete(pod)) => frame(&pod, true, clock.now()),
                    Ok(Event::Init | Event::InitDone) | Err(_) => continue,
                };
                frames.lock().push(frame);
            }
        });
        film
    }

    /// How much there is by now.
    pub(crate) fn mark(&self) -> usize {
        self.frames.lock().len()
    }

    /// What was seen after a mark.
    pub(crate) fn since(&self, mark: usize) -> Vec<Frame> {
        self.frames.lock().get(mark..).unwrap_or_default().to_vec()
    }

    /// The times in which pods were not ready, of those that were ready before and after.
    pub(crate) fn windows(&self) -> Vec<Duration> {
        let mut ready: BTreeMap<String, bool> = BTreeMap::new();
        let mut since: BTreeMap<String, Timestamp> = BTreeMap::new();
        let mut windows = Vec::new();
        for frame in self.since(0) {
            let before = ready.insert(frame.pod.clone(), frame.ready && !frame.gone);
            if frame.gone {
                since.remove(&frame.pod);
            } else if before == Some(true) && !frame.ready {
                since.insert(frame.pod, frame.at);
            } else if frame.ready
                && let Some(from) = since.remove(&frame.pod)
            {
                windows.push(Duration::try_from(frame.at.duration_since(from)).unwrap_or_default());
            }
        }
        windows
    }
}

fn frame(pod: &Pod, gone: bool, at: Timestamp) -> Frame {
    let status = pod.status.clone().unwrap_or_default();
    let spec = pod.spec.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let gate = conditions.iter().find(|one| one.type_ == INPLACE_UPDATE_READY && one.status == "False");
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let statuses = status.container_statuses.iter().chain(status.init_container_statuses.iter()).flatten();
    Frame {
        at,
        pod: pod.name_any(),
        ready: conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True"),
        closed: gate.and_then(|gate| gate.last_transition_time.as_ref()).map(|time| time.0),
        images: containers.map(|one| (one.name.clone(), one.image.clone().unwrap_or_default())).collect(),
        containers: statuses.filter_map(|one| Some((one.name.clone(), one.container_id.clone()?))).collect(),
        gone,
    }
}

/// Mean, 99th percentile and longest, as text.
pub(crate) fn summary(lengths: &[Duration]) -> String {
    let mut lengths = lengths.to_vec();
    lengths.sort();
    let Some(longest) = lengths.last() else { return "none".to_owned() };
    let mean = lengths.iter().sum::<Duration>() / u32::try_from(lengths.len()).unwrap_or(u32::MAX);
    let p99 = lengths[(lengths.len() * 99).div_ceil(100).saturating_sub(1)];
    format!("mean {mean:.2?}, p99 {p99:.2?}, longest {longest:.2?} of {}", lengths.len())
}
