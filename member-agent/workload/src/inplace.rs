//! The update of a pod in place: what is written on the pod meanwhile, and when the update is complete.
//!
//! An update takes three writes at most, and all that is known about it is on the pod, so that the controller may
//! restart between any two of them:
//!
//! 1. the gate is closed (condition `InPlaceUpdateReady` False): the pod leaves traffic for `gracePeriodSeconds`;
//! 2. images, revision label and the annotation `inplace-update-state` change in one patch;
//! 3. the gate is opened once the new containers run and are ready.
//!
//! Where only helpers restart the gate stays open: the patch says so in the annotation (`inTraffic`), and a second patch
//! takes the word back when they run. Where the policy puts the containers of a pod in an order, each has a patch of its
//! own, and the annotation names those still to come (`nextContainers`): native sidecars in the order of the template,
//! then containers in the order of the template. Sizes change before images do, by a write of their own; whether they
//! have is seen by the pod's spec and status, and nothing is recorded.
//!
//! The names and shapes of condition and annotations are those of the bk-bcs operator, whose updates can be taken over
//! half-way. What is ours beyond them: the closed gate's message numbers the closing and the annotation repeats the
//! number, so that the record of an earlier update is never taken for the one under way.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::pod::{Container, ContainerState, ContainerStatus, Gate, Pod, Since};
use crate::reason::{Code, Reason};

/// How long beyond its termination grace a container of the old image might still be seen after the kubelet has
/// taken note of the new one.
pub const SETTLE_SLACK: SignedDuration = SignedDuration::from_secs(5);

/// The annotation `inplace-update-state`: what ran before the last change of images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InPlaceState {
    /// The revision that the pod was changed to.
    pub revision: String,
    /// When.
    pub update_timestamp: Timestamp,
    /// What ran before, for each changed container.
    #[serde(default)]
    pub last_container_statuses: BTreeMap<String, Before>,
    /// Generation of the pod's spec with the new images; none where pods have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Number of the closing of the gate this belongs to; none from the bk-bcs operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<String>,
    /// Containers whose images change after these, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_containers: Vec<String>,
    /// Whether only helpers restart, and the pod stays in traffic.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_traffic: bool,
}

/// The container that ran before a change of its image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Its image as the runtime tells it apart.
    #[serde(rename = "imageID", default)]
    pub image_id: String,
    /// Which incarnation it was; none from the bk-bcs operator.
    #[serde(rename = "containerID", default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The image of the spec it was started from; none where that is not known, as from the bk-bcs operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// The annotation `inplace-update-grace` of the bk-bcs operator: an update that waits for the grace period although
/// the revision label already names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GraceNote {
    /// The revision that the pod is to get.
    #[serde(default)]
    pub revision: String,
}

/// Where a pod stands with its update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage<'a> {
    /// No update is under way.
    Idle,
    /// The gate was closed and the images are as they were.
    Closed {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// The images were changed; the new containers are not proven to run.
    Patched(&'a InPlaceState),
    /// Images of helpers were changed; the pod stays in traffic, and they are not known to run.
    Helped(&'a InPlaceState),
}

/// How an update that changed images is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The new containers run and are ready.
    Done,
    /// It is not known before then.
    Until(Timestamp, Reason),
    /// It is not known before the pod changes.
    Waiting(Reason),
}

impl Pod {
    /// Where this pod stands with its update.
    pub fn stage(&self) -> Stage<'_> {
        let current = |state: &&InPlaceState| {
            self.revision.as_ref().is_some_and(|name| *name == state.revision.as_str())
        };
        let state = self.state.as_deref().filter(current).filter(|_| self.grace_note.is_none());
        let helped = state.filter(|state| state.in_traffic && !matches!(self.gate, Gate::Closed { .. }));
        if let Some(state) = helped {
            return Stage::Helped(state);
        }
        match &self.gate {
            Gate::Open | Gate::Unset => Stage::Idle,
            Gate::Closed { since, closing } => state
                .filter(|state| closing.is_none() || state.closing == *closing)
                .map_or(Stage::Closed { since: *since }, Stage::Patched),
            // Without a gate nothing says that an update is complete but the containers themselves.
            Gate::None => state
                .filter(|state| {
                    !state.next_containers.is_empty()
                        || progress(self, state, Timestamp::MAX) != Progress::Done
                })
                .map_or(Stage::Idle, Stage::Patched),
        }
    }

    /// Whether it serves: ready, here to stay, and not out of traffic for an update.
    pub fn is_available(&self) -> bool {
        self.is_ready() && matches!(self.stage(), Stage::Idle | Stage::Helped(_))
    }

    /// Whether the kubelet has not seen the newest spec, where it says what it has seen.
    pub fn is_behind(&self) -> bool {
        self.generation.zip(self.observed_generation).is_some_and(|(wanted, observed)| observed < wanted)
    }
}

