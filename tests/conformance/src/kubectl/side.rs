//! One side: a folder, a kubeconfig, and kubectl run in it.

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use kube::config::Kubeconfig;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    text::Normaliser,
    transcript::{Action, Step, Transcript},
};

/// How long a command may take.
const DEADLINE: Duration = Duration::from_mins(1);
/// How long `until` repeats a command, and `finish` waits for lines.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a watch is listened to once it printed what was expected, for lines that nobody expected.
const SILENCE: Duration = Duration::from_millis(300);
/// Between two tries of `until`.
const PAUSE: Duration = Duration::from_millis(100);

/// A server, as kubectl sees it.
pub struct Side {
    /// `real` or `ours`.
    pub name: &'static str,
    kubeconfig: Kubeconfig,
    kubectl: PathBuf,
    folder: PathBuf,
}

/// How a step ended, without what is volatile. Of a step that is not compared, nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Printed {
    /// The exit status.
    pub status: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Why a transcript was not played to its end.
#[derive(Debug, thiserror::Error)]
#[error("{side}: {what}: {problem}")]
pub struct SideError {
    side: &'static str,
    what: String,
    problem: String,
}

/// A command that goes on.
struct Started {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\nstatus {}", self.stdout, self.stderr, self.status)
    }
}

impl Side {
    /// A side that keeps its files in `folder`.
    pub fn new(name: &'static str, kubeconfig: Kubeconfig, kubectl: &Path, folder: PathBuf) -> Self {
        Self { name, kubeconfig, kubectl: kubectl.to_owned(), folder }
    }

    /// Gives the server the definitions that transcripts use.
    pub async fn prepare(&self, definitions: &Path) -> Result<(), SideError> {
        let folder = self.work_folder("prepare", "default")?;
        let applied = format!("kubectl apply -f '{}'", definitions.display());
        let established =
            "kubectl wait --for=condition=Established --timeout=30s customresourcedefinitions --all";
        for command in [applied.as_str(), established] {
            let (status, _, stderr) = self.run(&folder, "default", command).await?;
            if status != "0" {
                return Err(self.error(command, stderr));
            }
        }
        Ok(())
    }

    /// Plays a transcript in a namespace of its own; what each step printed.
    pub async fn play(&self, transcript: &Transcript, namespace: &str) -> Result<Vec<Printed>, SideError> {
        let folder = self.work_folder(&transcript.name, namespace)?;
        for (name, text) in &transcript.files {
            self.write(&folder.join(name), text)?;
        }
        // The account is the controllers' to make; pods need it, and the embedded server runs none.
        let made = format!(
            "kubectl create namespace {namespace} && \
             {{ kubectl create serviceaccount default 2>/dev/null || kubectl get serviceaccount default; }}"
        );
        let (status, _, stderr) = self.run(&folder, namespace, &made).await?;
        if status != "0" {
            return Err(self.error(&made, stderr));
        }
        let result = self.steps(transcript, &folder, namespace).await;
        let last = format!("kubectl delete namespace {namespace} --wait=false");
        for command in transcript.finally.iter().chain([&last]) {
            self.run(&folder, namespace, command).await?;
        }
        result
    }

    async fn steps(
        &self,
        transcript: &Transcript,
        folder: &Path,
        namespace: &str,
    ) -> Result<Vec<Printed>, SideError> {
        let mut normaliser = Normaliser::default();
        let mut started: HashMap<&str, Started> = HashMap::new();
        let mut all = Vec::new();
        for step in &transcript.steps {
            let printed = match &step.action {
                Action::Run(command) => {
                    let (status, stdout, stderr) = self.run(folder, namespace, command).await?;
                    Printed {
                        status,
                        stdout: chosen(step, &normaliser.normalise(&stdout)),
                        stderr: normaliser.normalise(&stderr),
                    }
                }
                Action::Until(command) => {
                    self.until(folder, namespace, command).await?;
                    Printed::default()
                }
                Action::Start(command, name) => {
                    started.insert(name, self.start(folder, namespace, command)?);
                    Printed::default()
                }
                Action::Finish(name, lines) => {
                    let Some(watch) = started.remove(name.as_str()) else {
                        return Err(self.error(name, "was not started"));
                    };
                    let stdout = self.finish(watch, name, *lines).await?;
                    Printed { stdout: chosen(step, &normaliser.normalise(&stdout)), ..Printed::default() }
                }
            };
            all.push(printed);
        }
        Ok(all)
    }

