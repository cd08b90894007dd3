//! What a set asks for, with defaults filled in, and what about it cannot be acted on.

mod read;
#[cfg(test)]
mod tests;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::SignedDuration;
use muster_crds::GameStatefulSet;
use serde_json::Value;

use crate::selector::Selector;
use crate::template;
use read::Reader;
pub use update::{OnDeadline, Options, Order};

/// Most pods of one set. Beyond it a mistyped number is likelier than a wish.
pub const MAX_REPLICAS: i64 = 100_000;

/// Most bytes of a label's value, and with it of a pod's name and of a revision's.
const LABEL_BYTES: usize = 63;

/// Most bytes that a revision's hash adds to the name of its set: a dash and ten digits.
const HASH_BYTES: usize = 11;

/// What a set asks for.
#[derive(Clone, Debug)]
pub struct Spec {
    /// How many pods; none if that cannot be told.
    pub replicas: Option<u32>,
    /// Ordinals that no pod gets; none if that cannot be told.
    pub reserved: Option<BTreeSet<u32>>,
    /// Which pods are the set's; none if that cannot be told.
    pub selector: Option<Selector>,
    /// The template as it was written, without `null`.
    pub template: Value,
    /// The template by meaning.
    pub meaning: Value,
    /// Labels of the template.
    pub labels: BTreeMap<String, String>,
    /// In which order things happen.
    pub ordered: bool,
    /// How a changed template reaches the pods; none if that cannot be told.
    pub strategy: Option<Strategy>,
    /// Ordinals below it keep the old revision.
    pub partition: u32,
    /// Most pods that may be unavailable through us; 0 only if that cannot be told.
    pub budget: usize,
    /// How long a pod leaves traffic before its images change.
    pub grace: SignedDuration,
    /// Whether no update is to begin.
    pub paused: bool,
    /// How a running pod is updated.
    pub options: Options,
    /// How many revisions that no pod carries are kept; none for all.
    pub history_limit: Option<usize>,
    /// Whether new pods get the readiness gate.
    pub readiness_gate: bool,
    /// What cannot be acted on.
    pub problems: Vec<Problem>,
}

/// How a changed template reaches the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Pods are replaced.
    RollingUpdate,
    /// Somebody deletes pods.
    OnDelete,
    /// Images of running pods change.
    InPlace,
    /// Images change under the running process. No node can do that yet.
    HotPatch,
}

/// What is said of [`Strategy::HotPatch`].
pub(crate) const NO_HOT_PATCH: &str = "HotPatchUpdate needs a patched kubelet and is refused";

/// A field that cannot be acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, as in `spec.replicas`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// What stands still because of it.
    pub scope: Scope,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// What stands still because of a problem, each including the one before. All else goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Nothing: the field is left out of account.
    Nothing,
    /// No update begins.
    Updates,
    /// No pod is added or taken away; those that fail are replaced.
    Scaling,
    /// No pod is created, replaced or deleted.
    Everything,
}

impl Spec {
    /// Reads what a set asks for.
    pub fn read(set: &GameStatefulSet) -> Self {
        let mut reader = Reader { problems: Vec::new() };
        reader.malformed(&set.spec);
        let written = &set.spec;
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let replicas = reader.replicas(written, name);
        let ordered = reader.ordered(written);
        let (template, labels) = reader.template(written);
        let selector = reader.selector(written, &labels);
        let strategy = written.update_strategy.clone().unwrap_or_default();
        let bounds = strategy.rolling_update.clone().unwrap_or_default();
        let count = replicas.unwrap_or_default();
        Self {
            replicas,
            reserved: reader.reserved(written),
            selector,
            meaning: template::meaning(&template),
            labels,
            ordered,
            partition: reader.partition(bounds.partition.as_ref(), count),
            budget: reader.budget(bounds.max_unavailable.as_ref(), count, ordered),
            grace: reader.grace(&strategy),
            paused: strategy.paused == Some(true),
            options: reader.options(written, &strategy, &template),
            history_limit: reader.history_limit(written),
            readiness_gate: written.disable_readiness_gate != Some(true),
            strategy: reader.strategy(&strategy),
            template,
            problems: {
                reader.not_carried_out(written, &strategy);
                reader.problems
            },
        }
    }

    /// Whether something of this scope or a wider one stands still.
    pub fn holds(&self, scope: Scope) -> bool {
        self.problems.iter().any(|problem| problem.scope >= scope)
    }

    /// The ordinals of the set, ascending; none if they cannot be told.
    pub fn ordinals(&self) -> Option<Vec<u32>> {
        let reserved = self.reserved.as_ref()?;
        let free = (0..).filter(|ordinal| !reserved.contains(ordinal));
        Some(free.take(self.replicas? as usize).collect())
    }
}

/// The labels of a template.
pub fn labels_of(template: &Value) -> BTreeMap<String, String> {
    let labels = template["metadata"]["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