/// The message of a gate that is closed at this version of the pod.
pub fn closing_message(resource_version: &str) -> String {
    format!("{CLOSING}{resource_version}")
}

/// Which closing of the gate this message tells of.
pub fn closing(message: &str) -> Option<String> {
    message.strip_prefix(CLOSING).map(str::to_owned)
}

const CLOSING: &str = "an update in place began at version ";

/// Whether the containers that were changed run their new images and are ready.
///
/// A kubelet that has seen the new generation may still list the old containers, and two names of one image look alike in a
/// status; so the proof is another container than the recorded one, together with another image or the wanted name.
/// Where neither shows, it has to outlive the time in which a container of the old image could still be seen.
pub fn progress(pod: &Pod, state: &InPlaceState, now: Timestamp) -> Progress {
    progress_to(pod, state, now, true)
}

/// Whether the containers that were changed run their new images, and where `ready` is asked, are ready.
pub(crate) fn progress_to(pod: &Pod, state: &InPlaceState, now: Timestamp, ready: bool) -> Progress {
    let behind = match (state.generation, pod.observed_generation) {
        (Some(wanted), Some(observed)) => observed < wanted,
        _ => false,
    };
    let mut slowest = Progress::Done;
    for (name, before) in &state.last_container_statuses {
        let Some(container) = pod.containers.iter().find(|container| container.name == *name) else {
            continue;
        };
        let one = if behind && !ahead_of_its_generation(container, before) {
            Progress::Waiting(Reason::new(Code::KubeletBehind, "the node has not seen the new image yet"))
        } else {
            container_progress(pod, container, before, state, now)
        };
        let one = match one {
            Progress::Waiting(reason) if !ready && reason.code == Code::ContainerNotReady => Progress::Done,
            one => one,
        };
        slowest = slower(slowest, one);
    }
    slowest
}

/// A container that cannot start says so whatever generation the status is about.
fn ahead_of_its_generation(container: &Container, before: &Before) -> bool {
    let Some(status) = &container.status else { return false };
    matches!(status.state, ContainerState::Waiting { .. })
        && status.container_id.is_some()
        && status.container_id == before.container_id
}

fn container_progress(
    pod: &Pod,
    container: &Container,
    before: &Before,
    state: &InPlaceState,
    now: Timestamp,
) -> Progress {
    let waiting = |code, what: &str| {
        Progress::Waiting(Reason::new(code, format!("container {}: {what}", container.name)))
    };
    let Some(status) = &container.status else {
        return waiting(Code::ContainerNotRunning, "no status yet");
    };
    let started = match &status.state {
        ContainerState::Running(Since(started)) => started.unwrap_or(state.update_timestamp),
        ContainerState::Terminated => return waiting(Code::ContainerNotRunning, "has ended"),
        ContainerState::Waiting { reason, message } => {
            return Progress::Waiting(waiting_reason(&container.name, reason, message));
        }
    };
    let named_as_wanted = same_image(&status.image, &container.image);
    let other_image = status.image_id != before.image_id;
    // The tag that ran before may have moved, and then a mere crash changes the image too.
    let moved = container.pull_always && before.image.as_deref().is_none_or(|image| !image.contains('@'));
    let unchanged_spec = before.image.as_deref() == Some(container.image.as_str());
    let restarted = match &before.container_id {
        Some(id) => status.container_id.as_ref() != Some(id),
        None => other_image,
    };
    let must_restart = before.container_id.is_some() && before.image.is_some() && !unchanged_spec;
    if must_restart && !restarted {
        return waiting(Code::ContainerNotRestarted, "the old one still runs");
    }
    let proven = !unchanged_spec && restarted && (named_as_wanted || other_image && !moved);
    if !proven {
        // The time in which an old container could still be seen starts when the kubelet knows the new image.
        let known = state
            .generation
            .and(pod.observed_generation)
            .map_or(state.update_timestamp, |_| pod.observed_since.max(state.update_timestamp));
        let until = later(started.max(known), pod.termination_grace + SETTLE_SLACK);
        if now < until {
            let what = format!(
                "container {}: runs an image that cannot be told from the one before; believed when it has run until {until}",
                container.name
            );
            return Progress::Until(until, Reason::new(Code::Settling, what));
        }
    }
    if status.ready { Progress::Done } else { waiting(Code::ContainerNotReady, "runs and is not ready") }
}

