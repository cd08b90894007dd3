//! The status of a federated object, computed from what is planned, shown and reported.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use muster_crds::conditions::{self, Condition};
use muster_crds::keys::{condition, reason, word};
use muster_crds::names::ClusterName;
use muster_crds::types_kubefed::{ClusterStatus, FederatedStatus, PlanStatus};
use muster_planner::{Contact, ReasonCode};
use serde::Deserialize;
use serde_json::Value;

use super::cause::{self, Cause};
use super::input::{Head, settled, stamp};
use super::intent::{Hold, Intent};
use super::report::Held;
use super::view::Entry;

/// The most clusters that are listed one by one; the others are counted.
pub(super) const MAX_ROWS: usize = 100;

/// The most clusters that a message names.
const MAX_NAMED: usize = 5;

/// The longest message of a row or a condition.
const MAX_MESSAGE_BYTES: usize = 1024;

/// How long an agent may take to answer before that is called a timeout, as in kubefed.
pub(super) const ANSWER_TIMEOUT: SignedDuration = SignedDuration::from_secs(30);

/// Word of a cluster that has not answered yet. kubefed has none for this: it shows a timeout at once.
pub const PENDING: &str = "Pending";

/// Reason of numbers that were stored by an earlier hub and not reported since.
pub const STALE: &str = "Stale";

/// Message for numbers that were reported, but not since the member or the hub is back.
const INHERITED: &str = "not reported again yet; the numbers are those of before";

/// What is known of one cluster of one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowInput<'a> {
    /// The cluster.
    pub name: &'a ClusterName,
    /// Its seats; `None` when it is not planned.
    pub planned: Option<u32>,
    /// What its view shows.
    pub entry: Option<&'a Entry>,
    /// When that was first shown.
    pub shown_at: Option<Timestamp>,
    /// What it reported.
    pub report: Option<&'a Held>,
    /// Whether it is to remove the object, be that shown already or not.
    pub leaving: bool,
    /// Its contact.
    pub contact: Contact,
    /// Why it has seats although it is not registered any more, where that is so.
    pub unregistered: Option<&'a str>,
    /// Whether its overrides cannot be used.
    pub override_failed: bool,
}

/// What a status is computed from.
#[derive(Debug)]
pub(super) struct StatusInput<'a> {
    /// Metadata of the object.
    pub head: &'a Head,
    /// What members get, before patches.
    pub template: &'a Value,
    /// The status as stored now.
    pub live: &'a FederatedStatus,
    /// The status that this hub found when it started.
    pub found: &'a FederatedStatus,
    /// What is to be recorded of the plan; `None` before the first.
    pub plan: Option<PlanStatus>,
    /// Seats that found no cluster.
    pub shortage: u64,
    /// What the planner has to say.
    pub conditions: &'a [Condition],
    /// Names of clusters that nobody registered, by the field that names them.
    pub unknown: Vec<String>,
    /// Why planning waits.
    pub wait: Option<&'a str>,
    /// Every cluster that is planned or still holds the object.
    pub rows: Vec<RowInput<'a>>,
    /// Whether numbers of an earlier hub are old enough to be called stale.
    pub stale: bool,
}

/// One cluster, judged.
struct Row {
    status: ClusterStatus,
    in_sync: bool,
    healthy: bool,
    failed: bool,
}

/// Computes the status.
pub(super) fn status(input: &StatusInput<'_>, now: Timestamp) -> FederatedStatus {
    let rows: Vec<Row> = input.rows.iter().map(|row| judge(row, input, now)).collect();
    let sum = |field: fn(&ClusterStatus) -> Option<i64>| {
        rows.iter().filter_map(|row| field(&row.status)).fold(0, i64::saturating_add)
    };
    let planned = input
        .plan
        .as_ref()
        .map(|plan| plan.seats.values().fold(0, |sum: i64, seats| sum.saturating_add(*seats)));
    let count = input.rows.iter().filter(|row| row.planned.is_some()).count();
    let (clusters, omitted) = bounded(&rows);
    FederatedStatus {
        observed_generation: Some(input.head.generation),
        replicas: sum(|row| row.replicas),
        ready_replicas: sum(|row| row.ready_replicas),
        updated_replicas: sum(|row| row.updated_replicas),
        planned_replicas: planned.unwrap_or(0),
        label_selector: selector_text(input.template),
        plan: input.plan.clone(),
        conditions: conditions_of(input, &rows, now),
        cluster_count: Some(count as i64),
        clusters,
        clusters_omitted: (omitted > 0).then_some(omitted as i64),
        malformed: Vec::new(),
    }
}

