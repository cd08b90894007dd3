//! What to do about one object: a pure function of what is wanted, what is there, what is
//! remembered and the time.
//!
//! It returns one step at a time. After a step the mirror looks again, so a step never rests on what
//! an earlier one was meant to bring about.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::desired::{Apply, Intent};
use super::live::{Live, Retained};
use super::ownership::Ownership;
use super::record::{Attempt, Contention, Record};
use crate::wire::{Adoption, Deletion, DeletionPolicy, Word};

/// The pause between two looks at a namespace that is being deleted.
const NAMESPACE_PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// Everything that is known about one key.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// What the hub wants.
    pub want: Want<'a>,
    /// What the member holds.
    pub live: Option<&'a Live>,
    /// How far the hub can be followed.
    pub link: Link,
    /// The namespace of an object that is to be created.
    pub namespace: NamespaceState,
    /// What must happen first, by the order of kinds.
    pub blocked_by: Option<String>,
    /// Whether objects of this kind hold others (namespaces, definitions) and so are never deleted,
    /// only released.
    pub holds_others: bool,
}

/// What the hub wants of one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Want<'a> {
    /// Not known: no complete list has been seen, or it does not match what the hub announced.
    Unknown,
    /// Nothing: a complete list does not have it.
    Absent,
    /// This.
    Intent(&'a Intent),
}

/// How far the hub can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The hub is there.
    Up,
    /// It is not: what is missing is created again, nothing else is touched.
    Down,
    /// The hub is behind what this member has obeyed before (a restored backup, say): nothing is
    /// removed.
    Rewound,
}

/// The namespace of an object that is to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceState {
    /// Not looked at, or the kind is cluster-scoped.
    Irrelevant,
    /// It is there.
    Present,
    /// It is not there.
    Missing,
    /// It is being deleted.
    Terminating,
}

/// What is to be done now, and what is to be said.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The next step.
    pub action: Action,
    /// What the hub is told once there is no step left.
    pub say: Say,
    /// When to look again although nothing changes.
    pub recheck: Option<Timestamp>,
    /// A contention to be remembered.
    pub contention: Option<Contention>,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Nothing to do.
    None,
    /// Create the namespace.
    CreateNamespace,
    /// Apply the whole body to an object that does not exist, without force.
    Create,
    /// Apply the body to our object, with force.
    Apply {
        /// Why.
        cause: Cause,
        /// Only to this object.
        uid: String,
    },
    /// Apply live values as another manager, so that they stay when the mirror lets go of them.
    HandOver {
        /// Only to this object.
        uid: String,
        /// JSON pointers and values.
        values: Vec<(String, Value)>,
    },
    /// Remove the marks of ownership.
    Release {
        /// Only from this object.
        uid: String,
        /// Only in this state.
        resource_version: String,
    },
    /// Delete it.
    Delete {
        /// Only this object.
        uid: String,
        /// Only in this state.
        resource_version: String,
        /// DeleteOptions from the hub.
        options: Value,
    },
}

impl Action {
    /// The action in a word or two, for logs and metrics.
    pub fn short(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::CreateNamespace => "create namespace",
            Self::Create => "create",
            Self::Apply { cause: Cause::Changed, .. } => "apply",
            Self::Apply { cause: Cause::Reverted(_), .. } => "revert",
            Self::Apply { cause: Cause::Adopted, .. } => "adopt",
            Self::Apply { cause: Cause::Rejoined, .. } => "take over",
            Self::Apply { cause: Cause::LetGo, .. } => "let go",
            Self::HandOver { .. } => "hand over",
            Self::Release { .. } => "release",
            Self::Delete { .. } => "delete",
        }
    }
}

/// Why an object is applied again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The desired object changed.
    Changed,
    /// Somebody changed these fields.
    Reverted(Vec<String>),
    /// It is taken over.
    Adopted,
    /// The member was registered anew.
    Rejoined,
    /// Fields now belong to the member.
    LetGo,
}

/// What the hub is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Say {
    /// Nothing.
    Nothing,
    /// How the object stands.
    Object {
        /// In a word.
        word: Word,
        /// In a sentence.
        message: String,
    },
    /// The member holds nothing of the hub's under this key.
    Gone {
        /// In a sentence.
        message: String,
    },
    /// The same, but only if something else was said before.
    GoneIfSaidBefore,
}

