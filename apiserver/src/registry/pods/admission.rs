//! What admission adds to a new pod: a service account, a priority, and tolerations of nodes that are lost for a while.

use serde_json::{Value, json};

use crate::registry::{default, spec, text};

/// The account of pods that name none. Every namespace counts as having it.
pub(crate) const DEFAULT_ACCOUNT: &str = "default";
/// For how long a pod stays on a node that is not ready or cannot be reached.
const TOLERATION_SECONDS: i64 = 300;
/// Taints of such nodes.
const LOST: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
/// Priority classes that every cluster has.
const CLASSES: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// Completes a new pod, or says why it is forbidden.
pub(crate) fn admit(pod: &mut Value) -> Result<(), String> {
    let spec = spec(pod);
    default(spec, "serviceAccountName", DEFAULT_ACCOUNT);
    let account = spec["serviceAccountName"].clone();
    default(spec, "serviceAccount", account);
    priority(spec)?;
    tolerations(spec);
    Ok(())
}

fn priority(spec: &mut Value) -> Result<(), String> {
    let class = text(spec, "/priorityClassName");
    let priority = match CLASSES.iter().find(|(name, _)| *name == class) {
        Some((_, priority)) => *priority,
        None if class.is_empty() => 0,
        None => return Err(format!("no PriorityClass with name {class} was found")),
    };
    if let Some(given) = spec["priority"].as_i64().filter(|given| *given != priority) {
        return Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission \
             controller computed {priority} from the given PriorityClass name"
        ));
    }
    default(spec, "priority", priority);
    default(spec, "preemptionPolicy", "PreemptLowerPriority");
    Ok(())
}

/// Adds what a pod does not say about nodes that are lost.
pub(super) fn tolerations(spec: &mut Value) {
    let given = spec["tolerations"].as_array().cloned().unwrap_or_default();
    let tolerated = |taint: &str| {
        given.iter().any(|toleration| {
            let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
            (key.is_empty() || key == taint) && matches!(effect, "" | "NoExecute")
        })
    };
    let added: Vec<Value> = LOST
        .into_iter()
        .filter(|taint| !tolerated(taint))
        .map(|taint| {
            json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS})
        })
        .collect();
    if !added.is_empty() {
        spec["tolerations"] = given.iter().cloned().chain(added).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(mut pod: Value) -> Result<Value, String> {
        admit(&mut pod).map(|()| pod["spec"].take())
    }

    #[test]
    fn a_plain_pod_gets_an_account_a_priority_and_two_tolerations() {
        let spec = admitted(json!({"spec": {"tolerations": [{"key": "x"}]}})).expect("admitted");
        assert_eq!(
            (&spec["serviceAccountName"], &spec["serviceAccount"]),
            (&json!("default"), &json!("default"))
        );
        assert_eq!(
            (&spec["priority"], &spec["preemptionPolicy"]),
            (&json!(0), &json!("PreemptLowerPriority"))
        );
        let keys: Vec<&str> =
            spec["tolerations"].as_array().expect("a list").iter().map(|t| text(t, "/key")).collect();
        assert_eq!(keys, ["x", LOST[0], LOST[1]]);
    }

    #[test]
    fn what_the_pod_tolerates_already_is_left_alone() {
        let everything = json!([{"operator": "Exists"}]);
        let spec = admitted(json!({"spec": {"tolerations": everything}})).expect("admitted");
        assert_eq!(spec["tolerations"], everything);
    }

    #[test]
    fn a_priority_comes_from_a_class_that_exists() {
        let critical =
            admitted(json!({"spec": {"priorityClassName": "system-node-critical"}})).expect("admitted");
        assert_eq!(critical["priority"], 2_000_001_000);
        assert!(admitted(json!({"spec": {"priorityClassName": "nothing"}})).is_err());
        assert!(admitted(json!({"spec": {"priority": 5}})).is_err());
    }
}
