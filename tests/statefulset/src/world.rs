//! The control plane, the agent, and a case on both sides.

use std::time::Duration;

use futures::future::join;
use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use muster_harness::process::Process;
use muster_runtime::{Tasks, client};
use serde_json::json;
use tokio::time::Instant;

use crate::args::Arguments;
use crate::cases::{Case, Difference};
use crate::compare::{acts, different, swaps, table};
use crate::failure::{Result, seen};
use crate::record::Line;
use crate::side::{Kind, Side};

/// How long the agent may take to install its definitions.
const START: Duration = Duration::from_mins(2);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Volumes for the claims of all cases; nobody makes any on demand.
const VOLUMES: usize = 60;

/// What cases are played on.
pub(crate) struct World {
    client: Client,
    tasks: Tasks,
    agent: Process,
}

/// Both records of a case.
pub(crate) struct Played {
    theirs: Vec<Line>,
    ours: Vec<Line>,
    /// What did not hold the first time.
    before: Option<String>,
}

impl World {
    /// Starts the agent.
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(&arguments.kubeconfig)?;
        let options =
            KubeConfigOptions { context: Some(arguments.context.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        let client = client::connect(config, "muster-statefulset")?;
        let kubeconfig = arguments.kubeconfig.display().to_string();
        let agent = Process::start(
            &arguments.muster,
            &arguments.dir,
            "agent",
            &[
                "agent",
                "--cluster",
                "side-by-side",
                "--context",
                &arguments.context,
                "--kubeconfig",
                &kubeconfig,
            ],
        );
        let mut world = Self { client, tasks: Tasks::new(), agent };
        world.definitions().await?;
        world.volumes().await?;
        Ok(world)
    }

    async fn definitions(&mut self) -> Result<()> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let give_up = Instant::now() + START;
        loop {
            let definition = definitions.get_opt("gamestatefulsets.tkex.tencent.com").await?;
            let status = definition.and_then(|definition| definition.status);
            let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
            if conditions.iter().any(|one| one.type_ == "Established" && one.status == "True") {
                return Ok(());
            }
            if Instant::now() > give_up || !self.agent.runs() {
                return seen(format!("the agent did not install its definitions:\n{}", self.agent.end()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn volumes(&self) -> Result<()> {
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        for number in 0..VOLUMES {
            let name = format!("volume-{number}");
            let volume = json!({
                "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "hostPath": {"path": format!("/volumes/{name}")},
                },
            });
            match serde_json::from_value(volume) {
                Ok(volume) => drop(volumes.create(&PostParams::default(), &volume).await?),
                Err(error) => return seen(format!("no volume: {error}")),
            }
        }
        Ok(())
    }

    /// Plays a case on both sides at once. Where it does not hold it is played once more: kube-controller-manager deletes
    /// by name what it knows from a cache, and on a machine that has other things to do that is now and then the next pod
    /// of that name. Such a case holds only if it holds then, and ours did the same both times.
    pub(crate) async fn play(&self, case: &Case) -> Result<Played> {
        let (theirs, ours) = self.both(case, case.name).await;
        let ours = ours?;
        let why = match theirs {
            Ok(theirs) => {
                let played = Played { theirs, ours: ours.clone(), before: None };
                let Err(why) = played.judge(case.differences) else { return Ok(played) };
                format!("{}    {why}", played.table())
            }
            Err(error) => error.to_string(),
        };
        let (theirs, again) = self.both(case, &format!("{}-again", case.name)).await;
        let again = again?;
        if acts(&ours) != acts(&again) {
            return seen(format!("{why}\n    and a second time ours did something else"));
        }
        Ok(Played { theirs: theirs?, ours: again, before: Some(why) })
    }

    async fn both(&self, case: &Case, name: &str) -> (Result<Vec<Line>>, Result<Vec<Line>>) {
        join(self.side(case, name, Kind::Theirs), self.side(case, name, Kind::Ours)).await
    }

    async fn side(&self, case: &Case, name: &str, kind: Kind) -> Result<Vec<Line>> {
        let side = Side::start(kind, self.client.clone(), name, case.manifest.clone(), &self.tasks).await?;
        if let Err(error) = (case.play)(&side).await {
            let lines = side.lines()?;
            return seen(format!(
                "{error}\nWhat was seen until then:\n{}",
                table([kind.name(), ""], &acts(&lines), &[])
            ));
        }
        side.lines()
    }

    /// The end of the agent's log, if it ended by itself.
    pub(crate) fn ended_early(&mut self) -> Option<String> {
        (!self.agent.runs()).then(|| self.agent.end())
    }

    /// Ends the agent. What the cases made goes with the control plane.
    pub(crate) async fn end(self) {
        self.tasks.stop().await;
    }
}

impl Played {
    /// Both, line by line.
    pub(crate) fn table(&self) -> String {
        let heads = [Kind::Theirs.name(), Kind::Ours.name()];
        table(heads, &acts(&self.theirs), &acts(&self.ours))
    }

    /// A list against itself with neighbours exchanged.
    pub(crate) fn swap_table(&self) -> String {
        table(["as it was seen", "with two exchanged"], &acts(&self.theirs), &acts(&self.ours))
    }

    /// Whether they differ in exactly the acts that are named; what is to be said of these, or what is wrong.
    pub(crate) fn judge(&self, on_purpose: &[Difference]) -> std::result::Result<String, String> {
        let found = different(&acts(&self.theirs), &acts(&self.ours));
        let is_named = |act: &String| on_purpose.iter().any(|difference| difference.act == act);
        if let Some(act) = found.iter().find(|act| !is_named(act)) {
            return Err(format!("they differ in \"{act}\""));
        }
        if let Some(difference) = on_purpose.iter().find(|one| !found.iter().any(|act| act == one.act)) {
            return Err(format!(
                "they do not differ in \"{}\" any more: take that out of the case",
                difference.act
            ));
        }
        let says = |one: &Difference| format!("    on purpose in \"{}\": {}\n", one.act, one.why);
        let mut notes: String = on_purpose.iter().map(says).collect();
        if let Some(before) = &self.before {
            notes.push_str("    the first time it was theirs that was otherwise:\n");
            notes.push_str(before);
        }
        Ok(notes)
    }

    /// StatefulSet's list against itself with two neighbours exchanged, once for every two.
    pub(crate) fn swaps(&self) -> impl Iterator<Item = Self> + '_ {
        swaps(&self.theirs).into_iter().map(|wrong| Self {
            theirs: self.theirs.clone(),
            ours: wrong,
            before: None,
        })
    }
}
