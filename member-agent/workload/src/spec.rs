//! What a set asks for, with defaults filled in, and what about it cannot be acted on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::SignedDuration;
use muster_crds::int_or_percent::Rounding;
use muster_crds::tkex::{
    GameStatefulSetSpec, InPlacePolicy, PodManagementPolicy, UpdateStrategy, UpdateStrategyType,
};
use muster_crds::{GameStatefulSet, IntOrPercent};
use serde_json::Value;

use crate::selector::Selector;
use crate::template;

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
            template,
            labels,
            ordered,
            partition: reader.partition(bounds.partition.as_ref(), count),
            budget: reader.budget(bounds.max_unavailable.as_ref(), count, ordered),
            grace: reader.grace(&strategy),
            paused: strategy.paused == Some(true),
            history_limit: reader.history_limit(written),
            readiness_gate: written.disable_readiness_gate != Some(true),
            strategy: reader.strategy(&strategy),
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

/// Reads fields and collects what is wrong with them.
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn problem(&mut self, scope: Scope, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { field: field.into(), message: message.into(), scope });
    }

    fn malformed(&mut self, spec: &GameStatefulSetSpec) {
        for malformed in &spec.malformed {
            let scope = match malformed.field.as_str() {
                "updateStrategy" | "podManagementPolicy" => Scope::Updates,
                "replicas" | "reserveOrders" => Scope::Scaling,
                "revisionHistoryLimit" | "scaleStrategy" => Scope::Nothing,
                _ => Scope::Everything,
            };
            let field = match malformed.field.as_str() {
                "." => "spec".to_owned(),
                field => format!("spec.{field}"),
            };
            self.problem(scope, field, malformed.message.clone());
        }
    }

    fn is_malformed(&self, field: &str) -> bool {
        self.problems.iter().any(|problem| problem.field == field)
    }

    fn replicas(&mut self, spec: &GameStatefulSetSpec, name: &str) -> Option<u32> {
        if self.is_malformed("spec.replicas") {
            return None;
        }
        let replicas = spec.replicas.unwrap_or(1);
        if replicas < 0 {
            self.problem(Scope::Scaling, "spec.replicas", format!("{replicas} is negative"));
            return None;
        }
        if replicas > MAX_REPLICAS {
            let message = format!("{replicas} is more than {MAX_REPLICAS}, the most pods of one set");
            self.problem(Scope::Scaling, "spec.replicas", message);
            return None;
        }
        let longest = name.len() + (1 + replicas.to_string().len()).max(HASH_BYTES);
        if longest > LABEL_BYTES {
            let message = format!(
                "{name:?} is too long: with a pod's ordinal or a revision's hash it exceeds the {LABEL_BYTES} bytes of a label"
            );
            self.problem(Scope::Everything, "metadata.name", message);
        }
        u32::try_from(replicas).ok()
    }

    fn reserved(&mut self, spec: &GameStatefulSetSpec) -> Option<BTreeSet<u32>> {
        if self.is_malformed("spec.reserveOrders") {
            return None;
        }
        let mut reserved = BTreeSet::new();
        for ordinal in &spec.reserve_orders {
            match u32::try_from(*ordinal) {
                Err(_) => {
                    let message = format!("{ordinal} is no ordinal");
                    self.problem(Scope::Nothing, "spec.reserveOrders", message);
                }
                Ok(ordinal) if !reserved.insert(ordinal) => {
                    let message = format!("{ordinal} stands there twice");
                    self.problem(Scope::Nothing, "spec.reserveOrders", message);
                }
                Ok(_) => {}
            }
        }
        Some(reserved)
    }

    fn ordered(&mut self, spec: &GameStatefulSetSpec) -> bool {
        match &spec.pod_management_policy {
            None | Some(PodManagementPolicy::OrderedReady) => true,
            Some(PodManagementPolicy::Parallel) => false,
            Some(PodManagementPolicy::Unknown(word)) => {
                let message = format!("{word:?} is neither OrderedReady nor Parallel");
                self.problem(Scope::Updates, "spec.podManagementPolicy", message);
                true
            }
        }
    }

    fn strategy(&mut self, strategy: &UpdateStrategy) -> Option<Strategy> {
        match &strategy.type_ {
            _ if self.is_malformed("spec.updateStrategy") => None,
            None | Some(UpdateStrategyType::RollingUpdate) => Some(Strategy::RollingUpdate),
            Some(UpdateStrategyType::OnDelete) => Some(Strategy::OnDelete),
            Some(UpdateStrategyType::InplaceUpdate) => Some(Strategy::InPlace),
            Some(UpdateStrategyType::HotPatchUpdate) => Some(Strategy::HotPatch),
            Some(UpdateStrategyType::Unknown(word)) => {
                let message =
                    format!("{word:?} is none of RollingUpdate, OnDelete, InplaceUpdate and HotPatchUpdate");
                self.problem(Scope::Updates, "spec.updateStrategy.type", message);
                None
            }
        }
    }

    fn template(&mut self, spec: &GameStatefulSetSpec) -> (Value, BTreeMap<String, String>) {
        let mut template = spec.template.clone();
        template::drop_nulls(&mut template);
        let containers = template["spec"]["containers"].as_array().map_or(0, Vec::len);
        if containers == 0 && !self.is_malformed("spec.template") {
            self.problem(Scope::Everything, "spec.template.spec.containers", "names no container");
        }
        (template.clone(), labels_of(&template))
    }

    fn selector(
        &mut self,
        spec: &GameStatefulSetSpec,
        labels: &BTreeMap<String, String>,
    ) -> Option<Selector> {
        if self.is_malformed("spec.selector") {
            return None;
        }
        match Selector::read(spec.selector.as_ref()) {
            Err(error) => {
                self.problem(Scope::Everything, "spec.selector", error.to_string());
                None
            }
            Ok(selector) => {
                if !selector.matches(labels) {
                    let message = "does not match the labels of spec.template; no pod of the template would be the set's";
                    self.problem(Scope::Everything, "spec.selector", message);
                }
                Some(selector)
            }
        }
    }

    fn partition(&mut self, partition: Option<&IntOrPercent>, replicas: u32) -> u32 {
        let Some(partition) = partition else { return 0 };
        match partition.resolve(i64::from(replicas), Rounding::Down) {
            Ok(partition) => u32::try_from(partition).unwrap_or(u32::MAX),
            Err(error) => {
                let field = "spec.updateStrategy.rollingUpdate.partition";
                self.problem(Scope::Updates, field, error.to_string());
                0
            }
        }
    }

    fn budget(&mut self, written: Option<&IntOrPercent>, replicas: u32, ordered: bool) -> usize {
        const FIELD: &str = "spec.updateStrategy.rollingUpdate.maxUnavailable";
        let default = if ordered { IntOrPercent::Int(1) } else { IntOrPercent::Text("25%".into()) };
        // A set of no pods has nothing to update; a percentage of it must not read as 0.
        let replicas = i64::from(replicas.max(1));
        match written.unwrap_or(&default).resolve(replicas, Rounding::Up) {
            Ok(0) => {
                self.problem(Scope::Updates, FIELD, "is 0, so that no pod may ever be updated");
                0
            }
            Ok(budget) => usize::try_from(budget).unwrap_or(usize::MAX),
            Err(error) => {
                self.problem(Scope::Updates, FIELD, error.to_string());
                0
            }
        }
    }

    fn grace(&mut self, strategy: &UpdateStrategy) -> SignedDuration {
        let options = strategy.in_place_update_strategy.as_ref();
        let seconds = options.and_then(|options| options.grace_period_seconds).unwrap_or_default();
        if seconds < 0 || seconds > i64::from(i32::MAX) {
            let field = "spec.updateStrategy.inPlaceUpdateStrategy.gracePeriodSeconds";
            self.problem(Scope::Updates, field, format!("{seconds} is not a number of seconds"));
            return SignedDuration::ZERO;
        }
        SignedDuration::from_secs(seconds)
    }

    fn history_limit(&mut self, spec: &GameStatefulSetSpec) -> Option<usize> {
        let limit = spec.revision_history_limit.unwrap_or(10);
        let readable = !self.is_malformed("spec.revisionHistoryLimit");
        let limit = usize::try_from(limit).ok().filter(|_| readable);
        if limit.is_none() && readable {
            self.problem(Scope::Nothing, "spec.revisionHistoryLimit", "is negative; all revisions are kept");
        }
        limit
    }

    /// Fields that this controller stores and does not carry out.
    fn not_carried_out(&mut self, spec: &GameStatefulSetSpec, strategy: &UpdateStrategy) {
        if strategy.canary.as_ref().is_some_and(|canary| !canary.steps.is_empty()) {
            let message = "steps are not carried out yet; no update begins, rather than all of it at once";
            self.problem(Scope::Updates, "spec.updateStrategy.canary", message);
        }
        let surge = strategy.rolling_update.as_ref().and_then(|bounds| bounds.max_surge.as_ref());
        if surge.is_some_and(|surge| surge.resolve(100, Rounding::Up) != Ok(0)) {
            let message = "is not carried out yet; updates stay within replicas";
            self.problem(Scope::Nothing, "spec.updateStrategy.rollingUpdate.maxSurge", message);
        }
        let in_place = strategy.in_place_update_strategy.as_ref();
        let policy = in_place.and_then(|in_place| in_place.policy.as_ref());
        if policy.is_some_and(|policy| *policy != InPlacePolicy::DisOrdered) {
            let message =
                "only DisOrdered is carried out yet; all images of a pod change at once, in any order";
            self.problem(Scope::Nothing, "spec.updateStrategy.inPlaceUpdateStrategy.policy", message);
        }
        let batch = spec.scale_strategy.as_ref().and_then(|scale| scale.create_batch.as_ref());
        if batch.is_some_and(|batch| batch.to_string() != "100%") {
            let message = "is not carried out yet; pods are created as podManagementPolicy says";
            self.problem(Scope::Nothing, "spec.scaleStrategy.createBatch", message);
        }
    }
}

