//! `muster explain`: why each cluster has its number, and what an object waits for.

mod blocked;

use std::collections::BTreeMap;
use std::process::ExitCode;

use kube::api::{Api, ListParams};
use muster_crds::core_kubefed::KubeFedCluster;
use muster_crds::scheduling::ReplicaSchedulingPreference;
use muster_crds::{ClusterName, Condition, FederatedGameStatefulSet, GameStatefulSet};
use muster_planner::{Fleet, Intent, Inventory, Observed, Plan, Settings, input, plan};
use serde::Serialize;

use crate::args::Connection;
use crate::clients::Connected;
use crate::error::CliError;
use crate::status::{self, view};
use crate::{clients, output};

use blocked::Blocked;

/// Why an object is as it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    kind: &'static str,
    namespace: String,
    name: String,
    summary: String,
    clusters: Vec<ClusterExplanation>,
    #[serde(flatten)]
    blocked: Blocked,
    conditions: Vec<Condition>,
}

/// Why one cluster has its number.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterExplanation {
    name: String,
    replicas: i64,
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    waiting: String,
    #[serde(flatten)]
    blocked: Blocked,
}

pub(crate) async fn run(connection: &Connection, target: &str) -> Result<ExitCode, CliError> {
    let (kind, name) = target.split_once('/').filter(|(_, name)| !name.is_empty()).ok_or_else(|| {
        CliError::Input(format!("{target:?} is not KIND/NAME, such as federatedgamestatefulset/gamecenter"))
    })?;
    let explanation = match kind.to_ascii_lowercase().as_str() {
        "federatedgamestatefulset" | "federatedgamestatefulsets" => {
            let connected = clients::hub(connection).await?;
            federated(connection, &connected, connection.namespace.as_deref(), name).await?
        }
        "gamestatefulset" | "gamestatefulsets" => {
            let connected = clients::current(connection).await?;
            set(&connected, connection.namespace.as_deref(), name).await?
        }
        _ => {
            return Err(CliError::Input(format!(
                "cannot explain the kind {kind:?}; known are federatedgamestatefulset and gamestatefulset"
            )));
        }
    };
    output::result(connection.output, &explanation, table)?;
    Ok(ExitCode::SUCCESS)
}

async fn federated(
    connection: &Connection,
    connected: &Connected,
    namespace: Option<&str>,
    name: &str,
) -> Result<Explanation, CliError> {
    let object = status::find(connected, namespace, name).await?;
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let preference = preference(connected, &namespace, name).await?;
    let fleet = fleet(connected).await?;
    let stated = object.status.clone().unwrap_or_default();
    let clusters = match reasons(&object, preference.as_ref(), &fleet) {
        Ok(reasons) => reasons,
        Err(message) => {
            return Ok(Explanation {
                kind: "FederatedGameStatefulSet",
                namespace,
                name: name.to_owned(),
                summary: format!("cannot be planned: {message}"),
                clusters: Vec::new(),
                blocked: Blocked::default(),
                conditions: stated.conditions,
            });
        }
    };
    let rows = view::cluster_rows(&object, None);
    let mut explained = Vec::new();
    for (cluster, (replicas, reasons)) in clusters {
        let row = rows.iter().find(|row| row.cluster == cluster);
        explained.push(ClusterExplanation {
            waiting: row.map(|row| row.note.clone()).unwrap_or_default(),
            replicas: i64::from(replicas),
            reasons,
            blocked: reported(connection, &cluster, &namespace, name).await,
            name: cluster,
        });
    }
    let clusters = explained;
    let planned: i64 = clusters.iter().map(|cluster| cluster.replicas).sum();
    let summary = format!(
        "{planned} replicas planned, {} ready, in {} clusters",
        stated.ready_replicas,
        clusters.len()
    );
    let conditions = stated.conditions;
    Ok(Explanation {
        kind: "FederatedGameStatefulSet",
        namespace,
        name: name.to_owned(),
        summary,
        clusters,
        blocked: Blocked::default(),
        conditions,
    })
}

/// What a member reported of its set, as the hub shows it in the member's view; nothing where the kubeconfig has no
/// context for that, or the hub no report.
async fn reported(connection: &Connection, cluster: &str, namespace: &str, name: &str) -> Blocked {
    let Ok(Some(view)) = clients::view(connection, cluster).await else { return Blocked::default() };
    let api: Api<GameStatefulSet> = Api::namespaced(view.client, namespace);
    match api.get_opt(name).await {
        Ok(set) => Blocked::of(set.and_then(|set| set.status).unwrap_or_default(), view::now()),
        Err(error) => {
            tracing::warn!(cluster, %error, "what the member reported cannot be read");
            Blocked::default()
        }
    }
}

