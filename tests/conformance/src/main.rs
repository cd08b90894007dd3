//! The binary `muster-conformance`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use muster_conformance::{
    kubectl, output,
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
    /// Plays transcripts of kubectl commands on both servers and compares what it printed.
    Kubectl(Kubectl),
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

#[derive(Args)]
struct Kubectl {
    /// Directory of transcripts.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/kubectl"))]
    transcripts: PathBuf,
    /// Definitions that both servers get first.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds/yaml"))]
    definitions: PathBuf,
    /// How to reach the real server.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: PathBuf,
    /// A context of the kubeconfig, if not the current one.
    #[arg(long)]
    context: Option<String>,
    /// The kubectl to use.
    #[arg(long, value_name = "PATH", default_value = "kubectl")]
    kubectl: PathBuf,
    /// Plays only transcripts with this in their name.
    #[arg(long, value_name = "SUBSTRING", default_value = "")]
    filter: String,
    /// How many transcripts are played at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Shows everything that was printed.
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
        Command::Kubectl(transcripts) => runtime.block_on(Box::pin(play_transcripts(transcripts))),
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

async fn play_transcripts(arguments: Kubectl) -> ExitCode {
    let Kubectl { transcripts, definitions, kubeconfig, context, kubectl, filter, jobs, verbose } = arguments;
    let options =
        kubectl::Options { transcripts, definitions, kubeconfig, context, kubectl, filter, jobs, verbose };
    match kubectl::run(&options).await {
        Ok(counts) => {
            if counts.known > 0 {
                output::line(&format!("{} steps differ as they say", counts.known));
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