/// Whether writing `wanted` over `stored` would change more than ages.
pub(super) fn differs(stored: &FederatedStatus, wanted: &FederatedStatus) -> bool {
    let ageless = |status: &FederatedStatus| {
        let mut status = status.clone();
        status.conditions = settled(&status.conditions);
        for row in &mut status.clusters {
            row.last_report_time = None;
        }
        status
    };
    ageless(stored) != ageless(wanted)
}

fn judge(row: &RowInput<'_>, input: &StatusInput<'_>, now: Timestamp) -> Row {
    let found = input.found.clusters.iter().find(|stored| stored.name == row.name.as_str());
    let mut status = ClusterStatus {
        name: row.name.to_string(),
        planned: row.planned.map(i64::from),
        ..ClusterStatus::default()
    };
    let live = input.live.clusters.iter().find(|live| live.name == row.name.as_str());
    // A member that was registered again has reported before, though not since.
    let stored = found.or_else(|| live.filter(|live| live.last_report_time.is_some()));
    numbers(&mut status, row, stored);
    if row.report.is_some() {
        status.observed_generation = live.and_then(|live| live.observed_generation);
    }
    let inherited = row.report.is_none() && found.is_some();
    let intent = row.entry.map(|entry| &entry.intent);
    let mut say = |word: &str, reason: &str, message: &str| {
        let some = |text: &str| (!text.is_empty()).then(|| cut(text));
        status.status = some(word);
        status.reason = some(reason);
        status.message = some(message);
    };
    let reported = row.report.map_or(word::IN_SYNC, |held| held.said.word.as_str());
    let details = row.report.map_or("", |held| held.said.message.as_str());
    let mut in_sync = false;
    let mut failed = false;
    match intent {
        _ if row.unregistered.is_some() => {
            failed = true;
            let why = row.unregistered.unwrap_or_default();
            say(word::CLUSTER_NOT_READY, ReasonCode::NotRegistered.as_str(), why);
        }
        // The word stands in status from the write that takes the seats away: it is the memory of the removal.
        _ if row.leaving && row.contact == Contact::Lost => {
            say(
                word::WAITING_FOR_REMOVAL,
                word::CLUSTER_NOT_READY,
                "the cluster is away; it is removed when it returns",
            );
        }
        _ if row.leaving => {
            failed = is_failure(reported);
            let word = if failed { reported } else { word::WAITING_FOR_REMOVAL };
            say(word, "", details);
        }
        _ if row.contact == Contact::Lost => {
            failed = true;
            say(
                word::CLUSTER_NOT_READY,
                reason::CLUSTER_NOT_REACHABLE,
                "nothing is heard of the cluster; its seats are kept",
            );
        }
        Some(Intent::Hold(hold)) => {
            let word = held_word(hold, row.override_failed);
            failed = word != PENDING;
            say(word, &hold.code, &hold.message);
        }
        Some(Intent::Apply(desired)) => match row.report {
            Some(held) if !held.said.word.is_empty() => {
                failed = is_failure(reported);
                say(reported, "", details);
            }
            Some(held) if held.said.applied_hash == desired.hash => {
                in_sync = true;
                status.observed_generation = Some(input.head.generation);
            }
            Some(_) => {
                let late = row.shown_at.is_some_and(|shown| now.duration_since(shown) >= ANSWER_TIMEOUT);
                failed = late;
                let word = if late { word::UPDATE_TIMED_OUT } else { PENDING };
                say(word, "Applying", "the cluster has not taken the newest version yet");
            }
            None => match found {
                // Numbers of an earlier hub for this very generation stand until the member reports again.
                Some(stored)
                    if input.found.observed_generation == Some(input.head.generation)
                        && !is_about_contact(stored) =>
                {
                    in_sync = stored.status.is_none();
                    failed = stored.status.as_deref().is_some_and(is_failure);
                    status.status.clone_from(&stored.status);
                    status.reason.clone_from(&stored.reason);
                    status.message.clone_from(&stored.message);
                }
                _ if stored.is_some() => say(PENDING, "NotReported", INHERITED),
                _ => {
                    let late = row.shown_at.is_some_and(|shown| now.duration_since(shown) >= ANSWER_TIMEOUT);
                    failed = late;
                    let word = if late { word::CREATION_TIMED_OUT } else { PENDING };
                    say(word, "NotReported", "the cluster has not answered yet");
                }
            },
        },
        Some(Intent::Remove(_)) | None => {
            say(PENDING, "NotPlanned", input.wait.unwrap_or("the plan is not recorded yet"));
        }
    }
    if inherited && input.stale && row.contact != Contact::Lost {
        status.reason = Some(STALE.to_owned());
        status.message =
            Some("not reported since the hub started; the numbers are those of before".to_owned());
    }
    let healthy = in_sync && is_healthy(row, &status);
    if in_sync
        && !healthy
        && let Some(held) = row.report
    {
        let cause = cause::of(&held.said).unwrap_or_else(|| Cause::counted(counted(&status)));
        failed |= cause.failed;
        status.reason = Some(cause.reason);
        status.message = Some(cut(&cause.message));
    }
    Row { status, in_sync, healthy, failed }
}

