//! Pods, cut down to what the planner looks at, so that ten thousand of them fit in little memory.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use muster_crds::names::{NameError, ObjectName, RevisionName, Uid};

use crate::identity;
use crate::inplace::{GraceNote, InPlaceState};
use crate::size::Size;
use muster_crds::keys::condition::INPLACE_UPDATE_READY;
use muster_crds::keys::workload as keys;

/// One pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Its name.
    pub name: ObjectName,
    /// Its uid, the precondition of every write.
    pub uid: Uid,
    /// The version that was read.
    pub resource_version: String,
    /// Generation of its spec; none on API servers before 1.33.
    pub generation: Option<i64>,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// The revision it carries, from its labels.
    pub revision: Option<RevisionName>,
    /// Whether its labels say which pod it is, as they must.
    pub identified: bool,
    /// The node it was given to.
    pub node: Option<String>,
    /// Its address.
    pub ip: Option<String>,
    /// The address of its node.
    pub host_ip: Option<String>,
    /// Why its hooks are not asked, as its annotation says.
    pub break_glass: Option<Box<str>>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Its volumes that are claims: names of volume and claim.
    pub claims: Vec<(String, String)>,
    /// What its deletion costs, as its annotation says; 0 without.
    pub deletion_cost: i32,
    /// The value of that annotation where it is no number.
    pub bad_deletion_cost: Option<Box<str>>,
    /// Whether it may be removed without its node, or has been.
    pub force: Force,
    /// Its ordinal, and how long the name of its set is; from its name.
    place: Option<(u32, usize)>,
    /// Its controller.
    pub controller: Option<Controller>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// How far it is.
    pub phase: Phase,
    /// Why no node takes it, in the scheduler's words.
    pub unschedulable: Option<String>,
    /// Since when its condition Ready is True; none when it is not.
    pub ready: Option<Since>,
    /// Since when its condition Ready is False, where the API says so.
    pub not_ready_since: Option<Timestamp>,
    /// What the kubelet says of a change of its size under way.
    pub resize: Option<Box<ResizeNews>>,
    /// Its tolerations, without those that admission gives every pod.
    pub tolerations: Vec<core::Toleration>,
    /// Its readiness gate for updates in place.
    pub gate: Gate,
    /// What was recorded when its images were last changed.
    pub state: Option<Box<InPlaceState>>,
    /// An update that the bk-bcs operator announced and did not apply yet.
    pub grace_note: Option<GraceNote>,
    /// Its containers and native sidecars.
    pub containers: Vec<Container>,
    /// Generation of the spec that its status is about; none from kubelets before 1.33.
    pub observed_generation: Option<i64>,
    /// When this value of `observed_generation` was first seen by us.
    pub observed_since: Timestamp,
    /// How long its containers may take to end.
    pub termination_grace: SignedDuration,
}

/// Whether a pod may be removed for good when its node is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It may not: it may still run.
    Never,
    /// It may, as its annotation says.
    Allowed,
    /// It was, and nothing but its finalizers keeps it.
    Done,
}

/// The controller of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid, which is what counts.
    pub uid: String,
}

impl Controller {
    /// The controller among these metadata's owners.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        let owners = meta.owner_references.as_deref().unwrap_or_default();
        let owner: &OwnerReference = owners.iter().find(|owner| owner.controller == Some(true))?;
        Some(Self { kind: owner.kind.clone(), name: owner.name.clone(), uid: owner.uid.clone() })
    }
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not all containers have started.
    Pending,
    /// At least one container runs or is restarting.
    Running,
    /// All containers ended, and will not be started again.
    Ended,
    /// The node does not answer.
    Unknown,
}

/// What the kubelet says of a change of a pod's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizeNews {
    /// How it stands.
    pub state: ResizeState,
    /// In words.
    pub message: String,
}

