//! One pod on its simulated node: pure, driven by the pod's spec and a time.
//!
//! What it reports, and when, follows what a real kubelet was seen to report: after an image change
//! the new generation is acknowledged at once while the old container is still listed, and some time
//! later one update shows the new container, its restart count and the old one as last state.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container as ContainerSpec, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};

use super::container::{self, Container, Wanted};
use super::resize::{self, Amounts, Pending, Room, Sizes};
use super::{Host, Timing, later, stamp};

/// The part of a start after which containers run; readiness follows at its end.
const RUNNING_AT: f64 = 0.7;

/// Conditions that are there only while they hold.
pub const PASSING: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];

/// A pod as its node knows it.
#[derive(Debug)]
pub struct Machine {
    uid: String,
    node: String,
    address: Ipv4Addr,
    host: Ipv4Addr,
    bound: Timestamp,
    run_at: Timestamp,
    ready_at: Timestamp,
    containers: BTreeMap<String, Container>,
    sizes: Sizes,
    /// It ran for longer than it may.
    expired: bool,
}

/// What the node has to say about a pod now, and when it may have more to say.
#[derive(Debug)]
pub struct Report {
    /// The status; conditions that the node does not own are absent.
    pub status: PodStatus,
    /// When to look again, if nothing else happens.
    pub next: Option<Timestamp>,
}

// === impl Machine ===

impl Machine {
    /// A pod that was just bound to a node, or one found bound when the node's simulation started: it
    /// then goes on from its status.
    pub fn new(pod: &Pod, address: Ipv4Addr, host: Ipv4Addr, timing: &Timing, now: Timestamp) -> Self {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let start = timing.draw(&timing.start, &["start", namespace(pod), name(pod), &uid]);
        let mut machine = Self {
            uid,
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            address,
            host,
            bound: now,
            run_at: later(now, start.mul_f64(RUNNING_AT)),
            ready_at: later(now, start),
            containers: BTreeMap::new(),
            sizes: Sizes::new(pod),
            expired: false,
        };
        machine.resume(pod, now);
        machine
    }

    fn resume(&mut self, pod: &Pod, now: Timestamp) {
        let Some(status) = &pod.status else { return };
        if status.phase.as_deref() != Some("Running") {
            return;
        }
        self.bound = status.start_time.as_ref().map_or(now, |time| time.0);
        self.run_at = self.bound;
        let init = status.init_container_statuses.iter().flatten();
        for container in status.container_statuses.iter().flatten().chain(init) {
            let running = container.state.as_ref().and_then(|state| state.running.as_ref());
            let Some(running) = running else { continue };
            let started = running.started_at.as_ref().map_or(now, |time| time.0);
            self.containers.insert(container.name.clone(), Container::found(&self.uid, container, started));
        }
        if status.container_statuses.iter().flatten().all(|container| container.ready) {
            self.ready_at = now;
        }
    }

    /// The name of its node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// What the pod holds of its node.
    pub fn held(&self) -> Amounts {
        self.sizes.held()
    }

    /// Whether the pod asks for other amounts than it holds.
    pub fn resizes(&self, pod: &Pod) -> bool {
        self.sizes.differ(pod)
    }

    /// Takes the pod's spec and the time into account and says what there is to report.
    pub fn observe(
        &mut self,
        pod: &Pod,
        host: &mut Host,
        room: Room,
        timing: &Timing,
        now: Timestamp,
    ) -> Report {
        let mut next: Vec<Timestamp> = [self.run_at, self.ready_at].into();
        if now >= self.run_at && !self.expired {
            next.extend(self.run(pod, host, timing, now));
            let resized =
                timing.draw(&timing.restart, &["resize", namespace(pod), name(pod), &generation(pod)]);
            for restarted in self.sizes.advance(pod, room, resized, now) {
                if let Some(container) = self.containers.get_mut(&restarted) {
                    container.restart(now);
                }
            }
            next.extend(self.sizes.next(now));
        }
        next.extend(self.expire(pod, now));
        let next = next.into_iter().filter(|at| *at > now).min();
        Report { status: self.status(pod, now), next }
    }

