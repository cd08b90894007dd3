//! What may be written to a pod's status.

use std::net::IpAddr;

use serde_json::Value;

use crate::{names, registry::text, schema::FieldError};

/// Keeps what a status does not say and the server remembers: the class, and what was observed.
pub(super) fn keep_observed(pod: &mut Value, old: &Value) {
    let Some(status) = pod.get_mut("status").filter(|status| status.is_object()) else { return };
    let old = &old["status"];
    for field in ["qosClass", "observedGeneration"] {
        if matches!(&status[field], Value::Null) && !old[field].is_null() {
            status[field] = old[field].clone();
        }
    }
    let before = old["conditions"].as_array().cloned().unwrap_or_default();
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let same = before.iter().find(|before| before["type"] == condition["type"]);
        let observed = same.map(|before| before["observedGeneration"].clone()).unwrap_or_default();
        if condition["observedGeneration"].is_null() && !observed.is_null() && condition.is_object() {
            condition["observedGeneration"] = observed;
        }
    }
}

/// What is wrong with a change of status.
pub(super) fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let (new, old) = (&new["status"], &old["status"]);
    let mut errors = Vec::new();
    if new == old {
        return errors;
    }
    let nominated = text(new, "/nominatedNodeName");
    if !nominated.is_empty()
        && new["nominatedNodeName"] != old["nominatedNodeName"]
        && let Err(problem) = names::subdomain(nominated)
    {
        errors.push(FieldError::invalid("status.nominatedNodeName", nominated, problem));
    }
    if let Some(observed) = new["observedGeneration"].as_i64().filter(|observed| *observed < 0) {
        errors.push(FieldError::invalid(
            "status.observedGeneration",
            observed,
            "must be a non-negative integer",
        ));
    }
    if new["qosClass"] != old["qosClass"] && !old["qosClass"].is_null() {
        errors.push(FieldError::invalid("status.qosClass", new["qosClass"].clone(), "field is immutable"));
    }
    for (index, address) in new["podIPs"].as_array().into_iter().flatten().enumerate() {
        let ip = text(address, "/ip");
        if ip.parse::<IpAddr>().is_err() {
            let message = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(format!("status.podIPs[{index}]"), ip, message));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_observed_is_kept_and_the_class_stays() {
        let old = json!({"status": {"qosClass": "BestEffort", "observedGeneration": 2,
            "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2}]}});
        let mut new = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        keep_observed(&mut new, &old);
        assert_eq!(new["status"]["qosClass"], "BestEffort");
        assert_eq!(new["status"]["conditions"][0]["observedGeneration"], 2);
        assert!(validate_update(&new, &old).is_empty());
        new["status"]["qosClass"] = "Guaranteed".into();
        new["status"]["podIPs"] = json!([{"ip": "x"}]);
        let paths: Vec<String> = validate_update(&new, &old).into_iter().map(|error| error.path).collect();
        assert_eq!(paths, ["status.qosClass", "status.podIPs[0]"]);
    }
}
