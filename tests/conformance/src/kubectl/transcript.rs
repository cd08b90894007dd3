//! A transcript: commands of a shell, in order, as a YAML file has them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A file of commands.
#[derive(Debug, Clone)]
pub struct Transcript {
    /// Name of the file without `.yaml`; a DNS label.
    pub name: String,
    /// What it shows, in one sentence.
    pub about: String,
    /// What is in the folder where the commands run.
    pub files: BTreeMap<String, String>,
    /// In this order.
    pub steps: Vec<Step>,
    /// Commands that end it, however it went; nothing of them is compared.
    pub finally: Vec<String>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// A pattern: of the standard output, only lines that it matches are compared.
    pub only: Option<regex::Regex>,
    /// Whether lines of the standard output are sorted before they are compared.
    pub sorted: bool,
    /// Why the two sides differ here; they then must.
    pub differs: Option<String>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Runs a command to its end.
    Run(String),
    /// Repeats a command until it ends with 0; nothing is compared.
    Until(String),
    /// Starts a command that goes on, under a name.
    Start(String, String),
    /// Waits for so many lines of a command that was started, interrupts it, and compares what it printed.
    Finish(String, usize),
}

/// Why a file is no transcript.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// It cannot be read.
    #[error("{0}")]
    Yaml(String),
    /// A step.
    #[error("step {0}: {1}")]
    Step(usize, String),
    /// Something else.
    #[error("{0}")]
    Whole(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    #[serde(default)]
    files: BTreeMap<String, Value>,
    steps: Vec<StepFile>,
    #[serde(default)]
    finally: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StepFile {
    Command(String),
    Step(LongStep),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongStep {
    run: Option<String>,
    until: Option<String>,
    start: Option<String>,
    #[serde(rename = "as")]
    name: Option<String>,
    finish: Option<String>,
    lines: Option<usize>,
    only: Option<String>,
    #[serde(default)]
    sorted: bool,
    differs: Option<String>,
}

impl Transcript {
    /// Reads a file.
    pub fn parse(name: &str, text: &str) -> Result<Self, TranscriptError> {
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(label) {
            return Err(TranscriptError::Whole(
                "its name is part of a namespace: at most 40 lower case letters, digits and '-'",
            ));
        }
        let file: File =
            serde_saphyr::from_str(text).map_err(|error| TranscriptError::Yaml(error.to_string()))?;
        if file.about.trim().is_empty() {
            return Err(TranscriptError::Whole("about is empty"));
        }
        let steps: Result<Vec<Step>, _> = file
            .steps
            .into_iter()
            .enumerate()
            .map(|(index, step)| step.read().map_err(|problem| TranscriptError::Step(index + 1, problem)))
            .collect();
        let steps = steps?;
        if steps.is_empty() {
            return Err(TranscriptError::Whole("there are no steps"));
        }
        check_names(&steps)?;
        let text = |value: Value| match value {
            Value::String(text) => text,
            // JSON is YAML, so an object is written as it is.
            value => value.to_string(),
        };
        let files = file.files.into_iter().map(|(name, value)| (name, text(value))).collect();
        Ok(Self { name: name.to_owned(), about: file.about, files, steps, finally: file.finally })
    }
}

/// What is finished was started, and what was started is finished.
fn check_names(steps: &[Step]) -> Result<(), TranscriptError> {
    let mut open = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        match &step.action {
            Action::Start(_, name) => open.push(name),
            Action::Finish(name, _) => {
                let Some(at) = open.iter().position(|one| *one == name) else {
                    return Err(TranscriptError::Step(index + 1, format!("{name:?} was not started")));
                };
                open.remove(at);
            }
            Action::Run(_) | Action::Until(_) => {}
        }
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err(TranscriptError::Whole("something is started and not finished"))
    }
}

impl StepFile {
    fn read(self) -> Result<Step, String> {
        let step = match self {
            Self::Command(command) => {
                return Ok(Step { action: Action::Run(command), only: None, sorted: false, differs: None });
            }
            Self::Step(step) => step,
        };
        let action = match (step.run, step.until, (step.start, step.name), (step.finish, step.lines)) {
            (Some(command), None, (None, None), (None, None)) => Action::Run(command),
            (None, Some(command), (None, None), (None, None)) => Action::Until(command),
            (None, None, (Some(command), Some(name)), (None, None)) => Action::Start(command, name),
            (None, None, (None, None), (Some(name), Some(lines))) => Action::Finish(name, lines),
            _ => return Err("say one of: run; until; start and as; finish and lines".into()),
        };
        if step.differs.as_ref().is_some_and(|why| why.trim().is_empty()) {
            return Err("differs gives no reason".into());
        }
        let only = step.only.map(|pattern| regex::Regex::new(&pattern)).transpose();
        let only = only.map_err(|error| format!("only: {error}"))?;
        Ok(Step { action, only, sorted: step.sorted, differs: step.differs })
    }
}

impl Step {
    /// The command, or what is waited for, for a person.
    pub fn command(&self) -> &str {
        match &self.action {
            Action::Run(text) | Action::Until(text) | Action::Start(text, _) | Action::Finish(text, _) => {
                text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_has_short_and_long_steps() {
        let text = "
about: x
files:
  a.yaml: {kind: ConfigMap}
  b.sh: echo
steps:
- kubectl get pods
- {start: kubectl get pods -w, as: w}
- {until: kubectl get pod a}
- {run: kubectl api-resources, only: '^pods', sorted: true, differs: because}
- {finish: w, lines: 2}
";
        let transcript = Transcript::parse("some-name", text).expect("a transcript");
        assert_eq!(transcript.files["a.yaml"], r#"{"kind":"ConfigMap"}"#);
        assert_eq!(transcript.files["b.sh"], "echo");
        assert_eq!(transcript.steps[1].action, Action::Start("kubectl get pods -w".into(), "w".into()));
        assert_eq!(transcript.steps[4].action, Action::Finish("w".into(), 2));
        assert!(transcript.steps[3].sorted);
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        for (text, problem) in [
            ("about: x\nsteps: []", "no steps"),
            ("about: ''\nsteps: [a]", "about is empty"),
            ("about: x\nsteps: [{run: a, until: b}]", "step 1: say one of"),
            ("about: x\nsteps: [a, {finish: w, lines: 1}]", "step 2: \"w\" was not started"),
            ("about: x\nsteps: [{start: a, as: w}]", "started and not finished"),
            ("about: x\nsteps: [{run: a, only: '('}]", "step 1: only"),
            ("about: x\nsteps: [{run: a, differs: ' '}]", "gives no reason"),
        ] {
            let error = Transcript::parse("x", text).expect_err(text).to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
        assert!(Transcript::parse("No_Label", "about: x\nsteps: [a]").is_err());
    }
}
