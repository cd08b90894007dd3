//! What a set asks for, with defaults filled in, and what about it cannot be acted on.

mod check;
mod read;
mod scale;
#[cfg(test)]
mod tests;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use muster_crds::GameStatefulSet;
use serde_json::Value;

use crate::canary;
use crate::pod::Pod;
use crate::selector::Selector;
use crate::template;
use read::Reader;
pub use scale::Retention;
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
    /// The first ordinal; none if that cannot be told.
    pub start: Option<u32>,
    /// Ordinals that go first on scale-down, in this order.
    pub delete_first: Vec<u32>,
    /// How many pods of a new set are created at once; none for all.
    pub create_batch: Option<u32>,
    /// How long a pod has to be ready to count as available.
    pub min_ready: SignedDuration,
    /// What becomes of claims; none if that cannot be told.
    pub retention: Option<Retention>,
    /// Most pods above replicas during an update.
    pub surge: usize,
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
    /// Ordinals less than this far from the first one keep the old revision, where no canary says otherwise.
    pub partition: u32,
    /// The steps of an update; none if they cannot be told.
    pub canary: Option<Vec<canary::Step>>,
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

/// What stands still because of a problem. All else goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Nothing: the field is left out of account.
    Nothing,
    /// The template is not followed: pods stay on the last one that was accepted.
    Template,
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
        let mut spec = Self {
            replicas,
            reserved: reader.reserved(written),
            start: reader.start(written),
            delete_first: reader.delete_first(set),
            create_batch: reader.create_batch(written, count, ordered),
            min_ready: reader.min_ready(written),
            retention: reader.retention(written),
            surge: reader.surge(&bounds, strategy.type_.as_ref(), count, ordered),
            selector,
            meaning: template::meaning(&template),
            labels,
            ordered,
            partition: reader.partition(bounds.partition.as_ref(), count),
            canary: reader.canary(&strategy, count),
            budget: reader.budget(bounds.max_unavailable.as_ref(), count, ordered),
            grace: reader.grace(&strategy),
            paused: strategy.paused == Some(true),
            options: reader.options(written, &strategy),
            history_limit: reader.history_limit(written),
            readiness_gate: written.disable_readiness_gate != Some(true),
            strategy: reader.strategy(&strategy),
            template,
            problems: {
                reader.hooks(written);
                reader.helpers(&strategy, &written.template);
                reader.values(written, &strategy);
                reader.problems
            },
        };
        spec.check_partition(bounds.partition.is_some());
        spec
    }

    /// Whether pods can be made from the template.
    pub fn is_runnable(&self) -> bool {
        !self.problems.iter().any(|problem| problem.scope == Scope::Template)
    }

    /// How far an ordinal is from the first one. Partitions count from there, as StatefulSet's do; reserved ordinals
    /// count too, as they do for bk-bcs.
    pub fn offset(&self, ordinal: u32) -> u32 {
        ordinal.saturating_sub(self.start.unwrap_or_default())
    }

    /// Whether something of this scope or a wider one stands still.
    pub fn holds(&self, scope: Scope) -> bool {
        self.problems.iter().any(|problem| problem.scope >= scope)
    }

    /// The ordinals that pods may have, ascending and without end; none if they cannot be told.
    pub fn free_ordinals(&self) -> Option<impl Iterator<Item = u32> + '_> {
        let reserved = self.reserved.as_ref()?;
        Some((self.start?..).filter(|ordinal| !reserved.contains(ordinal)))
    }

    /// The ordinals of the set, ascending, where none was chosen to go; none if they cannot be told.
    pub fn ordinals(&self) -> Option<Vec<u32>> {
        Some(self.free_ordinals()?.take(self.replicas? as usize).collect())
    }

    /// Whether a pod serves and has been ready for long enough to count as available.
    pub fn is_available(&self, pod: &Pod, now: Timestamp) -> bool {
        pod.is_available() && self.available_from(pod).is_none_or(|from| from <= now)
    }

    /// From when on a pod that is ready counts as available; none where it does at once.
    pub fn available_from(&self, pod: &Pod) -> Option<Timestamp> {
        let since = pod.ready?.0?;
        (!self.min_ready.is_zero()).then(|| since.checked_add(self.min_ready).unwrap_or(Timestamp::MAX))
    }
}

/// The labels of a template.
pub fn labels_of(template: &Value) -> BTreeMap<String, String> {
    let labels = template["metadata"]["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