/// How a change of a pod's size stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeState {
    /// The node makes it real.
    InProgress,
    /// The node has no room now.
    Deferred,
    /// The node will never have room.
    Infeasible,
}

/// Since when something holds, where the API says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since(pub Option<Timestamp>);

/// The readiness gate `InPlaceUpdateReady` of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The pod has no such gate.
    None,
    /// Nobody has set the condition yet: the pod is new.
    Unset,
    /// The pod is out of traffic.
    Closed {
        /// Since when.
        since: Option<Timestamp>,
        /// Which closing it was, if we wrote it: see [`crate::inplace::closing`].
        closing: Option<String>,
    },
    /// The pod may be ready.
    Open,
}

/// A container or native sidecar of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The image of its spec.
    pub image: String,
    /// Whether it is a native sidecar.
    pub sidecar: bool,
    /// Whether the image is pulled at every start.
    pub pull_always: bool,
    /// Its size by its spec.
    pub size: Size,
    /// Whether the kubelet has made that size real, as far as it says.
    pub sized: bool,
    /// What the kubelet last said.
    pub status: Option<ContainerStatus>,
}

/// What the kubelet says about a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Which incarnation; none before the first.
    pub container_id: Option<String>,
    /// The image as the runtime names it.
    pub image: String,
    /// The image as the runtime tells it apart.
    pub image_id: String,
    /// Whether its probes pass.
    pub ready: bool,
    /// What it does.
    pub state: ContainerState,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// It runs since then.
    Running(Since),
    /// It is waiting to start.
    Waiting {
        /// One word.
        reason: String,
        /// In words.
        message: String,
    },
    /// It has ended.
    Terminated,
}

