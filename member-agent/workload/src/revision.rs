//! ControllerRevisions: which one pods carry, which one they are to carry, and which are kept.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::ControllerRevision;
use muster_crds::names::{NameError, RevisionName, Uid};
use serde_json::{Value, json};

use crate::change::{Change, classify};
use crate::family::Family;
use crate::identity::owner_reference;
use crate::plan::{Action, Step};
use crate::pod::{Controller, Pod};
use crate::reason::{Code, Reason};
use crate::snapshot::SetId;
use crate::spec::{Spec, Strategy, labels_of};
use crate::template;

/// Names that are tried for a new revision before it is given up: each is taken by another template with a chance of
/// one in four thousand million.
const MAX_COLLISIONS: u32 = 16;

/// Most bytes of the set's name in a revision's name, so that the whole is a valid object name.
const MAX_PREFIX: usize = 223;

/// A stored template.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its name, which pods carry as a label.
    pub name: RevisionName,
    /// Its uid.
    pub uid: Uid,
    /// The version that was read.
    pub resource_version: String,
    /// Its place in the history.
    pub number: i64,
    /// Its controller.
    pub controller: Option<Controller>,
    /// Its labels: those of the template.
    pub labels: BTreeMap<String, String>,
    /// The template as it was stored.
    pub template: Value,
    /// The template by meaning.
    pub meaning: Value,
}

impl Revision {
    /// Reads a stored revision. What holds no template reads as an empty one, which equals no template in use.
    pub fn read(revision: &ControllerRevision) -> Result<Self, NameError> {
        let meta = &revision.metadata;
        let mut template =
            revision.data.as_ref().map(|data| data.0["spec"]["template"].clone()).unwrap_or_default();
        if let Some(template) = template.as_object_mut() {
            template.remove("$patch");
        }
        Ok(Self {
            name: RevisionName::new(meta.name.as_deref().unwrap_or_default())?,
            uid: Uid::new(meta.uid.as_deref().unwrap_or_default())?,
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            number: revision.revision,
            controller: Controller::of(meta),
            labels: meta.labels.clone().unwrap_or_default(),
            meaning: template::meaning(&template),
            template,
        })
    }

    fn preconditions(&self) -> Value {
        json!({"uid": self.uid, "resourceVersion": self.resource_version})
    }
}

/// The revisions that count, and what to do about the stored ones.
#[derive(Debug)]
pub struct History<'a> {
    /// The revision pods go to; none until it is stored.
    pub update: Option<&'a Revision>,
    /// The revision pods come from; none when there is none at all.
    pub current: Option<&'a Revision>,
    /// Every stored revision of the set, oldest first.
    pub stored: Vec<&'a Revision>,
    /// The field of the template whose change the update strategy does not allow.
    pub refused: Option<String>,
    /// How many names of revisions were taken by other templates.
    pub collisions: i64,
    /// What to write.
    pub steps: Vec<Step>,
}

