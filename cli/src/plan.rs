//! `muster plan`: what the planner makes of manifests, without any cluster.

use std::path::Path;
use std::process::ExitCode;

use muster_crds::Namespace;
use muster_planner::offline::{self, Manifests, ObservedFile, PlannedObject};
use muster_sandbox::manifests::{self, Manifest};
use serde::de::DeserializeOwned;

use crate::args::{Connection, PlanOptions};
use crate::error::CliError;
use crate::output;
use crate::table::Table;

pub(crate) fn run(connection: &Connection, options: &PlanOptions) -> Result<ExitCode, CliError> {
    let read = manifests::read(&options.filename)?;
    let mut planned = Manifests { namespace: namespace(connection)?, ..Manifests::default() };
    for manifest in &read {
        match manifest.kind() {
            "KubeFedCluster" => planned.clusters.push(typed(manifest)?),
            "FederatedGameStatefulSet" => planned.objects.push(typed(manifest)?),
            "ReplicaSchedulingPreference" => planned.preferences.push(typed(manifest)?),
            // Other kinds may stand in the same files.
            _ => {}
        }
    }
    if planned.objects.is_empty() {
        return Err(CliError::Input("there is no FederatedGameStatefulSet in the manifests".to_owned()));
    }
    let observed = options.observed.as_deref().map(observed).transpose()?.unwrap_or_default();
    let outcome = offline::plan_manifests(&planned, &observed);
    outcome.errors.iter().for_each(|error| output::error(&error.to_string()));
    outcome.warnings.iter().for_each(|warning| output::warning(warning));
    if !outcome.plans.is_empty() {
        output::result(connection.output, &outcome.plans, |plans| table(plans))?;
    }
    Ok(if outcome.plans.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn namespace(connection: &Connection) -> Result<Option<Namespace>, CliError> {
    let namespace = connection.namespace.as_ref().map(Namespace::new).transpose();
    namespace.map_err(|error| CliError::Input(format!("--namespace: {error}")))
}

fn typed<K: DeserializeOwned>(manifest: &Manifest) -> Result<K, CliError> {
    serde_json::from_value(manifest.object.clone())
        .map_err(|error| CliError::Input(format!("{manifest} ({}): {error}", manifest.origin)))
}

fn observed(path: &Path) -> Result<ObservedFile, CliError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|error| {
        CliError::Input(format!(
            "{}: {error}; expected JSON such as {{\"shanghai\": {{\"replicas\": 10, \"capacity\": 50}}}}",
            path.display()
        ))
    })
}

fn table(plans: &[PlannedObject]) -> String {
    let mut table = Table::new(&["NAMESPACE", "NAME", "CLUSTER", "REPLICAS", "WHY"]);
    for plan in plans {
        let own = |cluster: &str, replicas: String, why: String| {
            [plan.namespace.clone(), plan.name.clone(), cluster.to_owned(), replicas, why]
        };
        for cluster in &plan.clusters {
            let mut reasons = cluster.reasons.iter().map(ToString::to_string);
            table.row(own(&cluster.name, cluster.replicas.to_string(), reasons.next().unwrap_or_default()));
            for reason in reasons {
                table.row([String::new(), String::new(), String::new(), String::new(), reason]);
            }
        }
        if plan.shortage > 0 {
            table.row(own("", plan.shortage.to_string(), "Shortage: these found no place".to_owned()));
        }
    }
    table.to_string()
}
