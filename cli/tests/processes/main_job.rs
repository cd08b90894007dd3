//! What Muster is for, through processes.

use std::time::Duration;

use http::Method;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use muster_crds::FederatedGameStatefulSet;
use muster_harness::certificates::Validity;
use serde_json::json;

use super::world::{NANJING, SHANGHAI, World, get, plain, send};

#[tokio::test(flavor = "multi_thread")]
async fn hub_and_agents_bring_the_talk_up_and_stop_when_told() {
    let world = World::start().await;
    let mut hub = world.hub();
    let url = format!("https://{}", hub.address());
    let mut shanghai = world.agent(SHANGHAI, &url);
    let mut nanjing = world.agent(NANJING, &url);
    world.settled(120, 80).await;

    let games: Api<FederatedGameStatefulSet> =
        Api::namespaced(world.sandbox.client("hub", "test").unwrap(), "center-system");
    let scale = Patch::Merge(json!({"spec": {"replicas": 250}}));
    games.patch_scale("gamecenter", &PatchParams::default(), &scale).await.unwrap();
    world.settled(150, 100).await;

    // Watches, reports and heartbeats of an agent share one connection, as the hub's side sees it.
    #[cfg(target_os = "linux")]
    assert_eq!(connections_to(&hub.address()), 2);

    // Health and metrics, on both.
    let anybody = world.client(&url, None);
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(get(&anybody, path).await, (200, "ok".to_owned()), "{path}");
    }
    let (status, metrics) = get(&anybody, "/metrics").await;
    let epoch = metrics.lines().find_map(|line| line.strip_prefix("muster_hub_leader_epoch "));
    // On a machine with too much to do a Lease may run out meanwhile.
    assert!(status == 200 && epoch.is_some_and(|epoch| epoch != "0"), "{metrics}");
    let address = shanghai.address();
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(plain(&address, path).await, (200, "ok".to_owned()), "{path}");
    }
    assert!(plain(&address, "/metrics").await.1.contains("muster_agent_link_up 1"));

    // A view is for its own agent.
    let path = format!("/views/{SHANGHAI}/apis/view.muster.dev/v1alpha1/views/current");
    let (status, body) = get(&anybody, &path).await;
    assert!(status == 401 && body.contains("\"kind\":\"Status\""), "{status} {body}");
    let own = world.client(&url, Some(&world.ca.agent(SHANGHAI, Validity::Current)));
    assert_eq!(get(&own, &path).await.0, 200);
    let other = world.client(&url, Some(&world.ca.agent(NANJING, Validity::Current)));
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let (status, body) = send(&other, method, &path).await;
        assert!(status == 403 && body.contains(SHANGHAI) && body.contains(NANJING), "{status} {body}");
    }
    assert_eq!(hub.count(&["view refused"]), 2, "each cause once");

    // At rest nothing is written but the hub's Lease.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = [SHANGHAI, NANJING].map(|member| world.writes(member));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(before, [SHANGHAI, NANJING].map(|member| world.writes(member)));

    // What is on its way does not hold up a stop, and the Lease is given back: the next hub leads at once.
    for process in [&mut shanghai, &mut nanjing, &mut hub] {
        let (status, took) = process.terminate();
        assert_eq!(status.code(), Some(0), "{}", process.end());
        // A fraction of a second on an idle machine; what waits for a watch or a lost peer takes longer than this on any.
        assert!(took < Duration::from_secs(15), "{took:?}");
        assert!(process.count(&["\"level\":\"ERROR\""]) == 0, "{}", process.end());
    }
    let leases: Api<Lease> =
        Api::namespaced(world.sandbox.client("hub", "test").unwrap(), "kube-federation-system");
    let lease = leases.get("muster-hub").await.unwrap();
    let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
    assert_eq!(holder, "");
    let mut hub = world.hub();
    hub.says(&["\"leading\""]);
    hub.signal("INT");
    assert_eq!(hub.ended().code(), Some(0));
    world.stop().await;
}

/// How many connections are established on the server's side of an address of IPv4.
#[cfg(target_os = "linux")]
fn connections_to(address: &str) -> usize {
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let (local, established) = (format!(":{port:04X}"), "01");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 3 && row[1].ends_with(&local) && row[3] == established).count()
}
