//! Reports on their way to the hub: the newest per object, in the order in which objects changed.

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::kind::Kind;
use crate::wire::{Report, ReportKey, Word};

/// Reports that wait, and the last one said about each object.
///
/// It is bounded by the number of objects: a newer report replaces the one that waits, and an object
/// that is gone is forgotten once the hub was told.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The last report about each object, sent or not.
    said: BTreeMap<ReportKey, Report>,
    waiting: VecDeque<Entry>,
    queued: HashSet<ReportKey>,
    /// Kinds whose inventory was announced in this life of the hub.
    inventories: Vec<Kind>,
}

#[derive(Clone, Debug, PartialEq)]
enum Entry {
    Report(ReportKey),
    Inventory(Kind),
}

/// What goes in one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The reports.
    pub items: Vec<Report>,
    /// The kind of which everything has been reported with these.
    pub inventory: Option<Kind>,
}

impl Outbox {
    /// Says how an object stands. Nothing waits if the same was said before.
    pub fn say(&mut self, report: Report) {
        if self.said.get(&report.key).is_some_and(|said| said.says_the_same_as(&report)) {
            return;
        }
        self.enqueue(report.key.clone());
        self.said.insert(report.key.clone(), report);
    }

    /// Whether the last word about an object was that it is there.
    pub fn said_present(&self, key: &ReportKey) -> bool {
        self.said.get(key).is_some_and(|report| report.word != Word::Removed)
    }

    /// Says that everything the member holds of a kind has been said.
    pub fn inventory(&mut self, kind: &Kind) {
        if !self.inventories.contains(kind) {
            self.inventories.push(kind.clone());
        }
        let entry = Entry::Inventory(kind.clone());
        if !self.waiting.contains(&entry) {
            self.waiting.push_back(entry);
        }
    }

    /// Says everything again: the hub forgot.
    pub fn repeat(&mut self) {
        let keys: Vec<ReportKey> = self.said.keys().cloned().collect();
        for key in keys {
            self.enqueue(key);
        }
        for kind in self.inventories.clone() {
            self.inventory(&kind);
        }
    }

    /// Forgets a kind that is no longer mirrored.
    pub fn forget(&mut self, kind: &Kind) {
        self.said.retain(|key, _| !key.is_of(kind));
        self.queued.retain(|key| !key.is_of(kind));
        self.inventories.retain(|other| other != kind);
        self.waiting.retain(|entry| match entry {
            Entry::Report(key) => !key.is_of(kind),
            Entry::Inventory(other) => other != kind,
        });
    }

    /// Takes up to `most` reports. An inventory ends a batch: what was said before it is with it or
    /// went out earlier.
    pub fn take(&mut self, most: usize) -> Option<Batch> {
        let mut batch = Batch { items: Vec::new(), inventory: None };
        while batch.items.len() < most {
            match self.waiting.pop_front() {
                None => break,
                Some(Entry::Inventory(kind)) => {
                    batch.inventory = Some(kind);
                    break;
                }
                Some(Entry::Report(key)) => {
                    self.queued.remove(&key);
                    batch.items.extend(self.said.get(&key).cloned());
                }
            }
        }
        (!batch.items.is_empty() || batch.inventory.is_some()).then_some(batch)
    }

    /// Puts back what could not be sent, before everything that waits. What was said anew meanwhile
    /// goes in place of the old.
    pub fn put_back(&mut self, batch: Batch) {
        if let Some(kind) = batch.inventory {
            let entry = Entry::Inventory(kind.clone());
            if self.inventories.contains(&kind) && !self.waiting.contains(&entry) {
                self.waiting.push_front(entry);
            }
        }
        for report in batch.items.into_iter().rev() {
            if self.said.contains_key(&report.key) {
                if !self.queued.insert(report.key.clone()) {
                    self.waiting.retain(|entry| *entry != Entry::Report(report.key.clone()));
                }
                self.waiting.push_front(Entry::Report(report.key));
            }
        }
    }

    /// Notes that the hub took these. What is gone and said need not be remembered.
    pub fn delivered(&mut self, batch: &Batch) {
        for report in batch.items.iter().filter(|report| report.word == Word::Removed) {
            if self.said.get(&report.key) == Some(report) {
                self.said.remove(&report.key);
            }
        }
    }

    /// How many entries wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn enqueue(&mut self, key: ReportKey) {
        if self.queued.insert(key.clone()) {
            self.waiting.push_back(Entry::Report(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind() -> Kind {
        Kind {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            plural: "deployments".to_owned(),
            kind: "Deployment".to_owned(),
        }
    }

    fn report(name: &str, hash: &str) -> Report {
        let key = muster_runtime::watch::Key::new("games", name);
        Report {
            key: ReportKey::new(&kind(), &key),
            word: Word::InSync,
            message: String::new(),
            applied_hash: hash.to_owned(),
            member_uid: String::new(),
            member_generation: 0,
            replicas: None,
            view_version: None,
            observed_at: jiff::Timestamp::UNIX_EPOCH,
            status: None,
        }
    }

    fn names(batch: &Batch) -> Vec<(&str, &str)> {
        batch.items.iter().map(|item| (item.key.name.as_str(), item.applied_hash.as_str())).collect()
    }

    #[test]
    fn the_newest_report_of_an_object_goes_out_once_and_in_order() {
        let mut outbox = Outbox::default();
        outbox.say(report("a", "1"));
        outbox.say(report("b", "1"));
        outbox.say(report("a", "2"));
        outbox.inventory(&kind());
        outbox.say(report("c", "1"));
        let first = outbox.take(10).unwrap();
        assert_eq!(names(&first), [("a", "2"), ("b", "1")]);
        assert_eq!(first.inventory, Some(kind()));
        assert_eq!(names(&outbox.take(10).unwrap()), [("c", "1")]);
        assert_eq!(outbox.take(10), None);
        outbox.say(report("a", "2"));
        assert_eq!(outbox.take(10), None, "the same again is no news");
    }

    #[test]
    fn what_could_not_be_sent_goes_first_and_in_its_newest_form() {
        let mut outbox = Outbox::default();
        for name in ["a", "b"] {
            outbox.say(report(name, "1"));
        }
        outbox.inventory(&kind());
        let batch = outbox.take(10).unwrap();
        outbox.say(report("c", "1"));
        outbox.say(report("b", "2"));
        outbox.put_back(batch);
        let again = outbox.take(2).unwrap();
        assert_eq!(names(&again), [("a", "1"), ("b", "2")]);
        assert_eq!(again.inventory, None);
        assert_eq!(outbox.take(10).unwrap().inventory, Some(kind()));
        assert_eq!(names(&outbox.take(10).unwrap()), [("c", "1")]);
        assert_eq!(outbox.waiting(), 0);
    }

    #[test]
    fn a_hub_that_forgot_is_told_everything_again() {
        let mut outbox = Outbox::default();
        outbox.say(report("a", "1"));
        outbox.say(report("b", "1"));
        outbox.inventory(&kind());
        while outbox.take(1).is_some() {}
        outbox.repeat();
        let batch = outbox.take(10).unwrap();
        assert_eq!(names(&batch), [("a", "1"), ("b", "1")]);
        assert_eq!(batch.inventory, Some(kind()));
        outbox.forget(&kind());
        outbox.repeat();
        assert_eq!(outbox.take(10), None);
    }
}
