//! What the member holds under one key, as far as deciding needs it.

use kube::ResourceExt;
use kube::api::DynamicObject;
use muster_crds::keys::manager;
use muster_runtime::watch::Key;
use serde_json::Value;

use super::desired::Apply;
use super::fields;
use super::ownership::{self, Identity, Ownership};
use crate::kind::Kind;
use crate::wire::Adoption;

/// An object of the member, compared with what is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// Its UID.
    pub uid: String,
    /// Its resource version.
    pub resource_version: String,
    /// Its generation; 0 for kinds without one.
    pub generation: i64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whose it is.
    pub ownership: Ownership,
    /// Whether the member opted it out.
    pub opted_out: bool,
    /// Fields of the wanted body that somebody else took from the mirror. Only for ours.
    pub lost: Vec<String>,
    /// Fields of the wanted body that have another value. Only for what might be adopted.
    pub differing: Vec<String>,
    /// Who owns the fields that belong to the member.
    pub retained: Retained,
}

/// Who owns the fields that the hub leaves to the member.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Retained {
    /// Not the mirror.
    #[default]
    Free,
    /// The mirror and nobody else: an apply without them would remove them. Pointer and live value.
    MirrorAlone(Vec<(String, Value)>),
    /// The mirror and somebody else: the mirror can let go.
    Shared,
}

impl Live {
    /// Compares `object` with what is wanted, if anything is.
    pub fn read(object: &DynamicObject, wanted: Option<&Apply>, kind: &Kind, me: &Identity) -> Self {
        let ownership = Ownership::of(object, kind, me);
        let mut lost = Vec::new();
        let mut differing = Vec::new();
        let mut retained = Retained::Free;
        if let Some(apply) = wanted {
            let body = apply.body_without_retained();
            if ownership.tracking().is_some() {
                let marked = ownership::marked(body, apply, kind, &Key::of(object), me);
                lost = fields::lost(&marked, object, manager::MIRROR);
                retained = retained_of(object, apply);
            } else if apply.adopt == Adoption::IfNoDiff {
                differing = differing_fields(&body, object);
            }
        }
        Self {
            uid: object.uid().unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            deleting: object.metadata.deletion_timestamp.is_some(),
            opted_out: ownership::opted_out(object),
            ownership,
            lost,
            differing,
            retained,
        }
    }
}

fn retained_of(object: &DynamicObject, apply: &Apply) -> Retained {
    let mut alone = Vec::new();
    let mut shared = false;
    for pointer in &apply.retain {
        let owners = fields::owners(object, pointer, manager::MIRROR);
        if !owners.mirror {
            continue;
        }
        match object.data.pointer(pointer) {
            Some(value) if !owners.others => alone.push((pointer.clone(), value.clone())),
            _ => shared = true,
        }
    }
    match (alone.is_empty(), shared) {
        (false, _) => Retained::MirrorAlone(alone),
        (true, true) => Retained::Shared,
        (true, false) => Retained::Free,
    }
}

fn differing_fields(body: &Value, object: &DynamicObject) -> Vec<String> {
    // An object that came from an API server always serializes.
    serde_json::to_value(object).map(|live| fields::differing(body, &live)).unwrap_or_default()
}