    /// A folder with a kubeconfig whose namespace is the transcript's.
    fn work_folder(&self, name: &str, namespace: &str) -> Result<PathBuf, SideError> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).map_err(|error| self.io(&folder, &error))?;
        let mut config = self.kubeconfig.clone();
        for context in config.contexts.iter_mut().filter_map(|named| named.context.as_mut()) {
            context.namespace = Some(namespace.to_owned());
        }
        let text =
            serde_json::to_string(&config).map_err(|error| self.error("kubeconfig", error.to_string()))?;
        self.write(&folder.join(".kubeconfig"), &text)?;
        Ok(folder)
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), SideError> {
        fs::write(path, text).map_err(|error| self.io(path, &error))
    }

    /// A shell in which `kubectl` is the given program, and nothing of the user's takes part.
    fn shell(&self, folder: &Path, namespace: &str, command: &str) -> Command {
        let mut shell = Command::new("sh");
        let whole = format!("kubectl() {{ \"$KUBECTL\" \"$@\"; }}\n{command}");
        shell
            .args(["-c", &whole])
            .current_dir(folder)
            .env("KUBECTL", &self.kubectl)
            .env("KUBECONFIG", folder.join(".kubeconfig"))
            // Where kubectl keeps what it discovered; shared, as for a person.
            .env("HOME", &self.folder)
            .env("NS", namespace)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env_remove("KUBE_EDITOR")
            .env_remove("EDITOR")
            .env_remove("KUBECTL_EXTERNAL_DIFF")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        shell
    }

    /// Runs a command to its end: status, standard output and standard error.
    async fn run(
        &self,
        folder: &Path,
        namespace: &str,
        command: &str,
    ) -> Result<(String, String, String), SideError> {
        let output = timeout(DEADLINE, self.shell(folder, namespace, command).output()).await;
        let output = output.map_err(|_| self.error(command, format!("did not end within {DEADLINE:?}")))?;
        let output = output.map_err(|error| self.error(command, error.to_string()))?;
        let status = output.status.code().map_or("ended by a signal".into(), |code| code.to_string());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((status, text(&output.stdout), text(&output.stderr)))
    }

    async fn until(&self, folder: &Path, namespace: &str, command: &str) -> Result<(), SideError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, _, stderr) = self.run(folder, namespace, command).await?;
            if status == "0" {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(self.error(command, format!("did not succeed within {PATIENCE:?}: {stderr}")));
            }
            sleep(PAUSE).await;
        }
    }

    fn start(&self, folder: &Path, namespace: &str, command: &str) -> Result<Started, SideError> {
        // The shell gives its place to kubectl, so that ending the child ends it.
        let replaced = command.replacen("kubectl", "exec \"$KUBECTL\"", 1);
        let child = self.shell(folder, namespace, &replaced).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|error| self.error(command, error.to_string()))?;
        match child.stdout.take() {
            Some(output) => Ok(Started { child, output: BufReader::new(output) }),
            None => Err(self.error(command, "has no output")),
        }
    }

    /// Waits for lines of a command, ends it, and returns all that it printed.
    async fn finish(&self, mut watch: Started, name: &str, lines: usize) -> Result<String, SideError> {
        let end = Instant::now() + PATIENCE;
        let (mut text, mut seen) = (String::new(), 0);
        loop {
            let deadline = if seen < lines { end } else { Instant::now() + SILENCE };
            match timeout_at(deadline, watch.output.read_line(&mut text)).await {
                Ok(Ok(0)) | Err(_) => break,
                Ok(Ok(_)) => seen += 1,
                Ok(Err(error)) => return Err(self.error(name, error.to_string())),
            }
        }
        watch.child.kill().await.map_err(|error| self.error(name, error.to_string()))?;
        Ok(text)
    }

    fn error(&self, what: &str, problem: impl Into<String>) -> SideError {
        SideError { side: self.name, what: what.to_owned(), problem: problem.into().trim().to_owned() }
    }

    fn io(&self, path: &Path, error: &io::Error) -> SideError {
        self.error(&path.display().to_string(), error.to_string())
    }
}

/// The lines of a step's output that are compared.
fn chosen(step: &Step, text: &str) -> String {
    let mut lines: Vec<&str> =
        text.lines().filter(|line| step.only.as_ref().is_none_or(|only| only.is_match(line))).collect();
    if step.sorted {
        lines.sort_unstable();
    }
    lines.join("\n")
}
