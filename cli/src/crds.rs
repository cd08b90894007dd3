//! `muster crds`: the definitions of Muster's kinds.

use std::process::ExitCode;

use muster_sandbox::apply::Applier;
use muster_sandbox::manifests;

use crate::args::{Connection, CrdsAction};
use crate::error::CliError;
use crate::{clients, output};

pub(crate) async fn run(connection: &Connection, action: Option<CrdsAction>) -> Result<ExitCode, CliError> {
    let files = muster_crds::yaml();
    let Some(CrdsAction::Apply) = action else {
        for (_, text) in &files {
            output::text("---\n");
            output::text(text);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let connected = clients::current(connection).await?;
    let mut applier = Applier::new(connected.client);
    for (name, text) in &files {
        for manifest in manifests::parse(name, text)? {
            applier.apply(&manifest).await.map_err(|rejected| CliError::Input(rejected.to_string()))?;
            output::line(&format!("{manifest} applied"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
