//! A federated object's state as rows, one per cluster: what `status` prints and the sandbox shows.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use muster_crds::conditions;
use muster_crds::types_kubefed::{ClusterStatus, FederatedStatus};
use muster_crds::{ClusterName, FederatedGameStatefulSet, keys};
use muster_planner::{FederatedObject, input};
use serde::Serialize;
use serde_json::Value;

use crate::table::Table;

/// One cluster of one federated object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    /// Namespace of the federated object.
    pub(crate) namespace: String,
    /// Name of the federated object.
    pub(crate) name: String,
    /// The cluster; empty for an object that no cluster has.
    pub(crate) cluster: String,
    /// Replicas that the hub planned.
    pub(crate) planned: Option<i64>,
    /// Replicas that the member reported.
    pub(crate) replicas: Option<i64>,
    /// Of these, ready.
    pub(crate) ready: Option<i64>,
    /// Of these, at the latest revision.
    pub(crate) updated: Option<i64>,
    /// Images that the cluster is to run.
    pub(crate) image: String,
    /// How old the member's numbers are, as people write it.
    pub(crate) age: String,
    /// Why it waits, if it does.
    pub(crate) note: String,
}

/// An object that is not Ready, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// Kind, namespace and name.
    pub(crate) object: String,
    /// Why it is not Ready.
    pub(crate) why: String,
}

/// The machine's time, for ages.
#[expect(clippy::disallowed_methods, reason = "the command line shows ages by the machine's clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// The rows of all objects, in order of namespace and name.
pub(crate) fn rows(objects: &[Arc<FederatedGameStatefulSet>], now: Timestamp) -> Vec<Row> {
    let mut rows = Vec::new();
    for object in objects {
        let own = cluster_rows(object, Some(now));
        if own.is_empty() {
            let note = why_not_ready(object).unwrap_or_else(|| "placed nowhere".to_owned());
            rows.push(Row { note, ..empty(object) });
        }
        rows.extend(own);
    }
    rows
}

/// The rows of one object. Without a time, ages are left out.
pub(crate) fn cluster_rows(object: &FederatedGameStatefulSet, now: Option<Timestamp>) -> Vec<Row> {
    let status = object.status.clone().unwrap_or_default();
    // An object with mistakes shows its numbers all the same, without images.
    let parsed = input::federated(object).ok();
    status
        .clusters
        .iter()
        .map(|cluster| Row {
            cluster: cluster.name.clone(),
            planned: cluster.planned,
            replicas: cluster.replicas,
            ready: cluster.ready_replicas,
            updated: cluster.updated_replicas,
            image: parsed.as_ref().map(|object| images(object, &cluster.name)).unwrap_or_default(),
            age: age(cluster, now),
            note: note(cluster),
            ..empty(object)
        })
        .collect()
}

/// A table for people.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "NAMESPACE",
        "NAME",
        "CLUSTER",
        "PLANNED",
        "REPLICAS",
        "READY",
        "UPDATED",
        "IMAGE",
        "AGE",
        "WAITING",
    ]);
    for row in rows {
        table.row([
            row.namespace.clone(),
            row.name.clone(),
            row.cluster.clone(),
            number(row.planned),
            number(row.replicas),
            number(row.ready),
            number(row.updated),
            row.image.clone(),
            row.age.clone(),
            row.note.clone(),
        ]);
    }
    table.to_string()
}

/// The objects that are not Ready at their latest generation.
pub(crate) fn not_ready(objects: &[Arc<FederatedGameStatefulSet>]) -> Vec<Readiness> {
    let waiting = objects.iter().filter_map(|object| {
        let why = why_not_ready(object)?;
        Some(Readiness { object: format!("FederatedGameStatefulSet {}", name(object)), why })
    });
    waiting.collect()
}

/// `namespace/name` of an object.
pub(crate) fn name(object: &FederatedGameStatefulSet) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// A number that may not be known.
pub(crate) fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

fn empty(object: &FederatedGameStatefulSet) -> Row {
    Row {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        cluster: String::new(),
        planned: None,
        replicas: None,
        ready: None,
        updated: None,
        image: String::new(),
        age: String::new(),
        note: String::new(),
    }
}

fn why_not_ready(object: &FederatedGameStatefulSet) -> Option<String> {
    let Some(status) = &object.status else { return Some("the hub has not looked at it yet".to_owned()) };
    if status.observed_generation != object.metadata.generation {
        return Some("the hub has not acted on its latest change yet".to_owned());
    }
    if conditions::is_true(&status.conditions, keys::condition::READY) {
        return None;
    }
    Some(complaints(status).unwrap_or_else(|| "its condition Ready is not True".to_owned()))
}

/// What the conditions and the clusters say against the object, each thing once.
fn complaints(status: &FederatedStatus) -> Option<String> {
    let mut said: Vec<String> = Vec::new();
    for condition in &status.conditions {
        let bad = condition.is_true() == (condition.type_ == keys::condition::DEGRADED);
        let message = condition.message.as_ref().or(condition.reason.as_ref());
        if let (true, Some(message)) = (bad, message)
            && !said.iter().any(|before| before.contains(message.as_str()))
        {
            said.push(format!("{}: {message}", condition.type_));
        }
    }
    for cluster in &status.clusters {
        let note = note(cluster);
        if !note.is_empty() && !said.iter().any(|before| before.contains(&note)) {
            said.push(format!("{}: {note}", cluster.name));
        }
    }
    (!said.is_empty()).then(|| said.join("; "))
}

