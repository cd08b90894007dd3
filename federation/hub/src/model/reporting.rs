//! Reports and heartbeats of members.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muster_apiserver::Key;
use muster_crds::keys::view as keys;
use muster_crds::names::{ClusterName, ObjectKey};
use serde::Serialize;
use serde_json::{Value, json};

use super::intent::Intent;
use super::kind::KindId;
use super::member::About;
use super::report::{Knowledge, Rejected, Report, ReportError, ReportList};
use super::view::stable_uid;
use super::writes::WriteKey;
use super::{Changes, Model};

/// What a hub answers to a list of reports.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReportAnswer {
    /// How many reports were taken.
    pub accepted: usize,
    /// Which were not, and why.
    pub rejected: Vec<Rejected>,
}

/// A renewed Lease of a member.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat {
    /// Namespace of the Lease.
    pub namespace: String,
    /// `spec.holderIdentity`.
    pub holder: String,
    /// `spec.renewTime`, as sent.
    pub renewed: Value,
    /// `spec.leaseDurationSeconds`, as sent.
    pub duration: Value,
    /// What the member says of itself, as sent.
    pub about: Option<String>,
}

impl Model {
    /// Takes reports of a member. `None` when there is no such member.
    pub fn report(
        &mut self,
        cluster: &ClusterName,
        list: &ReportList,
        now: Timestamp,
    ) -> Option<(ReportAnswer, Changes)> {
        self.members.get(cluster)?;
        let mut answer = ReportAnswer::default();
        let mut plan: BTreeSet<(KindId, ObjectKey)> = BTreeSet::new();
        let inventory =
            list.inventory.as_ref().map(|mark| (KindId::new(&mark.group, &mark.plural), mark.complete));
        let mut begun: BTreeSet<KindId> = BTreeSet::new();
        for item in &list.items {
            let taken = Report::parse(item, |kind| self.federates(kind)).and_then(|report| {
                if begun.insert(report.kind.clone()) {
                    self.begin(cluster, &report.kind, list.session.as_deref());
                }
                self.take_report(cluster, report, now)
            });
            match taken {
                Ok(again) => {
                    answer.accepted += 1;
                    plan.extend(again);
                }
                Err(error) => {
                    let key =
                        item.get("key").filter(|key| key.is_object()).cloned().unwrap_or_else(|| json!({}));
                    answer.rejected.push(Rejected { key, reason: error.to_string() });
                }
            }
        }
        if let Some((kind, true)) = inventory
            && self.federates(&kind)
        {
            self.begin(cluster, &kind, list.session.as_deref());
            plan.extend(self.take_inventory(cluster, &kind));
        }
        self.heard(cluster, now);
        for (id, key) in plan {
            self.plan(&id, &key, now);
        }
        self.due(now);
        Some((answer, self.finish()))
    }

    /// Takes a heartbeat; returns the Lease as it is now. `None` when there is no such member.
    pub fn heartbeat(
        &mut self,
        cluster: &ClusterName,
        beat: &Heartbeat,
        now: Timestamp,
    ) -> Option<(Value, Changes)> {
        let member = self.members.get_mut(cluster)?;
        let about = beat.about.as_deref().map(About::parse);
        let mut moved = false;
        match about {
            Some(Ok(about)) if about != member.about => {
                moved = about.capacity != member.about.capacity;
                member.about = about;
                self.changes.dirty.insert(WriteKey::Cluster(cluster.clone()));
            }
            Some(Err(error)) => {
                self.decide("heartbeat annotation refused", cluster, format!("{}: {error}", keys::MEMBER));
            }
            _ => {}
        }
        let lease = self.put_lease(cluster, beat)?;
        self.heard(cluster, now);
        if moved {
            self.plan_all(now);
        }
        self.due(now);
        Some((lease, self.finish()))
    }

