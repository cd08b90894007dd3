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

fn room(cpu: i128) -> Room {
    let allocatable = Amounts { cpu: cpu * 1_000_000_000, memory: i128::MAX / 4 };
    Room { allocatable, others: Amounts::default() }
}

fn look(machine: &mut Machine, pod: &Pod, now: Timestamp) -> Report {
    machine.observe(pod, &mut Host::default(), room(64), &timing(), now)
}

fn ready(report: &Report) -> &str {
    let conditions = report.status.conditions.as_ref().unwrap();
    &conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().status
}

#[test]
fn a_pod_is_created_then_runs_then_is_ready_when_its_gate_is_open() {
    let closed = pod(1, ["x:1", "y:1"], Some("False"));
    let mut machine = machine(&closed);
    let first = look(&mut machine, &closed, at(0));
    assert_eq!(first.status.phase.as_deref(), Some("Pending"));
    assert_eq!(first.status.pod_ip, None);
    let running = look(&mut machine, &closed, first.next.unwrap());
    assert_eq!(running.status.phase.as_deref(), Some("Running"));
    assert_eq!(running.status.pod_ip.as_deref(), Some("10.64.0.2"));
    assert!(!running.status.container_statuses.as_ref().unwrap()[0].ready);
    assert_eq!(running.next, Some(at(1000)));
    let gated = look(&mut machine, &closed, at(1000));
    assert_eq!((ready(&gated), gated.next), ("False", None));
    let open = look(&mut machine, &pod(1, ["x:1", "y:1"], Some("True")), at(1001));
    assert_eq!(ready(&open), "True");
}

#[test]
fn an_image_change_restarts_that_container_and_nothing_else() {
    let before = pod(1, ["x:1", "y:1"], Some("True"));
    let mut machine = machine(&before);
    look(&mut machine, &before, at(700));
    let old = look(&mut machine, &before, at(1000)).status.container_statuses.unwrap();

    let after = pod(2, ["x:2", "y:1"], Some("True"));
    let acknowledged = look(&mut machine, &after, at(2000));
    assert_eq!(acknowledged.status.observed_generation, Some(2));
    assert_eq!(acknowledged.status.container_statuses.as_ref().unwrap(), &old);
    assert_eq!(acknowledged.next, Some(at(2500)));
    assert_eq!(ready(&acknowledged), "True");

    let done = look(&mut machine, &after, at(2500));
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
    look(&mut machine, &before, at(1000));
    look(&mut machine, &pod(2, ["x:2", "y:1"], Some("True")), at(2000));
    look(&mut machine, &pod(3, ["x:1", "y:1"], Some("True")), at(2100));
    let report = look(&mut machine, &pod(3, ["x:1", "y:1"], Some("True")), at(9000));
    assert_eq!(report.status.container_statuses.unwrap()[0].restart_count, 0);
}

#[test]
fn a_machine_made_for_a_running_pod_goes_on_from_its_status() {
    let mut found = pod(1, ["x:1", "y:1"], Some("True"));
    let mut machine = machine(&found);
    look(&mut machine, &found, at(700));
    let status = look(&mut machine, &found, at(1000)).status;
    found.status = Some(status.clone());
    let address = Ipv4Addr::new(10, 64, 0, 2);
    let mut resumed = Machine::new(&found, address, Ipv4Addr::new(192, 168, 0, 10), &timing(), at(60_000));
    let report = look(&mut resumed, &found, at(60_000));
    assert_eq!(report.status.container_statuses, status.container_statuses);
    assert_eq!(report.status.start_time, status.start_time);
}

fn container(report: &Report, index: usize) -> ContainerStatus {
    report.status.container_statuses.as_ref().unwrap()[index].clone()
}

fn waits(status: &ContainerStatus) -> &str {
    let waiting = status.state.as_ref().unwrap().waiting.as_ref();
    waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default()
}

fn running(images: [&str; 2]) -> (Machine, Pod) {
    let pod = pod(1, images, Some("True"));
    let mut machine = machine(&pod);
    look(&mut machine, &pod, at(700));
    look(&mut machine, &pod, at(1000));
    (machine, pod)
}

fn goes_on(machine: &mut Machine, pod: &Pod, from: i64, to: i64) -> Report {
    let mut report = look(machine, pod, at(from));
    while let Some(next) = report.next.filter(|next| *next <= at(to)) {
        report = look(machine, pod, next);
    }
    look(machine, pod, at(to))
}

