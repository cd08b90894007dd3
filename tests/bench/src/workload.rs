//! The GameStatefulSet controller: throughput, writes, memory, restart, and the plan of a large set.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use muster_crds::GameStatefulSet;
use muster_crds::tkex::GameStatefulSetStatus;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bars::{Bars, BenchError, Runs, say};
use crate::cluster::{AGENT, Bench, Controller};
use crate::counts::Writes;
use crate::planning;

const NAMESPACE: &str = "bench";

/// How often is looked.
const LOOK: Duration = Duration::from_millis(25);

/// How long one thing may take before the bench gives up.
const PATIENCE: Duration = Duration::from_mins(10);

/// How long a controller is watched after a restart for writes that it should not make.
const QUIET: Duration = Duration::from_secs(5);

/// Arguments of `workload`.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each measure is taken.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only the plan of a large set, which needs no cluster.
    #[arg(long)]
    plan_only: bool,
    /// A divisor of the number of pods, to try the bench itself; no bar speaks of fewer pods.
    #[arg(long, default_value_t = 1)]
    smaller: u32,
    /// A cluster of your own instead of the embedded one, as `tests/kubernetes/up --audit --kwok NODES` makes it.
    #[arg(long, value_name = "FILE", requires = "context", requires = "audit_log")]
    kubeconfig: Option<PathBuf>,
    /// Its context.
    #[arg(long)]
    context: Option<String>,
    /// The audit log of its API server, from which writes are counted.
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
}

/// Takes all measures.
pub(crate) async fn run(options: &Options) -> Result<Bars, BenchError> {
    let mut bars = Bars::default();
    let [small, thousand, large] = [300, 1000, 5000].map(|pods| (pods / options.smaller).max(1));
    say("planning");
    planning::measure(large, &mut bars)?;
    if options.plan_only {
        return Ok(bars);
    }
    let bench = match (&options.kubeconfig, &options.context, &options.audit_log) {
        (Some(kubeconfig), Some(context), Some(audit)) => Bench::existing(kubeconfig, context, audit).await?,
        _ => Bench::embedded((2 * large as usize + thousand as usize) / 110 + 2).await?,
    };
    let bed = Bed { bench, runs: options.runs.max(1) };
    bed.namespace().await?;
    let controller = bed.bench.controller().await?;
    bed.scale(thousand, &mut bars).await?;
    bed.in_place(&controller, "small", small, 5.0, &mut bars).await?;
    bed.in_place(&controller, "large", large, 60.0, &mut bars).await?;
    bed.rest(controller, large, &mut bars).await?;
    bed.clean().await?;
    Ok(bars)
}

/// A cluster with what is measured in it.
struct Bed {
    bench: Bench,
    runs: usize,
}

impl Bed {
    fn sets(&self) -> Api<GameStatefulSet> {
        Api::namespaced(self.bench.user.clone(), NAMESPACE)
    }

    async fn namespace(&self) -> Result<(), BenchError> {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
        Api::<Namespace>::all(self.bench.user.clone()).create(&PostParams::default(), &namespace).await?;
        Ok(())
    }

    async fn writes(&self) -> Result<Writes, BenchError> {
        self.bench.counter.writes(AGENT).await
    }

    /// From nothing to so many pods.
    async fn scale(&self, pods: u32, bars: &mut Bars) -> Result<(), BenchError> {
        let (mut rates, mut counted) = (Vec::new(), String::new());
        for run in 0..self.runs {
            say(&format!("scaling to {pods} pods, run {}", run + 1));
            // The controller knows the set and has nothing to do for it.
            self.create("scale", 0).await?;
            self.until("scale", |status| status.observed_generation.is_some()).await?;
            let before = self.writes().await?;
            let began = Instant::now();
            self.edit("scale", json!({"spec": {"replicas": pods}})).await?;
            self.until_written(&before, "create pods", u64::from(pods)).await?;
            rates.push(f64::from(pods) / began.elapsed().as_secs_f64());
            self.until_ready("scale", pods).await?;
            counted = self.writes().await?.since(&before).to_string();
            self.delete("scale").await?;
        }
        bars.at_least(&format!("scale 0 to {pods}"), &Runs::of(rates), 100.0, "pods/s", counted);
        Ok(())
    }