impl Pod {
    /// Reads a pod as it arrives at `seen`. `before` is what was known of it: it remembers since when the kubelet has
    /// been seen at the generation it reports, and since when its gate has been seen closed.
    pub fn read(pod: &core::Pod, seen: Timestamp, before: Option<&Self>) -> Result<Self, NameError> {
        let meta = &pod.metadata;
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        let uid = Uid::new(meta.uid.as_deref().unwrap_or_default())?;
        let observed_generation = status.and_then(|status| status.observed_generation);
        let known = before.filter(|before| before.uid == uid);
        let observed_since = known
            .filter(|before| before.observed_generation == observed_generation)
            .map_or(seen, |before| before.observed_since);
        let annotation = |key: &str| meta.annotations.as_ref().and_then(|all| all.get(key));
        let condition = |type_: &str| {
            let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
            conditions.iter().find(|condition| condition.type_ == type_)
        };
        let ready = condition("Ready").filter(|ready| ready.status == "True");
        let not_ready = condition("Ready").filter(|ready| ready.status != "True");
        let unscheduled = condition("PodScheduled").filter(|scheduled| scheduled.status == "False");
        let name = ObjectName::new(meta.name.as_deref().unwrap_or_default())?;
        let cost = annotation(keys::POD_DELETION_COST);
        let parent = identity::parent(name.as_str());
        let labels = meta.labels.clone().unwrap_or_default();
        Ok(Self {
            revision: labels.get(keys::REVISION).and_then(|label| RevisionName::new(label).ok()),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            identified: parent
                .is_some_and(|(_, ordinal)| identity::is_identified(name.as_str(), ordinal, &labels)),
            node: spec.and_then(|spec| spec.node_name.clone()).filter(|node| !node.is_empty()),
            claims: claims(spec),
            deletion_cost: cost.and_then(|cost| cost.parse().ok()).unwrap_or_default(),
            bad_deletion_cost: cost
                .filter(|cost| cost.parse::<i32>().is_err())
                .map(|cost| cost.as_str().into()),
            force: if meta.deletion_timestamp.is_some() && meta.deletion_grace_period_seconds == Some(0) {
                Force::Done
            } else if annotation(keys::NODE_LOST_FORCE_DELETE).is_some_and(|value| value == "true") {
                Force::Allowed
            } else {
                Force::Never
            },
            ip: status.and_then(|status| status.pod_ip.clone()).filter(|ip| !ip.is_empty()),
            host_ip: status.and_then(|status| status.host_ip.clone()).filter(|ip| !ip.is_empty()),
            break_glass: annotation(keys::BREAK_GLASS).map(|reason| reason.as_str().into()),
            place: parent.map(|(set, ordinal)| (ordinal, set.len())),
            name,
            uid,
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            generation: meta.generation,
            labels,
            controller: Controller::of(meta),
            deleting: meta.deletion_timestamp.is_some(),
            phase: phase(status.and_then(|status| status.phase.as_deref())),
            unschedulable: unscheduled.map(|scheduled| scheduled.message.clone().unwrap_or_default()),
            ready: ready.map(|ready| Since(ready.last_transition_time.as_ref().map(|time| time.0))),
            not_ready_since: not_ready.and_then(|ready| Some(ready.last_transition_time.as_ref()?.0)),
            resize: resize(condition("PodResizePending"), condition("PodResizeInProgress")).map(Box::new),
            tolerations: tolerations(spec),
            gate: gate(spec, condition(INPLACE_UPDATE_READY))
                .remembering(known.map(|before| &before.gate), seen),
            // What does not parse was not written by us and says nothing.
            state: annotation(keys::INPLACE_STATE).and_then(|text| serde_json::from_str(text).ok()),
            grace_note: annotation(keys::INPLACE_GRACE).and_then(|text| serde_json::from_str(text).ok()),
            containers: containers(spec, status),
            observed_generation,
            observed_since,
            termination_grace: SignedDuration::from_secs(
                spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30).max(0),
            ),
        })
    }

    /// Whether it carries this revision.
    pub fn is_at(&self, revision: &RevisionName) -> bool {
        self.revision.as_ref() == Some(revision)
    }

    /// The ordinal that its name ends with, whichever set it is of.
    pub(crate) fn own_ordinal(&self) -> Option<u32> {
        self.place.map(|(ordinal, _)| ordinal)
    }

    /// Its ordinal, if its name is one of this set's.
    pub fn ordinal_in(&self, set: &str) -> Option<u32> {
        let (ordinal, length) = self.place?;
        (length == set.len() && self.name.as_str().starts_with(set)).then_some(ordinal)
    }

    /// Whether it runs, is ready and is here to stay.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Running && self.ready.is_some() && !self.deleting
    }
}

impl Gate {
    /// The gate as it is seen now, with what was known of it. The time on a closed gate is when its closing was planned;
    /// who saw it open later than that knows better.
    pub fn remembering(self, before: Option<&Self>, seen: Timestamp) -> Self {
        let Self::Closed { since, closing } = self else { return self };
        let since = match before {
            None => since,
            Some(Self::Closed { since: known, closing: of }) if *of == closing => since.max(*known),
            Some(_) => since.map(|since| since.max(seen)),
        };
        Self::Closed { since, closing }
    }
}

fn phase(phase: Option<&str>) -> Phase {
    match phase {
        Some("Running") => Phase::Running,
        Some("Failed" | "Succeeded") => Phase::Ended,
        Some("Unknown") => Phase::Unknown,
        _ => Phase::Pending,
    }
}

fn gate(spec: Option<&core::PodSpec>, condition: Option<&core::PodCondition>) -> Gate {
    let gates = spec.and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
    if !gates.iter().any(|gate| gate.condition_type == INPLACE_UPDATE_READY) {
        return Gate::None;
    }
    match condition {
        Some(condition) if condition.status == "True" => Gate::Open,
        Some(condition) if condition.status == "False" => Gate::Closed {
            since: condition.last_transition_time.as_ref().map(|time| time.0),
            closing: condition.message.as_deref().and_then(crate::inplace::closing),
        },
        _ => Gate::Unset,
    }
}