#[test]
fn an_image_that_does_not_exist_costs_the_old_container_when_the_pull_fails() {
    let (mut machine, _) = running(["x:1", "y:1"]);
    let broken = pod(2, ["x:missing", "y:1"], Some("True"));
    let acknowledged = look(&mut machine, &broken, at(2000));
    assert_eq!(acknowledged.status.observed_generation, Some(2));
    assert_eq!((ready(&acknowledged), container(&acknowledged, 0).restart_count), ("True", 0));
    let failed = look(&mut machine, &broken, at(2500));
    let status = container(&failed, 0);
    assert_eq!((waits(&status), status.restart_count, ready(&failed)), ("ErrImagePull", 0, "False"));
    assert!(status.last_state.unwrap().terminated.is_some());
    assert!(container(&failed, 1).ready, "the other container goes on");
    assert_eq!(failed.status.phase.as_deref(), Some("Running"));
    assert_eq!(waits(&container(&goes_on(&mut machine, &broken, 2500, 6000), 0)), "ImagePullBackOff");
    assert_eq!(waits(&container(&goes_on(&mut machine, &broken, 6000, 12_600), 0)), "ErrImagePull");
    let mended = goes_on(&mut machine, &pod(3, ["x:2", "y:1"], Some("True")), 20_000, 21_000);
    let status = container(&mended, 0);
    assert_eq!((status.image.as_str(), status.restart_count, ready(&mended)), ("x:2", 1, "True"));
}

#[test]
fn a_slow_pull_leaves_the_old_container_and_is_done_once_per_node() {
    let (mut machine, _) = running(["x:1", "y:1"]);
    let slow = pod(2, ["x:slow-20s", "y:1"], Some("True"));
    let mut host = Host::default();
    let see = |machine: &mut Machine, host: &mut Host, millis| {
        machine.observe(&slow, host, room(64), &timing(), at(millis))
    };
    see(&mut machine, &mut host, 2000);
    let meanwhile = see(&mut machine, &mut host, 20_000);
    assert_eq!((container(&meanwhile, 0).image.as_str(), ready(&meanwhile)), ("x:1", "True"));
    assert_eq!(meanwhile.next, Some(at(22_500)));
    assert_eq!(container(&see(&mut machine, &mut host, 22_500), 0).image, "x:slow-20s");
    let mut second = super::Machine::new(
        &slow,
        Ipv4Addr::new(10, 64, 0, 3),
        Ipv4Addr::new(192, 168, 0, 10),
        &timing(),
        at(30_000),
    );
    see(&mut second, &mut host, 30_700);
    assert_eq!(see(&mut second, &mut host, 31_000).status.phase.as_deref(), Some("Running"));
}

#[test]
fn a_crashing_image_backs_off_and_the_rest_of_the_pod_goes_on() {
    let (mut machine, _) = running(["x:1", "y:1"]);
    let broken = pod(2, ["x:crash", "y:1"], Some("True"));
    let crashed = goes_on(&mut machine, &broken, 2000, 3000);
    let status = container(&crashed, 0);
    assert_eq!((waits(&status), status.restart_count, ready(&crashed)), ("CrashLoopBackOff", 1, "False"));
    assert_eq!(status.last_state.unwrap().terminated.unwrap().exit_code, 1);
    assert!(container(&crashed, 1).ready);
    assert_eq!(container(&goes_on(&mut machine, &broken, 3000, 13_000), 0).restart_count, 2);
    let unready = goes_on(&mut machine, &pod(3, ["x:unready", "y:1"], Some("True")), 14_000, 15_000);
    assert!(container(&unready, 0).state.unwrap().running.is_some());
    assert_eq!(ready(&unready), "False");
}

#[test]
fn a_pod_that_only_pulls_ends_once_its_image_is_there() {
    let prove = |image: &str, deadline: Option<i64>| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "prove", "namespace": "games", "uid": "u", "generation": 1},
            "spec": {"nodeName": "n", "restartPolicy": "Never", "activeDeadlineSeconds": deadline,
                "containers": [{"name": "a", "image": image, "command": ["/nonexistent/command"]}]},
        }))
        .unwrap()
    };
    let good = prove("x:2", None);
    let ended = goes_on(&mut machine(&good), &good, 0, 2000);
    let status = container(&ended, 0);
    let terminated = status.state.unwrap().terminated.unwrap();
    assert_eq!((terminated.exit_code, terminated.reason.as_deref()), (128, Some("StartError")));
    assert!(status.image_id.contains("@sha256:"));
    assert_eq!((ended.status.phase.as_deref(), ended.next), (Some("Failed"), None));

    let bad = prove("x:missing", Some(20));
    let mut machine = machine(&bad);
    let waiting = goes_on(&mut machine, &bad, 0, 2000);
    let status = container(&waiting, 0);
    assert_eq!((waits(&status), status.image_id.as_str()), ("ErrImagePull", ""));
    assert_eq!(waiting.status.phase.as_deref(), Some("Pending"));
    let over = goes_on(&mut machine, &bad, 2000, 21_000);
    assert_eq!(over.status.phase.as_deref(), Some("Failed"));
    assert_eq!(over.status.reason.as_deref(), Some("DeadlineExceeded"));
    let status = container(&over, 0);
    assert_eq!((status.image_id.as_str(), status.container_id), ("", None), "it never had its image");
}