/// The labels of a template.
pub fn labels_of(template: &Value) -> BTreeMap<String, String> {
    let labels = template["metadata"]["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(edit: impl FnOnce(&mut Value)) -> Spec {
        let mut set = json!({
            "apiVersion": "tkex.tencent.com/v1alpha1",
            "kind": "GameStatefulSet",
            "metadata": {"name": "game", "namespace": "fleet"},
            "spec": {
                "replicas": 10,
                "serviceName": "game",
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": {"app": "game"}},
                "template": {
                    "metadata": {"labels": {"app": "game"}},
                    "spec": {"containers": [{"name": "center", "image": "game:1"}]},
                },
            },
        });
        edit(&mut set["spec"]);
        Spec::read(&serde_json::from_value(set).unwrap())
    }

    fn problems(edit: impl FnOnce(&mut Value)) -> Vec<(String, Scope)> {
        read(edit).problems.into_iter().map(|problem| (problem.field, problem.scope)).collect()
    }

    #[test]
    fn a_plain_set_has_defaults_and_no_problems() {
        let spec = read(|_| {});
        assert_eq!(spec.problems, []);
        assert_eq!(spec.strategy, Some(Strategy::RollingUpdate));
        // 25 % of 10, rounded up.
        assert_eq!(spec.budget, 3);
        assert_eq!(spec.ordinals(), Some((0..10).collect()));
        assert_eq!(read(|spec| spec["podManagementPolicy"] = json!("OrderedReady")).budget, 1);
    }

    #[test]
    fn reserved_ordinals_are_left_out() {
        let spec = read(|spec| {
            spec["replicas"] = json!(3);
            spec["reserveOrders"] = json!([1, 7]);
        });
        assert_eq!(spec.ordinals(), Some(vec![0, 2, 3]));
    }

    #[test]
    fn percentages_round_as_stateful_set_does() {
        let bounds = |partition, unavailable| {
            let spec = read(|spec| {
                spec["updateStrategy"] =
                    json!({"rollingUpdate": {"partition": partition, "maxUnavailable": unavailable}});
            });
            (spec.partition, spec.budget)
        };
        assert_eq!(bounds(json!("25%"), json!("1%")), (2, 1));
        assert_eq!(bounds(json!(4), json!(4)), (4, 4));
    }

    #[test]
    fn bad_fields_are_named_with_what_they_hold_up() {
        let bounds = |bounds: Value| {
            problems(|spec| {
                spec["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": bounds});
            })
        };
        let cases = [
            problems(|spec| spec["replicas"] = json!(-1)),
            problems(|spec| spec["replicas"] = json!("three")),
            problems(|spec| spec["selector"] = json!({})),
            problems(|spec| spec["selector"] = json!({"matchLabels": {"app": "other"}})),
            problems(|spec| spec["template"]["spec"] = json!({})),
            problems(|spec| spec["podManagementPolicy"] = json!("Sideways")),
            problems(|spec| spec["updateStrategy"] = json!({"type": "Magic"})),
            problems(|spec| spec["updateStrategy"] = json!({"type": 3})),
            bounds(json!({"maxUnavailable": 0})),
            bounds(json!({"maxUnavailable": "0%"})),
            bounds(json!({"maxUnavailable": "many"})),
            bounds(json!({"partition": "x%"})),
            bounds(json!({"maxSurge": 1})),
            problems(|spec| spec["reserveOrders"] = json!([2, 2])),
            problems(|spec| spec["revisionHistoryLimit"] = json!(-1)),
        ];
        let field = |field: &str, scope| vec![(field.to_owned(), scope)];
        let unavailable = "spec.updateStrategy.rollingUpdate.maxUnavailable";
        let expected = [
            field("spec.replicas", Scope::Scaling),
            field("spec.replicas", Scope::Scaling),
            field("spec.selector", Scope::Everything),
            field("spec.selector", Scope::Everything),
            field("spec.template.spec.containers", Scope::Everything),
            field("spec.podManagementPolicy", Scope::Updates),
            field("spec.updateStrategy.type", Scope::Updates),
            field("spec.updateStrategy", Scope::Updates),
            field(unavailable, Scope::Updates),
            field(unavailable, Scope::Updates),
            field(unavailable, Scope::Updates),
            field("spec.updateStrategy.rollingUpdate.partition", Scope::Updates),
            field("spec.updateStrategy.rollingUpdate.maxSurge", Scope::Nothing),
            field("spec.reserveOrders", Scope::Nothing),
            field("spec.revisionHistoryLimit", Scope::Nothing),
        ];
        assert_eq!(cases, expected);
    }

    #[test]
    fn a_name_too_long_for_labels_is_named() {
        let set = json!({
            "apiVersion": "tkex.tencent.com/v1alpha1",
            "kind": "GameStatefulSet",
            "metadata": {"name": "g".repeat(60)},
            "spec": {
                "selector": {"matchLabels": {"app": "game"}},
                "template": {
                    "metadata": {"labels": {"app": "game"}},
                    "spec": {"containers": [{"name": "center", "image": "game:1"}]},
                },
            },
        });
        let spec = Spec::read(&serde_json::from_value(set).unwrap());
        assert_eq!(spec.problems[0].field, "metadata.name");
    }
}
