//! API servers and hubs that go away and come back, certificates that change.

use std::time::Duration;

use muster_harness::certificates::Validity;

use super::world::{Answers, NANJING, SHANGHAI, World, get, plain};

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_goes_away_is_spoken_of_once_and_found_again() {
    let world = World::start().await;
    let mut hub = world.hub();
    let address = hub.address();
    let url = format!("https://{address}");
    let mut shanghai = world.agent(SHANGHAI, &url);
    let _nanjing = world.agent(NANJING, &url);
    world.settled(120, 80).await;
    let writes = [SHANGHAI, NANJING].map(|member| world.writes(member));

    world.answer(Answers::Away);
    // The hub cannot renew its Lease: it stops serving before another could start.
    hub.says(&["leadership lost"]);
    let anybody = world.client(&url, None);
    assert_eq!(get(&anybody, "/livez").await.0, 200);
    let (status, why) = get(&anybody, "/readyz").await;
    assert!(status == 503 && why.contains("leadership"), "{status} {why}");
    let health = shanghai.address();
    world
        .until("the agent is not ready and says why", async || {
            let (status, why) = plain(&health, "/readyz").await;
            if status == 503 && why.contains("hub (") { Ok(()) } else { Err(format!("{status} {why}")) }
        })
        .await;
    assert_eq!(plain(&health, "/livez").await.0, 200);
    tokio::time::sleep(Duration::from_secs(3)).await;
    for process in [&hub, &shanghai] {
        let lines = process.count(&["\"level\":\"WARN\""]) + process.count(&["\"level\":\"ERROR\""]);
        assert!((1..20).contains(&lines), "{lines} lines:\n{}", process.end());
    }

    world.answer(Answers::Usual);
    world
        .until("both are ready again", async || {
            let (hub, agent) = (get(&anybody, "/readyz").await, plain(&health, "/readyz").await);
            if hub.0 == 200 && agent.0 == 200 { Ok(()) } else { Err(format!("{hub:?} {agent:?}")) }
        })
        .await;
    world.settled(120, 80).await;
    assert_eq!(writes, [SHANGHAI, NANJING].map(|member| world.writes(member)), "nothing was asked for");
    assert!(hub.runs() && shanghai.runs());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_without_dropping_anybody() {
    let world = World::start().await;
    let mut hub = world.hub();
    let url = format!("https://{}", hub.address());
    let mut shanghai = world.agent(SHANGHAI, &url);
    let _nanjing = world.agent(NANJING, &url);
    world.settled(120, 80).await;
    assert_eq!(shanghai.count(&["connected to the hub"]), 1);

    std::fs::write(world.file("hub.crt"), "nothing").unwrap();
    let line = hub.says(&["cannot be used; the old ones stay"]).to_string();
    assert!(line.contains("--tls-cert hub.crt"), "{line}");
    world.ca.server(&["127.0.0.1", "localhost"], Validity::Current).write(world.directory(), "hub");
    hub.says(&["certificate files changed; new connections use them"]);
    let renamed = url.replace("127.0.0.1", "localhost");
    assert_eq!(get(&world.client(&renamed, None), "/livez").await.0, 200);
    assert_eq!(shanghai.count(&["connected to the hub"]), 1, "the old connection goes on");
    assert!(shanghai.runs());
    world.stop().await;
}
