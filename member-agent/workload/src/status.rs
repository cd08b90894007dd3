//! The status of a set, computed afresh from the snapshot each time, so that no number is ever briefly zero.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_crds::GameStatefulSet;
use muster_crds::conditions::{Condition, remove_condition, set_condition};
use muster_crds::keys::condition;
use muster_crds::names::RevisionName;
use muster_crds::tkex::{GameStatefulSetSpec, GameStatefulSetStatus, HookStrategy};

use crate::blocked::blocked_by;
use crate::family::{Family, Slot};
use crate::plan::{Step, Wait};
use crate::pod::Pod;
use crate::reason::Code;
use crate::revision::{History, Revision};
use crate::scale;
use crate::spec::{NO_HOT_PATCH, Scope, Spec};

/// Most bytes of a condition's message.
const MAX_MESSAGE: usize = 1024;

/// The status as of the snapshot.
pub(crate) fn status(
    set: &GameStatefulSet,
    spec: &Spec,
    family: &Family<'_>,
    history: &History<'_>,
    steps: &[Step],
    waits: &[Wait],
    now: Timestamp,
) -> GameStatefulSetStatus {
    let before = set.status.clone().unwrap_or_default();
    let (blocked_by, blocked_by_omitted) = blocked_by(&before.blocked_by, waits, now);
    let live: Vec<&Pod> =
        family.slots.iter().filter_map(|slot| slot.pod).filter(|pod| !pod.deleting).collect();
    let gone = |slot: &&Slot<'_>| slot.pod.is_some_and(|pod| pod.deleting);
    let draining = family.slots.iter().chain(&family.surge).filter(gone).count() + family.condemned.len();
    let count = |test: &dyn Fn(&Pod) -> bool| live.iter().filter(|pod| test(pod)).count() as i64;
    let name = |revision: Option<&Revision>| revision.map(|revision| revision.name.clone());
    let update = name(history.update);
    let is_at = |pod: &Pod, revision: &Option<RevisionName>| {
        revision.as_ref().is_some_and(|revision| pod.is_at(revision))
    };
    let current = name(history.current);
    let ready = count(&|pod| pod.is_available());
    let available = count(&|pod| spec.is_available(pod, now));
    let mut replicas = live.len() as i64;
    if spec.holds(Scope::Scaling) {
        // The last good number is remembered here: pods that die meanwhile are to come back.
        replicas = replicas.max(before.replicas);
    }
    let text = |revision: Option<RevisionName>| revision.map(|name| name.to_string());
    let mut status = GameStatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas,
        ready_replicas: ready,
        current_replicas: count(&|pod| is_at(pod, &current)),
        updated_replicas: count(&|pod| is_at(pod, &update)),
        updated_ready_replicas: count(&|pod| is_at(pod, &update) && pod.is_available()),
        available_replicas: available,
        draining_replicas: draining as i64,
        // Until a new revision is stored, the last one stays on record.
        current_revision: text(current).or(before.current_revision),
        update_revision: text(update).or(before.update_revision),
        collision_count: (history.collisions > 0).then_some(history.collisions),
        label_selector: match &spec.selector {
            Some(selector) => Some(selector.to_string()),
            None => before.label_selector,
        },
        conditions: before.conditions,
        pause_conditions: before.pause_conditions,
        current_step_index: before.current_step_index,
        current_step_hash: before.current_step_hash,
        canary: before.canary,
        pre_delete_hook_condition: before.pre_delete_hook_condition,
        pre_inplace_hook_condition: before.pre_inplace_hook_condition,
        post_inplace_hook_condition: before.post_inplace_hook_condition,
        failed_update: None,
        last_progress_time: None,
        scale_down: scale::scale_down(family, steps, waits),
        removed_ordinals: family.ordinals.removed.write(),
        filling_replicas: family.filling.map(i64::from),
        blocked_by,
        blocked_by_omitted,
        malformed: Vec::new(),
    };
    let all_ready = ready == family.slots.len() as i64;
    let ready_message = format!("{ready} of {} pods are ready", family.slots.len());
    let generation = set.metadata.generation;
    let mut put = |condition: Condition| {
        set_condition(&mut status.conditions, condition.observed(generation), now);
    };
    let ready_reason = if all_ready { "AllReady" } else { "NotAllReady" };
    put(Condition::new(condition::READY, all_ready, ready_reason, ready_message));
    put(progressing(steps, waits));
    let mut only_if = |type_: &str, problem: Option<(&str, String)>| match problem {
        Some((reason, message)) => {
            let condition =
                Condition::new(type_, true, reason, shorten(message, MAX_MESSAGE)).observed(generation);
            set_condition(&mut status.conditions, condition, now);
        }
        None => {
            remove_condition(&mut status.conditions, type_);
        }
    };
    only_if(condition::INVALID_SPEC, invalid(spec));
    only_if(condition::UPDATE_REFUSED, history.refused.as_deref().map(|field| refused(spec, history, field)));
    let paused = waits.iter().find(|wait| wait.reason.code == Code::Paused);
    let paused = paused.map(|wait| ("PausedByUser", wait.reason.message.clone()));
    let by_canary = |wait: &&Wait| matches!(wait.reason.code, Code::CanaryPause | Code::CanaryPaused);
    let by_canary = waits.iter().find(by_canary);
    let by_canary = by_canary.map(|wait| (wait.reason.code.as_str(), wait.reason.message.clone()));
    only_if(condition::PAUSED, paused.or(by_canary));
    only_if(condition::HOOKS_NOT_ENFORCED, hooks(&set.spec));
    status
}