/// Each cluster's number with its reasons: those of the plan as it stands, and, where a division from
/// nothing would come out the same, how that divides.
fn reasons(
    object: &FederatedGameStatefulSet,
    preference: Option<&ReplicaSchedulingPreference>,
    fleet: &Fleet,
) -> Result<BTreeMap<String, (u32, Vec<String>)>, String> {
    let parsed = input::federated(object).map_err(|error| error.to_string())?;
    let preference = preference.map(input::preference).transpose().map_err(|error| error.to_string())?;
    let recorded = input::recorded(&object.status.clone().unwrap_or_default());
    let first_seen = object.metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default();
    let standing = Observed {
        seats: recorded.seats,
        basis: recorded.basis,
        removing: recorded.removing,
        first_seen,
        ..Observed::default()
    };
    let nothing: BTreeMap<ClusterName, Inventory> =
        fleet.clusters.keys().map(|name| (name.clone(), Inventory::Nothing)).collect();
    let fresh = Observed { inventory: nothing, first_seen, ..Observed::default() };
    let settings = Settings { plan_delay: jiff::SignedDuration::ZERO };
    let now = view::now();
    let made = |observed: &Observed| plan(fleet, &parsed, preference.as_ref(), observed, &settings, now);
    let (standing, fresh) = (made(&standing), made(&fresh));
    let words = |plan: &Plan, name: &ClusterName| -> Vec<String> {
        let reasons = plan.clusters.get(name).map(|cluster| cluster.reasons.as_slice()).unwrap_or_default();
        reasons.iter().map(ToString::to_string).collect()
    };
    let explained = standing.clusters.iter().map(|(name, cluster)| {
        let divided = fresh.clusters.get(name);
        let mut reasons = words(&standing, name);
        match divided {
            Some(divided) if divided.replicas == cluster.replicas => {
                let known = reasons.clone();
                reasons.extend(words(&fresh, name).into_iter().filter(|reason| !known.contains(reason)));
            }
            Some(divided) if matches!(divided.intent, Intent::Apply(_)) => {
                reasons.push(format!("a division from nothing would give it {}", divided.replicas));
            }
            _ => {}
        }
        (name.to_string(), (cluster.replicas, reasons))
    });
    Ok(explained.collect())
}

async fn preference(
    connected: &Connected,
    namespace: &str,
    name: &str,
) -> Result<Option<ReplicaSchedulingPreference>, CliError> {
    let api: Api<ReplicaSchedulingPreference> = Api::namespaced(connected.client.clone(), namespace);
    let what = format!("replicaschedulingpreference {namespace}/{name}");
    api.get_opt(name).await.map_err(|error| CliError::api(what, &error))
}

async fn fleet(connected: &Connected) -> Result<Fleet, CliError> {
    let api: Api<KubeFedCluster> = Api::all(connected.client.clone());
    let list = api.list(&ListParams::default()).await;
    let clusters = list.map_err(|error| CliError::api("kubefedclusters", &error))?.items;
    let members = clusters.iter().filter_map(|cluster| {
        let name = ClusterName::new(cluster.metadata.name.as_deref()?).ok()?;
        Some((name, input::member(cluster, input::contact(cluster))))
    });
    Ok(Fleet { clusters: members.collect(), ..Fleet::default() })
}

async fn set(connected: &Connected, namespace: Option<&str>, name: &str) -> Result<Explanation, CliError> {
    let namespace = namespace.unwrap_or(&connected.default_namespace).to_owned();
    let api: Api<GameStatefulSet> = Api::namespaced(connected.client.clone(), &namespace);
    let what = format!("gamestatefulset {namespace}/{name} in context {:?}", connected.context);
    let object = api.get(name).await.map_err(|error| CliError::api(what, &error))?;
    let mut status = object.status.unwrap_or_default();
    let conditions = std::mem::take(&mut status.conditions);
    let summary = format!(
        "{} replicas, {} ready, {} at the latest revision, {} of these ready",
        status.replicas, status.ready_replicas, status.updated_replicas, status.updated_ready_replicas
    );
    Ok(Explanation {
        kind: "GameStatefulSet",
        namespace,
        name: name.to_owned(),
        summary,
        clusters: Vec::new(),
        blocked: Blocked::of(status, view::now()),
        conditions,
    })
}

fn table(explanation: &Explanation) -> String {
    let Explanation { kind, namespace, name, summary, clusters, blocked, conditions } = explanation;
    let mut lines = vec![format!("{kind} {namespace}/{name}: {summary}")];
    for cluster in clusters {
        lines.push(String::new());
        lines.push(format!("{}: {}", cluster.name, cluster.replicas));
        lines.extend(cluster.reasons.iter().map(|reason| format!("  {reason}")));
        if !cluster.waiting.is_empty() {
            lines.push(format!("  waits: {}", cluster.waiting));
        }
        lines.extend(cluster.blocked.lines().iter().map(|line| format!("  {line}")));
    }
    let blocked = blocked.lines();
    if !blocked.is_empty() {
        lines.extend([String::new(), "Does not move:".to_owned()]);
        lines.extend(blocked.iter().map(|line| format!("  {line}")));
    }
    if !conditions.is_empty() {
        lines.extend([String::new(), "Conditions:".to_owned()]);
    }
    for condition in conditions {
        let detail: Vec<&str> =
            [&condition.reason, &condition.message].into_iter().flatten().map(String::as_str).collect();
        let line = format!("  {} {}  {}", condition.type_, condition.status, detail.join(": "));
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n") + "\n"
}
