//! Disruption budgets: how many pods of each are healthy, and how many may be evicted.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::{
    Cause, GroupResource, Key, Labels, ListQuery, Object, Status,
    cluster::Inner,
    registry::{set_condition, text},
    write::stamp,
};

/// How many pods a budget is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Health {
    healthy: i64,
    desired: i64,
    expected: i64,
}

/// Some of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Number(i64),
    Percent(i64),
}

impl Health {
    /// How many pods may be evicted. A budget without pods lets none go, so that its first pods are safe.
    fn allowed(self) -> i64 {
        if self.expected <= 0 { 0 } else { (self.healthy - self.desired).max(0) }
    }
}

impl Share {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_i64().map(Self::Number),
            Value::String(text) => text.strip_suffix('%')?.parse().ok().map(Self::Percent),
            _ => None,
        }
    }

    /// The share of so many; percents are rounded up.
    fn count(self, whole: i64) -> i64 {
        match self {
            Self::Number(number) => number,
            Self::Percent(percent) => whole.saturating_mul(percent).saturating_add(99) / 100,
        }
    }
}

impl Inner {
    /// Writes into the budgets of a namespace what they allow.
    pub(super) fn count_budgets(&self, namespace: &Arc<str>) -> Result<(), Status> {
        let resource = GroupResource::new("policy", "poddisruptionbudgets");
        let budgets = self.values(&resource, namespace)?;
        if budgets.is_empty() {
            self.lifecycle.state.lock().budgets.remove(namespace);
            return Ok(());
        }
        let Some(resource) = self.store.catalog().stored(&resource).cloned() else { return Ok(()) };
        for (object, budget) in budgets {
            let status = self.budget_status(namespace, &budget)?;
            if budget["status"] != status {
                let patch = json!({"status": status});
                self.merge(&resource, &object.key, &patch, Some("status"))?;
            }
        }
        Ok(())
    }

    fn budget_status(&self, namespace: &str, budget: &Value) -> Result<Value, Status> {
        let mut status = budget["status"].clone();
        let now = stamp(self.time());
        let condition = |status: &mut Value, said: (&str, &str, &str)| {
            set_condition(status, "DisruptionAllowed", said, &now);
            let observed = status["observedGeneration"].clone();
            let conditions = status["conditions"].as_array_mut().into_iter().flatten();
            for condition in conditions.filter(|condition| condition["type"] == "DisruptionAllowed") {
                condition["observedGeneration"] = observed.clone();
            }
        };
        let health = match self.health(namespace, budget)? {
            Ok(health) => health,
            Err(problem) => {
                status["disruptionsAllowed"] = 0.into();
                condition(&mut status, ("False", "SyncFailed", &problem));
                return Ok(status);
            }
        };
        status["currentHealthy"] = health.healthy.into();
        status["desiredHealthy"] = health.desired.into();
        status["expectedPods"] = health.expected.into();
        status["disruptionsAllowed"] = health.allowed().into();
        status["observedGeneration"] = budget["metadata"]["generation"].clone();
        let said =
            if health.allowed() > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        condition(&mut status, (said.0, said.1, ""));
        Ok(status)
    }

    /// Counts the pods of a budget, or says why they cannot be counted.
    fn health(&self, namespace: &str, budget: &Value) -> Result<Result<Health, String>, Status> {
        let selector = &budget["spec"]["selector"];
        let pods = GroupResource::new("", "pods");
        let mut selected = Vec::new();
        for object in self.store.list(&pods, &ListQuery::latest(Some(namespace)))?.objects {
            if selects(selector, &object.labels) {
                let pod: Value = serde_json::from_slice(&object.body.bytes()).map_err(Status::internal)?;
                selected.push(pod);
            }
        }
        let healthy = selected.iter().filter(|pod| is_ready(pod) && !is_deleting(pod)).count();
        let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
        let spec = &budget["spec"];
        let unavailable = Share::of(&spec["maxUnavailable"]);
        let (expected, desired) = match (unavailable, Share::of(&spec["minAvailable"])) {
            (Some(share), _) => match self.scale_of_owners(namespace, &selected)? {
                Ok(expected) => (expected, (expected - share.count(expected)).max(0)),
                Err(problem) => return Ok(Err(problem)),
            },
            (None, Some(Share::Number(number))) => {
                (i64::try_from(selected.len()).unwrap_or(i64::MAX), number)
            }
            (None, Some(share)) => match self.scale_of_owners(namespace, &selected)? {
                Ok(expected) => (expected, share.count(expected)),
                Err(problem) => return Ok(Err(problem)),
            },
            (None, None) => (0, 0),
        };
        Ok(Ok(Health { healthy, desired, expected }))
    }

    /// How many pods the controllers of these pods want.
    fn scale_of_owners(&self, namespace: &str, pods: &[Value]) -> Result<Result<i64, String>, Status> {
        let mut scales: BTreeMap<String, i64> = BTreeMap::new();
        for pod in pods {
            let mut owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
            let Some(owner) = owners.find(|owner| owner["controller"] == true) else { continue };
            let uid = text(owner, "/uid");
            if scales.contains_key(uid) {
                continue;
            }
            let Some(replicas) = self.replicas(namespace, owner)? else {
                let name = text(pod, "/metadata/name");
                return Ok(Err(format!("found no controllers for pod {name:?}")));
            };
            scales.insert(uid.to_owned(), replicas);
        }
        Ok(Ok(scales.values().sum()))
    }

