//! Registered clusters, and contact with them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muster_crds::names::ClusterName;
use muster_planner::Contact;

use super::input::Feed;
use super::member::{ClusterInput, Member};
use super::timers::Timer;
use super::writes::WriteKey;
use super::{Model, Object, Source};
use crate::model::status::ANSWER_TIMEOUT;

impl Model {
    pub(super) fn clusters(&mut self, feed: Feed<ClusterName, ClusterInput>, now: Timestamp) {
        match feed {
            Feed::Reset(all) => {
                self.read(Source::Clusters);
                let names: BTreeSet<ClusterName> = all.iter().map(|one| one.name.clone()).collect();
                let gone: Vec<ClusterName> =
                    self.members.keys().filter(|name| !names.contains(*name)).cloned().collect();
                for name in gone {
                    self.unregister(&name);
                }
                for one in all {
                    self.register(one, now);
                }
            }
            Feed::Applied(one) => {
                if !self.register(one, now) {
                    return;
                }
            }
            Feed::Deleted(name) => self.unregister(&name),
        }
        self.plan_all(now);
    }

    /// Takes a registration; answers whether planning could see the difference.
    fn register(&mut self, input: ClusterInput, now: Timestamp) -> bool {
        let name = input.name.clone();
        self.changes.dirty.insert(WriteKey::Cluster(name.clone()));
        let known = self.members.get(&name).is_some_and(|member| member.input.uid == input.uid);
        if known && let Some(member) = self.members.get_mut(&name) {
            let same = member.input.labels == input.labels && member.input.annotations == input.annotations;
            member.input = input;
            if same {
                return false;
            }
            self.refresh_fleet(&name);
            return true;
        }
        if self.members.contains_key(&name) {
            self.unregister(&name);
        }
        let start = self.versions.floor();
        let mut member = Member::new(input, now, start);
        for (id, kind) in &self.kinds {
            member.view.admit(id, &kind.target, start);
        }
        self.decide("cluster registered", &name, format!("contact {:?}", member.contact));
        self.timers.set(Timer::Contact(name.clone()), member.judge_at(self.settings.lost_after));
        self.members.insert(name.clone(), member);
        self.touched.insert(name.clone());
        self.refresh_fleet(&name);
        self.show_tombstones(&name);
        true
    }

    fn unregister(&mut self, name: &ClusterName) {
        let Some(member) = self.members.remove(name) else { return };
        member.view.close();
        self.timers.set(Timer::Contact(name.clone()), None);
        self.fleet.clusters.remove(name);
        let held: usize = member.view.kinds().map(|(_, kind)| kind.len()).sum();
        self.decide(
            "cluster unregistered",
            name,
            format!("its view ends; {held} objects of its view stay in the member as they are"),
        );
        self.forget_tombstones_of(name);
    }

    /// Brings what the planner knows of a member up to date.
    fn refresh_fleet(&mut self, name: &ClusterName) {
        let Some(member) = self.members.get(name) else { return };
        self.fleet.clusters.insert(name.clone(), member.for_planner());
    }

    /// Takes note that a member was heard; answers whether its contact changed.
    pub(super) fn heard(&mut self, name: &ClusterName, now: Timestamp) {
        let lost_after = self.settings.lost_after;
        let Some(member) = self.members.get_mut(name) else { return };
        member.heard = Some(now);
        self.judge(name, now);
        let at = self.members.get(name).and_then(|member| member.judge_at(lost_after));
        self.timers.set(Timer::Contact(name.clone()), at);
    }

    pub(super) fn judge(&mut self, name: &ClusterName, now: Timestamp) {
        let Some(member) = self.members.get_mut(name) else { return };
        let contact = member.judge(now, self.settings.lost_after);
        let before = std::mem::replace(&mut member.contact, contact);
        if before == contact {
            return;
        }
        self.decide("contact changed", name, format!("{before:?} -> {contact:?}"));
        self.changes.dirty.insert(WriteKey::Cluster(name.clone()));
        self.refresh_fleet(name);
        // A member that was just registered is planned like one that is ready: only loss makes a difference.
        if before == Contact::Lost {
            self.await_answers(name, now);
        }
        if before == Contact::Lost || contact == Contact::Lost {
            self.plan_with(name, now);
        }
    }

    /// A member is back: it could not answer while it was away, so the time to answer begins now.
    fn await_answers(&mut self, name: &ClusterName, now: Timestamp) {
        let late = now.checked_add(ANSWER_TIMEOUT).ok();
        for (id, kind) in &mut self.kinds {
            for (key, object) in &mut kind.objects {
                if let Some(shown) = object.shown.get_mut(name) {
                    *shown = now;
                    self.timers.set(Timer::Status(id.clone(), key.clone()), late);
                }
            }
        }
    }

    /// Plans again every object that has to do with a member.
    fn plan_with(&mut self, name: &ClusterName, now: Timestamp) {
        let Some(member) = self.members.get(name) else { return };
        let mut concerned = Vec::new();
        for (id, kind) in &self.kinds {
            let planned = |object: &Object| match &object.plan {
                Some(plan) => plan.clusters.contains_key(name),
                None => true,
            };
            let here = kind
                .objects
                .iter()
                .filter(|(key, object)| planned(object) || member.view.get(id, key).is_some());
            concerned.extend(here.map(|(key, _)| (id.clone(), key.clone())));
        }
        for (id, key) in concerned {
            self.plan(&id, &key, now);
        }
    }

    /// Whether a member is away for longer than can be waited for.
    pub(super) fn is_lost(&self, name: &ClusterName) -> bool {
        self.members.get(name).is_some_and(|member| member.contact == Contact::Lost)
    }
}
