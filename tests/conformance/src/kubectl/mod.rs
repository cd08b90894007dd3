//! Plays transcripts of kubectl commands on both servers and compares what kubectl printed and how it ended.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{StreamExt, stream};
use kube::config::{Context, KubeConfigOptions, Kubeconfig, NamedCluster, NamedContext};
use muster_apiserver::{Cluster, ClusterConfig};
use muster_runtime::{Clock, Tasks, serve};

use crate::{load, output};

pub mod side;
pub mod text;
pub mod transcript;

use side::{Printed, Side, SideError};
use transcript::{Step, Transcript, TranscriptError};

/// How many lines of each side's output a failure shows.
const SHOWN: usize = 40;

/// What to play, with which kubectl, and against which server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the transcripts are.
    pub transcripts: PathBuf,
    /// Definitions that both servers have before anything is played.
    pub definitions: PathBuf,
    /// Of the real server.
    pub kubeconfig: PathBuf,
    /// A context in it; the current one otherwise.
    pub context: Option<String>,
    /// The program.
    pub kubectl: PathBuf,
    /// Part of the names of the transcripts to play.
    pub filter: String,
    /// How many transcripts are played at once.
    pub jobs: usize,
    /// Whether all output is shown.
    pub verbose: bool,
}

/// How many transcripts went how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Equal, but for steps that say that they differ.
    pub passed: usize,
    /// Different, or not played to the end.
    pub failed: usize,
    /// Steps that differ and say why.
    pub known: usize,
}

