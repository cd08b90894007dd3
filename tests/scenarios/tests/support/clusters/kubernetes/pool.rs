//! The control planes there are, and which of them are free.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use muster_runtime::client;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Where the control planes are: contexts `hub`, `hub-2`... and `member-1`, `member-2`...
const KUBECONFIG: &str = "MUSTER_TEST_KUBECONFIG";

/// The name of the hub among the clusters of a world.
use super::HUB;

static POOL: LazyLock<Pool> = LazyLock::new(Pool::read);

struct Pool {
    kubeconfig: PathBuf,
    free: Mutex<Free>,
    given_back: Notify,
}

#[derive(Default)]
struct Free {
    hubs: Vec<String>,
    members: Vec<String>,
    /// How many members there are, free or not.
    all_members: usize,
}

/// The control planes of one world, by the names it has for them; given back when this is dropped.
pub(super) struct Planes(BTreeMap<String, Plane>);

/// One control plane.
pub(super) struct Plane {
    /// Its context, which is also the name of its folder beside the kubeconfig.
    context: String,
    config: Config,
}

/// Takes a control plane for the hub and one for each of `members`, and waits until there are as many.
pub(super) async fn take(members: &[&str]) -> Planes {
    let contexts = POOL.take(members.len()).await;
    let names = std::iter::once(HUB).chain(members.iter().copied());
    let mut planes = BTreeMap::new();
    for (name, context) in names.zip(contexts) {
        planes.insert(name.to_owned(), Plane::of(context).await);
    }
    Planes(planes)
}

/// The kubeconfig with all of them.
pub(super) fn kubeconfig() -> &'static Path {
    &POOL.kubeconfig
}

// === impl Pool ===

impl Pool {
    fn read() -> Self {
        let path = std::env::var_os(KUBECONFIG).unwrap_or_else(|| {
            panic!("{KUBECONFIG} is not set; run tests/kubernetes/up and give the kubeconfig that it writes")
        });
        let kubeconfig = PathBuf::from(path);
        let read = Kubeconfig::read_from(&kubeconfig).unwrap_or_else(|error| panic!("{KUBECONFIG}: {error}"));
        let mut free = Free::default();
        for context in read.contexts {
            if context.name.starts_with("member-") {
                free.members.push(context.name);
            } else if context.name == HUB || context.name.starts_with("hub-") {
                free.hubs.push(context.name);
            }
        }
        free.all_members = free.members.len();
        assert!(!free.hubs.is_empty(), "{} has no context hub", kubeconfig.display());
        Self { kubeconfig, free: Mutex::new(free), given_back: Notify::new() }
    }

    /// Contexts of a hub and of so many members.
    async fn take(&self, members: usize) -> Vec<String> {
        loop {
            // Before looking, so that nothing that is given back in between is missed.
            let given_back = self.given_back.notified();
            {
                let mut free = self.free.lock();
                assert!(
                    members <= free.all_members,
                    "this scenario needs {members} members; {} has {}",
                    self.kubeconfig.display(),
                    free.all_members
                );
                if !free.hubs.is_empty() && free.members.len() >= members {
                    let hub = free.hubs.remove(0);
                    return std::iter::once(hub).chain(free.members.drain(..members)).collect();
                }
            }
            given_back.await;
        }
    }

    fn give_back(&self, contexts: impl Iterator<Item = String>) {
        let mut free = self.free.lock();
        for context in contexts {
            if context.starts_with("member-") { &mut free.members } else { &mut free.hubs }.push(context);
        }
        drop(free);
        self.given_back.notify_waiters();
    }
}

// === impl Planes ===

impl Planes {
    /// Each with the name that its world has for it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Plane)> {
        self.0.iter().map(|(name, plane)| (name.as_str(), plane))
    }

    /// The one with this name.
    pub(super) fn get(&self, name: &str) -> &Plane {
        self.0.get(name).unwrap_or_else(|| panic!("this world has no cluster {name}"))
    }
}

impl Drop for Planes {
    fn drop(&mut self) {
        POOL.give_back(self.0.values().map(|plane| plane.context.clone()));
    }
}

// === impl Plane ===

impl Plane {
    async fn of(context: String) -> Self {
        let read = Kubeconfig::read_from(kubeconfig()).expect("it was read before");
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(read, &options).await;
        Self { config: config.unwrap_or_else(|error| panic!("context {context}: {error}")), context }
    }

    /// Its context in the kubeconfig.
    pub(super) fn context(&self) -> &str {
        &self.context
    }

    /// An administrator's client.
    pub(super) fn client(&self, user_agent: &str) -> Client {
        client::connect(self.config.clone(), user_agent)
            .unwrap_or_else(|error| panic!("context {}: {error}", self.context))
    }

    /// What its API server wrote down of every request.
    pub(super) fn audit_log(&self) -> PathBuf {
        kubeconfig().with_file_name(&self.context).join("audit.log")
    }
}
