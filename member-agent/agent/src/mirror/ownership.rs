//! Which objects of the member are ours, and what was applied to them last.

use std::fmt;

use kube::ResourceExt;
use kube::api::DynamicObject;
use muster_crds::keys::{annotation, label};
use muster_runtime::watch::Key;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::desired::Apply;
use crate::kind::Kind;

/// Field manager that holds a value for whoever owns the field in the member, until they write it.
pub const HANDOVER_MANAGER: &str = "muster-handover";

/// Who this agent works for: one hub, under one KubeFedCluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The hub's uid.
    pub hub: String,
    /// The KubeFedCluster's uid.
    pub cluster: String,
}

/// The value of [`annotation::TRACKING`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    /// The hub's uid.
    pub hub: String,
    /// The KubeFedCluster's uid.
    pub cluster: String,
    /// API group of this object.
    pub group: String,
    /// Kind of this object.
    pub kind: String,
    /// Namespace of this object; empty when cluster-scoped.
    #[serde(default)]
    pub namespace: String,
    /// Name of this object.
    pub name: String,
    /// UID of the federated object.
    #[serde(default)]
    pub source: String,
    /// Hash that was applied last.
    #[serde(default)]
    pub hash: String,
    /// Version of the view that was obeyed when it was applied.
    #[serde(default)]
    pub version: u64,
}

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Ours.
    Ours(Tracking),
    /// Ours from before this member was registered anew: same hub, another KubeFedCluster uid.
    Former(Tracking),
    /// Another hub's.
    OtherHub(String),
    /// Nobody's that we know of.
    Foreign,
}

// === impl Ownership ===

impl Ownership {
    /// Reads the marks on `live`.
    pub fn of(live: &DynamicObject, kind: &Kind, me: &Identity) -> Self {
        let Some(label) = live.labels().get(label::HUB) else { return Self::Foreign };
        let Some(tracking) = tracking_of(live) else { return Self::Foreign };
        if !tracking.names(kind, &Key::of(live)) || tracking.hub != *label {
            return Self::Foreign;
        }
        if tracking.hub != me.hub {
            return Self::OtherHub(tracking.hub);
        }
        if tracking.cluster == me.cluster { Self::Ours(tracking) } else { Self::Former(tracking) }
    }

    /// What was applied last, if the object is held for our hub.
    pub fn tracking(&self) -> Option<&Tracking> {
        match self {
            Self::Ours(tracking) | Self::Former(tracking) => Some(tracking),
            Self::OtherHub(_) | Self::Foreign => None,
        }
    }
}

// === impl Tracking ===

impl Tracking {
    fn names(&self, kind: &Kind, key: &Key) -> bool {
        kind.is(&self.group, &self.kind) && self.namespace == key.namespace && self.name == key.name
    }
}

impl fmt::Display for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Strings and numbers always serialize.
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

/// The tracking annotation of an object, whoever wrote it.
pub fn tracking_of(live: &DynamicObject) -> Option<Tracking> {
    live.annotations().get(annotation::TRACKING).and_then(|text| serde_json::from_str(text).ok())
}

/// Whether the member opted this object out.
pub fn opted_out(live: &DynamicObject) -> bool {
    live.labels().get(label::MANAGED).is_some_and(|value| value == "false")
}

/// `body` with the marks of ownership: what is sent to the member.
pub fn marked(mut body: Value, apply: &Apply, kind: &Kind, key: &Key, me: &Identity) -> Value {
    let tracking = Tracking {
        hub: me.hub.clone(),
        cluster: me.cluster.clone(),
        group: kind.group.clone(),
        kind: kind.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        source: apply.source_uid.clone(),
        hash: apply.hash.clone(),
        version: apply.version,
    };
    let with = |body: &Value, pointer: &str, marks: &[(&str, String)]| {
        let mut map = body.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default();
        map.extend(marks.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
        Value::Object(map)
    };
    let annotations = with(&body, "/metadata/annotations", &[(annotation::TRACKING, tracking.to_string())]);
    let labels =
        with(&body, "/metadata/labels", &[(label::HUB, me.hub.clone()), (label::MANAGED, "true".to_owned())]);
    body["metadata"]["annotations"] = annotations;
    body["metadata"]["labels"] = labels;
    body
}

/// The merge patch that ends ownership and touches nothing else, for exactly this state.
pub fn release_patch(uid: &str, resource_version: &str) -> Value {
    json!({
        "metadata": {
            "uid": uid,
            "resourceVersion": resource_version,
            "annotations": {annotation::TRACKING: null},
            "labels": {label::HUB: null, label::MANAGED: null},
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Adoption;

    fn kind() -> Kind {
        Kind {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            plural: "deployments".to_owned(),
            kind: "Deployment".to_owned(),
        }
    }

    fn me() -> Identity {
        Identity { hub: "hub-1".to_owned(), cluster: "cluster-1".to_owned() }
    }

    fn marked_object() -> Value {
        let apply = Apply {
            hash: "h".to_owned(),
            source_uid: "s".to_owned(),
            version: 5,
            adopt: Adoption::Never,
            retain: Vec::new(),
            body: json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "games", "labels": {"app": "web"}}
            }),
        };
        marked(apply.body.clone(), &apply, &kind(), &Key::new("games", "web"), &me())
    }

    fn ownership(value: Value, me: &Identity) -> Ownership {
        Ownership::of(&serde_json::from_value(value).unwrap(), &kind(), me)
    }

    #[test]
    fn a_marked_object_is_ours_with_what_was_applied() {
        let value = marked_object();
        assert_eq!(value["metadata"]["labels"]["app"], "web");
        let owned = ownership(value, &me());
        assert!(matches!(&owned, Ownership::Ours(tracking) if tracking.hash == "h" && tracking.version == 5));
    }

    #[test]
    fn ours_means_this_very_object_for_this_very_hub() {
        let mut copy = marked_object();
        copy["metadata"]["name"] = json!("copy");
        assert_eq!(ownership(copy, &me()), Ownership::Foreign);

        let mut unlabelled = marked_object();
        unlabelled["metadata"]["labels"] = json!({label::MANAGED: "true"});
        assert_eq!(ownership(unlabelled, &me()), Ownership::Foreign);

        let mut garbled = marked_object();
        garbled["metadata"]["annotations"][annotation::TRACKING] = json!("{");
        assert_eq!(ownership(garbled, &me()), Ownership::Foreign);

        let other = Identity { hub: "hub-2".to_owned(), ..me() };
        assert_eq!(ownership(marked_object(), &other), Ownership::OtherHub("hub-1".to_owned()));

        let rejoined = Identity { cluster: "cluster-2".to_owned(), ..me() };
        assert!(matches!(ownership(marked_object(), &rejoined), Ownership::Former(_)));
    }
}
