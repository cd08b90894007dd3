//! Hub and agents as processes, their certificates, and the links between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use muster_harness::certificates::{Authority, Validity};
use muster_harness::process::{self, Process};
use muster_harness::scratch::Scratch;
use muster_runtime::{Tasks, client};
use serde_json::json;

use super::link::Link;
use super::pool::{self, Planes};
use super::{HUB, USER};

/// Ports to try for hubs; below those that `tests/kubernetes/up` takes (20000) and that the system hands out by itself.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// How many lines of each log a failed scenario shows.
const LAST_LINES: usize = 30;

/// The hub and the agents of one world.
pub(super) struct Parts {
    address: SocketAddr,
    hub: Part,
    agents: BTreeMap<String, (Part, Link)>,
    /// A client of the hub's own port.
    port: Client,
    /// Certificates and logs. Last, so that nobody writes into it any more when it goes.
    folder: Scratch,
}

/// One of them: what it is started with, and the process, if it runs.
struct Part {
    name: String,
    arguments: Vec<String>,
    process: Option<Process>,
}

// === impl Parts ===

impl Parts {
    /// Hub and agents, none of which runs yet.
    pub(super) async fn new(planes: &Planes, members: &[&str], tasks: &Tasks) -> Self {
        let folder = Scratch::new("scenario");
        let authority = Authority::new("scenarios");
        std::fs::write(folder.file("ca.crt"), authority.pem()).expect("a file can be written");
        authority.server(&["127.0.0.1"], Validity::Current).write(folder.path(), HUB);
        let address = free_address();
        let file = |name: &str| text(&folder.file(name));
        let plane = |name: &str| {
            let context = planes.get(name).context().to_owned();
            [("--kubeconfig", text(pool::kubeconfig())), ("--context", context)]
        };
        let mut flags = vec![
            ("--listen", address.to_string()),
            ("--tls-cert", file("hub.crt")),
            ("--tls-key", file("hub.key")),
            ("--client-ca", file("ca.crt")),
        ];
        flags.extend(plane(HUB));
        let hub = Part::new(HUB, "hub", flags);
        let mut agents = BTreeMap::new();
        for member in members {
            authority.agent(member, Validity::Current).write(folder.path(), member);
            let link = Link::start(address, tasks).await.expect("a link");
            let mut flags = vec![
                ("--hub", format!("https://{}", link.address())),
                ("--cluster", (*member).to_owned()),
                ("--client-cert", file(&format!("{member}.crt"))),
                ("--client-key", file(&format!("{member}.key"))),
                ("--hub-ca", file("ca.crt")),
            ];
            flags.extend(plane(member));
            agents.insert((*member).to_owned(), (Part::new(member, "agent", flags), link));
        }
        let port = connect(&folder, address, "", members.first().expect("a member")).await;
        Self { address, hub, agents, port, folder }
    }

    /// A client of the hub's own port.
    pub(super) fn port(&self) -> Client {
        self.port.clone()
    }

    /// A client of a member's view, with the certificate of the member's agent; its way is not over the link.
    pub(super) async fn view(&self, member: &str) -> Client {
        connect(&self.folder, self.address, &format!("/views/{member}"), member).await
    }

    /// Starts the hub; one that runs is killed first.
    pub(super) fn start_hub(&mut self) {
        self.hub.start(self.folder.path());
    }

    /// Ends the hub in good order (SIGTERM), and starts another.
    pub(super) fn replace_hub(&mut self) {
        if let Some(mut hub) = self.hub.process.take() {
            let (status, _) = hub.terminate();
            assert!(status.success(), "the hub ended with {status}\n{}", self.last_words());
        }
        self.start_hub();
    }

    /// Kills the hub where it is.
    pub(super) fn kill_hub(&mut self) {
        self.hub.process = None;
    }

    /// Starts a member's agent; one that runs is killed first.
    pub(super) fn start_agent(&mut self, member: &str) {
        let (part, _) = self.agents.get_mut(member).expect("a member");
        part.start(self.folder.path());
    }

    /// Kills a member's agent where it is.
    pub(super) fn kill_agent(&mut self, member: &str) {
        self.agents.get_mut(member).expect("a member").0.process = None;
    }

    /// Cuts a member's link to the hub, or mends it.
    pub(super) fn set_link(&self, member: &str, up: bool) {
        self.agents.get(member).expect("a member").1.set_up(up);
    }

    /// Fails if a process ended by itself.
    pub(super) fn assert_running(&mut self) {
        let words = self.last_words();
        for part in std::iter::once(&mut self.hub).chain(self.agents.values_mut().map(|(part, _)| part)) {
            let ended = part.process.as_mut().is_some_and(|process| !process.runs());
            assert!(!ended, "{} ended by itself\n{words}", part.name);
        }
    }

    /// The ends of all logs.
    pub(super) fn last_words(&self) -> String {
        let all = std::iter::once(&self.hub).chain(self.agents.values().map(|(part, _)| part));
        let ends = all.map(|Part { name, .. }| {
            let log = self.folder.file(&format!("{name}.log"));
            let said = std::fs::read(&log).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            let lines: Vec<&str> = said.lines().collect();
            let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
            format!("--- {name}, the end of {}:\n{last}\n", log.display())
        });
        ends.collect()
    }
}

// === impl Part ===

impl Part {
    fn new(name: &str, command: &str, flags: Vec<(&str, String)>) -> Self {
        let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        let arguments = std::iter::once(command.to_owned()).chain(flags).collect();
        Self { name: name.to_owned(), arguments, process: None }
    }

    fn start(&mut self, folder: &Path) {
        // The old one is killed before the new one begins: they share an address.
        self.process = None;
        self.process = Some(Process::start(&process::binary(), folder, &self.name, &self.arguments));
    }
}

/// A client of a path of the hub, with the certificate of a member's agent.
async fn connect(folder: &Scratch, address: SocketAddr, path: &str, member: &str) -> Client {
    let file = |name: &str| text(&folder.file(name));
    let kubeconfig = json!({
        "current-context": "hub",
        "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": "agent"}}],
        "clusters": [{"name": "hub", "cluster": {
            "server": format!("https://{address}{path}"),
            "certificate-authority": file("ca.crt"),
        }}],
        "users": [{"name": "agent", "user": {
            "client-certificate": file(&format!("{member}.crt")),
            "client-key": file(&format!("{member}.key")),
        }}],
    });
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    client::connect(config.expect("a configuration"), USER).expect("a client")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// An address that nobody listens on.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 977).unwrap_or_default() * 10;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + own.wrapping_add(step) % (PORTS.end - PORTS.start);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
