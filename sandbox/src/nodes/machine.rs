//! One pod on its simulated node: pure, driven by the pod's spec and a time.
//!
//! What it reports, and when, follows what a real kubelet was seen to report: after an image change
//! the new generation is acknowledged at once while the old container is still listed, and some time
//! later one update shows the new container, its restart count and the old one as last state.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Container as ContainerSpec, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Timing, mix};

/// The part of a start after which containers run; readiness follows at its end.
const RUNNING_AT: f64 = 0.7;

/// A pod as its node knows it.
#[derive(Debug)]
pub struct Machine {
    uid: String,
    address: Ipv4Addr,
    host: Ipv4Addr,
    bound: Timestamp,
    run_at: Timestamp,
    ready_at: Timestamp,
    containers: BTreeMap<String, Container>,
}

/// A container of a pod that has started.
#[derive(Debug)]
struct Container {
    image: String,
    started: Timestamp,
    restarts: i32,
    last: Option<ContainerStateTerminated>,
    /// The image that will run next, and from when.
    change: Option<(String, Timestamp)>,
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
            address,
            host,
            bound: now,
            run_at: later(now, start.mul_f64(RUNNING_AT)),
            ready_at: later(now, start),
            containers: BTreeMap::new(),
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
        let all = status.container_statuses.iter().flatten().chain(init);
        for container in all {
            let running = container.state.as_ref().and_then(|state| state.running.as_ref());
            let Some(running) = running else { continue };
            self.containers.insert(
                container.name.clone(),
                Container {
                    image: container.image.clone(),
                    started: running.started_at.as_ref().map_or(now, |time| time.0),
                    restarts: container.restart_count,
                    last: container.last_state.as_ref().and_then(|last| last.terminated.clone()),
                    change: None,
                },
            );
        }
        if status.container_statuses.iter().flatten().all(|container| container.ready) {
            self.ready_at = now;
        }
    }

    /// Takes the pod's spec and the time into account and says what there is to report.
    pub fn observe(&mut self, pod: &Pod, timing: &Timing, now: Timestamp) -> Report {
        let specs = long_running(pod);
        if now >= self.run_at {
            for spec in &specs {
                self.run(pod, spec, timing, now);
            }
        }
        let changes = self.containers.values().filter_map(|container| container.change.as_ref());
        let next =
            changes.map(|(_, at)| *at).chain([self.run_at, self.ready_at]).filter(|at| *at > now).min();
        Report { status: self.status(pod, now), next }
    }

    /// Brings one container nearer to its spec.
    fn run(&mut self, pod: &Pod, spec: &ContainerSpec, timing: &Timing, now: Timestamp) {
        let wanted = spec.image.clone().unwrap_or_default();
        let Some(container) = self.containers.get_mut(&spec.name) else {
            let started = Container { image: wanted, started: now, restarts: 0, last: None, change: None };
            self.containers.insert(spec.name.clone(), started);
            return;
        };
        if container.image == wanted {
            // Changed there and back before the kubelet acted: nothing restarts.
            container.change = None;
            return;
        }
        if container.change.as_ref().is_none_or(|(image, _)| *image != wanted) {
            let count = container.restarts.to_string();
            let pause = timing
                .draw(&timing.restart, &["restart", namespace(pod), name(pod), &spec.name, &count, &wanted]);
            container.change = Some((wanted, later(now, pause)));
        }
        if let Some((image, at)) = container.change.take_if(|(_, at)| *at <= now) {
            let id = container_id(&self.uid, &spec.name, container.restarts);
            container.last = Some(ContainerStateTerminated {
                container_id: Some(id),
                exit_code: 0,
                finished_at: Some(stamp(at)),
                reason: Some("Completed".to_owned()),
                started_at: Some(stamp(container.started)),
                ..ContainerStateTerminated::default()
            });
            container.image = image;
            container.started = at;
            container.restarts += 1;
        }
    }

    fn status(&self, pod: &Pod, now: Timestamp) -> PodStatus {
        let spec = pod.spec.as_ref();
        let running = now >= self.run_at;
        let ready = now >= self.ready_at;
        let regular = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
        let container_statuses = regular.iter().map(|spec| self.container(spec, ready)).collect();
        let init_statuses: Vec<_> = init
            .iter()
            .map(|spec| if sidecar(spec) { self.container(spec, ready) } else { self.init(spec, running) })
            .collect();
        let gates = spec.and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
        let closed = gates.iter().find(|gate| condition(pod, &gate.condition_type) != Some("True"));
        let addresses = running.then(|| self.address.to_string());
        let mut conditions = Conditions { pod, now, list: Vec::new() };
        conditions.set("PodReadyToStartContainers", running, None);
        conditions.set("Initialized", running || init.is_empty(), Some("ContainersNotInitialized"));
        conditions.set("ContainersReady", ready, Some("ContainersNotReady"));
        let reason = if ready { "ReadinessGatesNotReady" } else { "ContainersNotReady" };
        conditions.set("Ready", ready && closed.is_none(), Some(reason));
        PodStatus {
            phase: Some(if running { "Running" } else { "Pending" }.to_owned()),
            conditions: Some(conditions.list),
            container_statuses: Some(container_statuses),
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

    fn container(&self, spec: &ContainerSpec, ready: bool) -> ContainerStatus {
        let image = spec.image.clone().unwrap_or_default();
        let Some(container) = self.containers.get(&spec.name) else {
            let reason = if sidecar(spec) { "PodInitializing" } else { "ContainerCreating" };
            return waiting(&spec.name, image, reason);
        };
        ContainerStatus {
            name: spec.name.clone(),
            image: container.image.clone(),
            image_id: image_id(&container.image),
            container_id: Some(container_id(&self.uid, &spec.name, container.restarts)),
            ready,
            started: Some(true),
            restart_count: container.restarts,
            state: Some(ContainerState {
                running: Some(ContainerStateRunning { started_at: Some(stamp(container.started)) }),
                ..ContainerState::default()
            }),
            last_state: Some(ContainerState {
                terminated: container.last.clone(),
                ..ContainerState::default()
            }),
            ..ContainerStatus::default()
        }
    }

    /// An init container that runs once and ends.
    fn init(&self, spec: &ContainerSpec, done: bool) -> ContainerStatus {
        let image = spec.image.clone().unwrap_or_default();
        if !done {
            return waiting(&spec.name, image, "PodInitializing");
        }
        let id = container_id(&self.uid, &spec.name, 0);
        ContainerStatus {
            name: spec.name.clone(),
            image_id: image_id(&image),
            image,
            container_id: Some(id.clone()),
            ready: true,
            started: Some(false),
            state: Some(ContainerState {
                terminated: Some(ContainerStateTerminated {
                    container_id: Some(id),
                    finished_at: Some(stamp(self.run_at)),
                    reason: Some("Completed".to_owned()),
                    started_at: Some(stamp(self.bound)),
                    ..ContainerStateTerminated::default()
                }),
                ..ContainerState::default()
            }),
            ..ContainerStatus::default()
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
        let previous = conditions(self.pod).find(|condition| condition.type_ == kind);
        let since = previous
            .filter(|condition| condition.status == status)
            .and_then(|condition| condition.last_transition_time.clone());
        self.list.push(PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: if holds { None } else { otherwise.map(str::to_owned) },
            last_transition_time: Some(since.unwrap_or_else(|| stamp(self.now))),
            observed_generation: self.pod.metadata.generation,
            ..PodCondition::default()
        });
    }
}

fn waiting(name: &str, image: String, reason: &str) -> ContainerStatus {
    ContainerStatus {
        name: name.to_owned(),
        image,
        started: Some(false),
        state: Some(ContainerState {
            waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message: None }),
            ..ContainerState::default()
        }),
        ..ContainerStatus::default()
    }
}

