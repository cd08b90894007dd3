//! `muster sandbox`: a hub and its members in this process.

mod progress;

use std::process::ExitCode;
use std::time::Duration;

use kube::api::Api;
use kube::{Client, ResourceExt};
use muster_crds::FederatedGameStatefulSet;
use muster_runtime::watch::{Cache, Watch};
use muster_runtime::{Clock, Tasks, serve};
use muster_sandbox::data_dir::DataDir;
use muster_sandbox::manifests::{self, Manifest};
use muster_sandbox::{Config, Sandbox};
use tokio::time::Instant;

use self::progress::Progress;
use crate::args::SandboxOptions;
use crate::error::CliError;
use crate::output;
use crate::process::Signals;
use crate::status::view::{self, Readiness};

/// The example that runs when no manifest is named.
const TALK: [(&str, &str); 3] = [
    ("examples/talk/clusters.yaml", include_str!("../../../examples/talk/clusters.yaml")),
    ("examples/talk/preference.yaml", include_str!("../../../examples/talk/preference.yaml")),
    (
        "examples/talk/federatedgamestatefulset.yaml",
        include_str!("../../../examples/talk/federatedgamestatefulset.yaml"),
    ),
];

/// How the sandbox's own watches call themselves.
const USER_AGENT: &str = concat!("muster-sandbox/", env!("CARGO_PKG_VERSION"));

/// How often progress is shown.
const FRAME: Duration = Duration::from_millis(100);

/// How long everything may take to stop.
const STOP: Duration = Duration::from_secs(1);

pub(crate) async fn run(options: SandboxOptions) -> Result<ExitCode, CliError> {
    let started = Instant::now();
    let applied = read_manifests(&options)?;
    let data_dir = DataDir::open(&options.data_dir)?;
    let listener = serve::listen(data_dir.address(options.listen)).await?;
    let address = listener.local_addr().map_err(CliError::Address)?;
    let mut signals = Signals::new()?;

    let tasks = Tasks::new();
    let mut config = Config::new(applied.clone(), Clock::system());
    config.seed = options.seed;
    config.pod_start = options.pod_start.0.clone();
    config.scheduling = options.scheduler.into();
    let ran = tokio::select! {
        ran = serve_and_show(config, &options, &data_dir, listener, address, &tasks, started) => ran,
        _ = signals.stop() => Ok(ExitCode::SUCCESS),
    };
    if tokio::time::timeout(STOP, tasks.stop()).await.is_err() {
        tracing::warn!("some tasks did not stop in time");
    }
    ran
}

async fn serve_and_show(
    config: Config,
    options: &SandboxOptions,
    data_dir: &DataDir,
    listener: tokio::net::TcpListener,
    address: std::net::SocketAddr,
    tasks: &Tasks,
    started: Instant,
) -> Result<ExitCode, CliError> {
    let sandbox = Sandbox::start(config, tasks).await?;
    sandbox.serve(listener);
    let base = format!("http://{address}");
    data_dir.write_kubeconfig(&sandbox.kubeconfig(&base))?;
    data_dir.remember_port(address.port())?;
    announce(&sandbox, data_dir, &base);
    for rejected in sandbox.rejected() {
        output::error(&rejected.to_string());
    }
    let client = sandbox.client("hub", USER_AGENT)?;
    let objects = federated(&client, tasks);
    objects.synced().await;
    if options.once {
        once(&sandbox, &objects, options, started).await
    } else {
        show_for_ever(&sandbox, &objects, data_dir, &base, started).await
    }
}