    /// Brings the containers nearer to their specs: init containers one after the other, then all others.
    fn run(&mut self, pod: &Pod, host: &mut Host, timing: &Timing, now: Timestamp) -> Vec<Timestamp> {
        let Some(spec) = &pod.spec else { return Vec::new() };
        let restarts = spec.restart_policy.as_deref() != Some("Never");
        let mut next = Vec::new();
        for container in spec.init_containers.iter().flatten() {
            let once = !resize::is_sidecar(container);
            // A pod that was found running has its init containers behind it.
            if once && self.has_main(pod) {
                continue;
            }
            next.extend(self.advance(pod, container, (once, true), host, timing, now));
            if !self.containers.get(&container.name).is_some_and(|it| it.runs() || it.exit_code() == Some(0))
            {
                return next;
            }
        }
        for container in &spec.containers {
            next.extend(self.advance(pod, container, (false, restarts), host, timing, now));
        }
        next
    }

    fn has_main(&self, pod: &Pod) -> bool {
        let mut main = pod.spec.iter().flat_map(|spec| &spec.containers);
        main.any(|container| self.containers.contains_key(&container.name))
    }

    fn advance(
        &mut self,
        pod: &Pod,
        spec: &ContainerSpec,
        (once, restarts): (bool, bool),
        host: &mut Host,
        timing: &Timing,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let image = spec.image.clone().unwrap_or_default();
        let change = timing.draw(
            &timing.restart,
            &["restart", namespace(pod), name(pod), &spec.name, &generation(pod), &image],
        );
        let wanted = Wanted { spec, once, restarts, change };
        let (uid, run_at) = (&self.uid, self.run_at);
        let container = self
            .containers
            .entry(spec.name.clone())
            .or_insert_with(|| Container::new(uid, &wanted, host, run_at));
        container.advance(&wanted, host, now)
    }

    /// Ends a pod that has run for as long as it may; otherwise says when that will be.
    fn expire(&mut self, pod: &Pod, now: Timestamp) -> Option<Timestamp> {
        let seconds = pod.spec.as_ref()?.active_deadline_seconds?;
        let at = later(self.bound, Duration::from_secs(u64::try_from(seconds).unwrap_or_default()));
        if at > now {
            return Some(at);
        }
        if !self.expired && self.exit_codes(pod).iter().any(Option::is_none) {
            self.expired = true;
            for container in self.containers.values_mut() {
                container.kill(at);
            }
        }
        None
    }

    /// With what each of the pod's regular containers ended.
    fn exit_codes(&self, pod: &Pod) -> Vec<Option<i32>> {
        let main = pod.spec.iter().flat_map(|spec| &spec.containers);
        main.map(|spec| self.containers.get(&spec.name).and_then(Container::exit_code)).collect()
    }

