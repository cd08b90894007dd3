//! `muster status`: what each federated object has in every cluster.

pub(crate) mod view;

use std::process::ExitCode;
use std::sync::Arc;

use kube::api::{Api, ListParams};
use muster_crds::FederatedGameStatefulSet;

use crate::args::Connection;
use crate::error::CliError;
use crate::{clients, output};

pub(crate) async fn run(connection: &Connection, name: Option<&str>) -> Result<ExitCode, CliError> {
    let connected = clients::hub(connection).await?;
    let namespace = connection.namespace.as_deref();
    let objects = if let Some(name) = name {
        vec![find(&connected, namespace, name).await?]
    } else {
        let list = api(&connected, namespace).list(&ListParams::default()).await;
        let what = || format!("cannot list federatedgamestatefulsets in context {:?}", connected.context);
        list.map_err(|error| CliError::api(what(), &error))?.items
    };
    let objects: Vec<Arc<_>> = objects.into_iter().map(Arc::new).collect();
    let rows = view::rows(&objects, view::now());
    if rows.is_empty() && connection.output == crate::args::Format::Table {
        output::line("there are no federated objects");
        return Ok(ExitCode::SUCCESS);
    }
    output::result(connection.output, &rows, |rows| view::table(rows))?;
    Ok(ExitCode::SUCCESS)
}

/// The federated object of this name: in `namespace`, or, where none was given, in the only
/// namespace that has one.
pub(crate) async fn find(
    connected: &clients::Connected,
    namespace: Option<&str>,
    name: &str,
) -> Result<FederatedGameStatefulSet, CliError> {
    let what = format!("federatedgamestatefulset {name:?}");
    let objects = api(connected, namespace);
    if namespace.is_some() {
        return objects.get(name).await.map_err(|error| CliError::api(what, &error));
    }
    let named = ListParams::default().fields(&format!("metadata.name={name}"));
    let mut found = objects.list(&named).await.map_err(|error| CliError::api(what.clone(), &error))?.items;
    match found.len() {
        0 => Err(CliError::Input(format!("there is no {what} in any namespace"))),
        1 => Ok(found.remove(0)),
        _ => {
            let namespaces: Vec<String> =
                found.iter().filter_map(|object| object.metadata.namespace.clone()).collect();
            Err(CliError::Input(format!(
                "there is a {what} in several namespaces ({}); choose one with --namespace",
                namespaces.join(", ")
            )))
        }
    }
}

fn api(connected: &clients::Connected, namespace: Option<&str>) -> Api<FederatedGameStatefulSet> {
    match namespace {
        Some(namespace) => Api::namespaced(connected.client.clone(), namespace),
        None => Api::all(connected.client.clone()),
    }
}
