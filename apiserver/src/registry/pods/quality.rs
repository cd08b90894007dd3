//! The quality of service class of a pod.

use serde_json::Value;

use crate::builtin::quantity;

/// Guaranteed, Burstable or BestEffort, by the cpu and memory of all containers.
pub(super) fn quality_of_service(pod: &Value) -> &'static str {
    let containers = ["containers", "initContainers"]
        .into_iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten()
        .collect::<Vec<_>>();
    let amount = |container: &Value, kind: &str, resource: &str| {
        quantity(&container["resources"][kind][resource]).filter(|amount| *amount > 0)
    };
    let any = containers.iter().any(|container| {
        ["requests", "limits"]
            .iter()
            .any(|kind| ["cpu", "memory"].iter().any(|resource| amount(container, kind, resource).is_some()))
    });
    if !any {
        return "BestEffort";
    }
    let guaranteed = containers.iter().all(|container| {
        ["cpu", "memory"].iter().all(|resource| {
            let limit = amount(container, "limits", resource);
            let request = amount(container, "requests", resource);
            limit.is_some() && (request.is_none() || request == limit)
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        let class = |resources: Value| {
            quality_of_service(&json!({"spec": {"containers": [{"resources": resources}]}}))
        };
        assert_eq!(class(json!({})), "BestEffort");
        assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
        assert_eq!(class(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Guaranteed");
        let same = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}});
        assert_eq!(class(same), "Guaranteed");
    }
}
