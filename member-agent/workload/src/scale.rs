//! Which ordinals a set has: chosen ones go first, a new set fills in batches, and an update may surge.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use muster_crds::tkex::{GameStatefulSetStatus, RemovedOrdinals, ScaleDownStatus};

use crate::change::{Change, classify};
use crate::family::{Family, Slot};
use crate::plan::{Step, Wait};
use crate::pod::{Phase, Pod};
use crate::reason::Code;
use crate::revision::History;
use crate::spec::{Scope, Spec, Strategy};

/// Most pods that the status of a scale-down names.
const MAX_DRAINING: usize = 20;

/// Most removed ordinals that are believed of a status: more than a set has pods were not written by us.
const MAX_REMOVED: usize = 100_000;

/// The ordinals of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ordinals {
    /// All of them, ascending.
    pub(crate) wanted: Vec<u32>,
    /// Those that were chosen to go and lie between them.
    pub(crate) removed: Removed,
    /// Whether none was chosen beyond those in the status.
    pub(crate) recorded: bool,
}

/// Ordinals that were chosen to go while later ones stayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// The ordinals.
    pub(crate) ordinals: BTreeSet<u32>,
    /// How many pods the set was to have then.
    pub(crate) replicas: u32,
}

impl Removed {
    /// What the status remembers.
    fn read(status: &GameStatefulSetStatus) -> Self {
        let Some(written) = &status.removed_ordinals else { return Self::default() };
        let ordinals = written.ordinals.iter().take(MAX_REMOVED);
        Self {
            ordinals: ordinals.filter_map(|ordinal| u32::try_from(*ordinal).ok()).collect(),
            replicas: u32::try_from(written.replicas).unwrap_or_default(),
        }
    }

    /// As it stands in the status; none where there is nothing to remember.
    pub(crate) fn write(&self) -> Option<RemovedOrdinals> {
        (!self.ordinals.is_empty()).then(|| RemovedOrdinals {
            ordinals: self.ordinals.iter().copied().map(i64::from).collect(),
            replicas: i64::from(self.replicas),
        })
    }
}

impl Ordinals {
    /// Decides which ordinals the set has. While it rests (`settled`), nothing is chosen anew.
    pub(crate) fn of(
        spec: &Spec,
        status: &GameStatefulSetStatus,
        members: &BTreeMap<u32, &Pod>,
        settled: bool,
    ) -> Self {
        let before = Removed::read(status);
        let Some(replicas) = spec.replicas.filter(|_| spec.free_ordinals().is_some()) else {
            let wanted = last_known(spec, &before, members, status);
            return Self { wanted, removed: before, recorded: true };
        };
        let mut removed = before.ordinals.clone();
        removed.retain(|ordinal| !spec.reserved.as_ref().is_some_and(|reserved| reserved.contains(ordinal)));
        removed.retain(|ordinal| spec.start.is_some_and(|start| *ordinal >= start));
        if removed.is_empty() {
            let wanted = spec.ordinals().unwrap_or_default();
            if settled {
                return Self::without(wanted, &before, Removed::default());
            }
            let survivors = chosen_from_live(spec, status, members, replicas);
            return match survivors {
                Some(survivors) => Self::left(spec, survivors, &before),
                None => Self::without(wanted, &before, Removed::default()),
            };
        }
        // The set grew: what was taken away comes back first, from the lowest.
        for _ in before.replicas..replicas {
            removed.pop_first();
        }
        let free = |count: u32, removed: &BTreeSet<u32>| -> Vec<u32> {
            let free = spec.free_ordinals().into_iter().flatten();
            free.filter(|ordinal| !removed.contains(ordinal)).take(count as usize).collect()
        };
        if replicas < before.replicas && !settled {
            let pool = free(before.replicas, &removed);
            let go = pool.len() - (replicas as usize).min(pool.len());
            let survivors = survivors(spec, pool, go, members);
            return Self::left(spec, survivors, &before);
        }
        let wanted = free(replicas, &removed);
        let last = wanted.last().copied().unwrap_or_default();
        removed.retain(|ordinal| *ordinal < last);
        Self::without(wanted, &before, Removed { ordinals: removed, replicas })
    }

    fn without(wanted: Vec<u32>, before: &Removed, removed: Removed) -> Self {
        let recorded = removed.ordinals.is_subset(&before.ordinals);
        Self { wanted, removed, recorded }
    }