    fn phase(&self, pod: &Pod, now: Timestamp) -> &'static str {
        let codes = self.exit_codes(pod);
        if self.expired {
            return "Failed";
        }
        if !codes.is_empty() && codes.iter().all(Option::is_some) {
            return if codes.iter().all(|code| *code == Some(0)) { "Succeeded" } else { "Failed" };
        }
        let main = pod.spec.iter().flat_map(|spec| &spec.containers);
        let started =
            main.into_iter().all(|spec| self.containers.get(&spec.name).is_some_and(Container::was_started));
        if now >= self.run_at && started { "Running" } else { "Pending" }
    }

    fn status(&self, pod: &Pod, now: Timestamp) -> PodStatus {
        let spec = pod.spec.as_ref();
        let phase = self.phase(pod, now);
        let ended = matches!(phase, "Succeeded" | "Failed");
        let made = now >= self.run_at;
        let regular = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
        let timely = now >= self.ready_at;
        let initialized = init.is_empty() || self.has_main(pod);
        let statuses: Vec<_> = regular.iter().map(|spec| self.container(spec, false, timely, now)).collect();
        let init_statuses: Vec<_> =
            init.iter().map(|spec| self.container(spec, !resize::is_sidecar(spec), timely, now)).collect();
        let sidecars = init_statuses.iter().zip(init).filter(|(_, spec)| resize::is_sidecar(spec));
        let ready = !ended
            && made
            && statuses.iter().chain(sidecars.map(|(status, _)| status)).all(|container| container.ready);
        let gates = spec.and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
        let closed = gates.iter().find(|gate| condition(pod, &gate.condition_type) != Some("True"));
        let addresses = made.then(|| self.address.to_string());
        let mut conditions = Conditions { pod, now, list: Vec::new() };
        let unready = match phase {
            "Succeeded" => "PodCompleted",
            "Failed" => "PodFailed",
            _ => "ContainersNotReady",
        };
        conditions.set("PodReadyToStartContainers", made && !ended, None);
        conditions.set("Initialized", initialized, Some("ContainersNotInitialized"));
        conditions.set("ContainersReady", ready, Some(unready));
        conditions.set(
            "Ready",
            ready && closed.is_none(),
            Some(if ready { "ReadinessGatesNotReady" } else { unready }),
        );
        conditions.resize(self.sizes.pending.as_ref(), self.sizes.in_progress());
        PodStatus {
            phase: Some(phase.to_owned()),
            reason: self.expired.then(|| "DeadlineExceeded".to_owned()),
            message: self
                .expired
                .then(|| "Pod was active on the node longer than the specified deadline".to_owned()),
            conditions: Some(conditions.list),
            container_statuses: Some(statuses),
            init_container_statuses: (!init_statuses.is_empty()).then_some(init_statuses),
            host_ip: Some(self.host.to_string()),
            host_ips: Some(vec![HostIP { ip: self.host.to_string() }]),
            pod_ips: addresses.clone().map(|ip| vec![PodIP { ip }]),
            pod_ip: addresses,
            start_time: Some(stamp(self.bound)),
            observed_generation: pod.metadata.generation,
            ..PodStatus::default()
        }
    }

    fn container(&self, spec: &ContainerSpec, once: bool, timely: bool, now: Timestamp) -> ContainerStatus {
        let Some(container) = self.containers.get(&spec.name) else {
            let image = spec.image.clone().unwrap_or_default();
            let waits = once || resize::is_sidecar(spec);
            let reason = if waits { "PodInitializing" } else { "ContainerCreating" };
            return container::waiting(&spec.name, image, reason);
        };
        let status = container.status(timely, once, now);
        match self.sizes.of(&spec.name) {
            Some((allocated, actual)) if container.runs() => {
                container::with_resources(status, allocated, actual)
            }
            _ => status,
        }
    }
}

/// Collects conditions; a transition time stays as long as the status does.
struct Conditions<'a> {
    pod: &'a Pod,
    now: Timestamp,
    list: Vec<PodCondition>,
}

impl Conditions<'_> {
    fn set(&mut self, kind: &str, holds: bool, otherwise: Option<&str>) {
        let status = if holds { "True" } else { "False" };
        let reason = if holds { None } else { otherwise.map(str::to_owned) };
        self.push(kind, status, reason, None);
    }

    /// What is said of a resize, while there is something to say.
    fn resize(&mut self, pending: Option<&Pending>, in_progress: bool) {
        let [waits, goes_on] = PASSING;
        if let Some(Pending { reason, message }) = pending {
            self.push(waits, "True", Some((*reason).to_owned()), Some(message.clone()));
        }
        if in_progress {
            self.push(goes_on, "True", None, None);
        }
    }

    fn push(&mut self, kind: &str, status: &str, reason: Option<String>, message: Option<String>) {
        let previous = conditions(self.pod).find(|condition| condition.type_ == kind);
        let since = previous
            .filter(|condition| condition.status == status)
            .and_then(|condition| condition.last_transition_time.clone());
        self.list.push(PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason,
            message,
            last_transition_time: Some(since.unwrap_or_else(|| stamp(self.now))),
            observed_generation: self.pod.metadata.generation,
            ..PodCondition::default()
        });
    }
}

fn conditions(pod: &Pod) -> impl Iterator<Item = &PodCondition> {
    pod.status.iter().flat_map(|status| status.conditions.iter().flatten())
}

/// The status of one of the pod's conditions.
fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a str> {
    conditions(pod).find(|condition| condition.type_ == kind).map(|condition| condition.status.as_str())
}

fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn generation(pod: &Pod) -> String {
    pod.metadata.generation.unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests;
