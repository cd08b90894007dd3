//! The amounts of a pod's containers on their node, and their change in place; pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as ContainerSpec, ContainerStatus, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use muster_apiserver::builtin::quantity;

use super::later;

/// When a resize that found no room is tried again, if nobody makes room before.
const DEFERRED_PAUSE: Duration = Duration::from_secs(5);

/// Cpu and memory, each in billionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Of a core.
    pub cpu: i128,
    /// Of a byte.
    pub memory: i128,
}

/// What a node has for its pods.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// What all of them may ask for together.
    pub allocatable: Amounts,
    /// What the others ask for.
    pub others: Amounts,
}

/// Why a resize waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The amounts of one pod's containers.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// What the node has granted.
    allocated: BTreeMap<String, ResourceRequirements>,
    /// What the containers have.
    actual: BTreeMap<String, ResourceRequirements>,
    /// When what was granted is there.
    change: Option<Timestamp>,
    pub(super) pending: Option<Pending>,
}

// === impl Amounts ===

impl Amounts {
    /// The cpu and memory of a list of amounts.
    pub fn of(list: Option<&BTreeMap<String, Quantity>>) -> Self {
        let amount = |name: &str| {
            let text = list.and_then(|list| list.get(name)).map(|amount| amount.0.clone());
            text.and_then(|text| quantity(&text.into())).unwrap_or_default()
        };
        Self { cpu: amount("cpu"), memory: amount("memory") }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { cpu: self.cpu.saturating_add(other.cpu), memory: self.memory.saturating_add(other.memory) }
    }

    /// Both, without the other.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(other.cpu), memory: self.memory.saturating_sub(other.memory) }
    }

    /// The first that does not fit into a limit, with how much of it there is and may be.
    pub fn exceeds(self, limit: Self) -> Option<(&'static str, i128, i128)> {
        if self.cpu > limit.cpu {
            return Some(("cpu", self.cpu, limit.cpu));
        }
        (self.memory > limit.memory).then_some(("memory", self.memory, limit.memory))
    }

    /// What a pod asks for: its containers and sidecars together.
    pub fn requested(pod: &Pod) -> Self {
        let requests = long_running(pod)
            .map(|spec| Self::of(spec.resources.as_ref().and_then(|resources| resources.requests.as_ref())));
        requests.fold(Self::default(), Self::and)
    }
}

// === impl Sizes ===

impl Sizes {
    /// A pod that its node has just taken, or found: that has what its status says.
    pub(super) fn new(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let reported = status.into_iter().flat_map(|status| {
            let init = status.init_container_statuses.iter().flatten();
            status.container_statuses.iter().flatten().chain(init)
        });
        let reported: BTreeMap<&str, &ContainerStatus> =
            reported.map(|status| (status.name.as_str(), status)).collect();
        let sizes = long_running(pod).map(|spec| {
            let reported = reported.get(spec.name.as_str()).and_then(|status| status.resources.clone());
            (spec.name.clone(), reported.unwrap_or_else(|| spec.resources.clone().unwrap_or_default()))
        });
        let allocated: BTreeMap<_, _> = sizes.collect();
        Self { actual: allocated.clone(), allocated, change: None, pending: None }
    }

    /// Whether the pod asks for other amounts than it was granted.
    pub(super) fn differ(&self, pod: &Pod) -> bool {
        self.allocated != desired(pod)
    }

    /// What the pod holds of its node.
    pub(super) fn held(&self) -> Amounts {
        let requests = self.allocated.values().map(|resources| Amounts::of(resources.requests.as_ref()));
        requests.fold(Amounts::default(), Amounts::and)
    }

    /// Whether granted amounts are on their way to the containers.
    pub(super) fn in_progress(&self) -> bool {
        self.change.is_some()
    }

    /// Grants and applies what can be by now. Answers with the containers that restart for it.
    pub(super) fn advance(&mut self, pod: &Pod, room: Room, takes: Duration, now: Timestamp) -> Vec<String> {
        self.pending = None;
        if self.differ(pod) {
            match fits(Amounts::requested(pod), room) {
                Ok(()) => {
                    self.allocated = desired(pod);
                    self.change = Some(later(now, takes));
                }
                Err(pending) => self.pending = Some(pending),
            }
        }
        if self.change.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.change = None;
        let restarted = long_running(pod).filter(|spec| self.restarts(spec)).map(|spec| spec.name.clone());
        let restarted = restarted.collect();
        self.actual = self.allocated.clone();
        restarted
    }

    /// When to look again.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let deferred = self.pending.as_ref().filter(|pending| pending.reason == "Deferred");
        self.change.into_iter().chain(deferred.map(|_| later(now, DEFERRED_PAUSE))).min()
    }

    /// Whether a container restarts for what changes of it.
    fn restarts(&self, spec: &ContainerSpec) -> bool {
        let amounts = |sizes: &BTreeMap<String, ResourceRequirements>, resource: &str| {
            let resources = sizes.get(&spec.name);
            let of =
                |list: Option<&BTreeMap<String, Quantity>>| list.and_then(|list| list.get(resource)).cloned();
            resources.map(|resources| (of(resources.requests.as_ref()), of(resources.limits.as_ref())))
        };
        spec.resize_policy.iter().flatten().any(|policy| {
            policy.restart_policy == "RestartContainer"
                && amounts(&self.allocated, &policy.resource_name)
                    != amounts(&self.actual, &policy.resource_name)
        })
    }

    /// What was granted to a container, and what it has.
    pub(super) fn of(&self, name: &str) -> Option<(&ResourceRequirements, &ResourceRequirements)> {
        Some((self.allocated.get(name)?, self.actual.get(name)?))
    }
}

/// Whether a pod of this size has room, in the words of a kubelet.
fn fits(wanted: Amounts, room: Room) -> Result<(), Pending> {
    let shown = |resource: &str, amount: i128| {
        // Cpu is told in thousandths, memory in bytes.
        amount / if resource == "cpu" { 1_000_000 } else { 1_000_000_000 }
    };
    if let Some((resource, asked, limit)) = wanted.exceeds(room.allocatable) {
        return Err(Pending {
            reason: "Infeasible",
            message: format!(
                "Node didn't have enough capacity: {resource}, requested: {}, capacity: {}",
                shown(resource, asked),
                shown(resource, limit)
            ),
        });
    }
    if let Some((resource, _, limit)) = wanted.and(room.others).exceeds(room.allocatable) {
        let (asked, used) = match resource {
            "cpu" => (wanted.cpu, room.others.cpu),
            _ => (wanted.memory, room.others.memory),
        };
        return Err(Pending {
            reason: "Deferred",
            message: format!(
                "Node didn't have enough resource: {resource}, requested: {}, used: {}, capacity: {}",
                shown(resource, asked),
                shown(resource, used),
                shown(resource, limit)
            ),
        });
    }
    Ok(())
}

fn desired(pod: &Pod) -> BTreeMap<String, ResourceRequirements> {
    long_running(pod).map(|spec| (spec.name.clone(), spec.resources.clone().unwrap_or_default())).collect()
}

/// The containers that run as long as the pod does: the regular ones and native sidecars.
pub(super) fn long_running(pod: &Pod) -> impl Iterator<Item = &ContainerSpec> {
    let specs = pod.spec.iter().flat_map(|spec| {
        let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
        spec.containers.iter().chain(sidecars)
    });
    specs.into_iter()
}

pub(super) fn is_sidecar(spec: &ContainerSpec) -> bool {
    spec.restart_policy.as_deref() == Some("Always")
}