    /// The replicas of what an owner reference names; `None` where it has no scale, or is another object by now.
    fn replicas(&self, namespace: &str, owner: &Value) -> Result<Option<i64>, Status> {
        let group = text(owner, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
        let Some(resource) = self.store.catalog().find_kind(group, text(owner, "/kind")).cloned() else {
            return Ok(None);
        };
        let Some(paths) = &resource.scale else { return Ok(None) };
        let Some((object, live)) = self.live(&resource, &Key::namespaced(namespace, text(owner, "/name")))?
        else {
            return Ok(None);
        };
        let replicas = live.pointer(&paths.spec_replicas.replace('.', "/")).and_then(Value::as_i64);
        Ok(Some(replicas.unwrap_or_default()).filter(|_| *object.uid == *text(owner, "/uid")))
    }

    /// Why a pod may not be evicted, if a budget says so.
    pub(crate) fn eviction_refused(
        &self,
        namespace: &str,
        object: &Object,
        pod: &Value,
    ) -> Result<(), Status> {
        let phase = text(pod, "/status/phase");
        if matches!(phase, "Succeeded" | "Failed" | "Pending") || object.deleting {
            return Ok(());
        }
        let budgets = self.values(&GroupResource::new("policy", "poddisruptionbudgets"), namespace)?;
        let mut matching =
            budgets.into_iter().filter(|(_, budget)| selects(&budget["spec"]["selector"], &object.labels));
        let Some((found, budget)) = matching.next() else { return Ok(()) };
        if matching.next().is_some() {
            let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::new(http::StatusCode::INTERNAL_SERVER_ERROR, "", message));
        }
        let (allowed, healthy, desired) = match self.health(namespace, &budget)? {
            Ok(health) => (health.allowed(), health.healthy, health.desired),
            Err(_) => (0, 0, 0),
        };
        if !is_ready(pod) {
            let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
            if always || (healthy >= desired && desired > 0) {
                return Ok(());
            }
        }
        if allowed > 0 {
            return Ok(());
        }
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let mut status = Status::new(http::StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
        status.details.causes.push(Cause {
            reason: "DisruptionBudget".to_owned(),
            message: format!(
                "The disruption budget {} needs {desired} healthy pods and has {healthy} currently",
                found.key.name
            ),
            field: String::new(),
        });
        Err(status)
    }

    /// The objects of a resource in a namespace, read.
    pub(crate) fn values(
        &self,
        resource: &GroupResource,
        namespace: &str,
    ) -> Result<Vec<(Arc<Object>, Value)>, Status> {
        let objects = self.store.list(resource, &ListQuery::latest(Some(namespace)))?.objects;
        let read = objects.into_iter().map(|object| {
            let value = serde_json::from_slice(&object.body.bytes()).map_err(Status::internal)?;
            Ok((object, value))
        });
        read.collect()
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn is_deleting(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

/// Whether a label selector picks an object; an absent one picks none, an empty one all.
fn selects(selector: &Value, labels: &Labels) -> bool {
    if !selector.is_object() {
        return false;
    }
    let mut wanted = selector["matchLabels"].as_object().into_iter().flatten();
    let mut expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    wanted.all(|(key, value)| labels.get(key) == value.as_str())
        && expressions.all(|expression| {
            let found = labels.get(text(expression, "/key"));
            let mut values = expression["values"].as_array().into_iter().flatten();
            let mut listed = || values.any(|value| value.as_str() == found);
            match text(expression, "/operator") {
                "In" => found.is_some() && listed(),
                "NotIn" => found.is_none() || !listed(),
                "Exists" => found.is_some(),
                _ => found.is_none(),
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_without_pods_lets_none_go_and_percents_round_up() {
        let health = |healthy, desired, expected| Health { healthy, desired, expected }.allowed();
        assert_eq!((health(3, 2, 3), health(2, 2, 3), health(1, 0, 0)), (1, 0, 0));
        assert_eq!(Share::of(&json!("50%")).unwrap().count(3), 2);
        assert_eq!(Share::of(&json!(2)).unwrap().count(3), 2);
        assert_eq!(Share::of(&json!("x")), None);
    }

    #[test]
    fn selectors_of_budgets_pick_by_labels() {
        let labels = Labels::from_json(Some(&json!({"app": "a", "tier": "game"})));
        let picks = |selector: Value| selects(&selector, &labels);
        assert!(picks(json!({})) && !picks(Value::Null));
        assert!(picks(json!({"matchLabels": {"app": "a"}})) && !picks(json!({"matchLabels": {"app": "b"}})));
        let by = |operator: &str, values: &[&str]| {
            picks(json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]}))
        };
        assert!(
            by("In", &["a", "b"]) && !by("NotIn", &["a"]) && by("Exists", &[]) && !by("DoesNotExist", &[])
        );
    }
}
