//! Plays cases on both servers, side by side, and says how it went.

use std::{fmt::Write as _, path::PathBuf};

use futures::{StreamExt, stream};
use muster_runtime::{Clock, Tasks};
use serde_json::Value;

use crate::{
    case::{Action, Case, Step},
    compare::Difference,
    judge::judge,
    known::Known,
    load, output,
    play::{Names, PlayError, play},
    server::{Answer, Server, ServerError},
};

/// How many differences of one case are shown.
const SHOWN: usize = 12;
/// The longest part of a name that comes from the case.
const SLUG: usize = 40;

/// What to play, and against which server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the cases are; `differences.yaml` is beside this directory.
    pub cases: PathBuf,
    /// Of the real server.
    pub kubeconfig: PathBuf,
    /// A context in it; the current one otherwise.
    pub context: Option<String>,
    /// Part of the ids of the cases to play.
    pub filter: String,
    /// How many cases run at once.
    pub jobs: usize,
    /// Whether all answers are shown.
    pub verbose: bool,
}

/// How many cases went how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Equal, or different as listed.
    pub passed: usize,
    /// Different, or not played to the end.
    pub failed: usize,
    /// Of the passed ones, those that differ as listed.
    pub known: usize,
}

/// Why nothing was played.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The cases.
    #[error(transparent)]
    Load(#[from] load::LoadError),
    /// The list of differences.
    #[error(transparent)]
    Known(#[from] crate::known::KnownError),
    /// A server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// No case has such an id.
    #[error("no case of {0} has {1:?} in its id")]
    Filter(String, String),
}

/// Plays the cases, printing one line for each and more for those that fail.
pub async fn run(options: &Options) -> Result<Counts, RunError> {
    let all = load::cases(&options.cases)?;
    let list = options.cases.parent().map(|parent| parent.join("differences.yaml")).unwrap_or_default();
    let known = Known::read(&list)?;
    known.check(&all)?;
    let cases: Vec<Case> = all.into_iter().filter(|case| case.id.contains(&options.filter)).collect();
    if cases.is_empty() {
        return Err(RunError::Filter(options.cases.display().to_string(), options.filter.clone()));
    }
    let tasks = Tasks::new();
    let real = Server::real(&options.kubeconfig, options.context.as_deref()).await?;
    let ours = Server::ours(&tasks)?;
    let counts = Box::pin(play_all(options, &cases, &known, &real, &ours)).await;
    tasks.stop().await;
    Ok(counts)
}

async fn play_all(options: &Options, cases: &[Case], known: &Known, real: &Server, ours: &Server) -> Counts {
    let clock = Clock::system();
    let started = clock.now().as_millisecond();
    let mut counts = Counts::default();
    let numbered = || cases.iter().enumerate();
    let played = |(index, case): (usize, &Case)| {
        let names = names(case, started, index);
        let (real, ours, case, clock) = (real.clone(), ours.clone(), case.clone(), clock.clone());
        async move {
            let (of_real, of_ours) =
                futures::join!(Box::pin(play(&real, &case, &names)), Box::pin(play(&ours, &case, &names)));
            Outcome::new(case, of_real, of_ours, &clock)
        }
    };
    let together = stream::iter(numbered().filter(|(_, case)| !case.alone)).map(played);
    let mut together = together.buffered(options.jobs.max(1));
    while let Some(outcome) = together.next().await {
        outcome.report(options.verbose, known, &mut counts);
    }
    for numbered in numbered().filter(|(_, case)| case.alone) {
        played(numbered).await.report(options.verbose, known, &mut counts);
    }
    counts
}

/// Names that no other case and no other run has.
fn names(case: &Case, started: i64, index: usize) -> Names {
    let slug = case.id.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let slug = slug.trim_matches('-');
    let slug = slug[..slug.len().min(SLUG)].trim_end_matches('-');
    let case = format!("{slug}-{:06x}{index}", started & 0xff_ffff);
    Names { namespace: format!("{case}-ns"), case }
}

/// How a case went.
struct Outcome {
    case: Case,
    real: (Vec<Answer>, Option<PlayError>),
    ours: (Vec<Answer>, Option<PlayError>),
    differences: Vec<Difference>,
}

impl Outcome {
    fn new(
        case: Case,
        real: (Vec<Answer>, Option<PlayError>),
        ours: (Vec<Answer>, Option<PlayError>),
        clock: &Clock,
    ) -> Self {
        let differences = judge(&case, &real.0, &ours.0, clock.now());
        Self { case, real, ours, differences }
    }

    fn report(&self, verbose: bool, known: &Known, counts: &mut Counts) {
        let id = &self.case.id;
        let broken = [&self.real.1, &self.ours.1].into_iter().flatten();
        let broken: Vec<String> = broken.map(ToString::to_string).collect();
        let entry = known.of(id);
        let unexplained: Vec<&Difference> = self
            .differences
            .iter()
            .filter(|difference| !entry.is_some_and(|entry| entry.explains(difference)))
            .collect();
        let mut text = String::new();
        match entry {
            None if broken.is_empty() && unexplained.is_empty() => {
                counts.passed += 1;
                text.push_str("ok      ");
            }
            // Where our side stops for the known difference, the rest cannot be played.
            Some(_) if unexplained.is_empty() && !self.differences.is_empty() && self.real.1.is_none() => {
                counts.passed += 1;
                counts.known += 1;
                text.push_str("differs ");
            }
            _ => {
                counts.failed += 1;
                text.push_str("FAILED  ");
            }
        }
        let failed = text.starts_with('F');
        text.push_str(id);
        if let Some(entry) = entry.filter(|_| !failed) {
            let _ = write!(text, "  ({})", entry.why.trim());
        }
        if failed {
            let _ = write!(text, "\n  {}", self.case.about);
            for problem in broken {
                let _ = write!(text, "\n  {problem}");
            }
            if entry.is_some() && self.differences.is_empty() {
                text.push_str("\n  listed in differences.yaml, and equal: take it off the list");
            }
            for difference in unexplained.iter().take(SHOWN) {
                let step = &self.case.steps[difference.step];
                let _ = write!(text, "\n  step {} ({}) {difference}", difference.step + 1, title(step));
            }
            if unexplained.len() > SHOWN {
                let _ = write!(text, "\n  ... and {} more", unexplained.len() - SHOWN);
            }
        }
        if verbose {
            for (index, step) in self.case.steps.iter().enumerate() {
                let _ = write!(text, "\n  step {} ({})", index + 1, title(step));
                for (name, answers) in [("real", &self.real.0), ("ours", &self.ours.0)] {
                    let _ = write!(text, "\n    {name}: {}", answers.get(index).map_or("-".into(), shown));
                }
            }
        }
        output::line(&text);
    }
}

/// A step as its case file has it.
fn title(step: &Step) -> String {
    match &step.action {
        Action::Request { head, .. } => format!("{} {}", head.method, head.path),
        Action::Watch(head, _) | Action::Open(head, _) => format!("watch {}", head.path),
        Action::Read(name, _) => format!("read {name}"),
    }
}

fn shown(answer: &Answer) -> String {
    let mut text = answer.code.to_string();
    for (name, value) in &answer.headers {
        let _ = write!(text, "\n      {name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let body = match &answer.body {
        Value::String(text) => text.clone(),
        body => serde_json::to_string_pretty(body).unwrap_or_default(),
    };
    let _ = write!(text, "\n      {}", body.replace('\n', "\n      "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_and_differ() {
        let id = "definitions/a_rather_long_name-of-a-case-that-does-not-fit";
        let case = Case::parse(id, "about: x\nsteps:\n- request: GET /version\n").expect("a case");
        let (one, other) = (names(&case, 1_790_000_000_000, 1), names(&case, 1_790_000_000_000, 2));
        assert!(one.namespace.len() <= 63, "{}", one.namespace);
        assert!(one.case.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        assert_ne!(one.case, other.case);
    }
}