    /// The set of these ordinals; the free ones between them are removed.
    fn left(spec: &Spec, survivors: Vec<u32>, before: &Removed) -> Self {
        let last = survivors.last().copied().unwrap_or_default();
        let free = spec.free_ordinals().into_iter().flatten().take_while(|ordinal| *ordinal < last);
        let kept: BTreeSet<u32> = survivors.iter().copied().collect();
        let ordinals = free.filter(|ordinal| !kept.contains(ordinal)).collect();
        let replicas = u32::try_from(survivors.len()).unwrap_or(u32::MAX);
        Self::without(survivors, before, Removed { ordinals, replicas })
    }
}

/// The ordinals of a set whose spec does not tell: those that have a pod, and as many as there last were.
fn last_known(
    spec: &Spec,
    removed: &Removed,
    members: &BTreeMap<u32, &Pod>,
    status: &GameStatefulSetStatus,
) -> Vec<u32> {
    let mut ordinals: BTreeSet<u32> = members.keys().copied().collect();
    let recorded = usize::try_from(status.replicas).unwrap_or_default();
    let free = spec.free_ordinals().into_iter().flatten();
    ordinals.extend(free.filter(|ordinal| !removed.ordinals.contains(ordinal)).take(recorded));
    ordinals.into_iter().collect()
}

/// Who stays of a set that had no holes and shrinks, where somebody chose who goes; none where nobody did.
///
/// That it shrinks shows in the status, which counts more pods than the spec wants: a status that was made for this
/// spec never does.
fn chosen_from_live(
    spec: &Spec,
    status: &GameStatefulSetStatus,
    members: &BTreeMap<u32, &Pod>,
    replicas: u32,
) -> Option<Vec<u32>> {
    let counted = usize::try_from(status.replicas).unwrap_or_default();
    if counted <= replicas as usize {
        return None;
    }
    let free = |ordinal: &u32| {
        spec.start.is_some_and(|start| *ordinal >= start)
            && spec.reserved.as_ref().is_some_and(|reserved| !reserved.contains(ordinal))
    };
    let live = members.iter().filter(|(ordinal, pod)| !pod.deleting && free(ordinal));
    // What lies above are pods that an update surged, or that were going already.
    let last = live.take(counted).last().map(|(ordinal, _)| *ordinal)?;
    let pool: Vec<u32> = spec.free_ordinals()?.take_while(|ordinal| *ordinal <= last).collect();
    let go = pool.len().checked_sub(replicas as usize).filter(|go| *go > 0)?;
    is_chosen(spec, &pool, members).then(|| survivors(spec, pool, go, members))
}

/// Whether somebody chose among these ordinals.
fn is_chosen(spec: &Spec, pool: &[u32], members: &BTreeMap<u32, &Pod>) -> bool {
    let costs = |ordinal: &u32| members.get(ordinal).is_some_and(|pod| pod.deletion_cost != 0);
    pool.iter().any(|ordinal| spec.delete_first.contains(ordinal) || costs(ordinal))
}

/// Who stays when so many of the pool go: first go the ordinals that were named, then those that have no pod, then those
/// that cost least, then the highest.
fn survivors(spec: &Spec, mut pool: Vec<u32>, go: usize, members: &BTreeMap<u32, &Pod>) -> Vec<u32> {
    if is_chosen(spec, &pool, members) {
        let named: BTreeMap<u32, usize> =
            spec.delete_first.iter().enumerate().map(|(place, ordinal)| (*ordinal, place)).collect();
        pool.sort_by_key(|ordinal| {
            let place = named.get(ordinal).copied().unwrap_or(usize::MAX);
            let pod = members.get(ordinal).filter(|pod| !pod.deleting && pod.phase != Phase::Ended);
            let cost = pod.map_or(i64::MIN, |pod| i64::from(pod.deletion_cost));
            (place, cost, Reverse(*ordinal))
        });
        pool.drain(..go.min(pool.len()));
        pool.sort_unstable();
    } else {
        pool.truncate(pool.len() - go.min(pool.len()));
    }
    pool
}

