//! The binary `muster`.

mod agent;
mod args;
mod clients;
mod crds;
mod error;
mod explain;
mod hub;
mod output;
mod plan;
mod process;
mod rollout;
mod sandbox;
mod status;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use muster_runtime::telemetry;

use crate::args::{Arguments, Command};
use crate::error::CliError;

/// How long the process waits at its end for what still runs.
const SHUTDOWN: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let logs = arguments.logs.format.into();
    if let Err(error) = telemetry::init(logs, arguments.logs.log.as_deref(), arguments.command.log_filter()) {
        output::error(&error.to_string());
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("cannot start the async runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // Boxed: the futures of whole commands are large, and there is one.
    let ran = runtime.block_on(Box::pin(run(arguments)));
    runtime.shutdown_timeout(SHUTDOWN);
    match ran {
        Ok(code) => code,
        Err(error) => {
            output::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let Arguments { connection, command, .. } = arguments;
    match command {
        Command::Sandbox(options) => Box::pin(sandbox::run(options)).await,
        Command::Plan(options) => plan::run(&connection, &options),
        Command::Status(options) => status::run(&connection, options.name.as_deref()).await,
        Command::Explain(options) => explain::run(&connection, &options.target).await,
        Command::Rollout(options) => rollout::run(&connection, options.action).await,
        Command::Hub(options) => Box::pin(hub::run(&connection, options)).await,
        Command::Agent(options) => Box::pin(agent::run(&connection, options)).await,
        Command::Crds(options) => crds::run(&connection, options.action).await,
    }
}
