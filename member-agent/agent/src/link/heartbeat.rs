//! The heartbeat: a Lease in the view, renewed while the agent lives, with what the hub should know
//! of the member itself.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use muster_crds::keys::view;
use muster_runtime::error;
use serde_json::{Value, json};

/// Field manager of the heartbeat.
const MANAGER: &str = "muster-agent";

/// How long the hub may take to answer a heartbeat.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a heartbeat brought.
#[derive(Debug)]
pub enum Beat {
    /// The hub took it.
    Taken,
    /// The hub answered, and refused it: it is there, but will count this member as lost.
    Refused(String),
    /// No hub.
    NoHub(String),
}

/// Renews the Lease once.
pub async fn beat(
    hub: &Client,
    namespace: &str,
    cluster: &str,
    interval: Duration,
    member: &Value,
    now: Timestamp,
) -> Beat {
    let api: Api<Lease> = Api::namespaced(hub.clone(), namespace);
    let body = lease(namespace, cluster, interval, member, now);
    let params = PatchParams::apply(MANAGER).force();
    match tokio::time::timeout(DEADLINE, api.patch(cluster, &params, &Patch::Apply(body))).await {
        Ok(Ok(_)) => Beat::Taken,
        // 5xx may come from a proxy, or from a hub that does not serve this view (any more).
        Ok(Err(kube::Error::Api(status))) if status.code < 500 => {
            Beat::Refused(format!("the hub answered {}: {}", status.code, status.message))
        }
        Ok(Err(error)) => Beat::NoHub(error::api(&error)),
        Err(_) => Beat::NoHub(format!("no answer within {} s", DEADLINE.as_secs())),
    }
}

fn lease(namespace: &str, cluster: &str, interval: Duration, member: &Value, now: Timestamp) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": cluster,
            "namespace": namespace,
            "annotations": {(view::MEMBER): member.to_string()},
        },
        "spec": {
            "holderIdentity": cluster,
            // Three heartbeats may be lost before the member counts as lost.
            "leaseDurationSeconds": interval.as_secs().max(1) * 3,
            "renewTime": micro_time(now),
        }
    })
}

/// Kubernetes' MicroTime: six digits of a second, always.
fn micro_time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_says_who_is_there_and_until_when() {
        let now: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        let lease = lease("kube-federation-system", "a", Duration::from_secs(10), &json!({"uid": "u"}), now);
        assert_eq!(lease["spec"]["renewTime"], "2026-01-01T00:00:00.500000Z");
        assert_eq!(lease["spec"]["leaseDurationSeconds"], 30);
        assert_eq!(lease["metadata"]["annotations"][view::MEMBER], "{\"uid\":\"u\"}");
        serde_json::from_value::<Lease>(lease).unwrap();
    }
}
