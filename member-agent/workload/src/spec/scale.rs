//! Reads the fields that say how many pods there are, which, and what becomes of their claims.

use jiff::SignedDuration;
use muster_crds::int_or_percent::Rounding;
use muster_crds::keys::workload::DELETE_FIRST;
use muster_crds::tkex::{ClaimRetention, GameStatefulSetSpec, RollingUpdate, UpdateStrategyType};
use muster_crds::{GameStatefulSet, IntOrPercent};

use super::read::Reader;
use super::{MAX_REPLICAS, Scope};

/// Most bytes of a value that a message repeats.
const MAX_VALUE: usize = 64;

/// What becomes of claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Whether they go with the set.
    pub deleted: bool,
    /// Whether they go with a pod that is taken away.
    pub scaled: bool,
}

impl Reader {
    /// The first ordinal.
    pub(super) fn start(&mut self, spec: &GameStatefulSetSpec) -> Option<u32> {
        const FIELD: &str = "spec.ordinals.start";
        if self.is_malformed("spec.ordinals") {
            return None;
        }
        let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or_default();
        if start < 0 {
            self.problem(Scope::Scaling, FIELD, format!("{start} is negative"));
            return None;
        }
        // Ordinals of 32 bits, with room for the pods that follow.
        if start > i64::from(i32::MAX) - 2 * MAX_REPLICAS {
            self.problem(Scope::Scaling, FIELD, format!("{start} is too large for an ordinal"));
            return None;
        }
        u32::try_from(start).ok()
    }

    /// How long a pod has to be ready.
    pub(super) fn min_ready(&mut self, spec: &GameStatefulSetSpec) -> SignedDuration {
        let seconds = spec.min_ready_seconds.unwrap_or_default();
        if !(0..=i64::from(i32::MAX)).contains(&seconds) {
            let message = format!("{seconds} is not a number of seconds; ready pods count at once");
            self.problem(Scope::Nothing, "spec.minReadySeconds", message);
            return SignedDuration::ZERO;
        }
        SignedDuration::from_secs(seconds)
    }

    /// What becomes of claims; none when it cannot be told, and then their owners are left alone.
    pub(super) fn retention(&mut self, spec: &GameStatefulSetSpec) -> Option<Retention> {
        const FIELD: &str = "spec.persistentVolumeClaimRetentionPolicy";
        if self.is_malformed(FIELD) {
            return None;
        }
        let policy = spec.persistent_volume_claim_retention_policy.clone().unwrap_or_default();
        let mut goes = |word: Option<ClaimRetention>, field: &str| match word {
            None | Some(ClaimRetention::Retain) => Some(false),
            Some(ClaimRetention::Delete) => Some(true),
            Some(ClaimRetention::Unknown(word)) => {
                let message = format!("{word:?} is neither Retain nor Delete; claims stay as they are");
                self.problem(Scope::Nothing, format!("{FIELD}.{field}"), message);
                None
            }
        };
        let deleted = goes(policy.when_deleted, "whenDeleted");
        let scaled = goes(policy.when_scaled, "whenScaled");
        Some(Retention { deleted: deleted?, scaled: scaled? })
    }

    /// How many pods there may be above replicas while others are updated.
    pub(super) fn surge(
        &mut self,
        bounds: &RollingUpdate,
        type_: Option<&UpdateStrategyType>,
        replicas: u32,
        ordered: bool,
    ) -> usize {
        const FIELD: &str = "spec.updateStrategy.rollingUpdate.maxSurge";
        let Some(written) = &bounds.max_surge else { return 0 };
        match written.resolve(i64::from(replicas), Rounding::Up) {
            Err(error) => {
                self.problem(Scope::Updates, FIELD, error.to_string());
                0
            }
            Ok(0) => 0,
            Ok(_) if ordered => {
                let message = "works with podManagementPolicy Parallel only; updates stay within replicas";
                self.problem(Scope::Nothing, FIELD, message);
                0
            }
            Ok(_) if type_ == Some(&UpdateStrategyType::OnDelete) => 0,
            Ok(surge) => usize::try_from(surge.min(MAX_REPLICAS)).unwrap_or_default(),
        }
    }

    /// How many pods of a new set are created at once; none for all.
    pub(super) fn create_batch(
        &mut self,
        spec: &GameStatefulSetSpec,
        replicas: u32,
        ordered: bool,
    ) -> Option<u32> {
        const FIELD: &str = "spec.scaleStrategy.createBatch";
        let written: &IntOrPercent = spec.scale_strategy.as_ref()?.create_batch.as_ref()?;
        if ordered || replicas == 0 {
            return None;
        }
        match written.resolve(i64::from(replicas), Rounding::Up) {
            Err(error) => {
                self.problem(Scope::Nothing, FIELD, format!("{error}; all pods are created at once"));
                None
            }
            Ok(0) => {
                let message = "is 0, so that no pod would ever be created; all are created at once";
                self.problem(Scope::Nothing, FIELD, message);
                None
            }
            Ok(batch) => u32::try_from(batch).ok().filter(|batch| *batch < replicas),
        }
    }

    /// The ordinals that go first, in the order in which they were named.
    pub(super) fn delete_first(&mut self, set: &GameStatefulSet) -> Vec<u32> {
        let Some(written) = set.metadata.annotations.as_ref().and_then(|all| all.get(DELETE_FIRST)) else {
            return Vec::new();
        };
        let mut ordinals = Vec::new();
        for word in written.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.parse::<u32>() {
                Ok(ordinal) if !ordinals.contains(&ordinal) => ordinals.push(ordinal),
                Ok(_) => {}
                Err(_) => {
                    let word: String = word.chars().take(MAX_VALUE).collect();
                    let message =
                        format!("{word:?} is no ordinal; write them as in \"3,7\". None goes first");
                    self.problem(Scope::Nothing, format!("metadata.annotations[{DELETE_FIRST}]"), message);
                    return Vec::new();
                }
            }
        }
        ordinals
    }
}
