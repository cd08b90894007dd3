//! The binary `muster-bench`: measures, and says which bars are held.
//!
//! ```text
//! cargo run --release -p muster-bench -- workload
//! ```
//!
//! What is measured runs as a process of its own, and so does the API server it works on; both are this binary again.

mod bars;
mod cluster;
mod counts;
mod planning;
mod process;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bars::BenchError;

#[derive(Parser)]
#[command(about = "Measures what Muster costs, and holds it against the bars it has to keep")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The GameStatefulSet controller.
    Workload(workload::Options),
    /// An API server with simulated nodes, for the others.
    #[command(hide = true)]
    Server(cluster::ServerOptions),
    /// An agent without a hub, for the others.
    #[command(hide = true)]
    Controller(cluster::ControllerOptions),
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(error) =
        muster_runtime::telemetry::init(muster_runtime::telemetry::Format::Text, None, "error")
    {
        return bars::failed(&error.into());
    }
    let done: Result<ExitCode, BenchError> = match Arguments::parse().command {
        Command::Workload(options) => workload::run(&options).await.map(|bars| bars.print()),
        Command::Server(options) => cluster::serve(&options).await,
        Command::Controller(options) => cluster::control(&options).await,
    };
    done.unwrap_or_else(|error| bars::failed(&error))
}
