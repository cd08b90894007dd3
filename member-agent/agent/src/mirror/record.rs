//! What the mirror remembers about one key between two looks at it. None of it is needed after a
//! restart: that only resets pauses and counts.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::wire::Word;

/// How often one field may be put back within [`CONTENTION_WINDOW`] before the object is stopped.
pub const CONTENTION_REVERTS: usize = 5;

/// See [`CONTENTION_REVERTS`].
pub const CONTENTION_WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// How many reverts are remembered at most, over all fields.
const MAX_REVERTS: usize = 256;

/// The first pause after a failed write; it doubles with each further one.
pub const FAILURE_PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause after failed writes.
pub const FAILURE_PAUSE_MAX: Duration = Duration::from_mins(5);

/// What is remembered about one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    reverts: Vec<(String, Timestamp)>,
    contention: Option<Contention>,
    unsettled: Option<Unsettled>,
    failure: Option<Failure>,
    deleting: Option<String>,
}

/// A field that somebody else keeps changing back.
#[derive(Clone, Debug, PartialEq)]
pub struct Contention {
    /// The hash that was wanted; another one is a new start.
    pub hash: String,
    /// The field.
    pub field: String,
}

/// Fields that are not owned even right after they were applied: the member's schema drops them.
#[derive(Clone, Debug, PartialEq)]
struct Unsettled {
    uid: String,
    hash: String,
    fields: BTreeSet<String>,
}

/// A write that failed, and until when it is not tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Which write.
    pub attempt: Attempt,
    /// How often in a row.
    pub count: u32,
    /// Not before.
    pub until: Timestamp,
    /// What is reported.
    pub word: Word,
    /// What is reported.
    pub message: String,
}

/// A write, as far as it matters whether the next one is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The kind of write.
    pub verb: &'static str,
    /// What was to be applied.
    pub hash: String,
    /// To which object; empty for a creation.
    pub uid: String,
}

impl Record {
    /// The contention that stops an object of this hash, if any.
    pub fn contention(&self, hash: &str) -> Option<&Contention> {
        self.contention.as_ref().filter(|contention| contention.hash == hash)
    }

    /// A field of `fields` that has been put back too often lately.
    pub fn contended<'a>(&self, fields: &'a [String], now: Timestamp) -> Option<&'a String> {
        fields.iter().find(|field| {
            let recent = self
                .reverts
                .iter()
                .filter(|(name, at)| name == *field && now.duration_since(*at) < CONTENTION_WINDOW);
            recent.count() >= CONTENTION_REVERTS
        })
    }

    /// The fields that are known to be dropped by the member's schema.
    pub fn dropped(&self, uid: &str, hash: &str) -> impl Iterator<Item = &String> {
        self.unsettled
            .iter()
            .filter(move |unsettled| unsettled.uid == uid && unsettled.hash == hash)
            .flat_map(|unsettled| &unsettled.fields)
    }

    /// The failure that keeps `attempt` from being tried now.
    pub fn held_back(&self, attempt: &Attempt, now: Timestamp) -> Option<&Failure> {
        self.failure.as_ref().filter(|failure| failure.attempt == *attempt && now < failure.until)
    }

    /// Whether a delete of this object was accepted.
    pub fn delete_sent(&self, uid: &str) -> bool {
        self.deleting.as_deref() == Some(uid)
    }

    /// Notes that these fields were put back.
    pub fn reverted(&mut self, fields: &[String], now: Timestamp) {
        self.reverts.retain(|(_, at)| now.duration_since(*at) < CONTENTION_WINDOW);
        let room = MAX_REVERTS.saturating_sub(self.reverts.len());
        self.reverts.extend(fields.iter().take(room).map(|field| (field.clone(), now)));
    }

    /// Notes that an object is stopped.
    pub fn stopped(&mut self, contention: Contention) {
        self.contention = Some(contention);
    }

    /// Notes that nobody contends any more.
    pub fn calm(&mut self) {
        self.contention = None;
    }

    /// Notes which fields an apply did not bring into our ownership.
    pub fn settled(&mut self, uid: &str, hash: &str, lost: Vec<String>) {
        self.unsettled = (!lost.is_empty()).then(|| Unsettled {
            uid: uid.to_owned(),
            hash: hash.to_owned(),
            fields: lost.into_iter().collect(),
        });
    }

    /// Notes that a delete was accepted.
    pub fn deleted(&mut self, uid: &str) {
        self.deleting = Some(uid.to_owned());
    }

    /// Notes that a write worked.
    pub fn succeeded(&mut self) {
        self.failure = None;
    }

    /// Notes that a write failed, and returns the pause until it is tried again.
    pub fn failed(&mut self, attempt: Attempt, word: Word, message: String, now: Timestamp) -> Duration {
        let count = match &self.failure {
            Some(failure) if failure.attempt == attempt => failure.count.saturating_add(1),
            _ => 1,
        };
        let pause = FAILURE_PAUSE_MIN.saturating_mul(1 << (count - 1).min(16)).min(FAILURE_PAUSE_MAX);
        let until = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
        self.failure = Some(Failure { attempt, count, until, word, message });
        pause
    }
}
