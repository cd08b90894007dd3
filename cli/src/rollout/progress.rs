//! `muster rollout status`: how far an update is.

use std::process::ExitCode;
use std::time::Duration;

use muster_crds::conditions::find;
use muster_crds::keys::condition;
use muster_crds::{FederatedGameStatefulSet, GameStatefulSet};
use serde_json::json;
use tokio::time::Instant;

use super::{Kind, Object};
use crate::args::{Connection, Format};
use crate::error::CliError;
use crate::output;

/// How often the object is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How far an update is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Everything that is to be updated is.
    Complete(String),
    /// On its way, or waiting for somebody.
    Waiting(String),
    /// Without a change of the object it never completes.
    Stuck(String),
}

impl Progress {
    fn message(&self) -> &str {
        match self {
            Self::Complete(message) | Self::Waiting(message) | Self::Stuck(message) => message,
        }
    }
}

pub(super) async fn follow(
    connection: &Connection,
    object: &Object,
    watch: bool,
    timeout: Duration,
) -> Result<ExitCode, CliError> {
    let deadline = (!timeout.is_zero()).then(|| Instant::now() + timeout);
    let mut progress = of(&object.kind);
    let mut said = None;
    loop {
        let message = progress.message().to_owned();
        if connection.output == Format::Table && said.as_ref() != Some(&message) {
            output::line(&message);
            said = Some(message);
        }
        if !watch || !matches!(progress, Progress::Waiting(_)) {
            break;
        }
        let next = Instant::now() + LOOK;
        if let Some(deadline) = deadline.filter(|deadline| *deadline < next) {
            tokio::time::sleep_until(deadline).await;
            print(connection, object, &progress)?;
            return Err(CliError::Input(format!(
                "{object}: not complete after {timeout:?}: {}",
                progress.message()
            )));
        }
        tokio::time::sleep_until(next).await;
        progress = of(&object.refresh().await?);
    }
    print(connection, object, &progress)?;
    match progress {
        Progress::Stuck(message) => Err(CliError::Input(format!("{object}: {message}"))),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// The end as JSON or YAML.
fn print(connection: &Connection, object: &Object, progress: &Progress) -> Result<(), CliError> {
    if connection.output == Format::Table {
        return Ok(());
    }
    let value = json!({
        "namespace": object.namespace,
        "name": object.name,
        "complete": matches!(progress, Progress::Complete(_)),
        "stuck": matches!(progress, Progress::Stuck(_)),
        "message": progress.message(),
    });
    output::result(connection.output, &value, |_| String::new())
}

fn of(kind: &Kind) -> Progress {
    match kind {
        Kind::Set(set) => of_set(set),
        Kind::Federated(federated) => of_federated(federated),
    }
}

/// How far the update of a set is, from its status alone.
pub(super) fn of_set(set: &GameStatefulSet) -> Progress {
    let Some(status) = &set.status else {
        return Progress::Waiting("waiting for a controller to see it".into());
    };
    if status.observed_generation < set.metadata.generation {
        return Progress::Waiting("waiting for the controller to see the last change".into());
    }
    let said = |type_: &str| {
        let condition = find(&status.conditions, type_).filter(|condition| condition.is_true())?;
        Some((condition.reason.clone().unwrap_or_default(), condition.message.clone().unwrap_or_default()))
    };
    if let Some((_, message)) = said(condition::UPDATE_REFUSED) {
        return Progress::Stuck(format!("the update is refused: {message}"));
    }
    if let Some((reason, message)) =
        said(condition::INVALID_SPEC).filter(|(reason, _)| reason != "FieldIgnored")
    {
        return Progress::Stuck(format!("the spec cannot be followed ({reason}): {message}"));
    }
    let progressing = find(&status.conditions, condition::PROGRESSING);
    if let Some(late) = progressing.filter(|one| one.reason.as_deref() == Some("ProgressDeadlineExceeded")) {
        let message = late.message.clone().unwrap_or_default();
        return Progress::Stuck(format!("no progress within its deadline: {message}"));
    }
    let strategy = set.spec.update_strategy.clone().unwrap_or_default();
    let replicas = set.spec.replicas.unwrap_or(1);
    let updated = format!("{} of {replicas} pods are updated and ready", status.updated_ready_replicas);
    let waits = |what: String| {
        let why = progressing.and_then(|condition| condition.message.clone()).unwrap_or_default();
        let why = if why.is_empty() { why } else { format!(" ({why})") };
        Progress::Waiting(format!("{what}{why}"))
    };
    let steps = strategy.canary.as_ref().map_or(0, |canary| canary.steps.len());
    let index = status.current_step_index.unwrap_or_default();
    if steps > 0 && usize::try_from(index).unwrap_or_default() < steps {
        let pause = if status.pause_conditions.is_empty() { "is under way" } else { "is paused" };
        return waits(format!("canary step {index} of {steps} {pause}: {updated}"));
    }
    if status.current_revision == status.update_revision
        && status.updated_ready_replicas >= replicas
        && status.replicas == replicas
    {
        let revision = status.update_revision.clone().unwrap_or_default();
        return Progress::Complete(format!("complete: {replicas} pods at revision {revision}"));
    }
    // As kubectl has it, an update that its user wants in part is complete when that part is.
    let partition = strategy.rolling_update.and_then(|bounds| bounds.partition).filter(|_| steps == 0);
    let partition = partition
        .and_then(|partition| partition.resolve(replicas, muster_crds::int_or_percent::Rounding::Down).ok());
    if let Some(partition) = partition.filter(|partition| *partition > 0) {
        let wanted = (replicas - partition).max(0);
        if status.updated_ready_replicas >= wanted && status.ready_replicas >= replicas {
            return Progress::Complete(format!(
                "partitioned rollout complete: {} pods are updated, those below partition {partition} are not",
                status.updated_replicas
            ));
        }
    }
    waits(updated)
}

/// How far the update of a federated object is in all its clusters.
pub(super) fn of_federated(federated: &FederatedGameStatefulSet) -> Progress {
    let Some(status) = &federated.status else {
        return Progress::Waiting("waiting for the hub to see it".into());
    };
    if status.observed_generation < federated.metadata.generation {
        return Progress::Waiting("waiting for the hub to see the last change".into());
    }
    let behind: Vec<String> = status
        .clusters
        .iter()
        .filter_map(|cluster| {
            let planned = cluster.planned?;
            let (updated, ready) =
                (cluster.updated_replicas.unwrap_or_default(), cluster.ready_replicas.unwrap_or_default());
            let word = cluster.status.clone().unwrap_or_default();
            let late = cluster.observed_generation < federated.metadata.generation;
            (updated < planned || ready < planned || !word.is_empty() || late).then(|| {
                let why = cluster.message.clone().unwrap_or(word);
                let why = if why.is_empty() { why } else { format!(": {why}") };
                format!("{} ({updated} of {planned} updated, {ready} ready{why})", cluster.name)
            })
        })
        .collect();
    let propagated =
        find(&status.conditions, condition::PROPAGATION).is_some_and(muster_crds::Condition::is_true);
    if behind.is_empty() && propagated {
        return Progress::Complete(format!(
            "complete: {} pods in {} clusters",
            status.updated_replicas,
            status.clusters.len()
        ));
    }
    if behind.is_empty() {
        let condition = find(&status.conditions, condition::PROPAGATION);
        let why = condition.and_then(|condition| condition.message.clone()).unwrap_or_default();
        return Progress::Waiting(format!("waiting for the hub: {why}"));
    }
    Progress::Waiting(format!("waiting for {}", behind.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn set(edit: impl FnOnce(&mut Value)) -> Progress {
        let mut set = json!({
            "apiVersion": "tkex.tencent.com/v1alpha1",
            "kind": "GameStatefulSet",
            "metadata": {"name": "game", "namespace": "games", "generation": 4},
            "spec": {"replicas": 10, "serviceName": "game", "selector": {}, "template": {}},
            "status": {
                "observedGeneration": 4, "replicas": 10, "readyReplicas": 10, "currentReplicas": 10,
                "updatedReplicas": 10, "updatedReadyReplicas": 10, "currentRevision": "game-b",
                "updateRevision": "game-b",
            },
        });
        edit(&mut set);
        of_set(&serde_json::from_value(set).unwrap())
    }

    #[test]
    fn status_tells_complete_from_waiting_and_stuck() {
        assert_eq!(set(|_| {}), Progress::Complete("complete: 10 pods at revision game-b".into()));
        let waiting = |edit: fn(&mut Value), words: &str| {
            let progress = set(edit);
            let Progress::Waiting(message) = &progress else { panic!("{progress:?}") };
            assert!(message.contains(words), "{message}");
        };
        waiting(|set| set["status"] = Value::Null, "waiting for a controller");
        waiting(|set| set["metadata"]["generation"] = json!(5), "last change");
        waiting(|set| set["status"]["updatedReadyReplicas"] = json!(3), "3 of 10 pods");
        waiting(|set| set["status"]["currentRevision"] = json!("game-a"), "10 of 10");
        waiting(|set| set["status"]["replicas"] = json!(11), "10 of 10");
        let stuck = |type_: &str, reason: &str| {
            set(|set| {
                set["status"]["conditions"] = json!([{"type": type_, "status": "True", "reason": reason, "message": "spec.x: is wrong"}]);
            })
        };
        for (type_, reason) in [
            ("UpdateRefused", "UpdateRefused"),
            ("InvalidSpec", "TemplateRefused"),
            ("Progressing", "ProgressDeadlineExceeded"),
        ] {
            let progress = stuck(type_, reason);
            assert!(
                matches!(&progress, Progress::Stuck(message) if message.contains("spec.x")),
                "{progress:?}"
            );
        }
        assert!(matches!(stuck("InvalidSpec", "FieldIgnored"), Progress::Complete(_)));
    }

    #[test]
    fn status_of_a_part_is_complete_when_the_part_is() {
        let partitioned = |updated: i64| {
            set(|set| {
                set["spec"]["updateStrategy"] = json!({"rollingUpdate": {"partition": "75%"}});
                set["status"]["currentRevision"] = json!("game-a");
                set["status"]["updatedReplicas"] = json!(updated);
                set["status"]["updatedReadyReplicas"] = json!(updated);
            })
        };
        assert!(matches!(partitioned(2), Progress::Waiting(_)));
        assert!(matches!(partitioned(3), Progress::Complete(_)));
        let canary = |index: i64| {
            set(|set| {
                set["spec"]["updateStrategy"] =
                    json!({"canary": {"steps": [{"partition": 5}, {"pause": {}}]}});
                set["status"]["currentStepIndex"] = json!(index);
                set["status"]["pauseConditions"] = json!([{"reason": "PausedByCanaryPauseStep"}]);
            })
        };
        let progress = canary(1);
        assert!(
            matches!(&progress, Progress::Waiting(message) if message.contains("step 1 of 2 is paused")),
            "{progress:?}"
        );
        assert!(matches!(canary(2), Progress::Complete(_)));
    }

    #[test]
    fn status_of_a_federated_object_names_the_clusters_that_are_behind() {
        let federated = |updated: i64, propagated: &str| {
            let object = json!({
                "apiVersion": "types.kubefed.io/v1beta1",
                "kind": "FederatedGameStatefulSet",
                "metadata": {"name": "game", "namespace": "games", "generation": 2},
                "spec": {},
                "status": {
                    "observedGeneration": 2,
                    "updatedReplicas": 5,
                    "conditions": [{"type": "Propagation", "status": propagated}],
                    "clusters": [
                        {"name": "a", "planned": 3, "updatedReplicas": updated, "readyReplicas": 3, "observedGeneration": 2},
                        {"name": "b", "planned": 2, "updatedReplicas": 2, "readyReplicas": 2, "observedGeneration": 2},
                    ],
                },
            });
            of_federated(&serde_json::from_value(object).unwrap())
        };
        assert_eq!(federated(3, "True"), Progress::Complete("complete: 5 pods in 2 clusters".into()));
        assert_eq!(federated(1, "True"), Progress::Waiting("waiting for a (1 of 3 updated, 3 ready)".into()));
        assert!(matches!(federated(3, "False"), Progress::Waiting(_)));
    }
}
