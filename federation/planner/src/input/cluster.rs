//! Registered clusters.

use muster_crds::KubeFedCluster;
use muster_crds::keys::{annotation, condition};

use super::is_on;
use crate::model::{Contact, Member};

/// What a KubeFedCluster says about a member, with the contact the caller knows of.
pub fn member(cluster: &KubeFedCluster, contact: Contact) -> Member {
    let annotations = cluster.metadata.annotations.as_ref();
    let on = |key: &str| is_on(annotations.and_then(|annotations| annotations.get(key)));
    Member {
        labels: cluster.metadata.labels.clone().unwrap_or_default(),
        contact,
        last_contact: None,
        suspended: on(annotation::SUSPEND),
        release_seats: on(annotation::RELEASE_SEATS),
    }
}

/// The contact that the stored conditions speak of: lost when Ready is there and not True, or Offline is True.
pub fn contact(cluster: &KubeFedCluster) -> Contact {
    let status = |type_: &str| {
        let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
        conditions
            .filter(|condition| condition.type_ == type_)
            .map(|condition| condition.status.as_str())
            .next()
    };
    let not_ready = status(condition::READY).is_some_and(|status| status != "True");
    let offline = status(condition::OFFLINE) == Some("True");
    if not_ready || offline { Contact::Lost } else { Contact::Ready }
}
