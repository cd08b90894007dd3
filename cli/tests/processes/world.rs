//! Embedded clusters behind a port, and the processes over them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use kube::api::Api;
use kube::config::Config as ClientConfig;
use kube::{Client, ResourceExt};
use muster_crds::FederatedGameStatefulSet;
use muster_crds::core_kubefed::KubeFedCluster;
use muster_harness::certificates::{Authority, Pair, Validity};
use muster_harness::process::Process;
use muster_harness::scratch::Scratch;
use muster_runtime::{Clock, Tasks, serve};
use muster_sandbox::manifests::{self, Manifest};
use muster_sandbox::{Config, Sandbox};
use parking_lot::Mutex;

pub(crate) const SHANGHAI: &str = "shanghai-cluster";
pub(crate) const NANJING: &str = "nanjing-cluster";

/// How long a state may take to come.
const DEADLINE: Duration = Duration::from_mins(1);

/// What the API servers answer instead of what they would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// What they would.
    Usual,
    /// 403 to everything, as to a user without any right.
    Forbidden,
    /// Nothing: connections break.
    Away,
}

/// Clusters behind a port, certificates, and a directory for what processes write.
pub(crate) struct World {
    pub(crate) scratch: Scratch,
    pub(crate) ca: Authority,
    pub(crate) sandbox: Sandbox,
    answers: Arc<Mutex<Answers>>,
    tasks: Tasks,
}

impl World {
    /// The talk's example on two members, without hub and agents.
    pub(crate) async fn start() -> Self {
        let (scratch, tasks) = (Scratch::new("processes"), Tasks::new());
        let mut config = Config::new(talk(), Clock::system());
        config.in_process = false;
        config.nodes = 3;
        config.pod_start = Duration::from_millis(10)..=Duration::from_millis(50);
        let sandbox = Sandbox::start(config, &tasks).await.unwrap();
        assert!(sandbox.rejected().is_empty(), "{:?}", sandbox.rejected());
        let answers = Arc::new(Mutex::new(Answers::Usual));
        let router = sandbox.router().layer(from_fn_with_state(Arc::clone(&answers), answer));
        let listener = serve::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        serve::serve(&tasks, listener, router);
        let kubeconfig = sandbox.kubeconfig(&base).to_string();
        std::fs::write(scratch.file("kubeconfig"), kubeconfig).unwrap();
        let ca = Authority::new("muster-ca");
        std::fs::write(scratch.file("ca.crt"), ca.pem()).unwrap();
        Self { scratch, ca, sandbox, answers, tasks }
    }

    /// What API servers answer from now on.
    pub(crate) fn answer(&self, answers: Answers) {
        *self.answers.lock() = answers;
    }