impl<'a> History<'a> {
    /// The stored revision of this name.
    pub fn get(&self, name: &str) -> Option<&'a Revision> {
        self.stored.iter().find(|revision| revision.name == *name).copied()
    }

    /// Decides about the revisions of a set. `pods` are all its pods, those on their way out included.
    pub fn of(
        id: &SetId,
        spec: &Spec,
        recorded: &Recorded,
        revisions: impl Iterator<Item = &'a Revision> + Clone,
        pods: &[&Pod],
    ) -> Self {
        let ours = |revision: &&Revision| belongs(id, revision) || fits(id, spec, revision);
        let mut history = Self::stored(recorded, revisions.clone().filter(ours));
        history.adopt(id);
        history.choose_update(id, spec, revisions, pods);
        history.choose_current(recorded, pods);
        history
    }

    /// What is known when the spec cannot be acted on: the revisions on record.
    pub fn on_record(
        id: &SetId,
        recorded: &Recorded,
        revisions: impl Iterator<Item = &'a Revision>,
        pods: &[&Pod],
    ) -> Self {
        let mut history = Self::stored(recorded, revisions.filter(|revision| belongs(id, revision)));
        let recorded_update = recorded.update.as_deref().and_then(|name| history.get(name));
        history.update = recorded_update.or_else(|| history.stored.last().copied());
        history.choose_current(recorded, pods);
        history
    }

    fn stored(recorded: &Recorded, revisions: impl Iterator<Item = &'a Revision>) -> Self {
        let mut stored: Vec<&Revision> = revisions.collect();
        stored.sort_by(|a, b| a.number.cmp(&b.number).then_with(|| a.name.cmp(&b.name)));
        Self {
            update: None,
            current: None,
            stored,
            refused: None,
            collisions: recorded.collisions,
            steps: Vec::new(),
        }
    }

    fn adopt(&mut self, id: &SetId) {
        for revision in self.stored.iter().filter(|revision| revision.controller.is_none()) {
            let mut metadata = revision.preconditions();
            metadata["ownerReferences"] = json!([owner_reference(id)]);
            let message = format!("revision {} belongs to nobody and fits this set", revision.name);
            self.steps.push(Step {
                action: Action::PatchRevision {
                    name: revision.name.clone(),
                    body: json!({"metadata": metadata}),
                },
                reason: Reason::new(Code::AdoptRevision, message),
            });
        }
    }

    fn choose_update(
        &mut self,
        id: &SetId,
        spec: &Spec,
        revisions: impl Iterator<Item = &'a Revision>,
        pods: &[&Pod],
    ) {
        let newest = self.stored.last().copied();
        if let Some(newest) = newest {
            if newest.meaning == spec.meaning {
                self.update = Some(newest);
                return;
            }
            if !spec.is_runnable() {
                self.update = Some(newest);
                return;
            }
            // Without pods there is nothing that an update strategy could protect.
            if !pods.is_empty() {
                self.refused = refused_field(spec, newest);
                if self.refused.is_some() {
                    self.update = Some(newest);
                    return;
                }
            }
        }
        if !spec.is_runnable() {
            return;
        }
        let number = newest.map_or(1, |newest| newest.number.saturating_add(1));
        let same = |revision: &&&Revision| revision.meaning == spec.meaning;
        if let Some(older) = self.stored.iter().rev().find(same).copied() {
            let metadata = older.preconditions();
            self.steps.push(Step {
                action: Action::PatchRevision {
                    name: older.name.clone(),
                    body: json!({"metadata": metadata, "revision": number}),
                },
                reason: Reason::new(
                    Code::RenumberRevision,
                    format!(
                        "the template is that of revision {} again, which becomes number {number}",
                        older.name
                    ),
                ),
            });
            self.update = Some(older);
            return;
        }
        self.store(id, spec, number, revisions);
    }

    fn store(&mut self, id: &SetId, spec: &Spec, number: i64, revisions: impl Iterator<Item = &'a Revision>) {
        let taken: BTreeSet<&str> = revisions.map(|revision| revision.name.as_str()).collect();
        let first = u32::try_from(self.collisions).unwrap_or(0);
        let free = (first..first.saturating_add(MAX_COLLISIONS)).find_map(|collisions| {
            let hash = template::hash(&spec.meaning, collisions);
            let name = RevisionName::new(format!("{}-{hash}", prefix(id.name.as_str()))).ok()?;
            (!taken.contains(name.as_str())).then_some((collisions, hash, name))
        });
        let Some((collisions, hash, name)) = free else { return };
        self.collisions = i64::from(collisions);
        let mut template = spec.template.clone();
        template["$patch"] = json!("replace");
        let mut labels = labels_of(&spec.template);
        labels.insert("controller.kubernetes.io/hash".into(), hash);
        let body = json!({
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": name,
                "namespace": id.namespace,
                "labels": labels,
                "ownerReferences": [owner_reference(id)],
            },
            "revision": number,
            "data": {"spec": {"template": template}},
        });
        let message = format!("the template is new and becomes revision {name}, number {number}");
        self.steps.push(Step {
            action: Action::CreateRevision { name, body },
            reason: Reason::new(Code::StoreRevision, message),
        });
    }

    /// The recorded revision, unless it is gone; then the oldest one that a pod carries.
    fn choose_current(&mut self, recorded: &Recorded, pods: &[&Pod]) {
        let recorded = recorded.current.as_deref().and_then(|name| self.get(name));
        let carried =
            || self.stored.iter().find(|revision| pods.iter().any(|pod| pod.is_at(&revision.name))).copied();
        self.current = recorded.or_else(carried).or(self.update);
    }

    /// Where every ordinal serves with the revision pods go to, that is also the one they come from.
    pub fn complete(&mut self, family: &Family<'_>) {
        let Some(update) = self.update else { return };
        let arrived = |pod: &Pod| pod.is_at(&update.name) && pod.is_available();
        if family.slots.iter().all(|slot| slot.pod.is_some_and(arrived)) {
            self.current = Some(update);
        }
    }

    /// Drops the oldest of those that nothing uses. Comes last: a plan that finds an update complete has nothing else to
    /// write, and no other follows it.
    pub fn trim(&mut self, spec: &Spec, pods: &[&Pod]) {
        let (Some(limit), Some(update)) = (spec.history_limit, self.update) else { return };
        let carried: BTreeSet<&str> =
            pods.iter().filter_map(|pod| pod.revision.as_ref()).map(RevisionName::as_str).collect();
        let in_use = |revision: &&Revision| {
            carried.contains(revision.name.as_str())
                || revision.name == update.name
                || self.current.is_some_and(|current| current.name == revision.name)
        };
        let idle: Vec<&Revision> = self.stored.iter().filter(|revision| !in_use(revision)).copied().collect();
        let surplus = idle.len().saturating_sub(limit);
        for revision in &idle[..surplus] {
            self.steps.push(Step {
                action: Action::DeleteRevision { name: revision.name.clone(), uid: revision.uid.clone() },
                reason: Reason::new(
                    Code::TrimHistory,
                    format!("revision {} is carried by no pod and older than {limit} others", revision.name),
                ),
            });
        }
    }
}

