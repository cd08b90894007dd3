//! The row of a pod, with the logic of `kubectl get pods`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{age, human_duration, integer, list, text, text_or};

pub(super) const COLUMNS: &[(&str, &str, i64)] = &[
    ("Name", "", 0),
    ("Ready", "The aggregate readiness state of this pod for accepting traffic.", 0),
    ("Status", "The aggregate status of the containers in this pod.", 0),
    ("Restarts", "How often the containers in this pod have been restarted, and when that was last.", 0),
    ("Age", super::AGE, 0),
    ("IP", "The address of the pod, reachable within the cluster.", 1),
    ("Node", "The node the pod is bound to.", 1),
    ("Nominated Node", "The node that preemption makes room on for this pod.", 1),
    ("Readiness Gates", "Conditions beside the containers' that make the pod ready.", 1),
];

/// What the containers add up to.
struct Summary {
    reason: String,
    restarts: i64,
    last_restart: Option<Timestamp>,
    ready: usize,
    total: usize,
}

pub(super) fn row(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summary(pod);
    let restarts = match summary.last_restart {
        Some(last) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, human_duration(now.duration_since(last)))
        }
        _ => summary.restarts.to_string(),
    };
    vec![
        text(pod, "/metadata/name").into(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        text_or(pod, "/status/podIPs/0/ip", "<none>").into(),
        text_or(pod, "/spec/nodeName", "<none>").into(),
        text_or(pod, "/status/nominatedNodeName", "<none>").into(),
        readiness_gates(pod).into(),
    ]
}

/// That a pod has come to its end.
pub(super) fn conditions(pod: &Value) -> Vec<Value> {
    let (reason, message) = match text(pod, "/status/phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    vec![json!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

fn summary(pod: &Value) -> Summary {
    let sidecars: Vec<&str> = list(pod, "/spec/initContainers")
        .iter()
        .filter(|container| text(container, "/restartPolicy") == "Always")
        .map(|container| text(container, "/name"))
        .collect();
    let mut summary = Summary {
        reason: text_or(pod, "/status/reason", text(pod, "/status/phase")).to_owned(),
        restarts: 0,
        last_restart: None,
        ready: 0,
        total: list(pod, "/spec/containers").len() + sidecars.len(),
    };
    let conditions = list(pod, "/status/conditions");
    let gated = |c: &&Value| text(c, "/type") == "PodScheduled" && text(c, "/reason") == "SchedulingGated";
    if conditions.iter().any(|c| gated(&c)) {
        summary.reason = "SchedulingGated".into();
    }
    let initializing = summary.initialize(pod, &sidecars);
    if !initializing || condition(pod, "Initialized") == Some("True") {
        // Restarts of containers that only prepare no longer count; those of sidecars do.
        (summary.restarts, summary.last_restart) = (0, None);
        for status in list(pod, "/status/initContainerStatuses") {
            if sidecars.contains(&text(status, "/name")) {
                summary.count_restarts(status);
            }
        }
        summary.run(pod);
    }
    let deleted = pod.pointer("/metadata/deletionTimestamp").is_some_and(|t| !t.is_null());
    if deleted && text(pod, "/status/reason") == "NodeLost" {
        summary.reason = "Unknown".into();
    } else if deleted && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        summary.reason = "Terminating".into();
    }
    summary
}

impl Summary {
    fn count_restarts(&mut self, status: &Value) {
        self.restarts += integer(status, "/restartCount");
        let finished = text(status, "/lastState/terminated/finishedAt").parse().ok();
        self.last_restart = self.last_restart.max(finished);
    }

    /// Goes through the init containers; whether one of them holds the pod up.
    fn initialize(&mut self, pod: &Value, sidecars: &[&str]) -> bool {
        for (index, status) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
            self.count_restarts(status);
            let terminated = status.pointer("/state/terminated").filter(|t| t.is_object());
            let waiting = text(status, "/state/waiting/reason");
            match terminated {
                Some(end) if integer(end, "/exitCode") == 0 => continue,
                _ if sidecars.contains(&text(status, "/name")) && status["started"] == json!(true) => {
                    self.ready += usize::from(status["ready"] == json!(true));
                    continue;
                }
                Some(end) => self.reason = format!("Init:{}", ended(end)),
                None if !waiting.is_empty() && waiting != "PodInitializing" => {
                    self.reason = format!("Init:{waiting}");
                }
                None => self.reason = format!("Init:{index}/{}", list(pod, "/spec/initContainers").len()),
            }
            return true;
        }
        false
    }

    /// Goes through the containers, the last one first: the first one's reason wins.
    fn run(&mut self, pod: &Value) {
        let mut running = false;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            self.count_restarts(status);
            let waiting = text(status, "/state/waiting/reason");
            if !waiting.is_empty() {
                self.reason = waiting.into();
            } else if let Some(end) = status.pointer("/state/terminated").filter(|t| t.is_object()) {
                self.reason = ended(end);
            } else if status["ready"] == json!(true) && status.pointer("/state/running").is_some() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let ready = condition(pod, "Ready") == Some("True");
            self.reason = if ready { "Running" } else { "NotReady" }.into();
        }
    }
}

