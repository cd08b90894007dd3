//! `muster rollout history`.

use muster_crds::GameStatefulSet;
use serde::Serialize;
use serde_json::{Value, json};

use super::revisions::{self, Stored};
use super::{Kind, Object};
use crate::args::{Connection, Format};
use crate::error::CliError;
use crate::output;
use crate::table::Table;

/// One revision.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    revision: i64,
    name: String,
    state: &'static str,
    images: String,
    created: Option<String>,
}

pub(super) async fn show(
    connection: &Connection,
    object: &Object,
    number: Option<i64>,
) -> Result<(), CliError> {
    let set = match &object.kind {
        Kind::Set(set) => set,
        Kind::Federated(_) => {
            return Err(CliError::Input(format!(
                "{object}: the hub keeps no older templates. Each member keeps its own: muster rollout history gamestatefulset/{} -n {} --context MEMBER",
                object.name, object.namespace
            )));
        }
    };
    let revisions = revisions::of(&object.connected, set).await?;
    if let Some(number) = number {
        let revision = revisions::choose(&object.to_string(), &revisions, Some(number))?;
        let whole =
            json!({"revision": revision.number, "name": revision.name, "template": revision.template});
        return output::result(connection.output, &whole, |_| template(object, revision));
    }
    let rows: Vec<Row> = revisions.iter().map(|revision| row(set, revision)).collect();
    if rows.is_empty() && connection.output == Format::Table {
        output::line(&format!("{object} has no revisions yet"));
        return Ok(());
    }
    output::result(connection.output, &rows, |rows| {
        let mut table = Table::new(&["REVISION", "NAME", "STATE", "IMAGES", "CREATED"]);
        for row in rows {
            let created = row.created.clone().unwrap_or_default();
            let cells = [
                row.revision.to_string(),
                row.name.clone(),
                row.state.to_owned(),
                row.images.clone(),
                created,
            ];
            table.row(cells);
        }
        table.to_string()
    })
}

fn row(set: &GameStatefulSet, revision: &Stored) -> Row {
    let status = set.status.as_ref();
    let is = |name: Option<&String>| name == Some(&revision.name);
    let current = is(status.and_then(|status| status.current_revision.as_ref()));
    let update = is(status.and_then(|status| status.update_revision.as_ref()));
    let state = match (current, update) {
        (true, true) => "in use",
        (true, false) => "from",
        (false, true) => "to",
        (false, false) => "",
    };
    Row {
        revision: revision.number,
        name: revision.name.clone(),
        state,
        images: revision.images(),
        created: revision.created.map(|time| time.to_string()),
    }
}

fn template(object: &Object, revision: &Stored) -> String {
    let text = serde_saphyr::to_string::<Value>(&revision.template);
    let text = text.unwrap_or_else(|error| format!("cannot be shown as YAML: {error}\n"));
    format!("{object} with revision {} ({})\n{text}", revision.number, revision.name)
}