/// What the status of the set remembers of its revisions.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// `status.currentRevision`.
    pub current: Option<String>,
    /// `status.updateRevision`.
    pub update: Option<String>,
    /// `status.collisionCount`.
    pub collisions: i64,
}

/// Whether a revision is owned by the set.
fn belongs(id: &SetId, revision: &Revision) -> bool {
    revision.controller.as_ref().is_some_and(|controller| controller.uid == id.uid.as_str())
}

/// Whether a revision is owned by nobody and may be the set's.
fn fits(id: &SetId, spec: &Spec, revision: &Revision) -> bool {
    let rest = revision.name.as_str().strip_prefix(prefix(id.name.as_str()));
    let hash = rest.and_then(|rest| rest.strip_prefix('-'));
    revision.controller.is_none()
        && hash.is_some_and(|hash| !hash.contains('-'))
        && spec.selector.as_ref().is_some_and(|selector| selector.matches(&revision.labels))
}

/// The field whose change the update strategy does not allow, between the last accepted revision and the template.
fn refused_field(spec: &Spec, accepted: &Revision) -> Option<String> {
    match spec.strategy {
        Some(Strategy::RollingUpdate | Strategy::OnDelete) => None,
        Some(Strategy::InPlace) => match classify(&accepted.meaning, &spec.meaning) {
            Change::Recreate { field } => Some(field),
            Change::None | Change::InPlace(_) => None,
        },
        // No kubelet that can do it is known, and a stock one would restart the containers.
        Some(Strategy::HotPatch) | None => Some("spec.updateStrategy.type".into()),
    }
}

fn prefix(set: &str) -> &str {
    let mut end = set.len().min(MAX_PREFIX);
    while !set.is_char_boundary(end) {
        end -= 1;
    }
    &set[..end]
}
