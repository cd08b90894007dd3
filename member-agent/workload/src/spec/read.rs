//! Reads the fields of a set one by one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use muster_crds::IntOrPercent;
use muster_crds::int_or_percent::Rounding;
use muster_crds::tkex::{GameStatefulSetSpec, PodManagementPolicy, UpdateStrategy, UpdateStrategyType};
use serde_json::Value;

use super::{HASH_BYTES, LABEL_BYTES, MAX_REPLICAS, Problem, Scope, Strategy, labels_of};
use crate::canary;
use crate::selector::Selector;
use crate::template;

/// Reads fields and collects what is wrong with them.
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn problem(&mut self, scope: Scope, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { field: field.into(), message: message.into(), scope });
    }

    pub(super) fn malformed(&mut self, spec: &GameStatefulSetSpec) {
        for malformed in &spec.malformed {
            let scope = match malformed.field.as_str() {
                "updateStrategy" | "podManagementPolicy" => Scope::Updates,
                "replicas" | "reserveOrders" | "ordinals" => Scope::Scaling,
                "revisionHistoryLimit"
                | "scaleStrategy"
                | "minReadySeconds"
                | "persistentVolumeClaimRetentionPolicy" => Scope::Nothing,
                _ => Scope::Everything,
            };
            let field = match malformed.field.as_str() {
                "." => "spec".to_owned(),
                field => format!("spec.{field}"),
            };
            self.problem(scope, field, malformed.message.clone());
        }
    }

    pub(super) fn is_malformed(&self, field: &str) -> bool {
        self.problems.iter().any(|problem| problem.field == field)
    }

    pub(super) fn replicas(&mut self, spec: &GameStatefulSetSpec, name: &str) -> Option<u32> {
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

    pub(super) fn reserved(&mut self, spec: &GameStatefulSetSpec) -> Option<BTreeSet<u32>> {
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

    pub(super) fn ordered(&mut self, spec: &GameStatefulSetSpec) -> bool {
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

    pub(super) fn strategy(&mut self, strategy: &UpdateStrategy) -> Option<Strategy> {
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

    pub(super) fn template(&mut self, spec: &GameStatefulSetSpec) -> (Value, BTreeMap<String, String>) {
        let mut template = spec.template.clone();
        template::drop_nulls(&mut template);
        self.runnable(spec, &template);
        (template.clone(), labels_of(&template))
    }

    pub(super) fn selector(
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

    pub(super) fn partition(&mut self, partition: Option<&IntOrPercent>, replicas: u32) -> u32 {
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

    pub(super) fn canary(&mut self, strategy: &UpdateStrategy, replicas: u32) -> Option<Vec<canary::Step>> {
        if self.is_malformed("spec.updateStrategy") {
            return None;
        }
        let written = strategy.canary.as_ref().map_or(&[][..], |canary| &canary.steps);
        let mut steps = Some(Vec::new());
        for (index, step) in written.iter().enumerate() {
            match canary::steps::read(step, replicas) {
                Ok(step) => steps.iter_mut().for_each(|steps| steps.push(step.clone())),
                Err((below, message)) => {
                    let field = format!("spec.updateStrategy.canary.steps[{index}]{below}");
                    self.problem(Scope::Updates, field, message);
                    steps = None;
                }
            }
        }
        steps
    }

    pub(super) fn budget(&mut self, written: Option<&IntOrPercent>, replicas: u32, ordered: bool) -> usize {
        const FIELD: &str = "spec.updateStrategy.rollingUpdate.maxUnavailable";
        let default = if ordered { IntOrPercent::Int(1) } else { IntOrPercent::Text("25%".into()) };
        // A set of no pods has nothing to update; a percentage of it must not read as 0.
        let replicas = i64::from(replicas.max(1));
        match written.unwrap_or(&default).resolve(replicas, Rounding::Up) {
            Ok(0) => {
                self.problem(Scope::Updates, FIELD, "is 0, so that no pod may ever be updated");
                0
            }
            // What is added is a planted mistake.
            Ok(budget) => usize::try_from(budget).unwrap_or(usize::MAX) + usize::from(cfg!(mutate_budget)),
            Err(error) => {
                self.problem(Scope::Updates, FIELD, error.to_string());
                0
            }
        }
    }

    pub(super) fn grace(&mut self, strategy: &UpdateStrategy) -> SignedDuration {
        let options = strategy.in_place_update_strategy.as_ref();
        let seconds = options.and_then(|options| options.grace_period_seconds).unwrap_or_default();
        if seconds < 0 || seconds > i64::from(i32::MAX) {
            let field = "spec.updateStrategy.inPlaceUpdateStrategy.gracePeriodSeconds";
            self.problem(Scope::Updates, field, format!("{seconds} is not a number of seconds"));
            return SignedDuration::ZERO;
        }
        SignedDuration::from_secs(seconds)
    }

    pub(super) fn history_limit(&mut self, spec: &GameStatefulSetSpec) -> Option<usize> {
        let limit = spec.revision_history_limit.unwrap_or(10);
        let readable = !self.is_malformed("spec.revisionHistoryLimit");
        let limit = usize::try_from(limit).ok().filter(|_| readable);
        if limit.is_none() && readable {
            self.problem(Scope::Nothing, "spec.revisionHistoryLimit", "is negative; all revisions are kept");
        }
        limit
    }

    pub(super) fn hooks(&mut self, spec: &GameStatefulSetSpec) {
        let points = [
            ("preDeleteUpdateStrategy", &spec.pre_delete_update_strategy),
            ("preInplaceUpdateStrategy", &spec.pre_inplace_update_strategy),
            ("postInplaceUpdateStrategy", &spec.post_inplace_update_strategy),
        ];
        for (field, point) in points {
            let most = point.as_ref().and_then(|point| point.max_concurrent_hooks);
            if let Some(most) = most.filter(|most| *most < 1) {
                let message = format!("{most} lets no pod be asked");
                self.problem(Scope::Updates, format!("spec.{field}.maxConcurrentHooks"), message);
            }
        }
        let post = spec.post_inplace_update_strategy.as_ref().and_then(|point| point.hook.as_ref());
        if post.is_some() && spec.disable_readiness_gate == Some(true) {
            let message =
                "is not asked about pods without the readiness gate, which nothing keeps out of traffic";
            self.problem(Scope::Nothing, "spec.postInplaceUpdateStrategy.hook", message);
        }
    }
}