/// Why a container ended.
fn ended(terminated: &Value) -> String {
    match (text(terminated, "/reason"), integer(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", integer(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn condition<'a>(pod: &'a Value, ty: &str) -> Option<&'a str> {
    let found = list(pod, "/status/conditions").iter().find(|c| text(c, "/type") == ty)?;
    Some(text(found, "/status"))
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open =
        gates.iter().filter(|gate| condition(pod, text(gate, "/conditionType")) == Some("True")).count();
    format!("{open}/{}", gates.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T01:00:00Z";

    fn shown(mut pod: Value) -> (String, String, String) {
        pod["metadata"]["name"] = json!("p");
        let row = row(&pod, NOW.parse().unwrap());
        let text = |at: usize| row[at].as_str().unwrap().to_owned();
        (text(1), text(2), text(3))
    }

    #[track_caller]
    fn assert_shown(pod: Value, ready: &str, status: &str, restarts: &str) {
        assert_eq!(shown(pod), (ready.to_owned(), status.to_owned(), restarts.to_owned()));
    }

    #[test]
    fn a_new_pod_is_pending() {
        assert_shown(
            json!({"spec": {"containers": [{}, {}]}, "status": {"phase": "Pending"}}),
            "0/2",
            "Pending",
            "0",
        );
    }

    #[test]
    fn a_pod_that_starts_shows_what_its_container_waits_for() {
        for reason in ["ContainerCreating", "CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff"] {
            assert_shown(
                json!({"spec": {"containers": [{}]}, "status": {"phase": "Pending", "containerStatuses": [
                    {"ready": false, "restartCount": 0, "state": {"waiting": {"reason": reason}}}]}}),
                "0/1",
                reason,
                "0",
            );
        }
    }

    #[test]
    fn a_restart_shows_when_it_was() {
        assert_shown(
            json!({"spec": {"containers": [{}, {}]}, "status": {"phase": "Running", "containerStatuses": [
                {"ready": true, "restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}},
                {"ready": false, "restartCount": 1, "state": {"running": {}}, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:50:00Z"}}}]}}),
            "1/2",
            "Running",
            "3 (5m ago)",
        );
    }

    #[test]
    fn ended_containers_show_reason_signal_or_code() {
        let pod = |end: Value| {
            json!({"spec": {"containers": [{}]}, "status": {"phase": "Failed", "containerStatuses": [
                {"ready": false, "restartCount": 0, "state": {"terminated": end}}]}})
        };
        assert_shown(pod(json!({"exitCode": 0, "reason": "Completed"})), "0/1", "Completed", "0");
        assert_shown(pod(json!({"exitCode": 1, "reason": "Error"})), "0/1", "Error", "0");
        assert_shown(pod(json!({"exitCode": 137, "reason": "OOMKilled"})), "0/1", "OOMKilled", "0");
        assert_shown(pod(json!({"exitCode": 3})), "0/1", "ExitCode:3", "0");
        assert_shown(pod(json!({"exitCode": 137, "signal": 9})), "0/1", "Signal:9", "0");
    }

    #[test]
    fn a_completed_container_beside_a_running_one_does_not_complete_the_pod() {
        let pod = |ready: &str| {
            json!({"spec": {"containers": [{}, {}]}, "status": {"phase": "Running",
                "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": [
                    {"ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
                    {"ready": true, "restartCount": 0, "state": {"running": {}}}]}})
        };
        assert_shown(pod("True"), "1/2", "Running", "0");
        assert_shown(pod("False"), "1/2", "NotReady", "0");
    }

    #[test]
    fn init_containers_show_their_progress_and_their_failure() {
        let pod = |statuses: Value| {
            json!({"spec": {"initContainers": [{"name": "a"}, {"name": "b"}], "containers": [{}]},
                "status": {"phase": "Pending", "initContainerStatuses": statuses}})
        };
        let done = json!({"name": "a", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}});
        assert_shown(
            pod(json!([done, {"name": "b", "restartCount": 0, "state": {"running": {}}}])),
            "0/1",
            "Init:1/2",
            "0",
        );
        assert_shown(
            pod(
                json!([{"name": "a", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
                {"name": "b", "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}]),
            ),
            "0/1",
            "Init:CrashLoopBackOff",
            "4",
        );
        assert_shown(
            pod(json!([{"name": "a", "restartCount": 0, "state": {"terminated": {"exitCode": 2}}}])),
            "0/1",
            "Init:ExitCode:2",
            "0",
        );
    }

    #[test]
    fn a_sidecar_counts_as_a_container() {
        assert_shown(
            json!({"spec": {"initContainers": [{"name": "s", "restartPolicy": "Always"}], "containers": [{}]},
                "status": {"phase": "Running",
                    "initContainerStatuses": [{"name": "s", "ready": true, "started": true, "restartCount": 1, "state": {"running": {}}}],
                    "containerStatuses": [{"ready": true, "restartCount": 0, "state": {"running": {}}}]}}),
            "2/2",
            "Running",
            "1",
        );
    }

    #[test]
    fn a_deleted_pod_terminates_unless_it_ended_or_its_node_is_lost() {
        let pod = |status: Value| json!({"metadata": {"deletionTimestamp": NOW}, "spec": {"containers": [{}]}, "status": status});
        assert_shown(pod(json!({"phase": "Running"})), "0/1", "Terminating", "0");
        assert_shown(pod(json!({"phase": "Succeeded"})), "0/1", "Succeeded", "0");
        assert_shown(pod(json!({"phase": "Running", "reason": "NodeLost"})), "0/1", "Unknown", "0");
    }

    #[test]
    fn an_evicted_and_a_gated_pod_say_so() {
        assert_shown(
            json!({"spec": {"containers": [{}]}, "status": {"phase": "Failed", "reason": "Evicted"}}),
            "0/1",
            "Evicted",
            "0",
        );
        assert_shown(
            json!({"spec": {"containers": [{}]}, "status": {"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}}),
            "0/1",
            "SchedulingGated",
            "0",
        );
    }

    #[test]
    fn wide_columns_show_address_node_and_gates() {
        let pod = json!({
            "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:59:30Z"},
            "spec": {"nodeName": "n", "containers": [{}], "readinessGates": [{"conditionType": "a/b"}, {"conditionType": "c/d"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "a/b", "status": "True"}]},
        });
        assert_eq!(
            Value::from(row(&pod, NOW.parse().unwrap())),
            json!(["p", "0/1", "Running", "0", "30s", "10.0.0.1", "n", "<none>", "1/2"])
        );
    }
}
