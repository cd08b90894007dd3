//! What the hub knows of one member: its registration, its contact, what it reported, and its view.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use muster_crds::KubeFedCluster;
use muster_crds::conditions::{self, Condition, Truth};
use muster_crds::core_kubefed::KubeFedClusterStatus;
use muster_crds::keys::{condition, reason};
use muster_crds::names::{ClusterName, ObjectKey};
use muster_planner::Contact;
use serde::Deserialize;
use serde_json::Value;

use super::input::stamp;
use super::kind::KindId;
use super::report::{Held, KindReports, Knowledge};
use super::view::View;

/// The longest text a member may say of itself.
const MAX_ABOUT_BYTES: usize = 256;

/// A registered cluster, as the hub API has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterInput {
    /// Name of the KubeFedCluster.
    pub name: ClusterName,
    /// Its uid. A cluster that is registered again is another cluster.
    pub uid: String,
    /// Its labels, for placement by selector.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its status as stored.
    pub status: KubeFedClusterStatus,
}

/// What a member says of itself with its heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct About {
    /// uid of the member: that of its namespace kube-system.
    pub uid: Option<String>,
    /// Kubernetes version.
    pub version: Option<String>,
    /// Region of its nodes.
    pub region: Option<String>,
    /// Zones of its nodes.
    pub zones: Option<Vec<String>>,
    /// Free room, as the planner understands it.
    pub capacity: Value,
}

/// One member.
#[derive(Debug)]
pub struct Member {
    /// The registration.
    pub input: ClusterInput,
    /// When this hub first saw the registration.
    pub since: Timestamp,
    /// When the member was last heard.
    pub heard: Option<Timestamp>,
    /// What it said of itself.
    pub about: About,
    /// Whether it was ready, unknown or lost when that was last judged.
    pub contact: Contact,
    /// What it reported, by kind.
    pub reports: BTreeMap<KindId, KindReports>,
    /// What it should hold.
    pub view: View,
}

// === impl ClusterInput ===

impl ClusterInput {
    /// Takes from the API's object what the hub needs; `None` for a name that no cluster can have.
    pub fn of(object: &KubeFedCluster) -> Option<Self> {
        let meta = &object.metadata;
        Some(Self {
            name: ClusterName::new(meta.name.as_deref()?).ok()?,
            uid: meta.uid.clone().unwrap_or_default(),
            labels: meta.labels.clone().unwrap_or_default(),
            annotations: meta.annotations.clone().unwrap_or_default(),
            status: object.status.clone().unwrap_or_default(),
        })
    }

    /// Whether the stored conditions say that contact was lost.
    fn stored_lost(&self) -> bool {
        conditions::is_true(&self.status.conditions, condition::OFFLINE)
    }
}

// === impl About ===

impl About {
    /// Reads the annotation of a heartbeat. What is too long is dropped: this text comes from the member.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let mut about: Self = serde_json::from_str(text)?;
        let short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= MAX_ABOUT_BYTES);
        for field in [&mut about.uid, &mut about.version, &mut about.region] {
            if !short(field) {
                *field = None;
            }
        }
        about.zones =
            about.zones.filter(|zones| zones.len() <= 64 && zones.iter().all(|zone| zone.len() <= 64));
        Ok(about)
    }
}

// === impl Member ===

impl Member {
    /// A member that was just registered, or that a starting hub has just read.
    pub fn new(input: ClusterInput, now: Timestamp, view_start: u64) -> Self {
        let contact = if input.stored_lost() { Contact::Lost } else { Contact::Unknown };
        Self {
            input,
            since: now,
            heard: None,
            about: About::default(),
            contact,
            reports: BTreeMap::new(),
            view: View::new(view_start),
        }
    }

    /// Judges contact by the last sign of life.
    ///
    /// A member that has not been heard by this hub keeps the stored judgement: one that was lost stays lost through a
    /// restart of the hub, and any other is unknown until `lost_after` has passed.
    pub fn judge(&self, now: Timestamp, lost_after: SignedDuration) -> Contact {
        let fresh = |from: Timestamp| now.duration_since(from) < lost_after;
        match self.heard {
            Some(heard) if fresh(heard) => Contact::Ready,
            None if fresh(self.since) && !self.input.stored_lost() => Contact::Unknown,
            _ => Contact::Lost,
        }
    }

    /// When contact has to be judged again although nothing happens.
    pub fn judge_at(&self, lost_after: SignedDuration) -> Option<Timestamp> {
        let from = self.heard.unwrap_or(self.since);
        (self.contact != Contact::Lost).then(|| from.saturating_add(lost_after).unwrap_or(Timestamp::MAX))
    }

    /// What the planner needs to know.
    pub fn for_planner(&self) -> muster_planner::Member {
        let mut cluster = KubeFedCluster::default();
        cluster.metadata.labels = Some(self.input.labels.clone());
        cluster.metadata.annotations = Some(self.input.annotations.clone());
        let mut member = muster_planner::input::member(&cluster, self.contact);
        member.last_contact = self.heard;
        member
    }

    /// Whether the member holds an object, as far as it has told.
    pub fn knows(&self, kind: &KindId, key: &ObjectKey) -> Knowledge {
        self.reports.get(kind).map_or(Knowledge::Unknown, |reports| reports.knows(key))
    }

    /// The last report of an object.
    pub fn report(&self, kind: &KindId, key: &ObjectKey) -> Option<&Held> {
        self.reports.get(kind)?.get(key)
    }

    /// The status this member's KubeFedCluster should have; the stored one while nothing is known.
    pub fn status(&self, lost_after: SignedDuration, now: Timestamp) -> KubeFedClusterStatus {
        let mut status = self.input.status.clone();
        let judged = match self.contact {
            Contact::Unknown => return status,
            Contact::Ready => [
                Condition::new(condition::READY, true, reason::CLUSTER_READY, "the agent reports"),
                Condition::new(condition::OFFLINE, false, "ClusterReachable", "the agent reports"),
            ],
            Contact::Lost => {
                let message = format!("nothing was heard of the agent for {} s", lost_after.as_secs());
                [
                    Condition::new(condition::READY, Truth::Unknown, reason::CLUSTER_NOT_REACHABLE, &message),
                    Condition::new(condition::OFFLINE, true, reason::CLUSTER_NOT_REACHABLE, &message),
                ]
            }
        };
        for condition in judged {
            conditions::set_condition(&mut status.conditions, condition, stamp(now));
        }
        let about = &self.about;
        status.member_uid = about.uid.clone().or(status.member_uid);
        status.kubernetes_version = about.version.clone().or(status.kubernetes_version);
        status.region = about.region.clone().or(status.region);
        status.zones = about.zones.clone().or(status.zones);
        status
    }
}
