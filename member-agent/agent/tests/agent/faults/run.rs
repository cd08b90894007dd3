//! One run: a member with kubelets, a controller that is started again whenever it ends, and the script.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod as CorePod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use muster_agent::definitions;
use muster_agent::workload::{WorkloadConfig, WorkloadController};
use muster_apiserver::{Cluster, ClusterConfig};
use muster_crds::GameStatefulSet;
use muster_runtime::{Clock, Tasks, client, telemetry};
use muster_workload::Hooks;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::answers;
use super::layer::{Faults, Kind, LATE, Life};
use super::pod::Pod;
use super::referee::Referee;
use super::script::{self, Act, NAMESPACE};
use super::store::Refereed;
use crate::kubelet;

/// How many things happen.
const ACTS: usize = 12;

/// How long it may take until all is as it should be, once nothing goes wrong any more.
const CALM: Duration = Duration::from_mins(5);

/// How long nothing may be written then.
const QUIET: Duration = Duration::from_mins(2);

/// What is told of a run.
pub(super) struct Told {
    pub(super) seed: u64,
    pub(super) faults: BTreeMap<Kind, u32>,
    pub(super) writes: u64,
    /// The most pods that were down at once by the controller's doing.
    pub(super) most_down: usize,
    /// What happened last.
    pub(super) log: String,
    /// Promises that were not kept.
    pub(super) broken: Vec<String>,
}

struct Run {
    seed: u64,
    cluster: Cluster,
    user: Client,
    clock: Clock,
    tasks: Tasks,
    referee: Referee,
    faults: Faults,
    life: Arc<Mutex<Life>>,
    /// The templates that the set had, the newest last.
    templates: Vec<Value>,
}

/// Plays a seed.
pub(super) async fn run(seed: u64) -> Told {
    let mut random = StdRng::seed_from_u64(seed);
    let mut run = Run::new(seed).await;
    let result = run.play(&mut random).await;
    let (faults, referee) = (run.faults.counts(), run.referee.clone());
    run.tasks.stop().await;
    let broken = referee.broken().into_iter().chain(result.err()).collect();
    let (writes, most_down) = (referee.writes(), referee.most_down());
    Told { seed, faults, writes, most_down, log: referee.log(), broken }
}