/// The containers that run as long as the pod does: the regular ones and native sidecars.
fn long_running(pod: &Pod) -> Vec<&ContainerSpec> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let sidecars = spec.init_containers.iter().flatten().filter(|container| sidecar(container));
    spec.containers.iter().chain(sidecars).collect()
}

fn sidecar(spec: &ContainerSpec) -> bool {
    spec.restart_policy.as_deref() == Some("Always")
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

/// A digest reference for an image name: each name is its own content.
fn image_id(image: &str) -> String {
    let repository = match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    };
    format!("{repository}@sha256:{}", digest(&["image", image]))
}

fn container_id(uid: &str, name: &str, restarts: i32) -> String {
    format!("containerd://{}", digest(&["container", uid, name, &restarts.to_string()]))
}

/// 64 hexadecimal digits that depend on every part.
fn digest(parts: &[&str]) -> String {
    let first = mix(parts);
    [0_u64, 1, 2, 3]
        .map(|lane| format!("{:016x}", first.wrapping_mul(2 * lane + 1).rotate_left(17 * lane as u32) ^ lane))
        .concat()
}

fn later(from: Timestamp, by: std::time::Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    from.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// A time as Kubernetes writes it: whole seconds.
fn stamp(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn timing() -> Timing {
        let millis = Duration::from_millis;
        Timing {
            start: millis(1000)..=millis(1000),
            restart: millis(500)..=millis(500),
            stop: millis(100)..=millis(100),
            seed: 1,
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap()
    }

    fn pod(generation: i64, images: [&str; 2], gate: Option<&str>) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p-0", "namespace": "games", "uid": "u", "generation": generation},
            "spec": {
                "readinessGates": [{"conditionType": "InPlaceUpdateReady"}],
                "initContainers": [{"name": "setup", "image": "setup:1"}],
                "containers": [{"name": "a", "image": images[0]}, {"name": "b", "image": images[1]}],
            },
            "status": {"conditions":
                gate.map(|status| json!([{"type": "InPlaceUpdateReady", "status": status}])).unwrap_or_default()},
        }))
        .unwrap()
    }

    fn machine(pod: &Pod) -> Machine {
        Machine::new(pod, Ipv4Addr::new(10, 64, 0, 2), Ipv4Addr::new(192, 168, 0, 10), &timing(), at(0))
    }

    fn ready(report: &Report) -> &str {
        let conditions = report.status.conditions.as_ref().unwrap();
        &conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().status
    }

    #[test]
    fn a_pod_is_created_then_runs_then_is_ready_when_its_gate_is_open() {
        let closed = pod(1, ["x:1", "y:1"], Some("False"));
        let mut machine = machine(&closed);
        let first = machine.observe(&closed, &timing(), at(0));
        assert_eq!(first.status.phase.as_deref(), Some("Pending"));
        assert_eq!(first.status.pod_ip, None);
        let running = machine.observe(&closed, &timing(), first.next.unwrap());
        assert_eq!(running.status.phase.as_deref(), Some("Running"));
        assert_eq!(running.status.pod_ip.as_deref(), Some("10.64.0.2"));
        assert!(!running.status.container_statuses.as_ref().unwrap()[0].ready);
        assert_eq!(running.next, Some(at(1000)));
        let gated = machine.observe(&closed, &timing(), at(1000));
        assert_eq!((ready(&gated), gated.next), ("False", None));
        let open = machine.observe(&pod(1, ["x:1", "y:1"], Some("True")), &timing(), at(1001));
        assert_eq!(ready(&open), "True");
    }

    #[test]
    fn an_image_change_restarts_that_container_and_nothing_else() {
        let before = pod(1, ["x:1", "y:1"], Some("True"));
        let mut machine = machine(&before);
        machine.observe(&before, &timing(), at(700));
        let old = machine.observe(&before, &timing(), at(1000)).status.container_statuses.unwrap();

        let after = pod(2, ["x:2", "y:1"], Some("True"));
        let acknowledged = machine.observe(&after, &timing(), at(2000));
        assert_eq!(acknowledged.status.observed_generation, Some(2));
        assert_eq!(acknowledged.status.container_statuses.as_ref().unwrap(), &old);
        assert_eq!(acknowledged.next, Some(at(2500)));
        assert_eq!(ready(&acknowledged), "True");

        let done = machine.observe(&after, &timing(), at(2500));
        let new = done.status.container_statuses.unwrap();
        assert_eq!(new[1], old[1]);
        assert_eq!((new[0].image.as_str(), new[0].restart_count), ("x:2", 1));
        assert_ne!(new[0].container_id, old[0].container_id);
        assert_ne!(new[0].image_id, old[0].image_id);
        let last = new[0].last_state.as_ref().unwrap().terminated.as_ref().unwrap();
        assert_eq!(last.container_id, old[0].container_id);
        assert_eq!(done.status.pod_ip.as_deref(), Some("10.64.0.2"));
    }

    #[test]
    fn a_change_there_and_back_before_the_kubelet_acts_restarts_nothing() {
        let before = pod(1, ["x:1", "y:1"], Some("True"));
        let mut machine = machine(&before);
        machine.observe(&before, &timing(), at(1000));
        machine.observe(&pod(2, ["x:2", "y:1"], Some("True")), &timing(), at(2000));
        machine.observe(&pod(3, ["x:1", "y:1"], Some("True")), &timing(), at(2100));
        let report = machine.observe(&pod(3, ["x:1", "y:1"], Some("True")), &timing(), at(9000));
        assert_eq!(report.status.container_statuses.unwrap()[0].restart_count, 0);
    }

    #[test]
    fn a_machine_made_for_a_running_pod_goes_on_from_its_status() {
        let mut found = pod(1, ["x:1", "y:1"], Some("True"));
        let mut machine = machine(&found);
        machine.observe(&found, &timing(), at(700));
        let status = machine.observe(&found, &timing(), at(1000)).status;
        found.status = Some(status.clone());
        let address = Ipv4Addr::new(10, 64, 0, 2);
        let mut resumed =
            Machine::new(&found, address, Ipv4Addr::new(192, 168, 0, 10), &timing(), at(60_000));
        let report = resumed.observe(&found, &timing(), at(60_000));
        assert_eq!(report.status.container_statuses, status.container_statuses);
        assert_eq!(report.status.start_time, status.start_time);
    }
}
