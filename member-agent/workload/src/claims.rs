//! Claims: which ones an ordinal has, and who owns them.
//!
//! A claim goes when all its owners are gone (the garbage collector sees to that), so the retention policy is a matter of
//! owners. The references that we write are controllers; all others are somebody else's and stay.
//!
//! | whenScaled | whenDeleted | claims of the set's pods | claims of pods that are taken away |
//! |---|---|---|---|
//! | Retain | Retain | nobody | nobody |
//! | Retain | Delete | the set | the set |
//! | Delete | Retain | nobody | the pod |
//! | Delete | Delete | the set | the pod |

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use muster_crds::names::ObjectName;
use serde_json::{Value, json};

use crate::identity::{OWNER_API_VERSION, OWNER_KIND, pod_name};
use crate::plan::Action;
use crate::planner::Planner;
use crate::pod::Pod;
use crate::reason::{Code, Reason};
use crate::snapshot::{Claim, SetId};
use crate::spec::Retention;

/// The owners of a new claim.
pub(crate) fn owners_of_new(id: &SetId, retention: Option<Retention>) -> Vec<Value> {
    let owned = retention.is_some_and(|retention| retention.deleted);
    owned.then(|| json!(set_reference(id))).into_iter().collect()
}

fn set_reference(id: &SetId) -> OwnerReference {
    OwnerReference {
        api_version: OWNER_API_VERSION.into(),
        kind: OWNER_KIND.into(),
        name: id.name.to_string(),
        uid: id.uid.to_string(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

fn pod_reference(pod: &Pod) -> OwnerReference {
    OwnerReference {
        api_version: "v1".into(),
        kind: "Pod".into(),
        name: pod.name.to_string(),
        uid: pod.uid.to_string(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

fn is_pod(owner: &OwnerReference, name: &str) -> bool {
    owner.kind == "Pod" && owner.api_version == "v1" && owner.name == name
}

/// Whether we wrote this reference on a claim of the pod of this name.
fn is_ours(owner: &OwnerReference, id: &SetId, pod: &str) -> bool {
    owner.controller == Some(true) && (owner.uid == id.uid.as_str() || is_pod(owner, pod))
}

/// What is to become of the owners of a claim.
enum Owners {
    Right,
    Wrong(Vec<OwnerReference>),
    /// It has a controller that we did not write.
    Foreign(String),
}

fn owners(claim: &Claim, id: &SetId, pod: &str, wanted: Option<&OwnerReference>) -> Owners {
    let foreign = |owner: &&OwnerReference| owner.controller == Some(true) && !is_ours(owner, id, pod);
    let written = |owner: &&OwnerReference| wanted.is_none_or(|wanted| owner.uid != wanted.uid);
    let superfluous = claim.owners.iter().filter(written).any(|owner| is_ours(owner, id, pod));
    let missing = wanted.filter(|wanted| claim.owners.iter().all(|owner| owner.uid != wanted.uid)).cloned();
    if !superfluous && missing.is_none() {
        return Owners::Right;
    }
    if let Some(owner) = claim.owners.iter().find(foreign) {
        return Owners::Foreign(format!("{} {}", owner.kind, owner.name));
    }
    let kept = claim.owners.iter().filter(|owner| !written(owner) || !is_ours(owner, id, pod)).cloned();
    Owners::Wrong(kept.chain(missing).collect())
}

impl<'a> Planner<'a> {
    /// Sees to it that the claims of a pod have the owners that the policy wants; answers whether they do. A pod whose
    /// claims are written is not touched by the same plan.
    pub(crate) fn retain_claims(&mut self, ordinal: u32, pod: &'a Pod, leaving: bool) -> bool {
        let (Some(retention), id) = (self.spec.retention, self.id) else { return true };
        let wanted = match retention {
            Retention { scaled: true, .. } if leaving => Some(pod_reference(pod)),
            Retention { deleted: true, .. } => Some(set_reference(id)),
            Retention { .. } => None,
        };
        let names: Vec<String> = self.mold.claim_names(ordinal).map(|(_, claim)| claim).collect();
        let mut right = true;
        for name in names {
            let Some(claim) = self.claims.get(&name).filter(|claim| !claim.deleting) else { continue };
            match owners(claim, id, pod.name.as_str(), wanted.as_ref()) {
                Owners::Right => {}
                Owners::Wrong(owners) => {
                    right = false;
                    self.own_claim(&name, claim, &owners);
                }
                Owners::Foreign(owner) => {
                    let message = format!(
                        "claim {name} is controlled by {owner}; its owners stay as they are, whatever spec.persistentVolumeClaimRetentionPolicy says"
                    );
                    self.wait(Some(pod), Code::ClaimControlled, message);
                }
            }
        }
        if !right {
            self.touch(pod);
        }
        right
    }

    fn own_claim(&mut self, name: &str, claim: &Claim, owners: &[OwnerReference]) {
        let Ok(object) = ObjectName::new(name) else { return };
        let body = json!({"metadata": {
            "uid": claim.uid,
            "resourceVersion": claim.resource_version,
            "ownerReferences": owners,
        }});
        let who: Vec<String> = owners.iter().map(|owner| format!("{} {}", owner.kind, owner.name)).collect();
        let who = if who.is_empty() { "nobody".to_owned() } else { who.join(" and ") };
        let message = format!("claim {name} is to belong to {who}, as its retention policy says");
        self.step(Action::PatchClaim { name: object, body }, Code::RetainClaim, message);
    }

    /// Whether nothing about the claims of an ordinal forbids that its pod is created; says what does.
    pub(crate) fn claims_allow(&mut self, ordinal: u32) -> bool {
        let pod = pod_name(self.id.name.as_str(), ordinal);
        let names: Vec<String> = self.mold.claim_names(ordinal).map(|(_, claim)| claim).collect();
        for name in names {
            let Some(claim) = self.claims.get(&name) else { continue };
            if claim.deleting {
                let message =
                    format!("claim {name} is being deleted; ordinal {ordinal} waits until it is gone");
                self.wait_for_ordinal(&pod, Reason::new(Code::ClaimTerminating, message));
                return false;
            }
            let Some(stale) = claim.owners.iter().find(|owner| is_pod(owner, &pod)) else { continue };
            let message = format!(
                "claim {name} belongs to an earlier pod {pod} (uid {}) and is about to go with it",
                stale.uid
            );
            self.wait_for_ordinal(&pod, Reason::new(Code::ClaimStale, message));
            // What nobody is to take away any more is kept, if it can still be.
            if self.spec.retention.is_some_and(|retention| !retention.scaled) {
                let owner = self.spec.retention.filter(|retention| retention.deleted);
                let owner = owner.map(|_| set_reference(self.id));
                if let Owners::Wrong(owners) = owners(claim, self.id, &pod, owner.as_ref()) {
                    self.own_claim(&name, claim, &owners);
                }
            }
            return false;
        }
        true
    }

    /// Bodies of the ordinal's claims that do not exist.
    pub(crate) fn missing_claims(&self, ordinal: u32) -> Vec<(String, Value)> {
        let exists = |name: &String| self.claims.contains_key(name);
        // Bodies are only made where something is missing.
        if self.mold.claim_names(ordinal).all(|(_, name)| exists(&name)) {
            return Vec::new();
        }
        self.mold.claims(ordinal).into_iter().filter(|(name, _)| !exists(name)).collect()
    }

    /// Creates claims that a pending pod waits for.
    pub(crate) fn repair_claims(&mut self, ordinal: u32, pod: &'a Pod) {
        let names: Vec<String> = self.mold.claim_names(ordinal).map(|(_, claim)| claim).collect();
        let going = names.iter().find(|name| self.claims.get(*name).is_some_and(|claim| claim.deleting));
        if let Some(name) = going {
            let message = format!("claim {name} is being deleted");
            return self.wait(Some(pod), Code::ClaimTerminating, message);
        }
        let claims = self.missing_claims(ordinal);
        if !claims.is_empty() {
            let message = format!("pod {} waits for claims that do not exist", pod.name);
            self.step(Action::CreateClaims { claims }, Code::CreateClaim, message);
        }
    }

    /// Says so where a pod does not have the claims that the set gives it. A pod's volumes cannot be changed.
    pub(crate) fn check_storage(&mut self, ordinal: u32, pod: &Pod) {
        let has = |volume: &str, claim: &String| {
            pod.claims.iter().any(|(name, held)| name == volume && held == claim)
        };
        let lacks = self.mold.claim_names(ordinal).find(|(volume, claim)| !has(volume, claim));
        let Some((volume, claim)) = lacks else { return };
        let held = pod.claims.iter().find(|(name, _)| name == volume);
        let held = held.map_or_else(|| "has no claim".into(), |(_, held)| format!("is claim {held}"));
        let message = format!(
            "volume {volume} {held} and should be {claim}; a pod's volumes cannot be changed: it gets it when it is replaced"
        );
        self.wait(Some(pod), Code::StorageMismatch, message);
    }
}