/// Moves pods that are too many into the places above replicas that an update may use, and adds empty ones. A pod that
/// was `told` that it goes is not used any more.
pub(crate) fn surge(
    family: &mut Family<'_>,
    spec: &Spec,
    history: &History<'_>,
    partition: u32,
    told: &dyn Fn(&Pod) -> bool,
    now: Timestamp,
) {
    let (Some(update), Some(current)) = (history.update, history.current) else { return };
    let updates = matches!(spec.strategy, Some(Strategy::RollingUpdate | Strategy::InPlace));
    if spec.surge == 0 || !updates || current.name == update.name || spec.holds(Scope::Updates) {
        return;
    }
    let moved = family.slots.iter().filter(|slot| spec.offset(slot.ordinal) >= partition);
    // What no update can reach needs nobody to stand in for it.
    let mut reachable: BTreeMap<&str, bool> = BTreeMap::new();
    let (mut outdated, mut unproven) = (0, 0);
    for slot in moved {
        let Some(pod) = slot.pod else {
            unproven += 1;
            continue;
        };
        if pod.is_at(&update.name) {
            unproven += usize::from(!spec.is_available(pod, now));
            continue;
        }
        let carried = pod.revision.as_ref().map_or("", |revision| revision.as_str());
        let reached = *reachable.entry(carried).or_insert_with(|| {
            spec.strategy != Some(Strategy::InPlace)
                || history.get(carried).is_some_and(|from| {
                    !matches!(classify(&from.meaning, &update.meaning), Change::Recreate { .. })
                })
        });
        outdated += usize::from(reached);
        unproven += usize::from(reached);
    }
    let last = family.slots.last().map(|slot| slot.ordinal);
    let above = |ordinal: u32| last.is_none_or(|last| ordinal > last);
    let reusable = |(ordinal, pod): &(u32, &Pod)| above(*ordinal) && !pod.deleting && !told(pod);
    // Those that exist serve until the last pod is proven; new ones only come while there is something to update.
    let existing = family.condemned.iter().filter(|condemned| reusable(condemned)).count();
    let kept = existing.min(unproven.min(spec.surge));
    let wanted = if spec.paused { kept } else { kept.max(outdated.min(spec.surge)) };
    let mut left = kept;
    let mut condemned = std::mem::take(&mut family.condemned);
    condemned.sort_unstable_by_key(|(ordinal, _)| *ordinal);
    condemned.retain(|(ordinal, pod)| {
        let reused = left > 0 && reusable(&(*ordinal, pod));
        if reused {
            family.surge.push(Slot { ordinal: *ordinal, pod: Some(pod), stranger: None });
            left -= 1;
        }
        !reused
    });
    condemned.reverse();
    family.condemned = condemned;
    let taken: BTreeSet<u32> = family.members().filter_map(Pod::own_ordinal).collect();
    let free = spec.free_ordinals().into_iter().flatten();
    let free = free.skip_while(|ordinal| !above(*ordinal)).filter(|ordinal| !taken.contains(ordinal));
    for ordinal in free.take(wanted.saturating_sub(kept)) {
        let stranger = family.strangers.get(&ordinal).copied();
        family.surge.push(Slot { ordinal, pod: None, stranger });
    }
    family.surge.sort_unstable_by_key(|slot| slot.ordinal);
}

/// How many of a new set's first pods may exist; none when all may.
///
/// A set is new while nothing is on record of it, and from then on while the status says how far it was filled.
pub(crate) fn filling(
    family: &Family<'_>,
    spec: &Spec,
    status: Option<&GameStatefulSetStatus>,
    now: Timestamp,
) -> Option<u32> {
    let batch = spec.create_batch?;
    let is_new = status.is_none_or(|status| status.update_revision.is_none());
    let recorded = status.and_then(|status| status.filling_replicas);
    let recorded = recorded.and_then(|filled| u32::try_from(filled).ok());
    let mut filled = if is_new && family.members().next().is_none() { batch } else { recorded? };
    let available = |slot: &Slot<'_>| slot.pod.is_some_and(|pod| spec.is_available(pod, now));
    let wanted = u32::try_from(family.slots.len()).unwrap_or(u32::MAX);
    while filled < wanted && family.slots.iter().take(filled as usize).all(available) {
        filled = filled.saturating_add(batch);
    }
    (filled < wanted).then_some(filled)
}

/// The scale-down under way; none when no pod is too many.
pub(crate) fn scale_down(family: &Family<'_>, steps: &[Step], waits: &[Wait]) -> Option<ScaleDownStatus> {
    let (_, first) = family.condemned.first()?;
    let names: BTreeSet<&str> = family.condemned.iter().map(|(_, pod)| pod.name.as_str()).collect();
    let about = |wait: &&Wait| wait.pod.as_ref().is_some_and(|pod| names.contains(pod.as_str()));
    let waited = waits.iter().find(about).map(ToString::to_string);
    let chosen = waits.iter().find(|wait| wait.reason.code == Code::OrdinalsChosen).map(ToString::to_string);
    let stepped = || steps.iter().find(|step| step.reason.code == Code::ScaleDown).map(ToString::to_string);
    Some(ScaleDownStatus {
        requested: i64::try_from(family.slots.len()).unwrap_or(i64::MAX),
        draining: family.condemned.iter().take(MAX_DRAINING).map(|(_, pod)| pod.name.to_string()).collect(),
        reason: waited
            .or(chosen)
            .or_else(stepped)
            .unwrap_or_else(|| format!("{}: waits for what comes first", first.name)),
    })
}
