//! What simulated kubelets do with containers, as real ones were seen to.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

/// What the nodes are like.
#[derive(Clone)]
pub(in crate::tests) struct Nodes {
    /// How many there are; with none, pods run nowhere in particular.
    pub(in crate::tests) count: u32,
    /// Images that no registry has.
    pub(in crate::tests) missing: BTreeSet<String>,
    /// Why a pod gets no new size, if it does not: `Deferred` or `Infeasible`.
    pub(in crate::tests) no_room: Option<&'static str>,
    /// Whether kubelets say which generation they have seen.
    pub(in crate::tests) observe: bool,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { count: 0, missing: BTreeSet::new(), no_room: None, observe: true }
    }
}

impl Nodes {
    /// Gives a pod its node.
    pub(in crate::tests) fn schedule(&self, pod: &mut Value) {
        if self.count > 0 && pod["spec"]["nodeName"].is_null() {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let ordinal: u32 = name.rsplit('-').next().unwrap().parse().unwrap();
            pod["spec"]["nodeName"] = json!(format!("node-{}", ordinal % self.count));
        }
    }

    /// Starts, restarts and resizes containers, as far as the spec wants it.
    pub(in crate::tests) fn run(&self, pod: &mut Value, now: Timestamp, mut next_id: impl FnMut() -> String) {
        let before = pod["status"].clone();
        let mut waits = None;
        for (list, statuses) in
            [("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")]
        {
            let containers = pod["spec"][list].as_array().cloned().unwrap_or_default();
            let runs_on = |container: &&Value| list == "containers" || container["restartPolicy"] == "Always";
            let mut next = Vec::new();
            for container in containers.iter().filter(runs_on) {
                let old = before[statuses].as_array().into_iter().flatten();
                let old = old.into_iter().find(|status| status["name"] == container["name"]).cloned();
                let (status, resize) = self.container(container, old, now, &mut next_id);
                waits = waits.or(resize);
                next.push(status);
            }
            if !next.is_empty() {
                pod["status"][statuses] = json!(next);
            }
        }
        pod["status"]["phase"] = json!("Running");
        let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.retain(|condition| condition["type"] != "PodResizePending");
        if let Some(reason) = waits {
            conditions.push(json!({
                "type": "PodResizePending", "status": "True", "reason": reason, "message": "cpu is short",
            }));
        }
        if conditions != *pod["status"]["conditions"].as_array().unwrap_or(&Vec::new()) {
            pod["status"]["conditions"] = json!(conditions);
        }
        if pod["metadata"]["labels"]["muster.dev/puller"].is_string() {
            end_puller(pod);
        }
    }

    fn container(
        &self,
        container: &Value,
        old: Option<Value>,
        now: Timestamp,
        next_id: &mut impl FnMut() -> String,
    ) -> (Value, Option<&'static str>) {
        let image = container["image"].as_str().unwrap();
        let wanted = &container["resources"];
        let resized = old.as_ref().is_some_and(|old| old["resources"] != *wanted);
        let no_room = self.no_room.filter(|_| resized);
        let resources = match (&old, no_room) {
            (Some(old), Some(_)) => old["resources"].clone(),
            _ => wanted.clone(),
        };
        let policies = container["resizePolicy"].as_array();
        let restarts =
            policies.is_some_and(|all| all.iter().any(|one| one["restartPolicy"] == "RestartContainer"));
        let resize_restarts = resized && no_room.is_none() && restarts;
        let same = old.as_ref().is_some_and(|old| old["spec"] == image) && !resize_restarts;
        if let Some(mut old) = old.clone().filter(|_| same) {
            old["resources"] = resources;
            let runs = old["state"]["running"].is_object();
            old["ready"] = json!(runs && !image.contains("broken"));
            if !runs && !self.missing.contains(image) && !image.contains("crash") {
                old["state"] = json!({"running": {"startedAt": now}});
                old["imageID"] = json!(digest(image));
                old["containerID"] = json!(format!("containerd://{}", next_id()));
            }
            return (old, no_room);
        }
        let restarts = old.as_ref().map_or(0, |old| old["restartCount"].as_i64().unwrap() + 1);
        let mut status = json!({
            "name": container["name"],
            "spec": image,
            "image": image,
            "imageID": digest(image),
            "containerID": format!("containerd://{}", next_id()),
            "ready": false,
            "restartCount": restarts,
            "state": {"running": {"startedAt": now}},
            "resources": resources,
        });
        if self.missing.contains(image) {
            // The old container was stopped before the pull.
            let old = old.unwrap_or_default();
            status["imageID"] = json!(old["imageID"].as_str().unwrap_or_default());
            status["containerID"] = old["containerID"].clone();
            status["restartCount"] = json!(restarts.max(1) - 1);
            status["state"] =
                json!({"waiting": {"reason": "ErrImagePull", "message": format!("{image}: not found")}});
        } else if image.contains("crash") {
            status["state"] = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
        }
        (status, no_room)
    }
}

/// The command of a puller does not exist: its container is made and does not start.
fn end_puller(pod: &mut Value) {
    let status = &mut pod["status"]["containerStatuses"][0];
    if status["state"]["running"].is_object() {
        status["state"] = json!({"terminated": {"exitCode": 128, "reason": "StartError"}});
        status["ready"] = json!(false);
        pod["status"]["phase"] = json!("Failed");
    } else {
        pod["status"]["phase"] = json!("Pending");
    }
}

/// Images with the same text before `-` have the same digest.
fn digest(image: &str) -> String {
    format!("sha256:{}", image.split('-').next().unwrap_or_default())
}

/// How often each container of a pod was restarted.
pub(in crate::tests) fn restarts(pod: &Value) -> BTreeMap<String, i64> {
    let statuses = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|list| pod["status"][list].as_array().into_iter().flatten());
    statuses
        .map(|status| (status["name"].as_str().unwrap().to_owned(), status["restartCount"].as_i64().unwrap()))
        .collect()
}
