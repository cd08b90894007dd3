//! What is wrong is said once, with what to do; nothing is written and nothing crashes.

use std::time::Duration;

use muster_harness::certificates::{Authority, Pair, Validity};
use muster_harness::process::Process;

use super::world::{Answers, SHANGHAI, World, get, plain};

/// An agent that cannot talk to its hub: it lives, is not ready, and said why in one line.
async fn stays_up_and_says(world: &World, agent: &mut Process, words: &[&str]) {
    agent.says(words);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(agent.runs(), "{}", agent.end());
    assert_eq!(agent.count(words), 1, "once:\n{}", agent.end());
    assert!(agent.lines().len() < 30, "{}", agent.end());
    let address = agent.address();
    assert_eq!(plain(&address, "/livez").await.0, 200);
    let (status, why) = plain(&address, "/readyz").await;
    assert!(status == 503 && words.iter().all(|word| why.contains(word)), "{status} {why}");
    let pods = world.sandbox.cluster(SHANGHAI).unwrap().metrics().requests();
    let created = pods.iter().filter(|(labels, _)| &*labels.resource == "pods" && labels.verb == "create");
    assert_eq!(created.count(), 0, "no write that was not asked for");
    agent.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_do_not_fit_are_explained() {
    let world = World::start().await;
    let mut hub = world.hub();
    let address = hub.address();
    let url = format!("https://{address}");
    let stranger = Authority::new("stranger-ca");
    std::fs::write(world.file("stranger.crt"), stranger.pem()).unwrap();
    let start = |own: &Pair, ca: &str, url: &str| world.agent_with(SHANGHAI, url, own, ca);
    let good = world.ca.agent(SHANGHAI, Validity::Current);

    let mut agent = start(&good, "stranger.crt", &url);
    stays_up_and_says(&world, &mut agent, &["not signed by the CA in --hub-ca stranger.crt", &url]).await;

    let mut agent = start(&world.ca.agent(SHANGHAI, Validity::Past), "ca.crt", &url);
    stays_up_and_says(
        &world,
        &mut agent,
        &["refuses the certificate in --client-cert", "2021-06-01", "renew it"],
    )
    .await;
    hub.says(&["TLS handshake refused", "xpired"]);

    let mut agent = start(&stranger.agent(SHANGHAI, Validity::Current), "ca.crt", &url);
    stays_up_and_says(&world, &mut agent, &["not signed by the hub's --client-ca", "CN=stranger-ca"]).await;

    let mut agent = start(&good, "ca.crt", &url.replace("127.0.0.1", "localhost"));
    stays_up_and_says(&world, &mut agent, &["is not for localhost but for 127.0.0.1"]).await;

    let mut agent = start(&world.ca.client(SHANGHAI, "other", Validity::Current), "ca.crt", &url);
    stays_up_and_says(&world, &mut agent, &["403", "not that of an agent", "muster:agents"]).await;

    hub.kill();
    let mut agent = start(&good, "ca.crt", &url);
    stays_up_and_says(&world, &mut agent, &["no connection: Connection refused", "check that the hub runs"])
        .await;

    let mut hub = world.hub_with(&world.ca.server(&["127.0.0.1"], Validity::Past), &address);
    let mut agent = start(&good, "ca.crt", &url);
    stays_up_and_says(
        &world,
        &mut agent,
        &["its certificate expired at 2021-06-01", "renew the hub's --tls-cert"],
    )
    .await;
    assert!(hub.runs());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_without_rights_are_told_which_to_grant() {
    let world = World::start().await;
    world.answer(Answers::Forbidden);
    let mut hub = world.hub();
    let url = format!("https://{}", hub.address());
    let mut agent = world.agent(SHANGHAI, &url);
    hub.says(&["cannot lead yet", "cannot reach", "deploy/hub/rbac.yaml"]);
    agent.says(&["cannot prepare the member yet", "cannot reach", "deploy/agent/rbac.yaml"]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(hub.runs() && agent.runs());
    assert!(hub.lines().len() < 12 && agent.lines().len() < 12, "{}\n{}", hub.text(), agent.end());
    let (status, why) = get(&world.client(&url, None), "/readyz").await;
    assert!(status == 503 && why.contains("deploy/hub/rbac.yaml"), "{status} {why}");
    let (status, why) = plain(&agent.address(), "/readyz").await;
    assert!(status == 503 && why.contains("deploy/agent/rbac.yaml"), "{status} {why}");
    assert_eq!(world.writes("hub") + world.writes(SHANGHAI), 0);

    // Rights that are granted later are used without a restart.
    world.answer(Answers::Usual);
    world.contact(SHANGHAI, true).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_ends_with_one_line() {
    let world = World::start().await;
    world.ca.server(&["127.0.0.1"], Validity::Current).write(world.directory(), "hub");
    world.ca.agent(SHANGHAI, Validity::Current).write(world.directory(), "agent");
    world.ca.agent("other", Validity::Current).write(world.directory(), "other");
    std::fs::write(world.file("empty"), "").unwrap();
    let hub = |cert: &str, key: &str, ca: &str| {
        let tls = ["--tls-cert", cert, "--tls-key", key, "--client-ca", ca];
        world.fails(&[&["hub", "--listen", "127.0.0.1:0"][..], &tls[..]].concat())
    };
    let agent = |more: &[&str]| {
        let hub = ["agent", "--hub", "https://127.0.0.1:1", "--cluster", SHANGHAI];
        world.fails(&[&hub[..], more].concat())
    };
    let own = ["--client-cert", "agent.crt", "--client-key", "agent.key", "--hub-ca", "ca.crt"];
    let cases = [
        (hub("none.crt", "hub.key", "ca.crt"), "error: --tls-cert none.crt: cannot be read: No such file"),
        (hub("hub.crt", "empty", "ca.crt"), "error: --tls-key empty: holds no private key"),
        (
            hub("hub.crt", "agent.key", "ca.crt"),
            "error: --tls-key agent.key: is not the private key of the certificate",
        ),
        (hub("hub.crt", "hub.key", "empty"), "error: --client-ca empty: holds no certificate"),
        (
            world.fails(&["hub", "--insecure", "--listen", "0.0.0.0:0"]),
            "error: --insecure with --listen 0.0.0.0:0",
        ),
        (
            world.fails(&["hub", "--insecure", "--listen", "127.0.0.1:0", "--context", "x"]),
            "error: --context \"x\"",
        ),
        (agent(&["--context", SHANGHAI]), "--client-cert, --client-key and --hub-ca are all needed"),
        (agent(&[&["--context", "x"][..], &own[..]].concat()), "has no such context; it has hub, "),
        (
            agent(&["--client-cert", "other.crt", "--client-key", "other.key", "--hub-ca", "ca.crt"]),
            "error: --client-cert other.crt: is for cluster \"other\", and --cluster is \"shanghai-cluster\"",
        ),
        (
            world.fails(&["agent", "--hub", "hub:8443", "--cluster", "a"]),
            "error: --hub \"hub:8443\" is not an address",
        ),
        (
            world.fails(&["agent", "--hub", "http://10.0.0.1", "--cluster", "a"]),
            "plain http would show everything",
        ),
        (world.fails(&["--log", "info,=x=", "status"]), "error: --log \"info,=x=\""),
    ];
    for (said, wanted) in cases {
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(wanted), "{said}, not {wanted}");
    }
    world.stop().await;
}
