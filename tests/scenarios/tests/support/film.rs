//! Everything that was seen of a set's pods, moment by moment.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;

use super::pods::{PodView, Pods};

/// The pause after a watch that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// A watch on pods that keeps what it saw.
pub(crate) struct Film {
    seen: Arc<Mutex<Vec<Frame>>>,
    /// How much later than it happened a change may have been seen.
    lag: SignedDuration,
}

/// One change of one pod.
#[derive(Clone, Debug)]
struct Frame {
    at: Timestamp,
    name: String,
    /// What the pod looks like now; nothing when it is gone.
    pod: Option<PodView>,
}

/// How a pod was taken out, changed and put back.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) pod: String,
    /// The gate was closed.
    pub(crate) closed: Timestamp,
    /// The spec named the new image.
    pub(crate) patched: Timestamp,
    /// A container with the new image was reported.
    pub(crate) restarted: Timestamp,
    /// The gate was opened.
    pub(crate) opened: Timestamp,
    /// How much later than it happened each of these may have been seen.
    lag: SignedDuration,
}

// === impl Film ===

impl Film {
    /// Starts watching the pods with this label selector. It returns when the pods that are there are in.
    pub(crate) async fn start(
        api: Api<Pod>,
        selector: &str,
        clock: Clock,
        lag: Duration,
        tasks: &Tasks,
    ) -> Self {
        let seen: Arc<Mutex<Vec<Frame>>> = Arc::default();
        let (listed, first_list) = tokio::sync::oneshot::channel();
        let config = watcher::Config::default().labels(selector);
        let frames = Arc::clone(&seen);
        tasks.spawn("film", async move {
            let mut listed = Some(listed);
            let mut changes = pin!(watcher(api, config));
            while let Some(change) = changes.next().await {
                let frame = |pod: &Pod, gone: bool| {
                    let view = PodView::of(pod);
                    Frame { at: clock.now(), name: view.name.clone(), pod: (!gone).then_some(view) }
                };
                match change {
                    Ok(Event::InitApply(pod) | Event::Apply(pod)) => frames.lock().push(frame(&pod, false)),
                    Ok(Event::Delete(pod)) => frames.lock().push(frame(&pod, true)),
                    Ok(Event::Init) => {}
                    Ok(Event::InitDone) => {
                        // A second list would hide what happened between.
                        let first = listed.take().expect("a film is not interrupted");
                        let _ = first.send(());
                    }
                    // The watch goes on where it was; where it cannot, it lists anew.
                    Err(error) => {
                        println!("the film was interrupted: {error}");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
        first_list.await.expect("the pods are listed");
        Self { seen, lag: SignedDuration::try_from(lag).expect("a short time") }
    }

    fn frames(&self) -> Vec<Frame> {
        self.seen.lock().clone()
    }

    /// Calls `look` with the pods as they were after each change.
    fn replay(&self, mut look: impl FnMut(Timestamp, &Pods)) {
        let mut pods = Pods::default();
        for Frame { at, name, pod } in self.frames() {
            match pod {
                Some(pod) => pods.0.insert(name, pod),
                None => pods.0.remove(&name),
            };
            look(at, &pods);
        }
    }

    /// The most pods of `expected` that were missing or not ready at once. All must have been ready when the film
    /// began.
    pub(crate) fn most_unready(&self, expected: usize) -> usize {
        let mut most = 0;
        let mut complete = false;
        self.replay(|_, pods| {
            let ready = pods.iter().filter(|pod| pod.ready && !pod.terminating).count();
            complete |= ready == expected;
            if complete {
                most = most.max(expected.saturating_sub(ready));
            }
        });
        assert!(complete, "the film began before {expected} pods were ready");
        most
    }

    /// The most pods that were out at once by Muster's doing: ready once, then with a closed gate, not ready again yet.
    pub(crate) fn most_disrupted(&self) -> usize {
        let mut ready: BTreeSet<String> = BTreeSet::new();
        let mut out: BTreeSet<String> = BTreeSet::new();
        let mut most = 0;
        self.replay(|_, pods| {
            for pod in pods.iter() {
                if pod.ready {
                    ready.insert(pod.uid.clone());
                    out.remove(&pod.uid);
                } else if pod.gate == Some(false) && ready.contains(&pod.uid) {
                    out.insert(pod.uid.clone());
                }
            }
            let alive: BTreeSet<&String> =
                pods.iter().filter(|pod| !pod.terminating).map(|pod| &pod.uid).collect();
            out.retain(|uid| alive.contains(uid));
            most = most.max(out.len());
        });
        most
    }

    /// The most pods with ordinals below `kept` that were ready once and then going, gone or not ready again yet. Meant
    /// for pods that no scaling takes away.
    pub(crate) fn most_replaced(&self, kept: usize) -> usize {
        let mut known: BTreeSet<String> = BTreeSet::new();
        let mut most = 0;
        self.replay(|_, pods| {
            let ready = pods.iter().filter(|pod| pod.ready && !pod.terminating && pod.ordinal() < kept);
            let ready: BTreeSet<String> = ready.map(|pod| pod.name.clone()).collect();
            known.extend(ready.iter().cloned());
            most = most.max(known.len() - ready.len());
        });
        most
    }

    /// The most pods there were at once.
    pub(crate) fn most_pods(&self) -> usize {
        let mut most = 0;
        self.replay(|_, pods| most = most.max(pods.len()));
        most
    }

    /// How long a pod had been ready, at its last time, when another one was told to go; as long as it can have been.
    #[track_caller]
    pub(crate) fn ready_until_deleted(&self, ready: &str, deleted: &str) -> SignedDuration {
        let frames = self.frames();
        let told =
            |frame: &&Frame| frame.name == deleted && frame.pod.as_ref().is_none_or(|pod| pod.terminating);
        let end = frames.iter().find(told).unwrap_or_else(|| panic!("{deleted} was not told to go")).at;
        let mut since = None;
        for frame in frames.iter().filter(|frame| frame.name == ready && frame.at <= end) {
            let is_ready = frame.pod.as_ref().is_some_and(|pod| pod.ready);
            since = if is_ready { since.or(Some(frame.at)) } else { None };
        }
        let since = since.unwrap_or_else(|| panic!("{ready} was not ready when {deleted} was told to go"));
        end.duration_since(since) + self.lag
    }

    /// Names of pods in the order in which they went for good.
    pub(crate) fn deleted(&self) -> Vec<String> {
        self.frames().into_iter().filter(|frame| frame.pod.is_none()).map(|frame| frame.name).collect()
    }

    /// Names of pods in the order in which they came.
    pub(crate) fn created(&self) -> Vec<String> {
        let mut known: BTreeSet<String> = BTreeSet::new();
        let frames = self.frames().into_iter();
        frames
            .filter_map(|frame| frame.pod)
            .filter(|pod| known.insert(pod.uid.clone()))
            .map(|pod| pod.name)
            .collect()
    }

    /// Fails unless each pod came when all with lower ordinals were ready.
    #[track_caller]
    pub(crate) fn assert_created_in_order(&self) {
        let mut known: BTreeSet<String> = BTreeSet::new();
        self.replay(|_, pods| {
            for pod in pods.iter() {
                if known.insert(pod.uid.clone()) {
                    let ready =
                        pods.iter().filter(|other| other.ordinal() < pod.ordinal() && other.ready).count();
                    assert_eq!(ready, pod.ordinal(), "{} came before all lower ones were ready", pod.name);
                }
            }
        });
    }

    /// When which pod's spec first named `image`, in order.
    pub(crate) fn patched(&self, container: &str, image: &str) -> Vec<(String, Timestamp)> {
        let mut done: BTreeSet<String> = BTreeSet::new();
        let mut order = Vec::new();
        for Frame { at, pod, .. } in self.frames() {
            let Some(pod) = pod else { continue };
            if pod.images.get(container).is_some_and(|named| named == image) && done.insert(pod.uid.clone()) {
                order.push((pod.name, at));
            }
        }
        order
    }

    /// How each pod went through an update of `container` to `image`: in place, so by its uid.
    pub(crate) fn turns(&self, container: &str, image: &str) -> Vec<Turn> {
        let mut by_pod: BTreeMap<String, Vec<(Timestamp, PodView)>> = BTreeMap::new();
        for Frame { at, pod, .. } in self.frames() {
            if let Some(pod) = pod {
                by_pod.entry(pod.uid.clone()).or_default().push((at, pod));
            }
        }
        by_pod.into_values().filter_map(|seen| turn(&seen, container, image, self.lag)).collect()
    }
}

/// The last time the gate was closed before the patch, the patch, the restart and the opening.
fn turn(seen: &[(Timestamp, PodView)], container: &str, image: &str, lag: SignedDuration) -> Option<Turn> {
    let first =
        |from: usize, holds: &dyn Fn(&PodView) -> bool| (from..seen.len()).find(|at| holds(&seen[*at].1));
    let patched = first(0, &|pod| pod.images.get(container).is_some_and(|named| named == image))?;
    let open_before = (0..patched).rev().find(|at| seen[*at].1.gate != Some(false))?;
    let closed = open_before + 1;
    let pod = &seen[patched].1.name;
    assert!(closed < patched, "{pod} was patched with its gate open");
    let restarted = first(patched, &|pod| pod.runs(container) == image)?;
    let opened = first(patched, &|pod| pod.gate == Some(true))?;
    Some(Turn {
        pod: pod.clone(),
        closed: seen[closed].0,
        patched: seen[patched].0,
        restarted: seen[restarted].0,
        opened: seen[opened].0,
        lag,
    })
}

// === impl Turn ===

impl Turn {
    /// Fails unless the gate was closed for `grace` before the patch, and opened only after the restart.
    #[track_caller]
    pub(crate) fn assert_graceful(&self, grace: SignedDuration) {
        let waited = self.patched.duration_since(self.closed);
        assert!(
            waited + self.lag >= grace,
            "{}: patched {waited:#} after the gate was closed, not {grace:#}",
            self.pod
        );
        assert!(
            self.opened >= self.restarted,
            "{}: the gate was opened before the new container ran",
            self.pod
        );
    }
}