/// What a kubelet says of a change of size: pending comes first, since it says why.
fn resize(
    pending: Option<&core::PodCondition>,
    in_progress: Option<&core::PodCondition>,
) -> Option<ResizeNews> {
    let holds = |condition: &&core::PodCondition| condition.status == "True";
    let message = |condition: &core::PodCondition| condition.message.clone().unwrap_or_default();
    if let Some(pending) = pending.filter(holds) {
        let state = match pending.reason.as_deref() {
            Some("Infeasible") => ResizeState::Infeasible,
            _ => ResizeState::Deferred,
        };
        return Some(ResizeNews { state, message: message(pending) });
    }
    let in_progress = in_progress.filter(holds)?;
    Some(ResizeNews { state: ResizeState::InProgress, message: message(in_progress) })
}

/// Tolerations without the two that the API server gives every pod, and gives back whenever they are missing.
fn tolerations(spec: Option<&core::PodSpec>) -> Vec<core::Toleration> {
    const GIVEN: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
    let all = spec.and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default().iter();
    let given = |toleration: &&core::Toleration| {
        toleration.toleration_seconds == Some(300)
            && toleration.key.as_deref().is_some_and(|key| GIVEN.contains(&key))
    };
    all.filter(|toleration| !given(toleration)).cloned().collect()
}

fn claims(spec: Option<&core::PodSpec>) -> Vec<(String, String)> {
    let volumes = spec.and_then(|spec| spec.volumes.as_deref()).unwrap_or_default().iter();
    let claim = |volume: &core::Volume| {
        let claim = volume.persistent_volume_claim.as_ref()?;
        Some((volume.name.clone(), claim.claim_name.clone()))
    };
    volumes.filter_map(claim).collect()
}

fn containers(spec: Option<&core::PodSpec>, status: Option<&core::PodStatus>) -> Vec<Container> {
    let Some(spec) = spec else { return Vec::new() };
    let sidecars = spec.init_containers.as_deref().unwrap_or_default().iter();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let read = |container: &core::Container, list: Option<&Vec<core::ContainerStatus>>, sidecar| {
        let status = list.and_then(|list| list.iter().find(|status| status.name == container.name));
        let size = Size::of(container.resources.as_ref());
        let real = status.and_then(|status| status.resources.as_ref());
        Container {
            name: container.name.clone(),
            sidecar,
            image: container.image.clone().unwrap_or_default(),
            pull_always: container.image_pull_policy.as_deref() == Some("Always"),
            size,
            sized: real.is_none_or(|real| Size::of(Some(real)).covers(&size)),
            status: status.map(container_status),
        }
    };
    let of_sidecars = status.and_then(|status| status.init_container_statuses.as_ref());
    let of_containers = status.and_then(|status| status.container_statuses.as_ref());
    let sidecars = sidecars.map(|container| read(container, of_sidecars, true));
    sidecars.chain(spec.containers.iter().map(|container| read(container, of_containers, false))).collect()
}

fn container_status(status: &core::ContainerStatus) -> ContainerStatus {
    let state = status.state.as_ref();
    let state = if let Some(running) = state.and_then(|state| state.running.as_ref()) {
        ContainerState::Running(Since(running.started_at.as_ref().map(|time| time.0)))
    } else if state.is_some_and(|state| state.terminated.is_some()) {
        ContainerState::Terminated
    } else {
        let waiting = state.and_then(|state| state.waiting.as_ref());
        ContainerState::Waiting {
            reason: waiting.and_then(|waiting| waiting.reason.clone()).unwrap_or_default(),
            message: waiting.and_then(|waiting| waiting.message.clone()).unwrap_or_default(),
        }
    };
    ContainerStatus {
        container_id: status.container_id.clone().filter(|id| !id.is_empty()),
        image: status.image.clone(),
        image_id: status.image_id.clone(),
        ready: status.ready,
        state,
    }
}
