//! The cluster, the agent, and three game servers.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use muster_crds::GameStatefulSet;
use muster_runtime::{Clock, Tasks, client};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::args::Arguments;
use crate::failure::{Failure, Result, io, must, seen};
use crate::film::Film;
use crate::pods::{Seen, look};
use crate::set::{self, NAMESPACE, SET};

/// How long a change may take until it is complete.
const PATIENCE: Duration = Duration::from_mins(4);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// What the checks work on.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    /// What was seen of the game servers.
    pub(crate) film: Film,
    node: PathBuf,
    dir: PathBuf,
    agent: Agent,
}

impl World {
    /// Starts the agent and three game servers, and waits until they are ready.
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(&arguments.kubeconfig)?;
        let options =
            KubeConfigOptions { context: Some(arguments.context.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        let client = client::connect(config, "muster-node")?;
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let film = Film::start(Api::namespaced(client.clone(), NAMESPACE), SET, &clock, &tasks);
        let mut world = Self {
            client,
            clock,
            tasks,
            film,
            node: arguments.node.clone(),
            dir: arguments.dir.clone(),
            agent: Agent::start(arguments)?,
        };
        world.make().await?;
        Ok(world)
    }

    async fn make(&mut self) -> Result<()> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        self.until("the agent installs its definitions", async || {
            let definition = definitions.get_opt("gamestatefulsets.tkex.tencent.com").await?;
            let status = definition.and_then(|definition| definition.status);
            let established = status.and_then(|status| status.conditions).is_some_and(|conditions| {
                conditions.iter().any(|one| one.type_ == "Established" && one.status == "True")
            });
            Ok(if established { Ok(()) } else { Err("not established".to_owned()) })
        })
        .await?;
        let mine = PatchParams::apply("muster-node").force();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.patch(NAMESPACE, &mine, &Patch::Apply(namespace)).await?;
        self.apply(&set::manifest()).await?;
        self.settled(SET).await?;
        Ok(())
    }

    /// Sets of the namespace.
    pub(crate) fn sets(&self) -> Api<GameStatefulSet> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Pods of the namespace.
    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Gives a container of the set another image, and waits until that has happened; answers how long it took.
    pub(crate) async fn update(&mut self, container: &str, image: &str) -> Result<Duration> {
        let began = Instant::now();
        self.change(SET, container, "image", &json!(image)).await?;
        self.settled(SET).await?;
        Ok(began.elapsed())
    }

    /// Changes one field of a container of a set.
    pub(crate) async fn change(&self, set: &str, container: &str, field: &str, value: &Value) -> Result<()> {
        let live = self.sets().get(set).await?;
        let patch = set::container_patch(&live, container, field, value)
            .ok_or_else(|| Failure::Seen(format!("set {set} has no container {container}")))?;
        self.edit(set, &patch).await
    }

    /// Changes a set: a merge patch.
    pub(crate) async fn edit(&self, set: &str, patch: &Value) -> Result<()> {
        self.sets().patch(set, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Brings the game servers back to what they are at the beginning.
    pub(crate) async fn reset(&mut self) -> Result<()> {
        let strategy = json!({
            "inPlaceUpdateStrategy": {"prePull": null, "gracePeriodSeconds": set::GRACE},
            "podDeadlineSeconds": null,
            "onPodDeadline": null,
        });
        self.edit(SET, &json!({"spec": {"updateStrategy": strategy}})).await?;
        self.apply(&set::manifest()).await?;
        self.settled(SET).await
    }

    /// Applies a set.
    pub(crate) async fn apply(&self, manifest: &Value) -> Result<()> {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        self.sets().patch(name, &PatchParams::apply("muster-node").force(), &Patch::Apply(manifest)).await?;
        Ok(())
    }

    /// Deletes a set, and waits until its pods are gone.
    pub(crate) async fn remove(&mut self, set: &str) -> Result<()> {
        self.sets().delete(set, &DeleteParams::background()).await?;
        let (pods, params) = (self.pods(), ListParams::default().labels(&format!("app={set}")));
        self.until("its pods are gone", async || {
            let left = pods.list(&params).await?.items.len();
            Ok(if left == 0 { Ok(()) } else { Err(format!("{left} are left")) })
        })
        .await
    }

    /// Waits until a set has all that it asks for.
    pub(crate) async fn settled(&mut self, set: &str) -> Result<()> {
        let sets = self.sets();
        self.until(&format!("set {set} has settled"), async || Ok(set::settled(&sets.get(set).await?))).await
    }

    /// Waits until the status of a set says all of these words, and answers what it says where the first of them is.
    pub(crate) async fn says(&mut self, set: &str, words: &[&str]) -> Result<String> {
        let sets = self.sets();
        let said = Mutex::new(String::new());
        self.until(&format!("set {set} says {words:?}"), async || {
            let status = serde_json::to_value(sets.get(set).await?.status).unwrap_or_default();
            let lines = messages(&status);
            let found = lines.iter().find(|line| words.iter().all(|word| line.contains(word)));
            Ok(match found {
                Some(line) => {
                    said.lock().clone_from(line);
                    Ok(())
                }
                None => Err(lines.join("; ")),
            })
        })
        .await?;
        Ok(said.into_inner())
    }

    /// Waits until `look` is content; a sentence of it says why it is not yet.
    pub(crate) async fn until<F>(&mut self, what: &str, look: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<std::result::Result<(), String>>>,
    {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.agent.must_run()?;
            let Err(not_yet) = look().await? else { return Ok(()) };
            must(Instant::now() < deadline, || format!("not within {PATIENCE:?}: {what}: {not_yet}"))?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// All game servers, by name.
    pub(crate) async fn look(&self) -> Result<BTreeMap<String, Seen>> {
        let pids = self.pids().await?;
        let mut all = BTreeMap::new();
        for pod in self.pods().list(&ListParams::default().labels(&format!("app={SET}"))).await? {
            let (name, seen) = look(&pod, &pids).await?;
            all.insert(name, seen);
        }
        Ok(all)
    }

    /// Process ids of the node's containers, by container id.
    async fn pids(&self) -> Result<BTreeMap<String, String>> {
        let mut command = Command::new(&self.node);
        command.args(["enter", "--dir"]).arg(&self.dir);
        let output = command.args(["ctr", "-n", "k8s.io", "tasks", "ls"]).output().await;
        let output = output.map_err(io(self.node.display().to_string()))?;
        if !output.status.success() {
            return seen(format!("ctr tasks ls: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let task = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some((words.next()?, words.next()?))
        };
        Ok(text.lines().skip(1).filter_map(task).collect())
    }

    /// Deletes the namespace, waits until its pods are gone, and ends the agent.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.tasks.stop().await;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(NAMESPACE, &DeleteParams::background()).await?;
        self.until("the namespace is gone", async || {
            let gone = namespaces.get_opt(NAMESPACE).await?.is_none();
            Ok(if gone { Ok(()) } else { Err("still there".to_owned()) })
        })
        .await?;
        self.agent.end().await
    }
}

/// What a status says in words: of conditions and of what does not move.
fn messages(status: &Value) -> Vec<String> {
    let lists = ["conditions", "blockedBy"].into_iter().filter_map(|list| status[list].as_array());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |one: &Value| {
        let words = ["type", "status", "reason", "pod", "code", "message"].map(|field| text(&one[field]));
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    lists.flatten().map(line).collect()
}
