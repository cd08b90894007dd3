//! How one placed cluster stands: what it holds, and whether its seats are decided by the division.

use muster_crds::ClusterName;

use super::{Mode, Snapshot};
use crate::model::{Contact, Inventory, Member, Override};
use crate::reason::{Reason, ReasonCode};

/// One placed cluster.
pub(super) struct Standing<'a> {
    pub(super) name: &'a ClusterName,
    /// Its recorded seats.
    pub(super) recorded: Option<u32>,
    /// What it reported it holds, where there are no recorded seats.
    pub(super) reported: Option<u32>,
    /// What differs in it.
    pub(super) overrides: Option<&'a Override>,
    pub(super) part: Part,
    /// Why nothing is written to it, if so.
    pub(super) hold: Option<Hold>,
}

/// Whether the division decides on the seats.
pub(super) enum Part {
    /// It does.
    Open,
    /// They are decided already and come off the total.
    Fixed { seats: u32, reason: Reason },
}

/// Why nothing is written to a placed cluster.
#[derive(Clone)]
pub(super) enum Hold {
    /// It has not said what it holds.
    AwaitingInventory,
    /// Another reason.
    Because(Reason),
}

impl Hold {
    /// The reason, given the seats that the plan keeps for the cluster.
    pub(super) fn reason(&self, seats: u32) -> Reason {
        match self {
            Self::AwaitingInventory => Reason::new(
                ReasonCode::AwaitingInventory,
                format!("it has not yet reported what it holds; {seats} seats are kept free for it"),
            ),
            Self::Because(reason) => reason.clone(),
        }
    }
}

impl<'a> Standing<'a> {
    /// How a placed cluster stands; `None` when it is not registered and has no seats.
    pub(super) fn of(snapshot: &'a Snapshot<'_>, name: &'a ClusterName, mode: Mode<'_>) -> Option<Self> {
        let recorded = snapshot.recorded(name);
        let Some(member) = snapshot.fleet.clusters.get(name) else {
            let seats = recorded?;
            let reason = not_registered(seats);
            let (part, hold) = (Part::Fixed { seats, reason: reason.clone() }, Some(Hold::Because(reason)));
            return Some(Self { name, recorded, reported: None, overrides: None, part, hold });
        };
        let reported = match (recorded, snapshot.observed.inventory.get(name)) {
            (Some(_), _) | (None, None) => None,
            (None, Some(Inventory::Holds { replicas })) => Some(*replicas),
            (None, Some(Inventory::Nothing | Inventory::Removed)) => Some(0),
        };
        let overrides = snapshot.object.overrides.get(name);
        let (part, hold) = decide(snapshot, name, member, recorded.or(reported), mode);
        let overrides = overrides.and_then(|entry| entry.as_ref().ok());
        Some(Self { name, recorded, reported, overrides, part, hold })
    }

    /// What it holds now, as far as that is known.
    pub(super) fn held(&self) -> u32 {
        self.recorded.or(self.reported).unwrap_or(0)
    }

    /// The number of replicas that its overrides set.
    pub(super) fn pin(&self) -> Option<u32> {
        self.overrides.and_then(|entry| entry.pin)
    }
}

fn decide(
    snapshot: &Snapshot<'_>,
    name: &ClusterName,
    member: &Member,
    held: Option<u32>,
    mode: Mode<'_>,
) -> (Part, Option<Hold>) {
    let fixed = |seats: u32, reason: Reason| Part::Fixed { seats, reason };
    let because = |reason: &Reason| Some(Hold::Because(reason.clone()));
    let overrides = match snapshot.object.overrides.get(name) {
        None => Ok(None),
        Some(entry) => entry.as_ref().map(Some).map_err(super::invalid),
    };
    if member.contact == Contact::Lost {
        return lost(snapshot, name, member, held, overrides.as_ref().err());
    }
    if member.suspended {
        let reason = Reason::new(ReasonCode::Suspended, "the cluster is suspended: nothing is written");
        return (fixed(held.unwrap_or(0), reason.clone()), because(&reason));
    }
    match overrides {
        // Where something runs it goes on as it is; where nothing runs the seats are kept free.
        Err(reason) => match held {
            Some(held) if held > 0 || snapshot.recorded(name).is_some() => {
                (fixed(held, reason.clone()), because(&reason))
            }
            _ => (Part::Open, because(&reason)),
        },
        Ok(entry) => {
            let awaiting = held.is_none().then_some(Hold::AwaitingInventory);
            let pin = entry.and_then(|entry| entry.pin).filter(|_| !matches!(mode, Mode::NoReplicas));
            let part = pin.map_or(Part::Open, |pin| {
                fixed(pin, Reason::new(ReasonCode::Pinned, format!("pinned by override to {pin}")))
            });
            (part, awaiting)
        }
    }
}

/// Why a cluster that nobody registers any more has seats.
pub(super) fn not_registered(seats: u32) -> Reason {
    Reason::new(ReasonCode::NotRegistered, format!("not registered: keeps its {seats} seats"))
}

/// A lost cluster keeps what it has, and gets nothing, unless a person gave its seats up.
fn lost(
    snapshot: &Snapshot<'_>,
    name: &ClusterName,
    member: &Member,
    held: Option<u32>,
    invalid: Option<&Reason>,
) -> (Part, Option<Hold>) {
    let since = member.last_contact.map_or_else(|| "lost".to_owned(), |since| format!("lost since {since}"));
    if member.release_seats || snapshot.object.release.covers(name) {
        let reason = Reason::new(
            ReasonCode::SeatsReleased,
            format!("{since}: its {} seats were given up by hand", held.unwrap_or(0)),
        );
        return (Part::Fixed { seats: 0, reason: reason.clone() }, Some(Hold::Because(reason)));
    }
    let Some(seats) = held else {
        let text = format!("{since}, and it never reported what it holds: nothing is planned onto it");
        let reason = Reason::new(ReasonCode::Lost, text);
        return (Part::Fixed { seats: 0, reason: reason.clone() }, Some(Hold::Because(reason)));
    };
    let reason = Reason::new(ReasonCode::Lost, format!("{since}: keeps {seats} seats"));
    (Part::Fixed { seats, reason }, invalid.map(|reason| Hold::Because(reason.clone())))
}