/// Decides the next step for one key.
pub fn decide(observed: &Observed<'_>, record: &Record, now: Timestamp) -> Decision {
    let decision = match observed.want {
        Want::Unknown => leave(observed.live, ""),
        Want::Absent => absent(observed, record),
        Want::Intent(Intent::Hold { reason }) => leave(observed.live, reason),
        Want::Intent(Intent::Remove(deletion)) => remove(observed, record, deletion),
        Want::Intent(Intent::Apply(apply)) => wanted(observed, record, apply, now),
    };
    hold_back(decision, observed, record, now)
}

/// The write as far as it matters for "the same write failed a moment ago".
pub fn attempt(action: &Action, want: Want<'_>) -> Option<Attempt> {
    let uid = match action {
        Action::None => return None,
        Action::CreateNamespace | Action::Create => "",
        Action::Apply { uid, .. }
        | Action::HandOver { uid, .. }
        | Action::Release { uid, .. }
        | Action::Delete { uid, .. } => uid.as_str(),
    };
    let hash = match want {
        Want::Intent(Intent::Apply(apply)) => apply.hash.clone(),
        _ => String::new(),
    };
    Some(Attempt { verb: action.short(), hash, uid: uid.to_owned() })
}

fn wanted(observed: &Observed<'_>, record: &Record, apply: &Apply, now: Timestamp) -> Decision {
    let Some(live) = observed.live else { return create(observed, now) };
    if live.opted_out {
        return say(
            Word::ManagedLabelFalse,
            "the member opted this object out with kubefed.io/managed=false",
        );
    }
    if live.deleting {
        return say(Word::WaitingForRemoval, "it is being deleted; it is created again once it is gone");
    }
    if observed.link == Link::Down {
        return nothing();
    }
    match &live.ownership {
        Ownership::Foreign => adopt(live, apply, "it exists and was not made by this hub"),
        Ownership::OtherHub(hub) if apply.adopt == Adoption::Always => {
            tracing::debug!(%hub, "an object of another hub is taken over");
            adopt(live, apply, "")
        }
        Ownership::OtherHub(hub) => say(Word::AlreadyExists, format!("it belongs to the hub with uid {hub}")),
        Ownership::Former(_) => step(Action::Apply { cause: Cause::Rejoined, uid: live.uid.clone() }),
        Ownership::Ours(tracking) => ours(live, record, apply, &tracking.hash, now),
    }
}

fn create(observed: &Observed<'_>, now: Timestamp) -> Decision {
    if let Some(first) = &observed.blocked_by {
        return say(Word::CreationFailed, format!("waits for {first}"));
    }
    match observed.namespace {
        NamespaceState::Missing => step(Action::CreateNamespace),
        // Nothing tells when a namespace is gone: they are looked at, not watched.
        NamespaceState::Terminating => Decision {
            recheck: Some(now.saturating_add(NAMESPACE_PAUSE).unwrap_or(Timestamp::MAX)),
            ..say(Word::CreationFailed, "its namespace is being deleted")
        },
        NamespaceState::Present | NamespaceState::Irrelevant => step(Action::Create),
    }
}

fn adopt(live: &Live, apply: &Apply, why_not: &str) -> Decision {
    match apply.adopt {
        Adoption::Never => say(Word::AlreadyExists, why_not),
        Adoption::IfNoDiff if !live.differing.is_empty() => {
            say(Word::AlreadyExists, format!("{why_not}, and differs in {}", list(&live.differing)))
        }
        Adoption::IfNoDiff | Adoption::Always => {
            step(Action::Apply { cause: Cause::Adopted, uid: live.uid.clone() })
        }
    }
}

fn ours(live: &Live, record: &Record, apply: &Apply, applied: &str, now: Timestamp) -> Decision {
    let uid = live.uid.clone();
    if let Retained::MirrorAlone(values) = &live.retained {
        return step(Action::HandOver { uid, values: values.clone() });
    }
    if live.retained == Retained::Shared {
        return step(Action::Apply { cause: Cause::LetGo, uid });
    }
    if applied != apply.hash {
        return step(Action::Apply { cause: Cause::Changed, uid });
    }
    let dropped: Vec<&String> = record.dropped(&live.uid, &apply.hash).collect();
    let lost: Vec<String> = live.lost.iter().filter(|field| !dropped.contains(field)).cloned().collect();
    if lost.is_empty() {
        return match dropped.as_slice() {
            [] => say(Word::InSync, ""),
            fields => say(
                Word::InSync,
                format!(
                    "the member does not keep {}",
                    list(&fields.iter().copied().cloned().collect::<Vec<_>>())
                ),
            ),
        };
    }
    let contended = record
        .contention(&apply.hash)
        .map(|contention| contention.field.clone())
        .or_else(|| record.contended(&lost, now).cloned());
    match contended {
        None => step(Action::Apply { cause: Cause::Reverted(lost), uid }),
        Some(field) => {
            let message = format!(
                "contention: {field} was changed back again and again; nothing is written until the \
                 desired object changes or {field} is given back"
            );
            let contention = Some(Contention { hash: apply.hash.clone(), field });
            Decision { contention, ..say(Word::UpdateFailed, message) }
        }
    }
}

