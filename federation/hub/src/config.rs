//! What a hub is started with.

use std::time::Duration;

use kube::Client;
use muster_runtime::Clock;

/// Everything a [`Hub`](crate::Hub) needs.
#[derive(Clone)]
pub struct HubConfig {
    /// The hub API: where federated objects are.
    pub client: Client,
    /// Who this process is in the Lease. No two hubs may share one.
    pub identity: String,
    /// Where KubeFedClusters, FederatedTypeConfigs and the Lease are.
    pub federation_namespace: String,
    /// Wall time.
    pub clock: Clock,
    /// Times the hub goes by.
    pub settings: Settings,
}

/// Times the hub goes by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long an object without a preference waits for one before its first plan.
    pub plan_delay: Duration,
    /// A member that was not heard for this long is lost.
    pub lost_after: Duration,
    /// The least time between two writes of one object's status.
    pub status_interval: Duration,
    /// How long after its start a hub waits for reports before it calls the numbers of an earlier hub stale.
    pub stale_after: Duration,
    /// How long the policy for a member that is away outlives its federated object.
    pub tombstone_ttl: Duration,
}

// === impl HubConfig ===

impl HubConfig {
    /// A configuration with the usual namespace, the machine's clock and the usual times.
    pub fn new(client: Client, identity: impl Into<String>) -> Self {
        Self {
            client,
            identity: identity.into(),
            federation_namespace: muster_crds::keys::FEDERATION_NAMESPACE.to_owned(),
            clock: Clock::system(),
            settings: Settings::default(),
        }
    }
}

// === impl Settings ===

impl Default for Settings {
    /// Two seconds for a preference, thirty until a member is lost, one between status writes, five until numbers are
    /// stale, thirty days for tombstones.
    fn default() -> Self {
        Self {
            plan_delay: Duration::from_secs(2),
            lost_after: Duration::from_secs(30),
            status_interval: Duration::from_secs(1),
            stale_after: Duration::from_secs(5),
            tombstone_ttl: Duration::from_hours(30 * 24),
        }
    }
}
