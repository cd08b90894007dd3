//! Why a plan is as it is: reasons, conditions and waits, in words for a person.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// Longest text of one message, in characters. Messages quote what users wrote, which may be long.
const MESSAGE_CHARS: usize = 512;
/// How many names a message lists before it says how many more there are.
const LISTED: usize = 5;

/// One reason for what a cluster gets, or does not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What kind of reason.
    pub code: ReasonCode,
    /// The reason in words, with its numbers.
    pub message: String,
}

impl Reason {
    /// A reason; a message that is too long is cut.
    pub fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        Self { code, message: clipped(message.into()) }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// The kinds of reasons. Their spelling is part of status, views and `muster plan -o json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonCode {
    /// Seats came by the highest quotient of weight and seats.
    Weight,
    /// Seats were taken at the lowest quotient.
    Shrunk,
    /// Seats stay because nothing that runs is moved.
    Kept,
    /// The minimum of the preference decides.
    MinReplicas,
    /// The minimum of the preference is not met.
    MinUnmet,
    /// The maximum of the preference decides.
    MaxReplicas,
    /// The room that the member reported decides.
    Capacity,
    /// Seats that never found a node were granted to other clusters.
    Regranted,
    /// The preference has no entry for the cluster.
    NoPreferenceEntry,
    /// kubefed's algorithm gave this number.
    Kubefed,
    /// kubefed's algorithm requests replicas in a full cluster.
    Overflow,
    /// Every placed cluster gets all replicas.
    Duplicated,
    /// The preference was deleted, and the seats stay.
    PreferenceRemoved,
    /// The user's overrides set the number.
    Pinned,
    /// No contact: the cluster keeps its seats.
    Lost,
    /// The cluster is not registered any more, and keeps its seats.
    NotRegistered,
    /// A person gave up the seats of a lost cluster.
    SeatsReleased,
    /// The cluster has no recorded seats and starts from what it holds.
    FromInventory,
    /// The cluster has not yet reported what it holds.
    AwaitingInventory,
    /// The object or the cluster is suspended.
    Suspended,
    /// Waiting for a preference that may follow its object.
    PlanDelay,
    /// What the user wrote cannot be used.
    InvalidInput,
    /// The members own the number of replicas.
    RetainReplicas,
    /// The kind has no replicas.
    NoReplicas,
    /// The cluster is not in the placement any more.
    LeftPlacement,
    /// The namespace's own placement leaves the cluster out.
    NamespacePlacement,
    /// The federated object is being deleted.
    Deleting,
}

impl ReasonCode {
    /// The code as one CamelCase word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Weight => "Weight",
            Self::Shrunk => "Shrunk",
            Self::Kept => "Kept",
            Self::MinReplicas => "MinReplicas",
            Self::MinUnmet => "MinUnmet",
            Self::MaxReplicas => "MaxReplicas",
            Self::Capacity => "Capacity",
            Self::Regranted => "Regranted",
            Self::NoPreferenceEntry => "NoPreferenceEntry",
            Self::Kubefed => "Kubefed",
            Self::Overflow => "Overflow",
            Self::Duplicated => "Duplicated",
            Self::PreferenceRemoved => "PreferenceRemoved",
            Self::Pinned => "Pinned",
            Self::Lost => "Lost",
            Self::NotRegistered => "NotRegistered",
            Self::SeatsReleased => "SeatsReleased",
            Self::FromInventory => "FromInventory",
            Self::AwaitingInventory => "AwaitingInventory",
            Self::Suspended => "Suspended",
            Self::PlanDelay => "PlanDelay",
            Self::InvalidInput => "InvalidInput",
            Self::RetainReplicas => "RetainReplicas",
            Self::NoReplicas => "NoReplicas",
            Self::LeftPlacement => "LeftPlacement",
            Self::NamespacePlacement => "NamespacePlacement",
            Self::Deleting => "Deleting",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Types of the conditions a plan can carry. All but `Planned` are given only while they hold.
pub mod condition {
    /// Every replica has a cluster.
    pub const PLANNED: &str = muster_crds::keys::condition::PLANNED;
    /// A minimum could only be met by moving seats, which planning does not do.
    pub const MOVE_WANTED: &str = "MoveWanted";
    /// The preference asks for a rebalance, and the fresh division differs from the seats.
    pub const REBALANCE_NOT_APPLIED: &str = "RebalanceNotApplied";
    /// Names of clusters that are not registered.
    pub const UNKNOWN_CLUSTERS: &str = "UnknownClusters";
    /// Pinned and frozen clusters hold more seats than the total.
    pub const PINS_EXCEED_TOTAL: &str = "PinsExceedTotal";
    /// Placed clusters that the preference says nothing about.
    pub const NO_PREFERENCE_ENTRY: &str = "NoPreferenceEntry";
    /// A preference divides replicas that the members own.
    pub const REPLICAS_RETAINED: &str = "ReplicasRetained";
    /// A minimum is not met.
    pub const MIN_UNMET: &str = "MinUnmet";
}

/// A condition for the status of the federated object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanCondition {
    /// Type; see [`condition`].
    pub type_: &'static str,
    /// Whether it holds.
    pub status: bool,
    /// Why, as one CamelCase word.
    pub reason: &'static str,
    /// Why, in words, naming object and field where the user has something to correct.
    pub message: String,
}

impl PlanCondition {
    pub(crate) fn new(
        type_: &'static str,
        status: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status, reason, message: clipped(message.into()) }
    }
}

/// What a plan waits for, although nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When to plan again at the latest.
    pub until: Timestamp,
    /// What for.
    pub reason: Reason,
}

/// Names for a message: the first few, and how many more.
pub(crate) fn listed<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter();
    let text = names.by_ref().take(LISTED).map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn clipped(message: String) -> String {
    match message.char_indices().nth(MESSAGE_CHARS) {
        None => message,
        Some((at, _)) => format!("{}...", &message[..at]),
    }
}