/// `3 of 5 ready, 2 updated`.
fn counted(row: &ClusterStatus) -> String {
    let number = |number: Option<i64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let (ready, planned, updated) =
        (number(row.ready_replicas), number(row.planned), number(row.updated_replicas));
    format!("{ready} of {planned} ready, {updated} updated")
}

/// Fills in the counters: what was reported, or what was stored before this hub started.
fn numbers(status: &mut ClusterStatus, row: &RowInput<'_>, stored: Option<&ClusterStatus>) {
    if let Some(held) = row.report {
        let numbers = held.said.numbers;
        status.replicas = Some(numbers.replicas);
        status.ready_replicas = Some(numbers.ready);
        status.updated_replicas = Some(numbers.updated);
        status.last_report_time = Some(Time(held.at));
    } else if let Some(stored) = stored {
        status.replicas = stored.replicas;
        status.ready_replicas = stored.ready_replicas;
        status.updated_replicas = stored.updated_replicas;
        status.last_report_time.clone_from(&stored.last_report_time);
        status.observed_generation = stored.observed_generation;
    }
}

/// Whether a word only said that a member did not answer, which may be over.
fn is_about_contact(stored: &ClusterStatus) -> bool {
    let over = [word::CLUSTER_NOT_READY, word::CREATION_TIMED_OUT, word::UPDATE_TIMED_OUT];
    stored.status.as_deref().is_some_and(|word| over.contains(&word))
}

/// Whether every planned pod of a cluster in sync is there, of the newest revision, and ready.
fn is_healthy(row: &RowInput<'_>, status: &ClusterStatus) -> bool {
    if row.report.is_some_and(|held| !held.said.is_current()) {
        return false;
    }
    // Where the member owns the number of replicas, its own number is what is wanted.
    let retained = matches!(row.entry.map(|entry| &entry.intent), Some(Intent::Apply(desired)) if !desired.retain.is_empty());
    let wanted = if retained { status.replicas } else { status.planned };
    status.replicas == wanted && status.ready_replicas == wanted && status.updated_replicas == wanted
}

/// kubefed's word for why a cluster is held, where it has one.
fn held_word(hold: &Hold, override_failed: bool) -> &'static str {
    match hold.code.as_str() {
        "InvalidInput" if override_failed => word::APPLY_OVERRIDES_FAILED,
        "InvalidInput" | word::COMPUTE_RESOURCE_FAILED => word::COMPUTE_RESOURCE_FAILED,
        _ => PENDING,
    }
}

/// Whether a word says that something went wrong, and not only that it goes on.
fn is_failure(said: &str) -> bool {
    !matches!(said, word::IN_SYNC | word::WAITING_FOR_REMOVAL | PENDING)
}