/// Why nothing was played.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The files.
    #[error(transparent)]
    Load(#[from] load::LoadError),
    /// One or more files are no transcripts.
    #[error("{}", lines(.0))]
    Transcripts(Vec<(String, TranscriptError)>),
    /// No transcript has such a name.
    #[error("no transcript of {0} has {1:?} in its name")]
    Filter(String, String),
    /// The kubeconfig cannot be used.
    #[error("{0}: {1}")]
    Kubeconfig(String, String),
    /// The embedded server.
    #[error(transparent)]
    Listen(#[from] serve::ListenError),
    /// A side cannot be made ready.
    #[error(transparent)]
    Side(#[from] SideError),
}

fn lines(wrong: &[(String, TranscriptError)]) -> String {
    let lines: Vec<String> = wrong.iter().map(|(file, error)| format!("{file}: {error}")).collect();
    lines.join("\n")
}

/// All transcripts of a directory, by name.
pub fn transcripts(directory: &Path) -> Result<Vec<Transcript>, RunError> {
    let (mut transcripts, mut wrong) = (Vec::new(), Vec::new());
    for (name, file, text) in load::texts(directory)? {
        match Transcript::parse(&name, &text) {
            Ok(transcript) => transcripts.push(transcript),
            Err(error) => wrong.push((file.display().to_string(), error)),
        }
    }
    if wrong.is_empty() { Ok(transcripts) } else { Err(RunError::Transcripts(wrong)) }
}

/// Plays the transcripts, printing one line for each and more for those that fail.
pub async fn run(options: &Options) -> Result<Counts, RunError> {
    let mut chosen = transcripts(&options.transcripts)?;
    chosen.retain(|transcript| transcript.name.contains(&options.filter));
    if chosen.is_empty() {
        return Err(RunError::Filter(options.transcripts.display().to_string(), options.filter.clone()));
    }
    let tasks = Tasks::new();
    let clock = Clock::system();
    let started = clock.now().as_millisecond() & 0xff_ffff;
    let ours = embedded(&tasks, &clock).await?;
    let real = context_alone(&options.kubeconfig, options.context.as_deref())?;
    let scratch = std::env::temp_dir().join(format!("muster-kubectl-{}", std::process::id()));
    let sides = [("real", real), ("ours", ours)]
        .map(|(name, kubeconfig)| Side::new(name, kubeconfig, &options.kubectl, scratch.join(name)));
    let [real, ours] = sides;
    let result = async {
        for side in [&real, &ours] {
            side.prepare(&options.definitions).await?;
        }
        let mut counts = Counts::default();
        let played = chosen.iter().enumerate().map(|(index, transcript)| {
            let namespace = format!("{}-{started:06x}{index}", transcript.name);
            let (real, ours) = (&real, &ours);
            async move {
                let both =
                    futures::join!(real.play(transcript, &namespace), ours.play(transcript, &namespace));
                (transcript, both)
            }
        });
        let mut played = stream::iter(played).buffered(options.jobs.max(1));
        while let Some((transcript, (of_real, of_ours))) = Box::pin(played.next()).await {
            report(transcript, of_real, of_ours, options.verbose, &mut counts);
        }
        Ok::<_, SideError>(counts)
    }
    .await;
    tasks.stop().await;
    // What cannot be removed is in the folder for temporary files and harms nobody.
    let _ = fs::remove_dir_all(&scratch);
    Ok(result?)
}

/// Starts an embedded API server on a port of loopback; the kubeconfig for it.
async fn embedded(tasks: &Tasks, clock: &Clock) -> Result<Kubeconfig, RunError> {
    let clock = clock.clone();
    let cluster = Cluster::new(ClusterConfig::new("kubectl", 1, Arc::new(move || clock.now())));
    let listener = serve::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = listener
        .local_addr()
        .map_err(|source| serve::ListenError { address: SocketAddr::from(([127, 0, 0, 1], 0)), source })?;
    serve::serve(tasks, listener, cluster.router());
    let token = tasks.token();
    tasks.spawn_until("cluster", cluster.run(token));
    let server = kube::config::Cluster { server: Some(format!("http://{address}")), ..Default::default() };
    let context = Context { cluster: "ours".into(), ..Context::default() };
    Ok(Kubeconfig {
        clusters: vec![NamedCluster {
            name: "ours".into(),
            cluster: Some(server),
            ..NamedCluster::default()
        }],
        contexts: vec![NamedContext {
            name: "ours".into(),
            context: Some(context),
            ..NamedContext::default()
        }],
        current_context: Some("ours".into()),
        ..Kubeconfig::default()
    })
}

/// A kubeconfig with one context of another as the current one.
fn context_alone(path: &Path, context: Option<&str>) -> Result<Kubeconfig, RunError> {
    let wrong = |problem: String| RunError::Kubeconfig(path.display().to_string(), problem);
    let mut config = Kubeconfig::read_from(path).map_err(|error| wrong(error.to_string()))?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let name = options.context.or(config.current_context).ok_or_else(|| wrong("names no context".into()))?;
    config.contexts.retain(|one| one.name == name);
    if config.contexts.is_empty() {
        return Err(wrong(format!("has no context {name:?}")));
    }
    config.current_context = Some(name);
    Ok(config)
}

fn report(
    transcript: &Transcript,
    real: Result<Vec<Printed>, SideError>,
    ours: Result<Vec<Printed>, SideError>,
    verbose: bool,
    counts: &mut Counts,
) {
    let mut problems = String::new();
    let mut known = Vec::new();
    let (real, ours) = match (real, ours) {
        (Ok(real), Ok(ours)) => (real, ours),
        (real, ours) => {
            for error in [real.err(), ours.err()].into_iter().flatten() {
                let _ = write!(problems, "\n  {error}");
            }
            (Vec::new(), Vec::new())
        }
    };
    for (number, step) in transcript.steps.iter().enumerate() {
        let (Some(real), Some(ours)) = (real.get(number), ours.get(number)) else { continue };
        let equal = real == ours;
        match &step.differs {
            Some(why) if !equal => known.push(why.as_str()),
            Some(_) => {
                let _ = write!(problems, "\n  step {}: says that it differs, and is equal", number + 1);
            }
            None if !equal => problems.push_str(&difference(number, step, real, ours)),
            None => {}
        }
        if verbose {
            output::line(&format!("  {} $ {}\n{real}", transcript.name, step.command()));
        }
    }
    counts.known += known.len();
    if problems.is_empty() {
        counts.passed += 1;
        let mut text = format!("ok      {}", transcript.name);
        for why in known {
            let _ = write!(text, "\n  differs: {}", why.trim());
        }
        output::line(&text);
    } else {
        counts.failed += 1;
        output::line(&format!("FAILED  {}\n  {}{problems}", transcript.name, transcript.about));
    }
}

/// Both outputs of a step, shortened to where they part.
fn difference(number: usize, step: &Step, real: &Printed, ours: &Printed) -> String {
    let mut text = format!("\n  step {}: {}", number + 1, step.command());
    for (name, real, ours) in [
        ("status", &real.status, &ours.status),
        ("stdout", &real.stdout, &ours.stdout),
        ("stderr", &real.stderr, &ours.stderr),
    ] {
        if real == ours {
            continue;
        }
        let same = real.lines().zip(ours.lines()).take_while(|(real, ours)| real == ours).count();
        let _ = write!(text, "\n    {name}, from line {}:", same + 1);
        for (mark, whole) in [("real", real), ("ours", ours)] {
            for line in whole.lines().skip(same).take(SHOWN) {
                let _ = write!(text, "\n      {mark}: {line}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_transcript_and_few_steps_differ() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubectl");
        let all = transcripts(&directory).unwrap_or_else(|error| panic!("{error}"));
        let steps = || all.iter().flat_map(|transcript| &transcript.steps);
        let differing = steps().filter(|step| step.differs.is_some()).count();
        assert!(all.len() >= 12, "{} transcripts", all.len());
        assert!(differing * 20 <= steps().count(), "{differing} of {} steps differ", steps().count());
    }
}