    /// An update in place of all pods at once.
    async fn in_place(
        &self,
        controller: &Controller,
        name: &str,
        pods: u32,
        most: f64,
        bars: &mut Bars,
    ) -> Result<(), BenchError> {
        self.create(name, pods).await?;
        self.until_ready(name, pods).await?;
        let (mut patched, mut complete, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut counted, mut used) = (String::new(), String::new());
        for run in 0..self.runs {
            say(&format!("updating {pods} pods in place, run {}", run + 1));
            let before = self.writes().await?;
            let (plans, cpu) = (controller.metrics().await?, controller.process.usage()?.cpu);
            let began = Instant::now();
            let image = format!("game:{}", run + 2);
            let containers = json!([{"name": "center", "image": image}]);
            self.edit(name, json!({"spec": {"template": {"spec": {"containers": containers}}}})).await?;
            self.until_written(&before, "patch pods", u64::from(pods)).await?;
            patched.push(began.elapsed().as_secs_f64());
            self.until_ready(name, pods).await?;
            complete.push(began.elapsed().as_secs_f64());
            let made = self.writes().await?.since(&before);
            writes.push(made.patches_of_pods() as f64 / f64::from(pods));
            counted = made.to_string();
            let after = controller.metrics().await?;
            let more = |name: &str| after.sum(name) - plans.sum(name);
            let planned = more("muster_workload_plan_duration_seconds_count");
            used = format!(
                "{planned} plans of {:.2} ms, {:.1} s of CPU until complete",
                more("muster_workload_plan_duration_seconds_sum") * 1000.0 / planned.max(1.0),
                controller.process.usage()?.cpu - cpu
            );
            self.check_images(name, &image, pods).await?;
        }
        let complete = Runs::of(complete);
        bars.at_most(&format!("{pods} pods patched in place"), &Runs::of(patched), most, "s", used);
        let measure = format!("writes per pod of {pods} updated in place");
        let counted = format!("{counted}; complete after {}", complete.text("s"));
        bars.at_most(&measure, &Runs::of(writes), 3.0, "", counted);
        Ok(())
    }

    /// Memory, and what a restart costs, with twice as many pods.
    async fn rest(&self, controller: Controller, pods: u32, bars: &mut Bars) -> Result<(), BenchError> {
        self.delete("small").await?;
        self.create("second", pods).await?;
        self.until_ready("second", pods).await?;
        let total = 2 * pods;
        let usage = controller.process.usage()?;
        let counted = format!("at most {:.1} MiB, {:.1} s of CPU so far", usage.most, usage.cpu);
        let measure = format!("resident memory at {total} pods, after all of this");
        bars.at_most(&measure, &Runs::of(vec![usage.resident]), 150.0, "MiB", counted);
        controller.process.end().await?;
        let (mut first, mut writes, mut memory) = (Vec::new(), Vec::new(), Vec::new());
        let (mut made, mut used) = (String::new(), String::new());
        for run in 0..self.runs {
            say(&format!("restarting at {total} pods, run {}", run + 1));
            let before = self.writes().await?;
            let controller = self.bench.controller().await?;
            let began = Instant::now();
            let planned = loop {
                let planned = controller.metrics().await?.sum("muster_workload_first_plan_seconds");
                if planned > 0.0 {
                    break planned;
                }
                patient(began, "a first plan")?;
                tokio::time::sleep(LOOK).await;
            };
            first.push(planned);
            tokio::time::sleep(QUIET).await;
            let since = self.writes().await?.since(&before);
            // The definitions are applied at each start, and stay as they are.
            let of_sets = since.without("customresourcedefinitions");
            writes.push(of_sets.total() as f64);
            made = since.to_string();
            let usage = controller.process.usage()?;
            memory.push(usage.resident);
            used = format!("at most {:.1} MiB, {:.1} s of CPU", usage.most, usage.cpu);
            controller.process.end().await?;
        }
        bars.at_most(
            &format!("resident memory at {total} pods, restarted"),
            &Runs::of(memory),
            150.0,
            "MiB",
            used,
        );
        bars.at_most(
            &format!("first decision after a restart at {total} pods"),
            &Runs::of(first),
            3.0,
            "s",
            made.clone(),
        );
        bars.at_most(&format!("writes of a restart at {total} pods"), &Runs::of(writes), 0.0, "", made);
        Ok(())
    }

