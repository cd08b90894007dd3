//! The binary `muster-conformance`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use muster_conformance::{
    output,
    run::{Options, run},
};

#[derive(Parser)]
#[command(about = "Holds the embedded API server against a real kube-apiserver")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays cases on both servers and compares the answers.
    Cases(Cases),
}

#[derive(Args)]
struct Cases {
    /// Directory of case files; `differences.yaml` is read beside it.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/cases"))]
    cases: PathBuf,
    /// How to reach the real server.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: PathBuf,
    /// A context of the kubeconfig, if not the current one.
    #[arg(long)]
    context: Option<String>,
    /// Plays only cases with this in their id (`<area>/<name>`).
    #[arg(long, value_name = "SUBSTRING", default_value = "")]
    filter: String,
    /// How many cases run at once.
    #[arg(long, default_value_t = 8)]
    jobs: usize,
    /// Shows both answers to every request.
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("cannot start the async runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match command {
        Command::Cases(cases) => runtime.block_on(Box::pin(play(cases))),
    }
}

async fn play(arguments: Cases) -> ExitCode {
    let Cases { cases, kubeconfig, context, filter, jobs, verbose } = arguments;
    match run(&Options { cases, kubeconfig, context, filter, jobs, verbose }).await {
        Ok(counts) => {
            if counts.known > 0 {
                output::line(&format!("{} differ as differences.yaml says", counts.known));
            }
            output::line(&format!("{} passed, {} failed, 0 skipped", counts.passed, counts.failed));
            if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            output::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