/// Sorts a container's waiting reason.
pub(crate) fn waiting_reason(container: &str, reason: &str, message: &str) -> Reason {
    let code = match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => Code::ImagePull,
        "CrashLoopBackOff" => Code::CrashLoop,
        _ => Code::ContainerNotRunning,
    };
    let detail = if message.is_empty() { String::new() } else { format!(": {message}") };
    let word = if reason.is_empty() { "waiting" } else { reason };
    Reason::new(code, format!("container {container}: {word}{detail}"))
}

fn slower(one: Progress, other: Progress) -> Progress {
    match (one, other) {
        (Progress::Waiting(reason), _) | (_, Progress::Waiting(reason)) => Progress::Waiting(reason),
        (Progress::Until(a, reason), Progress::Until(b, other)) => {
            if a >= b {
                Progress::Until(a, reason)
            } else {
                Progress::Until(b, other)
            }
        }
        (Progress::Until(until, reason), Progress::Done)
        | (Progress::Done, Progress::Until(until, reason)) => Progress::Until(until, reason),
        (Progress::Done, Progress::Done) => Progress::Done,
    }
}

pub(crate) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Whether the runtime's name of an image is the one the spec writes.
fn same_image(reported: &str, wanted: &str) -> bool {
    full_name(reported) == full_name(wanted)
}

/// The name with the registry, repository and tag that the runtime adds.
fn full_name(image: &str) -> String {
    let (registry, rest) = match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
        Some(_) => ("docker.io", image.to_owned()),
        None => ("docker.io", format!("library/{image}")),
    };
    let tagged = rest.contains('@') || rest.rsplit('/').next().is_some_and(|last| last.contains(':'));
    format!("{registry}/{rest}{}", if tagged { "" } else { ":latest" })
}

/// What to record of the containers that are about to change.
///
/// A container whose last change is not complete keeps its record while it is still the recorded incarnation: what
/// matters is what ran before the first of the changes.
pub fn record<'a>(
    pod: &Pod,
    changed: impl Iterator<Item = &'a String>,
    under_way: Option<&InPlaceState>,
) -> BTreeMap<String, Before> {
    let mut records: BTreeMap<String, Before> =
        under_way.map(|state| state.last_container_statuses.clone()).unwrap_or_default();
    for name in changed {
        let Some(container) = pod.containers.iter().find(|container| container.name == *name) else {
            continue;
        };
        let status: Option<&ContainerStatus> = container.status.as_ref();
        let id = status.and_then(|status| status.container_id.clone());
        let earlier = records.get(name);
        let kept = earlier.is_some_and(|before| id.is_some() && before.container_id == id);
        if !kept {
            let image_id = status.map(|status| status.image_id.clone()).unwrap_or_default();
            // In the middle of an update a container may be of the image before it or of the one it brought.
            let image = earlier.is_none().then(|| container.image.clone());
            let before = Before { image_id, container_id: id, image };
            records.insert(name.clone(), before);
        }
    }
    records
}