/// Why a cluster waits: kubefed's word, the reason and the message, as far as there are any.
fn note(cluster: &ClusterStatus) -> String {
    let word = cluster.status.as_deref().filter(|word| !word.is_empty());
    let incomplete = cluster.planned != cluster.ready_replicas || cluster.planned != cluster.updated_replicas;
    if word.is_none() && !incomplete {
        return String::new();
    }
    let message = cluster.message.as_deref().filter(|message| !message.is_empty());
    let detail = message.or(cluster.reason.as_deref());
    match (word, detail) {
        (Some(word), Some(detail)) if !detail.contains(word) => format!("{word}: {detail}"),
        (_, Some(detail)) => detail.to_owned(),
        (Some(word), None) => word.to_owned(),
        (None, None) => String::new(),
    }
}

fn age(cluster: &ClusterStatus, now: Option<Timestamp>) -> String {
    match (now, &cluster.last_report_time) {
        (Some(now), Some(at)) => short(now.duration_since(at.0).as_secs().max(0)),
        (Some(_), None) => "never".to_owned(),
        (None, _) => String::new(),
    }
}

/// Seconds as `5s`, `3m20s`, `4h10m` or `6d2h`.
pub(crate) fn short(seconds: i64) -> String {
    let two = |large: i64, unit: &str, small: i64, smaller: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{smaller}") }
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7200 => two(seconds / 60, "m", seconds % 60, "s"),
        7200..172_800 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// The images of the containers of the pod template, as this cluster's overrides make them.
fn images(object: &FederatedObject, cluster: &str) -> String {
    let mut template = object.template.clone();
    let overrides = ClusterName::new(cluster).ok().and_then(|name| object.overrides.get(&name));
    if let Some(Ok(overrides)) = overrides {
        // What does not fit shows as a complaint of the hub; the image is then that of the template.
        let patched = json_patch::patch(&mut template, &overrides.patch);
        if patched.is_err() {
            template.clone_from(&object.template);
        }
    }
    let containers = template.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let images = containers.into_iter().flatten().filter_map(|container| container.get("image")?.as_str());
    images.map(short_image).collect::<Vec<_>>().join(",")
}

/// The last part of an image's name, with its tag: `registry.com/team/game:v1` is `game:v1`.
fn short_image(image: &str) -> &str {
    image.rsplit_once('/').map_or(image, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(status: &Value) -> Arc<FederatedGameStatefulSet> {
        Arc::new(
            serde_json::from_value(json!({
                "apiVersion": "types.kubefed.io/v1beta1",
                "kind": "FederatedGameStatefulSet",
                "metadata": {"name": "gamecenter", "namespace": "center-system", "generation": 2},
                "spec": {
                    "template": {"spec": {"replicas": 5, "template": {"spec": {"containers": [
                        {"name": "center", "image": "registry.com/game:latest"},
                    ]}}}},
                    "placement": {"clusters": [{"name": "a"}, {"name": "b"}]},
                    "overrides": [{"clusterName": "b", "clusterOverrides": [
                        {"path": "/spec/template/spec/containers/0/image", "value": "registry.com/game:v2"},
                    ]}],
                },
                "status": status,
            }))
            .unwrap(),
        )
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn each_cluster_has_a_row_with_its_own_image_and_the_age_of_its_numbers() {
        let object = object(&json!({
            "observedGeneration": 2,
            "conditions": [{"type": "Ready", "status": "True"}],
            "clusters": [
                {"name": "a", "planned": 3, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 3,
                 "lastReportTime": "2026-01-01T00:00:00Z"},
                {"name": "b", "planned": 2, "replicas": 2, "readyReplicas": 1, "updatedReplicas": 2,
                 "message": "1 of 2 pods is not ready"},
            ],
        }));
        let text = table(&rows(std::slice::from_ref(&object), at("2026-01-01T00:02:30Z")));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[1],
            ["center-system", "gamecenter", "a", "3", "3", "3", "3", "game:latest", "2m30s"]
        );
        assert_eq!(lines[2][7..10], ["game:v2", "never", "1"]);
        assert!(not_ready(&[object]).is_empty());
    }

    #[test]
    fn an_object_that_is_not_ready_says_why_and_an_old_answer_does_not_count() {
        let complaint = "spec.overrides[0].clusterOverrides[0].path: no such path";
        let bad = object(&json!({
            "observedGeneration": 2,
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "NotReady", "message": complaint},
                {"type": "Degraded", "status": "False", "message": "nothing wrong"},
            ],
        }));
        let waiting = not_ready(std::slice::from_ref(&bad));
        assert_eq!(waiting[0].object, "FederatedGameStatefulSet center-system/gamecenter");
        assert_eq!(waiting[0].why, format!("Ready: {complaint}"));
        assert!(table(&rows(&[bad], at("2026-01-01T00:00:00Z"))).contains(complaint));

        let old =
            object(&json!({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}));
        assert_eq!(not_ready(&[old])[0].why, "the hub has not acted on its latest change yet");
    }

    #[test]
    fn ages_are_short() {
        assert_eq!(
            [0, 119, 120, 7199, 7200, 172_800].map(short),
            ["0s", "119s", "2m", "119m59s", "2h", "2d"]
        );
    }
}