fn conditions_of(input: &StatusInput<'_>, rows: &[Row], now: Timestamp) -> Vec<Condition> {
    let planner = |type_: &str| conditions::find(input.conditions, type_).cloned();
    let out_of_sync = named(rows.iter().filter(|row| !row.in_sync));
    let failed = named(rows.iter().filter(|row| row.failed));
    let unhealthy = named(rows.iter().filter(|row| !row.healthy));
    let removing = rows.iter().any(|row| row.status.status.as_deref() == Some(word::WAITING_FOR_REMOVAL));

    let propagation = planner(condition::PROPAGATION).unwrap_or_else(|| match &out_of_sync {
        Some(clusters) => Condition::new(condition::PROPAGATION, false, reason::CHECK_CLUSTERS, clusters),
        None if input.wait.is_some() => Condition::new(
            condition::PROPAGATION,
            false,
            reason::CHECK_CLUSTERS,
            input.wait.unwrap_or_default(),
        ),
        None => Condition::new(condition::PROPAGATION, true, "Propagated", ""),
    });
    let planned = planner(condition::PLANNED).unwrap_or_else(|| match input.wait {
        Some(wait) => Condition::new(condition::PLANNED, false, "Waiting", wait),
        None if input.shortage > 0 => Condition::new(
            condition::PLANNED,
            false,
            "Shortage",
            format!("{} replicas have no cluster", input.shortage),
        ),
        None => Condition::new(condition::PLANNED, true, "Planned", "every replica has a cluster"),
    });
    let ready = if input.head.deletion.is_some() {
        Condition::new(condition::READY, false, "Deleting", unhealthy.unwrap_or_default())
    } else if !input.unknown.is_empty() {
        let message = format!("no such cluster is registered: {}", input.unknown.join("; "));
        Condition::new(condition::READY, false, "UnknownClusters", message)
    } else if planned.status != "True"
        && planned.reason.as_deref() != Some(ReasonCode::PreferenceRemoved.as_str())
    {
        // Seats that stay after their preference was deleted are a state to run in; any other reason is not.
        Condition::new(condition::READY, false, "NotPlanned", planned.message.clone().unwrap_or_default())
    } else if propagation.status != "True" && out_of_sync.is_none() {
        Condition::new(
            condition::READY,
            false,
            "NotPropagated",
            propagation.message.clone().unwrap_or_default(),
        )
    } else if let Some(clusters) = unhealthy {
        let reason =
            if removing && out_of_sync.is_some() && failed.is_none() { "Removing" } else { "Progressing" };
        Condition::new(condition::READY, false, reason, clusters)
    } else {
        Condition::new(condition::READY, true, "Ready", "every planned replica is ready and updated")
    };
    let degraded = planner(condition::DEGRADED).unwrap_or_else(|| match &failed {
        Some(clusters) => Condition::new(condition::DEGRADED, true, reason::CHECK_CLUSTERS, clusters),
        None if !input.unknown.is_empty() => {
            let message = format!("no such cluster is registered: {}", input.unknown.join("; "));
            Condition::new(condition::DEGRADED, true, "UnknownClusters", message)
        }
        None => Condition::new(condition::DEGRADED, false, "AsExpected", ""),
    });

    let mut wanted = vec![propagation, ready, planned, degraded];
    let mut others: Vec<Condition> = input
        .conditions
        .iter()
        .filter(|other| !wanted.iter().any(|known| known.type_ == other.type_))
        .cloned()
        .collect();
    others.sort_by(|a, b| a.type_.cmp(&b.type_));
    wanted.extend(others);
    let mut result: Vec<Condition> = Vec::with_capacity(wanted.len());
    for condition in wanted {
        result.extend(conditions::find(&input.live.conditions, &condition.type_).cloned());
        let message = condition.message.as_deref().map(cut);
        let condition = Condition { message, ..condition.observed(Some(input.head.generation)) };
        conditions::set_condition(&mut result, condition, stamp(now));
    }
    result
}

/// `shanghai-cluster: AlreadyExists; nanjing-cluster: Pending`, or `None` for no row.
fn named<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<String> {
    let mut texts = Vec::new();
    let mut more = 0;
    for row in rows {
        if texts.len() == MAX_NAMED {
            more += 1;
            continue;
        }
        let ClusterStatus { name, status, message, reason, .. } = &row.status;
        let what = match (status, reason, message) {
            (Some(word), _, Some(message)) => format!("{word}: {message}"),
            (Some(word), Some(reason), None) => format!("{word}: {reason}"),
            (Some(word), None, None) => word.clone(),
            (None, Some(reason), Some(message)) if reason != cause::COUNTED && reason != STALE => {
                // Messages of members mostly name the reason themselves, behind the pod.
                let named = if message.contains(reason.as_str()) { "" } else { &format!("{reason}: ") };
                format!("{}; {named}{message}", counted(&row.status))
            }
            (None, _, _) => counted(&row.status),
        };
        texts.push(format!("{name}: {what}"));
    }
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// At most [`MAX_ROWS`] rows, in the order of names; those that are still to be removed or have trouble come first when
/// there are too many, since a row that waits for removal is also the memory of it.
fn bounded(rows: &[Row]) -> (Vec<ClusterStatus>, usize) {
    let mut order: Vec<&Row> = rows.iter().collect();
    if order.len() > MAX_ROWS {
        let rank = |row: &Row| match row.status.status.as_deref() {
            Some(word::WAITING_FOR_REMOVAL) => 0,
            Some(_) => 1,
            None => 2,
        };
        order.sort_by_key(|row| rank(row));
        order.truncate(MAX_ROWS);
        order.sort_by(|a, b| a.status.name.cmp(&b.status.name));
    }
    let kept: Vec<ClusterStatus> = order.into_iter().map(|row| row.status.clone()).collect();
    let omitted = rows.len() - kept.len();
    (kept, omitted)
}

/// The template's selector as text, for the scale sub-resource: `app=gamecenter,tier in (a,b)`.
fn selector_text(template: &Value) -> Option<String> {
    let selector = LabelSelector::deserialize(template.pointer("/spec/selector")?).ok()?;
    let labels = selector.match_labels.unwrap_or_default();
    let mut parts: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    for expression in selector.match_expressions.unwrap_or_default() {
        let values = expression.values.unwrap_or_default().join(",");
        let key = expression.key;
        parts.push(match expression.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key,
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        });
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_MESSAGE_BYTES {
        return text.to_owned();
    }
    let end = (0..=MAX_MESSAGE_BYTES - 3).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}