/// Whether the set is on its way to what its spec says.
fn progressing(steps: &[Step], waits: &[Wait]) -> Condition {
    // These stay until a person acts; the set has arrived as far as it may.
    let resting = |code: Code| {
        matches!(
            code,
            Code::OnDelete
                | Code::Paused
                | Code::InvalidSpec
                | Code::CannotUpdateInPlace
                | Code::RevisionMissing
                | Code::StorageMismatch
                | Code::ClaimControlled
                | Code::Partition
                | Code::HookDenied
                | Code::HookTemplateMissing
                | Code::CanaryPaused
        )
    };
    let mut codes: BTreeMap<Code, (usize, &Wait)> = BTreeMap::new();
    for wait in waits {
        codes.entry(wait.reason.code).or_insert((0, wait)).0 += 1;
    }
    let message: Vec<String> = codes.values().map(|(count, first)| summary(*count, first)).collect();
    let message = shorten(message.join("; "), MAX_MESSAGE);
    if codes.contains_key(&Code::PodDeadline) {
        return Condition::new(condition::PROGRESSING, false, Code::PodDeadline.as_str(), message);
    }
    let moving = codes.keys().find(|code| !resting(**code));
    match (moving, steps.first()) {
        (Some(code), _) => Condition::new(condition::PROGRESSING, true, code.as_str(), message),
        (None, Some(step)) => {
            Condition::new(condition::PROGRESSING, true, step.reason.code.as_str(), message)
        }
        (None, None) => {
            let reason = codes.keys().next().map_or("UpToDate", |code| code.as_str());
            Condition::new(condition::PROGRESSING, false, reason, message)
        }
    }
}

fn summary(count: usize, first: &Wait) -> String {
    if count == 1 { first.to_string() } else { format!("{first} (and {} more)", count - 1) }
}

fn invalid(spec: &Spec) -> Option<(&'static str, String)> {
    let worst = spec.problems.iter().map(|problem| problem.scope).max()?;
    let reason = match worst {
        Scope::Nothing => "FieldIgnored",
        Scope::Template => "TemplateRefused",
        Scope::Updates => "UpdatesHeld",
        Scope::Scaling => "ScalingHeld",
        Scope::Everything => "SetHeld",
    };
    let problems: Vec<String> = spec.problems.iter().map(ToString::to_string).collect();
    Some((reason, problems.join("; ")))
}

fn refused(spec: &Spec, history: &History<'_>, field: &str) -> (&'static str, String) {
    let stays =
        history.update.map_or_else(String::new, |revision| format!("; all pods stay on {}", revision.name));
    let message = if spec.strategy == Some(crate::spec::Strategy::InPlace) {
        format!(
            "{field} changed, which a running pod cannot take in place{stays}; take the change back, set updateStrategy.type to RollingUpdate, or scale to 0 first"
        )
    } else if spec.strategy == Some(crate::spec::Strategy::HotPatch) {
        format!("{field}: {NO_HOT_PATCH}{stays}")
    } else {
        format!("{field}: no update of this type can be made{stays}")
    };
    (Code::UpdateRefused.as_str(), message)
}

fn hooks(spec: &GameStatefulSetSpec) -> Option<(&'static str, String)> {
    let points: [(&str, &Option<HookStrategy>); 3] = [
        ("preDeleteUpdateStrategy", &spec.pre_delete_update_strategy),
        ("preInplaceUpdateStrategy", &spec.pre_inplace_update_strategy),
        ("postInplaceUpdateStrategy", &spec.post_inplace_update_strategy),
    ];
    let named: Vec<String> = points
        .iter()
        .filter_map(|(point, strategy)| {
            let hook = strategy.as_ref()?.hook.as_ref()?;
            Some(format!("spec.{point}.hook ({})", hook.template_name))
        })
        .collect();
    let message =
        || format!("not asked by this version, pods are updated and deleted without: {}", named.join(", "));
    (!named.is_empty()).then(|| ("HooksNotSupported", message()))
}

/// Cuts a message to `max` bytes, where it is longer.
pub(crate) fn shorten(mut message: String, max: usize) -> String {
    if message.len() > max {
        let mut end = max.saturating_sub(3);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push_str("...");
    }
    message
}
