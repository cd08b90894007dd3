//! What a set asks for that cannot be: templates that no pod can be made from, numbers and words without a meaning.
//!
//! bk-bcs takes all of this and stores it. A set that is stored so has to remain one that can be updated, so nothing here
//! is a rule of the definition.

use std::collections::BTreeSet;

use muster_crds::int_or_percent::Rounding;
use muster_crds::tkex::{
    ClaimRetention, GameStatefulSetSpec, InPlacePolicy, PodDeadlinePolicy, UpdateStrategy,
};
use serde_json::Value;

use super::read::Reader;
use super::{Scope, Spec};

impl Reader {
    /// What keeps the API server or the kubelet from running pods of this template as a set needs them.
    pub(super) fn runnable(&mut self, spec: &GameStatefulSetSpec, template: &Value) {
        if self.is_malformed("spec.template") {
            return;
        }
        let mut wrong = |field: &str, message: String| {
            self.problem(Scope::Template, format!("spec.template.spec{field}"), message);
        };
        let pod = &template["spec"];
        if pod["containers"].as_array().is_none_or(Vec::is_empty) {
            wrong(".containers", "names no container".into());
        }
        if let Some(policy) = pod["restartPolicy"].as_str().filter(|policy| *policy != "Always") {
            wrong(".restartPolicy", format!("is {policy}; the pods of a set run for good, which is Always"));
        }
        if !pod["activeDeadlineSeconds"].is_null() {
            wrong(".activeDeadlineSeconds", "ends pods that are to run for good".into());
        }
        if !pod["ephemeralContainers"].is_null() {
            wrong(".ephemeralContainers", "can only be added to a pod that runs".into());
        }
        if let Some(seconds) = pod["terminationGracePeriodSeconds"].as_i64().filter(|seconds| *seconds < 0) {
            wrong(".terminationGracePeriodSeconds", format!("{seconds} is negative"));
        }
        let named = |list: &Value| -> Vec<String> {
            let names = list.as_array().into_iter().flatten().map(|one| one["name"].as_str());
            names.map(|name| name.unwrap_or_default().to_owned()).collect()
        };
        let claims = spec.volume_claim_templates.iter().map(|claim| &claim["metadata"]["name"]);
        let mut volumes: BTreeSet<String> = claims.filter_map(Value::as_str).map(str::to_owned).collect();
        let mut own = BTreeSet::new();
        for (index, volume) in named(&pod["volumes"]).into_iter().enumerate() {
            if !own.insert(volume.clone()) {
                wrong(&format!(".volumes[{index}].name"), format!("{volume:?} is there twice"));
            }
        }
        volumes.append(&mut own);
        let mut names = BTreeSet::new();
        for list in ["initContainers", "containers"] {
            for (index, container) in pod[list].as_array().into_iter().flatten().enumerate() {
                let field = format!(".{list}[{index}]");
                match container["name"].as_str() {
                    None | Some("") => wrong(&format!("{field}.name"), "is missing".into()),
                    Some(name) if !names.insert(name.to_owned()) => {
                        wrong(&format!("{field}.name"), format!("{name:?} is there twice"));
                    }
                    Some(_) => {}
                }
                for (index, volume) in named(&container["volumeMounts"]).into_iter().enumerate() {
                    if !volumes.contains(&volume) {
                        let message = format!("{volume:?} is neither a volume nor a volumeClaimTemplate");
                        wrong(&format!("{field}.volumeMounts[{index}].name"), message);
                    }
                }
            }
        }
    }

    /// Helper containers that the template does not have.
    pub(super) fn helpers(&mut self, strategy: &UpdateStrategy, template: &Value) {
        let Some(options) = &strategy.in_place_update_strategy else { return };
        let pod = &template["spec"];
        let lists = [&pod["containers"], &pod["initContainers"]];
        let containers = lists.into_iter().filter_map(Value::as_array).flatten();
        let names: BTreeSet<&str> = containers.filter_map(|container| container["name"].as_str()).collect();
        for helper in options.helper_containers.iter().filter(|helper| !names.contains(helper.as_str())) {
            let field = "spec.updateStrategy.inPlaceUpdateStrategy.helperContainers";
            self.problem(Scope::Nothing, field, format!("{helper:?} is no container of spec.template"));
        }
    }