#[test]
fn a_sidecar_comes_first_and_is_replaced_alone() {
    let with_sidecar = |generation: i64, image: &str| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "games", "uid": "u", "generation": generation},
            "spec": {"initContainers": [{"name": "net", "image": image, "restartPolicy": "Always"}],
                "containers": [{"name": "a", "image": "x:1"}]},
        }))
        .unwrap()
    };
    let broken = with_sidecar(1, "net:missing");
    let mut machine = machine(&broken);
    let stuck = goes_on(&mut machine, &broken, 0, 2000);
    assert_eq!(waits(&stuck.status.init_container_statuses.as_ref().unwrap()[0]), "ErrImagePull");
    assert_eq!(waits(&container(&stuck, 0)), "ContainerCreating");
    let started = goes_on(&mut machine, &with_sidecar(2, "net:1"), 3000, 4000);
    assert_eq!(ready(&started), "True");
    let before = container(&started, 0);
    let replaced = goes_on(&mut machine, &with_sidecar(3, "net:2"), 5000, 6000);
    assert_eq!(replaced.status.init_container_statuses.as_ref().unwrap()[0].restart_count, 1);
    assert_eq!(container(&replaced, 0), before);
}

fn sized(generation: i64, cpu: &str, policy: &str) -> Pod {
    let resources = json!({"requests": {"cpu": cpu}});
    let policy = json!([{"resourceName": "cpu", "restartPolicy": policy}]);
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "games", "uid": "u", "generation": generation},
        "spec": {"containers": [{"name": "a", "image": "x:1", "resources": resources, "resizePolicy": policy}]},
    }))
    .unwrap()
}

fn said<'a>(report: &'a Report, kind: &str) -> Option<&'a PodCondition> {
    report.status.conditions.as_ref().unwrap().iter().find(|condition| condition.type_ == kind)
}

fn cpu(report: &Report) -> (String, String) {
    let status = container(report, 0);
    let actual = status.resources.unwrap().requests.unwrap()["cpu"].0.clone();
    (status.allocated_resources.unwrap()["cpu"].0.clone(), actual)
}

#[test]
fn a_resize_is_granted_then_there_and_restarts_nothing() {
    let mut machine = machine(&sized(1, "1", "NotRequired"));
    let before = goes_on(&mut machine, &sized(1, "1", "NotRequired"), 0, 1000);
    assert_eq!(cpu(&before), ("1".into(), "1".into()));
    let granted = look(&mut machine, &sized(2, "2", "NotRequired"), at(2000));
    assert_eq!(cpu(&granted), ("2".into(), "1".into()));
    assert_eq!(said(&granted, "PodResizeInProgress").unwrap().status, "True");
    let done = look(&mut machine, &sized(2, "2", "NotRequired"), at(2500));
    assert_eq!(cpu(&done), ("2".into(), "2".into()));
    assert!(said(&done, "PodResizeInProgress").is_none());
    assert_eq!((container(&done, 0).restart_count, ready(&done)), (0, "True"));
    let restarted = goes_on(&mut machine, &sized(3, "3", "RestartContainer"), 3000, 4000);
    assert_eq!((container(&restarted, 0).restart_count, cpu(&restarted).1.as_str()), (1, "3"));
}

#[test]
fn a_resize_without_room_waits_and_one_larger_than_the_node_never_comes() {
    let mut machine = machine(&sized(1, "1", "NotRequired"));
    goes_on(&mut machine, &sized(1, "1", "NotRequired"), 0, 1000);
    let mut see = |generation, cpu: &str, others: i128, millis| {
        let others = Amounts { cpu: others * 1_000_000_000, memory: 0 };
        let room = Room { others, ..room(4) };
        machine.observe(
            &sized(generation, cpu, "NotRequired"),
            &mut Host::default(),
            room,
            &timing(),
            at(millis),
        )
    };
    let deferred = see(2, "3", 2, 2000);
    let pending = said(&deferred, "PodResizePending").unwrap();
    assert_eq!(pending.reason.as_deref(), Some("Deferred"));
    assert_eq!(
        pending.message.as_deref(),
        Some("Node didn't have enough resource: cpu, requested: 3000, used: 2000, capacity: 4000")
    );
    assert_eq!((cpu(&deferred), deferred.next), (("1".into(), "1".into()), Some(at(7000))));
    let infeasible = see(3, "5", 0, 3000);
    assert_eq!(said(&infeasible, "PodResizePending").unwrap().reason.as_deref(), Some("Infeasible"));
    let granted = see(4, "3", 1, 8000);
    assert!(said(&granted, "PodResizePending").is_none());
    assert_eq!(cpu(&granted).0, "3");
}
