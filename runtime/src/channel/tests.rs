use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request as AxumRequest;
use axum::routing::get;
use http_body_util::BodyExt;
use muster_harness::certificates::{Authority, Pair, Validity};
use muster_harness::scratch::Scratch;
use tower::ServiceExt;

use super::*;
use crate::serve::{self, Peer};
use crate::tls::testing;

/// A server on a port of its own, behind a relay that counts connections.
struct World {
    scratch: Scratch,
    tasks: Tasks,
    servers: Authority,
    clients: Authority,
    port: u16,
    relayed: Arc<AtomicUsize>,
    /// Cuts what is relayed now.
    cut: tokio::sync::watch::Sender<()>,
}

impl World {
    async fn start(validity: Validity) -> Self {
        let (scratch, tasks) = (Scratch::new("channel"), Tasks::new());
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let tls = testing::server(&scratch, &servers.server(&["127.0.0.1"], validity), &clients).unwrap();
        let router = Router::new()
            .route("/views/a/who", get(who))
            .route("/views/a/never", get(std::future::pending::<&'static str>));
        let listener = serve::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let behind = listener.local_addr().unwrap();
        serve::serve_tls(&tasks, listener, router, tls);
        let front = serve::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let port = front.local_addr().unwrap().port();
        let (relayed, (cut, cuts)) = (Arc::new(AtomicUsize::new(0)), tokio::sync::watch::channel(()));
        let (counter, group) = (Arc::clone(&relayed), tasks.clone());
        tasks.spawn("relay", async move {
            while let Ok((mut near, _)) = front.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                group.spawn("relayed", async move {
                    let mut far = TcpStream::connect(behind).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { scratch, tasks, servers, clients, port, relayed, cut }
    }

    fn channel(&self, own: &Pair, ca: &Authority) -> Channel {
        self.channel_to(&format!("https://127.0.0.1:{}/views/a", self.port), own, ca)
    }

    fn channel_to(&self, url: &str, own: &Pair, ca: &Authority) -> Channel {
        let tls = testing::client(&self.scratch, own, ca).unwrap();
        Channel::new(Target::new(url).unwrap(), Some(tls), &self.tasks)
    }

    fn agent(&self) -> Pair {
        self.clients.agent("a", Validity::Current)
    }
}

async fn who(request: AxumRequest) -> String {
    let peer = request.extensions().get::<Peer>().unwrap();
    let name = peer.certificate.as_ref().map(|certificate| certificate.common_name.clone());
    format!("{:?} over {:?}", name.unwrap_or_default(), request.version())
}

async fn ask(channel: &Channel, path: &str) -> Result<String, String> {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = channel.clone().oneshot(request).await.map_err(|error| chain(&*error))?;
    let body = answer.into_body().collect().await.map_err(|error| chain(&error))?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

#[tokio::test]
async fn everything_goes_over_one_connection_and_a_lost_one_is_made_again() {
    let world = World::start(Validity::Current).await;
    let channel = world.channel(&world.agent(), &world.servers);
    for _ in 0..50 {
        let open = channel.clone();
        world.tasks.spawn("open", async move { drop(ask(&open, "/never").await) });
    }
    let asked = futures::future::join_all((0..50).map(|_| ask(&channel, "/who"))).await;
    assert!(asked.iter().all(|answer| answer.as_deref() == Ok("\"a\" over HTTP/2.0")), "{asked:?}");
    assert_eq!(world.relayed.load(Ordering::SeqCst), 1);

    world.cut.send(()).unwrap();
    for _ in 0..200 {
        if ask(&channel, "/who").await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ask(&channel, "/who").await.as_deref(), Ok("\"a\" over HTTP/2.0"));
    assert_eq!(world.relayed.load(Ordering::SeqCst), 2);
    world.tasks.stop().await;
}

#[tokio::test]
async fn a_client_says_what_is_wrong_with_the_servers_certificate() {
    let world = World::start(Validity::Current).await;
    let stranger = Authority::new("stranger");
    let text = ask(&world.channel(&world.agent(), &stranger), "/who").await.unwrap_err();
    assert!(text.contains("not signed by the CA in --ca") && text.contains("server-ca.crt"), "{text}");
    assert!(text.starts_with(&format!("https://127.0.0.1:{}", world.port)), "{text}");

    let url = format!("https://localhost:{}", world.port);
    let text = ask(&world.channel_to(&url, &world.agent(), &world.servers), "/who").await.unwrap_err();
    assert!(text.contains("is not for localhost but for 127.0.0.1; use one of these"), "{text}");
    world.tasks.stop().await;

    let world = World::start(Validity::Past).await;
    let text = ask(&world.channel(&world.agent(), &world.servers), "/who").await.unwrap_err();
    assert!(text.contains("its certificate expired at 2021-06-01T00:00:00Z; renew"), "{text}");
    world.tasks.stop().await;

    let world = World::start(Validity::Future).await;
    let text = ask(&world.channel(&world.agent(), &world.servers), "/who").await.unwrap_err();
    assert!(text.contains("is not valid before 2090-01-01"), "{text}");
    world.tasks.stop().await;
}

#[tokio::test]
async fn a_client_says_why_the_server_refuses_its_own_certificate() {
    let world = World::start(Validity::Current).await;
    let expired = world.channel(&world.clients.agent("a", Validity::Past), &world.servers);
    let text = ask(&expired, "/who").await.unwrap_err();
    assert!(text.contains("it refuses the certificate in --cert") && text.contains("2021-06-01"), "{text}");
    assert!(text.contains("renew it"), "{text}");

    let stranger = Authority::new("stranger");
    let foreign = world.channel(&stranger.agent("a", Validity::Current), &world.servers);
    let text = ask(&foreign, "/who").await.unwrap_err();
    assert!(text.contains("not signed by the hub's --client-ca (it is signed by CN=stranger)"), "{text}");
    world.tasks.stop().await;
}

#[tokio::test]
async fn a_client_says_when_there_is_no_hub_where_it_was_told() {
    let world = World::start(Validity::Current).await;
    let nobody = serve::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let url = format!("https://127.0.0.1:{port}");
    let channel = world.channel_to(&url, &world.agent(), &world.servers);
    let text = ask(&channel, "/who").await.unwrap_err();
    assert!(
        text.contains("no connection: Connection refused") && text.contains("check that the hub"),
        "{text}"
    );

    let plain = serve::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = format!("https://127.0.0.1:{}", plain.local_addr().unwrap().port());
    serve::serve(&world.tasks, plain, Router::new());
    let channel = world.channel_to(&url, &world.agent(), &world.servers);
    let text = ask(&channel, "/who").await.unwrap_err();
    assert!(text.contains("does not speak TLS"), "{text}");

    let channel = world.channel(&world.agent(), &world.servers);
    std::fs::remove_file(world.scratch.file("client.key")).unwrap();
    let text = ask(&channel, "/who").await.unwrap_err();
    assert!(text.contains("client.key: cannot be read"), "{text}");
    world.tasks.stop().await;
}

#[tokio::test(start_paused = true)]
async fn however_many_ask_a_server_that_is_away_is_tried_seldom() {
    let (tasks, nobody) = (Tasks::new(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let channel = Channel::new(Target::new(&url).unwrap(), None, &tasks);
    let mut pauses = Vec::new();
    for _ in 0..2000 {
        ask(&channel, "/who").await.unwrap_err();
        pauses.push(channel.0.state.lock().await.failed.as_ref().unwrap().pause);
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    pauses.dedup();
    let doubled: Vec<u128> = pauses.iter().map(Duration::as_millis).collect();
    assert_eq!(
        doubled,
        [100, 200, 400, 800, 1600, 2000],
        "each attempt doubles the pause, so there were few"
    );
    tasks.stop().await;
}

#[test]
fn an_address_is_https_or_of_this_machine() {
    assert_eq!(Target::new("https://hub:8443/").unwrap().to_string(), "https://hub:8443");
    assert_eq!(Target::new("https://[::1]:8443").unwrap().host, "::1");
    assert_eq!(Target::new("https://hub").unwrap().port, 443);
    Target::new("http://127.0.0.1:80").unwrap();
    Target::new("http://localhost:80").unwrap();
    let text = Target::new("http://hub:80").unwrap_err().to_string();
    assert!(text.contains("write https://"), "{text}");
    for bad in ["hub:8443", "ftp://hub", "https://", "/x", "https://hub?x"] {
        assert!(Target::new(bad).unwrap_err().to_string().contains("HOST:PORT"), "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_address_leaves_time_for_the_others() {
    let addresses: Vec<SocketAddr> = (1..=3).map(|last| SocketAddr::from(([10, 0, 0, last], 443))).collect();
    let silent = |address: SocketAddr| async move {
        match address.ip().to_string().as_str() {
            "10.0.0.3" => Ok(address),
            _ => std::future::pending().await,
        }
    };
    let began = Instant::now();
    assert_eq!(first_of(&addresses, silent).await.unwrap(), addresses[2]);
    assert!(began.elapsed() < DIAL_DEADLINE);

    let refused = |address: SocketAddr| async move {
        match address.ip().to_string().as_str() {
            "10.0.0.2" => Err::<(), _>(std::io::Error::other("refused")),
            _ => std::future::pending().await,
        }
    };
    let began = Instant::now();
    let reason = first_of(&addresses, refused).await.unwrap_err();
    assert_eq!(
        reason,
        "10.0.0.1:443: no answer within 2.0 s; 10.0.0.2:443: refused; 10.0.0.3:443: no answer within 4.0 s"
    );
    assert_eq!(began.elapsed(), DIAL_DEADLINE);
}

#[test]
fn an_address_with_a_password_is_refused_and_not_repeated() {
    for url in ["https://me:secret@hub:8443", "https://secret@hub", "http://me:secret@[::1", "secret@hub"] {
        let error = Target::new(url).unwrap_err().to_string();
        assert!(error.contains("password") && !error.contains("secret"), "{error}");
    }
}