    /// Numbers and words that mean nothing. They count as if they were left out.
    pub(super) fn values(&mut self, spec: &GameStatefulSetSpec, strategy: &UpdateStrategy) {
        let in_place = strategy.in_place_update_strategy.as_ref();
        let pull = in_place.and_then(|options| options.pre_pull.as_ref());
        for (field, number) in [
            ("spec.minReadySeconds", spec.min_ready_seconds),
            ("spec.progressDeadlineSeconds", spec.progress_deadline_seconds),
            ("spec.ordinals.start", spec.ordinals.as_ref().and_then(|ordinals| ordinals.start)),
            ("spec.updateStrategy.podDeadlineSeconds", strategy.pod_deadline_seconds),
            (
                "spec.updateStrategy.inPlaceUpdateStrategy.prePull.parallelism",
                pull.and_then(|pull| pull.parallelism),
            ),
        ] {
            let negative = number.filter(|number| *number < 0);
            self.ignored(field, negative.map(|number| format!("{number} is negative")));
        }
        let surge = strategy.rolling_update.as_ref().and_then(|bounds| bounds.max_surge.as_ref());
        let batch = spec.scale_strategy.as_ref().and_then(|scale| scale.create_batch.as_ref());
        for (field, number) in
            [("spec.updateStrategy.rollingUpdate.maxSurge", surge), ("spec.scaleStrategy.createBatch", batch)]
        {
            let wrong = number.and_then(|number| number.resolve(100, Rounding::Up).err());
            self.ignored(field, wrong.map(|error| error.to_string()));
        }
        let retention = spec.persistent_volume_claim_retention_policy.as_ref();
        let unknown = |word: Option<&ClaimRetention>| match word {
            Some(ClaimRetention::Unknown(word)) => Some(format!("{word:?} is neither Retain nor Delete")),
            _ => None,
        };
        let policy = "spec.persistentVolumeClaimRetentionPolicy";
        let deleted = unknown(retention.and_then(|policy| policy.when_deleted.as_ref()));
        self.ignored(&format!("{policy}.whenDeleted"), deleted);
        let scaled = unknown(retention.and_then(|policy| policy.when_scaled.as_ref()));
        self.ignored(&format!("{policy}.whenScaled"), scaled);
        if let Some(InPlacePolicy::Unknown(word)) = in_place.and_then(|options| options.policy.as_ref()) {
            let message = format!("{word:?} is none of DisOrdered, OrderedReady and OrderedUpdated");
            self.ignored("spec.updateStrategy.inPlaceUpdateStrategy.policy", Some(message));
        }
        if let Some(PodDeadlinePolicy::Unknown(word)) = &strategy.on_pod_deadline {
            let message = format!("{word:?} is none of Pause, RollbackPod and RollbackSet");
            self.ignored("spec.updateStrategy.onPodDeadline", Some(message));
        }
    }

    /// A problem of a field that has no other and is left out of account.
    fn ignored(&mut self, field: &str, message: Option<String>) {
        if let Some(message) = message.filter(|_| !self.is_malformed(field)) {
            self.problem(Scope::Nothing, field, message);
        }
    }
}

impl Spec {
    /// A partition that lets no pod go, though it seems to count pods.
    pub(super) fn check_partition(&mut self, written: bool) {
        let highest = self.ordinals().and_then(|ordinals| ordinals.last().copied());
        let (Some(replicas), Some(highest)) = (self.replicas, highest) else { return };
        let steps = self.canary.as_ref().is_none_or(|steps| !steps.is_empty());
        if written && !steps && self.partition > replicas && self.partition > highest {
            let message = format!(
                "is {}, beyond all {replicas} replicas: no pod is updated until it is lowered",
                self.partition
            );
            let field = "spec.updateStrategy.rollingUpdate.partition".to_owned();
            self.problems.push(super::Problem { field, message, scope: Scope::Nothing });
        }
    }
}