impl Run {
    async fn new(seed: u64) -> Self {
        // MUSTER_LOG=debug shows what the controller thinks.
        telemetry::init(telemetry::Format::Text, None, "off").unwrap();
        // MUSTER_LOG=debug shows what the controller thinks.
        telemetry::init(telemetry::Format::Text, None, "off").unwrap();
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let now = clock.clone();
        let referee = Referee::new();
        let config = ClusterConfig::new("member", seed, Arc::new(move || now.now()));
        let cluster = Cluster::with_store(config, Arc::new(Refereed::new(referee.clone())));
        let tasks = Tasks::new();
        tasks.spawn("cluster", cluster.clone().run(tasks.token()));
        let user = client::in_process(cluster.router(), "user/test").unwrap();
        let kinds = definitions::own();
        definitions::install(&user, &kinds).await.unwrap();
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
        Api::<Namespace>::all(user.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let kubelet = client::in_process(cluster.router(), "kubelet/test").unwrap();
        kubelet::start(kubelet, clock.clone(), &tasks);
        let faults = Faults::new(seed, referee.clone(), tasks.clone());
        if faults.staleness() {
            referee.expect_staleness();
        }
        let life = Arc::new(Mutex::new(faults.life(0)));
        let run = Self { seed, cluster, user, clock, tasks, referee, faults, life, templates: Vec::new() };
        run.keep_alive(seed);
        run
    }

    /// Starts the controller, and again a while after each of its ends.
    fn keep_alive(&self, seed: u64) {
        let (faults, referee, lives) = (self.faults.clone(), self.referee.clone(), Arc::clone(&self.life));
        let (cluster, clock, tasks) = (self.cluster.clone(), self.clock.clone(), self.tasks.clone());
        let mut random = StdRng::seed_from_u64(seed ^ 0x11FE);
        self.tasks.spawn("keeper", async move {
            for number in 1.. {
                let life = lives.lock().clone();
                let controller = tasks.child();
                let member = faults.between(cluster.router(), &life);
                let member = client::in_process(member, "muster-agent/test").unwrap();
                let config =
                    WorkloadConfig { hooks: Hooks::Enforced, ..WorkloadConfig::new(member, clock.clone()) };
                WorkloadController::start(config, &controller);
                life.ended().await;
                controller.stop().await;
                referee.note(&format!("the controller ends its life {}", life.number));
                *lives.lock() = faults.life(number);
                tokio::time::sleep(Duration::from_millis(random.random_range(0..4000))).await;
            }
        });
    }

    async fn play(&mut self, random: &mut StdRng) -> Result<(), String> {
        let set = script::set(random);
        let user = client::in_process(self.cluster.router(), "hooks/test").unwrap();
        answers::start(user, self.faults.clone(), self.seed, &self.tasks).await;
        self.templates.push(set["spec"]["template"].clone());
        let set = serde_json::from_value(set).unwrap();
        self.sets().create(&PostParams::default(), &set).await.map_err(|error| error.to_string())?;
        for _ in 0..ACTS {
            // Half of them happen while the one before is still at work.
            let longest = if random.random_bool(0.5) { 1_500 } else { 12_000 };
            tokio::time::sleep(Duration::from_millis(random.random_range(0..longest))).await;
            if !self.referee.broken().is_empty() {
                return Ok(());
            }
            let act = script::next(random, &self.referee.set());
            self.referee.note(&format!("{act:?}"));
            self.act(act).await;
        }
        let broken = self.templates.iter().any(|template| template.to_string().contains("broken"));
        self.edit(script::repair(random, broken, &self.referee.set())).await;
        self.faults.stop(&self.life.lock());
        self.referee.note("calm");
        let begin = tokio::time::Instant::now();
        while let Err(why) = self.converged() {
            if begin.elapsed() > CALM || !self.referee.broken().is_empty() {
                return Err(format!("not converged: {why}"));
            }
            self.delete_the_broken().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        // What is under way arrives; events come a second late.
        tokio::time::sleep(LATE + Duration::from_secs(5)).await;
        let before = self.referee.writes();
        tokio::time::sleep(QUIET).await;
        self.life.lock().end();
        tokio::time::sleep(QUIET).await;
        let more = self.referee.writes() - before;
        if more == 0 { Ok(()) } else { Err(format!("{more} writes although nothing happened")) }
    }

    async fn act(&mut self, act: Act) {
        let pods: Api<CorePod> = Api::namespaced(self.user.clone(), NAMESPACE);
        // A pod may not be there.
        match act {
            Act::Edit(patch) => self.edit(patch).await,
            Act::Rollback => {
                if let [.., before, _] = &self.templates[..] {
                    self.edit(json!({"spec": {"template": before}})).await;
                }
            }
            Act::DeletePod(ordinal) => {
                drop(pods.delete(&format!("game-{ordinal}"), &DeleteParams::default()).await);
            }
            Act::FailPod(ordinal) => {
                let patch = Patch::Merge(json!({"status": {"phase": "Failed"}}));
                drop(pods.patch_status(&format!("game-{ordinal}"), &PatchParams::default(), &patch).await);
            }
            Act::Kill => self.life.lock().end(),
            Act::Rest => {}
        }
    }

    /// What its strategy does not replace, its user deletes. So too what is to go in an order that halts at it.
    async fn delete_the_broken(&mut self) {
        let broken = |pod: &Pod| !pod.available && pod.look.contains("broken");
        let pods = self.referee.pods().into_iter().filter(|(_, pod)| broken(pod));
        let spec = self.referee.spec();
        for (ordinal, _) in pods {
            if !spec.updates() || !spec.ordinals.contains(&ordinal) {
                self.act(Act::DeletePod(ordinal)).await;
            }
        }
    }

    async fn edit(&mut self, patch: Value) {
        let patch = script::complete(patch, &self.referee.set());
        let patched = self.sets().patch("game", &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.unwrap();
        let template = self.referee.set()["spec"]["template"].clone();
        if self.templates.last() != Some(&template) {
            self.templates.push(template);
        }
    }

    fn sets(&self) -> Api<GameStatefulSet> {
        Api::namespaced(self.user.clone(), NAMESPACE)
    }

    /// Whether all is as the spec says; says what is not.
    fn converged(&self) -> Result<(), String> {
        let (spec, set, pods) = (self.referee.spec(), self.referee.set(), self.referee.pods());
        let status = &set["status"];
        if status["observedGeneration"] != set["metadata"]["generation"] {
            return Err(format!("generation {} is not observed", set["metadata"]["generation"]));
        }
        if pods.keys().ne(spec.ordinals.iter()) {
            return Err(format!("pods {:?} instead of {:?}", pods.keys(), spec.ordinals));
        }
        for (ordinal, pod) in &pods {
            if !pod.available {
                return Err(format!("pod {ordinal} is not available"));
            }
            if spec.updates() && *ordinal >= spec.partition && pod.look != spec.look {
                return Err(format!("pod {ordinal} is {} instead of {}", pod.look, spec.look));
            }
        }
        let count = |field: &str| status[field].as_u64().unwrap_or_default();
        let ready = pods.values().filter(|pod| pod.available).count() as u64;
        if count("replicas") != pods.len() as u64 || count("readyReplicas") != ready {
            return Err(format!("status {status}"));
        }
        Ok(())
    }
}