    async fn clean(&self) -> Result<(), BenchError> {
        let namespaces = Api::<Namespace>::all(self.bench.user.clone());
        namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn create(&self, name: &str, replicas: u32) -> Result<(), BenchError> {
        let set: GameStatefulSet = serde_json::from_value(json!({
            "apiVersion": "tkex.tencent.com/v1alpha1",
            "kind": "GameStatefulSet",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "replicas": replicas,
                "serviceName": name,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "center", "image": "game:1"}]},
                },
                "updateStrategy": {
                    "type": "InplaceUpdate",
                    "rollingUpdate": {"maxUnavailable": "100%"},
                    "inPlaceUpdateStrategy": {"gracePeriodSeconds": 0},
                },
            },
        }))?;
        self.sets().create(&PostParams::default(), &set).await?;
        Ok(())
    }

    async fn edit(&self, name: &str, patch: Value) -> Result<(), BenchError> {
        self.sets().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Deletes a set, and waits until its pods are gone.
    async fn delete(&self, name: &str) -> Result<(), BenchError> {
        self.edit(name, json!({"spec": {"replicas": 0}})).await?;
        self.until(name, |status| status.replicas == 0 && status.draining_replicas == 0).await?;
        self.sets().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until the status of the newest generation passes a test.
    async fn until(
        &self,
        name: &str,
        test: impl Fn(&GameStatefulSetStatus) -> bool,
    ) -> Result<GameStatefulSet, BenchError> {
        let began = Instant::now();
        loop {
            let set = self.sets().get(name).await?;
            let status = set.status.clone().unwrap_or_default();
            if status.observed_generation == set.metadata.generation && test(&status) {
                return Ok(set);
            }
            patient(began, &format!("set {name}: {}", serde_json::to_string(&status)?))?;
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn until_ready(&self, name: &str, pods: u32) -> Result<(), BenchError> {
        let pods = i64::from(pods);
        self.until(name, |status| status.updated_ready_replicas == pods && status.replicas == pods).await?;
        Ok(())
    }

    /// Waits until so many writes of a kind were made since.
    async fn until_written(&self, before: &Writes, what: &str, count: u64) -> Result<(), BenchError> {
        let began = Instant::now();
        loop {
            let made = self.writes().await?.since(before);
            if made.of(what) >= count {
                return Ok(());
            }
            patient(began, &format!("{count} times {what}, and there is {made}"))?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether the update is real: every pod has the image, in its spec and running.
    async fn check_images(&self, name: &str, image: &str, pods: u32) -> Result<(), BenchError> {
        let api = Api::<Pod>::namespaced(self.bench.user.clone(), NAMESPACE);
        let listed = api.list(&ListParams::default().labels(&format!("app={name}"))).await?;
        let has = |pod: &&Pod| {
            let wanted = pod.spec.as_ref().and_then(|spec| spec.containers[0].image.as_deref());
            let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
            let runs = statuses.and_then(|statuses| statuses.first()).map(|status| status.image.as_str());
            wanted == Some(image) && runs.is_some_and(|runs| runs.ends_with(image))
        };
        let updated = listed.items.iter().filter(has).count();
        if updated == pods as usize {
            return Ok(());
        }
        Err(format!("{updated} of {pods} pods of {name} run {image} although their set says that all do")
            .into())
    }
}

fn patient(began: Instant, what: &str) -> Result<(), BenchError> {
    if began.elapsed() < PATIENCE { Ok(()) } else { Err(format!("waited {PATIENCE:?} for {what}").into()) }
}