fn remove(observed: &Observed<'_>, record: &Record, deletion: &Deletion) -> Decision {
    let Some(live) = observed.live else { return gone("it is gone") };
    if live.ownership.tracking().is_none() {
        return gone("what has this name is not this hub's");
    }
    if live.opted_out {
        return gone("the member opted it out with kubefed.io/managed=false; it stays");
    }
    if live.deleting {
        return say(Word::WaitingForRemoval, "");
    }
    match observed.link {
        Link::Down => return say(Word::WaitingForRemoval, "the hub is out of reach"),
        Link::Rewound => return say(Word::WaitingForRemoval, REWOUND),
        Link::Up => {}
    }
    if let Some(first) = &observed.blocked_by {
        return say(Word::WaitingForRemoval, format!("waits for {first}"));
    }
    take_away(observed, record, live, deletion)
}

fn absent(observed: &Observed<'_>, record: &Record) -> Decision {
    let Some(live) = observed.live else { return leave(None, "") };
    // Only what was applied under this very registration: an object from before it is the hub's to
    // decide about, once it has read the inventory.
    if !matches!(live.ownership, Ownership::Ours(_)) || live.opted_out {
        return leave(Some(live), "");
    }
    if live.deleting {
        return say(Word::WaitingForRemoval, "");
    }
    match observed.link {
        Link::Up => {}
        Link::Down => return leave(Some(live), ""),
        Link::Rewound => return leave(Some(live), REWOUND),
    }
    if let Some(first) = &observed.blocked_by {
        return say(Word::WaitingForRemoval, format!("waits for {first}"));
    }
    take_away(observed, record, live, &Deletion::default())
}

const REWOUND: &str = "the hub is behind what this member has obeyed; nothing is removed";

fn take_away(observed: &Observed<'_>, record: &Record, live: &Live, deletion: &Deletion) -> Decision {
    let (uid, resource_version) = (live.uid.clone(), live.resource_version.clone());
    if deletion.policy == DeletionPolicy::Orphan || observed.holds_others {
        return step(Action::Release { uid, resource_version });
    }
    if record.delete_sent(&uid) {
        return say(Word::WaitingForRemoval, "");
    }
    step(Action::Delete { uid, resource_version, options: deletion.options.clone() })
}

/// Touches nothing, and says what is there.
fn leave(live: Option<&Live>, reason: &str) -> Decision {
    let say_what = match live {
        Some(live) if live.ownership.tracking().is_some() && !live.opted_out => {
            Say::Object { word: Word::InSync, message: reason.to_owned() }
        }
        _ => Say::GoneIfSaidBefore,
    };
    Decision { action: Action::None, say: say_what, recheck: None, contention: None }
}

/// The same write is not tried again before its pause is over, however often the object changes.
fn hold_back(decision: Decision, observed: &Observed<'_>, record: &Record, now: Timestamp) -> Decision {
    let held =
        attempt(&decision.action, observed.want).and_then(|attempt| record.held_back(&attempt, now).cloned());
    match held {
        None => decision,
        Some(failure) => Decision { recheck: Some(failure.until), ..say(failure.word, failure.message) },
    }
}

fn nothing() -> Decision {
    Decision { action: Action::None, say: Say::Nothing, recheck: None, contention: None }
}

fn step(action: Action) -> Decision {
    Decision { action, say: Say::Nothing, recheck: None, contention: None }
}

fn say(word: Word, message: impl Into<String>) -> Decision {
    let say = Say::Object { word, message: message.into() };
    Decision { action: Action::None, say, recheck: None, contention: None }
}

fn gone(message: &str) -> Decision {
    let say = Say::Gone { message: message.to_owned() };
    Decision { action: Action::None, say, recheck: None, contention: None }
}

/// At most five of `fields`, for a message.
fn list(fields: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = fields.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match fields.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
