//! What was seen of the pods of one set, in order.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use muster_crds::keys::workload::REVISION;
use tokio::time::Instant;

/// Names of revisions, in the order in which pods first carried them.
const NUMBERS: [&str; 8] = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"];

/// Everything in order, and the pods as they are now.
#[derive(Debug, Default)]
pub(crate) struct Record {
    lines: Vec<Line>,
    /// When each line was added.
    times: Vec<Instant>,
    pods: BTreeMap<String, Seen>,
    revisions: Vec<String>,
    /// Why something may be missing.
    gap: Option<String>,
}

/// One thing that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// What the case did.
    Act(String, Order),
    /// What happened to a pod.
    Event(Event),
    /// What was found at rest.
    Fact(String),
}

/// Something that happened to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) verb: Verb,
    pub(crate) pod: String,
    pub(crate) revision: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// It was created.
    Create,
    /// Its condition Ready became true.
    Ready,
    /// Somebody asked for its deletion.
    Delete,
    /// It is not there any more.
    Gone,
}

/// What of the order is the controllers' doing, and so must be equal. The rest is how fast nodes were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// All of it.
    Exact,
    /// All but when pods that were told to go were gone.
    ExceptGone,
    /// Pods that are created or deleted one after the other in no order of their own count as one burst.
    Bursts,
    /// Of each pod by itself.
    PerPod,
}

/// A pod as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) uid: String,
    pub(crate) revision: String,
    pub(crate) ready: bool,
    pub(crate) deleting: bool,
    /// The tag of its first container's image.
    pub(crate) tag: String,
}

// === impl Record ===

impl Record {
    fn add(&mut self, line: Line) {
        self.lines.push(line);
        self.times.push(Instant::now());
    }

    /// How long after an event of the act that runs another one of it was seen.
    pub(crate) fn between(&self, one: (Verb, &str), other: (Verb, &str)) -> Option<Duration> {
        let from = self.lines.iter().rposition(|line| matches!(line, Line::Act(..)))?;
        let when = |(verb, pod): (Verb, &str)| {
            let is =
                |line: &Line| matches!(line, Line::Event(event) if event.verb == verb && event.pod == pod);
            let at = self.lines[from..].iter().position(is)?;
            self.times.get(from + at).copied()
        };
        when(other)?.checked_duration_since(when(one)?)
    }

    /// A new act begins: what is seen from now on is its doing.
    pub(crate) fn act(&mut self, what: &str, order: Order) {
        self.add(Line::Act(what.to_owned(), order));
    }

    /// Something that was found at rest.
    pub(crate) fn fact(&mut self, what: String) {
        self.add(Line::Fact(what));
    }

    /// The watch did not see all.
    pub(crate) fn broken(&mut self, why: String) {
        self.gap.get_or_insert(why);
    }

    /// Why something may be missing.
    pub(crate) fn gap(&self) -> Option<&str> {
        self.gap.as_deref()
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The pods there are, by name.
    pub(crate) fn pods(&self) -> &BTreeMap<String, Seen> {
        &self.pods
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> usize {
        self.lines.iter().filter(|line| matches!(line, Line::Event(_))).count()
    }

    /// The number of a revision, by the order of appearance.
    pub(crate) fn revision(&mut self, name: &str) -> String {
        let at = self.revisions.iter().position(|known| known == name).unwrap_or_else(|| {
            self.revisions.push(name.to_owned());
            self.revisions.len() - 1
        });
        NUMBERS.get(at).map_or_else(|| format!("number {}", at + 1), |word| (*word).to_owned())
    }

    /// A pod was there, as the watch says.
    pub(crate) fn there(&mut self, pod: &Pod) {
        let Some(name) = pod.metadata.name.clone() else { return };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION));
        let revision = match label {
            Some(label) => self.revision(&label.clone()),
            None => "none".to_owned(),
        };
        let now = Seen {
            uid,
            revision,
            ready: is_ready(pod),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            tag: tag(pod),
        };
        if self.pods.get(&name).is_some_and(|before| before.uid != now.uid) {
            self.gone(&name);
        }
        let before = self.pods.insert(name.clone(), now.clone());
        let mut happened = Vec::new();
        if before.is_none() {
            happened.push(Verb::Create);
        }
        let before = before.unwrap_or(Seen { ready: false, deleting: false, ..now.clone() });
        if now.ready && !before.ready {
            happened.push(Verb::Ready);
        }
        if now.deleting && !before.deleting {
            happened.push(Verb::Delete);
        }
        for verb in happened {
            self.add(Line::Event(Event { verb, pod: name.clone(), revision: now.revision.clone() }));
        }
    }

    /// A pod is not there any more.
    pub(crate) fn gone(&mut self, name: &str) {
        let Some(last) = self.pods.remove(name) else { return };
        // A pod that no node has taken goes at once, without a time to go.
        let verbs = if last.deleting { &[Verb::Gone][..] } else { &[Verb::Delete, Verb::Gone] };
        for verb in verbs {
            let event = Event { verb: *verb, pod: name.to_owned(), revision: last.revision.clone() };
            self.add(Line::Event(event));
        }
    }
}

fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|one| one.type_ == "Ready" && one.status == "True")
}

fn tag(pod: &Pod) -> String {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let image = container.and_then(|container| container.image.as_deref()).unwrap_or_default();
    image.rsplit(':').next().unwrap_or_default().to_owned()
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Ready => "ready",
            Self::Delete => "delete",
            Self::Gone => "gone",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, pod, revision } = self;
        write!(f, "{verb:<7}{pod:<8}{revision}")
    }
}