/// Shows progress until every federated object is Ready or the time is up.
async fn once(
    sandbox: &Sandbox,
    objects: &Cache<FederatedGameStatefulSet>,
    options: &SandboxOptions,
    started: Instant,
) -> Result<ExitCode, CliError> {
    let mut progress = Progress::new();
    let deadline = started + options.timeout;
    loop {
        let all = objects.list();
        progress.show(&all);
        let waiting = view::not_ready(&all);
        let rejected = sandbox.rejected();
        if waiting.is_empty() && rejected.is_empty() {
            progress.finish();
            output::text(&view::table(&view::rows(&all, view::now())));
            output::line(&ready_line(&all, started));
            return Ok(ExitCode::SUCCESS);
        }
        let hopeless = waiting.is_empty();
        if hopeless || Instant::now() >= deadline {
            progress.finish();
            output::text(&view::table(&view::rows(&all, view::now())));
            for rejected in rejected {
                output::error(&rejected.to_string());
            }
            for Readiness { object, why } in waiting {
                output::error(&format!("{object} is not ready: {why}"));
            }
            return Ok(ExitCode::FAILURE);
        }
        tokio::time::sleep(FRAME).await;
    }
}

async fn show_for_ever(
    sandbox: &Sandbox,
    objects: &Cache<FederatedGameStatefulSet>,
    data_dir: &DataDir,
    base: &str,
    started: Instant,
) -> Result<ExitCode, CliError> {
    let mut progress = Progress::new();
    let mut members = sandbox.members();
    let mut told = false;
    loop {
        let all = objects.list();
        progress.show(&all);
        if !told && !all.is_empty() && view::not_ready(&all).is_empty() {
            told = true;
            progress.note(&ready_line(&all, started));
            progress.note(&hints(data_dir, &all, &members));
        }
        // A cluster that was registered later has its contexts from then on.
        let now = sandbox.members();
        if now != members {
            members = now;
            data_dir.write_kubeconfig(&sandbox.kubeconfig(base))?;
            progress.note(&format!("members: {}", members.join(", ")));
        }
        tokio::time::sleep(FRAME).await;
    }
}

fn read_manifests(options: &SandboxOptions) -> Result<Vec<Manifest>, CliError> {
    if !options.apply.is_empty() {
        return Ok(manifests::read(&options.apply)?);
    }
    let mut all = Vec::new();
    for (origin, text) in TALK {
        all.extend(manifests::parse(origin, text)?);
    }
    Ok(all)
}

fn federated(client: &Client, tasks: &Tasks) -> Cache<FederatedGameStatefulSet> {
    Watch::new("progress", Api::all(client.clone())).start(tasks)
}

fn announce(sandbox: &Sandbox, data_dir: &DataDir, base: &str) {
    let members = sandbox.members();
    output::line(&format!("hub and {} member clusters are up: {}", members.len(), members.join(", ")));
    output::line(&format!("  API         {base}"));
    output::line(&format!("  kubeconfig  {}", data_dir.kubeconfig().display()));
    output::line("");
}

fn ready_line(objects: &[std::sync::Arc<FederatedGameStatefulSet>], started: Instant) -> String {
    let ready: i64 =
        objects.iter().filter_map(|object| object.status.as_ref()).map(|status| status.ready_replicas).sum();
    let seconds = started.elapsed().as_secs_f64();
    format!("Ready: {ready} game servers, {seconds:.1} s after the start")
}

fn hints(
    data_dir: &DataDir,
    objects: &[std::sync::Arc<FederatedGameStatefulSet>],
    members: &[String],
) -> String {
    let config = data_dir.kubeconfig().display().to_string();
    let Some(object) = objects.first() else { return String::new() };
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let member = members.first().map(String::as_str).unwrap_or_default();
    // As it was called, so that the line works where it was called.
    let muster = std::env::args().next().unwrap_or_else(|| "muster".to_owned());
    format!(
        "\nTry, in another terminal:\n  \
         export KUBECONFIG={config}\n  \
         kubectl -n {namespace} get federatedgamestatefulsets,replicaschedulingpreferences\n  \
         kubectl -n {namespace} scale federatedgamestatefulset/{name} --replicas=250\n  \
         kubectl --context {member} -n {namespace} get pods -o wide\n  \
         {muster} status\n  \
         {muster} -n {namespace} explain federatedgamestatefulset/{name}\n\
         Ctrl-C stops everything.\n"
    )
}
