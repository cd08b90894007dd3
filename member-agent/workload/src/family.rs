//! Which pods are the set's, and which place each has.

use std::collections::{BTreeMap, BTreeSet};

use muster_crds::keys::workload::POD_DELETION_COST;
use serde_json::json;

use crate::identity::{identity_labels, owner_reference};
use crate::plan::{Action, Step};
use crate::pod::Pod;
use crate::reason::{Code, Reason};
use crate::scale::{Ordinals, Removed};
use crate::snapshot::{SetId, Snapshot};
use crate::spec::{Problem, Scope, Spec, labels_of};

/// Most bytes of a value that a message repeats.
const MAX_VALUE: usize = 64;

/// The pods around a set.
#[derive(Debug)]
pub struct Family<'a> {
    /// One place for each ordinal of the set, ascending.
    pub slots: Vec<Slot<'a>>,
    /// Places above the set's ordinals that an update uses, ascending.
    pub surge: Vec<Slot<'a>>,
    /// Pods of the set whose ordinals are not part of it any more, in the order in which they go: those that were named
    /// first, then from the highest.
    pub condemned: Vec<(u32, &'a Pod)>,
    /// Somebody else's pods that have names of this set, by ordinal.
    pub strangers: BTreeMap<u32, &'a Pod>,
    /// The ordinals.
    pub(crate) ordinals: Ordinals,
    /// While a new set is filled, how many of the first ordinals may have a pod.
    pub(crate) filling: Option<u32>,
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
    /// Sorts the pods.
    pub fn sort(id: &SetId, spec: &Spec, snapshot: &'a Snapshot) -> Self {
        let mut members: BTreeMap<u32, &Pod> = BTreeMap::new();
        let mut strangers: BTreeMap<u32, &Pod> = BTreeMap::new();
        let mut family = Family {
            slots: Vec::new(),
            surge: Vec::new(),
            condemned: Vec::new(),
            strangers: BTreeMap::new(),
            ordinals: Ordinals { wanted: Vec::new(), removed: Removed::default(), recorded: true },
            filling: None,
            steps: Vec::new(),
            problems: Vec::new(),
        };
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
        family.bad_costs(&members);
        let status = snapshot.set.status.clone().unwrap_or_default();
        family.ordinals = Ordinals::of(spec, &status, &members, settled);
        let slot = |ordinal: &u32| Slot {
            ordinal: *ordinal,
            pod: members.get(ordinal).copied(),
            stranger: strangers.get(ordinal).copied(),
        };
        family.slots = family.ordinals.wanted.iter().map(slot).collect();
        let in_range: BTreeSet<u32> = family.ordinals.wanted.iter().copied().collect();
        let condemned = members.into_iter().rev().filter(|(ordinal, _)| !in_range.contains(ordinal));
        family.condemned = condemned.collect();
        let named = |ordinal: u32| spec.delete_first.iter().position(|named| *named == ordinal);
        if !spec.delete_first.is_empty() {
            family.condemned.sort_by_key(|(ordinal, _)| named(*ordinal).unwrap_or(usize::MAX));
        }
        family.strangers = strangers;
        family
    }

    /// How many ordinals of the set come before this one.
    pub fn rank(&self, ordinal: u32) -> usize {
        self.slots.partition_point(|slot| slot.ordinal < ordinal)
    }

    /// Says so where a pod's deletion cost is no number; the first such pod is named.
    fn bad_costs(&mut self, members: &BTreeMap<u32, &Pod>) {
        let bad = members.values().find_map(|pod| Some((&pod.name, pod.bad_deletion_cost.as_deref()?)));
        let Some((pod, value)) = bad else { return };
        let value: String = value.chars().take(MAX_VALUE).collect();
        self.problems.push(Problem {
            field: format!("pod {pod} metadata.annotations[{POD_DELETION_COST}]"),
            message: format!("{value:?} is no whole number of 32 bits; it counts as 0"),
            scope: Scope::Nothing,
        });
    }

    /// The set's pods, also those on their way out.
    pub fn members(&self) -> impl Iterator<Item = &'a Pod> + '_ {
        let slots = self.slots.iter().chain(&self.surge).filter_map(|slot| slot.pod);
        slots.chain(self.condemned.iter().map(|(_, pod)| *pod))
    }

    /// Whether a pod stopped matching because the selector was edited, not the pod. Such pods are kept: nobody who
    /// edits a selector means to set all servers free.
    fn selector_moved(&mut self, spec: &Spec, snapshot: &Snapshot, pod: &Pod) -> bool {
        let Some(selector) = &spec.selector else { return true };
        let carried = snapshot.revisions.iter().find(|revision| pod.is_at(&revision.name));
        let moved = carried.is_some_and(|revision| !selector.matches(&labels_of(&revision.template)));
        if moved && self.problems.iter().all(|problem| problem.scope < Scope::Everything) {
            self.problems.push(Problem {
                field: "spec.selector".into(),
                message: format!("does not match pod {}, which runs; a selector cannot be changed", pod.name),
                scope: Scope::Everything,
            });
        }
        moved
    }
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