    pub(crate) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.scratch.file(name)
    }

    /// Starts a hub with a certificate for 127.0.0.1.
    pub(crate) fn hub(&self) -> Process {
        self.hub_with(&self.ca.server(&["127.0.0.1"], Validity::Current), "127.0.0.1:0")
    }

    /// Starts a hub with this certificate on this address.
    pub(crate) fn hub_with(&self, own: &Pair, listen: &str) -> Process {
        own.write(self.directory(), "hub");
        self.muster(
            "hub",
            &[
                "hub",
                "--listen",
                listen,
                "--tls-cert",
                "hub.crt",
                "--tls-key",
                "hub.key",
                "--client-ca",
                "ca.crt",
            ],
        )
    }

    /// Starts the agent of a member with a certificate of its own.
    pub(crate) fn agent(&self, member: &str, hub: &str) -> Process {
        self.agent_with(member, hub, &self.ca.agent(member, Validity::Current), "ca.crt")
    }

    /// Starts the agent of a member with this certificate, and a hub's CA of this file.
    pub(crate) fn agent_with(&self, member: &str, hub: &str, own: &Pair, ca: &str) -> Process {
        own.write(self.directory(), member);
        let (certificate, key) = (format!("{member}.crt"), format!("{member}.key"));
        let own = ["--client-cert", &certificate, "--client-key", &key, "--hub-ca", ca];
        let mut arguments = vec!["agent", "--cluster", member, "--context", member, "--hub", hub];
        arguments.extend(own);
        self.muster(member, &arguments)
    }

    /// Starts `muster` with these arguments.
    pub(crate) fn muster(&self, name: &str, arguments: &[&str]) -> Process {
        let mut all = vec!["--kubeconfig", "kubeconfig", "--log-format", "json"];
        all.extend(arguments);
        Process::start(Path::new(env!("CARGO_BIN_EXE_muster")), self.directory(), name, &all)
    }

    /// Runs `muster` to its end; returns what it wrote to standard error, after checking that it failed.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let mut process = self.muster("fails", arguments);
        let status = process.ended();
        let text = process.text();
        std::fs::remove_file(self.file("fails.log")).unwrap();
        assert_eq!(status.code(), Some(1), "{text}");
        text
    }

    /// Waits until `probe` finds nothing missing.
    pub(crate) async fn until(&self, what: &str, mut probe: impl AsyncFnMut() -> Result<(), String>) {
        let give_up = tokio::time::Instant::now() + DEADLINE;
        loop {
            let Err(lack) = probe().await else { return };
            assert!(
                tokio::time::Instant::now() < give_up,
                "{what}: {lack}\nlogs are in {}",
                self.directory().display()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the talk's set has these seats in Shanghai and Nanjing, all ready.
    pub(crate) async fn settled(&self, shanghai: i64, nanjing: i64) {
        let games: Api<FederatedGameStatefulSet> =
            Api::namespaced(self.sandbox.client("hub", "test").unwrap(), "center-system");
        self.until(&format!("{shanghai} and {nanjing}"), async || {
            let game = games.get("gamecenter").await.map_err(|error| error.to_string())?;
            let status = game.status.clone().unwrap_or_default();
            let ready = |name: &str| {
                let row = status.clusters.iter().find(|row| row.name == name)?;
                Some((row.planned, row.ready_replicas))
            };
            let found = [ready(SHANGHAI), ready(NANJING)];
            let wanted = [Some((Some(shanghai), Some(shanghai))), Some((Some(nanjing), Some(nanjing)))];
            if found == wanted && status.observed_generation == game.metadata.generation {
                Ok(())
            } else {
                Err(format!(
                    "{found:?} at {:?} of {:?}",
                    status.observed_generation, game.metadata.generation
                ))
            }
        })
        .await;
    }

    /// Waits until the hub says this of a member.
    pub(crate) async fn contact(&self, member: &str, ready: bool) {
        let clusters: Api<KubeFedCluster> =
            Api::namespaced(self.sandbox.client("hub", "test").unwrap(), "kube-federation-system");
        self.until(&format!("{member} ready: {ready}"), async || {
            let cluster = clusters.get(member).await.map_err(|error| error.to_string())?;
            let conditions = cluster.status.clone().unwrap_or_default().conditions;
            let found = conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
            if found == ready { Ok(()) } else { Err(format!("{}: {conditions:?}", cluster.name_any())) }
        })
        .await;
    }

    /// A client of the hub's port that shows this certificate, or none.
    pub(crate) fn client(&self, hub: &str, own: Option<&Pair>) -> Client {
        let mut config = ClientConfig::new(hub.parse().unwrap());
        config.default_retry = false;
        config.root_cert = Some(vec![der(self.ca.pem())]);
        if let Some(own) = own {
            use base64::Engine;
            let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
            config.auth_info.client_certificate_data = Some(encode(&own.certificate));
            config.auth_info.client_key_data = Some(encode(&own.key).into());
        }
        Client::try_from(config).unwrap()
    }

    /// What writes to a cluster there were so far, by whoever is not a simulated node.
    pub(crate) fn writes(&self, cluster: &str) -> u64 {
        let requests = self.sandbox.cluster(cluster).unwrap().metrics().requests();
        let ours = |agent: &str| agent.starts_with("muster-hub/") || agent.starts_with("muster-agent/");
        let writes = requests.into_iter().filter(|(labels, _)| {
            ours(&labels.user_agent) && !matches!(labels.verb, "get" | "list" | "watch" | "")
        });
        writes.map(|(_, count)| count).sum()
    }

    pub(crate) async fn stop(self) {
        self.tasks.stop().await;
    }
}

/// Status code and body of a GET.
pub(crate) async fn get(client: &Client, path: &str) -> (u16, String) {
    send(client, http::Method::GET, path).await
}

/// Status code and body of a request without body.
pub(crate) async fn send(client: &Client, method: http::Method, path: &str) -> (u16, String) {
    use http_body_util::BodyExt;
    let request =
        http::Request::builder().method(method).uri(path).body(kube::client::Body::empty()).unwrap();
    let answer = client.send(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// The text of a plain HTTP answer of an agent.
pub(crate) async fn plain(address: &str, path: &str) -> (u16, String) {
    let mut config = ClientConfig::new(format!("http://{address}").parse().unwrap());
    config.default_retry = false;
    get(&Client::try_from(config).unwrap(), path).await
}

async fn answer(State(answers): State<Arc<Mutex<Answers>>>, request: Request, next: Next) -> Response {
    let now = *answers.lock();
    match now {
        Answers::Usual => next.run(request).await,
        Answers::Forbidden => {
            let message = format!("User \"nobody\" cannot reach {}", request.uri().path());
            muster_apiserver::Status::new(http::StatusCode::FORBIDDEN, "Forbidden", message).into_response()
        }
        Answers::Away => {
            let broken = futures::stream::once(async { Err::<String, _>(std::io::Error::other("away")) });
            Response::new(Body::from_stream(broken))
        }
    }
}

fn talk() -> Vec<Manifest> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/talk");
    manifests::read(&[folder]).unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    use base64::Engine;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}