    fn put_lease(&mut self, cluster: &ClusterName, beat: &Heartbeat) -> Option<Value> {
        let member = self.members.get_mut(cluster)?;
        let version = self.versions.take();
        let epoch = format!("{}/{}", self.hub_uid, self.versions.epoch());
        let uid = stable_uid(&[&self.hub_uid, &member.input.uid, "leases", cluster.as_str()]);
        let mut annotations = json!({ "view.muster.dev/epoch": epoch });
        if let Some(about) = &beat.about {
            annotations[keys::MEMBER] = Value::from(about.as_str());
        }
        let mut spec = json!({ "holderIdentity": beat.holder });
        for (field, value) in [("renewTime", &beat.renewed), ("leaseDurationSeconds", &beat.duration)] {
            if !value.is_null() {
                spec[field] = value.clone();
            }
        }
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": cluster.as_str(),
                "namespace": beat.namespace,
                "uid": uid,
                "resourceVersion": version.to_string(),
                "annotations": annotations,
            },
            "spec": spec,
        });
        member.view.put_lease(
            Key::namespaced(beat.namespace.as_str(), cluster.as_str()),
            &uid,
            &lease,
            version,
        );
        Some(lease)
    }

    fn begin(&mut self, cluster: &ClusterName, kind: &KindId, session: Option<&str>) {
        if let (Some(member), Some(session)) = (self.members.get_mut(cluster), session) {
            member.reports.entry(kind.clone()).or_default().begin(session);
        }
    }

    /// Takes one report; answers with the object when planning could see the difference.
    fn take_report(
        &mut self,
        cluster: &ClusterName,
        report: Report,
        now: Timestamp,
    ) -> Result<Option<(KindId, ObjectKey)>, ReportError> {
        let Report { kind, key, said } = report;
        let Some(member) = self.members.get_mut(cluster) else { return Ok(None) };
        let reports = member.reports.entry(kind.clone()).or_default();
        let before = (reports.knows(&key), reports.get(&key).map(|held| held.said.replicas()));
        let removed = said.is_removed();
        let spoken_of = said.view_version;
        reports.take(&key, said, now)?;
        let after = (reports.knows(&key), reports.get(&key).map(|held| held.said.replicas()));
        let status = reports.get(&key).and_then(|held| held.said.status.clone());
        member.view.show_status(&kind, &key, status);
        let entry = member.view.get(&kind, &key);
        let removal = entry.filter(|entry| matches!(entry.intent, Intent::Remove(_)));
        // A late report of an older removal must not close a newer one.
        let closes =
            removed && removal.is_some_and(|entry| spoken_of.is_none_or(|version| version >= entry.version));
        self.changes.dirty.insert(WriteKey::Object(kind.clone(), key.clone()));
        if closes {
            self.decide("removed", &key, format!("gone from {cluster}"));
            self.close_tombstone(&kind, &key, cluster);
            let object = self.kinds.get_mut(&kind).and_then(|kind| kind.objects.get_mut(&key));
            match object {
                Some(object) => {
                    object.removed.insert(cluster.clone());
                }
                None => self.drop_entry(&kind, &key, cluster),
            }
        } else if !removed
            && let Some(object) = self.kinds.get_mut(&kind).and_then(|kind| kind.objects.get_mut(&key))
        {
            object.removed.remove(cluster);
        }
        let matters = closes || (before != after && self.rests_on_knowledge(&kind, &key, cluster));
        Ok(matters.then_some((kind, key)))
    }

    /// Everything a member holds of a kind was reported: what was not is not there.
    fn take_inventory(&mut self, cluster: &ClusterName, kind: &KindId) -> Vec<(KindId, ObjectKey)> {
        let Some(member) = self.members.get_mut(cluster) else { return Vec::new() };
        let reports = member.reports.entry(kind.clone()).or_default();
        let first = !reports.is_complete();
        let mut keys = reports.complete();
        for key in &keys {
            member.view.show_status(kind, key, None);
        }
        if first {
            let objects = self.kinds.get(kind).into_iter().flat_map(|kind| kind.objects.keys());
            keys.extend(objects.filter(|key| member.knows(kind, key) == Knowledge::HoldsNothing).cloned());
            self.decide("inventory complete", cluster, kind.to_string());
        }
        keys.retain(|key| self.rests_on_knowledge(kind, key, cluster));
        keys.into_iter().map(|key| (kind.clone(), key)).collect()
    }

    /// Whether a plan could change with what a member says it holds. Where seats are recorded and applied it does not,
    /// and neither where an unplaced member holds nothing: a thousand agents that report again after a restart of the
    /// hub cost no planning.
    fn rests_on_knowledge(&self, kind: &KindId, key: &ObjectKey, cluster: &ClusterName) -> bool {
        let Some(object) = self.object(kind, key) else { return false };
        let Some(plan) = &object.plan else { return true };
        let seats = object.status.plan.as_ref().map(|plan| &plan.seats);
        match plan.clusters.get(cluster).map(|planned| &planned.intent) {
            Some(muster_planner::Intent::Apply(_)) => {
                seats.is_none_or(|seats| !seats.contains_key(cluster.as_str()))
            }
            Some(_) => true,
            None => self.members.get(cluster).is_some_and(|member| {
                member.knows(kind, key) == Knowledge::Holds || member.view.get(kind, key).is_some()
            }),
        }
    }

    /// Takes an entry out of a view.
    pub(super) fn drop_entry(&mut self, kind: &KindId, key: &ObjectKey, cluster: &ClusterName) {
        let Some(member) = self.members.get_mut(cluster) else { return };
        let versions = &mut self.versions;
        if member.view.remove(kind, key, || versions.take()) {
            self.touched.insert(cluster.clone());
        }
    }
}
