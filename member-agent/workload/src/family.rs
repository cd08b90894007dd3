//! Which pods are the set's, and which place each has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::identity::{identity_labels, owner_reference};
use crate::plan::{Action, Step};
use crate::pod::Pod;
use crate::reason::{Code, Reason};
use crate::snapshot::{SetId, Snapshot};
use crate::spec::{Problem, Scope, Spec, labels_of};

/// The pods around a set.
#[derive(Debug)]
pub struct Family<'a> {
    /// One place for each ordinal of the set, ascending.
    pub slots: Vec<Slot<'a>>,
    /// Pods of the set whose ordinals are not part of it any more, highest first.
    pub condemned: Vec<(u32, &'a Pod)>,
    /// Adoptions and releases.
    pub steps: Vec<Step>,
    /// What only shows when the spec is held against the pods.
    pub problems: Vec<Problem>,
}

/// The place of one ordinal.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// The ordinal.
    pub ordinal: u32,
    /// The set's pod there.
    pub pod: Option<&'a Pod>,
    /// Somebody else's pod of that name.
    pub stranger: Option<&'a Pod>,
}

impl<'a> Family<'a> {
    /// Sorts the pods. `recorded` is how many replicas the status last counted, in case the spec cannot tell.
    pub fn sort(id: &SetId, spec: &Spec, snapshot: &'a Snapshot, recorded: u32) -> Self {
        let mut members: BTreeMap<u32, &Pod> = BTreeMap::new();
        let mut strangers: BTreeMap<u32, &Pod> = BTreeMap::new();
        let mut family =
            Family { slots: Vec::new(), condemned: Vec::new(), steps: Vec::new(), problems: Vec::new() };
        let settled = spec.holds(Scope::Everything) || snapshot.set.metadata.deletion_timestamp.is_some();
        for pod in snapshot.pods.iter().map(AsRef::as_ref) {
            let Some(ordinal) = pod.ordinal_in(id.name.as_str()) else { continue };
            let fits = spec.selector.as_ref().is_none_or(|selector| selector.matches(&pod.labels));
            match &pod.controller {
                Some(controller) if controller.uid == id.uid.as_str() => {
                    if fits || settled || family.selector_moved(spec, snapshot, pod) {
                        members.insert(ordinal, pod);
                    } else {
                        family.steps.push(release(id, pod));
                        strangers.insert(ordinal, pod);
                    }
                }
                None if fits && !pod.deleting && !settled => {
                    family.steps.push(adopt(id, pod, ordinal));
                    strangers.insert(ordinal, pod);
                }
                _ => {
                    strangers.insert(ordinal, pod);
                }
            }
        }
        let ordinals = match spec.ordinals() {
            Some(ordinals) => ordinals,
            None => last_known(spec, &members, recorded),
        };
        let slot = |ordinal: u32| Slot {
            ordinal,
            pod: members.get(&ordinal).copied(),
            stranger: strangers.get(&ordinal).copied(),
        };
        let in_range: BTreeSet<u32> = ordinals.iter().copied().collect();
        family.slots = ordinals.into_iter().map(slot).collect();
        let condemned = members.into_iter().rev().filter(|(ordinal, _)| !in_range.contains(ordinal));
        family.condemned = condemned.collect();
        family
    }

    /// The set's pods, also those on their way out.
    pub fn members(&self) -> impl Iterator<Item = &'a Pod> + '_ {
        self.slots.iter().filter_map(|slot| slot.pod).chain(self.condemned.iter().map(|(_, pod)| *pod))
    }

    /// Whether a pod stopped matching because the selector was edited, not the pod. Such pods are kept: nobody who
    /// edits a selector means to set all servers free.
    fn selector_moved(&mut self, spec: &Spec, snapshot: &Snapshot, pod: &Pod) -> bool {
        let Some(selector) = &spec.selector else { return true };
        let carried = snapshot.revisions.iter().find(|revision| pod.is_at(&revision.name));
        let moved = carried.is_some_and(|revision| !selector.matches(&labels_of(&revision.template)));
        if moved && self.problems.is_empty() {
            self.problems.push(Problem {
                field: "spec.selector".into(),
                message: format!("does not match pod {}, which runs; a selector cannot be changed", pod.name),
                scope: Scope::Everything,
            });
        }
        moved
    }
}

/// The ordinals of a set whose spec does not tell: those that have a pod, and as many as there last were.
fn last_known(spec: &Spec, members: &BTreeMap<u32, &Pod>, recorded: u32) -> Vec<u32> {
    let mut ordinals: BTreeSet<u32> = members.keys().copied().collect();
    if let Some(reserved) = &spec.reserved {
        ordinals.extend((0..).filter(|ordinal| !reserved.contains(ordinal)).take(recorded as usize));
    }
    ordinals.into_iter().collect()
}

fn adopt(id: &SetId, pod: &Pod, ordinal: u32) -> Step {
    let labels: BTreeMap<_, _> = identity_labels(pod.name.as_str(), ordinal).into_iter().collect();
    let body = json!({"metadata": {
        "uid": pod.uid,
        "resourceVersion": pod.resource_version,
        "labels": labels,
        "ownerReferences": [owner_reference(id)],
    }});
    let message = format!("pod {} belongs to nobody and fits this set", pod.name);
    Step {
        action: Action::PatchPod { name: pod.name.clone(), body },
        reason: Reason::new(Code::AdoptPod, message),
    }
}

fn release(id: &SetId, pod: &Pod) -> Step {
    let body = json!({"metadata": {
        "uid": pod.uid,
        "resourceVersion": pod.resource_version,
        "ownerReferences": [{"$patch": "delete", "uid": id.uid}],
    }});
    let message = format!("pod {} was given labels that spec.selector does not match", pod.name);
    Step {
        action: Action::PatchPod { name: pod.name.clone(), body },
        reason: Reason::new(Code::ReleasePod, message),
    }
}
